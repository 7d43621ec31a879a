//! Produce (key 0): appends one batch to each of several partitions. Versions 3 to 13; 0 to 2 are
//! advertised, as librdkafka looks for them, and refused by closing.
//!
//! Batches are checked here, before a partition's mailbox; all batches of a request are sent at once
//! and answered together when the last partition has answered or `timeout_ms` is over. Requests of
//! one connection overlap and reach a partition in their order.
//!
//! | version | what it added here |
//! |---|---|
//! | 5 | answer has `log_start_offset` |
//! | 7 | zstd (before: 76) |
//! | 8 | answer has `record_errors` and `error_message` |
//! | 10 | answer has the current leader and its endpoint upon 6 |
//! | 13 | topics by id |
//!
//! Source: KIP-98, KIP-467, KIP-951, KIP-516.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kabuki_partition::{
    AppendRecords, AppendRefused, FindOffset, Isolation, OffsetTarget, RequiredAcks,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicId};
use kabuki_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use kabuki_protocol::records::{
    Attributes, CheckedBatch, RecordRefused, check_form, check_measurable, leading_attributes,
};
use kabuki_runtime::{Context, Handler, NoReply, Standstill, Timer, Undelivered};
use tokio::time::Instant;

use super::produce_answer::{appended, failed, record_refused, response};
use super::produce_costly::{CostlyBatch, CostlyBatches, check_here};
use crate::actor::Session;
use crate::messages::{AppendAnswered, LogStartFound, ProduceDeadlineDue};
use crate::ports::PartitionPort;
use crate::refusals::{ProduceFailure, append_unanswered, code_of};
use crate::request::RequestContext;
use crate::routes::{TopicRoute, Unrouted};
use crate::state::pipeline::Ticket;

/// The client id with which Kafka's tools may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// The shortest time a request waits for its partitions, whatever it asks: a partition that restarts
/// is back or refuses within it, which says more than a time-out.
const WAIT_MIN: Duration = Duration::from_millis(250);

/// The longest: what Kafka's clients have as their own upper bound of patience (`delivery.timeout.ms`
/// of two minutes) many times over.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// The Produce requests of a connection that wait for partitions.
#[derive(Debug, Default)]
pub(crate) struct ProduceDesk {
    pub(super) waiting: BTreeMap<Ticket, Waiting>,
    /// Batches that are checked elsewhere; nothing starts before they are done.
    pub(crate) costly: CostlyBatches,
    /// One timer serves all requests: for the earliest deadline.
    timer: Option<(Timer, Instant)>,
}

/// One request whose partitions have not all answered.
pub(crate) struct Waiting {
    pub(crate) context: RequestContext,
    pub(crate) acks: i16,
    /// What every partition is answered with, and keeps all of its batches from being appended.
    refusal: Option<PartitionProduceResponse>,
    pub(crate) topics: Vec<TopicPlaces>,
    /// One for each partition, in the order of the request.
    pub(crate) outcomes: Vec<PartitionProduceResponse>,
    /// Where each outcome comes from.
    origins: Vec<Origin>,
    /// Which outcomes are not final.
    is_open: Vec<bool>,
    pub(super) open_count: usize,
    /// Leaders elsewhere that the answer names with their endpoints.
    pub(crate) leaders: Vec<NodeId>,
    deadline: Instant,
}

/// Where an outcome comes from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    /// To forget an actor that has stopped.
    topic: TopicId,
    partition: i32,
    /// Number of the thread that serves it, where that can stand still.
    thread: Option<u64>,
}

/// Which outcomes belong to which topic.
#[derive(Debug)]
pub(crate) struct TopicPlaces {
    pub(crate) name: String,
    pub(crate) topic_id: TopicId,
    pub(crate) count: usize,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.outcomes.len();
        write!(f, "Waiting {{ {} of {count} open }}", self.open_count)
    }
}

impl Waiting {
    pub(super) fn close(&mut self, index: usize, outcome: PartitionProduceResponse) {
        assert!(
            self.is_open[index],
            "partition {index} of a request is answered twice"
        );
        self.is_open[index] = false;
        self.open_count -= 1;
        let index_in_topic = self.outcomes[index].index;
        self.outcomes[index] = PartitionProduceResponse {
            index: index_in_topic,
            ..outcome
        };
    }
}

