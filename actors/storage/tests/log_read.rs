//! Reads of a log: whole batches, from the one that holds the offset, within the bounds.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::Offset;
use kabuki_storage::sim_fs::FaultRule;
use kabuki_storage::{LogConfig, ReadPlan};
use rig::{Rig, spans, spec};

/// Ten batches of three records, three to a segment.
fn filled() -> (Rig, rig::Opened) {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1500,
        ..LogConfig::default()
    });
    let mut opened = rig.open();
    for index in 0..10 {
        rig.append(&mut opened, spec(index * 3, 3).build()).unwrap();
    }
    assert!(opened.log.segments().count() > 2);
    (rig, opened)
}

#[test]
fn a_read_starts_with_the_batch_that_holds_the_offset() {
    let (rig, mut opened) = filled();
    for from in 0..30 {
        let bytes = rig.read(&mut opened.log, from, 30, 1 << 20, true);
        assert_eq!(spans(&bytes)[0].0, from / 3 * 3, "read from {from}");
    }
}

#[test]
fn a_read_never_passes_its_bound_and_never_cuts_a_batch() {
    let (rig, mut opened) = filled();
    for up_to in 0..=30 {
        for from in 0..up_to {
            let bytes = rig.read(&mut opened.log, from, up_to, 1 << 20, true);
            let last = spans(&bytes).last().map(|span| span.1);
            assert!(
                last.is_none_or(|last| last < up_to),
                "{from} to {up_to}: {last:?}"
            );
            if from / 3 * 3 + 3 <= up_to {
                assert!(last.is_some(), "{from} to {up_to} holds a whole batch");
            }
        }
    }
}

#[test]
fn one_batch_comes_even_if_it_is_larger_than_the_limit_but_only_when_asked() {
    let (rig, mut opened) = filled();
    for from in [0, 4, 15] {
        let one = rig.read(&mut opened.log, from, 30, 1, true);
        assert_eq!(spans(&one).len(), 1);
        assert!(rig.read(&mut opened.log, from, 30, 1, false).is_empty());
        let bytes_max = one.len() * 2 - 1;
        assert_eq!(
            spans(&rig.read(&mut opened.log, from, 30, bytes_max, false)).len(),
            1
        );
    }
}

#[test]
fn reading_on_needs_no_search_and_gives_every_byte_once() {
    let (rig, mut opened) = filled();
    let expected: Vec<u8> = (0..10)
        .flat_map(|index| rig::bytes_of(&spec(index * 3, 3).build()))
        .collect();
    for bytes_max in [1, 500, 1000, 1 << 20] {
        assert_eq!(rig.read_all(&mut opened.log, 0, bytes_max), expected);
    }
    let mut next = 0;
    while next < 30 {
        match opened
            .log
            .read(Offset(next), Offset(30), 500, true)
            .unwrap()
        {
            ReadPlan::Ready(bytes) => next = spans(&bytes).last().unwrap().1 + 1,
            other => panic!("{other:?} at {next}"),
        }
    }
}

#[test]
fn a_reader_at_the_end_gets_the_next_append_without_a_search() {
    let (rig, mut opened) = filled();
    assert!(matches!(
        opened.log.read(Offset(30), Offset(30), 500, true).unwrap(),
        ReadPlan::Empty
    ));
    rig.append(&mut opened, spec(30, 2).build()).unwrap();
    let plan = opened.log.read(Offset(30), Offset(32), 500, true).unwrap();
    assert!(matches!(plan, ReadPlan::Ready(_)), "{plan:?}");
}

#[test]
fn what_is_not_cached_is_read_in_the_pool() {
    let (rig, mut opened) = filled();
    let cached = rig.read_all(&mut opened.log, 0, 700);
    rig.fs.inject(FaultRule::not_cached(&rig.dir));
    assert!(matches!(
        opened.log.read(Offset(0), Offset(30), 700, true).unwrap(),
        ReadPlan::Pool(_)
    ));
    assert_eq!(rig.read_all(&mut opened.log, 0, 700), cached);
}

#[test]
fn offsets_that_compaction_removed_lead_to_the_batch_that_follows() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1500,
        ..LogConfig::default()
    });
    let mut opened = rig.open();
    for base in [0, 10, 500, 510, 2000, 2010, 9000] {
        rig.append(&mut opened, spec(base, 3).build()).unwrap();
    }
    for (from, expected) in [(3, 10), (13, 500), (502, 500), (1999, 2000), (2013, 9000)] {
        for _ in 0..2 {
            let bytes = rig.read(&mut opened.log, from, 10_000, 1 << 20, true);
            assert_eq!(spans(&bytes)[0].0, expected, "read from {from}");
        }
    }
}

#[test]
fn idle_logs_give_their_handles_back_and_read_on() {
    let (rig, mut opened) = filled();
    let before = rig.read_all(&mut opened.log, 0, 700);
    opened.log.release_files();
    assert_eq!(rig.read_all(&mut opened.log, 0, 700), before);
    rig.flush(&mut opened).unwrap();
    opened.log.release_files();
    rig.append(&mut opened, spec(30, 1).build()).unwrap();
    assert_eq!(
        rig.read_all(&mut opened.log, 30, 700),
        rig::bytes_of(&spec(30, 1).build())
    );
}

#[test]
fn a_damaged_index_costs_time_and_never_a_wrong_answer() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 8000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    });
    let mut opened = rig.open();
    for index in 0..60 {
        rig.append(&mut opened, spec(index * 3, 3).build()).unwrap();
    }
    let end = rig.close(opened);
    let indexes: Vec<_> = rig
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".index"))
        .collect();
    type Damage = fn(&mut [u8]);
    let damages: [Damage; 4] = [
        |bytes| bytes.fill(0),
        |bytes| bytes.fill(0x33),
        |bytes| bytes.reverse(),
        // Entries that rise, but lead past their batches and into the middle of others.
        |bytes| {
            bytes
                .iter_mut()
                .skip(7)
                .step_by(8)
                .for_each(|byte| *byte = byte.wrapping_add(77))
        },
    ];
    for damage in damages {
        let recovered = rig.recover(end).unwrap();
        let mut opened: rig::Opened = recovered.into();
        for name in &indexes {
            let mut content = rig.content(name);
            damage(&mut content);
            rig.write(name, &content);
        }
        for from in 0..end {
            let bytes = rig.read(&mut opened.log, from, end, 1, true);
            assert_eq!(spans(&bytes), [(from / 3 * 3, from / 3 * 3 + 2)]);
            opened.log.release_files();
        }
    }
}
