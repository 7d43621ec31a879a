//! How the session reaches those it sends to: one recipient a message, so that the handlers are
//! tested against small stand-ins and know nothing of how partitions and controller are built.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::messages::{
    AllocateProducerId, AlterConfigs, CreatePartitions, CreateTopics, DeleteTopics, UpdateFeatures,
};
use kabuki_partition::{
    AppendRecords, AwaitLeadership, DescribePartition, DescribeProducers, FindEpochEnd, FindOffset,
    ReadRecords, TrimLog, UnwatchPartition, WatchPartition,
};
use kabuki_protocol::ids::PartitionId;
use kabuki_replica::DescribeLogDir;
use kabuki_runtime::{
    Actor, Addr, AskError, Handler, Message, Recipient, ReplyPort, Standstill, Undelivered,
    reply_channel,
};
use tokio::time::Instant;

/// The partition actor that hosts a replica here.
#[derive(Debug, Clone)]
pub struct PartitionPort {
    pub(crate) append: Recipient<AppendRecords>,
    pub(crate) read: Recipient<ReadRecords>,
    pub(crate) watch: Recipient<WatchPartition>,
    pub(crate) unwatch: Recipient<UnwatchPartition>,
    pub(crate) find_offset: Recipient<FindOffset>,
    pub(crate) find_epoch_end: Recipient<FindEpochEnd>,
    pub(crate) trim: Recipient<TrimLog>,
    pub(crate) await_leadership: Recipient<AwaitLeadership>,
    pub(crate) describe: Recipient<DescribePartition>,
    pub(crate) describe_producers: Recipient<DescribeProducers>,
    /// Whether the thread that serves it stands still; none where that is the session's own.
    pub(crate) standstill: Option<Standstill>,
}

impl PartitionPort {
    /// The port of an actor that understands what a session sends to a partition. Called on the
    /// arbiter of the session.
    pub fn of<A>(address: &Addr<A>) -> Self
    where
        A: Actor
            + Handler<AppendRecords>
            + Handler<ReadRecords>
            + Handler<WatchPartition>
            + Handler<UnwatchPartition>
            + Handler<FindOffset>
            + Handler<FindEpochEnd>
            + Handler<TrimLog>
            + Handler<AwaitLeadership>
            + Handler<DescribePartition>
            + Handler<DescribeProducers>,
    {
        Self {
            append: address.recipient(),
            read: address.recipient(),
            watch: address.recipient(),
            unwatch: address.recipient(),
            find_offset: address.recipient(),
            find_epoch_end: address.recipient(),
            trim: address.recipient(),
            await_leadership: address.recipient(),
            describe: address.recipient(),
            describe_producers: address.recipient(),
            // On the same thread it would tell of a hang only when that is over.
            standstill: (!address.same_arbiter()).then(|| address.standstill().clone()),
        }
    }

    /// The same, as if it was served by the thread that this tells of.
    #[must_use]
    pub fn with_standstill(self, standstill: Standstill) -> Self {
        Self {
            standstill: Some(standstill),
            ..self
        }
    }

    /// True while no answer can be expected.
    pub(crate) fn stands_still(&self) -> bool {
        self.standstill.as_ref().is_some_and(Standstill::is_still)
    }
}

/// Finds the partition actor of this node, or `None` when it hosts no such replica. Must not block.
pub type PartitionFinder = Arc<dyn Fn(&PartitionId) -> Option<PartitionPort> + Send + Sync>;

/// A log directory that the configuration names.
#[derive(Debug, Clone)]
pub struct LogDirPort {
    /// What its partitions' directories lie in.
    pub(crate) path: PathBuf,
    /// The same as clients are told it, from the root on.
    pub(crate) name: String,
    /// Who stands for it; nobody where it was left out at the start.
    pub(crate) describe: Option<Recipient<DescribeLogDir>>,
}

impl LogDirPort {
    /// The port of the actor that stands for a directory, or of one that is offline.
    pub fn of<A>(path: &Path, address: Option<&Addr<A>>) -> Self
    where
        A: Actor + Handler<DescribeLogDir>,
    {
        let absolute = std::path::absolute(path);
        Self {
            path: path.to_owned(),
            name: absolute.as_deref().unwrap_or(path).display().to_string(),
            describe: address.map(Addr::recipient),
        }
    }
}

/// The controller, or whoever forwards to it.
#[derive(Debug, Clone)]
pub struct ControllerPort {
    pub(crate) create_topics: Recipient<CreateTopics>,
    pub(crate) delete_topics: Recipient<DeleteTopics>,
    pub(crate) create_partitions: Recipient<CreatePartitions>,
    pub(crate) alter_configs: Recipient<AlterConfigs>,
    pub(crate) allocate_producer_id: Recipient<AllocateProducerId>,
    pub(crate) update_features: Recipient<UpdateFeatures>,
}

impl ControllerPort {
    /// The port of an actor that understands what a session sends to the controller.
    pub fn of<A>(address: &Addr<A>) -> Self
    where
        A: Actor
            + Handler<CreateTopics>
            + Handler<DeleteTopics>
            + Handler<CreatePartitions>
            + Handler<AlterConfigs>
            + Handler<AllocateProducerId>
            + Handler<UpdateFeatures>,
    {
        Self {
            create_topics: address.recipient(),
            delete_topics: address.recipient(),
            create_partitions: address.recipient(),
            alter_configs: address.recipient(),
            allocate_producer_id: address.recipient(),
            update_features: address.recipient(),
        }
    }
}

/// Sends a message that carries its own reply port, and waits for the answer at most `deadline`.
/// For cold requests only: it costs a timer and a channel.
pub(crate) fn ask<M, T, F>(
    recipient: &Recipient<M>,
    deadline: Duration,
    message: F,
) -> impl Future<Output = Result<T, AskError>> + use<M, T, F>
where
    M: Message,
    F: FnOnce(ReplyPort<T>) -> M,
{
    let recipient = recipient.clone();
    let until = Instant::now() + deadline;
    let (port, reply) = reply_channel();
    let message = message(port);
    async move {
        match tokio::time::timeout_at(until, recipient.tell(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => return Err(AskError::NotDone(refused.why)),
            Err(_) => return Err(AskError::NotDone(Undelivered::Full)),
        }
        match tokio::time::timeout_at(until, reply).await {
            Ok(answer) => answer.map_err(AskError::from),
            Err(_) => Err(AskError::DeadlinePassed),
        }
    }
}

/// As [`ask`] for a partition: gives up as soon as the thread that serves it stands still.
pub(crate) fn ask_partition<M, T, F>(
    port: &PartitionPort,
    recipient: &Recipient<M>,
    deadline: Duration,
    message: F,
) -> impl Future<Output = Result<T, AskError>> + use<M, T, F>
where
    M: Message,
    F: FnOnce(ReplyPort<T>) -> M,
{
    let standstill = port.standstill.clone();
    let asking = ask(recipient, deadline, message);
    async move {
        let Some(standstill) = standstill else {
            return asking.await;
        };
        tokio::select! {
            biased;
            answer = asking => answer,
            () = standstill.stands_still() => Err(AskError::DeadlinePassed),
        }
    }
}
