//! Names that clients give or get: group ids, member ids, instance ids. Any text but a null is legal
//! here; the session refuses what Kafka refuses before a group hears of it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::Arc;

/// Defines a shared text that cannot be taken for another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Copies the text, so that no request's buffer is kept alive.
            pub fn new(text: &str) -> Self {
                Self(Arc::from(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text_id! {
    /// `group.id` of a consumer.
    GroupId
}

text_id! {
    /// Identity of one incarnation of a member. Empty where a client has none yet.
    MemberId
}

text_id! {
    /// `group.instance.id`: identity of a static member that outlives its incarnations. Source: KIP-345.
    InstanceId
}

/// Longest name of an actor that is made of a group id alone.
const PATH_NAME_BYTES_MAX: usize = 160;

/// Names of groups as parts of actor paths: what is no letter, digit or one of `._-` is written `%2F`.
///
/// Two groups never have one name: short ids are told apart by their letters, long ones by a hash whose key
/// no client knows.
#[derive(Debug, Default)]
pub(crate) struct PathNames(RandomState);

impl PathNames {
    pub(crate) fn of(&self, group: &GroupId) -> String {
        let mut name = String::with_capacity(group.len());
        for byte in group.bytes() {
            if name.len() > PATH_NAME_BYTES_MAX {
                let hash = self.0.hash_one(group.as_str());
                name.push_str(&format!("~{hash:016x}"));
                break;
            }
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                    name.push(char::from(byte));
                }
                other => name.push_str(&format!("%{other:02X}")),
            }
        }
        match name.is_empty() {
            // The group of those who commit without a group id.
            true => "%".to_owned(),
            false => name,
        }
    }
}

/// Writes 16 random bytes as Java's `UUID.toString` does: the tail of a classic member's id.
pub(crate) fn dashed(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_path_name_of_its_own() {
        let names = PathNames::default();
        let long = |last: &str| format!("{}{last}", "é".repeat(200));
        let ids = [
            "",
            "%",
            "a/b",
            "a%2Fb",
            "orders-readers",
            ".",
            "\0",
            &long("1"),
            &long("2"),
        ];
        let named: Vec<String> = ids.iter().map(|id| names.of(&GroupId::new(id))).collect();
        assert_eq!(named[2], "a%2Fb");
        assert_eq!(named[3], "a%252Fb");
        assert_eq!(named[4], "orders-readers");
        let distinct: std::collections::BTreeSet<&String> = named.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for name in &named {
            assert!(
                !name.contains('/') && (1..200).contains(&name.len()),
                "{name}"
            );
            assert_eq!(
                *name,
                names.of(&GroupId::new(
                    ids[named.iter().position(|n| n == name).unwrap()]
                ))
            );
        }
    }

    #[test]
    fn uuids_print_in_five_dashed_parts() {
        let bytes = std::array::from_fn(|at| at as u8);
        assert_eq!(dashed(bytes), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
