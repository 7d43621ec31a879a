//! Which values a key takes beyond its type: a range, or a choice of words.

use super::key::ConfigKind;

/// A rule in the tables' short form.
///
/// `any`; `1..` at least 1; `0..9` from 0 to 9 (both included); `-1|1..9` several ranges;
/// `{a,b}` one of these words (for a list: each entry); `{a,b}+` a list that may not be empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Validator {
    Any,
    Ranges(Vec<(f64, f64)>),
    Words {
        words: Vec<&'static str>,
        is_required: bool,
    },
}

impl Validator {
    /// Reads the short form.
    pub(crate) fn parse(text: &'static str) -> Option<Self> {
        if text == "any" {
            return Some(Self::Any);
        }
        if let Some(rest) = text.strip_prefix('{') {
            let (words, tail) = rest.split_once('}')?;
            return Some(Self::Words {
                words: words.split(',').collect(),
                is_required: tail == "+",
            });
        }
        let ranges = text
            .split('|')
            .map(parse_range)
            .collect::<Option<Vec<_>>>()?;
        Some(Self::Ranges(ranges))
    }

    /// Says what is wrong with `value`, or that nothing is.
    pub(crate) fn check(&self, kind: ConfigKind, value: &str) -> Result<(), String> {
        let value = value.trim();
        match kind {
            ConfigKind::Boolean => {
                let is_boolean = ["true", "false"]
                    .iter()
                    .any(|word| value.eq_ignore_ascii_case(word));
                return if is_boolean {
                    Ok(())
                } else {
                    Err("must be true or false".into())
                };
            }
            ConfigKind::Int => self.check_number(value.parse::<i32>().ok().map(f64::from), "int"),
            ConfigKind::Short => {
                self.check_number(value.parse::<i16>().ok().map(f64::from), "short")
            }
            // Bounds are small; the loss above 2^53 can not turn a value across one.
            ConfigKind::Long => {
                self.check_number(value.parse::<i64>().ok().map(|n| n as f64), "long")
            }
            ConfigKind::Double => {
                let number = value
                    .parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite());
                self.check_number(number, "double")
            }
            ConfigKind::List => self.check_list(value),
            ConfigKind::String | ConfigKind::Class | ConfigKind::Password => match self {
                Self::Words { words, .. } => check_word(words, value),
                _ => Ok(()),
            },
        }
    }

    fn check_number(&self, number: Option<f64>, kind: &str) -> Result<(), String> {
        let Some(number) = number else {
            return Err(format!("is not a number of type {kind}"));
        };
        let Self::Ranges(ranges) = self else {
            return Ok(());
        };
        if ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&number))
        {
            return Ok(());
        }
        let ranges: Vec<String> = ranges.iter().map(describe_range).collect();
        Err(format!("must be {}", ranges.join(" or ")))
    }

    fn check_list(&self, value: &str) -> Result<(), String> {
        let Self::Words { words, is_required } = self else {
            return Ok(());
        };
        let entries: Vec<&str> = list_entries(value).collect();
        if *is_required && entries.is_empty() {
            return Err("must not be empty".into());
        }
        entries
            .iter()
            .try_for_each(|entry| check_word(words, entry))
    }
}

/// Entries of a list value, trimmed, empty ones left out.
pub(crate) fn list_entries(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

fn check_word(words: &[&str], value: &str) -> Result<(), String> {
    if words.contains(&value) {
        return Ok(());
    }
    Err(format!("must be one of {}", words.join(", ")))
}

fn parse_range(text: &str) -> Option<(f64, f64)> {
    let Some((low, high)) = text.split_once("..") else {
        let only = text.parse().ok()?;
        return Some((only, only));
    };
    let high = if high.is_empty() {
        f64::INFINITY
    } else {
        high.parse().ok()?
    };
    Some((low.parse().ok()?, high))
}

fn describe_range((low, high): &(f64, f64)) -> String {
    if low == high {
        format!("{low}")
    } else if high.is_infinite() {
        format!("at least {low}")
    } else {
        format!("between {low} and {high}")
    }
}
