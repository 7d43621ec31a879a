//! The thread pool of a real log directory: panics, bounds, deadlines. Stuck jobs wait for a word of
//! the test, so that no outcome depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use kabuki_storage::{Disk, DiskFault, DiskFuture, DiskHealth, DiskOptions};

fn disk(threads: usize, deadline: Duration, queued_jobs_max: usize) -> Disk {
    let options = DiskOptions {
        name: "test".to_owned(),
        threads,
        deadline,
        queued_jobs_max,
    };
    Disk::real("/", options).unwrap()
}

/// A job that runs until the sender is dropped, and has begun when this returns.
fn occupy(disk: &Disk, is_long: bool) -> (mpsc::Sender<()>, DiskFuture<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (begun_sender, begun) = mpsc::channel();
    let work = move |_: &dyn kabuki_storage::FileSystem| {
        begun_sender.send(()).unwrap();
        let _ = released.recv();
    };
    let future = if is_long {
        disk.run_long("occupy", work)
    } else {
        disk.run("occupy", work)
    };
    begun.recv().unwrap();
    (release, future)
}

const FOREVER: Duration = Duration::from_secs(3600);

#[test]
fn a_panicking_job_does_not_end_its_thread() {
    let disk = disk(1, FOREVER, 10);
    let panicked: DiskFuture<()> = disk.run("explode", |_| panic!("by intent"));
    let expected = DiskFault::Panicked {
        job: "explode",
        cause: "by intent".to_owned(),
    };
    assert_eq!(panicked.wait(), Err(expected));
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("a result that nobody took");
        }
    }
    let (release, occupied) = occupy(&disk, false);
    drop(disk.run("drop", |_| PanicsOnDrop));
    drop(release);
    occupied.wait().unwrap();
    assert_eq!(
        disk.run("exists", |fs| fs.exists(Path::new("/")).unwrap())
            .wait(),
        Ok(true)
    );
}

#[test]
fn past_the_bound_a_job_is_refused_at_once() {
    let disk = disk(1, FOREVER, 1);
    let (release, occupied) = occupy(&disk, false);
    let queued = disk.run("queued", |_| 7);
    let refused = disk.run("refused", |_| 8).wait();
    assert_eq!(
        refused,
        Err(DiskFault::QueueFull {
            job: "refused",
            queued: 1
        })
    );
    assert_eq!(disk.job_count(), 2);
    drop(release);
    occupied.wait().unwrap();
    assert_eq!(queued.wait(), Ok(7));
}

#[test]
fn long_jobs_leave_a_thread_to_the_others() {
    let disk = disk(2, FOREVER, 10);
    let (release, first) = occupy(&disk, true);
    let second = disk.run_long("second", |_| ());
    assert_eq!(disk.run("short", |_| 1).wait(), Ok(1));
    drop(release);
    first.wait().unwrap();
    second.wait().unwrap();
}

#[test]
fn jobs_accepted_before_the_end_of_the_pool_still_run() {
    let disk = disk(1, FOREVER, 10);
    let (release, occupied) = occupy(&disk, false);
    let last = disk.run("last", |_| 1);
    drop(disk);
    drop(release);
    occupied.wait().unwrap();
    assert_eq!(last.wait(), Ok(1));
}

#[tokio::test]
async fn a_stuck_job_makes_the_directory_slow_until_jobs_are_quick_again() {
    let disk = disk(2, Duration::from_millis(100), 10);
    let mut health = disk.health();
    let (release, occupied) = occupy(&disk, false);
    health.changed().await.unwrap();
    assert_eq!(*health.borrow_and_update(), DiskHealth::Slow);
    assert!(disk.is_slow() && disk.slow_since().is_some());
    assert!(disk.oldest_job_age() >= Some(Duration::from_millis(100)));

    drop(release);
    occupied.await.unwrap();
    // On a loaded machine a job may be late; sooner or later three in a row are not.
    while disk.is_slow() {
        disk.run("quick", |_| ()).await.unwrap();
        tokio::task::yield_now().await;
    }
    health.changed().await.unwrap();
    assert_eq!(*health.borrow_and_update(), DiskHealth::Good);
}
