//! Reads `schemas/kafka-4.3.txt`: which APIs Kafka advertises, and the layout of their messages.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use crate::{Stopped, read_text};

/// Versions in which something is there; empty when `first > last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

impl Versions {
    const NONE: Self = Self { first: 1, last: 0 };

    pub(crate) fn holds(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    pub(crate) fn both(self, other: Self) -> Self {
        Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        }
    }

    pub(crate) fn each(self) -> impl Iterator<Item = i16> {
        self.first..=self.last
    }
}

impl FromStr for Versions {
    type Err = Stopped;

    /// `none`, `4`, `4+` or `4-7`.
    fn from_str(text: &str) -> Result<Self, Stopped> {
        let number = |part: &str| {
            part.parse::<i16>()
                .map_err(|_| Stopped::because(format!("{text:?} is no range of versions")))
        };
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Self {
                first: number(first)?,
                last: i16::MAX,
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            first: number(first)?,
            last: number(last)?,
        })
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Text,
    Bytes,
    Records,
    Uuid,
    Struct,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_array: bool,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: Option<(u32, Versions)>,
    /// As Kafka writes it; `None` is the zero of the kind.
    pub(crate) default: Option<String>,
    pub(crate) fields: Vec<Field>,
}

impl Field {
    pub(crate) fn tag_in(&self, version: i16) -> Option<u32> {
        self.tag
            .filter(|(_, versions)| versions.holds(version))
            .map(|(tag, _)| tag)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) flexible: Versions,
    pub(crate) fields: Vec<Field>,
}

/// One API of Kafka: its key, the versions that Kafka 4.3 advertises, its messages.
#[derive(Debug, Clone)]
pub struct Api {
    /// `Metadata`, `Fetch` …
    pub name: String,
    /// The number on the wire.
    pub key: i16,
    pub(crate) advertised: Versions,
    pub(crate) request: Message,
    pub(crate) response: Message,
}

/// All APIs by name.
#[derive(Debug, Clone)]
pub struct Schemas {
    apis: BTreeMap<String, Api>,
}

impl Schemas {
    /// Reads the schemas below the folder of this crate.
    ///
    /// # Errors
    /// When a line is not of the form that the file's head describes.
    pub fn read(home: &Path) -> Result<Self, Stopped> {
        let path = home.join("schemas/kafka-4.3.txt");
        let text = read_text(&path)?;
        Self::parse(&text)
    }

    /// The API of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn api(&self, name: &str) -> Result<&Api, Stopped> {
        self.apis
            .get(name)
            .ok_or_else(|| Stopped::because(format!("no API is called {name}")))
    }

    /// Name of the API with this key.
    #[must_use]
    pub fn name_of(&self, key: i16) -> Option<&str> {
        let api = self.apis.values().find(|api| api.key == key)?;
        Some(&api.name)
    }

    fn parse(text: &str) -> Result<Self, Stopped> {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let mut lines = Lines { lines, next: 0 };
        let mut apis = BTreeMap::new();
        while let Some(line) = lines.take() {
            let words: Vec<&str> = line.split(' ').collect();
            let ["api", name, key, advertised] = words[..] else {
                return Err(bad(line));
            };
            let api = Api {
                name: name.to_owned(),
                key: key.parse().map_err(|_| bad(line))?,
                advertised: advertised.parse()?,
                request: lines.message("request flexible ")?,
                response: lines.message("response flexible ")?,
            };
            apis.insert(api.name.clone(), api);
        }
        Ok(Self { apis })
    }
}

fn bad(line: &str) -> Stopped {
    Stopped::because(format!("not a line of a schema: {line:?}"))
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let line = *self.lines.get(self.next)?;
        self.next += 1;
        Some(line)
    }

    fn message(&mut self, head: &str) -> Result<Message, Stopped> {
        let line = self.take().unwrap_or_default();
        let flexible = line.strip_prefix(head).ok_or_else(|| bad(line))?;
        Ok(Message {
            flexible: flexible.parse()?,
            fields: self.fields(2)?,
        })
    }

    fn fields(&mut self, indent: usize) -> Result<Vec<Field>, Stopped> {
        let mut fields = Vec::new();
        while let Some(line) = self.lines.get(self.next) {
            let text = line.trim_start();
            if line.len() - text.len() != indent {
                break;
            }
            self.next += 1;
            let mut field = field(text)?;
            field.fields = self.fields(indent + 2)?;
            fields.push(field);
        }
        Ok(fields)
    }
}

/// `name type versions [null versions] [tag N versions] [= default]`
fn field(line: &str) -> Result<Field, Stopped> {
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or_else(|| bad(line));
    let name = word()?.to_owned();
    let kind = word()?;
    let versions = word()?.parse()?;
    let is_array = kind.starts_with("[]");
    let mut field = Field {
        name,
        kind: kind_named(kind.trim_start_matches("[]")).ok_or_else(|| bad(line))?,
        is_array,
        versions,
        nullable: Versions::NONE,
        tag: None,
        default: None,
        fields: Vec::new(),
    };
    while let Ok(sort) = word() {
        match sort {
            "null" => field.nullable = word()?.parse()?,
            "tag" => {
                let tag = word()?.parse().map_err(|_| bad(line))?;
                field.tag = Some((tag, word()?.parse()?));
            }
            "=" => field.default = Some(word()?.to_owned()),
            _ => return Err(bad(line)),
        }
    }
    Ok(field)
}

fn kind_named(name: &str) -> Option<Kind> {
    Some(match name {
        "bool" => Kind::Bool,
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "uint16" => Kind::Uint16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float64" => Kind::Float64,
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "records" => Kind::Records,
        "uuid" => Kind::Uuid,
        "struct" => Kind::Struct,
        _ => return None,
    })
}
