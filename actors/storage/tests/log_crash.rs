//! Random work on a log, cut by a loss of power at a random step: what was flushed is there byte for
//! byte, what follows is a valid prefix of what was appended.
#![allow(clippy::unwrap_used)]

mod rig;

use std::ops::Range;

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::records::BatchHeader;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{
    FaultClass, Log, LogConfig, LogFault, ProducerBatch, ProducerLimits, ProducerTable,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rig::{NOW_MS, Opened, Rig, bytes_of, spec};

/// What a partition would have told its clients.
#[derive(Default)]
struct Promised {
    /// All batches appended, in order, with their first offset.
    batches: Vec<(i64, Vec<u8>)>,
    flushed_end: i64,
    /// As the checkpoint file of the log directory would have it.
    recovery_point: i64,
}

impl Promised {
    fn bytes_up_to(&self, end: i64) -> Vec<u8> {
        let batches = self.batches.iter().take_while(|(base, _)| *base < end);
        batches.flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Producers after the batches before `end`.
    fn producers_at(&self, end: i64) -> ProducerTable {
        let mut table = ProducerTable::new(ProducerLimits::default());
        for (base, bytes) in self.batches.iter().take_while(|(base, _)| *base < end) {
            let header = BatchHeader::parse(bytes).unwrap();
            drop(table.apply(&ProducerBatch::from(&header), Offset(*base)));
        }
        table
    }
}

fn config(dice: &mut StdRng) -> LogConfig {
    LogConfig {
        segment_bytes: dice.random_range(2_000..60_000),
        index_interval_bytes: dice.random_range(0..5_000),
        ..LogConfig::default()
    }
}

/// A leader takes an epoch, which is durable in the metadata log.
fn lead(opened: &mut Opened) {
    let epoch = opened
        .epochs
        .latest()
        .map_or(0, |latest| latest.epoch.get() + 1);
    opened
        .epochs
        .assign(LeaderEpoch(epoch), opened.log.log_end());
}

/// One step of a partition's life. An error means that the power is gone.
fn step(
    rig: &Rig,
    opened: &mut Opened,
    promised: &mut Promised,
    dice: &mut StdRng,
) -> Result<(), LogFault> {
    match dice.random_range(0..10) {
        0 => rig.flush(opened)?,
        1 => rig.checkpoint(opened)?,
        2 => lead(opened),
        3 => rig.sync_records(opened)?,
        _ => {
            let base = opened.log.log_end().get();
            let id = dice.random_range(0..3);
            let known = opened
                .producers
                .producers()
                .find(|known| known.producer_id.get() == id);
            let sequence = known.map_or(0, |known| known.last_sequence + 1);
            let write = rig::Spec {
                value_bytes: dice.random_range(0..9_000),
                epoch: opened
                    .epochs
                    .latest()
                    .map_or(0, |latest| latest.epoch.get()),
                producer: Some((id, 0, sequence)),
                ..spec(base, dice.random_range(1..4))
            };
            let write = write.build();
            promised.batches.push((base, bytes_of(&write)));
            rig.append(opened, write)?;
        }
    }
    promised.flushed_end = opened.log.log_end().get() - opened.log.unflushed_records();
    // The checkpoint file is written now and then, always after the flush and the epoch file.
    if dice.random_bool(0.3) {
        opened.log.epochs_job(&opened.epochs).run(&rig.fs)?;
        promised.recovery_point = opened.log.recovery_point().get();
    }
    Ok(())
}

fn check(rig: &Rig, opened: &mut Opened, promised: &mut Promised, what: &str) {
    let end = opened.log.log_end().get();
    assert!(
        end >= promised.flushed_end,
        "{what}: ends at {end}, {} flushed",
        promised.flushed_end
    );
    let expected = promised.bytes_up_to(end);
    assert!(
        rig.read_all(&mut opened.log, 0, 3_000) == expected,
        "{what}: other bytes up to {end}"
    );
    promised.batches.retain(|(base, _)| *base < end);
    let last = promised.batches.last();
    assert_eq!(
        last.map_or(0, |(_, bytes)| {
            BatchHeader::parse(bytes).unwrap().next_offset().get()
        }),
        end,
        "{what}: ends inside a batch"
    );
    for (base, bytes) in &promised.batches {
        let epoch = BatchHeader::parse(bytes).unwrap().partition_leader_epoch;
        assert_eq!(
            opened.epochs.epoch_for(Offset(*base)),
            Some(epoch),
            "{what}"
        );
    }
    let expected: Vec<_> = promised.producers_at(end).producers().collect();
    assert_eq!(
        opened.producers.producers().collect::<Vec<_>>(),
        expected,
        "{what}"
    );
}

/// Nothing but what belongs there lies in the directory.
fn check_files(rig: &Rig, what: &str) {
    let mut dumped = String::new();
    let options = kabuki_storage::log_dump::DumpOptions::default();
    let summary = kabuki_storage::log_dump::dump(&rig.fs, &rig.dir, options, &mut dumped).unwrap();
    assert_eq!(summary.errors, Vec::<String>::new(), "{what}");
}

fn live_and_crash(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let rig = Rig::with_config(config(&mut dice));
    let mut promised = Promised::default();
    let mut opened = rig.open();
    lead(&mut opened);
    for round in 0..4 {
        let what = format!("seed {seed}, round {round}");
        let is_machine = dice.random_bool(0.7);
        if is_machine {
            rig.fs.lose_power_after(dice.random_range(0..120));
        }
        for _ in 0..dice.random_range(1..60) {
            if step(&rig, &mut opened, &mut promised, &mut dice).is_err() {
                break;
            }
        }
        drop(opened);
        let recovered = if is_machine {
            rig.fs.crash(dice.random());
            rig.recover_after_crash(promised.recovery_point)
        } else {
            rig.fs.kill();
            promised.flushed_end = promised.batches.last().map_or(0, |(base, bytes)| {
                *base + i64::from(BatchHeader::parse(bytes).unwrap().last_offset_delta) + 1
            });
            rig.recover(promised.recovery_point)
        };
        let recovered = recovered.unwrap_or_else(|fault| panic!("{what}: {fault}"));
        opened = recovered.into();
        check(&rig, &mut opened, &mut promised, &what);
        check_files(&rig, &what);
        promised.flushed_end = opened.log.recovery_point().get();
        lead(&mut opened);
    }
    let end = rig.close(opened);
    let recovered = rig.recover(end).unwrap();
    assert_eq!(
        (
            recovered.report.scanned_bytes,
            recovered.report.replayed_batches
        ),
        (0, 0)
    );
}

/// `SEED=n` replays one, `SEEDS=n` tries so many.
fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(40),
    }
}

