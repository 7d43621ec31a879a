//! A log whose sync has failed: what the kernel may have dropped meanwhile is noticed before it is
//! written again or handed to a reader, and cut where nobody was told of it.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::Offset;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, Log, LogFault, PageCache, ReadPlan, Recovered};
use rig::{NOW_MS, Opened, Rig, bytes_of, spec};

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";

/// A log that was synced up to an offset; the sync of what follows has failed.
struct Failed {
    rig: Rig,
    synced_end: i64,
    synced_bytes: usize,
    /// All that was appended.
    written: Vec<u8>,
}

impl Failed {
    fn new(synced: i64, unsynced: i64) -> Self {
        let rig = Rig::new();
        let mut opened = rig.open();
        for base in 0..synced {
            rig.append(&mut opened, batch(base)).unwrap();
        }
        rig.sync_records(&mut opened).unwrap();
        for base in synced..synced + unsynced {
            rig.append(&mut opened, batch(base)).unwrap();
        }
        let rule = FaultRule::fail(rig.path(LOG), &[Operation::SyncData], FaultClass::Io);
        let rule = rig.fs.inject(rule);
        rig.sync_records(&mut opened).unwrap_err();
        rig.fs.heal(rule);
        let synced_bytes = (0..synced).map(|base| bytes_of(&batch(base)).len()).sum();
        let written = rig.content(LOG);
        Self {
            rig,
            synced_end: synced,
            synced_bytes,
            written,
        }
    }

    fn open(&self) -> Recovered {
        let synced_end = Offset(self.synced_end);
        let open = self.rig.open_log(0, PageCache::Doubtful { synced_end });
        Log::open(&self.rig.fs, open).unwrap()
    }

    fn drop_pages(&self) {
        self.rig.fs.drop_pages(&self.rig.path(LOG)).unwrap();
    }

    fn content(&self) -> Vec<u8> {
        self.rig.content(LOG)
    }

    /// What is on the medium.
    fn content_after_crash(&self) -> Vec<u8> {
        self.rig.fs.crash(0);
        self.content()
    }
}

fn batch(base: i64) -> kabuki_storage::BatchWrite {
    let mut spec = spec(base, 1);
    spec.value_bytes = 1_500;
    spec.build()
}

fn is_corrupt_at(fault: &LogFault, wanted: i64) -> bool {
    matches!(fault, LogFault::CorruptBatch { offset, .. } if offset.get() == wanted)
}

#[test]
fn a_tail_that_is_still_cached_is_written_again() {
    let failed = Failed::new(5, 300);
    let mut opened: Opened = failed.open().into();
    assert!(opened.log.is_tail_doubtful());
    failed.rig.flush(&mut opened).unwrap();
    assert!(!opened.log.is_tail_doubtful());
    assert_eq!(opened.log.recovery_point(), Offset(305));
    assert!(failed.content_after_crash() == failed.written);
    assert!(!failed.rig.content(INDEX).is_empty());
}

#[test]
fn pages_dropped_before_the_opening_are_cut_where_the_last_sync_ended() {
    let failed = Failed::new(5, 3);
    failed.drop_pages();
    let recovered = failed.open();
    assert_eq!(recovered.report.cut_at, Some(Offset(5)));
    assert_eq!(recovered.log.log_end(), Offset(5));
    let mut opened: Opened = recovered.into();
    failed.rig.flush(&mut opened).unwrap();
    assert!(failed.content_after_crash() == failed.written[..failed.synced_bytes]);
}

#[test]
fn pages_dropped_after_the_opening_are_noticed_when_they_are_written_again() {
    let failed = Failed::new(5, 3);
    let mut opened: Opened = failed.open().into();
    assert_eq!(opened.log.log_end(), Offset(8));
    failed.drop_pages();
    let fault = failed.rig.flush(&mut opened).unwrap_err();
    assert!(is_corrupt_at(&fault, 5), "{fault}");
    assert!(opened.log.is_tail_doubtful());

    let mut opened: Opened = failed.open().into();
    assert_eq!(opened.log.log_end(), Offset(5));
    failed.rig.flush(&mut opened).unwrap();
    failed.rig.append(&mut opened, batch(5)).unwrap();
    failed.rig.flush(&mut opened).unwrap();
    assert_eq!(
        failed.content_after_crash().len(),
        failed.synced_bytes + bytes_of(&batch(5)).len()
    );
}

