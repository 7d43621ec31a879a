//! Fetch (key 1): reads batches from partitions and may wait for new ones. Versions 4 to 18.
//!
//! The session owns the wait: all partitions are read, and while there is too little to answer, each
//! tells the session once when it moves; what moved is read again and the whole request judged anew.
//! Nothing else of the connection runs meanwhile. Fetch sessions are in
//! `state::fetch_sessions`, the order and limits of reading in `state::fetch_round`.
//!
//! | version | what it added here |
//! |---|---|
//! | 5 | log start offset; before 6, error 56 is told as 6 |
//! | 7 | fetch sessions, error of the whole request |
//! | 9 | leader epoch the client knows: 74 and 75 |
//! | 12 | last fetched epoch: diverging epoch |
//! | 13 | topics by id: 100 |
//! | 15 | replica state in place of the replica id |
//! | 16 | current leader and its endpoint upon 6 and 74 |
//!
//! zstd data goes to every version as it is stored. A fetch by a replica is refused: there is
//! no replication between nodes yet. Source: KIP-227, KIP-74.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kabuki_partition::{
    Isolation, NotServed, ReadRecords, ReadRefused, UnwatchPartition, WatchPartition, WatcherId,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_protocol::messages::fetch::FetchRequest;
use kabuki_runtime::{Context, Handler, NoReply, Recipient, Timer, Undelivered};
use tokio::time::Instant;

use super::fetch_answer::{answer, failure, refusal, session_ask};
use crate::actor::Session;
use crate::messages::{FetchWaitDue, ReadAnswered, WatchEnded};
use crate::ports::PartitionPort;
use crate::refusals::{code_of, read_unanswered};
use crate::request::{Answer, RequestContext};
use crate::routes::Unrouted;
use crate::state::closings::CloseSort;
use crate::state::fetch_round::{
    FetchLimits, FetchRound, PartitionFetched, ReadOrder, ReadRoom, Verdict,
};
use crate::state::fetch_sessions::{FetchAsk, FetchContext, FetchKey, FetchTopic};
use crate::state::pipeline::Ticket;

/// A fetch may always read so much, also while the memory for answers is spent: one answer at a time
/// and connection is what keeps a consumer going.
const BYTES_WHEN_SPENT: usize = 64 * 1024;

/// How long after `max_wait_ms` a partition may still take to answer a read that is out. A slow disk
/// gets its chance; past it the partition is answered as failed.
const READ_GRACE: Duration = Duration::from_secs(10);

/// The Fetch of a connection, and the watchers it has left with partitions.
pub(crate) struct FetchDesk {
    watcher: WatcherId,
    current: Option<InFlight>,
    /// Those that have not fired.
    watches: HashMap<(TopicId, i32), Watch>,
    watches_placed: u64,
}

/// A watcher that a partition keeps for this session.
struct Watch {
    number: u64,
    /// The high watermark it waits to see passed.
    after: Offset,
    unwatch: Recipient<UnwatchPartition>,
}

/// One Fetch under way.
struct InFlight {
    ticket: Ticket,
    context: RequestContext,
    isolation: Isolation,
    is_follower: bool,
    /// The limit of the whole answer is below 0.
    has_negative_limit: bool,
    session: FetchContext,
    round: FetchRound,
    /// Who serves each partition, as known when it was last read.
    targets: Vec<Option<Target>>,
    /// Places in `targets`; filled when the fetch first waits.
    places: HashMap<(TopicId, i32), usize>,
    started: Instant,
    wait: Duration,
    timer: Option<Timer>,
    is_over: bool,
}

struct Target {
    topic: TopicId,
    partition: i32,
    port: Arc<PartitionPort>,
}

impl FetchDesk {
    /// `number` is the connection's, unique in the node.
    pub(crate) fn new(number: u64) -> Self {
        Self {
            watcher: WatcherId(number),
            current: None,
            watches: HashMap::new(),
            watches_placed: 0,
        }
    }

    /// Record bytes read for the answer in the making, or about to be read.
    pub(crate) fn held_bytes(&self) -> usize {
        self.current
            .as_ref()
            .map_or(0, |fetch| fetch.round.held_bytes())
    }
}

impl Drop for FetchDesk {
    /// The partitions need not remember a connection that has ended.
    fn drop(&mut self) {
        for watch in self.watches.values() {
            // A full mailbox loses nothing: the watcher fires once more, into a port that is gone.
            let _ = watch.unwatch.try_tell(UnwatchPartition {
                watcher: self.watcher,
            });
        }
    }
}