#[test]
fn what_was_flushed_survives_any_crash_and_the_rest_is_a_prefix() {
    for seed in seeds() {
        live_and_crash(seed);
    }
}

/// A life with a disk that refuses now and then, as a full one does, and is never crashed.
fn live_and_be_refused(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let rig = Rig::with_config(config(&mut dice));
    let mut promised = Promised::default();
    let mut opened = rig.open();
    lead(&mut opened);
    let mut refused_count = 0;
    for _ in 0..120 {
        if dice.random_bool(0.2) {
            let operation = Operation::CHANGES[dice.random_range(0..Operation::CHANGES.len())];
            let rule = FaultRule::fail(&rig.dir, &[operation], FaultClass::Full);
            let skip_count = dice.random_range(0..4);
            rig.fs
                .inject(rule.after(skip_count).times(dice.random_range(1..4)));
        }
        let capacity = dice.random_bool(0.1).then(|| dice.random_range(0..200_000));
        rig.fs.set_capacity(capacity);
        if let Err(fault) = step(&rig, &mut opened, &mut promised, &mut dice) {
            assert_eq!(fault.class(), FaultClass::Full, "seed {seed}: {fault}");
            refused_count += 1;
            let end = opened.log.log_end().get();
            promised.batches.retain(|(base, _)| *base < end);
        }
    }
    assert!(refused_count > 0, "seed {seed} met no refusal");
    rig.fs.heal_all();
    rig.fs.set_capacity(None);
    opened.log.epochs_job(&opened.epochs).run(&rig.fs).unwrap();
    promised.flushed_end = opened.log.log_end().get();
    let what = format!("seed {seed}, live");
    check(&rig, &mut opened, &mut promised, &what);
    drop(opened);
    rig.fs.kill();
    let mut opened = rig.recover(promised.recovery_point).unwrap().into();
    let what = format!("seed {seed}, opened again");
    check(&rig, &mut opened, &mut promised, &what);
    check_files(&rig, &what);
}

#[test]
fn a_refusing_disk_leaves_the_log_usable_and_every_accepted_batch_in_it() {
    for seed in seeds() {
        live_and_be_refused(seed);
    }
}

#[test]
fn a_creation_cut_at_any_step_can_be_repeated() {
    for cut in 0..40 {
        let rig = Rig::new();
        let dir = rig.dir.with_file_name("new-0");
        rig.fs.lose_power_after(cut);
        let created = Log::create(&rig.fs, &dir, rig::TOPIC_ID);
        rig.fs.crash(cut);
        let open = kabuki_storage::OpenLog {
            dir: dir.clone(),
            now_ms: NOW_MS,
            ..rig.open_log(0, kabuki_storage::PageCache::MayBeLost)
        };
        let opened = Log::open(&rig.fs, open.clone());
        if created.is_ok() {
            assert!(
                opened.is_ok(),
                "created, and gone after the crash: {opened:?}"
            );
        } else if let Err(fault) = opened {
            assert!(
                matches!(fault, LogFault::NoLog { .. }),
                "cut at {cut}: {fault}"
            );
            Log::create(&rig.fs, &dir, rig::TOPIC_ID).unwrap();
            assert_eq!(Log::open(&rig.fs, open).unwrap().log.log_end(), Offset(0));
        }
    }
}
