//! Record batches (magic 2) from JSON and to JSON.
//!
//! What a batch leaves out is what a producer would send; `crc`, `length`, `lastOffsetDelta`, `count`
//! and `body` can be set to something else, to see what a broker says of it. A record whose value is
//! long gives a part of it and how many `times` that comes.

use serde_json::{Value, json};

use crate::Stopped;
use crate::wire::{Reader, Writer, from_hex, to_hex};

/// Length of a batch's head up to the end of its length field.
const LENGTH_END: usize = 12;

pub(crate) fn encode(batches: &[Value]) -> Result<Vec<u8>, Stopped> {
    let mut bytes = Vec::new();
    for batch in batches {
        bytes.extend(encode_one(batch)?);
    }
    Ok(bytes)
}

fn number(value: &Value, name: &str, default: i64) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or(default)
}

fn encode_one(batch: &Value) -> Result<Vec<u8>, Stopped> {
    let no_records = Vec::new();
    let records = batch
        .get("records")
        .and_then(Value::as_array)
        .unwrap_or(&no_records);
    let base_timestamp = number(batch, "baseTimestamp", -1);
    let mut body = Writer::default();
    let mut last_timestamp_delta = 0;
    for (position, record) in records.iter().enumerate() {
        last_timestamp_delta = last_timestamp_delta.max(number(record, "timestampDelta", 0));
        write_record(&mut body, record, position as i64);
    }
    let body = match batch.get("body").and_then(Value::as_str) {
        Some(hex) => from_hex(hex)?,
        None => body.bytes,
    };
    let count = records.len() as i64;
    let mut rest = Writer::default();
    rest.int16(number(batch, "attributes", 0) as i16);
    rest.int32(number(batch, "lastOffsetDelta", count - 1) as i32);
    rest.int64(base_timestamp);
    rest.int64(number(
        batch,
        "maxTimestamp",
        base_timestamp + last_timestamp_delta,
    ));
    rest.int64(number(batch, "producerId", -1));
    rest.int16(number(batch, "producerEpoch", -1) as i16);
    rest.int32(number(batch, "baseSequence", -1) as i32);
    rest.int32(number(batch, "count", count) as i32);
    rest.put(&body);

    let mut whole = Writer::default();
    whole.int64(number(batch, "baseOffset", 0));
    let length = rest.bytes.len() as i64 + 9;
    whole.int32(number(batch, "length", length) as i32);
    whole.int32(number(batch, "partitionLeaderEpoch", -1) as i32);
    whole.int8(number(batch, "magic", 2) as i8);
    whole.int32(number(batch, "crc", i64::from(crc_32c(&rest.bytes))) as i32);
    whole.put(&rest.bytes);
    Ok(whole.bytes)
}

fn write_record(body: &mut Writer, record: &Value, position: i64) {
    let mut writer = Writer::default();
    writer.int8(number(record, "attributes", 0) as i8);
    writer.varint(number(record, "timestampDelta", 0));
    writer.varint(number(record, "offsetDelta", position));
    write_bytes(&mut writer, record.get("key"), 1);
    write_bytes(&mut writer, record.get("value"), number(record, "times", 1));
    let no_headers = Vec::new();
    let headers = record
        .get("headers")
        .and_then(Value::as_array)
        .unwrap_or(&no_headers);
    writer.varint(headers.len() as i64);
    for header in headers {
        write_bytes(&mut writer, header.get(0), 1);
        write_bytes(&mut writer, header.get(1), 1);
    }
    body.varint(writer.bytes.len() as i64);
    body.put(&writer.bytes);
}

/// The text so many times, one after the other.
fn write_bytes(writer: &mut Writer, value: Option<&Value>, times: i64) {
    match value.and_then(Value::as_str) {
        None => writer.varint(-1),
        Some(text) => {
            let text = text.repeat(usize::try_from(times).unwrap_or(1));
            writer.varint(text.len() as i64);
            writer.put(text.as_bytes());
        }
    }
}

/// The heads of all batches, with their records as bytes. A batch that is cut off is told as such.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, Stopped> {
    let mut batches = Vec::new();
    let mut left = bytes;
    while left.len() > LENGTH_END {
        let mut head = Reader { left };
        head.take(8)?;
        let length = usize::try_from(head.int32()?)
            .map_err(|_| Stopped::because("a batch of negative length"))?;
        if left.len() < LENGTH_END + length {
            break;
        }
        batches.push(decode_one(&left[..LENGTH_END + length])?);
        left = &left[LENGTH_END + length..];
    }
    if !left.is_empty() {
        batches.push(json!({"cut off": left.len()}));
    }
    Ok(Value::Array(batches))
}

fn decode_one(bytes: &[u8]) -> Result<Value, Stopped> {
    let mut reader = Reader { left: bytes };
    let base_offset = reader.int64()?;
    reader.int32()?;
    let leader_epoch = reader.int32()?;
    let magic = reader.int8()?;
    let crc = reader.int32()? as u32;
    let is_intact = crc_32c(reader.left) == crc;
    Ok(json!({
        "baseOffset": base_offset,
        "partitionLeaderEpoch": leader_epoch,
        "magic": magic,
        "crc": if is_intact { "fits" } else { "does not fit" },
        "attributes": reader.int16()?,
        "lastOffsetDelta": reader.int32()?,
        "baseTimestamp": reader.int64()?,
        "maxTimestamp": reader.int64()?,
        "producerId": reader.int64()?,
        "producerEpoch": reader.int16()?,
        "baseSequence": reader.int32()?,
        "count": reader.int32()?,
        "records": to_hex(reader.left),
    }))
}

/// CRC-32C, bit by bit: the batches here are small.
fn crc_32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_castagnoli_polynomial() {
        assert_eq!(crc_32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let batch =
            json!({"baseTimestamp": 5, "producerId": 7, "records": [{"value": "a"}, {"key": "k"}]});
        let bytes = encode(&[batch]).expect("it fits");
        let read = decode(&bytes).expect("it was written here");
        assert_eq!(read[0]["crc"], "fits");
        assert_eq!(read[0]["lastOffsetDelta"], 1);
        assert_eq!(read[0]["producerId"], 7);
        assert_eq!(
            decode(&bytes[..20]).expect("it is cut"),
            json!([{"cut off": 20}])
        );
    }
}