impl Session {
    /// Sends the batches of a request to their partitions.
    pub(crate) fn start_produce(
        &mut self,
        ticket: Ticket,
        request: ProduceRequest,
        context: RequestContext,
        cx: &mut Context<Self>,
    ) {
        let topics = last_of_each(request.topic_data);
        let count = topics.iter().map(|topic| topic.partition_data.len()).sum();
        let refusal = match topics.iter().find_map(unmeasurable) {
            Some(refused) => Some(record_refused(0, &refused)),
            // A transactional batch needs the id of its transaction, or nothing is appended at all.
            None if request.transactional_id.is_none() && topics.iter().any(is_transactional) => {
                Some(failed(0, ErrorCode::TransactionalIdAuthorizationFailed))
            }
            None => None,
        };
        let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let mut waiting = Waiting {
            context,
            acks: request.acks,
            refusal,
            topics: Vec::with_capacity(topics.len()),
            outcomes: Vec::with_capacity(count),
            origins: Vec::with_capacity(count),
            is_open: Vec::with_capacity(count),
            open_count: count,
            leaders: Vec::new(),
            deadline: cx.now() + wait.clamp(WAIT_MIN, WAIT_MAX),
        };
        for topic in topics {
            self.append_to_topic(ticket, topic, &mut waiting, cx);
        }
        if waiting.open_count == 0 {
            let answer = response(waiting, self.routes.image());
            self.pipeline.answer(ticket, answer);
            return;
        }
        let deadline = waiting.deadline;
        self.produce.waiting.insert(ticket, waiting);
        self.arm_produce_timer(deadline, cx);
        self.check_costly(cx);
    }

    fn arm_produce_timer(&mut self, deadline: Instant, cx: &mut Context<Self>) {
        if let Some((timer, armed_for)) = self.produce.timer {
            if armed_for <= deadline {
                return;
            }
            cx.cancel(timer);
        }
        let timer = cx.tell_after(deadline - cx.now(), ProduceDeadlineDue);
        self.produce.timer = Some((timer, deadline));
    }

    fn append_to_topic(
        &mut self,
        ticket: Ticket,
        topic: TopicProduceData,
        waiting: &mut Waiting,
        cx: &mut Context<Self>,
    ) {
        let by_id = waiting.context.version >= 13;
        let services = self.services.clone();
        let TopicProduceData {
            name,
            topic_id,
            partition_data,
        } = topic;
        let count = partition_data.len();
        for PartitionProduceData { index, records } in partition_data {
            let place = waiting.outcomes.len();
            waiting.outcomes.push(failed(index, ErrorCode::None));
            waiting.is_open.push(true);
            let route = match by_id {
                true => self.routes.by_id(topic_id, &services),
                false => self.routes.by_name(&name, &services),
            };
            let id = route.as_ref().map_or(topic_id, |route| route.topic.id);
            waiting.origins.push(Origin {
                topic: id,
                partition: index,
                thread: None,
            });
            if let Some(refusal) = waiting.refusal.clone() {
                waiting.close(place, refusal);
                continue;
            }
            let Some(route) = route else {
                let unknown = match by_id {
                    true => ErrorCode::UnknownTopicId,
                    false => ErrorCode::UnknownTopicOrPartition,
                };
                waiting.close(place, failed(index, unknown));
                continue;
            };
            let port = route.port(index, &services).cloned();
            if let Some(code) = forbidden(waiting, route)
                && !matches!(port, Err(Unrouted::UnknownPartition))
            {
                let refused = check_form(records.as_ref(), waiting.context.version);
                let outcome = match refused {
                    Ok(()) => failed(index, code),
                    Err(refused) => record_refused(index, &refused),
                };
                waiting.close(place, outcome);
                continue;
            }
            let port = match port {
                Ok(port) => port,
                Err(unrouted) => {
                    waiting.close(place, unrouted_outcome(index, unrouted, services.node()));
                    let leader = unrouted.leader_elsewhere(services.node());
                    waiting.leaders.extend(leader.map(|(leader, _)| leader));
                    continue;
                }
            };
            route.rules.produce_version = waiting.context.version;
            match check_here(records.as_ref(), &route.rules, (services.clock)()) {
                Some(checked) => {
                    self.append_checked(ticket, place, id, checked, &port, waiting, cx);
                }
                None => self.produce.costly.push(CostlyBatch {
                    ticket,
                    place,
                    topic: id,
                    records,
                    rules: route.rules.clone(),
                    port,
                }),
            }
        }
        waiting.topics.push(TopicPlaces {
            name,
            topic_id,
            count,
        });
    }

