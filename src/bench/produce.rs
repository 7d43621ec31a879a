//! `kabuki bench produce`: one batch is built once and sent over and over, with a bounded number of
//! requests in flight on each connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::net::TcpStream;

use super::BenchError;
use super::answers;
use super::batch::build_batch;
use super::inbox::Inbox;
use super::lanes::{self, Lane, Ledger};
use super::progress::{Goal, Progress};
use super::report::{Report, Timing};
use super::target::{Target, TargetArgs};
use super::train::Train;
use super::wire::{self, ProduceFrame};

/// Bytes that are handed to the socket at once: more does not make the write cheaper, and less
/// memory in turn stays in the cache.
const TRAIN_BYTES: usize = 256 << 10;

/// Most room for answers, and what one may take: a topic's name has at most 249 bytes.
const INBOX_BYTES_MAX: usize = 64 << 10;
const ANSWER_BYTES_MAX: usize = 400;

/// How long a measurement runs that is given no end.
const SECONDS_DEFAULT: u64 = 10;

/// `--acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AcksArg {
    /// Not even an answer
    #[value(name = "0")]
    None,
    /// The leader's
    #[value(name = "1")]
    Leader,
    /// Those of all replicas in sync
    #[value(name = "all", alias = "-1")]
    All,
}

impl AcksArg {
    pub(super) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Arguments of `bench produce`.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Partitions of the topic, which is created with them if it is missing
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: Option<u32>,
    /// Stops after this many records, rounded up to whole batches
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Stops after this many seconds; 10 where no end is given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Size of the value of a record
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=16 << 20))]
    record_bytes: u32,
    /// Size of a batch, which holds at least one record
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    batch_bytes: u32,
    /// Connections, among which the partitions are dealt
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Unanswered requests on each connection
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    in_flight: u32,
    /// Threads that share the connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Copies to wait for
    #[arg(long, value_enum, default_value = "1")]
    acks: AcksArg,
}

pub(super) async fn run(args: &ProduceArgs) -> Result<Report, BenchError> {
    let target = Target::find_or_create(&args.target, args.partitions).await?;
    let (batch, records_per_batch) = build_batch(args.record_bytes, args.batch_bytes)?;
    let frame = ProduceFrame::new(&target.topic, args.acks.code(), &batch)?;
    let lanes = lanes::connect(&target, args.connections as usize, &wire::PRODUCE).await?;
    let goal = goal(args.records, args.seconds);
    let plan = Arc::new(Plan {
        topic: target.topic.clone(),
        frame,
        acks: args.acks,
        in_flight_max: args.in_flight as usize,
        batch_bytes: batch.len() as u64,
        records_per_batch,
        requests_per_lane: args.records.map(|records| {
            let requests = records.div_ceil(records_per_batch);
            requests.div_ceil(lanes.len() as u64)
        }),
        ends_at: match args.seconds {
            Some(seconds) => Some(Instant::now() + Duration::from_secs(seconds)),
            None => match goal {
                Goal::Time(time) => Some(Instant::now() + time),
                Goal::Records(_) => None,
            },
        },
    });
    let progress = Progress::start("writing", goal);
    let drive = move |lane: Lane, ledger| drive(lane, plan.clone(), ledger);
    let (tally, elapsed) = lanes::run(lanes, args.threads as usize, progress, drive).await?;
    let acked = Timing {
        key: "ack_ms",
        words: "acknowledged in",
        histogram: tally.answered_in,
    };
    let is_acked = args.acks != AcksArg::None;
    Ok(Report {
        command: "produce",
        topic: target.topic,
        records: tally.records,
        bytes: tally.bytes,
        requests: tally.requests,
        elapsed,
        timings: if is_acked { vec![acked] } else { Vec::new() },
    })
}

/// What ends a measurement: so many records, else so many seconds.
pub(super) fn goal(records: Option<u64>, seconds: Option<u64>) -> Goal {
    match (records, seconds) {
        (Some(records), _) => Goal::Records(records),
        (None, seconds) => Goal::Time(Duration::from_secs(seconds.unwrap_or(SECONDS_DEFAULT))),
    }
}

/// What all lanes have in common.
struct Plan {
    topic: String,
    frame: ProduceFrame,
    acks: AcksArg,
    in_flight_max: usize,
    batch_bytes: u64,
    records_per_batch: u64,
    requests_per_lane: Option<u64>,
    ends_at: Option<Instant>,
}

impl Plan {
    /// Room for the answers that may wait: thousands of connections are to cost little.
    fn inbox_bytes(&self) -> usize {
        self.in_flight_max
            .saturating_mul(ANSWER_BYTES_MAX)
            .min(INBOX_BYTES_MAX)
    }

    /// Frames that are put on the way at once.
    fn frames_at_once(&self) -> usize {
        let fitting = (TRAIN_BYTES / self.frame.bytes.len()).max(1);
        match self.acks {
            AcksArg::None => fitting,
            _ => fitting.min(self.in_flight_max),
        }
    }
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Loading,
    /// All is sent; the last answers are awaited. Without acknowledgements, that is the answer to a
    /// request behind them all.
    Draining,
}