impl Session {
    /// Finds out what a Fetch wants; its reads are sent by [`Session::advance_fetch`].
    pub(crate) fn start_fetch(
        &mut self,
        ticket: Ticket,
        request: FetchRequest,
        context: RequestContext,
        cx: &mut Context<Self>,
    ) {
        let (isolation, fails) = match request.isolation_level {
            0 => (Isolation::ReadUncommitted, None),
            1 => (Isolation::ReadCommitted, None),
            _ => (Isolation::ReadUncommitted, Some(request.clone())),
        };
        let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
        let free = self.services.memory.free_bytes().max(BYTES_WHEN_SPENT);
        let request_bytes_max = request.max_bytes;
        let bytes_max = bytes(request_bytes_max)
            .min(self.services.limits.fetch_bytes_max)
            .min(free);
        let limits = FetchLimits {
            bytes_max,
            bytes_min: bytes(request.min_bytes),
        };
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let ask = session_ask(request, context.version);
        let is_follower = ask.is_follower;
        let session = match self.services.fetch_sessions.begin(ask, cx.now()) {
            Ok(session) => session,
            Err(refused) => {
                let answer = refusal(&context, code_of(&refused));
                self.pipeline.answer(ticket, answer);
                return;
            }
        };
        // Kafka looks at the level when it begins to read what is there.
        if let Some(request) = fails
            && session.partitions.iter().any(|(key, _)| self.is_there(key))
        {
            let answer = failure(&context, ErrorCode::UnknownServerError, request);
            self.pipeline.answer(ticket, answer);
            return;
        }
        let partition_bytes = session
            .partitions
            .iter()
            .map(|(_, ask)| bytes(ask.bytes_max));
        let round = FetchRound::new(limits, partition_bytes.collect());
        let targets = session.partitions.iter().map(|_| None).collect();
        self.fetch.current = Some(InFlight {
            ticket,
            context,
            isolation,
            is_follower,
            has_negative_limit: request_bytes_max < 0,
            session,
            round,
            targets,
            places: HashMap::new(),
            is_over: wait.is_zero(),
            started: cx.now(),
            wait,
            timer: None,
        });
    }

    /// Sends due reads, waits, or answers; true if it answered. Called whenever something came in.
    pub(crate) fn advance_fetch(&mut self, cx: &mut Context<Self>) -> bool {
        loop {
            let Some(fetch) = &mut self.fetch.current else {
                return false;
            };
            match fetch.round.verdict(fetch.is_over) {
                Verdict::Unfinished => {
                    let free = self.services.memory.free_bytes();
                    let room = ReadRoom {
                        free_bytes: free.max(BYTES_WHEN_SPENT),
                        batch_bytes: self.services.limits.batch_bytes_max,
                    };
                    let orders = fetch.round.next_reads(room);
                    if orders.is_empty() {
                        return false;
                    }
                    // The other sessions are to see what is reserved before they reserve theirs.
                    self.account();
                    self.read_partitions(orders, cx);
                }
                Verdict::Wait => {
                    self.park_fetch(cx);
                    return false;
                }
                Verdict::Answer => {
                    self.answer_fetch(cx);
                    return true;
                }
            }
        }
    }

    /// Answers for partitions that have let a read lie past all patience. Called every few seconds, so
    /// that a Fetch needs no timer of its own for it.
    pub(crate) fn give_up_silent_reads(&mut self, now: Instant) {
        if let Some(fetch) = &mut self.fetch.current
            && now >= fetch.started + fetch.wait + READ_GRACE
        {
            fetch.is_over = true;
            fetch.round.give_up_reads(ErrorCode::KafkaStorageError);
        }
    }

    /// Takes partitions whose thread stands still for not answering.
    pub(crate) fn give_up_still_reads(&mut self, thread: u64) {
        let Some(fetch) = &mut self.fetch.current else {
            return;
        };
        for (place, target) in fetch.targets.iter().enumerate() {
            let standstill = target.as_ref().and_then(|it| it.port.standstill.as_ref());
            let is_meant = standstill.is_some_and(|it| it.number() == thread);
            if is_meant && fetch.round.is_reading(place) {
                fetch.round.read(place, PartitionFetched::StandsStill);
            }
        }
    }

    /// The connection ends: a Fetch that waits has nobody to answer.
    pub(crate) fn end_parked_fetch(&mut self) {
        if let Some(fetch) = self.fetch.current.take() {
            let cause = "client left while its fetch was waiting".to_owned();
            let sort = CloseSort::Left;
            self.pipeline
                .answer(fetch.ticket, Answer::Close { sort, cause });
        }
    }

