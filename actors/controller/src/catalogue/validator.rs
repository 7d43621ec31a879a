//! Which values a key takes beyond its type: a range, or a choice of words.

use super::key::ConfigKind;

/// A rule in the tables' short form.
///
/// `any`; `1..` at least 1; `0..9` from 0 to 9 (both included); `-1|1..9` several ranges;
/// `{a,b}` one of these words (for a list: each entry); `replicas` a list of partition:broker pairs or `*`;
/// `reset` where a share group begins; `hosts` a list of host:count pairs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Validator {
    Any,
    Ranges(Vec<(f64, f64)>),
    Words(Vec<&'static str>),
    Replicas,
    Reset,
    Hosts,
}

impl Validator {
    /// Reads the short form.
    pub(crate) fn parse(text: &'static str) -> Option<Self> {
        if text == "any" {
            return Some(Self::Any);
        }
        if text == "replicas" {
            return Some(Self::Replicas);
        }
        if text == "hosts" {
            return Some(Self::Hosts);
        }
        if text == "reset" {
            return Some(Self::Reset);
        }
        if let Some(words) = text.strip_prefix('{') {
            let words = words.strip_suffix('}')?;
            return Some(Self::Words(words.split(',').collect()));
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
                let value = value.to_ascii_lowercase();
                check_word(&["true", "false"], &value)?;
                self.check_words(&value)
            }
            ConfigKind::Int => self.check_number(value.parse::<i32>().ok().map(f64::from), "int"),
            ConfigKind::Short => {
                self.check_number(value.parse::<i16>().ok().map(f64::from), "short")
            }
            // Bounds are small; the loss above 2^53 can not turn a value across one.
            ConfigKind::Long => {
                self.check_number(value.parse::<i64>().ok().map(|n| n as f64), "long")
            }
            ConfigKind::Double => self.check_number(parse_double(value), "double"),
            ConfigKind::List => self.check_list(value),
            ConfigKind::String | ConfigKind::Class | ConfigKind::Password => {
                self.check_words(value)
            }
        }
    }

    fn check_words(&self, value: &str) -> Result<(), String> {
        match self {
            Self::Words(words) => check_word(words, value),
            Self::Reset => check_reset(value),
            Self::Hosts if !value.is_empty() && !value.split(',').all(is_host_count) => {
                Err("must be a list of host:count pairs".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_number(&self, number: Option<f64>, kind: &str) -> Result<(), String> {
        let Some(number) = number else {
            return Err(format!("is not a number of type {kind}"));
        };
        let Self::Ranges(ranges) = self else {
            return Ok(());
        };
        // As in Kafka, what is no number is neither too small nor too large.
        let is_within = |(low, high): &(f64, f64)| (*low..=*high).contains(&number);
        if number.is_nan() || ranges.iter().any(is_within) {
            return Ok(());
        }
        let ranges: Vec<String> = ranges.iter().map(describe_range).collect();
        Err(format!("must be {}", ranges.join(" or ")))
    }

    fn check_list(&self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        let mut entries = value.split(',').map(str::trim);
        match self {
            Self::Words(words) => entries.try_for_each(|entry| check_word(words, entry)),
            Self::Replicas if value != "*" && !entries.all(is_replica) => {
                Err("must be * or a list of partition:broker pairs".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Entries of a list value, trimmed, empty ones left out.
pub(crate) fn list_entries(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// A floating-point number as Java reads it: a letter for its type may stand at its end.
pub(crate) fn parse_double(value: &str) -> Option<f64> {
    let digits = value.trim().trim_start_matches(['+', '-']);
    let is_word = ["NaN", "Infinity"].contains(&digits);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let number = match value.trim().strip_suffix(['f', 'F', 'd', 'D']) {
        Some(number) if is_number => number,
        _ => value.trim(),
    };
    number.parse().ok().filter(|_| is_number || is_word)
}

/// A floating-point number as Java writes it.
pub(crate) fn show_double(number: f64) -> String {
    let magnitude = number.abs();
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number.is_nan() || number == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, power)) if !digits.contains('.') => format!("{digits}.0E{power}"),
        _ => text,
    }
}

fn is_host_count(entry: &str) -> bool {
    let count = entry.rsplit_once(':').map(|(_, count)| count.trim());
    count.is_some_and(|count| count.parse::<i32>().is_ok())
}

fn is_replica(entry: &str) -> bool {
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    entry.is_empty()
        || entry
            .split_once(':')
            .is_some_and(|(left, right)| is_number(left) && is_number(right))
}

fn check_word(words: &[&str], value: &str) -> Result<(), String> {
    if words.contains(&value) {
        return Ok(());
    }
    Err(format!("must be one of {}", words.join(", ")))
}

/// `latest`, `earliest`, or a duration before now.
fn check_reset(value: &str) -> Result<(), String> {
    match value.split_once(':') {
        None if ["latest", "earliest"].contains(&value) => Ok(()),
        Some(("by_duration", duration)) if is_duration(duration) => Ok(()),
        _ => Err("must be latest, earliest or by_duration:PnDTnHnMn.nS".to_owned()),
    }
}

/// Whether `text` is an ISO 8601 duration of days and less that is not negative, `P1DT2H3M4.5S`.
fn is_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(parts) = text.strip_prefix('P') else {
        return false;
    };
    let (days, times) = match parts.split_once('T') {
        Some((days, times)) => (days, Some(times)),
        None => (parts, None),
    };
    let has_days = !days.is_empty();
    let is_time = times.is_none_or(|times| !times.is_empty() && holds_units(times, "HMS"));
    (has_days || times.is_some()) && (!has_days || holds_units(days, "D")) && is_time
}

/// Whether `text` is numbers with these units, in their order; a fraction only for seconds.
fn holds_units(mut text: &str, units: &str) -> bool {
    for unit in units.chars() {
        let Some((number, rest)) = text.split_once(unit) else {
            continue;
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) if unit == 'S' => (whole, fraction),
            Some(_) => return false,
            None => (number, ""),
        };
        if whole.is_empty() || whole.len() > 18 || !digits(whole) {
            return false;
        }
        if fraction.len() > 9 || !digits(fraction) {
            return false;
        }
        text = rest;
    }
    text.is_empty()
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
