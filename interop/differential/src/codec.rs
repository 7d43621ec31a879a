//! Holds the codec of this crate against Kafka's own message classes: `Decode.java` reads every frame
//! that was sent and that came back, and each field, and each byte that Kafka's classes write of what
//! they have read, has to be as it is here.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::message::{decode, default_of, text_of};
use crate::play::Exchange;
use crate::schema::{Field, Kind, Schemas};
use crate::wire::{Reader, from_hex, to_hex};
use crate::{Stopped, home};

/// What the two codecs said of the same frames.
#[derive(Debug, Default)]
pub struct CodecReport {
    /// Requests that both read.
    pub request_count: usize,
    /// Answers that both read.
    pub answer_count: usize,
    /// Fields that were compared.
    pub field_count: usize,
    /// Requests that Kafka's classes refuse, as the broker did: it closed the connection.
    pub refused_count: usize,
    /// Frames with texts that are no UTF-8: Kafka's classes do not write them as they were.
    pub rewritten_count: usize,
    /// Where they differ.
    pub differences: Vec<String>,
}

impl fmt::Display for CodecReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Kafka's message classes read {} requests and {} answers: {} fields compared, {} differences; they write the same bytes but where {} texts are no UTF-8; {} requests they refuse, and Kafka closed the connection",
            self.request_count,
            self.answer_count,
            self.field_count,
            self.differences.len(),
            self.rewritten_count,
            self.refused_count,
        )
    }
}

/// What `Decode.java` says of a frame.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Decoded {
    header: Value,
    body: Value,
    left: usize,
    written: String,
    error: Option<String>,
}

/// A frame, and the exchange it belongs to.
struct Frame<'a> {
    exchange: &'a Exchange,
    is_request: bool,
    bytes: &'a [u8],
}

impl Frame<'_> {
    fn line(&self, schemas: &Schemas) -> Result<String, Stopped> {
        let (api, version) = &self.exchange.request;
        let kind = if self.is_request { "request" } else { "answer" };
        let key = schemas.api(api)?.key;
        Ok(format!("{kind} {key} {version} {}", to_hex(self.bytes)))
    }

    fn name(&self) -> String {
        let (api, version) = &self.exchange.request;
        let kind = if self.is_request { "request" } else { "answer" };
        format!("{api} v{version} {kind} of {}", self.exchange.label)
    }
}

/// Has Kafka's classes, from the jars in `libs`, read all frames that were meant to be well-formed.
///
/// # Errors
/// When Java cannot be started or says less than it was asked.
pub fn check_codec(
    exchanges: &[Exchange],
    schemas: &Schemas,
    libs: &Path,
) -> Result<CodecReport, Stopped> {
    let mut frames = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.frames.is_plain) {
        for (is_request, bytes) in [
            (true, &exchange.frames.request),
            (false, &exchange.frames.answer),
        ] {
            if !bytes.is_empty() {
                frames.push(Frame {
                    exchange,
                    is_request,
                    bytes,
                });
            }
        }
    }
    let lines = frames
        .iter()
        .map(|frame| frame.line(schemas))
        .collect::<Result<Vec<_>, _>>()?;
    let mut report = CodecReport::default();
    let decoded = decode_with_kafka(lines, libs)?;
    if decoded.len() != frames.len() {
        return Err(Stopped::because(format!(
            "Kafka's classes read {} of {} frames",
            decoded.len(),
            frames.len()
        )));
    }
    for (frame, decoded) in frames.iter().zip(&decoded) {
        compare(frame, decoded, schemas, &mut report)?;
    }
    Ok(report)
}

fn decode_with_kafka(lines: Vec<String>, libs: &Path) -> Result<Vec<Decoded>, Stopped> {
    let failed = |error: std::io::Error| Stopped::because(format!("java: {error}"));
    let mut java = Command::new("java")
        .arg("-cp")
        .arg(format!("{}/*", libs.display()))
        .arg(home().join("Decode.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (Some(mut input), Some(output)) = (java.stdin.take(), java.stdout.take()) else {
        return Err(Stopped::because("java has no input or output"));
    };
    let writer =
        std::thread::spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
    let mut decoded = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(failed)?;
        let told = serde_json::from_str(&line)
            .map_err(|error| Stopped::because(format!("{error}: {line}")))?;
        decoded.push(told);
    }
    // Both fail when Java ended early, which the number of lines shows.
    let _ = writer.join();
    let _ = java.wait();
    Ok(decoded)
}

fn compare(
    frame: &Frame<'_>,
    decoded: &Decoded,
    schemas: &Schemas,
    report: &mut CodecReport,
) -> Result<(), Stopped> {
    let (api_name, version) = &frame.exchange.request;
    let api = schemas.api(api_name)?;
    let name = frame.name();
    if let Some(error) = &decoded.error {
        if frame.is_request && frame.exchange.outcome == "closed" {
            report.refused_count += 1;
        } else {
            report.differences.push(format!("{name}: {error}"));
        }
        return Ok(());
    }
    let message = if frame.is_request {
        report.request_count += 1;
        &api.request
    } else {
        report.answer_count += 1;
        &api.response
    };
    let head_length = head_length(frame, message.flexible.holds(*version));
    let ours = match decode(message, *version, &frame.bytes[head_length..]) {
        Ok(ours) => ours,
        Err(error) => {
            report.differences.push(format!("{name}: {error}"));
            return Ok(());
        }
    };
    let mut comparison = Comparison {
        version: *version,
        name,
        has_bad_text: false,
        report,
    };
    comparison.header(frame, &decoded.header);
    comparison.fields("", &message.fields, &ours, &decoded.body);
    if decoded.left != 0 || ours.get("left over").is_some() {
        comparison.tell("", &ours["left over"], &decoded.left.into());
    }
    if decoded.written != to_hex(frame.bytes) {
        if comparison.has_bad_text {
            comparison.report.rewritten_count += 1;
        } else {
            let frame = to_hex(frame.bytes).into();
            comparison.tell("bytes", &frame, &decoded.written.as_str().into());
        }
    }
    Ok(())
}

