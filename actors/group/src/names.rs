//! Names that clients give or get: group ids, member ids, instance ids. Any text but a null is legal
//! here; the session refuses what Kafka refuses before a group hears of it.

use std::fmt;
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
    fn uuids_print_in_five_dashed_parts() {
        let bytes = std::array::from_fn(|at| at as u8);
        assert_eq!(dashed(bytes), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
