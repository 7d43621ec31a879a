//! Opening a log: torn tails are cut, corruption in the middle is told, indexes are written again.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::Offset;
use kabuki_storage::log::BadBatch;
use kabuki_storage::{FileSystem, Log, LogConfig, LogFault, PageCache};
use rig::{FIRST, Rig, bytes_of, dense, fill, log_file, spec};

#[test]
fn a_log_cut_at_any_byte_comes_back_with_the_whole_batches_before_it() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    fill(&rig, &mut opened, 5);
    rig.close(opened);
    let whole = rig.content(&log_file(0));
    let batch_bytes = whole.len() / 5;
    for cut in 0..whole.len() {
        rig.write(&log_file(0), &whole[..cut]);
        let recovered = rig.recover(0).unwrap();
        let kept = cut / batch_bytes;
        assert_eq!(
            recovered.log.log_end(),
            Offset(kept as i64 * 2),
            "cut at {cut}"
        );
        assert_eq!(recovered.report.cut_bytes as usize, cut % batch_bytes);
        assert_eq!(recovered.report.cut_at.is_some(), cut % batch_bytes != 0);
        assert_eq!(rig.content(&log_file(0)), whole[..kept * batch_bytes]);
    }
}

#[test]
fn garbage_behind_the_last_batch_is_cut() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    fill(&rig, &mut opened, 3);
    rig.close(opened);
    let whole = rig.content(&log_file(0));
    for garbage in [
        vec![0; 10_000],
        vec![2; 777],
        vec![0xff; 100],
        whole[..150].to_vec(),
    ] {
        rig.write(&log_file(0), &[&whole[..], &garbage[..]].concat());
        let recovered = rig.recover(0).unwrap();
        assert_eq!(recovered.log.log_end(), Offset(6));
        assert_eq!(recovered.report.cut_bytes as usize, garbage.len());
        assert_eq!(recovered.log.unflushed_bytes() as usize, whole.len());
    }
}

#[test]
fn a_flipped_bit_before_a_valid_batch_is_a_fault_and_cuts_nothing() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    fill(&rig, &mut opened, 4);
    rig.close(opened);
    let whole = rig.content(&log_file(0));
    let batch_bytes = whole.len() / 4;
    for at in 0..batch_bytes * 3 {
        // Leader epoch is outside of the checksum and any value is plausible.
        if (12..16).contains(&(at % batch_bytes)) {
            continue;
        }
        rig.write(&log_file(0), &whole);
        rig.fs.flip_bit(&rig.path(&log_file(0)), at as u64).unwrap();
        for page_cache in [PageCache::Kept, PageCache::MayBeLost] {
            let fault = Log::open(&rig.fs, rig.open_log(0, page_cache)).unwrap_err();
            let LogFault::CorruptBatch {
                position, offset, ..
            } = fault
            else {
                // The base offset is outside of the checksum too: a higher one is a gap.
                panic!("{fault} for a flip at {at}");
            };
            let bad = at / batch_bytes;
            assert!(
                (position as usize == bad * batch_bytes && offset == Offset(bad as i64 * 2))
                    || at % batch_bytes < 8,
                "flip at {at} was found at {position}, offset {offset}"
            );
        }
        assert_eq!(rig.content(&log_file(0)).len(), whole.len());
    }
}

#[test]
fn a_lost_page_is_a_torn_tail_after_a_crash_of_the_machine_and_corruption_without_one() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    for index in 0..6 {
        let large = rig::Spec {
            value_bytes: 5000,
            ..spec(index, 1)
        };
        rig.append(&mut opened, large.build()).unwrap();
    }
    rig.close(opened);
    let mut holed = rig.content(&log_file(0));
    holed[12_288..16_384].fill(0);
    rig.write(&log_file(0), &holed);
    let fault = rig.recover(0).unwrap_err();
    assert!(
        matches!(
            fault,
            LogFault::CorruptBatch {
                offset: Offset(2),
                ..
            }
        ),
        "{fault}"
    );
    let recovered = rig.recover_after_crash(0).unwrap();
    assert_eq!(recovered.log.log_end(), Offset(2));
    assert_eq!(recovered.report.cut_at, Some(Offset(2)));
}

#[test]
fn what_lies_before_the_recovery_point_is_not_read() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    fill(&rig, &mut opened, 6);
    rig.close(opened);
    let batch_bytes = rig.content(&log_file(0)).len() as u64 / 6;
    rig.fs
        .flip_bit(&rig.path(&log_file(0)), batch_bytes - 1)
        .unwrap();
    let recovered = rig.recover(8).unwrap();
    assert_eq!(recovered.log.log_end(), Offset(12));
    assert_eq!(recovered.report.scanned_bytes, 2 * batch_bytes);
    assert_eq!(recovered.report.cut_at, None);
    assert_eq!(recovered.log.recovery_point(), Offset(8));
    let clean = rig.recover(12).unwrap();
    assert_eq!(clean.report.scanned_bytes, 0);
    assert_eq!(clean.log.unflushed_bytes(), 0);
}

