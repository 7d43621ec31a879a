//! The log for a person: a line a record, `03:45:38.475 WARN restarted actor=/replicas/orders-3 …`, in one write,
//! so that nothing else on the same terminal falls between.

use std::fmt::{Arguments, Write as _};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use slog::{Drain, KV, Key, Level, OwnedKVList, Record, Serializer};

/// Writes each record as a line.
pub(super) struct Lines<W> {
    out: Mutex<W>,
    is_coloured: bool,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W, is_coloured: bool) -> Self {
        Self {
            out: Mutex::new(out),
            is_coloured,
        }
    }
}

impl<W: Write> Drain for Lines<W> {
    type Ok = ();
    type Err = io::Error;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        let mut line = clock(at_ms);
        let level = record.level();
        let (level, message) = (level.as_short_str(), record.msg());
        let written = match colour(record.level()).filter(|_| self.is_coloured) {
            Some(colour) => {
                write!(
                    line,
                    " \x1b[{colour}m{level}\x1b[0m \x1b[1m{message}\x1b[0m"
                )
            }
            None => write!(line, " {level} {message}"),
        };
        written.expect("a string takes all that is written");
        for (key, value) in pairs(record, values)? {
            write!(line, " {key}={}", quoted(&value)).expect("a string takes all that is written");
        }
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(line.as_bytes())
    }
}

/// Number of the colour that a terminal shows a level in.
fn colour(level: Level) -> Option<u8> {
    match level {
        Level::Critical | Level::Error => Some(31),
        Level::Warning => Some(33),
        Level::Info => Some(32),
        Level::Debug | Level::Trace => None,
    }
}

/// What a record says, as written in the code, after the actor that says it.
fn pairs(record: &Record<'_>, values: &OwnedKVList) -> io::Result<Vec<(Key, String)>> {
    let mut said = Pairs::default();
    record.kv().serialize(record, &mut said)?;
    // The macros of slog give the last key first; the supervision log, which names its actor, does not.
    if said.0.first().is_none_or(|(key, _)| *key != "actor") {
        said.0.reverse();
    }
    let mut pairs = Pairs::default();
    values.serialize(record, &mut pairs)?;
    pairs.0.append(&mut said.0);
    pairs.0.sort_by_key(|(key, _)| match *key {
        "actor" => 0,
        "incarnation" => 1,
        _ => 2,
    });
    Ok(pairs.0)
}

#[derive(Default)]
struct Pairs(Vec<(Key, String)>);

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        self.0.push((key, value.to_string()));
        Ok(())
    }
}

/// A text of several words in quotes, and nothing in it that moves a cursor.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = text
        .chars()
        .all(|it| !it.is_whitespace() && !it.is_control() && it != '"');
    if is_plain && !text.is_empty() {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// Time of day in UTC, `HH:MM:SS.mmm`: what is read on a terminal is of these days.
pub(crate) fn clock(at_ms: u64) -> String {
    let second = at_ms / 1_000 % 86_400;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{hour:02}:{minute:02}:{:02}.{:03}",
        second % 60,
        at_ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use slog::{Logger, o};

    use super::*;

    /// Keeps each write for itself.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            self.0.lock().expect("not poisoned").push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The writes of what `log` logs, without the time.
    fn written(is_coloured: bool, log: impl FnOnce(&Logger)) -> Vec<String> {
        let writes = Writes::default();
        let drain = Lines::new(writes.clone(), is_coloured);
        log(&Logger::root(drain.fuse(), o!()));
        let writes = writes.0.lock().expect("not poisoned");
        let after_time = |line: &String| line.split_once(' ').expect("a time").1.to_owned();
        writes.iter().map(after_time).collect()
    }

    #[test]
    fn a_record_is_one_write_with_its_actor_first_and_its_keys_in_order() {
        let lines = written(false, |log| {
            let log = log.new(o!("incarnation" => 2, "actor" => "/replicas/orders-3"));
            slog::warn!(log, "log recovered"; "log_start" => 3, "log_end" => 7, "cause" => "torn tail");
        });
        let line = "WARN log recovered actor=/replicas/orders-3 incarnation=2 log_start=3 log_end=7 \
                    cause=\"torn tail\"\n";
        assert_eq!(lines, [line]);
    }

    #[test]
    fn only_a_terminal_is_sent_colours_and_no_value_moves_its_cursor() {
        for (is_coloured, expected) in [
            (false, "ERRO gone path=\"a\\u{1b}[2J\"\n"),
            (
                true,
                "\x1b[31mERRO\x1b[0m \x1b[1mgone\x1b[0m path=\"a\\u{1b}[2J\"\n",
            ),
        ] {
            let lines = written(is_coloured, |log| {
                slog::error!(log, "gone"; "path" => "a\x1b[2J");
            });
            assert_eq!(lines, [expected]);
        }
    }

    #[test]
    fn times_are_of_the_day() {
        assert_eq!(clock(86_400_000 + 3_661_007), "01:01:01.007");
    }
}
