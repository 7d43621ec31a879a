//! Records as JSON lines: what `consume --json` writes and `produce --json` reads. Texts stay texts;
//! bytes that are no UTF-8 become hexadecimal digits, so that every record survives the way back.

use kabuki_client::{ConsumedRecord, NewRecord};
use serde_json::{Map, Value, json};

/// One line for a record, without its end.
pub(super) fn to_json(record: &ConsumedRecord) -> String {
    let headers = record.headers.iter().map(|(name, value)| {
        let mut pair = Map::new();
        pair.insert("name".to_owned(), json!(name));
        put_bytes(&mut pair, "value", value.as_deref());
        Value::Object(pair)
    });
    let headers: Vec<Value> = headers.collect();
    let mut line = Map::new();
    line.insert("topic".to_owned(), json!(&*record.topic));
    line.insert("partition".to_owned(), json!(record.partition));
    line.insert("offset".to_owned(), json!(record.offset.get()));
    line.insert("timestamp".to_owned(), json!(record.timestamp_ms));
    put_bytes(&mut line, "key", record.key.as_deref());
    put_bytes(&mut line, "value", record.value.as_deref());
    line.insert("headers".to_owned(), Value::Array(headers));
    Value::Object(line).to_string()
}

/// Reads a line as [`to_json`] writes it. Only what is there is used: `topic` and `offset` are not,
/// so that records can be copied to another topic; `partition` and `timestamp` are.
pub(super) fn from_json(topic: &str, line: &[u8]) -> Result<NewRecord, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Value::Object(line) = value else {
        return Err("a record is a JSON object".to_owned());
    };
    let mut record = NewRecord::to(topic);
    if let Some(partition) = line.get("partition") {
        let number = partition
            .as_i64()
            .and_then(|number| i32::try_from(number).ok());
        record.partition = Some(number.ok_or("partition is no number of a partition")?);
    }
    if let Some(timestamp) = line.get("timestamp") {
        let timestamp = timestamp
            .as_i64()
            .ok_or("timestamp is no number of milliseconds")?;
        record.timestamp_ms = (timestamp >= 0).then_some(timestamp);
    }
    record.key = take_bytes(&line, "key")?.map(Into::into);
    record.value = take_bytes(&line, "value")?.map(Into::into);
    match line.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Array(headers)) => {
            for header in headers {
                let header = header.as_object().ok_or("a header is a JSON object")?;
                let name = header.get("name").and_then(Value::as_str);
                let name = name.ok_or("a header has a name")?.to_owned();
                record
                    .headers
                    .push((name, take_bytes(header, "value")?.map(Into::into)));
            }
        }
        Some(_) => return Err("headers are a JSON array".to_owned()),
    }
    Ok(record)
}

fn put_bytes(line: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => line.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => line.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => {
            let digits = bytes
                .into_iter()
                .flatten()
                .map(|byte| format!("{byte:02x}"));
            line.insert(format!("{name}_hex"), json!(digits.collect::<String>()))
        }
    };
}

fn take_bytes(line: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, String> {
    match (line.get(name), line.get(&format!("{name}_hex"))) {
        (None | Some(Value::Null), None) => Ok(None),
        (Some(Value::String(text)), None) => Ok(Some(text.clone().into_bytes())),
        // Whatever is no text is kept as it is written.
        (Some(value), None) => Ok(Some(value.to_string().into_bytes())),
        (_, Some(Value::String(digits))) => hex(digits)
            .map(Some)
            .ok_or_else(|| format!("{name}_hex is not hexadecimal")),
        (_, Some(_)) => Err(format!("{name}_hex is not hexadecimal")),
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() {
        bytes.collect()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use kabuki_protocol::ids::{LeaderEpoch, Offset};

    use super::*;

    #[test]
    fn every_record_survives_the_way_through_json() {
        let bytes = |it: &'static [u8]| Some(bytes::Bytes::from_static(it));
        let headers = vec![
            ("same".to_owned(), bytes(b"1")),
            ("same".to_owned(), None),
            ("binary".to_owned(), bytes(b"\xff\x00")),
        ];
        for (key, value) in [
            (bytes(b"k"), bytes(b"v\n\"")),
            (None, None),
            (bytes(b"\xfe"), bytes(b"")),
        ] {
            let record = ConsumedRecord {
                topic: "orders".into(),
                partition: 3,
                offset: Offset(7),
                timestamp_ms: 1_000,
                is_log_append_time: false,
                leader_epoch: LeaderEpoch(0),
                key,
                value,
                headers: headers.clone(),
            };
            let line = to_json(&record);
            assert!(!line.contains('\n'), "{line}");
            let back = from_json("copy", line.as_bytes()).unwrap();
            assert_eq!(
                (&back.key, &back.value),
                (&record.key, &record.value),
                "{line}"
            );
            assert_eq!(back.headers, record.headers);
            assert_eq!((back.partition, back.timestamp_ms), (Some(3), Some(1_000)));
            assert_eq!(back.topic, "copy");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for line in [
            "",
            "7",
            "{",
            r#"{"partition":-9999999999}"#,
            r#"{"value_hex":"f"}"#,
            r#"{"headers":[1]}"#,
        ] {
            assert!(from_json("t", line.as_bytes()).is_err(), "{line}");
        }
        let structured = from_json("t", br#"{"value":{"a":1}}"#).unwrap();
        assert_eq!(structured.value.unwrap(), r#"{"a":1}"#);
    }
}
