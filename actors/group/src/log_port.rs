//! How a shard reaches the partition of `__consumer_offsets` that it keeps its groups in.

use std::sync::Arc;
use std::time::Duration;

use kabuki_partition::{
    AppendRecords, AwaitLeadership, FindOffset, Isolation, OffsetTarget, ReadRecords, RecordsRead,
};
use kabuki_protocol::ids::{LeaderEpoch, Offset, PartitionId, TopicId};
use kabuki_runtime::{Actor, Addr, Handler, Message, Recipient, ReplyPort, reply_channel};

/// How long a look-up or a read may take before it is tried again. A read waits for a disk at most.
const READ_WAIT: Duration = Duration::from_secs(10);

/// How long a partition may recover before it is looked for again: it may have gone meanwhile.
const LEAD_WAIT: Duration = Duration::from_secs(60);

/// A partition of `__consumer_offsets` that this node hosts.
#[derive(Debug, Clone)]
pub struct OffsetsLog {
    pub(crate) append: Recipient<AppendRecords>,
    read: Recipient<ReadRecords>,
    find_offset: Recipient<FindOffset>,
    await_leadership: Recipient<AwaitLeadership>,
}

/// Finds the actor that hosts a partition here. Must not block.
pub type OffsetsLogFinder = Arc<dyn Fn(&PartitionId) -> Option<OffsetsLog> + Send + Sync>;

impl OffsetsLog {
    /// The log of an actor that understands what a shard sends to a partition.
    pub fn of<A>(address: &Addr<A>) -> Self
    where
        A: Actor
            + Handler<AppendRecords>
            + Handler<ReadRecords>
            + Handler<FindOffset>
            + Handler<AwaitLeadership>,
    {
        Self {
            append: address.recipient(),
            read: address.recipient(),
            find_offset: address.recipient(),
            await_leadership: address.recipient(),
        }
    }

    /// Waits until the partition leads; first offset of the log, and the high watermark then.
    pub(crate) async fn bounds(&self, topic_id: TopicId) -> Result<(Offset, Offset), String> {
        let wait = |reply| AwaitLeadership { topic_id, reply };
        ask(&self.await_leadership, LEAD_WAIT, wait).await?;
        let start = self.find(topic_id, OffsetTarget::Earliest).await?;
        let end = self.find(topic_id, OffsetTarget::Latest).await?;
        Ok((start, end))
    }

    async fn find(&self, topic_id: TopicId, target: OffsetTarget) -> Result<Offset, String> {
        let find = |reply| FindOffset {
            topic_id,
            target,
            isolation: Isolation::ReadUncommitted,
            current_leader_epoch: LeaderEpoch::NONE,
            reply,
        };
        let found = ask(&self.find_offset, READ_WAIT, find).await?;
        Ok(found.offset)
    }

    /// Reads whole batches from the one that holds `from`, at least one.
    pub(crate) async fn read(
        &self,
        topic_id: TopicId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<RecordsRead, String> {
        let read = |reply| ReadRecords {
            topic_id,
            fetch_offset: from,
            bytes_max,
            must_return_one: true,
            current_leader_epoch: LeaderEpoch::NONE,
            last_fetched_epoch: LeaderEpoch::NONE,
            isolation: Isolation::ReadUncommitted,
            reply,
        };
        ask(&self.read, READ_WAIT, read).await
    }
}

async fn ask<M, T, E>(
    recipient: &Recipient<M>,
    limit: Duration,
    message: impl FnOnce(ReplyPort<Result<T, E>>) -> M,
) -> Result<T, String>
where
    M: Message,
    E: std::fmt::Display,
{
    let (port, reply) = reply_channel();
    let message = message(port);
    let asked = async {
        recipient
            .tell(message)
            .await
            .map_err(|refused| refused.to_string())?;
        match reply.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(refused)) => Err(refused.to_string()),
            Err(no_reply) => Err(no_reply.to_string()),
        }
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}
