//! Turns JSON into the bytes of a message and back, by its schema and a version.
//!
//! A field that is left out takes its default; one that the version does not have is passed over, so
//! that one JSON serves all versions. `tag 99` stands for a tagged field that no schema names. Bytes are text, or `hex:…` where they are none, or
//! `subscription:…`; ids of topics are 32 hexadecimal digits, or `zero`; record sets are lists of
//! batches, see `batch`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Stopped;
use crate::batch;
use crate::schema::{Field, Kind, Message};
use crate::subscription;
use crate::wire::{Reader, Writer, from_hex, to_hex};

const NO_ID: &str = "zero";

/// Writes the body of a message.
pub(crate) fn encode(message: &Message, version: i16, body: &Value) -> Result<Vec<u8>, Stopped> {
    let mut encoder = Encoder {
        writer: Writer::default(),
        version,
        is_flexible: message.flexible.holds(version),
    };
    encoder.fields(&message.fields, body)?;
    Ok(encoder.writer.bytes)
}

/// Reads the body of a message; bytes after its end appear as `left over`.
pub(crate) fn decode(message: &Message, version: i16, bytes: &[u8]) -> Result<Value, Stopped> {
    let mut decoder = Decoder {
        reader: Reader { left: bytes },
        version,
        is_flexible: message.flexible.holds(version),
    };
    let mut body = decoder.fields(&message.fields)?;
    let left = decoder.reader.left;
    if !left.is_empty() {
        body["left over"] = json!(to_hex(left));
    }
    Ok(body)
}

struct Encoder {
    writer: Writer,
    version: i16,
    is_flexible: bool,
}

impl Encoder {
    fn fields(&mut self, fields: &[Field], body: &Value) -> Result<(), Stopped> {
        if let Some(given) = body.as_object() {
            let unknown = given
                .keys()
                .filter(|name| unknown_tag(name).is_none())
                .find(|name| !fields.iter().any(|field| field.name == **name));
            if let Some(name) = unknown {
                return Err(Stopped::because(format!("no field is called {name}")));
            }
        }
        let mut tagged = Vec::new();
        for field in fields {
            if !field.versions.holds(self.version) {
                continue;
            }
            let default = default_of(field);
            let value = body.get(&field.name).unwrap_or(&default);
            match field.tag_in(self.version) {
                Some(tag) if *value != default => tagged.push((tag, field, value.clone())),
                Some(_) => {}
                None => self
                    .value(field, value)
                    .map_err(|error| Stopped::because(format!("{}: {error}", field.name)))?,
            }
        }
        if self.is_flexible {
            self.tagged(tagged, body)?;
        }
        Ok(())
    }

    fn tagged(&mut self, known: Vec<(u32, &Field, Value)>, body: &Value) -> Result<(), Stopped> {
        let mut tagged = BTreeMap::new();
        for (tag, field, value) in known {
            let mut inner = Encoder {
                writer: Writer::default(),
                version: self.version,
                is_flexible: true,
            };
            inner.value(field, &value)?;
            tagged.insert(tag, inner.writer.bytes);
        }
        for (name, value) in body.as_object().into_iter().flatten() {
            if let Some(tag) = unknown_tag(name) {
                let hex = value.as_str().ok_or_else(|| unfit(value))?;
                tagged.insert(tag, from_hex(hex)?);
            }
        }
        self.writer.unsigned_varint(tagged.len() as u32);
        for (tag, bytes) in tagged {
            self.writer.unsigned_varint(tag);
            self.writer.unsigned_varint(bytes.len() as u32);
            self.writer.put(&bytes);
        }
        Ok(())
    }

    fn value(&mut self, field: &Field, value: &Value) -> Result<(), Stopped> {
        if !field.is_array {
            return self.single(field, value);
        }
        let values = match value {
            Value::Null => None,
            Value::Array(values) => Some(values),
            other => return Err(unfit(other)),
        };
        self.writer.length(values.map(Vec::len), self.is_flexible);
        for value in values.into_iter().flatten() {
            self.single(field, value)?;
        }
        Ok(())
    }

