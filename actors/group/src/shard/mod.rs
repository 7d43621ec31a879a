//! `Shard`: the groups of one led partition of `__consumer_offsets`. It reads the partition, knows where the
//! records of each group lie, brings groups on stage when they are needed, and writes what they decide.

mod append;
mod book;
mod cast;
mod load;
pub(crate) mod messages;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::ImageWatch;
use kabuki_partition::WallClock;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionId, TopicId, TopicName};
use kabuki_runtime::{
    Actor, Arbiter, Budget, ChildSpec, Context, Fault, Handler, Policy, Supervisor, Timer,
};
use tokio::sync::Semaphore;

use append::{InFlight, Outgoing};
use book::Book;
use load::Reader;
use messages::{LeadershipMoved, ReadGroup, ReignEnded, RetentionDue};

use crate::coordinators::OFFSETS_TOPIC;
use crate::log_port::OffsetsLogFinder;
use crate::names::{GroupId, PathNames};
use crate::settings::Settings;

/// Requests, appends and reports that may wait for a shard, which takes some microseconds for each.
const SHARD_MAILBOX: usize = 16_384;

/// How long the children of a shard may take to answer those that wait and end.
const CHILD_STOP_WAIT: Duration = Duration::from_secs(1);

/// What all shards and groups of a node are built from.
pub(crate) struct Commons {
    pub(crate) node: NodeId,
    pub(crate) settings: Settings,
    pub(crate) image: ImageWatch,
    pub(crate) logs: OffsetsLogFinder,
    pub(crate) clock: WallClock,
    /// Where the children of all shards stand.
    pub(crate) groups: Supervisor,
    pub(crate) arbiter: Arbiter,
    pub(crate) path_names: PathNames,
    /// Who has it may use a thread: groups compute one after the other, in the order in which they asked, so
    /// that they leave the other cores to others.
    pub(crate) job_turn: Arc<Semaphore>,
}

/// The term in which this node leads the shard's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reign {
    topic_id: TopicId,
    leader_epoch: LeaderEpoch,
}

/// The actor of one partition of `__consumer_offsets`, `/coordinators/shards/7`.
pub(crate) struct Shard {
    commons: Arc<Commons>,
    partition: PartitionId,
    reign: Option<Reign>,
    /// The log was read up to where it ended when the reign began.
    is_serving: bool,
    /// Children of an earlier reign are ending.
    is_leaving: bool,
    is_stopping: bool,
    /// Tells results of jobs of an earlier reign.
    generation: u64,
    book: Book,
    reader: Option<Reader>,
    /// Failed looks for the log in a row.
    failed_looks: u32,
    /// All records below are in the book.
    known_end: Offset,
    /// Some append may have left records at or past `known_end` that are not in the book.
    is_uncertain: bool,
    outbox: VecDeque<Outgoing>,
    in_flight: BTreeMap<u64, InFlight>,
    next_ticket: u64,
    next_stamp: u64,
    send_timer: Option<Timer>,
    is_overdue_check_set: bool,
    waiting_reads: Vec<ReadGroup>,
    /// Groups to bring on stage, a few a turn; true for those that look for expired offsets then.
    to_wake: VecDeque<(GroupId, bool)>,
    bad_records: usize,
}

/// The child that plays partition `number`.
pub(crate) fn spec(commons: &Arc<Commons>, number: i32) -> ChildSpec<Shard> {
    let arbiter = commons.arbiter.clone();
    let commons = commons.clone();
    ChildSpec::new(number.to_string(), move || {
        Shard::new(commons.clone(), number)
    })
    .on(&arbiter)
    .mailbox(SHARD_MAILBOX, 256)
    .policy(tireless())
}

/// The policy of shards and groups: nobody else can do their work, so they are brought back as long as the
/// node runs. Their pauses end at 250 ms, in which requests get 14: a group that crashes upon each request of
/// one client costs four starts a second, and no other group.
pub(crate) fn tireless() -> Policy {
    let policy = Policy::default();
    let mut backoff = policy.backoff;
    backoff.max = Duration::from_millis(250);
    Policy {
        budget: Budget {
            restarts_max: u32::MAX,
            ..policy.budget
        },
        backoff,
        ..policy
    }
}

