//! The shell of the controller: takes commands, lets the state decide, proposes what was decided since
//! the last commit as one batch, and publishes and answers once it is committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;
use kabuki_runtime::{Actor, Context, EventKind, Fault, Handler, Lane, Message, ReplyPort};
use kabuki_storage::{DiskFault, FaultClass};
use tokio::sync::watch;

use crate::image::MetadataImage;
use crate::messages::{
    AllocateProducerId, AlterConfigs, AssignDirectories, CreatePartitions, CreateTopics,
    DeleteTopics, MarkPartitionOffline, MarkPartitionOnline, RaiseLeaderEpoch, RegisterBroker,
    UpdateFeatures,
};
use crate::records::Records;
use crate::refusal::NotCommitted;
use crate::spec::{ControllerSpec, FailStop};
use crate::state::{Decision, Metadata, Settings, idle_keys};
use crate::voter::{CommitFault, CompactFault, LocalVoter, RecoveredLog, RecoveryFault, flatten};

/// Decides all changes of the metadata. Built by [`crate::spec::spec`].
pub struct Controller {
    spec: ControllerSpec,
    publisher: Arc<watch::Sender<Arc<MetadataImage>>>,
    /// `None` until the log was read, and again once it must not be written any more.
    voter: Option<LocalVoter>,
    /// With everything decided; runs ahead of `committed` by the batch in flight and what waits.
    metadata: Metadata,
    committed: MetadataImage,
    /// Decided since the batch in flight was proposed: the next batch.
    waiting: Vec<Waiting>,
    in_flight: Option<InFlight>,
    compact_at_bytes: u64,
    is_compacting: bool,
    is_degraded: bool,
    is_stopping: bool,
    /// Keys that do nothing and of which the log was told.
    told_idle: BTreeSet<&'static str>,
}

/// Sends one answer: that of the state when committed, a refusal when not.
type Answer = Box<dyn FnOnce(Result<(), &NotCommitted>)>;

struct Waiting {
    records: Records,
    answer: Answer,
}

struct InFlight {
    /// The image once the batch is committed.
    image: MetadataImage,
    answers: Vec<Answer>,
}

/// The log was read.
struct LogRecovered(Result<Result<(LocalVoter, RecoveredLog), RecoveryFault>, DiskFault>);

/// The batch in flight ended.
struct BatchEnded(Result<Result<(), CommitFault>, DiskFault>);

/// The snapshot ended.
struct SnapshotEnded(Result<Result<(), CompactFault>, DiskFault>);

macro_rules! told_to_self {
    ($($message:ty),+) => {$(
        impl Message for $message {
            type Reply = ();
            // The data lane is held during recovery, and full when these matter most.
            const LANE: Lane = Lane::Control;
        }
    )+};
}

told_to_self!(LogRecovered, BatchEnded, SnapshotEnded);

impl Controller {
    pub(crate) fn new(
        spec: ControllerSpec,
        publisher: Arc<watch::Sender<Arc<MetadataImage>>>,
    ) -> Self {
        let committed = MetadataImage::empty(&spec.cluster_id);
        let metadata = Metadata::new(committed.clone(), Settings::new(&spec.config));
        Self {
            spec,
            publisher,
            voter: None,
            metadata,
            committed,
            waiting: Vec::new(),
            in_flight: None,
            compact_at_bytes: 0,
            is_compacting: false,
            is_degraded: false,
            is_stopping: false,
            told_idle: BTreeSet::new(),
        }
    }

    fn snapshot_every_bytes(&self) -> u64 {
        let key = "metadata.log.max.record.bytes.between.snapshots";
        u64::try_from(self.spec.config.number(key)).unwrap_or(u64::MAX)
    }

    /// Takes a decision over: visible to the next decisions now, to everybody once committed.
    fn submit<T: Refusable>(&mut self, decision: Decision<T>, reply: ReplyPort<T>) {
        let Decision { answer, records } = decision;
        let is_idle = self.waiting.is_empty() && self.in_flight.is_none();
        if records.is_empty() && is_idle {
            reply.send(answer);
            return;
        }
        // An answer without records may rest on what is not committed yet, so it waits as well.
        let applied = self.metadata.apply_all(&records);
        assert_eq!(
            applied,
            Ok(()),
            "a decision fits the image that it was made from"
        );
        let answer: Answer = Box::new(move |committed| match committed {
            Ok(()) => reply.send(answer),
            Err(why) => reply.send(answer.refused(why)),
        });
        self.waiting.push(Waiting { records, answer });
    }