    fn single(&mut self, field: &Field, value: &Value) -> Result<(), Stopped> {
        let number = || value.as_i64().ok_or_else(|| unfit(value));
        match field.kind {
            Kind::Bool => self
                .writer
                .int8(i8::from(value.as_bool().ok_or_else(|| unfit(value))?)),
            Kind::Int8 => self.writer.int8(number()? as i8),
            Kind::Int16 | Kind::Uint16 => self.writer.int16(number()? as i16),
            Kind::Int32 => self.writer.int32(number()? as i32),
            Kind::Int64 => self.writer.int64(number()?),
            Kind::Float64 => {
                let float = value.as_f64().ok_or_else(|| unfit(value))?;
                self.writer.put(&float.to_be_bytes());
            }
            Kind::Text => {
                let text = text_of(value)?;
                self.writer
                    .text_length(text.as_ref().map(Vec::len), self.is_flexible);
                self.writer.put(&text.unwrap_or_default());
            }
            Kind::Bytes => {
                let bytes = text_of(value)?;
                self.writer
                    .length(bytes.as_ref().map(Vec::len), self.is_flexible);
                self.writer.put(&bytes.unwrap_or_default());
            }
            Kind::Records => {
                let bytes = match value {
                    Value::Array(batches) => Some(batch::encode(batches)?),
                    _ => text_of(value)?,
                };
                self.writer
                    .length(bytes.as_ref().map(Vec::len), self.is_flexible);
                self.writer.put(&bytes.unwrap_or_default());
            }
            Kind::Uuid => {
                let text = value.as_str().ok_or_else(|| unfit(value))?;
                let id = if text == NO_ID {
                    vec![0; 16]
                } else {
                    from_hex(text)?
                };
                if id.len() != 16 {
                    return Err(unfit(value));
                }
                self.writer.put(&id);
            }
            Kind::Struct => {
                // The mark of a null struct; elements of arrays have none.
                if !field.is_array && field.nullable.holds(self.version) {
                    self.writer.int8(if value.is_null() { -1 } else { 1 });
                    if value.is_null() {
                        return Ok(());
                    }
                }
                self.fields(&field.fields, value)?;
            }
        }
        Ok(())
    }
}

/// The number in `tag 99`.
fn unknown_tag(name: &str) -> Option<u32> {
    name.strip_prefix("tag ")?.parse().ok()
}

fn unfit(value: &Value) -> Stopped {
    Stopped::because(format!("{value} does not fit its field"))
}

/// Text, or `hex:…`, or `subscription:…`, or `not UTF-8:…` with a byte after it that is none; `None` for
/// null.
pub(crate) fn text_of(value: &Value) -> Result<Option<Vec<u8>>, Stopped> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => match text.split_once(':') {
            Some(("hex", hex)) => from_hex(hex).map(Some),
            Some(("subscription", described)) => Ok(Some(subscription::encode(described))),
            Some(("not UTF-8", start)) => Ok(Some([start.as_bytes(), &[0xff]].concat())),
            _ => Ok(Some(text.as_bytes().to_vec())),
        },
        other => Err(unfit(other)),
    }
}

pub(crate) fn default_of(field: &Field) -> Value {
    let default = field.default.as_deref();
    if default == Some("null") {
        return Value::Null;
    }
    if field.is_array {
        return json!([]);
    }
    match field.kind {
        Kind::Bool => json!(default == Some("true")),
        Kind::Int8 | Kind::Int16 | Kind::Uint16 | Kind::Int32 | Kind::Int64 => {
            let text = default.unwrap_or("0");
            let number = match text.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            json!(number.unwrap_or_default())
        }
        Kind::Float64 => json!(0.0),
        Kind::Text | Kind::Bytes => json!(default.unwrap_or_default()),
        Kind::Records => Value::Null,
        Kind::Uuid => json!(NO_ID),
        Kind::Struct => json!({}),
    }
}

