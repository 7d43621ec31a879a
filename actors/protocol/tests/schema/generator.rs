//! Writes random messages from a schema, with no line of code in common with the codec under test.

use std::fmt::Debug;

use bytes::Bytes;
use kabuki_protocol::ids::TopicId;

use super::{FieldSchema, Schema};

/// SplitMix64: enough for test content, the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// How much a generated message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Empty texts and arrays, nulls, no tagged field.
    Least,
    /// Something of everything.
    Random,
    /// The same, and tagged fields that nobody knows.
    UnknownTags,
}

/// A length in front of a text, of bytes or of an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LengthAt {
    pub(crate) position: usize,
    /// Bytes of the length itself.
    pub(crate) width: usize,
    pub(crate) is_compact: bool,
    pub(crate) is_nullable: bool,
}

/// A message as bytes, and what its `Debug` form must show.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    pub(crate) bytes: Vec<u8>,
    pub(crate) shown: Vec<String>,
    pub(crate) lengths: Vec<LengthAt>,
}

impl Generated {
    /// Checks that every value stands under its name, in order. Fields that the version lacks are
    /// passed over.
    pub(crate) fn assert_shown_by(&self, message: &impl Debug) {
        let text = format!("{message:?}");
        let mut rest = text.as_str();
        for shown in &self.shown {
            match rest.find(shown.as_str()) {
                Some(at) => rest = &rest[at + shown.len()..],
                None => panic!("{shown} is not shown in its place by {text}"),
            }
        }
    }
}

struct Generator<'a> {
    random: &'a mut Random,
    version: i16,
    is_flexible: bool,
    fill: Fill,
    out: Generated,
}

/// Writes one message of `version`.
pub(crate) fn generate(
    schema: &Schema,
    version: i16,
    fill: Fill,
    random: &mut Random,
) -> Generated {
    let is_flexible = schema.flexible.contains(&version);
    let out = Generated::default();
    let mut generator = Generator {
        random,
        version,
        is_flexible,
        fill,
        out,
    };
    generator.structure(&schema.name, &schema.fields);
    generator.out
}

