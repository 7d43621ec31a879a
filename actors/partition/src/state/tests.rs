//! Claims about the state as a whole: appends with their sequences, refused writes, reads, look-ups.

use kabuki_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use kabuki_protocol::records::{AppendRules, BatchBuilder, CheckedBatch, Compression, check_batch};
use kabuki_storage::log::TimestampOffset;
use kabuki_storage::{EpochCache, ProducerLimits, ProducerTable};

use super::*;
use crate::messages::{Isolation, OffsetFound, OffsetTarget, ReadRefused, batch_fingerprint};

/// Those who wait are names here.
struct Names;

impl Tickets for Names {
    type Append = &'static str;
    type Watch = &'static str;
    type Trim = &'static str;
}

type State = PartitionState<Names>;

const NOW_MS: i64 = 1_700_000_000_000;

/// A state that leads in epoch 3 from offset 10 on, after epoch 1 from 0.
fn state_with(flush_messages: i64, poison: Poison) -> State {
    let mut epochs = EpochCache::default();
    epochs.assign(LeaderEpoch(1), Offset(0));
    let marks = Marks::recovered(Offset(4), Offset(10), Offset(10), 0, flush_messages);
    let producers = ProducerTable::new(ProducerLimits::default());
    let mut state = State::recovered(RecoveredParts {
        marks,
        epochs,
        stored_epoch: LeaderEpoch(1),
        producers,
        poison,
    });
    state.lead(LeaderEpoch(3));
    state
}

fn state() -> State {
    state_with(FLUSH_MESSAGES_NEVER, Poison::default())
}

fn batch(producer: Option<(i64, i16, i32)>, count: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(ProducerId(id), epoch, sequence);
    }
    for _ in 0..count {
        builder.push(NOW_MS, None, Some(b"value"), &[]);
    }
    let bytes = builder.build().unwrap();
    check_batch(Some(bytes), &AppendRules::default(), NOW_MS).unwrap()
}

fn offer(state: &mut State, producer: Option<(i64, i16, i32)>, count: usize, name: &'static str) {
    state.append(batch(producer, count), name).unwrap();
}

