//! Where partitions begin and end, and which offset a time has.

use std::collections::{BTreeMap, BTreeSet};

use kabuki_protocol::api::ApiKey;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset};
use kabuki_protocol::messages::ListOffsetsRequest;
use kabuki_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsTopic, TIMESTAMP_EARLIEST, TIMESTAMP_LATEST, TIMESTAMP_MAX,
};

use super::Admin;
use crate::cluster::Client;
use crate::error::ClientError;

/// Lowest version that knows [`OffsetSpec::MaxTimestamp`].
const VERSION_WITH_MAX_TIMESTAMP: i16 = 7;

/// Which offset of a partition is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one.
    Earliest,
    /// The one after the last committed record.
    Latest,
    /// That of the record with the largest timestamp.
    MaxTimestamp,
    /// That of the first record at or after a time, in milliseconds since 1970.
    AtOrAfter(i64),
}

/// An offset that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset, `None` where no record fits.
    pub offset: Option<Offset>,
    /// Timestamp of its record, where there is one.
    pub timestamp_ms: Option<i64>,
    /// Leader epoch of its record, -1 where unknown.
    pub leader_epoch: LeaderEpoch,
}

impl Admin {
    /// Finds an offset in each of these partitions of a topic.
    ///
    /// Tried again while leaders are away, for as long as the client has patience.
    ///
    /// ```no_run
    /// # async fn example(admin: kabuki_client::Admin) -> Result<(), kabuki_client::ClientError> {
    /// use kabuki_client::OffsetSpec;
    /// let ends = admin.list_offsets("orders", &[0, 1], OffsetSpec::Latest).await?;
    /// println!("partition 0 ends at {:?}", ends[&0].offset);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_offsets(
        &self,
        topic: &str,
        partitions: &[i32],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<i32, FoundOffset>, ClientError> {
        find_offsets(&self.client, topic, partitions, spec).await
    }
}

pub(crate) async fn find_offsets(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
) -> Result<BTreeMap<i32, FoundOffset>, ClientError> {
    let mut missing: BTreeSet<i32> = partitions.iter().copied().collect();
    let mut found = BTreeMap::new();
    let mut backoff = client.backoff();
    loop {
        let mut last = None;
        for (leader, asked) in by_leader(client, topic, &missing, &mut last).await? {
            match ask_leader(client, leader, topic, &asked, spec).await {
                Ok(answers) => {
                    for (partition, answer) in answers {
                        match answer {
                            Ok(offset) => {
                                missing.remove(&partition);
                                found.insert(partition, offset);
                            }
                            Err(error) if error.is_retriable() => last = Some(error),
                            Err(error) => return Err(error),
                        }
                    }
                }
                Err(error) if error.is_retriable() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        client.forget_topic(topic);
        if !backoff.pause().await {
            let unanswered = || ClientError::malformed("ListOffsets", "partitions are missing");
            return Err(last.unwrap_or_else(unanswered));
        }
    }
}

/// Sorts partitions by who leads them; those without a leader leave an error in `last`.
async fn by_leader(
    client: &Client,
    topic: &str,
    partitions: &BTreeSet<i32>,
    last: &mut Option<ClientError>,
) -> Result<BTreeMap<NodeId, Vec<(i32, LeaderEpoch)>>, ClientError> {
    let topic = client.topic(topic).await?;
    let mut leaders: BTreeMap<NodeId, Vec<(i32, LeaderEpoch)>> = BTreeMap::new();
    for partition in partitions {
        match topic.leader(*partition) {
            Ok((leader, epoch)) => leaders.entry(leader).or_default().push((*partition, epoch)),
            Err(error) if error.is_retriable() => *last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(leaders)
}

type Answers = Vec<(i32, Result<FoundOffset, ClientError>)>;

async fn ask_leader(
    client: &Client,
    leader: NodeId,
    topic: &str,
    partitions: &[(i32, LeaderEpoch)],
    spec: OffsetSpec,
) -> Result<Answers, ClientError> {
    let timestamp = match spec {
        OffsetSpec::Earliest => TIMESTAMP_EARLIEST,
        OffsetSpec::Latest => TIMESTAMP_LATEST,
        OffsetSpec::MaxTimestamp => TIMESTAMP_MAX,
        OffsetSpec::AtOrAfter(time_ms) => time_ms.max(0),
    };
    let asked = partitions
        .iter()
        .map(|(partition, epoch)| ListOffsetsPartition {
            partition_index: *partition,
            current_leader_epoch: epoch.get(),
            timestamp,
        });
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 0,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: asked.collect(),
        }],
        timeout_ms: super::ORDER_TIMEOUT_MS,
    };
    let connection = client.connection_to(leader).await?;
    let version = connection.version_of(ApiKey::ListOffsets)?;
    if spec == OffsetSpec::MaxTimestamp && version < VERSION_WITH_MAX_TIMESTAMP {
        return Err(ClientError::Unsupported {
            address: connection.address().to_owned(),
            api: ApiKey::ListOffsets,
            min: VERSION_WITH_MAX_TIMESTAMP,
            max: ApiKey::ListOffsets.spec().max,
        });
    }
    let answer = connection
        .call_in(version, &request, std::time::Duration::ZERO)
        .await?;
    let answered = answer.topics.into_iter().filter(|of| of.name == topic);
    let results = answered.flat_map(|of| of.partitions).map(|result| {
        let partition = result.partition_index;
        let what = || format!("offsets of {topic}-{partition}");
        let found = ClientError::check(result.error_code, None, what).map(|()| FoundOffset {
            offset: (result.offset >= 0).then_some(Offset(result.offset)),
            timestamp_ms: (result.timestamp >= 0).then_some(result.timestamp),
            leader_epoch: LeaderEpoch(result.leader_epoch),
        });
        (partition, found)
    });
    Ok(results.collect())
}