impl Generator<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out.bytes.extend_from_slice(bytes);
    }

    fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    fn structure(&mut self, name: &str, fields: &[FieldSchema]) {
        self.out.shown.push(format!("{name} {{"));
        let version = self.version;
        let present = |field: &&FieldSchema| field.versions.contains(&version);
        for field in fields
            .iter()
            .filter(present)
            .filter(|field| field.tag.is_none())
        {
            let shown = self.field(field, false);
            self.out.shown.extend(shown);
        }
        if self.is_flexible {
            let tagged = fields
                .iter()
                .filter(present)
                .filter(|field| field.tag.is_some());
            self.tagged_fields(&tagged.collect::<Vec<_>>());
        }
    }

    fn tagged_fields(&mut self, known: &[&FieldSchema]) {
        let mut chosen: Vec<_> = known.to_vec();
        chosen.retain(|_| self.fill != Fill::Least && self.random.below(2) == 0);
        let unknown = if self.fill == Fill::UnknownTags {
            self.random.below(3)
        } else {
            0
        };
        self.uvarint((chosen.len() + unknown) as u32);
        for field in chosen {
            // The size stands in front: write aside, then move over. What `Debug` shows of tagged
            // fields stands elsewhere than on the wire, so it is left to the other oracle.
            let outside = std::mem::take(&mut self.out);
            self.field(field, true);
            let inside = std::mem::replace(&mut self.out, outside);
            self.uvarint(field.tag.unwrap());
            self.uvarint(inside.bytes.len() as u32);
            let start = self.out.bytes.len();
            self.put(&inside.bytes);
            self.out
                .lengths
                .extend(inside.lengths.iter().map(|at| LengthAt {
                    position: at.position + start,
                    ..*at
                }));
        }
        for tag in 0..unknown {
            let count = self.random.below(300);
            self.uvarint(1_000 + tag as u32);
            self.uvarint(count as u32);
            let bytes = self.random.bytes(count);
            self.put(&bytes);
        }
    }

    /// Writes the field and returns what `Debug` shows, where it is no struct. A field that must be
    /// set differs from any default.
    fn field(&mut self, field: &FieldSchema, must_be_set: bool) -> Option<String> {
        let name = &field.name;
        let nullable = field
            .nullable
            .as_ref()
            .is_some_and(|range| range.contains(&self.version));
        let is_least = self.fill == Fill::Least;
        let is_null = nullable && !must_be_set && (is_least || self.random.below(4) == 0);
        let some = |value: String| match &field.nullable {
            Some(_) => format!("{name}: Some({value})"),
            None => format!("{name}: {value}"),
        };
        if field.is_array {
            return self.array(field, nullable, is_null, must_be_set);
        }
        match field.kind.as_str() {
            "string" => {
                if is_null {
                    self.length(None, 2, nullable);
                    return Some(format!("{name}: None"));
                }
                let text = self.text(must_be_set);
                self.length(Some(text.len()), 2, nullable);
                self.put(text.as_bytes());
                Some(some(format!("{text:?}")))
            }
            "records" | "bytes" => {
                if is_null {
                    self.length(None, 4, nullable);
                    return Some(format!("{name}: None"));
                }
                let bound = if is_least { 1 } else { 1_500 };
                let count = self.random.below(bound);
                let bytes = Bytes::from(self.random.bytes(count));
                self.length(Some(count), 4, nullable);
                self.put(&bytes);
                Some(some(format!("{bytes:?}")))
            }
            kind => match self.scalar(kind, must_be_set) {
                Some(value) => Some(some(value)),
                None => {
                    if is_null {
                        self.put(&[0xff]);
                        return Some(format!("{name}: None"));
                    }
                    if nullable {
                        self.put(&[1]);
                    }
                    self.out.shown.push(format!("{name}: "));
                    let filled = self.structure_set(&field.kind, &field.fields, must_be_set);
                    assert!(filled, "{name} has fields in this version");
                    None
                }
            },
        }
    }

    fn structure_set(&mut self, kind: &str, fields: &[FieldSchema], must_be_set: bool) -> bool {
        // Random integers are never the default by chance worth counting, so one field suffices.
        let has_fields = fields
            .iter()
            .any(|field| field.versions.contains(&self.version));
        self.structure(kind, fields);
        has_fields || !must_be_set
    }

    fn array(
        &mut self,
        field: &FieldSchema,
        nullable: bool,
        is_null: bool,
        must_be_set: bool,
    ) -> Option<String> {
        let name = &field.name;
        if is_null {
            self.length(None, 4, nullable);
            return Some(format!("{name}: None"));
        }
        let count = if self.fill == Fill::Least {
            0
        } else {
            self.random.below(4) + usize::from(must_be_set)
        };
        self.length(Some(count), 4, nullable);
        let open = if field.nullable.is_some() {
            "Some(["
        } else {
            "["
        };
        self.out.shown.push(format!("{name}: {open}"));
        for _ in 0..count {
            match field.kind.as_str() {
                "string" => {
                    let text = self.text(false);
                    self.length(Some(text.len()), 2, false);
                    self.put(text.as_bytes());
                    self.out.shown.push(format!("{text:?}"));
                }
                kind => match self.scalar(kind, false) {
                    Some(value) => self.out.shown.push(value),
                    None => self.structure(kind, &field.fields),
                },
            }
        }
        None
    }

    fn scalar(&mut self, kind: &str, must_be_set: bool) -> Option<String> {
        let bits = self.random.next();
        Some(match kind {
            "bool" => {
                let value = must_be_set || bits & 1 == 1;
                self.put(&[u8::from(value)]);
                value.to_string()
            }
            "int8" => {
                self.put(&[bits as u8]);
                (bits as i8).to_string()
            }
            "int16" => {
                self.put(&(bits as i16).to_be_bytes());
                (bits as i16).to_string()
            }
            "uint16" => {
                self.put(&(bits as u16).to_be_bytes());
                (bits as u16).to_string()
            }
            "int32" => {
                self.put(&(bits as i32).to_be_bytes());
                (bits as i32).to_string()
            }
            "int64" => {
                self.put(&(bits as i64).to_be_bytes());
                (bits as i64).to_string()
            }
            "uuid" => {
                let id = TopicId(self.random.bytes(16).try_into().unwrap());
                self.put(&id.0);
                format!("{id:?}")
            }
            _ => return None,
        })
    }

    fn text(&mut self, must_be_set: bool) -> String {
        if self.fill == Fill::Least {
            return String::new();
        }
        let count = match self.random.below(8) {
            0 => 0,
            1 => 200,
            _ => self.random.below(20),
        } + usize::from(must_be_set);
        (0..count)
            .map(|_| ['a', 'Z', '9', '.', '-', '_', 'é', '漢'][self.random.below(8)])
            .collect()
    }

    fn length(&mut self, length: Option<usize>, plain_width: usize, is_nullable: bool) {
        let position = self.out.bytes.len();
        if self.is_flexible {
            self.uvarint(length.map_or(0, |length| length as u32 + 1));
        } else {
            let length = length.map_or(-1, |length| length as i32);
            let bytes = length.to_be_bytes();
            self.put(&bytes[4 - plain_width..]);
        }
        let width = self.out.bytes.len() - position;
        let is_compact = self.is_flexible;
        self.out.lengths.push(LengthAt {
            position,
            width,
            is_compact,
            is_nullable,
        });
    }
}
