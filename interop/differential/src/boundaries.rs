//! Requests made from a good one: each of its fields in turn at its bounds, frames that are not as they
//! should be, and faults in pairs. A step that asks for them stands for all of them.

use serde_json::{Value, json};

use crate::pairs;
use crate::patterns::matches;
use crate::schema::{Api, Field, Kind, Versions};
use crate::sequence::Step;
use crate::wire::to_hex;

/// Longer than any topic's name may be.
const LONG_NAME: usize = 250;

/// How long such a request is waited for: a broker that is busy answers sooner.
const PATIENCE_MS: u64 = 3_000;

/// An id that no topic has.
const UNKNOWN_ID: &str = "0123456789abcdef0123456789abcdef";

/// The steps that `step` stands for in a version: itself, unless it is a pattern for others.
/// `body` is what its sequence gives, `bytes` that as it goes on the wire.
pub(crate) fn steps_of(
    step: &Step,
    api: &Api,
    version: i16,
    body: &Value,
    bytes: &[u8],
) -> Vec<Step> {
    let message = &api.request;
    let mut cases = pairs::cases(&step.pairs);
    if step.boundaries {
        fields(&mut cases, &message.fields, version, "", body);
    }
    if step.frames {
        cases.extend(frames(message.flexible.holds(version), bytes));
        cases.extend(versions(api.advertised, version, bytes));
    }
    let made = cases.into_iter().map(|case| {
        let mut set = step.set.clone();
        set.extend(case.set);
        Step {
            set,
            patience_ms: step.patience_ms.or(Some(PATIENCE_MS)),
            keep: step.keep.clone(),
            connection: step.connection.clone(),
            body: step.body.clone(),
            ..case
        }
    });
    made.filter(|case| !step.except.iter().any(|name| matches(name, &case.name)))
        .collect()
}

fn fields(cases: &mut Vec<Step>, all: &[Field], version: i16, at: &str, body: &Value) {
    for field in all.iter().filter(|field| field.versions.holds(version)) {
        let at = format!("{at}/{}", field.name);
        let value = body.get(&field.name).unwrap_or(&Value::Null);
        let mut put = |at: &str, name: &str, value: Value| {
            cases.push(Step {
                name: format!("{} {name}", at[1..].replace('/', ".")),
                set: [(at.to_owned(), value)].into(),
                ..Step::default()
            });
        };
        if !field.is_array {
            bounds(field.kind, value, |name, bound| put(&at, name, bound));
            if field.kind == Kind::Struct && value.is_object() {
                fields(cases, &field.fields, version, &at, value);
            }
            continue;
        }
        put(&at, "null", Value::Null);
        put(&at, "empty", json!([]));
        let Some(first) = value.get(0) else {
            continue;
        };
        put(&at, "twice", json!([first, first]));
        let at = format!("{at}/0");
        if field.kind == Kind::Struct {
            fields(cases, &field.fields, version, &at, first);
        } else {
            bounds(field.kind, first, |name, bound| put(&at, name, bound));
        }
    }
}