/// Length of what stands before the body.
fn head_length(frame: &Frame<'_>, is_flexible: bool) -> usize {
    let is_api_versions = frame.exchange.request.0 == "ApiVersions";
    if !frame.is_request {
        return 4 + usize::from(is_flexible && !is_api_versions);
    }
    let mut reader = Reader { left: frame.bytes };
    let client_length = reader
        .take(8)
        .and_then(|_| reader.text_length(false))
        .unwrap_or_default();
    10 + client_length.unwrap_or_default() + usize::from(is_flexible)
}

struct Comparison<'a> {
    version: i16,
    name: String,
    has_bad_text: bool,
    report: &'a mut CodecReport,
}

impl Comparison<'_> {
    fn tell(&mut self, path: &str, ours: &Value, kafka: &Value) {
        let Self { name, report, .. } = self;
        let told = format!("{name}: {path}: here {ours}, Kafka {kafka}");
        report.differences.push(told);
    }

    fn equal(&mut self, path: &str, ours: &Value, kafka: &Value) {
        self.report.field_count += 1;
        if ours != kafka {
            self.tell(path, ours, kafka);
        }
    }

    fn header(&mut self, frame: &Frame<'_>, header: &Value) {
        let request = &frame.exchange.frames.request;
        let number = |at: usize, length: usize| {
            let bytes = request.get(at..at + length).unwrap_or_default();
            Value::from(
                bytes
                    .iter()
                    .fold(0_i64, |all, byte| all << 8 | i64::from(*byte)),
            )
        };
        if frame.is_request {
            self.equal("key", &number(0, 2), &header["requestApiKey"]);
            self.equal("version", &number(2, 2), &header["requestApiVersion"]);
            self.equal("client", &"differential".into(), &header["clientId"]);
        }
        self.equal("correlation", &number(4, 4), &header["correlationId"]);
    }

    fn fields(&mut self, path: &str, fields: &[Field], ours: &Value, kafka: &Value) {
        let mut known = Vec::new();
        for field in fields {
            if !field.versions.holds(self.version) {
                continue;
            }
            let path = format!("{path}.{}", field.name);
            let ours = &ours[&field.name];
            if field.kind == Kind::Records && !ours.is_null() {
                // Kafka tells their size alone; that they are the same the bytes show.
                known.push(format!("{}SizeInBytes", field.name));
                continue;
            }
            known.push(field.name.clone());
            match kafka.get(&field.name) {
                Some(kafka) => self.value(&path, field, ours, kafka),
                // A tagged field that has its default is not written.
                None if field.tag_in(self.version).is_some() => {
                    self.equal(&path, ours, &default_of(field));
                }
                None => self.tell(&path, ours, &"no such field".into()),
            }
        }
        for name in kafka.as_object().into_iter().flat_map(|map| map.keys()) {
            if !known.contains(name) {
                self.tell(path, &"no such field".into(), &name.as_str().into());
            }
        }
    }

    fn value(&mut self, path: &str, field: &Field, ours: &Value, kafka: &Value) {
        let (Some(here), Some(there)) = (ours.as_array(), kafka.as_array()) else {
            if field.is_array {
                self.equal(path, ours, kafka);
            } else {
                self.single(path, field, ours, kafka);
            }
            return;
        };
        self.equal(path, &here.len().into(), &there.len().into());
        for (position, (ours, kafka)) in here.iter().zip(there).enumerate() {
            self.single(&format!("{path}.{position}"), field, ours, kafka);
        }
    }

    fn single(&mut self, path: &str, field: &Field, ours: &Value, kafka: &Value) {
        if ours.is_null() || kafka.is_null() {
            self.equal(path, ours, kafka);
            return;
        }
        let bytes = || text_of(ours).ok().flatten().unwrap_or_default();
        match field.kind {
            Kind::Struct => self.fields(path, &field.fields, ours, kafka),
            Kind::Text => {
                let bytes = bytes();
                let text = String::from_utf8_lossy(&bytes);
                self.has_bad_text |= text.contains(char::REPLACEMENT_CHARACTER);
                self.equal(path, &text.as_ref().into(), kafka);
            }
            Kind::Bytes => self.equal(path, &base64(&bytes(), STANDARD).into(), kafka),
            Kind::Uuid => {
                let text = ours.as_str().unwrap_or_default();
                let id = from_hex(text).unwrap_or_else(|_| vec![0; 16]);
                self.equal(path, &base64(&id, URL).trim_end_matches('=').into(), kafka);
            }
            _ => self.equal(path, ours, kafka),
        }
    }
}

const STANDARD: &[u8; 2] = b"+/";
const URL: &[u8; 2] = b"-_";

/// Base64 with these for its last two letters: Kafka tells bytes in one form and ids in the other.
fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let letter = |sextet: u32| match sextet as u8 {
        sextet @ 0..26 => b'A' + sextet,
        sextet @ 26..52 => b'a' + sextet - 26,
        sextet @ 52..62 => b'0' + sextet - 52,
        sextet => last[usize::from(sextet & 1)],
    };
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |position: usize| u32::from(three.get(position).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for position in 0..4 {
            let sextet = bits >> (18 - 6 * position) & 0x3f;
            let is_there = position <= three.len() as u32;
            text.push(if is_there { letter(sextet).into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_letters() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes(), STANDARD), text);
        }
        assert_eq!(base64(&[0xfb, 0xff], URL), "-_8=");
    }
}
