//! Space ahead of the log: how much, for whom, and that every end of a segment gives it back.
#![allow(clippy::unwrap_used)]

mod rig;

use std::path::Path;

use kabuki_protocol::ids::Offset;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem, LogConfig};
use rig::{NOW_MS, Opened, Rig, Spec, spec};

const MIB: u64 = 1024 * 1024;
const CAPACITY: u64 = 1024 * MIB;

/// A log that has grown to about `bytes`, on a disk with an end.
fn grown(bytes: u64) -> (Rig, Opened) {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 24 * MIB as u32,
        ..LogConfig::default()
    });
    rig.fs.set_capacity(Some(CAPACITY));
    let mut opened = rig.open();
    grow(&rig, &mut opened, bytes);
    (rig, opened)
}

fn grow(rig: &Rig, opened: &mut Opened, bytes: u64) {
    let end = opened.log.size_bytes() + bytes;
    while opened.log.size_bytes() < end {
        let batch = Spec {
            value_bytes: 256 * 1024,
            ..spec(opened.log.log_end().get(), 1)
        };
        rig.append(opened, batch.build()).unwrap();
    }
}

fn used_bytes(rig: &Rig) -> u64 {
    CAPACITY - rig.fs.space(Path::new("/data")).unwrap().usable_bytes
}

#[test]
fn a_small_segment_sets_nothing_aside_and_a_large_one_a_part_of_what_it_holds() {
    let (rig, mut opened) = grown(3 * MIB);
    assert!(opened.log.reserve_job().is_none());
    grow(&rig, &mut opened, 3 * MIB);
    let held = opened.log.size_bytes();
    opened.log.reserve_job().unwrap().run().unwrap();
    assert!(used_bytes(&rig) >= held + held / 4);
    assert!(used_bytes(&rig) < held + held / 4 + MIB / 2);
    assert_eq!(opened.log.size_bytes(), held, "the length stays");

    assert!(opened.log.reserve_job().is_none(), "enough for now");
    grow(&rig, &mut opened, MIB);
    assert!(opened.log.reserve_job().is_some(), "half of it is used up");
    grow(&rig, &mut opened, 14 * MIB);
    opened.log.reserve_job().unwrap().run().unwrap();
    assert!(opened.log.reserve_job().is_none(), "never beyond the roll");
    assert!(used_bytes(&rig) < 25 * MIB);
}

#[test]
fn a_roll_and_the_end_of_use_give_it_back() {
    for is_rolled in [true, false] {
        let (rig, mut opened) = grown(6 * MIB);
        opened.log.reserve_job().unwrap().run().unwrap();
        let held = opened.log.size_bytes();
        if is_rolled {
            let rolled = opened.log.roll_job(&opened.producers, NOW_MS);
            opened.log.install(rolled.run(&rig.fs).unwrap());
        } else {
            rig.close(opened);
        }
        assert!(used_bytes(&rig) < held + MIB / 2, "rolled: {is_rolled}");
        assert_eq!(rig.open().log.size_bytes(), held);
    }
}

#[test]
fn a_job_that_comes_after_the_roll_gives_back_what_it_set_aside() {
    let (rig, mut opened) = grown(6 * MIB);
    let late = opened.log.reserve_job().unwrap();
    let rolled = opened.log.roll_job(&opened.producers, NOW_MS);
    opened.log.install(rolled.run(&rig.fs).unwrap());
    late.run().unwrap();
    assert!(used_bytes(&rig) < opened.log.size_bytes() + MIB / 2);
}

#[test]
fn a_disk_that_refuses_it_takes_appends_as_before() {
    let (rig, mut opened) = grown(6 * MIB);
    let full = FaultRule::fail(&rig.dir, &[Operation::Allocate], FaultClass::Full);
    rig.fs.inject(full);
    assert!(opened.log.reserve_job().unwrap().run().is_err());
    grow(&rig, &mut opened, 20 * MIB);
    assert_eq!(opened.log.segments().count(), 2);
}

#[test]
fn a_crash_leaves_the_log_as_it_was() {
    for seed in 0..20 {
        let (rig, mut opened) = grown(6 * MIB);
        rig.flush(&mut opened).unwrap();
        let end = opened.log.log_end();
        opened.log.reserve_job().unwrap().run().unwrap();
        grow(&rig, &mut opened, MIB);
        drop(opened);
        rig.fs.crash(seed);
        let mut opened = Opened::from(rig.recover_after_crash(end.get()).unwrap());
        assert!(opened.log.log_end() >= end, "seed {seed}");
        let from = opened.log.log_end();
        grow(&rig, &mut opened, MIB);
        assert!(opened.log.log_end() > from);
        assert!(!rig.read_all(&mut opened.log, 0, 1 << 20).is_empty());
        assert_eq!(opened.log.log_start(), Offset(0));
    }
}