#[test]
fn what_was_never_synced_is_cut_whatever_stands_in_its_place_and_behind_it() {
    let failed = Failed::new(5, 3);
    let damaged = failed.synced_bytes as u64 + 200;
    failed
        .rig
        .fs
        .flip_bit(&failed.rig.path(LOG), damaged)
        .unwrap();
    for page_cache in [PageCache::Kept, PageCache::MayBeLost] {
        let open = failed.rig.open_log(0, page_cache);
        let fault = Log::open(&failed.rig.fs, open).unwrap_err();
        assert!(
            is_corrupt_at(&fault, 5),
            "batches 6 and 7 are good: {fault}"
        );
    }
    assert_eq!(failed.open().log.log_end(), Offset(5));
    assert!(failed.content() == failed.written[..failed.synced_bytes]);
}

#[test]
fn damage_to_what_was_synced_is_not_cut() {
    let failed = Failed::new(5, 3);
    failed.rig.fs.flip_bit(&failed.rig.path(LOG), 200).unwrap();
    let synced_end = Offset(5);
    let open = failed.rig.open_log(0, PageCache::Doubtful { synced_end });
    let fault = Log::open(&failed.rig.fs, open).unwrap_err();
    assert!(is_corrupt_at(&fault, 0), "{fault}");
    assert_eq!(failed.content().len(), failed.written.len());
}

#[test]
fn a_block_of_synced_records_that_the_medium_lost_is_told_by_the_end_of_the_log() {
    let failed = Failed::new(5, 3);
    // The block in which the synced part ends: the write that failed was to it.
    let shared = failed.synced_bytes as u64;
    failed
        .rig
        .fs
        .lose_block(&failed.rig.path(LOG), shared)
        .unwrap();
    let recovered = failed.open();
    let end = recovered.log.log_end().get();
    assert!(end < 5, "the log ends at {end}");
    assert_eq!(recovered.report.cut_at, Some(Offset(end)));
}

#[test]
fn it_opens_for_readers_on_a_medium_that_still_fails_and_flushes_later() {
    let failed = Failed::new(5, 3);
    failed.drop_pages();
    // Entries of batches that are gone.
    failed.rig.write(INDEX, &[0, 0, 0, 7, 0, 0, 0, 9]);
    let rule = FaultRule::fail(
        "/",
        &[Operation::SyncData, Operation::SyncDir],
        FaultClass::Io,
    );
    let rule = failed.rig.fs.inject(rule);
    let mut opened: Opened = failed.open().into();
    failed.rig.flush(&mut opened).unwrap_err();
    assert_eq!(
        failed.rig.read_all(&mut opened.log, 0, 1 << 20).len(),
        failed.synced_bytes
    );
    failed.rig.fs.heal(rule);
    failed.rig.flush(&mut opened).unwrap();
    assert_eq!(failed.content_after_crash().len(), failed.synced_bytes);
}

#[test]
fn a_reader_is_never_handed_a_damaged_batch_of_a_doubtful_tail() {
    let failed = Failed::new(5, 3);
    let mut opened: Opened = failed.open().into();
    let damaged = failed.synced_bytes as u64 + 200;
    failed
        .rig
        .fs
        .flip_bit(&failed.rig.path(LOG), damaged)
        .unwrap();
    let before = failed.rig.read(&mut opened.log, 0, 8, 1 << 20, true);
    assert_eq!(
        before.len(),
        failed.synced_bytes,
        "what lies before it is good"
    );
    let read = opened.log.read(Offset(5), Offset(8), 1 << 20, true);
    let fault = match read {
        Err(fault) => fault,
        Ok(ReadPlan::Pool(job)) => job.run(&failed.rig.fs).unwrap_err(),
        Ok(plan) => panic!("{plan:?}"),
    };
    assert!(is_corrupt_at(&fault, 5), "{fault}");
}

#[test]
fn indexes_whose_pages_were_dropped_are_made_again() {
    let failed = Failed::new(5, 300);
    let mut opened: Opened = failed.open().into();
    failed.rig.flush(&mut opened).unwrap();
    let indexed = failed.rig.content(INDEX);

    let failed = Failed::new(5, 300);
    let mut opened: Opened = failed.open().into();
    failed
        .rig
        .fs
        .lose_block(&failed.rig.path(INDEX), 0)
        .unwrap();
    failed.rig.flush(&mut opened).unwrap();
    assert_eq!(failed.rig.content(INDEX), indexed);
    let up_to = opened.log.log_end();
    let flushed = opened.log.flush_job(NOW_MS).run(&failed.rig.fs).unwrap();
    assert_eq!(flushed.end, up_to);
    assert!(failed.content_after_crash() == failed.written);
    assert_eq!(failed.rig.content(INDEX), indexed);
}