    fn read_partitions(&mut self, orders: Vec<ReadOrder>, cx: &mut Context<Self>) {
        self.routes.refresh(&self.services);
        // Taken out so that sends can borrow the session; put back before anything can answer.
        let Some(mut fetch) = self.fetch.current.take() else {
            return;
        };
        for ReadOrder {
            index,
            bytes_max,
            must_return_one,
        } in orders
        {
            let (key, ask) = &fetch.session.partitions[index];
            let target = match self.target(key, ask.current_leader_epoch, fetch.is_follower) {
                Ok(target) => target,
                Err(failed) => {
                    fetch.targets[index] = None;
                    fetch.round.read(index, failed);
                    continue;
                }
            };
            let FetchAsk {
                fetch_offset,
                current_leader_epoch,
                last_fetched_epoch,
                ..
            } = *ask;
            let ticket = fetch.ticket;
            let reply = cx.reply_port(move |outcome| ReadAnswered {
                ticket,
                index,
                outcome,
            });
            let read = ReadRecords {
                topic_id: target.topic,
                fetch_offset,
                bytes_max,
                must_return_one,
                current_leader_epoch,
                last_fetched_epoch,
                isolation: fetch.isolation,
                reply,
            };
            let standstill = target.port.standstill.as_ref();
            self.watch_thread(standstill, cx);
            self.send(&target.port.read, read, standstill, cx);
            fetch.targets[index] = Some(target);
        }
        self.fetch.current = Some(fetch);
    }

    fn is_there(&mut self, key: &FetchKey) -> bool {
        self.routes.refresh(&self.services);
        let image = self.routes.image();
        let topic = match &key.topic {
            FetchTopic::Name(name) => image.topic(name),
            FetchTopic::Id(id) => image.topic_by_id(*id),
        };
        topic.is_some_and(|topic| topic.partition(key.partition).is_some())
    }

    fn target(
        &mut self,
        key: &FetchKey,
        current_leader_epoch: LeaderEpoch,
        is_follower: bool,
    ) -> Result<Target, PartitionFetched> {
        let services = self.services.clone();
        let (route, unknown) = match &key.topic {
            FetchTopic::Name(name) => (
                self.routes.by_name(name, &services),
                ErrorCode::UnknownTopicOrPartition,
            ),
            FetchTopic::Id(id) => (self.routes.by_id(*id, &services), ErrorCode::UnknownTopicId),
        };
        let route = route.ok_or(PartitionFetched::failed(unknown))?;
        let (topic, partition) = (route.topic.id, key.partition);
        if is_follower && let Some(image) = route.topic.partition(partition) {
            if current_leader_epoch > image.leader_epoch {
                return Err(PartitionFetched::failed(ErrorCode::UnknownLeaderEpoch));
            }
            // No replica of ours fetches over this protocol: whoever asks holds none.
            let leader = Some((image.leader, image.leader_epoch));
            return Err(PartitionFetched::Failed {
                code: ErrorCode::NotLeaderOrFollower,
                leader,
            });
        }
        match route.port(partition, &services) {
            Ok(port) => Ok(Target {
                topic,
                partition,
                port: port.clone(),
            }),
            Err(unrouted) => Err(unrouted_fetch(unrouted)),
        }
    }

    /// Leaves a watcher with every partition and a timer for `max_wait_ms`.
    fn park_fetch(&mut self, cx: &mut Context<Self>) {
        let Some(mut fetch) = self.fetch.current.take() else {
            return;
        };
        if fetch.timer.is_none() {
            let ticket = fetch.ticket;
            fetch.timer = Some(cx.tell_after(fetch.wait, FetchWaitDue { ticket }));
            let targets = fetch.targets.iter().enumerate();
            fetch.places = targets
                .filter_map(|(place, target)| Some((target.as_ref()?.key(), place)))
                .collect();
        }
        for (place, target) in fetch.targets.iter().enumerate() {
            if let Some(target) = target
                && let Some(after) = fetch.round.high_watermark(place)
            {
                self.watch(target, after, cx);
            }
        }
        self.fetch.current = Some(fetch);
    }

    /// A watcher that an earlier fetch left and that waits for the same is as good as a new one.
    fn watch(&mut self, target: &Target, after: Offset, cx: &mut Context<Self>) {
        let desk = &mut self.fetch;
        if desk
            .watches
            .get(&target.key())
            .is_some_and(|watch| watch.after == after)
        {
            return;
        }
        desk.watches_placed += 1;
        let number = desk.watches_placed;
        let unwatch = target.port.unwatch.clone();
        desk.watches.insert(
            target.key(),
            Watch {
                number,
                after,
                unwatch,
            },
        );
        let (topic, partition) = target.key();
        // Moved, removed or crashed: the partition is to be read again in each case.
        let reply = cx.reply_port(move |_| WatchEnded {
            topic,
            partition,
            number,
        });
        let watch = WatchPartition {
            topic_id: topic,
            watcher: self.fetch.watcher,
            after,
            reply,
        };
        let standstill = target.port.standstill.as_ref();
        self.send(&target.port.watch, watch, standstill, cx);
    }

