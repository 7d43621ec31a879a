//! Parked fetches that want to be told when there is more to read: one wish for each session.

use std::collections::HashMap;

use kabuki_protocol::ids::Offset;

use crate::messages::WatcherId;

/// Wishes by watcher. An advance of the high watermark that interests nobody costs one comparison.
#[derive(Debug)]
pub(crate) struct Watchers<W> {
    by_id: HashMap<WatcherId, Wish<W>>,
    /// No wish is for an offset below this one; may be lower than the lowest after a removal.
    lowest_after: Offset,
}

#[derive(Debug)]
struct Wish<W> {
    after: Offset,
    ticket: W,
}

impl<W> Watchers<W> {
    pub(crate) fn new() -> Self {
        Self {
            by_id: HashMap::new(),
            lowest_after: Offset::MAX,
        }
    }

    /// Notes a wish; the earlier one of the same watcher is returned to be dropped.
    pub(crate) fn watch(&mut self, watcher: WatcherId, after: Offset, ticket: W) -> Option<W> {
        self.lowest_after = self.lowest_after.min(after);
        self.by_id
            .insert(watcher, Wish { after, ticket })
            .map(|earlier| earlier.ticket)
    }

    pub(crate) fn unwatch(&mut self, watcher: WatcherId) -> Option<W> {
        let wish = self.by_id.remove(&watcher)?;
        if self.by_id.is_empty() {
            self.lowest_after = Offset::MAX;
        }
        Some(wish.ticket)
    }

    /// Takes those who wait for an offset below the high watermark.
    pub(crate) fn take_reached(&mut self, high_watermark: Offset) -> Vec<W> {
        if high_watermark <= self.lowest_after {
            return Vec::new();
        }
        let reached = self.by_id.extract_if(|_, wish| wish.after < high_watermark);
        let tickets = reached.map(|(_, wish)| wish.ticket).collect();
        let afters = self.by_id.values().map(|wish| wish.after);
        self.lowest_after = afters.min().unwrap_or(Offset::MAX);
        tickets
    }

    /// Takes all, because what a fetch would be answered has changed.
    pub(crate) fn take_all(&mut self) -> Vec<W> {
        self.lowest_after = Offset::MAX;
        self.by_id.drain().map(|(_, wish)| wish.ticket).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_told_once_and_only_past_its_offset() {
        let mut watchers = Watchers::new();
        watchers.watch(WatcherId(1), Offset(10), "a");
        watchers.watch(WatcherId(2), Offset(12), "b");
        assert!(watchers.take_reached(Offset(10)).is_empty());
        assert_eq!(watchers.take_reached(Offset(11)), ["a"]);
        assert!(watchers.take_reached(Offset(12)).is_empty());
        assert_eq!(watchers.take_reached(Offset(20)), ["b"]);
        assert_eq!(watchers.len(), 0);
    }

    #[test]
    fn a_new_wish_replaces_the_old_one() {
        let mut watchers = Watchers::new();
        assert_eq!(watchers.watch(WatcherId(1), Offset(10), "old"), None);
        assert_eq!(watchers.watch(WatcherId(1), Offset(12), "new"), Some("old"));
        assert!(watchers.take_reached(Offset(12)).is_empty());
        assert_eq!(watchers.take_reached(Offset(13)), ["new"]);
    }

    #[test]
    fn who_left_is_not_told() {
        let mut watchers = Watchers::new();
        watchers.watch(WatcherId(1), Offset(10), "a");
        assert_eq!(watchers.unwatch(WatcherId(1)), Some("a"));
        assert_eq!(watchers.unwatch(WatcherId(1)), None);
        assert!(watchers.take_all().is_empty());
    }
}