    /// Proposes all that waits as one batch.
    fn propose(&mut self, cx: &mut Context<Self>) {
        let Some(voter) = &self.voter else { return };
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return;
        }
        let mut records = Records::new();
        let mut answers = Vec::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            records.extend(waiting.records);
            answers.push(waiting.answer);
        }
        if records.is_empty() {
            answers.into_iter().for_each(|answer| answer(Ok(())));
            return;
        }
        let idle: Vec<String> = idle_keys(&records)
            .filter(|(key, _)| self.told_idle.insert(key))
            .map(|(key, cause)| format!("{key} ({cause})"))
            .collect();
        if !idle.is_empty() {
            slog::warn!(cx.log(), "configuration without effect"; "keys" => idle.join(", "));
        }
        let base_offset = self.committed.offset() + 1;
        let image = self.metadata.image.clone();
        assert_eq!(
            image.offset(),
            self.committed.offset() + records.len() as i64,
            "the working image is ahead by the records that wait"
        );
        let batch = voter.propose(base_offset, &records, cx.hold_restart());
        self.in_flight = Some(InFlight { image, answers });
        cx.spawn(batch, BatchEnded);
    }

    fn publish(&mut self, image: MetadataImage) {
        assert!(
            image.offset() >= self.committed.offset(),
            "the image never goes back"
        );
        self.committed = image;
        self.publisher
            .send_replace(Arc::new(self.committed.clone()));
    }

    /// Nothing of what was decided since the last commit ever happened.
    fn refuse_all(&mut self, batch: InFlight, why: &NotCommitted) {
        let settings = self.metadata.settings.clone();
        self.metadata = Metadata::new(self.committed.clone(), settings);
        let waiting = self.waiting.drain(..).map(|waiting| waiting.answer);
        for answer in batch.answers.into_iter().chain(waiting) {
            answer(Err(why));
        }
    }

    /// Ends the node. Until it has ended nothing is taken or answered: who waits sees `Lost` at most.
    fn fail_stop(&mut self, code: i32, cause: String, cx: &mut Context<Self>) {
        slog::crit!(cx.log(), "metadata can not be kept, the node ends"; "cause" => &cause, "code" => code);
        cx.report(EventKind::Escalated, &cause);
        self.voter = None;
        cx.hold_data();
        (self.spec.fail_stop)(FailStop { code, cause });
    }

    fn compact_if_due(&mut self, cx: &mut Context<Self>) {
        let Some(voter) = &self.voter else { return };
        if self.is_compacting || voter.bytes_since_snapshot() < self.compact_at_bytes {
            return;
        }
        self.is_compacting = true;
        let snapshot = voter.compact(self.committed.clone(), cx.hold_restart());
        cx.spawn(snapshot, SnapshotEnded);
    }
}

impl Actor for Controller {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        cx.hold_data();
        let ControllerSpec {
            disk,
            cluster_id,
            may_format,
            ..
        } = &self.spec;
        cx.spawn(
            LocalVoter::recover(disk, cluster_id, *may_format),
            LogRecovered,
        );
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        self.propose(cx);
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        self.is_stopping = true;
        let is_idle = self.in_flight.is_none() && self.waiting.is_empty();
        // Without a log nothing that waits can still be committed.
        if is_idle || self.voter.is_none() {
            cx.stop();
        }
    }

    fn describe(&self) -> String {
        format!(
            "offset {}, {} topics, {} brokers, {} waiting",
            self.committed.offset(),
            self.committed.topic_count(),
            self.committed.brokers().count(),
            self.waiting.len()
        )
    }
}

impl Handler<LogRecovered> for Controller {
    fn handle(&mut self, LogRecovered(ended): LogRecovered, cx: &mut Context<Self>) {
        let recovered = match ended {
            Ok(recovered) => recovered,
            Err(fault) => {
                return self.fail_stop(FailStop::LOG_UNREADABLE, fault.to_string(), cx);
            }
        };
        let (voter, log) = match recovered {
            Ok(recovered) => recovered,
            Err(fault) => {
                let code = match &fault {
                    RecoveryFault::Image { .. } => FailStop::IMAGE_BROKEN,
                    _ => FailStop::LOG_UNREADABLE,
                };
                return self.fail_stop(code, fault.to_string(), cx);
            }
        };
        slog::info!(cx.log(), "metadata log read";
            "offset" => log.image.offset(), "topics" => log.image.topic_count(),
            "is_formatted" => log.is_formatted, "cut_bytes" => log.cut_bytes);
        self.voter = Some(voter);
        self.metadata = Metadata::new(log.image.clone(), self.metadata.settings.clone());
        self.compact_at_bytes = self.snapshot_every_bytes();
        self.publish(log.image);
        cx.release_data();
    }
}

