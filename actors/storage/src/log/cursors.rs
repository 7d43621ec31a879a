//! Where readers stand: byte positions of offsets that were read up to, so that a reader who goes on
//! needs no index.

use kabuki_protocol::ids::Offset;

/// Positions remembered for one log, enough for as many consumers at different places; one more
/// reader than this costs index searches, nothing else.
const CURSORS_MAX: usize = 32;

/// Position of the batch that holds `offset`, or of the end of the segment where none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) offset: Offset,
    /// Segment it points into.
    pub(crate) base: Offset,
    pub(crate) position: u64,
}

/// The positions used last.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    /// Least recently used first.
    slots: Vec<Cursor>,
    /// Start of the newest append: where a reader at the end goes on.
    newest: Option<Cursor>,
}

impl Cursors {
    /// The position of `offset`, if it is known.
    pub(crate) fn find(&mut self, offset: Offset) -> Option<Cursor> {
        if let Some(at) = self
            .slots
            .iter()
            .rposition(|cursor| cursor.offset == offset)
        {
            let cursor = self.slots.remove(at);
            self.slots.push(cursor);
            return Some(cursor);
        }
        self.newest.filter(|cursor| cursor.offset == offset)
    }

    /// Remembers where a reader goes on.
    pub(crate) fn remember(&mut self, cursor: Cursor) {
        self.slots.retain(|slot| slot.offset != cursor.offset);
        if self.slots.len() == CURSORS_MAX {
            self.slots.remove(0);
        }
        self.slots.push(cursor);
    }

    /// Remembers where the newest append began.
    pub(crate) fn appended(&mut self, cursor: Cursor) {
        self.newest = Some(cursor);
    }

    /// Forgets positions in segments before `base`.
    pub(crate) fn forget_before(&mut self, base: Offset) {
        self.slots.retain(|cursor| cursor.base >= base);
        self.newest = self.newest.filter(|cursor| cursor.base >= base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(offset: i64) -> Cursor {
        Cursor {
            offset: Offset(offset),
            base: Offset(0),
            position: offset.unsigned_abs() * 10,
        }
    }

    #[test]
    fn the_least_recently_used_position_is_forgotten_first() {
        let mut cursors = Cursors::default();
        for offset in 0..CURSORS_MAX as i64 {
            cursors.remember(cursor(offset));
        }
        assert_eq!(cursors.find(Offset(0)), Some(cursor(0)));
        cursors.remember(cursor(1000));
        assert_eq!(
            cursors.find(Offset(0)),
            Some(cursor(0)),
            "was used just now"
        );
        assert_eq!(cursors.find(Offset(1)), None);
        assert_eq!(cursors.slots.len(), CURSORS_MAX);
    }

    #[test]
    fn positions_of_removed_segments_are_forgotten() {
        let mut cursors = Cursors::default();
        cursors.remember(cursor(5));
        cursors.appended(cursor(6));
        cursors.forget_before(Offset(1));
        assert_eq!(
            (cursors.find(Offset(5)), cursors.find(Offset(6))),
            (None, None)
        );
    }
}
