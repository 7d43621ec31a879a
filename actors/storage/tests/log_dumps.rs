//! What `kabuki log dump` prints of a directory, and what it finds wrong.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_storage::LogConfig;
use kabuki_storage::log_dump::{DumpOptions, DumpSummary, dump};
use rig::{Rig, spec};

fn filled() -> Rig {
    let config = LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 300,
        ..LogConfig::default()
    };
    let rig = Rig::with_config(config);
    let mut opened = rig.open();
    opened.epochs.assign(LeaderEpoch(0), Offset(0));
    opened.log.epochs_job(&opened.epochs).run(&rig.fs).unwrap();
    for index in 0..12 {
        let write = rig::Spec {
            producer: Some((5, 0, index * 2)),
            ..spec(i64::from(index) * 2, 2)
        };
        rig.append(&mut opened, write.build()).unwrap();
    }
    rig.close(opened);
    rig
}

fn dumped(rig: &Rig, name: &str, options: DumpOptions) -> (String, DumpSummary) {
    let mut text = String::new();
    let path = if name.is_empty() {
        rig.dir.clone()
    } else {
        rig.path(name)
    };
    let summary = dump(&rig.fs, &path, options, &mut text).unwrap();
    (text, summary)
}

#[test]
fn a_healthy_directory_has_no_errors_and_every_record() {
    let rig = filled();
    let (text, summary) = dumped(
        &rig,
        "",
        DumpOptions {
            batches: false,
            records: true,
        },
    );
    assert_eq!(summary.errors, Vec::<String>::new());
    assert_eq!((summary.batch_count, summary.record_count), (12, 24));
    for offset in 0..24 {
        assert!(text.contains(&format!(
            "    offset {offset} timestamp {offset} key \"key\""
        )));
    }
    assert!(
        text.contains("producer 5 epoch 0 last sequence 23"),
        "{text}"
    );
    assert!(text.contains("epoch 0 from offset 0"), "{text}");
    assert!(text.contains("topic id CQkJCQkJCQkJCQkJCQkJCQ"), "{text}");
}

#[test]
fn single_files_are_dumped_too() {
    let rig = filled();
    let (text, summary) = dumped(&rig, "00000000000000000000.index", DumpOptions::default());
    assert_eq!((summary.file_count, summary.errors.len()), (1, 0), "{text}");
    let (_, summary) = dumped(&rig, "00000000000000000000.log", DumpOptions::default());
    assert!(summary.batch_count > 1);
}

#[test]
fn whatever_is_damaged_is_told() {
    for (name, at) in [
        ("00000000000000000000.log", 100),
        ("00000000000000000000.index", 3),
        ("00000000000000000000.index", 7),
        ("00000000000000000000.timeindex", 7),
        ("00000000000000000000.timeindex", 9),
        ("00000000000000000024.snapshot", 30),
        ("leader-epoch-checkpoint", 0),
        ("partition.metadata", 9),
    ] {
        let rig = filled();
        rig.fs.flip_bit(&rig.path(name), at).unwrap();
        let (text, summary) = dumped(&rig, "", DumpOptions::default());
        assert!(!summary.errors.is_empty(), "{name} at {at}");
        assert!(summary.errors[0].starts_with(name), "{:?}", summary.errors);
        assert!(text.contains("WRONG"));
    }
}

#[test]
fn an_unused_end_of_zeros_is_no_error_in_an_index() {
    let rig = filled();
    for name in [
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
    ] {
        let longer = [rig.content(name), vec![0; 240]].concat();
        rig.write(name, &longer);
    }
    let (_, summary) = dumped(&rig, "", DumpOptions::default());
    assert_eq!(summary.errors, Vec::<String>::new());
}