/// Decides on the next round; returns the base offsets to write and who is refused.
fn decide(state: &mut State) -> (Vec<i64>, Vec<(&'static str, AppendRefused)>) {
    let mut refused = Vec::new();
    match state.next_append_step(|_| false, |_| {}, &mut refused) {
        AppendStep::Write(writes) => {
            let bases = writes.iter().map(|write| write.base_offset.get());
            (bases.collect(), refused)
        }
        AppendStep::Idle => (Vec::new(), refused),
        AppendStep::Roll => panic!("no roll was due"),
    }
}

fn committed(state: &mut State) -> Vec<(&'static str, i64)> {
    std::iter::from_fn(|| state.take_committed())
        .map(|(name, appended)| (name, appended.base_offset.get()))
        .collect()
}

#[test]
fn epochs_are_stored_once_the_recovery_point_is_to_pass_a_record_of_theirs() {
    let mut state = state();
    assert_eq!(state.epochs_to_store(Offset(10)), None, "3 begins at 10");
    assert_eq!(
        state.epochs_to_store(Offset(11)).as_ref(),
        Some(&state.epochs)
    );
    state.epochs_stored(LeaderEpoch(3));
    assert_eq!(state.epochs_to_store(Offset(11)), None);
    assert_eq!(state.epochs_to_store(Offset(0)), None);
}

#[test]
fn batches_of_one_wake_up_get_consecutive_offsets_in_one_round() {
    let mut state = state();
    offer(&mut state, None, 3, "a");
    offer(&mut state, None, 2, "b");
    assert_eq!(decide(&mut state), (vec![10, 13], vec![]));
    assert_eq!(
        state.marks.written(),
        Offset(10),
        "nothing counts before it is written"
    );
    assert!(committed(&mut state).is_empty());
    state.wrote();
    assert_eq!(state.marks.high_watermark(), Offset(15));
    assert_eq!(committed(&mut state), [("a", 10), ("b", 13)]);
}

#[test]
fn a_resend_is_answered_with_the_original_offset_and_not_written() {
    let mut state = state();
    offer(&mut state, Some((7, 0, 0)), 3, "original");
    offer(&mut state, Some((7, 0, 3)), 1, "next");
    decide(&mut state);
    state.wrote();
    committed(&mut state);
    offer(&mut state, Some((7, 0, 0)), 3, "resent");
    assert_eq!(decide(&mut state), (vec![], vec![]));
    assert_eq!(committed(&mut state), [("resent", 10)]);
}

#[test]
fn a_resend_of_a_batch_of_the_same_round_stands_or_falls_with_it() {
    let mut state = state();
    offer(&mut state, Some((7, 0, 0)), 1, "original");
    offer(&mut state, Some((7, 0, 0)), 1, "resent");
    assert_eq!(decide(&mut state).0, [10]);
    assert_eq!(state.write_refused(), ["original", "resent"]);

    offer(&mut state, Some((7, 0, 0)), 1, "again");
    offer(&mut state, Some((7, 0, 0)), 1, "and again");
    assert_eq!(
        decide(&mut state).0,
        [10],
        "the refused round left no trace"
    );
    state.wrote();
    assert_eq!(committed(&mut state), [("again", 10), ("and again", 10)]);
}

#[test]
fn a_resend_waits_for_the_flush_of_its_original() {
    let mut state = state_with(1, Poison::default());
    offer(&mut state, Some((7, 0, 0)), 1, "original");
    decide(&mut state);
    state.wrote();
    offer(&mut state, Some((7, 0, 0)), 1, "resent");
    decide(&mut state);
    assert!(committed(&mut state).is_empty());
    let plan = state.marks.start_sync().unwrap();
    state.marks.finish_sync(plan);
    assert_eq!(committed(&mut state), [("original", 10), ("resent", 10)]);
}

#[test]
fn a_gap_in_the_sequences_is_refused_with_the_number_expected() {
    let mut state = state();
    offer(&mut state, Some((7, 0, 5)), 2, "first");
    offer(&mut state, Some((7, 0, 9)), 1, "gap");
    let (bases, refused) = decide(&mut state);
    assert_eq!(bases, [10], "a producer without state may begin anywhere");
    let expected = AppendRefused::OutOfOrderSequence {
        producer_id: ProducerId(7),
        sent: 9,
        expected: 7,
        log_start: Offset(4),
    };
    assert_eq!(refused, [("gap", expected)]);
}

#[test]
fn an_older_producer_epoch_is_refused() {
    let mut state = state();
    offer(&mut state, Some((7, 2, 0)), 1, "new");
    offer(&mut state, Some((7, 1, 1)), 1, "old");
    let (_, refused) = decide(&mut state);
    let expected = AppendRefused::InvalidProducerEpoch {
        producer_id: ProducerId(7),
        sent: 1,
        current: 2,
        log_start: Offset(4),
    };
    assert_eq!(refused, [("old", expected)]);
}

#[test]
fn a_round_ends_where_a_new_segment_is_needed() {
    let mut state = state();
    offer(&mut state, None, 1, "a");
    offer(&mut state, None, 1, "b");
    let one = batch(None, 1).bytes.len() as u64;
    let must_roll = |span: &BatchSpan| span.bytes > one;
    let step = state.next_append_step(must_roll, |_| {}, &mut Vec::new());
    assert!(matches!(step, AppendStep::Write(writes) if writes.len() == 1));
    state.wrote();
    let step = state.next_append_step(|_| true, |_| {}, &mut Vec::new());
    assert!(matches!(step, AppendStep::Roll));
    assert!(!state.has_no_appends(), "the batch waits for the roll");
}

#[test]
fn a_poisonous_batch_is_refused_untouched_and_the_others_are_not() {
    let bad = batch_fingerprint(&batch(Some((7, 0, 0)), 1));
    let mut state = state_with(
        FLUSH_MESSAGES_NEVER,
        Poison::from_crashes([bad, bad].into_iter()),
    );
    offer(&mut state, Some((7, 0, 0)), 1, "bad");
    offer(&mut state, None, 1, "good");
    let (bases, refused) = decide(&mut state);
    assert_eq!(bases, [10]);
    let poisonous = |state_suspect| AppendRefused::Poisonous {
        state_suspect,
        log_start: Offset(4),
    };
    assert_eq!(refused, [("bad", poisonous(true))]);
    state.wrote();
    offer(&mut state, Some((7, 0, 0)), 1, "bad");
    assert_eq!(decide(&mut state).1, [("bad", poisonous(false))]);
}

#[test]
fn after_a_crash_rounds_hold_one_batch() {
    let mut state = state_with(FLUSH_MESSAGES_NEVER, Poison::from_crashes([0].into_iter()));
    offer(&mut state, None, 1, "a");
    offer(&mut state, None, 1, "b");
    assert_eq!(decide(&mut state).0, [10]);
}

#[test]
fn a_degraded_log_refuses_appends_and_serves_reads() {
    let mut state = state();
    state.health.refused("no space".into(), Probe::Write, 1);
    let (_, why) = state.append(batch(None, 1), "a").unwrap_err();
    let cause = "no space".to_owned();
    assert_eq!(why, AppendRefused::Storage { cause });
    assert_eq!(
        read(&state, 5, -1, -1),
        Ok(ReadPlan::Files { up_to: Offset(10) })
    );
}

fn read(
    state: &State,
    fetch_offset: i64,
    leader_epoch: i32,
    last_fetched_epoch: i32,
) -> Result<ReadPlan, ReadRefused> {
    state.read(
        Offset(fetch_offset),
        LeaderEpoch(leader_epoch),
        LeaderEpoch(last_fetched_epoch),
        Isolation::ReadUncommitted,
    )
}

fn answer(state: &State, diverging: Option<(i32, i64)>) -> Result<ReadPlan, ReadRefused> {
    let diverging = diverging.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end)));
    Ok(ReadPlan::Answer(
        state.read_answer(bytes::Bytes::new(), diverging),
    ))
}

