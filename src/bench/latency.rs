//! `kabuki bench latency`: one connection writes a record at each tick of a steady rate, another one
//! reads them. The rate does not wait for answers, so a slow answer is not left out of the figures.
//! Threads that block on their socket are used, as a timer of the event loop is a millisecond coarse.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use kabuki_client::OffsetSpec;
use tokio::sync::mpsc;

use super::BenchError;
use super::answers;
use super::histogram::Histogram;
use super::inbox::Inbox;
use super::lanes::{self, Lane, SILENCE_MAX};
use super::produce::AcksArg;
use super::progress::{Goal, Progress};
use super::report::{Report, Timing};
use super::stamp::{Layout, StampedFrame};
use super::target::{Target, TargetArgs};
use super::wire::{self, FetchFrame};

/// Records whose acknowledgement may be outstanding before the rate is held up.
const UNACKED_MAX: u64 = 4_096;

/// Room for answers, of which each holds a few records.
const INBOX_BYTES: usize = 1 << 20;

/// The partition that is worked on.
const PARTITION: i32 = 0;

/// Arguments of `bench latency`.
#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Records a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Size of the value of a record
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(8..=1 << 19))]
    record_bytes: u32,
    /// Copies to wait for
    #[arg(long, value_enum, default_value = "1")]
    acks: AcksArg,
    /// Measures the acknowledgement only
    #[arg(long)]
    no_consumer: bool,
}

pub(super) async fn run(args: &LatencyArgs) -> Result<Report, BenchError> {
    let target = Target::find_or_create(&args.target, None).await?;
    let stamped = StampedFrame::new(&target.topic, args.acks, args.record_bytes)?;
    let first = first_offset(&target).await?;
    // The first connection is the one to partition 0 in both deals.
    let writer = only_lane(lanes::connect(&target, target.leader_count(), &wire::PRODUCE).await?)?;
    let reader = only_lane(lanes::connect(&target, target.leader_count(), &wire::FETCH).await?)?;
    let count = u64::from(args.rate) * u64::from(args.seconds);
    let flight = Arc::new(Flight::new(target.topic.clone(), args, count));
    let batch_bytes = stamped.batch_bytes() as u64;

    let (ended, mut endings) = mpsc::channel(3);
    if args.acks != AcksArg::None {
        let (flight, socket) = (flight.clone(), clone(&writer)?);
        spawn("bench-acks", &ended, move || take_acks(&flight, socket))?;
    }
    if !args.no_consumer {
        let layout = stamped.layout();
        let flight = flight.clone();
        spawn("bench-reader", &ended, move || {
            read(&flight, reader, first, layout)
        })?;
    }
    let writing = flight.clone();
    spawn("bench-writer", &ended, move || {
        write(&writing, writer, stamped)
    })?;
    drop(ended);

    let mut progress = Progress::start("writing", Goal::Records(count));
    let mut ticks = tokio::time::interval(Progress::TICK);
    let mut timings = Vec::new();
    loop {
        tokio::select! {
            ending = endings.recv() => match ending {
                Some(ending) => timings.extend(ending?),
                None => break,
            },
            _ = ticks.tick() => {
                let written = flight.written.load(Ordering::Relaxed);
                progress.show(written, written * batch_bytes);
            }
        }
    }
    progress.finish();
    timings.sort_by_key(|timing| timing.key);
    Ok(Report {
        command: "latency",
        topic: target.topic,
        records: count,
        bytes: count * batch_bytes,
        requests: count,
        elapsed: flight.began.elapsed(),
        timings,
    })
}

/// The end of the partition before the first record is written.
async fn first_offset(target: &Target) -> Result<i64, BenchError> {
    let find = target
        .admin
        .list_offsets(&target.topic, &[PARTITION], OffsetSpec::Latest);
    let found = find.await?;
    let offset = found.get(&PARTITION).and_then(|found| found.offset);
    Ok(offset.map_or(0, |offset| offset.get()))
}

fn only_lane(lanes: Vec<Lane>) -> Result<TcpStream, BenchError> {
    let mut lanes = lanes.into_iter();
    let lane = lanes.find(|lane| lane.partitions.contains(&PARTITION));
    let lane = lane.ok_or_else(|| BenchError::Usage("the topic has no partition 0".to_owned()))?;
    let lost = |source| Lane::lost(&lane.address)(source);
    lane.socket.set_nonblocking(false).map_err(lost)?;
    lane.socket
        .set_read_timeout(Some(SILENCE_MAX))
        .map_err(lost)?;
    lane.socket
        .set_write_timeout(Some(SILENCE_MAX))
        .map_err(lost)?;
    Ok(lane.socket)
}

fn clone(socket: &TcpStream) -> Result<TcpStream, BenchError> {
    socket.try_clone().map_err(BenchError::Thread)
}

type Ending = Result<Option<Timing>, BenchError>;

fn spawn(
    name: &str,
    ended: &mpsc::Sender<Ending>,
    body: impl FnOnce() -> Ending + Send + 'static,
) -> Result<(), BenchError> {
    let ended = ended.clone();
    let report = move || {
        // Nobody listens any more when another thread has failed.
        let _ = ended.blocking_send(body());
    };
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(report).map_err(BenchError::Thread)?;
    Ok(())
}

/// What the threads share.
struct Flight {
    topic: String,
    acks: AcksArg,
    began: Instant,
    interval: Duration,
    count: u64,
    written: AtomicU64,
    acked: AtomicU64,
    /// When each record was sent, in nanoseconds since the start; by its number, modulo the size.
    sent_ns: Vec<AtomicU64>,
}