/// What a value is changed to; not to what it is.
fn bounds(kind: Kind, value: &Value, mut put: impl FnMut(&str, Value)) {
    let mut numbers = |min: i64, max: i64| {
        for (name, bound) in [("0", 0), ("-1", -1), ("least", min), ("most", max)] {
            if value.as_i64() != Some(bound) {
                put(name, json!(bound));
            }
        }
    };
    match kind {
        Kind::Int8 => numbers(i8::MIN.into(), i8::MAX.into()),
        Kind::Int16 => numbers(i16::MIN.into(), i16::MAX.into()),
        Kind::Int32 => numbers(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 => numbers(i64::MIN, i64::MAX),
        Kind::Bool => put("turned", json!(value != &json!(true))),
        Kind::Text => {
            put("null", Value::Null);
            put("empty", json!(""));
            put("with a blank", json!("${t} b"));
            put("no text", json!("not UTF-8:${t}"));
            put("long", json!(format!("${{t}}{}", "a".repeat(LONG_NAME))));
            put("unknown", json!("${t}.none"));
        }
        Kind::Uuid => {
            put("zero", json!("zero"));
            put("unknown", json!(UNKNOWN_ID));
        }
        Kind::Bytes => {
            put("null", Value::Null);
            put("empty", json!(""));
        }
        Kind::Records => put("empty", json!([])),
        Kind::Uint16 | Kind::Float64 | Kind::Struct => {}
    }
}

/// Frames around a good body, or parts of it.
fn frames(is_flexible: bool, bytes: &[u8]) -> Vec<Step> {
    let mut cases = Vec::new();
    let mut put = |name: &str, step: Step| {
        cases.push(Step {
            name: name.to_owned(),
            ..step
        });
    };
    let raw = |bytes: &[u8]| Step {
        raw: Some(to_hex(bytes)),
        ..Step::default()
    };
    put("no body", raw(&[]));
    for quarters in 1..4 {
        let end = bytes.len() * quarters / 4;
        put(&format!("{quarters} quarters of it"), raw(&bytes[..end]));
    }
    put("bytes after it", raw(&[bytes, &[0xff; 9]].concat()));
    put("highest counts", raw(&[&[0x7f], &[0xff; 40][..]].concat()));
    put("counts of minus one", raw(&[0xff; 40]));
    if is_flexible && let Some((_, fields)) = bytes.split_last() {
        let tagged = |tags: &[u8]| raw(&[fields, tags].concat());
        put("an unknown tag", tagged(&[1, 99, 1, 7]));
        put("an unknown tag without a value", tagged(&[1, 99, 0]));
        put("a tag twice", tagged(&[2, 99, 1, 7, 99, 1, 7]));
        put("tags in disorder", tagged(&[2, 99, 1, 7, 98, 1, 7]));
        put("a tag that is too long", tagged(&[1, 99, 9, 7]));
        put("more tags than there are", tagged(&[9, 99, 1, 7]));
        put(
            "the highest count of tags",
            tagged(&[255, 255, 255, 255, 7]),
        );
        put(
            "a count of six bytes",
            tagged(&[255, 255, 255, 255, 255, 1]),
        );
    }
    let good = || raw(bytes);
    let head = |tags: &str| Step {
        head: Some(tags.to_owned()),
        ..good()
    };
    if is_flexible {
        put("a head without tags", head(""));
        put("an unknown tag in the head", head("01630107"));
        put("a tag twice in the head", head("02630107630107"));
        put("a head with too many tags", head("ffffffff07"));
    } else {
        put("a head with tags", head("00"));
    }
    let client = |id: &str| Step {
        client_id: Some(id.to_owned()),
        ..good()
    };
    put("no client", client(""));
    put("an empty client", client("hex:"));
    put("a client that is no text", client("hex:fffe"));
    put("a client with a blank", client("a b"));
    put("a long client", client(&"c".repeat(LONG_NAME)));
    cases
}

/// The newest and the oldest version under the numbers beside them.
fn versions(advertised: Versions, version: i16, bytes: &[u8]) -> Vec<Step> {
    let claims = [
        ("the version to come", advertised.last, advertised.last + 1),
        ("the highest version", advertised.last, i16::MAX),
        ("a negative version", advertised.last, -1),
        ("the version before", advertised.first, advertised.first - 1),
    ];
    let claims = claims.into_iter().filter(|(_, of, _)| *of == version);
    let steps = claims.map(|(name, _, claim)| Step {
        name: name.to_owned(),
        raw: Some(to_hex(bytes)),
        claim: Some(claim),
        ..Step::default()
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Message;

    fn names(cases: &[Step]) -> Vec<&str> {
        cases.iter().map(|case| case.name.as_str()).collect()
    }

    #[test]
    fn each_field_of_a_version_is_put_to_its_bounds() {
        let field = |name: &str, kind, fields| Field {
            name: name.to_owned(),
            kind,
            is_array: kind == Kind::Struct,
            versions: "0-3".parse().expect("a range"),
            nullable: "none".parse().expect("a range"),
            tag: None,
            default: None,
            fields,
        };
        let request = Message {
            flexible: "2+".parse().expect("a range"),
            fields: vec![
                field("count", Kind::Int16, vec![]),
                field(
                    "topics",
                    Kind::Struct,
                    vec![field("id", Kind::Uuid, vec![])],
                ),
            ],
        };
        let api = Api {
            name: String::new(),
            key: 1,
            advertised: "0-3".parse().expect("a range"),
            response: request.clone(),
            request,
        };
        let step = Step {
            boundaries: true,
            except: vec!["*null".to_owned()],
            ..Step::default()
        };
        let body = json!({"count": 0, "topics": [{}]});
        let cases = steps_of(&step, &api, 1, &body, &[]);
        assert_eq!(
            names(&cases),
            [
                "count -1",
                "count least",
                "count most",
                "topics empty",
                "topics twice",
                "topics.0.id zero",
                "topics.0.id unknown"
            ]
        );
        assert_eq!(cases[4].set["/topics"], json!([{}, {}]));
        assert!(steps_of(&step, &api, 4, &body, &[]).is_empty());
    }

    #[test]
    fn frames_have_tags_where_the_version_has_them() {
        assert!(!names(&frames(false, &[1, 2])).contains(&"an unknown tag"));
        assert!(names(&frames(true, &[1, 0])).contains(&"an unknown tag"));
    }
}
