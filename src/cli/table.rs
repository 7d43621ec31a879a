//! Tables: lines around them on a terminal, bare columns in a pipe.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::CliError;

/// Which way a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// What is shown for "none" where a reader is to see at a glance who has any.
pub(super) const NONE: &str = "-";

/// The least that is left of a text which is cut.
const TEXT_MIN: usize = 12;

/// A table that is printed whole: in a pipe all of it, on a terminal so that no line is broken.
pub(super) struct Columns {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// A table with these headings.
    pub(super) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter();
        Self {
            columns: columns
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a line of as many values as there are headings.
    pub(super) fn row(&mut self, values: impl IntoIterator<Item = String>) {
        self.rows.push(values.into_iter().collect());
    }

    /// The table as text, each line ended, for a pipe or a terminal of that many characters a line.
    pub(super) fn text(mut self, terminal: Option<usize>) -> String {
        let mut table = Table::new();
        if let Some(characters_max) = terminal {
            self.fit(characters_max);
            table
                .load_preset(presets::UTF8_FULL_CONDENSED)
                .apply_modifier(UTF8_ROUND_CORNERS);
        } else {
            table.load_preset(presets::NOTHING);
        }
        let headings = self.columns.iter();
        table.set_header(headings.map(|(name, align)| cell(name, *align)));
        for row in &self.rows {
            let values = row.iter().zip(&self.columns);
            table.add_row(values.map(|(value, (_, align))| cell(value, *align)));
        }
        let lines = table.to_string();
        let trimmed = lines.lines().map(|line| format!("{}\n", line.trim_end()));
        trimmed.collect()
    }

    /// Prints the table.
    pub(super) fn print(self) -> Result<(), CliError> {
        print(&self.text(Terminal::of_output().map(|terminal| terminal.columns)))
    }

    /// Leaves out the columns in which nobody has anything, and whole ones from the end where not even
    /// cut texts would fit; then cuts texts, the last column first. The first column stays as it is.
    fn fit(&mut self, characters_max: usize) {
        for at in (1..self.columns.len()).rev() {
            if !self.rows.is_empty() && self.rows.iter().all(|row| row[at] == NONE) {
                self.remove(at);
            }
        }
        while self.columns.len() > 1 && self.characters(Self::width_cut) > characters_max {
            self.remove(self.columns.len() - 1);
        }
        for at in (1..self.columns.len()).rev() {
            let excess = self.characters(Self::width).saturating_sub(characters_max);
            let kept = self
                .width(at)
                .saturating_sub(excess)
                .max(self.width_cut(at));
            for row in &mut self.rows {
                row[at] = shortened(&row[at], kept);
            }
        }
    }

    fn remove(&mut self, at: usize) {
        self.columns.remove(at);
        for row in &mut self.rows {
            row.remove(at);
        }
    }

    /// Characters of the widest value of a column.
    fn width(&self, at: usize) -> usize {
        let heading = self.columns[at].0.chars().count();
        let values = self.rows.iter().map(|row| row[at].chars().count());
        values.fold(heading, usize::max)
    }

    /// What is left of a column when its texts are cut: numbers are not, nor is the first column.
    fn width_cut(&self, at: usize) -> usize {
        let width = self.width(at);
        match self.columns[at].1 {
            Align::Left if at > 0 => width.min(TEXT_MIN),
            _ => width,
        }
    }

    /// Characters of a line: each value with a space on both sides, between lines.
    fn characters(&self, width: fn(&Self, usize) -> usize) -> usize {
        let columns = 0..self.columns.len();
        columns.map(|at| width(self, at) + 3).sum::<usize>() + 1
    }
}

fn cell(value: &str, align: Align) -> Cell {
    // Whatever a broker says may not move the cursor.
    let shown: String = value
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    Cell::new(shown).set_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    })
}

/// Prints text as it is.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CliError::output)
}

/// The terminal that standard output is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    /// Characters in a line.
    pub(super) columns: usize,
    /// Lines.
    pub(super) rows: usize,
}

impl Terminal {
    /// `None` where standard output is no terminal.
    pub(super) fn of_output() -> Option<Self> {
        /// What terminals have that do not tell.
        const DEFAULT: Terminal = Terminal {
            columns: 80,
            rows: 24,
        };
        let out = io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(&out).ok();
        let told = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
        Some(told.map_or(DEFAULT, |size| Self {
            columns: usize::from(size.ws_col),
            rows: usize::from(size.ws_row),
        }))
    }
}

/// A text of at most `characters_max`, the last one an ellipsis where it was cut.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.chars().take(characters_max.saturating_sub(1));
            kept.chain(['…']).collect()
        }
    }
}

/// Numbers parted by commas.
pub(super) fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values
        .into_iter()
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// A time for a person: `420 ms`, `7.1 s`, `3 min 20 s`, `5 h 2 min`.
pub(super) fn duration_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_size() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (7_149, "7.1 s"),
            (200_000, "3 min 20 s"),
            (18_120_000, "5 h 2 min"),
        ] {
            assert_eq!(duration_ms(ms), text);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("short", 5), "short");
        assert_eq!(shortened("longer", 5), "long…");
        assert_eq!(shortened(&"ä".repeat(61), 60).chars().count(), 60);
    }

    #[test]
    fn what_a_broker_says_cannot_move_the_cursor() {
        let mut columns = Columns::new(&[("NAME", Align::Left)]);
        columns.row(["evil\u{1b}[2J\nname".to_owned()]);
        let text = columns.text(None);
        assert!(text.contains("evil [2J name"), "{text}");
    }

    /// A member that reads a partition, as `groups describe` shows it.
    fn member() -> Columns {
        let mut columns = Columns::new(&[
            ("TOPIC", Align::Left),
            ("LAG", Align::Right),
            ("MEMBER", Align::Left),
            ("INSTANCE", Align::Left),
            ("HOST", Align::Left),
        ]);
        let member = "app-5b7hUIFg-QI2Q-XIv7-y506-BA5b7hUIFgQI";
        let values = ["orders", "995", member, NONE, "/192.168.100.100"];
        columns.row(values.map(str::to_owned));
        columns
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_and_no_column_is_empty() {
        for (terminal, is_there, is_not) in [
            (
                200,
                &["BA5b7hUIFgQI", "/192.168.100.100"][..],
                &["INSTANCE", "…"][..],
            ),
            (76, &["BA5b7hUIFgQI", "/192.168.100.…"], &["INSTANCE"]),
            (
                48,
                &["app-5b7h", "/192.168.10…"],
                &["INSTANCE", "BA5b7hUIFgQI"],
            ),
            (30, &["orders", "995"], &["MEMBER", "HOST"]),
            (1, &["orders"], &["LAG"]),
        ] {
            let text = member().text(Some(terminal));
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(terminal.max(10)), "{terminal}: {text}");
            for part in is_there {
                assert!(
                    text.contains(part),
                    "{part} is missing at {terminal}: {text}"
                );
            }
            for part in is_not {
                assert!(!text.contains(part), "{part} at {terminal}: {text}");
            }
        }
    }

    #[test]
    fn a_pipe_is_given_all_columns_without_lines() {
        let text = member().text(None);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[..5], ["TOPIC", "LAG", "MEMBER", "INSTANCE", "HOST"]);
        assert_eq!(words[8..], [NONE, "/192.168.100.100"]);
    }
}