impl Flight {
    fn new(topic: String, args: &LatencyArgs, count: u64) -> Self {
        Self {
            topic,
            acks: args.acks,
            began: Instant::now(),
            interval: Duration::from_secs(1) / args.rate,
            count,
            written: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            sent_ns: (0..UNACKED_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn sent_ns(&self, number: u64) -> &AtomicU64 {
        &self.sent_ns[(number % UNACKED_MAX) as usize]
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn since(&self, sent_ns: u64) -> Duration {
        Duration::from_nanos(self.now_ns().saturating_sub(sent_ns))
    }

    /// True while one more record may be written.
    fn has_room(&self, number: u64) -> bool {
        self.acks == AcksArg::None || number - self.acked.load(Ordering::Acquire) < UNACKED_MAX
    }
}

/// Writes each record at its time.
fn write(flight: &Flight, mut socket: TcpStream, mut frame: StampedFrame) -> Ending {
    use std::io::Write as _;
    let mut due = flight.began;
    for number in 0..flight.count {
        wait_until(due);
        let mut sent_ns = flight.now_ns();
        if !flight.has_room(number) {
            // The broker is behind by so much that its own clients would wait: this counts from the
            // time when the record was due.
            sent_ns = u64::try_from((due - flight.began).as_nanos()).unwrap_or(sent_ns);
            wait_for_room(flight, number)?;
        }
        flight.sent_ns(number).store(sent_ns, Ordering::Release);
        let bytes = frame.stamp(number as i32, PARTITION, sent_ns);
        socket.write_all(bytes).map_err(silent_or_lost)?;
        flight.written.store(number + 1, Ordering::Relaxed);
        due += flight.interval;
    }
    Ok(None)
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

fn wait_for_room(flight: &Flight, number: u64) -> Result<(), BenchError> {
    const PAUSE: Duration = Duration::from_micros(200);
    let deadline = Instant::now() + SILENCE_MAX;
    while !flight.has_room(number) {
        if Instant::now() > deadline {
            return Err(silence());
        }
        std::thread::park_timeout(PAUSE);
    }
    Ok(())
}

/// Takes the acknowledgements.
fn take_acks(flight: &Flight, socket: TcpStream) -> Ending {
    let mut inbox = Inbox::new(INBOX_BYTES, INBOX_BYTES);
    let mut histogram = Histogram::new();
    let mut number = 0;
    while number < flight.count {
        fill(&mut inbox, &socket)?;
        while let Some(range) = inbox.next_frame()? {
            let answer = inbox.frame(range);
            answers::check_produce_answer(answer, &flight.topic, number as i32)?;
            let sent_ns = flight.sent_ns(number).load(Ordering::Acquire);
            histogram.record(flight.since(sent_ns));
            number += 1;
            flight.acked.store(number, Ordering::Release);
        }
    }
    Ok(Some(Timing {
        key: "ack_ms",
        words: "acknowledged in",
        histogram,
    }))
}

/// Reads the records and their stamps.
fn read(flight: &Flight, socket: TcpStream, first: i64, layout: Layout) -> Ending {
    use std::io::Write as _;
    let mut frame = FetchFrame::new(&flight.topic, INBOX_BYTES as i32 / 2)?;
    let mut inbox = Inbox::new(INBOX_BYTES, INBOX_BYTES);
    let mut histogram = Histogram::new();
    let end = first + i64::try_from(flight.count).unwrap_or(i64::MAX);
    let (mut next, mut correlation_id) = (first, 0_i32);
    let mut heard = Instant::now();
    while next < end {
        let question = frame.ask(correlation_id, PARTITION, next);
        (&socket).write_all(question).map_err(silent_or_lost)?;
        let range = loop {
            fill(&mut inbox, &socket)?;
            if let Some(range) = inbox.next_frame()? {
                break range;
            }
        };
        let (_, mut batches) = answers::read_fetch_answer(inbox.frame(range), correlation_id)?;
        let came = flight.now_ns();
        if batches.is_empty() && heard.elapsed() > SILENCE_MAX {
            return Err(silence());
        }
        while let Some((batch, rest)) = batches.split_at_checked(layout.batch_bytes) {
            let sent_ns = layout.stamp(batch).ok_or_else(|| {
                BenchError::Usage(format!(
                    "topic {} is written to by others meanwhile",
                    flight.topic
                ))
            })?;
            histogram.record(Duration::from_nanos(came.saturating_sub(sent_ns)));
            batches = rest;
            next += 1;
            heard = Instant::now();
        }
        correlation_id = correlation_id.wrapping_add(1);
    }
    Ok(Some(Timing {
        key: "delivery_ms",
        words: "at the consumer in",
        histogram,
    }))
}

fn fill(inbox: &mut Inbox, socket: &TcpStream) -> Result<(), BenchError> {
    match inbox.fill(socket).map_err(silent_or_lost)? {
        0 => Err(BenchError::Closed {
            address: "the broker".to_owned(),
            when: "under load",
        }),
        _ => Ok(()),
    }
}

fn silent_or_lost(source: std::io::Error) -> BenchError {
    match source.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => silence(),
        _ => Lane::lost("the broker")(source),
    }
}

fn silence() -> BenchError {
    BenchError::Silent {
        seconds: SILENCE_MAX.as_secs(),
    }
}
