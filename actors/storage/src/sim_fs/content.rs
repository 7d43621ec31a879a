//! The bytes of one simulated file: what the page cache shows, what the device holds, and the changes
//! between the two that a crash may lose in part.

use rand::Rng;
use rand::rngs::StdRng;

/// Unit in which a device persists a write on its own; larger writes may survive with holes.
const PAGE_BYTES: u64 = 4096;

/// Content with a tail of zeros that takes no memory, as a preallocated index has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    bytes: Vec<u8>,
    length: u64,
}

/// One change that was not synced.
#[derive(Debug, Clone)]
enum Change {
    Write { position: u64, bytes: Vec<u8> },
    SetLength(u64),
}

/// A simulated file.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// What reads see.
    cached: Sparse,
    /// What is surely there after a crash.
    durable: Sparse,
    /// What leads from `durable` to `cached`, unless a failed sync dropped it.
    unsynced: Vec<Change>,
    /// Bytes set aside by `allocate`.
    reserved_bytes: u64,
    pub(super) modified_ms: i64,
}

impl Sparse {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { position, bytes } => {
                let start = usize::try_from(*position).expect("simulated files fit into memory");
                let end = start + bytes.len();
                if self.bytes.len() < end {
                    self.bytes.resize(end, 0);
                }
                self.bytes[start..end].copy_from_slice(bytes);
                self.length = self.length.max(end as u64);
            }
            Change::SetLength(length) => {
                let kept = usize::try_from(*length).unwrap_or(usize::MAX);
                self.bytes.truncate(kept);
                self.length = *length;
            }
        }
    }

    fn read(&self, position: u64, into: &mut [u8]) -> usize {
        let left = self.length.saturating_sub(position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let stored = &self.bytes[start..self.bytes.len().min(start.saturating_add(count))];
        into[..stored.len()].copy_from_slice(stored);
        into[stored.len()..count].fill(0);
        count
    }
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.cached.length
    }

    /// Bytes that count against the capacity: what was written or reserved, not the zeros of a
    /// length that was only set.
    pub(super) fn charged_bytes(&self) -> u64 {
        self.reserved_bytes.max(self.cached.bytes.len() as u64)
    }

    /// What [`Content::charged_bytes`] would be after a write up to `end`.
    pub(super) fn charged_after_write(&self, end: u64) -> u64 {
        self.charged_bytes().max(end)
    }

    pub(super) fn read(&self, position: u64, into: &mut [u8]) -> usize {
        self.cached.read(position, into)
    }

    pub(super) fn write(&mut self, position: u64, bytes: Vec<u8>) {
        self.change(Change::Write { position, bytes });
    }

    pub(super) fn set_length(&mut self, length: u64) {
        self.reserved_bytes = self.reserved_bytes.min(length);
        self.change(Change::SetLength(length));
    }

    pub(super) fn reserve(&mut self, bytes: u64) {
        self.reserved_bytes = self.reserved_bytes.max(bytes);
    }

    fn change(&mut self, change: Change) {
        self.cached.apply(&change);
        self.unsynced.push(change);
    }

    /// A successful fdatasync.
    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            self.durable.apply(&change);
        }
    }

    /// A failed fdatasync: the kernel marks the pages clean, so that no later sync writes them, while
    /// reads still see them.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Memory ran short and the clean pages were dropped: what the device holds is seen in their place.
    /// The length is kept elsewhere and stays.
    pub(super) fn drop_pages(&mut self) {
        let length = self.cached.length;
        self.cached = self.durable.clone();
        self.unsynced
            .iter()
            .for_each(|change| self.cached.apply(change));
        self.cached.apply(&Change::SetLength(length));
    }

    /// The device could not write one of its blocks and has lost what was there; it reads as zeros.
    pub(super) fn lose_block(&mut self, position: u64) {
        let start = position - position % PAGE_BYTES;
        for content in [&mut self.cached, &mut self.durable] {
            let left = content.length.saturating_sub(start).min(PAGE_BYTES);
            let bytes = vec![0; usize::try_from(left).expect("a page fits into memory")];
            let position = start;
            if left > 0 {
                content.apply(&Change::Write { position, bytes });
            }
        }
    }

    /// Flips the lowest bit of one byte, in the cache and on the device.
    pub(super) fn flip_bit(&mut self, position: u64) {
        let mut byte = [0];
        if self.read(position, &mut byte) == 1 {
            let flip = Change::Write {
                position,
                bytes: vec![byte[0] ^ 1],
            };
            self.cached.apply(&flip);
            self.durable.apply(&flip);
        }
    }

    /// What is left after a crash of the machine: the synced content, and of the changes since then
    /// what the dice say.
    pub(super) fn crash(&mut self, dice: &mut StdRng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let length_seen = self.cached.length;
        match dice.random_range(0..4) {
            0 => {}
            1 => unsynced
                .iter()
                .for_each(|change| self.durable.apply(change)),
            2 => {
                // In order up to a point, and that change torn at a byte.
                let kept_count = dice.random_range(0..=unsynced.len());
                unsynced[..kept_count]
                    .iter()
                    .for_each(|change| self.durable.apply(change));
                if let Some(Change::Write { position, bytes }) = unsynced.get(kept_count) {
                    let torn_at = dice.random_range(0..=bytes.len());
                    let bytes = bytes[..torn_at].to_vec();
                    self.durable.apply(&Change::Write {
                        position: *position,
                        bytes,
                    });
                }
            }
            _ => {
                for piece in unsynced.iter().flat_map(pages) {
                    if dice.random_bool(0.5) {
                        self.durable.apply(&piece);
                    }
                }
                // The length is metadata and may get there before the data: zeros are seen then.
                if length_seen > self.durable.length && dice.random_bool(0.5) {
                    self.durable.apply(&Change::SetLength(length_seen));
                }
            }
        }
        self.cached = self.durable.clone();
        self.reserved_bytes = 0;
    }
}