    fn answer_fetch(&mut self, cx: &mut Context<Self>) {
        let Some(fetch) = self.fetch.current.take() else {
            return;
        };
        if let Some(timer) = fetch.timer {
            cx.cancel(timer);
        }
        let InFlight {
            ticket,
            context,
            isolation,
            is_follower,
            session,
            round,
            ..
        } = fetch;
        let image = self.routes.image();
        let answer = answer(
            &context,
            image,
            (isolation, is_follower),
            session,
            round.into_fetched(),
            cx.now(),
        );
        self.pipeline.answer(ticket, answer);
    }
}

impl InFlight {
    /// Whether Kafka fails where it would read this partition: below a limit of its own that is
    /// negative, or, being the first, below one of the whole answer, of which the others get 0.
    fn fails_to_read(&self, index: usize, high_watermark: Offset) -> bool {
        let ask = &self.session.partitions[index].1;
        let is_negative = ask.bytes_max < 0
            || (self.has_negative_limit && self.targets[..index].iter().all(Option::is_none));
        is_negative && ask.fetch_offset < high_watermark
    }
}

impl Target {
    fn key(&self) -> (TopicId, i32) {
        (self.topic, self.partition)
    }
}

fn unrouted_fetch(unrouted: Unrouted) -> PartitionFetched {
    let code = code_of(unrouted);
    match unrouted {
        Unrouted::UnknownPartition => PartitionFetched::failed(code),
        Unrouted::StandsStill => PartitionFetched::StandsStill,
        Unrouted::NotLeader {
            leader,
            leader_epoch,
        } => PartitionFetched::Failed {
            code,
            leader: Some((leader, leader_epoch)),
        },
    }
}

impl Handler<ReadAnswered> for Session {
    fn handle(&mut self, message: ReadAnswered, _cx: &mut Context<Self>) {
        let ReadAnswered {
            ticket,
            index,
            outcome,
        } = message;
        let Some(fetch) = self
            .fetch
            .current
            .as_mut()
            .filter(|fetch| fetch.ticket == ticket)
        else {
            return;
        };
        if !fetch.round.is_reading(index) {
            return;
        }
        let fetched = match outcome {
            Ok(Ok(read)) if fetch.fails_to_read(index, read.high_watermark) => {
                PartitionFetched::failed(ErrorCode::UnknownServerError)
            }
            Ok(Ok(read)) => PartitionFetched::Read {
                records: read.records,
                high_watermark: read.high_watermark,
                last_stable_offset: read.last_stable_offset,
                log_start: read.log_start,
                diverging: read.diverging,
            },
            Ok(Err(refused @ ReadRefused::NotServed(NotServed::ForeignTopic { .. }))) => {
                if let Some(target) = &fetch.targets[index] {
                    self.routes.forget(target.topic, target.partition);
                }
                PartitionFetched::failed(match fetch.session.partitions[index].0.topic {
                    FetchTopic::Id(_) => code_of(&refused),
                    FetchTopic::Name(_) => ErrorCode::UnknownTopicOrPartition,
                })
            }
            Ok(Err(refused)) => {
                let code = code_of(&refused);
                let is_led_elsewhere = matches!(
                    code,
                    ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
                );
                let leader = fetch.targets[index].as_ref().filter(|_| is_led_elsewhere);
                let leader = leader.and_then(|target| {
                    let image = self.routes.image().topic_by_id(target.topic)?;
                    let partition = image.partition(target.partition)?;
                    Some((partition.leader, partition.leader_epoch))
                });
                PartitionFetched::Failed { code, leader }
            }
            Err(no_reply) => {
                if no_reply == NoReply::NotDone(Undelivered::Stopped)
                    && let Some(target) = &fetch.targets[index]
                {
                    self.routes.forget(target.topic, target.partition);
                }
                PartitionFetched::failed(read_unanswered(no_reply))
            }
        };
        fetch.round.read(index, fetched);
    }
}

impl Handler<WatchEnded> for Session {
    /// A partition moved, or lost the watcher: what it would answer may have changed.
    fn handle(&mut self, message: WatchEnded, _cx: &mut Context<Self>) {
        let key = (message.topic, message.partition);
        let watch = self.fetch.watches.get(&key);
        if watch.is_none_or(|watch| watch.number != message.number) {
            return;
        }
        self.fetch.watches.remove(&key);
        if let Some(fetch) = self.fetch.current.as_mut().filter(|fetch| !fetch.is_over)
            && let Some(place) = fetch.places.get(&key)
        {
            fetch.round.moved(*place);
        }
    }
}

impl Handler<FetchWaitDue> for Session {
    fn handle(&mut self, tick: FetchWaitDue, _cx: &mut Context<Self>) {
        let fetch = self.fetch.current.as_mut();
        if let Some(fetch) = fetch.filter(|fetch| fetch.ticket == tick.ticket) {
            fetch.is_over = true;
        }
    }
}
