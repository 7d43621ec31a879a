//! Where a request can be changed, and to what.

use serde_json::{Value, json};

use super::dice::Dice;
use crate::schema::{Field, Kind, Message};

/// Times that a broker would wait for, and the operation whose unknown numbers make Kafka's controller
/// resign.
const LEFT_ALONE: [&str; 7] = [
    "configOperation",
    "timeoutMs",
    "maxWaitMs",
    "minBytes",
    "sessionTimeoutMs",
    "rebalanceTimeoutMs",
    "responsePartitionLimit",
];

/// A field of a request, or an entry of its list.
pub(super) struct Place<'a> {
    /// JSON pointer.
    pub(super) at: String,
    /// API and names of fields, as `Fetch.topics.topic`.
    pub(super) field_path: String,
    kind: Kind,
    is_array: bool,
    current: &'a Value,
}

/// All places of a body. An unknown tagged field is one in each struct.
pub(super) fn places<'a>(
    message: &'a Message,
    version: i16,
    body: &'a Value,
    api: &str,
    all: &mut Vec<Place<'a>>,
) {
    let is_flexible = message.flexible.holds(version);
    below(&message.fields, version, is_flexible, body, ("", api), all);
}

fn below<'a>(
    fields: &'a [Field],
    version: i16,
    is_flexible: bool,
    body: &'a Value,
    (at, field_path): (&str, &str),
    all: &mut Vec<Place<'a>>,
) {
    let place = |at: String, field_path: String, field: &Field, is_array, current| Place {
        at,
        field_path,
        kind: field.kind,
        is_array,
        current,
    };
    for field in fields.iter().filter(|field| field.versions.holds(version)) {
        if LEFT_ALONE.contains(&field.name.as_str()) {
            continue;
        }
        let at = format!("{at}/{}", field.name);
        let path = format!("{field_path}.{}", field.name);
        let value = body.get(&field.name).unwrap_or(&Value::Null);
        all.push(place(
            at.clone(),
            path.clone(),
            field,
            field.is_array,
            value,
        ));
        if field.kind == Kind::Struct && !field.is_array && value.is_object() {
            below(
                &field.fields,
                version,
                is_flexible,
                value,
                (&at, &path),
                all,
            );
        }
        let entries = value.as_array().filter(|_| field.is_array);
        for (position, entry) in entries.into_iter().flatten().enumerate() {
            let at = format!("{at}/{position}");
            if field.kind == Kind::Struct {
                below(
                    &field.fields,
                    version,
                    is_flexible,
                    entry,
                    (&at, &path),
                    all,
                );
            } else {
                all.push(place(at, path.clone(), field, false, entry));
            }
        }
    }
    if is_flexible && body.is_object() {
        all.push(Place {
            at: format!("{at}/tag 99"),
            field_path: String::new(),
            kind: Kind::Bytes,
            is_array: false,
            current: &Value::Null,
        });
    }
}

impl Place<'_> {
    /// As names of steps tell it.
    pub(super) fn told(&self) -> String {
        self.at[1..].replace('/', ".")
    }

    /// What is put there, and what that is called. `said` is what other requests say there, `texts`
    /// names of things that there are.
    pub(super) fn changed(
        &self,
        dice: &mut Dice,
        said: &[Value],
        texts: &[Value],
    ) -> Option<(String, Value)> {
        if self.at.ends_with("/tag 99") {
            return Some(("there".to_owned(), json!(dice.pick(&["", "07", "0102"]))));
        }
        let (name, value) = if !said.is_empty() && dice.percent(45) {
            let value = dice.pick(said);
            // A list of entries takes one of those that there are.
            ("as elsewhere".to_owned(), value)
        } else if self.is_array {
            self.list(dice)?
        } else {
            self.single(dice, texts)?
        };
        let is_entry = self.at.rsplit('/').next()?.parse::<usize>().is_ok();
        let value = match value {
            Value::Array(values) if is_entry && self.kind != Kind::Records => {
                (!values.is_empty()).then(|| dice.pick(&values))?
            }
            other => other,
        };
        (value != *self.current).then_some((name, value))
    }

    fn list(&self, dice: &mut Dice) -> Option<(String, Value)> {
        let entries = self.current.as_array().cloned().unwrap_or_default();
        let mut changed = entries.clone();
        let name = match dice.below(8) {
            0 => return Some(("null".to_owned(), Value::Null)),
            1 => return Some(("empty".to_owned(), json!([]))),
            2..=4 => {
                let entry = entries.get(dice.below(entries.len()))?.clone();
                changed.insert(dice.below(entries.len() + 1), entry);
                "twice"
            }
            5 => {
                changed.reverse();
                "turned round"
            }
            _ => {
                if changed.is_empty() {
                    return None;
                }
                changed.remove(dice.below(changed.len()));
                "one fewer"
            }
        };
        Some((name.to_owned(), json!(changed)))
    }

    fn single(&self, dice: &mut Dice, texts: &[Value]) -> Option<(String, Value)> {
        let (name, value) = match self.kind {
            Kind::Bool => ("turned", json!(self.current != &json!(true))),
            Kind::Int8 => number(dice, self.current, i8::MIN.into(), i8::MAX.into()),
            Kind::Int16 => number(dice, self.current, i16::MIN.into(), i16::MAX.into()),
            Kind::Int32 => number(dice, self.current, i32::MIN.into(), i32::MAX.into()),
            Kind::Int64 => number(dice, self.current, i64::MIN, i64::MAX),
            Kind::Text => text(dice, texts),
            Kind::Uuid => dice.pick(&[
                ("zero", json!("zero")),
                ("unknown", json!("0123456789abcdef0123456789abcdef")),
                ("of the cluster's log", json!("0".repeat(31) + "1")),
                ("$id", json!("$id")),
            ]),
            Kind::Bytes => dice.pick(&[
                ("null", Value::Null),
                ("empty", json!("")),
                ("other", json!("hex:00")),
            ]),
            Kind::Records => records(dice, self.current)?,
            Kind::Uint16 | Kind::Float64 => return None,
            Kind::Struct => ("null", Value::Null),
        };
        Some((name.to_owned(), value))
    }
}