/// Cuts a change at the borders of pages, since each page of a write reaches the device on its own.
fn pages(change: &Change) -> Vec<Change> {
    let Change::Write { position, bytes } = change else {
        return vec![change.clone()];
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let at = position + start as u64;
        let room = usize::try_from(PAGE_BYTES - at % PAGE_BYTES).expect("a page fits into memory");
        let end = bytes.len().min(start + room);
        pieces.push(Change::Write {
            position: at,
            bytes: bytes[start..end].to_vec(),
        });
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn bytes_of(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(content.length()).unwrap()];
        assert_eq!(content.read(0, &mut bytes), bytes.len());
        bytes
    }

    #[test]
    fn synced_bytes_survive_every_crash_and_unsynced_ones_only_some() {
        let mut lengths_seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut content = Content::default();
            content.write(0, b"synced".to_vec());
            content.sync();
            content.write(6, b" and not".to_vec());
            content.crash(&mut StdRng::seed_from_u64(seed));
            let bytes = bytes_of(&content);
            assert_eq!(&bytes[..6], b"synced", "seed {seed}");
            lengths_seen.insert(bytes.len());
        }
        assert!(
            lengths_seen.contains(&6) && lengths_seen.contains(&14),
            "{lengths_seen:?}"
        );
        assert!(
            lengths_seen.len() > 3,
            "no write was torn: {lengths_seen:?}"
        );
    }

    #[test]
    fn a_page_of_a_large_write_can_be_lost_alone() {
        let is_holed = (0..200).any(|seed| {
            let mut content = Content::default();
            content.write(0, vec![7; 3 * 4096]);
            content.crash(&mut StdRng::seed_from_u64(seed));
            let bytes = bytes_of(&content);
            bytes.len() == 3 * 4096 && bytes[..4096] == [0; 4096] && bytes[4096] == 7
        });
        assert!(is_holed);
    }

    #[test]
    fn a_failed_sync_loses_the_bytes_although_reads_still_see_them() {
        let mut content = Content::default();
        content.write(0, b"lost".to_vec());
        content.fail_sync();
        content.sync();
        assert_eq!(bytes_of(&content), b"lost");
        content.crash(&mut StdRng::seed_from_u64(1));
        assert_eq!(content.length(), 0);
    }

    #[test]
    fn dropped_pages_show_what_the_device_holds_and_what_is_dirty() {
        let mut content = Content::default();
        content.write(0, b"synced ".to_vec());
        content.sync();
        content.write(7, b"failed ".to_vec());
        content.fail_sync();
        content.write(14, b"dirty".to_vec());
        content.drop_pages();
        assert_eq!(bytes_of(&content), b"synced \0\0\0\0\0\0\0dirty");
        content.lose_block(8);
        assert_eq!(bytes_of(&content), [0; 19]);
    }

    #[test]
    fn a_length_that_was_only_set_reads_as_zeros_and_costs_nothing() {
        let mut content = Content::default();
        content.set_length(10 << 20);
        content.write(8, vec![1]);
        let mut byte = [9; 4];
        assert_eq!(content.read(7, &mut byte), 4);
        assert_eq!(byte, [0, 1, 0, 0]);
        assert_eq!(content.charged_bytes(), 9);
        content.set_length(4);
        assert_eq!(content.read(0, &mut byte), 4);
        assert_eq!(content.read(4, &mut byte), 0);
    }
}
