//! What the simulated file system promises to those who test against it: what a crash takes, what it
//! leaves, and that every rule bites.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{Disk, DiskHealth, FaultClass, File, FileSystem, OpenMode, SimFs, classify};

fn create(fs: &SimFs, path: &str, content: &[u8]) -> Arc<dyn File> {
    let file = fs.open(Path::new(path), OpenMode::Create).unwrap();
    file.write_at(0, &[IoSlice::new(content)]).unwrap();
    file
}

fn names(fs: &SimFs, path: &str) -> Vec<String> {
    fs.list(Path::new(path))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

fn class_of<T: std::fmt::Debug>(result: std::io::Result<T>) -> FaultClass {
    classify(&result.unwrap_err())
}

#[test]
fn an_entry_that_was_not_synced_may_be_gone_although_its_bytes_were() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..50 {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/d")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        create(&fs, "/d/synced", b"1").sync_data().unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        create(&fs, "/d/file-only", b"2").sync_data().unwrap();
        fs.crash(seed);
        let names = names(&fs, "/d");
        assert!(
            names.contains(&"synced".to_owned()),
            "seed {seed} lost a synced entry"
        );
        outcomes.insert(names.len());
    }
    assert_eq!(outcomes, BTreeSet::from([1, 2]));
}

#[test]
fn a_rename_survives_whole_or_not_at_all() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..50 {
        let fs = SimFs::new();
        create(&fs, "/old", b"old").sync_data().unwrap();
        create(&fs, "/new", b"new").sync_data().unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        fs.rename(Path::new("/new"), Path::new("/old")).unwrap();
        fs.crash(seed);
        let content = fs.read_whole(Path::new("/old"), 10).unwrap();
        let is_there = fs.exists(Path::new("/new")).unwrap();
        assert_eq!(is_there, content == b"old", "seed {seed}");
        outcomes.insert(content);
    }
    assert_eq!(outcomes.len(), 2);
}

#[test]
fn a_directory_synced_elsewhere_does_not_make_an_entry_durable() {
    let is_lost = (0..50).any(|seed| {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/a")).unwrap();
        fs.create_dir_all(Path::new("/b")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        create(&fs, "/a/file", b"x");
        fs.sync_dir(Path::new("/b")).unwrap();
        fs.crash(seed);
        names(&fs, "/a").is_empty()
    });
    assert!(is_lost);
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let disk_after = |seed| {
        let fs = SimFs::new();
        for number in 0..20 {
            create(&fs, &format!("/{number}"), &[number; 5000]);
        }
        fs.crash(seed);
        let read = |name: &String| fs.read_whole(Path::new(name), 9999).unwrap();
        names(&fs, "/")
            .iter()
            .map(|name| (name.clone(), read(name)))
            .collect::<Vec<_>>()
    };
    let outcomes: BTreeSet<_> = (0..20).map(disk_after).collect();
    assert!(
        outcomes.len() > 5,
        "the seed decides too little: {} outcomes",
        outcomes.len()
    );
    assert_eq!(disk_after(7), disk_after(7));
}

#[test]
fn handles_and_locks_do_not_outlive_a_crash_or_a_kill() {
    let fs = SimFs::new();
    let lock_path = Path::new("/.lock");
    let file = create(&fs, "/file", b"cached");
    let lock = fs.lock(lock_path).unwrap();
    assert!(fs.lock(lock_path).is_err());
    fs.kill();
    assert!(file.write_at(0, &[IoSlice::new(b"ghost")]).is_err());
    assert_eq!(fs.read_whole(Path::new("/file"), 10).unwrap(), b"cached");
    let _held = fs.lock(lock_path).unwrap();
    drop(lock);
    assert!(
        fs.lock(lock_path).is_err(),
        "the guard of the killed process freed the new lock"
    );
}

#[test]
fn a_full_disk_takes_a_part_of_a_write_and_heals_when_files_go() {
    let fs = SimFs::new();
    fs.set_capacity(Some(10));
    let old = create(&fs, "/old", b"12345678");
    let file = fs.open(Path::new("/new"), OpenMode::Create).unwrap();
    let full = file.write_at(0, &[IoSlice::new(b"abcdef")]);
    assert_eq!(class_of(full), FaultClass::Full);
    assert_eq!(file.len().unwrap(), 2);
    old.write_at(0, &[IoSlice::new(b"over")]).unwrap();
    fs.remove_file(Path::new("/old")).unwrap();
    file.write_at(0, &[IoSlice::new(b"abcdef")]).unwrap();
    assert_eq!(class_of(file.allocate(11)), FaultClass::Full);
    let space = fs.space(Path::new("/")).unwrap();
    assert_eq!((space.total_bytes, space.usable_bytes), (10, 4));
}

#[test]
fn rules_bite_below_their_path_only_and_until_healed() {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("/data/orders-1")).unwrap();
    fs.create_dir_all(Path::new("/data/orders-10")).unwrap();
    let file = create(&fs, "/data/orders-1/log", b"x");
    let rule = FaultRule::fail(
        "/data/orders-1",
        Operation::ENTRY_CHANGES,
        FaultClass::Denied,
    )
    .after(1);
    let rule = fs.inject(rule);
    create(&fs, "/data/orders-1/first-passes", b"x");
    let refused = fs.open(Path::new("/data/orders-1/next"), OpenMode::Create);
    assert_eq!(class_of(refused), FaultClass::Denied);
    file.write_at(1, &[IoSlice::new(b"y")]).unwrap();
    create(&fs, "/data/orders-10/next", b"x");
    fs.heal(rule);
    create(&fs, "/data/orders-1/next", b"x");

    fs.inject(FaultRule::fail("/data", &[Operation::SyncData], FaultClass::Io).times(1));
    assert_eq!(class_of(file.sync_data()), FaultClass::Io);
    file.sync_data().unwrap();
}