    /// Sends a batch to its partition, or closes its outcome.
    #[expect(
        clippy::too_many_arguments,
        reason = "what one batch of a request is about"
    )]
    pub(super) fn append_checked(
        &mut self,
        ticket: Ticket,
        place: usize,
        topic_id: TopicId,
        checked: Result<CheckedBatch, RecordRefused>,
        port: &PartitionPort,
        waiting: &mut Waiting,
        cx: &mut Context<Self>,
    ) {
        match checked {
            Ok(batch) if batch.header.attributes.is_transactional() => {
                // Nobody can have opened a transaction: InitProducerId hands out no id for one.
                let index = waiting.outcomes[place].index;
                waiting.close(place, failed(index, ErrorCode::InvalidTxnState));
            }
            Ok(_) if port.stands_still() => {
                // Since it was looked for: a batch may have been checked elsewhere meanwhile.
                let index = waiting.outcomes[place].index;
                waiting.close(place, failed(index, ErrorCode::KafkaStorageError));
            }
            Ok(batch) => {
                let required_acks = match waiting.acks {
                    -1 => RequiredAcks::All,
                    _ => RequiredAcks::Leader,
                };
                let reply = cx.reply_port(move |outcome| AppendAnswered {
                    ticket,
                    index: place,
                    outcome,
                });
                let append = AppendRecords {
                    topic_id,
                    batch,
                    required_acks,
                    reply,
                };
                self.expect_answer(place, port, waiting, cx);
                self.send(&port.append, append, port.standstill.as_ref(), cx);
            }
            Err(refused) => self.refuse_batch(ticket, place, &refused, port, waiting, cx),
        }
    }

    /// Answers a batch that is wrong in itself; where the answer names the log start, the partition
    /// is asked for it first.
    fn refuse_batch(
        &mut self,
        ticket: Ticket,
        place: usize,
        refused: &RecordRefused,
        port: &PartitionPort,
        waiting: &mut Waiting,
        cx: &mut Context<Self>,
    ) {
        let index = waiting.outcomes[place].index;
        let outcome = record_refused(index, refused);
        let version = waiting.context.version;
        let is_plain = version < 5 || !refused.kind.answers_log_start(version);
        if is_plain || port.stands_still() {
            waiting.close(place, outcome);
            return;
        }
        waiting.outcomes[place] = outcome;
        let reply = cx.reply_port(move |outcome| LogStartFound {
            ticket,
            index: place,
            outcome,
        });
        let find = FindOffset {
            topic_id: waiting.origins[place].topic,
            target: OffsetTarget::Earliest,
            isolation: Isolation::ReadUncommitted,
            current_leader_epoch: LeaderEpoch::NONE,
            reply,
        };
        self.expect_answer(place, port, waiting, cx);
        self.send(&port.find_offset, find, port.standstill.as_ref(), cx);
    }

    /// From here on the outcome is the partition's to tell, unless its thread stands still.
    fn expect_answer(
        &mut self,
        place: usize,
        port: &PartitionPort,
        waiting: &mut Waiting,
        cx: &mut Context<Self>,
    ) {
        waiting.origins[place].thread = port.standstill.as_ref().map(Standstill::number);
        self.watch_thread(port.standstill.as_ref(), cx);
    }

    /// Takes partitions whose thread stands still for not answering: their batches may be written.
    pub(crate) fn give_up_still_appends(&mut self, thread: u64) {
        self.close_unknown(|waiting, place| waiting.origins[place].thread == Some(thread));
    }

    /// Answers 7 for what is open and meant: it may be written.
    fn close_unknown(&mut self, is_meant: impl Fn(&Waiting, usize) -> bool) {
        for waiting in self.produce.waiting.values_mut() {
            for place in 0..waiting.outcomes.len() {
                if waiting.is_open[place] && is_meant(waiting, place) {
                    waiting.close(place, failed(0, ErrorCode::RequestTimedOut));
                }
            }
        }
        let is_closed = |_: &Ticket, waiting: &mut Waiting| waiting.open_count == 0;
        for (ticket, waiting) in self.produce.waiting.extract_if(.., is_closed) {
            let answer = response(waiting, self.routes.image());
            self.pipeline.answer(ticket, answer);
        }
    }

    fn close_partition(&mut self, ticket: Ticket, place: usize, outcome: PartitionProduceResponse) {
        let Some(waiting) = self.produce.waiting.get_mut(&ticket) else {
            return;
        };
        waiting.close(place, outcome);
        if waiting.open_count == 0
            && let Some(waiting) = self.produce.waiting.remove(&ticket)
        {
            let answer = response(waiting, self.routes.image());
            self.pipeline.answer(ticket, answer);
        }
    }
}