struct Decoder<'a> {
    reader: Reader<'a>,
    version: i16,
    is_flexible: bool,
}

impl Decoder<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<Value, Stopped> {
        let mut body = Map::new();
        let present = || {
            fields
                .iter()
                .filter(|field| field.versions.holds(self.version))
        };
        let (tagged, plain): (Vec<&Field>, Vec<&Field>) =
            present().partition(|field| field.tag_in(self.version).is_some());
        for field in plain {
            let value = self
                .value(field)
                .map_err(|error| Stopped::because(format!("{}: {error}", field.name)))?;
            body.insert(field.name.clone(), value);
        }
        for field in &tagged {
            body.insert(field.name.clone(), default_of(field));
        }
        if !self.is_flexible {
            return Ok(Value::Object(body));
        }
        for _ in 0..self.reader.unsigned_varint()? {
            let tag = self.reader.unsigned_varint()?;
            let size = self.reader.unsigned_varint()?;
            let bytes = self.reader.take(size as usize)?;
            let known = tagged
                .iter()
                .find(|field| field.tag_in(self.version) == Some(tag));
            let (name, value) = match known {
                Some(field) => {
                    let mut inner = Decoder {
                        reader: Reader { left: bytes },
                        version: self.version,
                        is_flexible: true,
                    };
                    (field.name.clone(), inner.value(field)?)
                }
                None => (format!("tag {tag}"), json!(to_hex(bytes))),
            };
            body.insert(name, value);
        }
        Ok(Value::Object(body))
    }

    fn value(&mut self, field: &Field) -> Result<Value, Stopped> {
        if !field.is_array {
            return self.single(field);
        }
        let Some(count) = self.reader.length(self.is_flexible)? else {
            return Ok(Value::Null);
        };
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.single(field)?);
        }
        Ok(Value::Array(values))
    }

    fn single(&mut self, field: &Field) -> Result<Value, Stopped> {
        let reader = &mut self.reader;
        Ok(match field.kind {
            Kind::Bool => match reader.int8()? {
                0 => json!(false),
                1 => json!(true),
                other => return Err(Stopped::because(format!("a truth value of {other}"))),
            },
            Kind::Int8 => json!(reader.int8()?),
            Kind::Int16 => json!(reader.int16()?),
            Kind::Uint16 => json!(reader.int16()? as u16),
            Kind::Int32 => json!(reader.int32()?),
            Kind::Int64 => json!(reader.int64()?),
            Kind::Float64 => json!(reader.float64()?),
            Kind::Text => match reader.text_length(self.is_flexible)? {
                None => Value::Null,
                Some(length) => bytes_as_json(reader.take(length)?),
            },
            Kind::Bytes => match reader.length(self.is_flexible)? {
                None => Value::Null,
                Some(length) => bytes_as_json(reader.take(length)?),
            },
            Kind::Records => match reader.length(self.is_flexible)? {
                None => Value::Null,
                Some(length) => {
                    let bytes = reader.take(length)?;
                    batch::decode(bytes).unwrap_or_else(|_| json!(format!("hex:{}", to_hex(bytes))))
                }
            },
            Kind::Uuid => {
                let id = reader.take(16)?;
                let is_zero = id.iter().all(|byte| *byte == 0);
                json!(if is_zero {
                    NO_ID.to_owned()
                } else {
                    to_hex(id)
                })
            }
            Kind::Struct => {
                let is_nullable = !field.is_array && field.nullable.holds(self.version);
                if is_nullable && reader.int8()? < 0 {
                    Value::Null
                } else {
                    self.fields(&field.fields)?
                }
            }
        })
    }
}

fn bytes_as_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => json!(text),
        _ => json!(format!("hex:{}", to_hex(bytes))),
    }
}
