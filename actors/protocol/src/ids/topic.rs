//! Topic names and topic ids, in the text forms of Kafka's tools.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Longest topic name that Kafka accepts, in bytes: `<name>-<partition>.<32 hex>-delete` must fit
/// into the 255 bytes of a directory name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Random 128-bit identity of a topic: a topic deleted and created again under its name has another.
///
/// Printed and parsed as Kafka's tools do it, in base64url without padding (22 characters).
/// Source: KIP-516.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// The absent id.
    pub const ZERO: Self = Self([0; 16]);
    /// Kafka reserves 0…1 for the topic of its metadata log.
    pub const METADATA: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// A fresh random id (UUID version 4).
    ///
    /// Never starts with `-` when printed: command lines would take it for an option.
    pub fn random() -> Self {
        loop {
            let id = Self(*uuid::Uuid::new_v4().as_bytes());
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// True for the absent id.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The 16 bytes in wire order.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

impl FromStr for TopicId {
    type Err = TopicIdRefused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || TopicIdRefused {
            text: text.chars().take(64).collect(),
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        bytes.try_into().map(Self).map_err(|_| refused())
    }
}

/// A text that is no topic id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic id {text:?} is not 16 bytes of base64url without padding")]
pub struct TopicIdRefused {
    /// The text, cut at 64 characters.
    pub text: String,
}

/// A legal topic name: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`.
///
/// Cloning shares the text. It holds a copy, so it never keeps a request's buffer alive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Copies a name after checking it; the refusal says what is wrong in a form fit for a client.
    pub fn new(name: &str) -> Result<Self, TopicNameRefused> {
        if name.is_empty() {
            return Err(TopicNameRefused::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameRefused::Dots);
        }
        if name.len() > TOPIC_NAME_BYTES_MAX {
            return Err(TopicNameRefused::TooLong { bytes: name.len() });
        }
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.chars().find(|c| !is_legal(*c)) {
            Some(character) => Err(TopicNameRefused::IllegalCharacter { character }),
            None => Ok(Self(Arc::from(name))),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for TopicName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for TopicName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for TopicName {
    type Err = TopicNameRefused;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicNameRefused;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// Why a topic name is not legal; answered as `INVALID_TOPIC_EXCEPTION` (17).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameRefused {
    /// No character at all.
    #[error("topic name is empty")]
    Empty,
    /// `.` and `..` are directories to a file system.
    #[error("topic name is '.' or '..'")]
    Dots,
    /// Over [`TOPIC_NAME_BYTES_MAX`].
    #[error("topic name has {bytes} bytes, at most {TOPIC_NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Length that was asked for.
        bytes: usize,
    },
    /// Anything outside `[a-zA-Z0-9._-]`.
    #[error("topic name holds {character:?}, only a-z, A-Z, 0-9, '.', '_' and '-' are allowed")]
    IllegalCharacter {
        /// The first illegal character.
        character: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_id_prints_22_characters_and_parses_them_back() {
        for _ in 0..100 {
            let id = TopicId::random();
            let text = id.to_string();
            assert_eq!(text.len(), 22);
            assert!(!text.starts_with('-'));
            assert_eq!(text.parse::<TopicId>().unwrap(), id);
        }
        assert_eq!(TopicId::METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert!("AAAA".parse::<TopicId>().is_err());
        assert!("not base64 at all!".parse::<TopicId>().is_err());
    }

    #[test]
    fn topic_names_follow_kafkas_rules() {
        for legal in ["a", "orders", "A.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(TopicName::new(legal).unwrap().as_str(), legal);
        }
        assert_eq!(TopicName::new(""), Err(TopicNameRefused::Empty));
        assert_eq!(TopicName::new(".."), Err(TopicNameRefused::Dots));
        assert_eq!(
            TopicName::new(&"x".repeat(250)),
            Err(TopicNameRefused::TooLong { bytes: 250 })
        );
        for (name, character) in [
            ("a b", ' '),
            ("a/b", '/'),
            ("é", 'é'),
            ("a\u{fffd}", '\u{fffd}'),
        ] {
            let refused = TopicNameRefused::IllegalCharacter { character };
            assert_eq!(TopicName::new(name), Err(refused));
        }
    }
}
