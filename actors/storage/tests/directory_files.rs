//! The small files of a log directory: Kafka's text forms, what is refused, and that a crash at any
//! step leaves the old or the new content.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;

use kabuki_protocol::ids::{NodeId, Offset, PartitionId, TopicId, TopicName};
use kabuki_storage::checkpoint::{self, Offsets};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{
    CleanShutdown, DirFault, DirKind, DirLock, FaultClass, FileSystem, Log, MetaProperties,
    OpenMode, RealFs, SimFs, dir_scan, replace_file,
};

const DIR: &str = "/data";

fn fs_with_dir() -> SimFs {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

fn put(fs: &SimFs, path: &str, content: &str) {
    let file = fs.open(Path::new(path), OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, &[IoSlice::new(content.as_bytes())])
        .unwrap();
}

fn text(fs: &SimFs, path: &str) -> String {
    String::from_utf8(fs.read_whole(Path::new(path), 10_000).unwrap()).unwrap()
}

fn partition(topic: &str, partition: i32) -> PartitionId {
    PartitionId::new(TopicName::new(topic).unwrap(), partition)
}

#[test]
fn a_crash_at_any_step_of_a_replacement_leaves_old_or_new() {
    let path = Path::new("/data/file");
    let prepared = || {
        let fs = fs_with_dir();
        replace_file(&fs, path, b"old content").unwrap();
        fs
    };
    let steps = {
        let fs = prepared();
        let before = fs.step_count();
        replace_file(&fs, path, b"new").unwrap();
        fs.step_count() - before
    };
    let mut outcomes = BTreeSet::new();
    for cut in 0..=steps {
        for seed in 0..30 {
            let fs = prepared();
            fs.lose_power_after(cut);
            let result = replace_file(&fs, path, b"new");
            fs.crash(seed);
            let content = fs.read_whole(path, 100).unwrap();
            assert!(
                content == b"old content" || content == b"new",
                "cut {cut} seed {seed}"
            );
            assert!(
                result.is_err() || content == b"new",
                "a finished replacement was lost"
            );
            outcomes.insert(content);
            // What the crash left of the replacement is no obstacle to the next.
            replace_file(&fs, path, b"next").unwrap();
            assert_eq!(fs.read_whole(path, 100).unwrap(), b"next");
        }
    }
    assert_eq!(outcomes.len(), 2);
}

#[test]
fn checkpoints_have_kafkas_text_form() {
    let fs = fs_with_dir();
    let path = Path::new("/data").join(checkpoint::RECOVERY_POINTS);
    assert_eq!(checkpoint::read(&fs, &path).unwrap(), Offsets::new());
    let offsets = Offsets::from([
        (partition("orders", 10), Offset(7)),
        (partition("a-b.c", 0), Offset(i64::MAX)),
    ]);
    checkpoint::write(&fs, &path, &offsets).unwrap();
    let expected = "0\n2\na-b.c 0 9223372036854775807\norders 10 7\n";
    assert_eq!(
        text(&fs, "/data/recovery-point-offset-checkpoint"),
        expected
    );
    assert_eq!(checkpoint::read(&fs, &path).unwrap(), offsets);
}

#[test]
fn a_checkpoint_that_does_not_add_up_is_refused_with_its_line() {
    let fs = fs_with_dir();
    for (content, line) in [
        ("", 1),
        ("1\n0\n", 1),
        ("0\n", 2),
        ("0\nx\n", 2),
        ("0\n2\norders 0 1\n", 2),
        ("0\n1\norders 0\n", 3),
        ("0\n1\norders 0 1 2\n", 3),
        ("0\n1\norders -1 1\n", 3),
        ("0\n1\norders 0 -1\n", 3),
        ("0\n1\nor/ders 0 1\n", 3),
    ] {
        put(&fs, "/data/c", content);
        match checkpoint::read(&fs, Path::new("/data/c")) {
            Err(DirFault::Malformed { line: at, .. }) => assert_eq!(at, line, "{content:?}"),
            other => panic!("{content:?} gave {other:?}"),
        }
    }
}

#[test]
fn meta_properties_survive_a_round_trip_and_kafkas_own_form() {
    let fs = fs_with_dir();
    let dir = Path::new(DIR);
    assert_eq!(MetaProperties::read(&fs, dir).unwrap(), None);
    let written = MetaProperties::for_new_directory("4L6g3nShT-eMCtK--X86sw".into(), NodeId(3));
    written.write(&fs, dir).unwrap();
    assert_eq!(
        MetaProperties::read(&fs, dir).unwrap(),
        Some(written.clone())
    );

    let id = TopicId(written.directory_id);
    let kafka = format!(
        "#\n#Mon Nov 23 10:00:00 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\n\
         directory.id={id}\nnode.id=3\nversion=1\n"
    );
    put(&fs, "/data/meta.properties", &kafka);
    assert_eq!(MetaProperties::read(&fs, dir).unwrap(), Some(written));
}

#[test]
fn meta_properties_without_a_usable_key_are_refused() {
    let fs = fs_with_dir();
    let whole = "version=1\ncluster.id=c\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAABQ\n";
    put(&fs, "/data/meta.properties", whole);
    MetaProperties::read(&fs, Path::new(DIR)).unwrap().unwrap();
    for (from, to) in [
        ("version=1", "version=0"),
        ("cluster.id=c", "cluster.id="),
        ("node.id=1", "node.id=one"),
        ("node.id=1", "node.id=-1"),
        ("directory.id=AAAAAAAAAAAAAAAAAAAABQ", ""),
        ("directory.id=AAAAAAAAAAAAAAAAAAAABQ", "directory.id=short"),
    ] {
        put(&fs, "/data/meta.properties", &whole.replace(from, to));
        let refused = MetaProperties::read(&fs, Path::new(DIR));
        assert!(
            matches!(refused, Err(DirFault::Malformed { .. })),
            "{to:?} gave {refused:?}"
        );
    }
}

#[test]
fn a_clean_shutdown_is_believed_once() {
    let fs = fs_with_dir();
    let dir = Path::new(DIR);
    assert_eq!(CleanShutdown::take(&fs, dir).unwrap(), None);
    let clean = CleanShutdown {
        broker_epoch: 7,
        unrecovered: BTreeSet::new(),
    };
    clean.write(&fs, dir).unwrap();
    assert_eq!(
        text(&fs, "/data/.kafka_cleanshutdown"),
        r#"{"version":0,"brokerEpoch":7}"#
    );
    assert_eq!(CleanShutdown::take(&fs, dir).unwrap(), Some(clean));
    for seed in 0..20 {
        fs.crash(seed);
        assert_eq!(
            CleanShutdown::take(&fs, dir).unwrap(),
            None,
            "seed {seed} brought it back"
        );
    }
}

#[test]
fn a_clean_shutdown_names_the_partitions_that_were_never_opened() {
    let fs = fs_with_dir();
    let dir = Path::new(DIR);
    let unrecovered = BTreeSet::from([partition("orders", 3), partition("a-b", 0)]);
    let clean = CleanShutdown {
        broker_epoch: -1,
        unrecovered,
    };
    clean.write(&fs, dir).unwrap();
    assert_eq!(CleanShutdown::take(&fs, dir).unwrap(), Some(clean));

    for damaged in [
        "",
        "{",
        r#"{"version":1,"brokerEpoch":7}"#,
        r#"{"version":0,"brokerEpoch":7,"unrecovered":["x"]}"#,
    ] {
        put(&fs, "/data/.kafka_cleanshutdown", damaged);
        assert_eq!(
            CleanShutdown::take(&fs, dir).unwrap(),
            None,
            "{damaged:?} was believed"
        );
        assert!(!fs.exists(&dir.join(".kafka_cleanshutdown")).unwrap());
    }
}

#[test]
fn a_log_directory_is_held_by_one() {
    let real = tempfile::tempdir().unwrap();
    let simulated = fs_with_dir();
    let cases: [(&dyn FileSystem, &Path); 2] =
        [(&RealFs, real.path()), (&simulated, Path::new(DIR))];
    for (fs, dir) in cases {
        let held = DirLock::take(fs, dir).unwrap();
        assert!(matches!(
            DirLock::take(fs, dir),
            Err(DirFault::Locked { .. })
        ));
        drop(held);
        DirLock::take(fs, dir).unwrap();
    }
}

#[test]
fn a_scan_sorts_what_lies_in_a_log_directory() {
    let fs = fs_with_dir();
    let id = TopicId::random();
    for name in [
        "orders-0",
        "a-delete-1",
        "no-id-0",
        "orders-1.0123456789abcdef0123456789abcdef-delete",
        "orders-2-stray",
        "orders-3.0123-future",
        "__cluster_metadata-0",
        "lost+found",
        "x-delete",
    ] {
        fs.create_dir_all(&Path::new(DIR).join(name)).unwrap();
    }
    for name in ["orders-0", "a-delete-1"] {
        Log::create(&fs, &Path::new(DIR).join(name), id).unwrap();
    }
    assert_eq!(
        text(&fs, "/data/orders-0/partition.metadata"),
        format!("version: 0\ntopic_id: {id}\n")
    );
    put(&fs, "/data/meta.properties", "");

    let scan = dir_scan::scan(&fs, Path::new(DIR)).unwrap();
    let kind_of = |name: &str| &scan.dirs.iter().find(|dir| dir.name == name).unwrap().kind;
    let found = |topic, number| DirKind::Partition {
        partition: partition(topic, number),
        topic_id: Ok(id),
    };
    assert_eq!(*kind_of("orders-0"), found("orders", 0));
    assert_eq!(*kind_of("a-delete-1"), found("a-delete", 1));
    assert!(matches!(
        kind_of("no-id-0"),
        DirKind::Partition {
            topic_id: Err(_),
            ..
        }
    ));
    let deleted = "orders-1.0123456789abcdef0123456789abcdef-delete";
    assert_eq!(*kind_of(deleted), DirKind::Deleted);
    assert_eq!(*kind_of("orders-2-stray"), DirKind::Stray);
    assert_eq!(*kind_of("orders-3.0123-future"), DirKind::Future);
    assert_eq!(*kind_of("__cluster_metadata-0"), DirKind::MetadataLog);
    assert_eq!(*kind_of("x-delete"), DirKind::Foreign);
    assert_eq!(scan.files, ["meta.properties"]);
    assert!(!scan.is_empty());
}

#[test]
fn one_partition_that_cannot_be_read_does_not_hide_the_others() {
    let fs = fs_with_dir();
    for name in ["a-0", "b-0"] {
        let dir = Path::new(DIR).join(name);
        Log::create(&fs, &dir, TopicId::random()).unwrap();
    }
    fs.inject(FaultRule::fail("/data/a-0", Operation::ALL, FaultClass::Io));
    let scan = dir_scan::scan(&fs, Path::new(DIR)).unwrap();
    let readable: Vec<bool> = scan
        .dirs
        .iter()
        .map(|dir| {
            matches!(
                dir.kind,
                DirKind::Partition {
                    topic_id: Ok(_),
                    ..
                }
            )
        })
        .collect();
    assert_eq!(readable, [false, true]);
}

#[test]
fn a_new_directory_counts_as_empty_after_a_start_that_failed() {
    let fs = fs_with_dir();
    let _lock = DirLock::take(&fs, Path::new(DIR)).unwrap();
    put(&fs, "/data/meta.properties.tmp", "vers");
    fs.create_dir_all(Path::new("/data/lost+found")).unwrap();
    assert!(dir_scan::scan(&fs, Path::new(DIR)).unwrap().is_empty());
}
