//! Reads `kafka-4.3.txt`, bytes that Kafka's own classes wrote.

// Each test binary uses its own part of this module; what cannot be parsed fails the test.
#![allow(dead_code, clippy::unwrap_used)]

use bytes::Bytes;
use kabuki_protocol::ids::TopicId;

pub(crate) const TEXT: &str = include_str!("kafka-4.3.txt");

pub(crate) const TOPIC: TopicId = TopicId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

pub(crate) fn hex(text: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// The words behind `kind name` in the file.
fn golden(kind: &str, name: &str) -> Vec<&'static str> {
    let mut lines = TEXT.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|words| words[..2.min(words.len())] == [kind, name]);
    line.unwrap_or_else(|| panic!("no {kind} {name}"))[2..].to_vec()
}

pub(crate) fn golden_bytes(name: &str) -> Bytes {
    hex(golden("bytes", name)[0])
}

pub(crate) fn golden_record(name: &str) -> (Bytes, Option<Bytes>) {
    let words = golden("record", name);
    (hex(words[0]), (words[1] != "-").then(|| hex(words[1])))
}
