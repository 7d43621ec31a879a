//! `kabuki bench consume`: reads what the partitions of a topic hold, from the first offset to the
//! end that was found at the start.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use clap::Args;
use kabuki_client::OffsetSpec;
use kabuki_protocol::crc::crc32c;
use kabuki_protocol::records::{BATCH_LENGTH_START, BatchError, BatchHeader, HEADER_BYTES};
use tokio::net::TcpStream;

use super::BenchError;
use super::answers;
use super::inbox::Inbox;
use super::lanes::{self, Lane, Ledger};
use super::progress::{Goal, Progress};
use super::report::{Report, Timing};
use super::target::{Target, TargetArgs};
use super::train::Train;
use super::wire::{self, FetchFrame};

/// Room beside the records of an answer, and for what comes behind it.
const INBOX_SLACK_BYTES: usize = 64 << 10;

/// The first batch of an answer comes whole, however large it is.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The checksum of a batch covers the bytes from here on.
const CRC_START: usize = 21;

/// Arguments of `bench consume`.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Stops after this many records
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Starts over at the end of a partition until this many seconds have passed
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Most bytes of an answer
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=128 << 20))]
    fetch_bytes: u32,
    /// Connections, among which the partitions are dealt
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Unanswered requests on each connection, at most one for each partition
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    in_flight: u32,
    /// Threads that share the connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Checks the checksum of every batch
    #[arg(long)]
    check_crc: bool,
}

pub(super) async fn run(args: &ConsumeArgs) -> Result<Report, BenchError> {
    let target = Target::find(&args.target).await?;
    let spans = spans(&target).await?;
    let held: u64 = spans.iter().map(|span| span.end.abs_diff(span.first)).sum();
    if held == 0 {
        let message = format!("topic {} holds no records", target.topic);
        return Err(BenchError::Usage(message));
    }
    let lanes = lanes::connect(&target, args.connections as usize, &wire::FETCH).await?;
    let plan = Arc::new(Plan {
        topic: target.topic.clone(),
        fetch_bytes: args.fetch_bytes,
        in_flight_max: args.in_flight as usize,
        checks_crc: args.check_crc,
        records_max: args.records.unwrap_or(u64::MAX),
        records: AtomicU64::new(0),
        spans,
        ends_at: args
            .seconds
            .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    });
    let goal = match (args.records, args.seconds) {
        (None, Some(seconds)) => Goal::Time(Duration::from_secs(seconds)),
        (records, _) => Goal::Records(records.unwrap_or(held)),
    };
    let progress = Progress::start("reading", goal);
    let drive = move |lane: Lane, ledger| drive(lane, plan.clone(), ledger);
    let (tally, elapsed) = lanes::run(lanes, args.threads as usize, progress, drive).await?;
    Ok(Report {
        command: "consume",
        topic: target.topic,
        records: tally.records,
        bytes: tally.bytes,
        requests: tally.requests,
        elapsed,
        timings: vec![Timing {
            key: "fetch_ms",
            words: "fetches answered in",
            histogram: tally.answered_in,
        }],
    })
}

/// What a partition holds.
#[derive(Debug, Clone, Copy)]
struct Span {
    partition: i32,
    first: i64,
    /// The offset behind the last record.
    end: i64,
}

async fn spans(target: &Target) -> Result<Vec<Span>, BenchError> {
    let (admin, partitions) = (&target.admin, target.partitions());
    let find = |spec| admin.list_offsets(&target.topic, &partitions, spec);
    let (firsts, ends) = (
        find(OffsetSpec::Earliest).await?,
        find(OffsetSpec::Latest).await?,
    );
    let offset = |found: &std::collections::BTreeMap<i32, kabuki_client::FoundOffset>,
                  partition| {
        let offset = found.get(&partition).and_then(|found| found.offset);
        offset.map_or(0, |offset| offset.get())
    };
    Ok(partitions
        .iter()
        .map(|&partition| Span {
            partition,
            first: offset(&firsts, partition),
            end: offset(&ends, partition),
        })
        .collect())
}

/// What all lanes have in common.
struct Plan {
    topic: String,
    fetch_bytes: u32,
    in_flight_max: usize,
    checks_crc: bool,
    records_max: u64,
    /// Records that all lanes have read.
    records: AtomicU64,
    spans: Vec<Span>,
    ends_at: Option<Instant>,
}

impl Plan {
    /// True when no further request is to be sent.
    fn is_over(&self) -> bool {
        self.ends_at.is_some_and(|end| Instant::now() >= end)
            || self.records.load(Ordering::Relaxed) >= self.records_max
    }
}

/// How far a partition has been read.
struct Reading {
    span: Span,
    next: i64,
    is_asked: bool,
    is_finished: bool,
}

struct ConsumeLane {
    address: String,
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    socket: TcpStream,
    frame: FetchFrame,
    train: Train,
    inbox: Inbox,
    readings: Vec<Reading>,
    /// Which reading was asked next to last, so that all get their turn.
    turn: usize,
    unanswered: VecDeque<(usize, Instant)>,
    asked_count: u64,
    answered_count: u64,
}

async fn drive(lane: Lane, plan: Arc<Plan>, ledger: Arc<Ledger>) -> Result<(), BenchError> {
    let lost = Lane::lost(&lane.address);
    let socket = TcpStream::from_std(lane.socket).map_err(lost)?;
    let mine = plan
        .spans
        .iter()
        .filter(|span| lane.partitions.contains(&span.partition));
    let mut lane = ConsumeLane {
        readings: mine
            .map(|&span| Reading {
                span,
                next: span.first,
                is_asked: false,
                is_finished: span.first >= span.end,
            })
            .collect(),
        address: lane.address,
        ledger,
        socket,
        frame: FetchFrame::new(
            &plan.topic,
            i32::try_from(plan.fetch_bytes).unwrap_or(i32::MAX),
        )?,
        train: Train::of_copies(&[], 0),
        inbox: Inbox::new(
            plan.fetch_bytes as usize + INBOX_SLACK_BYTES,
            ANSWER_BYTES_MAX,
        ),
        plan,
        turn: 0,
        unanswered: VecDeque::new(),
        asked_count: 0,
        answered_count: 0,
    };
    poll_fn(|task| lane.poll(task)).await
}

