//! What the local log survives: power lost at every step, tails torn at every byte, decay, a full disk.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use kabuki_protocol::ids::ProducerId;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{Disk, FaultClass, FileSystem, OpenMode, SimFs};

use super::{CommitFault, LocalVoter, RecoveredLog, RecoveryFault, flatten};
use crate::image::MetadataImage;
use crate::records::{MetadataRecord, Records};
use crate::state::{apply, snapshot_records};

const ROOT: &str = "/data";
const LOG: &str = "/data/__cluster_metadata-0/00000000000000000000.log";

/// A disk on which the metadata directory itself is durable.
fn new_disk() -> (SimFs, Disk) {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(ROOT)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let disk = Disk::simulated(ROOT, fs.clone());
    (fs, disk)
}

fn recover(disk: &Disk) -> Result<(LocalVoter, RecoveredLog), RecoveryFault> {
    LocalVoter::recover(disk, "test-cluster", true)
        .wait()
        .unwrap()
}

/// A voter with the image it holds, as the controller keeps them.
struct Node {
    voter: LocalVoter,
    image: MetadataImage,
}

impl Node {
    fn start(disk: &Disk) -> Self {
        let (voter, log) = recover(disk).unwrap();
        Self {
            voter,
            image: log.image,
        }
    }

    /// Commits the `n`th batch: two records, of different lengths from batch to batch.
    fn commit(&mut self, n: i64) -> Result<(), CommitFault> {
        let records = batch(n);
        let base_offset = self.image.offset() + 1;
        flatten(self.voter.propose(base_offset, &records, ()).wait())?;
        records
            .iter()
            .for_each(|record| apply(&mut self.image, record).unwrap());
        Ok(())
    }

    fn compact(&self) -> bool {
        self.voter
            .compact(self.image.clone(), ())
            .wait()
            .unwrap()
            .is_ok()
    }
}

fn batch(n: i64) -> Records {
    let key = "x".repeat(1 + 7 * n as usize % 40);
    let resource = crate::records::RecordResource::DefaultBroker;
    let value = Some(n.to_string());
    vec![
        MetadataRecord::ConfigChanged {
            resource,
            key,
            value,
        },
        MetadataRecord::ProducerIdsReserved {
            next: ProducerId(n),
        },
    ]
}

/// The image after the first `count` batches.
fn image_after(count: i64) -> MetadataImage {
    let cluster_id = "test-cluster".to_owned();
    let mut image = MetadataImage::empty(&cluster_id);
    apply(&mut image, &MetadataRecord::ClusterFormatted { cluster_id }).unwrap();
    for n in 1..=count {
        batch(n)
            .iter()
            .for_each(|record| apply(&mut image, record).unwrap());
    }
    image
}

/// How many batches an image holds; it must equal that of as many batches.
fn batches_in(image: &MetadataImage) -> i64 {
    let count = image.offset() / 2;
    assert_eq!(image.offset(), count * 2, "half a batch was applied");
    assert_eq!(
        snapshot_records(image),
        snapshot_records(&image_after(count))
    );
    count
}

#[test]
fn what_was_committed_is_there_after_a_start() {
    let (fs, disk) = new_disk();
    let mut node = Node::start(&disk);
    for n in 1..=20 {
        node.commit(n).unwrap();
    }
    fs.kill();
    let mut node = Node::start(&disk);
    assert_eq!(batches_in(&node.image), 20);
    assert!(node.image.is_loaded());
    node.commit(21).unwrap();
    fs.crash(1);
    assert_eq!(batches_in(&Node::start(&disk).image), 21);
}

#[test]
fn the_log_works_on_a_real_file_system() {
    let dir = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let disk = Disk::real(dir.path(), kabuki_storage::DiskOptions::default()).unwrap();
        let mut node = Node::start(&disk);
        let found = batches_in(&node.image);
        assert_eq!(found, start * 10);
        for n in found + 1..=found + 10 {
            node.commit(n).unwrap();
        }
        assert!(node.compact());
    }
}

#[test]
fn no_loss_of_power_at_any_step_loses_a_committed_batch() {
    for compact_after in [0, 3] {
        for steps in 0..60 {
            for seed in 0..4 {
                lose_power(compact_after, steps, seed);
            }
        }
    }
}

/// Six batches, a snapshot after some of them, and power for so many steps only.
fn lose_power(compact_after: i64, steps: u64, seed: u64) {
    let (fs, disk) = new_disk();
    fs.lose_power_after(steps);
    let mut committed = 0;
    let mut proposed = 0;
    if let Ok((voter, log)) = recover(&disk) {
        let mut node = Node {
            voter,
            image: log.image,
        };
        for n in 1..=6 {
            proposed = n;
            if node.commit(n).is_err() {
                break;
            }
            committed = n;
            if n == compact_after {
                node.compact();
            }
        }
    }
    fs.crash(seed);
    let found = batches_in(&Node::start(&disk).image);
    let context = format!("compact after {compact_after}, {steps} steps, seed {seed}");
    assert!(
        found >= committed,
        "{found} of {committed} batches are left: {context}"
    );
    assert!(
        found <= proposed,
        "{found} batches, {proposed} were proposed: {context}"
    );
    // And the log is usable: what is committed now is there after the next crash.
    let mut node = Node::start(&disk);
    node.commit(found + 1).unwrap();
    fs.crash(seed + 100);
    assert_eq!(
        batches_in(&Node::start(&disk).image),
        found + 1,
        "{context}"
    );
}