#[test]
fn a_log_that_ends_before_its_recovery_point_says_so() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    fill(&rig, &mut opened, 6);
    rig.close(opened);
    let whole = rig.content(&log_file(0));
    rig.write(&log_file(0), &whole[..whole.len() / 2 + 7]);
    let recovered = rig.recover(12).unwrap();
    assert_eq!(recovered.log.log_end(), Offset(6));
    assert_eq!(recovered.report.ends_before_recovery_point, Some(Offset(6)));
    assert_eq!(recovered.log.recovery_point(), Offset(6));
}

#[test]
fn indexes_are_rebuilt_as_they_were() {
    let config = LogConfig {
        segment_bytes: 2000,
        ..dense()
    };
    let rig = Rig::with_config(config);
    let mut opened = rig.open();
    fill(&rig, &mut opened, 60);
    let end = rig.close(opened);
    let indexes: Vec<String> = rig
        .names()
        .into_iter()
        .filter(|name| name.ends_with("index"))
        .collect();
    let originals: Vec<_> = indexes.iter().map(|name| rig.content(name)).collect();
    assert!(originals.iter().filter(|content| content.len() > 8).count() > 10);
    type Damage = fn(&[u8]) -> Option<Vec<u8>>;
    let damages: [Damage; 5] = [
        |_| None,
        |_| Some(Vec::new()),
        |original| Some(original[..original.len() / 2].to_vec()),
        |original| Some([original, &[0; 4096]].concat()),
        |original| Some(vec![0x7f; original.len()]),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        for (name, original) in indexes.iter().zip(&originals) {
            match damage(original) {
                Some(content) => rig.write(name, &content),
                None => rig.fs.remove_file(&rig.path(name)).unwrap(),
            }
        }
        // From the start all is scanned; from the middle half of the segments are only checked.
        let recovery_point = if number % 2 == 0 { 0 } else { end / 2 };
        let recovered = rig.recover(recovery_point).unwrap();
        assert_eq!(recovered.log.log_end().get(), end);
        rig.close(recovered.into());
        for (name, original) in indexes.iter().zip(&originals) {
            assert_eq!(&rig.content(name), original, "{name} after damage {number}");
        }
    }
}

#[test]
fn a_clean_restart_changes_no_file_and_reads_no_batch() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 3000,
        ..dense()
    });
    let mut opened = rig.open();
    fill(&rig, &mut opened, 40);
    let end = rig.close(opened);
    let names = rig.names();
    let contents: Vec<_> = names.iter().map(|name| rig.content(name)).collect();
    let steps = rig.fs.step_count();
    let recovered = rig.recover(end).unwrap();
    assert_eq!(recovered.report, Default::default());
    rig.close(recovered.into());
    assert_eq!(rig.fs.step_count(), steps, "something was written");
    assert_eq!(rig.names(), names);
    for (name, content) in names.iter().zip(contents) {
        assert_eq!(rig.content(name), content, "{name}");
    }
}

#[test]
fn appends_go_on_behind_what_was_recovered() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    fill(&rig, &mut opened, 7);
    drop(opened);
    rig.fs.kill();
    let mut opened = rig.open();
    fill(&rig, &mut opened, 7);
    let expected: Vec<u8> = (0..14)
        .flat_map(|i| bytes_of(&spec(i * 2, 2).build()))
        .collect();
    assert_eq!(rig.read_all(&mut opened.log, 0, 900), expected);
    let split = rig.content(&format!("{FIRST}.index"));
    rig.close(opened);
    let whole = Rig::with_config(dense());
    let mut opened = whole.open();
    fill(&whole, &mut opened, 14);
    whole.close(opened);
    assert!(whole.content(&format!("{FIRST}.index")).starts_with(&split));
    assert_eq!(
        rig.content(&format!("{FIRST}.index")),
        whole.content(&format!("{FIRST}.index"))
    );
}

#[test]
fn a_missing_segment_past_the_recovery_point_is_told_or_cut() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..dense()
    });
    let mut opened = rig.open();
    fill(&rig, &mut opened, 12);
    let bases: Vec<_> = opened
        .log
        .segments()
        .map(|segment| segment.base.get())
        .collect();
    assert!(bases.len() >= 4);
    drop(opened);
    rig.fs.remove_file(&rig.path(&log_file(bases[1]))).unwrap();
    let fault = rig.recover(0).unwrap_err();
    let LogFault::CorruptBatch {
        reason: BadBatch::Gap { expected, found },
        ..
    } = fault
    else {
        panic!("{fault}");
    };
    assert_eq!((expected.get(), found.get()), (bases[1], bases[2]));
    let recovered = rig.recover_after_crash(0).unwrap();
    assert_eq!(recovered.log.log_end().get(), bases[1]);
    assert_eq!(recovered.log.segments().count(), 1);
}