struct ProduceLane {
    address: String,
    partitions: Vec<i32>,
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    socket: TcpStream,
    train: Train,
    inbox: Inbox,
    phase: Phase,
    /// When each unanswered request was put on the way.
    unanswered: VecDeque<Instant>,
    asked_count: u64,
    answered_count: u64,
}

async fn drive(lane: Lane, plan: Arc<Plan>, ledger: Arc<Ledger>) -> Result<(), BenchError> {
    let lost = Lane::lost(&lane.address);
    let socket = TcpStream::from_std(lane.socket).map_err(lost)?;
    let mut lane = ProduceLane {
        train: Train::of_copies(&plan.frame.bytes, plan.frames_at_once()),
        inbox: Inbox::new(plan.inbox_bytes(), INBOX_BYTES_MAX),
        address: lane.address,
        partitions: lane.partitions,
        plan,
        ledger,
        socket,
        phase: Phase::Loading,
        unanswered: VecDeque::new(),
        asked_count: 0,
        answered_count: 0,
    };
    poll_fn(|task| lane.poll(task)).await
}

impl ProduceLane {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<(), BenchError>> {
        loop {
            self.load();
            let sent = self.train.poll_send(&mut self.socket, task);
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(self.broken(error)));
            }
            match self.receive(task) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            if self.phase == Phase::Draining && self.unanswered.is_empty() && sent.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if sent.is_pending() || self.phase == Phase::Draining || self.window() == 0 {
                return Poll::Pending;
            }
        }
    }

    /// Requests that may be unanswered beyond those that are.
    fn window(&self) -> usize {
        match self.plan.acks {
            AcksArg::None => usize::MAX,
            _ => self.plan.in_flight_max - self.unanswered.len(),
        }
    }

    /// Requests that may go on the way now.
    fn room(&self) -> usize {
        let left = self
            .plan
            .requests_per_lane
            .map(|all| all - self.asked_count);
        let left = left.and_then(|left| usize::try_from(left).ok());
        self.window()
            .min(left.unwrap_or(usize::MAX))
            .min(self.plan.frames_at_once())
    }

    fn load(&mut self) {
        if self.phase == Phase::Draining || !self.train.is_sent() {
            return;
        }
        let now = Instant::now();
        let is_over = self.plan.ends_at.is_some_and(|end| now >= end)
            || self.plan.requests_per_lane == Some(self.asked_count);
        if is_over {
            self.phase = Phase::Draining;
            if self.plan.acks == AcksArg::None {
                self.train.append(&wire::api_versions_frame(0));
                self.unanswered.push_back(now);
            }
            return;
        }
        let count = self.room();
        let frame = &self.plan.frame;
        let frame_bytes = frame.bytes.len();
        let frames = self.train.load(count * frame_bytes);
        for copy in frames.chunks_exact_mut(frame_bytes) {
            let partition = self.asked_count % self.partitions.len() as u64;
            // Correlation ids may wrap; the answers are expected in the same order.
            frame.address(
                copy,
                self.asked_count as i32,
                self.partitions[partition as usize],
            );
            self.asked_count += 1;
        }
        if self.plan.acks == AcksArg::None {
            let mut tally = self.ledger.open();
            self.count(&mut tally, count as u64);
        } else {
            self.unanswered.extend(std::iter::repeat_n(now, count));
        }
    }

    /// Takes what has been answered; ready when there was something.
    fn receive(&mut self, task: &mut Context<'_>) -> Poll<Result<(), BenchError>> {
        match self.inbox.poll_fill(&mut self.socket, task) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed())),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
        }
        Poll::Ready(self.take_answers())
    }

    fn take_answers(&mut self) -> Result<(), BenchError> {
        let now = Instant::now();
        let ledger = self.ledger.clone();
        let mut tally = ledger.open();
        let mut count = 0;
        while let Some(range) = self.inbox.next_frame()? {
            let answer = self.inbox.frame(range);
            let Some(sent_at) = self.unanswered.pop_front() else {
                return Err(BenchError::Answer {
                    what: "Produce".to_owned(),
                    cause: "came without a request".to_owned(),
                });
            };
            if self.plan.acks == AcksArg::None {
                // The barrier; what it says is of no interest.
                continue;
            }
            let correlation_id = self.answered_count as i32;
            answers::check_produce_answer(answer, &self.plan.topic, correlation_id)?;
            self.answered_count += 1;
            tally.answered_in.record(now - sent_at);
            count += 1;
        }
        self.count(&mut tally, count);
        Ok(())
    }

    fn count(&self, tally: &mut lanes::Tally, requests: u64) {
        let records = requests * self.plan.records_per_batch;
        let bytes = requests * self.plan.batch_bytes;
        self.ledger.count(tally, requests, records, bytes);
    }

    fn broken(&self, source: io::Error) -> BenchError {
        match source.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.closed(),
            _ => Lane::lost(&self.address)(source),
        }
    }

    fn closed(&self) -> BenchError {
        BenchError::Closed {
            address: self.address.clone(),
            when: match self.plan.acks {
                AcksArg::None => "under load, which is how batches without acks are refused",
                _ => "under load",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_number_of_records_or_a_time() {
        assert_eq!(goal(Some(5), Some(1)), Goal::Records(5));
        assert_eq!(goal(None, Some(3)), Goal::Time(Duration::from_secs(3)));
        assert_eq!(goal(None, None), Goal::Time(Duration::from_secs(10)));
    }
}