/// The log of five batches.
fn five_batches() -> (Vec<u8>, Vec<usize>) {
    let (fs, disk) = new_disk();
    let mut node = Node::start(&disk);
    let read = || fs.read_whole(Path::new(LOG), 1 << 20).unwrap();
    let mut ends = vec![read().len()];
    for n in 1..=5 {
        node.commit(n).unwrap();
        ends.push(read().len());
    }
    (read(), ends)
}

/// A disk that holds just this log.
fn disk_with_log(bytes: &[u8]) -> (SimFs, Disk) {
    let (fs, disk) = new_disk();
    fs.create_dir_all(Path::new(LOG).parent().unwrap()).unwrap();
    let file = fs.open(Path::new(LOG), OpenMode::CreateNew).unwrap();
    file.write_at(0, &[IoSlice::new(bytes)]).unwrap();
    (fs, disk)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_the_last_whole_batch() {
    let (bytes, ends) = five_batches();
    for length in 0..=bytes.len() {
        let (_fs, disk) = disk_with_log(&bytes[..length]);
        let (_, log) = recover(&disk).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();
        let expected = whole.saturating_sub(1) as i64;
        assert_eq!(batches_in(&log.image), expected, "cut at {length}");
        assert_eq!(log.is_formatted, whole == 0);
        let kept = if whole == 0 { length } else { ends[whole - 1] };
        assert_eq!(log.cut_bytes, (length - kept) as u64);
    }
}

#[test]
fn damage_before_the_last_batch_ends_the_node_and_is_never_cut() {
    let (bytes, ends) = five_batches();
    let last = ends[ends.len() - 2];
    for position in 0..bytes.len() {
        let (fs, disk) = disk_with_log(&bytes);
        fs.flip_bit(Path::new(LOG), position as u64).unwrap();
        match recover(&disk) {
            // A flipped bit in the last batch can not be told from a torn write.
            Ok((_, log)) => {
                assert!(position >= last, "bit {position} was not seen");
                assert_eq!(batches_in(&log.image), 4);
            }
            Err(fault) => {
                assert!(position < last, "{fault}");
                assert!(
                    matches!(fault, RecoveryFault::Damaged { .. }),
                    "{position}: {fault}"
                );
                assert_eq!(
                    fs.read_whole(Path::new(LOG), 1 << 20).unwrap().len(),
                    bytes.len()
                );
            }
        }
    }
}

#[test]
fn a_batch_left_out_is_a_gap() {
    let (bytes, ends) = five_batches();
    let holed = [&bytes[..ends[1]], &bytes[ends[2]..]].concat();
    let (_fs, disk) = disk_with_log(&holed);
    let fault = recover(&disk).unwrap_err();
    assert!(
        matches!(
            fault,
            RecoveryFault::Gap {
                expected: 3,
                found: 5,
                ..
            }
        ),
        "{fault}"
    );
}

#[test]
fn a_full_disk_refuses_and_takes_changes_again_once_there_is_room() {
    let (fs, disk) = new_disk();
    let mut node = Node::start(&disk);
    node.commit(1).unwrap();
    let used = fs.read_whole(Path::new(LOG), 1 << 20).unwrap().len() as u64;
    for room in 0..60 {
        fs.set_capacity(Some(used + room));
        let Err(refused) = node.commit(2) else { break };
        assert!(matches!(
            refused,
            CommitFault::NotDone {
                class: FaultClass::Full,
                ..
            }
        ));
        // Refused means not there, also after a crash of process or machine.
        fs.kill();
        node = Node::start(&disk);
        assert_eq!(batches_in(&node.image), 1, "room for {room} bytes");
    }
    fs.set_capacity(None);
    let next = batches_in(&node.image) + 1;
    node.commit(next).unwrap();
    fs.crash(7);
    assert_eq!(batches_in(&Node::start(&disk).image), next);
}

#[test]
fn a_sync_that_finds_the_disk_full_refuses_and_takes_its_batch_back() {
    let (fs, disk) = new_disk();
    let mut node = Node::start(&disk);
    node.commit(1).unwrap();
    fs.inject(FaultRule::fail(LOG, &[Operation::SyncData], FaultClass::Full).times(1));
    let refused = node.commit(2).unwrap_err();
    assert!(matches!(
        refused,
        CommitFault::NotDone {
            class: FaultClass::Full,
            ..
        }
    ));
    fs.kill();
    let mut node = Node::start(&disk);
    assert_eq!(batches_in(&node.image), 1);
    node.commit(2).unwrap();
}

#[test]
fn a_read_only_disk_refuses_and_eio_leaves_the_outcome_open() {
    let cases = [
        (Operation::Write, FaultClass::ReadOnly, true),
        (Operation::Write, FaultClass::Denied, true),
        (Operation::Write, FaultClass::Io, false),
        (Operation::SyncData, FaultClass::Io, false),
        (Operation::SyncData, FaultClass::ReadOnly, false),
    ];
    for (operation, class, is_certain) in cases {
        let (fs, disk) = new_disk();
        let mut node = Node::start(&disk);
        let rule = fs.inject(FaultRule::fail(LOG, &[operation], class));
        let refused = node.commit(1).unwrap_err();
        assert_eq!(
            matches!(refused, CommitFault::NotDone { .. }),
            is_certain,
            "{refused:?}"
        );
        fs.heal(rule);
        if is_certain {
            node.commit(1).unwrap();
            fs.crash(3);
            assert_eq!(batches_in(&Node::start(&disk).image), 1);
        }
    }
}

#[test]
fn a_snapshot_replaces_the_log_before_it() {
    let (fs, disk) = new_disk();
    let mut node = Node::start(&disk);
    for n in 1..=4 {
        node.commit(n).unwrap();
    }
    let before = node.voter.bytes_since_snapshot();
    assert!(node.compact());
    assert!(node.voter.bytes_since_snapshot() < before);
    node.commit(5).unwrap();
    let names = || -> Vec<String> {
        let dir = PathBuf::from(LOG).parent().unwrap().to_owned();
        fs.list(&dir)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    };
    assert_eq!(
        names(),
        ["00000000000000000009.log", "00000000000000000009.snapshot"]
    );
    fs.crash(5);
    let mut node = Node::start(&disk);
    assert_eq!(batches_in(&node.image), 5);
    node.commit(6).unwrap();
    assert!(node.compact());
    assert_eq!(
        names(),
        ["00000000000000000013.log", "00000000000000000013.snapshot"]
    );
    assert_eq!(batches_in(&Node::start(&disk).image), 6);
}

#[test]
fn a_snapshot_that_can_not_be_written_leaves_the_log_as_it_is() {
    for operation in [
        Operation::Create,
        Operation::Rename,
        Operation::SyncDir,
        Operation::Remove,
    ] {
        let (fs, disk) = new_disk();
        let mut node = Node::start(&disk);
        for n in 1..=3 {
            node.commit(n).unwrap();
        }
        let rule = fs.inject(FaultRule::fail(ROOT, &[operation], FaultClass::Full));
        assert!(!node.compact(), "{operation:?}");
        node.commit(4).unwrap();
        fs.heal(rule);
        fs.crash(11);
        let mut node = Node::start(&disk);
        assert_eq!(batches_in(&node.image), 4, "{operation:?}");
        node.commit(5).unwrap();
        assert!(node.compact());
        fs.crash(12);
        assert_eq!(batches_in(&Node::start(&disk).image), 5, "{operation:?}");
    }
}

#[test]
fn a_damaged_snapshot_ends_the_node() {
    let (fs, disk) = new_disk();
    let mut node = Node::start(&disk);
    node.commit(1).unwrap();
    assert!(node.compact());
    let snapshot = "/data/__cluster_metadata-0/00000000000000000003.snapshot";
    fs.flip_bit(Path::new(snapshot), 30).unwrap();
    let fault = recover(&disk).unwrap_err();
    assert!(matches!(fault, RecoveryFault::Damaged { .. }), "{fault}");
}

#[test]
fn a_missing_log_beside_partitions_is_not_replaced() {
    let (_fs, disk) = new_disk();
    let fault = LocalVoter::recover(&disk, "test-cluster", false)
        .wait()
        .unwrap()
        .unwrap_err();
    assert!(matches!(fault, RecoveryFault::Missing { .. }), "{fault}");
}

#[test]
fn the_log_of_another_cluster_is_refused() {
    let (_fs, disk) = new_disk();
    drop(Node::start(&disk));
    let fault = LocalVoter::recover(&disk, "another", true)
        .wait()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(fault, RecoveryFault::ForeignCluster { .. }),
        "{fault}"
    );
}

#[test]
fn an_unreadable_log_ends_the_node() {
    let (fs, disk) = new_disk();
    drop(Node::start(&disk));
    fs.inject(FaultRule::fail(LOG, &[Operation::Read], FaultClass::Io));
    let fault = recover(&disk).unwrap_err();
    assert!(
        matches!(
            fault,
            RecoveryFault::Disk {
                operation: "read",
                ..
            }
        ),
        "{fault}"
    );
}