fn number(dice: &mut Dice, current: &Value, min: i64, max: i64) -> (&'static str, Value) {
    let current = current.as_i64().unwrap_or(0);
    let (name, value) = dice.pick(&[
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("-2", -2),
        ("least", min),
        ("most", max),
        ("one more", current.saturating_add(1)),
        ("one less", current.saturating_sub(1)),
    ]);
    (name, json!(value.clamp(min, max)))
}

fn text(dice: &mut Dice, texts: &[Value]) -> (&'static str, Value) {
    if dice.percent(30) {
        return ("of another", dice.pick(texts));
    }
    let long = |count| json!(format!("${{t}}{}", "a".repeat(count)));
    dice.pick(&[
        ("null", Value::Null),
        ("empty", json!("")),
        ("blank", json!(" ")),
        ("with a blank", json!("${t} b")),
        ("not ASCII", json!("${t}é€😀")),
        ("with controls", json!("${t}\u{0}\u{1}\n")),
        ("no text", json!("not UTF-8:${t}")),
        ("long", long(250)),
        ("very long", long(32_000)),
        ("a dot", json!(".")),
        ("a slash", json!("${t}/b")),
        ("a number", json!("1")),
        ("less than a number", json!("-1")),
    ])
}

/// One value of the first batch set otherwise, or the batch twice.
fn records(dice: &mut Dice, current: &Value) -> Option<(&'static str, Value)> {
    let mut batches = current.as_array()?.clone();
    let first = batches.first()?.clone();
    if dice.percent(10) {
        batches.push(first);
        return Some(("batch twice", json!(batches)));
    }
    let (field, values): (&str, &[i64]) = dice.pick(&[
        (
            "attributes",
            &[
                1,
                2,
                3,
                4,
                5,
                7,
                8,
                16,
                24,
                32,
                40,
                48,
                64,
                128,
                i16::MIN as i64,
            ][..],
        ),
        (
            "lastOffsetDelta",
            &[-1, 0, 1, 2, i32::MAX as i64, i32::MIN as i64],
        ),
        (
            "baseTimestamp",
            &[-1, -2, 0, 1, i64::MAX, i64::MIN, 4_000_000_000_000],
        ),
        (
            "maxTimestamp",
            &[-1, -2, 0, 1, i64::MAX, i64::MIN, 4_000_000_000_000],
        ),
        ("producerId", &[-2, -1, 0, 77, i64::MAX, i64::MIN]),
        (
            "producerEpoch",
            &[-2, -1, 0, 1, i16::MAX as i64, i16::MIN as i64],
        ),
        (
            "baseSequence",
            &[-2, -1, 0, 1, i32::MAX as i64, i32::MIN as i64],
        ),
        ("count", &[-1, 0, 1, 2, 3, i32::MAX as i64]),
        ("crc", &[0]),
        ("length", &[0, 1, 48, 49, 60, 1000, -1]),
        ("magic", &[0, 1, 3, -1]),
        ("partitionLeaderEpoch", &[-2, 0, 1, i32::MAX as i64]),
        ("baseOffset", &[-1, 1, 7, i64::MAX, i64::MIN]),
    ]);
    batches[0][field] = json!(dice.pick(values));
    Some((field, json!(batches)))
}