impl Shard {
    fn new(commons: Arc<Commons>, number: i32) -> Self {
        let topic = TopicName::new(OFFSETS_TOPIC).expect("the name is legal");
        Self {
            commons,
            partition: PartitionId::new(topic, number),
            reign: None,
            is_serving: false,
            is_leaving: false,
            is_stopping: false,
            generation: 0,
            book: Book::default(),
            reader: None,
            failed_looks: 0,
            known_end: Offset::ZERO,
            is_uncertain: false,
            outbox: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_ticket: 0,
            next_stamp: 0,
            send_timer: None,
            is_overdue_check_set: false,
            waiting_reads: Vec::new(),
            to_wake: VecDeque::new(),
            bad_records: 0,
        }
    }

    /// The reign that the image shows.
    fn shown_reign(&self) -> Option<Reign> {
        let image = self.commons.image.borrow();
        let topic = image.topic(OFFSETS_TOPIC)?;
        let partition = topic.partition(self.partition.partition)?;
        (partition.leader == self.commons.node).then_some(Reign {
            topic_id: topic.id,
            leader_epoch: partition.leader_epoch,
        })
    }

    /// Follows the image: another reign begins with an empty book, once nobody of the one before is left.
    fn follow(&mut self, cx: &mut Context<Self>) {
        let shown = match self.is_stopping {
            true => None,
            false => self.shown_reign(),
        };
        if self.is_leaving || shown == self.reign && !self.is_stopping {
            return;
        }
        if self.reign.is_some() {
            return self.end_reign(cx);
        }
        if self.is_stopping {
            return cx.stop();
        }
        // What the reign before has sent must be in the log, or not, before its end is looked for.
        if self.in_flight.is_empty() {
            self.reign = shown;
            self.look_for_log(cx);
        }
    }

    /// Ends all children. Who waits is told to ask again, or elsewhere.
    fn end_reign(&mut self, cx: &mut Context<Self>) {
        self.reign = None;
        self.is_serving = false;
        self.is_leaving = true;
        self.is_uncertain = false;
        self.generation += 1;
        self.reader = None;
        self.to_wake.clear();
        self.waiting_reads.clear();
        self.refuse_outbox("the partition is led by another now");
        let groups = &self.commons.groups;
        let names = self.book.played();
        let names = names.iter().map(|group| self.commons.path_names.of(group));
        let stops: Vec<_> = names
            .map(|name| groups.stop_child(&name, CHILD_STOP_WAIT))
            .collect();
        self.book = Book::default();
        let generation = self.generation;
        cx.spawn(
            async move {
                for stop in stops {
                    stop.await;
                }
            },
            move |()| ReignEnded { generation },
        );
    }
}

impl Actor for Shard {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        // Stamps of another instance must not be taken for this one's.
        self.next_stamp = cx.incarnation().0 << 40;
        cx.tell_after(self.commons.settings.retention_check, RetentionDue);
        self.follow(cx);
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        self.send_outbox(cx);
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        self.is_stopping = true;
        self.follow(cx);
    }

    fn describe(&self) -> String {
        let phase = match (self.reign, self.is_serving) {
            (None, _) => "away",
            (Some(_), false) => "loading",
            (Some(_), true) if self.is_uncertain => "looking-again",
            (Some(_), true) => "serving",
        };
        let groups = self.book.len();
        let end = self.known_end;
        format!(
            "phase={phase} groups={groups} log_end={end} bad_records={}",
            self.bad_records
        )
    }
}

impl Handler<LeadershipMoved> for Shard {
    fn handle(&mut self, _: LeadershipMoved, cx: &mut Context<Self>) {
        self.follow(cx);
    }
}

impl Handler<ReignEnded> for Shard {
    fn handle(&mut self, ended: ReignEnded, cx: &mut Context<Self>) {
        if ended.generation == self.generation {
            self.is_leaving = false;
            self.follow(cx);
        }
    }
}