/// What forbids any append to a topic: told where partition and form of the batch are right.
fn forbidden(waiting: &Waiting, route: &TopicRoute) -> Option<ErrorCode> {
    if !(-1..=1).contains(&waiting.acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    let is_kept = route.topic.is_internal() && *waiting.context.client_id != *ADMIN_CLIENT_ID;
    is_kept.then_some(ErrorCode::InvalidTopicException)
}

fn records_of(topic: &TopicProduceData) -> impl Iterator<Item = &Bytes> {
    let partitions = topic.partition_data.iter();
    partitions.flat_map(|partition| &partition.records)
}

fn unmeasurable(topic: &TopicProduceData) -> Option<RecordRefused> {
    records_of(topic).find_map(|records| check_measurable(records).err())
}

fn is_transactional(topic: &TopicProduceData) -> bool {
    records_of(topic)
        .filter_map(|records| leading_attributes(records))
        .any(Attributes::is_transactional)
}

fn unrouted_outcome(index: i32, unrouted: Unrouted, node: NodeId) -> PartitionProduceResponse {
    let mut outcome = failed(index, code_of(unrouted));
    if let Some((leader, leader_epoch)) = unrouted.leader_elsewhere(node) {
        outcome.current_leader.leader_id = leader.get();
        outcome.current_leader.leader_epoch = leader_epoch.get();
    }
    outcome
}

/// A partition that stands twice in a request counts once, with its last batch.
fn last_of_each(mut topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    let count: usize = topics.iter().map(|topic| topic.partition_data.len()).sum();
    if count <= 1 {
        return topics;
    }
    let mut last = HashMap::with_capacity(count);
    for (at_topic, topic) in topics.iter().enumerate() {
        for (at, partition) in topic.partition_data.iter().enumerate() {
            last.insert(
                (topic.name.clone(), topic.topic_id, partition.index),
                (at_topic, at),
            );
        }
    }
    if last.len() == count {
        return topics;
    }
    for (at_topic, topic) in topics.iter_mut().enumerate() {
        let TopicProduceData {
            name,
            topic_id,
            partition_data,
        } = topic;
        let mut at = 0;
        partition_data.retain(|partition| {
            let key = (name.clone(), *topic_id, partition.index);
            let is_last = last.get(&key) == Some(&(at_topic, at));
            at += 1;
            is_last
        });
    }
    topics.retain(|topic| !topic.partition_data.is_empty());
    topics
}

impl Handler<AppendAnswered> for Session {
    fn handle(&mut self, message: AppendAnswered, _cx: &mut Context<Self>) {
        let AppendAnswered {
            ticket,
            index: place,
            outcome,
        } = message;
        let Some(waiting) = self.produce.waiting.get(&ticket) else {
            return;
        };
        if !waiting.is_open[place] {
            // Answered as unknown when its thread stood still.
            return;
        }
        let index = waiting.outcomes[place].index;
        let by_id = waiting.context.version >= 13;
        let has_left = matches!(
            outcome,
            Err(NoReply::NotDone(Undelivered::Stopped))
                | Ok(Err(AppendRefused::ForeignTopic { .. }))
        );
        if has_left {
            let Origin {
                topic, partition, ..
            } = waiting.origins[place];
            self.routes.forget(topic, partition);
        }
        let outcome = match outcome {
            Ok(Ok(done)) => appended(index, &done),
            Ok(Err(AppendRefused::ForeignTopic { .. })) if by_id => {
                failed(index, ErrorCode::UnknownTopicId)
            }
            Ok(Err(refused)) => {
                let ProduceFailure { code, log_start } = ProduceFailure::from(&refused);
                PartitionProduceResponse {
                    log_start_offset: log_start.get(),
                    ..failed(index, code)
                }
            }
            Err(no_reply) => failed(index, append_unanswered(no_reply)),
        };
        self.close_partition(ticket, place, outcome);
    }
}

impl Handler<LogStartFound> for Session {
    fn handle(&mut self, message: LogStartFound, _cx: &mut Context<Self>) {
        let LogStartFound {
            ticket,
            index: place,
            outcome,
        } = message;
        let Some(waiting) = self.produce.waiting.get(&ticket) else {
            return;
        };
        if !waiting.is_open[place] {
            return;
        }
        let log_start = match outcome {
            Ok(Ok(found)) => found.offset,
            // Without it the refusal itself is still right.
            Ok(Err(_)) | Err(_) => Offset::NONE,
        };
        let refused = waiting.outcomes[place].clone();
        let log_start_offset = log_start.get();
        let outcome = PartitionProduceResponse {
            log_start_offset,
            ..refused
        };
        self.close_partition(ticket, place, outcome);
    }
}

impl Handler<ProduceDeadlineDue> for Session {
    /// Answers 7 for what is open in requests whose time is over: it may be written.
    fn handle(&mut self, _tick: ProduceDeadlineDue, cx: &mut Context<Self>) {
        let now = cx.now();
        self.close_unknown(|waiting, _| waiting.deadline <= now);
        self.produce.timer = None;
        if let Some(earliest) = self
            .produce
            .waiting
            .values()
            .map(|waiting| waiting.deadline)
            .min()
        {
            self.arm_produce_timer(earliest, cx);
        }
    }
}
