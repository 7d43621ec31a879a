//! The cache of leader epochs: assignment, lookups as OffsetForLeaderEpoch asks them, truncation, text.
#![allow(clippy::unwrap_used)]

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_storage::EpochCache;
use kabuki_storage::epochs::EpochFileRefused;

fn cache(entries: &[(i32, i64)]) -> EpochCache {
    let mut cache = EpochCache::default();
    for (epoch, start) in entries {
        assert!(cache.assign(LeaderEpoch(*epoch), Offset(*start)));
    }
    cache
}

fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
    cache
        .entries()
        .iter()
        .map(|entry| (entry.epoch.get(), entry.start.get()))
        .collect()
}

#[test]
fn an_epoch_that_got_no_record_gives_way_to_the_next() {
    let mut epochs = cache(&[(0, 0), (2, 10)]);
    epochs.assign(LeaderEpoch(4), Offset(10));
    assert_eq!(pairs(&epochs), [(0, 0), (4, 10)]);
    assert!(!epochs.assign(LeaderEpoch(4), Offset(15)), "known already");
    epochs.assign(LeaderEpoch(5), Offset(12));
    assert_eq!(pairs(&epochs), [(0, 0), (4, 10), (5, 12)]);
}

#[test]
fn lookups_follow_the_table() {
    let epochs = cache(&[(1, 5), (3, 10), (7, 20)]);
    // offset, epoch
    for (offset, epoch) in [
        (4, None),
        (5, Some(1)),
        (9, Some(1)),
        (10, Some(3)),
        (99, Some(7)),
    ] {
        assert_eq!(
            epochs.epoch_for(Offset(offset)),
            epoch.map(LeaderEpoch),
            "offset {offset}"
        );
    }
    // asked, answered epoch and end offset
    for (asked, answer) in [
        (-1, None),
        (-2, Some((-2, 5))),
        (0, Some((0, 5))),
        (1, Some((1, 10))),
        (2, Some((1, 10))),
        (3, Some((3, 20))),
        (6, Some((3, 20))),
        (7, Some((7, 33))),
        (8, None),
    ] {
        let found = epochs.end_offset_for(LeaderEpoch(asked), Offset(33));
        let found = found.map(|(epoch, end)| (epoch.get(), end.get()));
        assert_eq!(found, answer, "epoch {asked}");
    }
    assert_eq!(
        EpochCache::default().end_offset_for(LeaderEpoch(0), Offset(3)),
        None
    );
}

#[test]
fn truncation_at_either_end_keeps_what_is_left() {
    let mut epochs = cache(&[(1, 5), (3, 10), (7, 20)]);
    assert!(!epochs.truncate_from_end(Offset(21)));
    assert!(epochs.truncate_from_end(Offset(20)));
    assert_eq!(pairs(&epochs), [(1, 5), (3, 10)]);
    assert!(!epochs.truncate_from_start(Offset(4)));
    assert!(epochs.truncate_from_start(Offset(7)));
    assert_eq!(pairs(&epochs), [(1, 7), (3, 10)]);
    assert!(epochs.truncate_from_start(Offset(12)));
    assert_eq!(pairs(&epochs), [(3, 12)]);
    assert!(epochs.truncate_from_end(Offset(0)));
    assert_eq!(pairs(&epochs), []);
    assert!(!epochs.truncate_from_start(Offset(9)));
}

#[test]
fn the_text_is_kafkas_and_reads_back() {
    let epochs = cache(&[(0, 0), (4, 1234)]);
    assert_eq!(epochs.encode(), "0\n2\n0 0\n4 1234\n");
    assert_eq!(EpochCache::decode(&epochs.encode()), Ok(epochs));
    assert_eq!(EpochCache::decode("0\n0\n"), Ok(EpochCache::default()));
    for (text, refused) in [
        ("", EpochFileRefused::Version),
        ("1\n0\n", EpochFileRefused::Version),
        ("0\n", EpochFileRefused::Line { line: 2 }),
        (
            "0\n1\n",
            EpochFileRefused::Count {
                found: 0,
                announced: 1,
            },
        ),
        ("0\n1\n0 0 0\n", EpochFileRefused::Line { line: 3 }),
        ("0\n1\n-1 0\n", EpochFileRefused::Line { line: 3 }),
        ("0\n2\n1 5\n1 6\n", EpochFileRefused::Order { line: 4 }),
        ("0\n2\n1 5\n2 5\n", EpochFileRefused::Order { line: 4 }),
    ] {
        assert_eq!(EpochCache::decode(text), Err(refused), "{text:?}");
    }
}