impl Handler<BatchEnded> for Controller {
    fn handle(&mut self, BatchEnded(ended): BatchEnded, cx: &mut Context<Self>) {
        let batch = self
            .in_flight
            .take()
            .expect("a batch ends once, and only after it was proposed");
        match flatten(ended) {
            Ok(()) => {
                self.publish(batch.image);
                batch.answers.into_iter().for_each(|answer| answer(Ok(())));
                if std::mem::take(&mut self.is_degraded) {
                    cx.report(EventKind::Healed, "the metadata log takes changes again");
                }
                self.compact_if_due(cx);
            }
            Err(CommitFault::NotDone { class, cause }) => {
                if !std::mem::replace(&mut self.is_degraded, true) {
                    cx.report(EventKind::Degraded, &cause);
                }
                let why = match class {
                    FaultClass::Full => NotCommitted::LogFull,
                    _ => NotCommitted::LogUnwritable { cause },
                };
                self.refuse_all(batch, &why);
            }
            Err(CommitFault::Uncertain(cause)) => {
                // The ports are dropped: the outcome is unknown, and that is what is answered.
                drop(batch);
                self.waiting.clear();
                self.fail_stop(FailStop::LOG_UNCERTAIN, cause, cx);
            }
        }
        if self.is_stopping && self.waiting.is_empty() {
            cx.stop();
        }
    }
}

impl Handler<SnapshotEnded> for Controller {
    fn handle(&mut self, SnapshotEnded(ended): SnapshotEnded, cx: &mut Context<Self>) {
        self.is_compacting = false;
        self.compact_at_bytes = self.snapshot_every_bytes();
        let cause = match ended {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => fault.to_string(),
            Err(fault) => fault.to_string(),
        };
        // The log alone holds everything; only the next start takes longer. Tried again after as many
        // bytes as between two snapshots, so that a full disk is not asked again at every commit.
        slog::warn!(cx.log(), "metadata snapshot not written"; "cause" => cause);
        let logged = self
            .voter
            .as_ref()
            .map_or(0, LocalVoter::bytes_since_snapshot);
        self.compact_at_bytes += logged;
    }
}

/// Answers in which a success can be taken back before it was sent.
trait Refusable: Send + 'static {
    fn refused(self, why: &NotCommitted) -> Self;
}

impl<T: Send + 'static, E: From<NotCommitted> + Send + 'static> Refusable for Result<T, E> {
    fn refused(self, why: &NotCommitted) -> Self {
        self.and_then(|_| Err(why.clone().into()))
    }
}

impl<R: Refusable> Refusable for Vec<R> {
    fn refused(self, why: &NotCommitted) -> Self {
        self.into_iter().map(|answer| answer.refused(why)).collect()
    }
}

macro_rules! decides {
    ($($message:ty: |$metadata:ident, $command:ident| $decide:expr;)+) => {$(
        impl Handler<$message> for Controller {
            fn handle(&mut self, $command: $message, _cx: &mut Context<Self>) {
                let $metadata = &mut self.metadata;
                let decision = $decide;
                self.submit(decision, $command.reply);
            }
        }
    )+};
}

decides! {
    CreateTopics: |metadata, command|
        metadata.create_topics(&command.topics, command.validate_only, TopicId::random);
    DeleteTopics: |metadata, command| metadata.delete_topics(&command.topics);
    CreatePartitions: |metadata, command|
        metadata.create_partitions(&command.topics, command.validate_only);
    AlterConfigs: |metadata, command|
        metadata.alter_configs(&command.resources, command.validate_only);
    UpdateFeatures: |metadata, command|
        metadata.update_features(&command.updates, command.validate_only);
    AllocateProducerId: |metadata, command| {
        let Decision { answer, records } = metadata.allocate_producer_id();
        Decision { answer: Ok(answer), records }
    };
    RegisterBroker: |metadata, command| {
        let Decision { answer, records } = metadata.register_broker(&command);
        Decision { answer: Ok(answer), records }
    };
    AssignDirectories: |metadata, command|
        metadata.assign_directories(command.node, &command.assignments);
    RaiseLeaderEpoch: |metadata, command|
        metadata.raise_leader_epoch(command.node, command.partition);
    MarkPartitionOffline: |metadata, command|
        metadata.mark_offline(command.node, command.partition);
    MarkPartitionOnline: |metadata, command|
        metadata.mark_online(command.node, command.partition);
}
