//! The keys themselves, read once from the tables beside this file.
//!
//! A line of a table holds, parted by blanks: name, type, flags (`r` read at the start only, `s` sensitive,
//! `-` neither), default (`-` null, `""` empty), validator (see [`Validator`]), synonyms (`-` none; broker
//! keys in the order in which they are looked up, `*n` where their unit is n times larger); then ` | ` and
//! the documentation; then, for a key that does nothing on this node, ` | ` and why.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::validator::Validator;

/// Type of a key's value, with Kafka's codes of DescribeConfigs v3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits, signed.
    Int = 3,
    /// 16 bits, signed.
    Short = 4,
    /// 64 bits, signed.
    Long = 5,
    /// 64-bit floating point.
    Double = 6,
    /// Texts parted by commas.
    List = 7,
    /// Name of a Java class; kept as text, never loaded.
    Class = 8,
    /// Text that is never shown.
    Password = 9,
}

impl ConfigKind {
    /// Code in DescribeConfigs v3 and later.
    pub const fn code(self) -> i8 {
        self as i8
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "boolean" => Self::Boolean,
            "string" => Self::String,
            "int" => Self::Int,
            "short" => Self::Short,
            "long" => Self::Long,
            "double" => Self::Double,
            "list" => Self::List,
            "class" => Self::Class,
            "password" => Self::Password,
            _ => return None,
        })
    }
}

/// One configuration key.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: ConfigKind,
    /// Value where no layer sets one; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// Broker keys that are looked up where this one is not set.
    pub synonyms: Vec<Synonym>,
    /// Whether it is read at the start only.
    pub read_only: bool,
    /// Whether its value is never shown.
    pub sensitive: bool,
    /// What it does.
    pub documentation: &'static str,
    /// Why it does nothing on this node, or what it waits for; `None` for a key that has its effect.
    pub without_effect: Option<&'static str>,
    pub(crate) validator: Validator,
}

impl ConfigKey {
    /// Why setting the key to `value` does nothing; `None` where it has its effect, or is what holds
    /// anyway.
    pub fn idle_at(&self, value: &str) -> Option<&'static str> {
        let is_default = self.default.unwrap_or("") == value.trim();
        self.without_effect.filter(|_| !is_default)
    }
}

/// A broker key that stands in for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// How many of the other key's units one unit of this is; 1 but for hours and minutes.
    pub factor: i64,
}

/// All topic keys in the order of their names.
pub fn topic_keys() -> &'static [ConfigKey] {
    &TOPIC.keys
}

/// One topic key.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC.find(name)
}

/// All group keys in the order of their names.
pub fn group_keys() -> &'static [ConfigKey] {
    &GROUP.keys
}

/// One group key.
pub fn group_key(name: &str) -> Option<&'static ConfigKey> {
    GROUP.find(name)
}

/// All broker keys in the order of their names, Kafka's and Kabuki's (`kabuki.*`).
pub fn broker_keys() -> &'static [ConfigKey] {
    &BROKER.keys
}

/// One broker key.
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    BROKER.find(name)
}

/// Broker keys that Kafka can change while it runs and this broker can not: taking a value without
/// acting on it would promise protection that is not there.
const FIXED_PREFIXES: [&str; 6] = [
    "ssl.",
    "sasl.",
    "listeners",
    "listener.security.",
    "principal.",
    "config.providers",
];

/// A broker key of one listener: `listener.name.LISTENER.KEY`, where LISTENER is in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerKey<'a> {
    /// The listener.
    pub listener: &'a str,
    /// The key that it has a value of its own for.
    pub key: &'a str,
}

impl<'a> ListenerKey<'a> {
    /// Reads a name; `None` where it is no such key.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (listener, key) = name.strip_prefix("listener.name.")?.split_once('.')?;
        Some(Self { listener, key })
    }

    /// The name of a listener's own key.
    pub fn name(listener: &str, key: &str) -> String {
        format!("listener.name.{}.{key}", listener.to_lowercase())
    }

    /// Whether a listener may have a value of its own that does something here.
    pub fn has_effect(&self) -> bool {
        ["max.connections", "max.connection.creation.rate"].contains(&self.key)
    }
}

/// Whether a broker key holds its value until the next start of this node.
pub fn is_fixed(name: &str) -> bool {
    // A listener may have a value of its own for any key, as in Kafka, even where it does nothing.
    let of_all = ListenerKey::parse(name).map_or(name, |own| own.key);
    FIXED_PREFIXES
        .iter()
        .any(|prefix| of_all.starts_with(prefix))
        || broker_key(name).is_some_and(|key| key.read_only)
}

static TOPIC: LazyLock<Table> = LazyLock::new(|| Table::read(&[include_str!("topic_keys.txt")]));

static GROUP: LazyLock<Table> = LazyLock::new(|| Table::read(&[include_str!("group_keys.txt")]));

static BROKER: LazyLock<Table> = LazyLock::new(|| {
    Table::read(&[
        include_str!("broker_keys.txt"),
        include_str!("kabuki_keys.txt"),
    ])
});

struct Table {
    keys: Vec<ConfigKey>,
    by_name: HashMap<&'static str, usize>,
}

impl Table {
    fn read(texts: &[&'static str]) -> Self {
        let lines = texts.iter().flat_map(|text| text.lines());
        let mut keys: Vec<ConfigKey> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| parse_line(line).unwrap_or_else(|| panic!("bad line in the table: {line}")))
            .collect();
        keys.sort_unstable_by_key(|key| key.name);
        let by_name = keys
            .iter()
            .enumerate()
            .map(|(at, key)| (key.name, at))
            .collect();
        Self { keys, by_name }
    }

    fn find(&self, name: &str) -> Option<&ConfigKey> {
        self.by_name.get(name).map(|at| &self.keys[*at])
    }
}

fn parse_line(line: &'static str) -> Option<ConfigKey> {
    let (columns, words) = line.split_once(" | ")?;
    let (documentation, without_effect) = match words.split_once(" | ") {
        Some((documentation, why)) => (documentation, Some(why)),
        None => (words, None),
    };
    let mut columns = columns.split_ascii_whitespace();
    let name = columns.next()?;
    let kind = ConfigKind::parse(columns.next()?)?;
    let flags = columns.next()?;
    let default = match columns.next()? {
        "-" => None,
        "\"\"" => Some(""),
        value => Some(value),
    };
    let validator = Validator::parse(columns.next()?)?;
    let synonyms = match columns.next()? {
        "-" => Vec::new(),
        list => list.split(',').map(parse_synonym).collect::<Option<_>>()?,
    };
    columns.next().is_none().then_some(ConfigKey {
        name,
        kind,
        default,
        synonyms,
        read_only: flags.contains('r'),
        sensitive: flags.contains('s'),
        documentation,
        without_effect,
        validator,
    })
}

fn parse_synonym(text: &'static str) -> Option<Synonym> {
    match text.split_once('*') {
        Some((name, factor)) => Some(Synonym {
            name,
            factor: factor.parse().ok()?,
        }),
        None => Some(Synonym {
            name: text,
            factor: 1,
        }),
    }
}