impl ConsumeLane {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<(), BenchError>> {
        loop {
            self.ask();
            if let Poll::Ready(Err(error)) = self.train.poll_send(&mut self.socket, task) {
                return Poll::Ready(Err(Lane::lost(&self.address)(error)));
            }
            if self.unanswered.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match self.inbox.poll_fill(&mut self.socket, task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Lane::lost(&self.address)(error)));
                }
            }
            while let Some(range) = self.inbox.next_frame()? {
                self.take_answer(range)?;
            }
        }
    }

    /// Asks for what comes next in each partition that is not asked for already.
    fn ask(&mut self) {
        if self.unanswered.len() >= self.plan.in_flight_max || self.plan.is_over() {
            return;
        }
        let now = Instant::now();
        for _ in 0..self.readings.len() {
            if self.unanswered.len() >= self.plan.in_flight_max {
                return;
            }
            let at = self.turn;
            self.turn = (self.turn + 1) % self.readings.len();
            let reading = &mut self.readings[at];
            if reading.is_asked || reading.is_finished {
                continue;
            }
            reading.is_asked = true;
            let correlation_id = self.asked_count as i32;
            let (partition, next) = (reading.span.partition, reading.next);
            self.train
                .append(self.frame.ask(correlation_id, partition, next));
            self.unanswered.push_back((at, now));
            self.asked_count += 1;
        }
    }

    fn take_answer(&mut self, range: std::ops::Range<usize>) -> Result<(), BenchError> {
        let Some((at, sent_at)) = self.unanswered.pop_front() else {
            return Err(BenchError::Answer {
                what: "Fetch".to_owned(),
                cause: "came without a request".to_owned(),
            });
        };
        let answer = self.inbox.frame(range);
        let (_, bytes) = answers::read_fetch_answer(answer, self.answered_count as i32)?;
        self.answered_count += 1;
        let reading = &mut self.readings[at];
        let walk = walk(bytes, self.plan.checks_crc).map_err(|source| BenchError::Records {
            what: format!("{}-{}", self.plan.topic, reading.span.partition),
            source,
        })?;
        reading.is_asked = false;
        reading.next = walk.next.unwrap_or(reading.next);
        if reading.next >= reading.span.end {
            reading.next = reading.span.first;
            reading.is_finished = self.plan.ends_at.is_none();
        }
        self.plan.records.fetch_add(walk.records, Ordering::Relaxed);
        let mut tally = self.ledger.open();
        tally.answered_in.record(sent_at.elapsed());
        self.ledger
            .count(&mut tally, 1, walk.records, bytes.len() as u64);
        Ok(())
    }

    fn closed(&self) -> BenchError {
        BenchError::Closed {
            address: self.address.clone(),
            when: "with fetches unanswered",
        }
    }
}

/// What an answer's record bytes hold.
struct Walk {
    records: u64,
    /// The offset behind the last whole batch; `None` without one.
    next: Option<i64>,
}

/// Goes from batch to batch; the last one may be cut.
fn walk(mut bytes: &[u8], checks_crc: bool) -> Result<Walk, BatchError> {
    let (mut records, mut next) = (0, None);
    while bytes.len() >= HEADER_BYTES {
        let header = BatchHeader::parse(bytes)?;
        let length = usize::try_from(header.batch_length).unwrap_or(0);
        let Some((batch, rest)) = bytes.split_at_checked(BATCH_LENGTH_START + length) else {
            break;
        };
        if checks_crc {
            let computed = crc32c(&batch[CRC_START..]);
            let stored = header.crc;
            if stored != computed {
                return Err(BatchError::Crc { stored, computed });
            }
        }
        records += u64::try_from(header.record_count).unwrap_or(0);
        next = Some(header.base_offset.get() + i64::from(header.last_offset_delta) + 1);
        bytes = rest;
    }
    Ok(Walk { records, next })
}

#[cfg(test)]
mod tests {
    use kabuki_protocol::ids::Offset;
    use kabuki_protocol::records::{BatchBuilder, Compression};

    use super::*;

    fn batch(base_offset: i64) -> Vec<u8> {
        let mut batch = BatchBuilder::new(Compression::None).base_offset(Offset::new(base_offset));
        for _ in 0..3 {
            batch.push(1, None, Some(b"value"), &[]);
        }
        batch.build().unwrap().to_vec()
    }

    #[test]
    fn a_cut_batch_at_the_end_is_left_for_the_next_fetch() {
        let mut bytes = [batch(10), batch(13)].concat();
        for cut in 1..batch(16).len() {
            bytes.extend(&batch(16)[..cut]);
            let walk = walk(&bytes, true).unwrap();
            assert_eq!((walk.records, walk.next), (6, Some(16)), "{cut}");
            bytes.truncate(2 * batch(10).len());
        }
        assert_eq!(walk(&[], true).unwrap().next, None);
    }

    #[test]
    fn a_changed_byte_is_found_where_that_is_asked_for() {
        let mut bytes = batch(10);
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(walk(&bytes, true), Err(BatchError::Crc { .. })));
        assert!(walk(&bytes, false).is_ok());
    }
}
