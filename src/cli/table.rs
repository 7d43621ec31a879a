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

/// A table that is printed whole.
pub(super) struct Columns {
    table: Table,
    align: Vec<Align>,
}

impl Columns {
    /// A table with these headings.
    pub(super) fn new(columns: &[(&str, Align)]) -> Self {
        let mut table = Table::new();
        let is_terminal = io::stdout().is_terminal();
        if is_terminal {
            table
                .load_preset(presets::UTF8_FULL_CONDENSED)
                .apply_modifier(UTF8_ROUND_CORNERS);
        } else {
            table.load_preset(presets::NOTHING);
        }
        table.set_header(columns.iter().map(|(heading, align)| cell(heading, *align)));
        Self {
            table,
            align: columns.iter().map(|(_, align)| *align).collect(),
        }
    }

    /// Adds a line.
    pub(super) fn row(&mut self, values: impl IntoIterator<Item = String>) {
        let cells = values
            .into_iter()
            .zip(&self.align)
            .map(|(value, align)| cell(&value, *align));
        self.table.add_row(cells);
    }

    /// The table as text, each line ended.
    pub(super) fn text(&self) -> String {
        let lines = self.table.to_string();
        let trimmed = lines.lines().map(|line| format!("{}\n", line.trim_end()));
        trimmed.collect()
    }

    /// Prints the table.
    pub(super) fn print(&self) -> Result<(), CliError> {
        print(&self.text())
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

/// Characters in a line of the terminal that standard output is; `None` where it is none.
pub(super) fn terminal_columns() -> Option<usize> {
    /// What terminals have that do not tell.
    const COLUMNS_DEFAULT: usize = 80;
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_col));
    Some(if told == 0 { COLUMNS_DEFAULT } else { told })
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
        assert!(
            columns.text().contains("evil [2J name"),
            "{}",
            columns.text()
        );
    }
}