#[test]
fn reads_stay_between_log_start_and_high_watermark() {
    let mut state = state_with(1, Poison::default());
    offer(&mut state, None, 2, "unflushed");
    decide(&mut state);
    state.wrote();
    for (fetch_offset, is_in_range) in [(3, false), (4, true), (12, true), (13, false)] {
        assert_eq!(
            read(&state, fetch_offset, -1, -1).is_ok(),
            is_in_range,
            "{fetch_offset}"
        );
    }
    let up_to = Offset(10);
    assert_eq!(
        read(&state, 9, 3, -1),
        Ok(ReadPlan::Files { up_to }),
        "unflushed is not shown"
    );
    assert_eq!(read(&state, 10, 3, -1), answer(&state, None));
    assert_eq!(read(&state, 12, 3, -1), answer(&state, None));
}

#[test]
fn a_reader_that_went_another_way_is_told_where() {
    let state = state();
    assert_eq!(read(&state, 10, -1, 3), answer(&state, None));
    assert!(matches!(read(&state, 9, -1, 1), Ok(ReadPlan::Files { .. })));
    assert_eq!(read(&state, 11, -1, 1), answer(&state, Some((1, 10))));
    assert_eq!(read(&state, 9, -1, 2), answer(&state, Some((1, 10))));
    // An epoch nobody has heard of is out of range.
    assert!(matches!(
        read(&state, 9, -1, 4),
        Err(ReadRefused::OffsetOutOfRange { .. })
    ));
}

#[test]
fn look_ups_answer_what_a_reader_may_see() {
    let state = state();
    let find = |target| {
        state
            .find(target, Isolation::ReadUncommitted, LeaderEpoch(3))
            .unwrap()
    };
    let found = |offset, leader_epoch| {
        FindPlan::Answer(OffsetFound {
            offset: Offset(offset),
            timestamp: -1,
            leader_epoch: LeaderEpoch(leader_epoch),
        })
    };
    assert_eq!(find(OffsetTarget::Latest), found(10, 3));
    assert_eq!(find(OffsetTarget::Earliest), found(4, 1));
    assert_eq!(find(OffsetTarget::EarliestLocal), found(4, 1));
    assert_eq!(find(OffsetTarget::LatestTiered), found(-1, -1));
    let up_to = Offset(10);
    let timestamp = 5;
    assert_eq!(
        find(OffsetTarget::Timestamp(5)),
        FindPlan::Timestamp { timestamp, up_to }
    );

    let isolation = Isolation::ReadUncommitted;
    let seen = |offset| {
        Some(TimestampOffset {
            offset: Offset(offset),
            timestamp,
        })
    };
    assert_eq!(state.found(seen(9), isolation).leader_epoch, LeaderEpoch(1));
    assert_eq!(state.found(seen(10), isolation), OffsetFound::NONE);
    assert_eq!(
        state.found(seen(3), isolation),
        OffsetFound::NONE,
        "trimmed meanwhile"
    );
    assert_eq!(state.found(None, isolation), OffsetFound::NONE);
}

#[test]
fn the_end_of_an_epoch_is_the_start_of_the_next() {
    let state = state();
    let end = |epoch| {
        let end = state
            .find_epoch_end(LeaderEpoch(epoch), LeaderEpoch::NONE)
            .unwrap();
        (end.leader_epoch.get(), end.end_offset.get())
    };
    assert_eq!(end(1), (1, 10));
    assert_eq!(end(2), (1, 10));
    assert_eq!(end(3), (3, 10));
    assert_eq!(end(4), (-1, -1));
}

#[test]
fn a_trim_moves_the_log_start_and_the_epoch_that_spans_it() {
    let mut state = state();
    assert!(state.trimmed(Offset(8)));
    assert!(!state.trimmed(Offset(8)));
    assert!(read(&state, 7, -1, -1).is_err());
    let epoch = state.epochs.epoch_for(Offset(8));
    assert_eq!(epoch, Some(LeaderEpoch(1)));
}