#[test]
fn power_lost_at_a_step_fails_everything_after_it() {
    let fs = SimFs::new();
    let file = create(&fs, "/a", b"1");
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let steps = fs.step_count();
    fs.lose_power_after(1);
    file.write_at(1, &[IoSlice::new(b"2")]).unwrap();
    assert!(file.sync_data().is_err());
    assert!(fs.read_whole(Path::new("/a"), 10).is_err());
    assert_eq!(fs.step_count(), steps + 1);
    fs.crash(3);
    assert_eq!(fs.read_whole(Path::new("/a"), 10).unwrap()[0], b'1');
}

#[tokio::test(start_paused = true)]
async fn a_delayed_job_ends_later_in_virtual_time_and_a_prompt_one_at_once() {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    let disk = Disk::simulated("/d", fs.clone());
    let by = Duration::from_secs(2);
    fs.inject(FaultRule::delay("/d", &[Operation::SyncDir], by));
    let started = tokio::time::Instant::now();
    disk.run("list", |fs| fs.list(Path::new("/d")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    let sync = disk.run("sync", |fs| fs.sync_dir(Path::new("/d")));
    assert_eq!(disk.job_count(), 1);
    sync.await.unwrap().unwrap();
    assert_eq!(started.elapsed(), by);
    assert!(!disk.is_slow());
}

#[tokio::test(start_paused = true)]
async fn a_hung_job_makes_the_directory_slow_and_heals_after_it() {
    let fs = SimFs::new();
    let file = create(&fs, "/file", b"x");
    let disk = Disk::simulated("/", fs.clone());
    let mut health = disk.health();
    let rule = fs.inject(FaultRule::hang("/", &[Operation::SyncData]));
    let mut sync = disk.run("flush", move |_| file.sync_data());
    disk.run("list", |fs| fs.list(Path::new("/")))
        .await
        .unwrap()
        .unwrap();

    health.changed().await.unwrap();
    assert_eq!(*health.borrow_and_update(), DiskHealth::Slow);
    assert_eq!(disk.oldest_job_age(), Some(Duration::from_secs(5)));
    assert!(sync.now_or_pending().await.is_none());

    fs.heal(rule);
    sync.await.unwrap().unwrap();
    tokio::task::yield_now().await;
    for _ in 0..3 {
        disk.run("list", |fs| fs.list(Path::new("/")))
            .await
            .unwrap()
            .unwrap();
    }
    assert!(!disk.is_slow());
    assert_eq!(disk.job_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_hung_over_a_crash_changes_nothing_afterwards() {
    let fs = SimFs::new();
    let disk = Disk::simulated("/", fs.clone());
    let rule = fs.inject(FaultRule::hang("/ghost", &[Operation::Create]));
    let job = disk.run("create", |fs| {
        let first = fs.open(Path::new("/ghost"), OpenMode::Create).map(|_| ());
        let second = fs.open(Path::new("/other"), OpenMode::Create).map(|_| ());
        (first.is_err(), second.is_err())
    });
    fs.crash(1);
    assert_eq!(job.await.unwrap(), (true, true));
    fs.heal(rule);
    assert!(names(&fs, "/").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_simulated_job_that_panics_tells_why() {
    let disk = Disk::simulated("/", SimFs::new());
    let fault = disk.run("explode", |_| panic!("by intent")).await;
    let fault: Result<(), _> = fault;
    assert_eq!(
        fault.unwrap_err().to_string(),
        "disk job explode panicked: by intent"
    );
}

/// Polls a future once.
trait NowOrPending: Future + Unpin {
    async fn now_or_pending(&mut self) -> Option<Self::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *self).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}

impl<F: Future + Unpin> NowOrPending for F {}
