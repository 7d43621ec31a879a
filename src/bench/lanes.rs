//! Connections under load, spread over threads of their own, and what they count together.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::BenchError;
use super::answers;
use super::histogram::Histogram;
use super::inbox::Inbox;
use super::progress::Progress;
use super::target::Target;
use super::wire::{self, Api};

/// How long a broker may take to accept a connection and to answer its first request.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long nothing may be answered before the broker counts as silent.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Room for an answer to ApiVersions.
const VERSIONS_BYTES_MAX: usize = 64 << 10;

/// One connection to a leader, and the partitions it works on.
pub(super) struct Lane {
    pub(super) address: String,
    pub(super) socket: std::net::TcpStream,
    pub(super) partitions: Vec<i32>,
}

impl Lane {
    /// The error of a broken connection.
    pub(super) fn lost(address: &str) -> impl FnOnce(io::Error) -> BenchError {
        let address = address.to_owned();
        move |source| BenchError::Connection { address, source }
    }
}

/// What has been done so far.
#[derive(Clone)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// From sending a request to its answer.
    pub(super) answered_in: Histogram,
}

impl Tally {
    fn new() -> Self {
        Self {
            requests: 0,
            records: 0,
            bytes: 0,
            answered_in: Histogram::new(),
        }
    }
}

/// The tally of one thread; its lanes add to it once for each wake-up.
pub(super) struct Ledger {
    tally: Mutex<Tally>,
    /// Grows with every answer, for those who watch.
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Ledger {
    fn new() -> Self {
        Self {
            tally: Mutex::new(Tally::new()),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The tally, to add to it.
    pub(super) fn open(&self) -> MutexGuard<'_, Tally> {
        // A tally is sums; a panic elsewhere does not make them wrong.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts answered requests, their records and bytes.
    pub(super) fn count(&self, tally: &mut Tally, requests: u64, records: u64, bytes: u64) {
        tally.requests += requests;
        tally.records += records;
        tally.bytes += bytes;
        self.records.store(tally.records, Ordering::Relaxed);
        self.bytes.store(tally.bytes, Ordering::Relaxed);
    }
}

/// Opens the connections and asks each whether the broker serves what will be sent.
pub(super) async fn connect(
    target: &Target,
    connections: usize,
    api: &Api,
) -> Result<Vec<Lane>, BenchError> {
    let mut lanes = Vec::with_capacity(connections);
    for (address, partitions) in target.deal(connections)? {
        let socket = match timeout(CONNECT_WAIT, open(&address, api)).await {
            Ok(socket) => socket?,
            Err(_) => return Err(Lane::lost(&address)(io::ErrorKind::TimedOut.into())),
        };
        lanes.push(Lane {
            address,
            socket,
            partitions,
        });
    }
    Ok(lanes)
}

async fn open(address: &str, api: &Api) -> Result<std::net::TcpStream, BenchError> {
    let lost = |source| Lane::lost(address)(source);
    let mut socket = TcpStream::connect(address).await.map_err(lost)?;
    socket.set_nodelay(true).map_err(lost)?;
    let question = wire::api_versions_frame(0);
    let sent = tokio::io::AsyncWriteExt::write_all(&mut socket, &question).await;
    sent.map_err(lost)?;
    let mut inbox = Inbox::new(VERSIONS_BYTES_MAX, VERSIONS_BYTES_MAX);
    loop {
        if let Some(frame) = inbox.next_frame()? {
            answers::check_versions(inbox.frame(frame), api, address)?;
            return socket.into_std().map_err(lost);
        }
        let read = std::future::poll_fn(|task| inbox.poll_fill(&mut socket, task));
        if read.await.map_err(lost)? == 0 {
            return Err(BenchError::Closed {
                address: address.to_owned(),
                when: "when it was asked for its versions",
            });
        }
    }
}

/// Runs all lanes on `threads` threads until each has ended, or one has failed.
///
/// The threads are left alone after a failure: the process ends then.
pub(super) async fn run<D, F>(
    lanes: Vec<Lane>,
    threads: usize,
    mut progress: Progress,
    drive: D,
) -> Result<(Tally, Duration), BenchError>
where
    D: Fn(Lane, Arc<Ledger>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    let threads = threads.min(lanes.len()).max(1);
    let mut shares: Vec<Vec<Lane>> = (0..threads).map(|_| Vec::new()).collect();
    for (at, lane) in lanes.into_iter().enumerate() {
        shares[at % threads].push(lane);
    }
    let (ended, mut endings) = mpsc::channel(threads);
    let began = Instant::now();
    let mut ledgers = Vec::with_capacity(threads);
    for share in shares {
        let ledger = Arc::new(Ledger::new());
        ledgers.push(ledger.clone());
        let (drive, ended) = (drive.clone(), ended.clone());
        let body = move || {
            let outcome = run_share(share, &ledger, drive);
            // Nobody listens any more when another thread has failed.
            let _ = ended.blocking_send(outcome.map(|()| began.elapsed()));
        };
        let thread = std::thread::Builder::new().name("bench-load".to_owned());
        thread.spawn(body).map_err(BenchError::Thread)?;
    }
    drop(ended);

    let elapsed = watch(&mut endings, &ledgers, &mut progress).await?;
    progress.finish();
    let mut tally = Tally::new();
    for ledger in ledgers {
        let share = ledger.open();
        tally.requests += share.requests;
        tally.records += share.records;
        tally.bytes += share.bytes;
        tally.answered_in.add(&share.answered_in);
    }
    Ok((tally, elapsed))
}

/// Waits for all threads; shows progress meanwhile and notices a broker that has fallen silent.
async fn watch(
    endings: &mut mpsc::Receiver<Result<Duration, BenchError>>,
    ledgers: &[Arc<Ledger>],
    progress: &mut Progress,
) -> Result<Duration, BenchError> {
    let mut ticks = tokio::time::interval(Progress::TICK);
    let mut elapsed = Duration::ZERO;
    let mut last = (0, Instant::now());
    loop {
        tokio::select! {
            ending = endings.recv() => match ending {
                Some(ending) => elapsed = elapsed.max(ending?),
                None => return Ok(elapsed),
            },
            _ = ticks.tick() => {
                let sum = |field: fn(&Ledger) -> &AtomicU64| -> u64 {
                    ledgers.iter().map(|one| field(one).load(Ordering::Relaxed)).sum()
                };
                let records = sum(|ledger| &ledger.records);
                progress.show(records, sum(|ledger| &ledger.bytes));
                if records != last.0 {
                    last = (records, Instant::now());
                } else if last.1.elapsed() > SILENCE_MAX {
                    return Err(BenchError::Silent { seconds: SILENCE_MAX.as_secs() });
                }
            }
        }
    }
}

fn run_share<D, F>(lanes: Vec<Lane>, ledger: &Arc<Ledger>, drive: D) -> Result<(), BenchError>
where
    D: Fn(Lane, Arc<Ledger>) -> F,
    F: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(BenchError::Thread)?;
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for lane in lanes {
            running.spawn(drive(lane, ledger.clone()));
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|panic| BenchError::Thread(io::Error::other(panic)))??;
        }
        Ok(())
    })
}
