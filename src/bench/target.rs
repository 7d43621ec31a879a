//! The topic under load: found or created, with the address of each partition's leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kabuki_client::{Admin, Client, ClientError, NewTopic, OffsetSpec, Topic};
use kabuki_protocol::error::ErrorCode;
use tokio::time::Instant;

use super::BenchError;
use crate::cli::cluster_at;

/// How long a new topic may take until all its partitions are served.
const LEADERS_WAIT: Duration = Duration::from_secs(120);

/// Between two questions for the leaders.
const LEADERS_PAUSE: Duration = Duration::from_millis(20);

/// What every measurement is told.
#[derive(Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// Addresses of brokers, parted by commas
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Topic to work on
    #[arg(long, default_value = "kabuki-bench")]
    topic: String,
    /// Prints the result as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A topic with leaders.
pub(super) struct Target {
    pub(super) admin: Admin,
    pub(super) topic: String,
    /// Address of the leader of each partition.
    leaders: BTreeMap<i32, String>,
}

impl Target {
    /// A topic that exists.
    pub(super) async fn find(args: &TargetArgs) -> Result<Self, BenchError> {
        let admin = admin(args).await?;
        let topic = admin.describe_topic(&args.topic).await?;
        Self::with_leaders(admin, topic).await
    }

    /// A topic that is created with that many partitions, or one each of the broker's default, if it
    /// is missing. One that exists has to have the number asked for.
    pub(super) async fn find_or_create(
        args: &TargetArgs,
        partitions: Option<u32>,
    ) -> Result<Self, BenchError> {
        let admin = admin(args).await?;
        let wanted = partitions.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        let topic = match admin.describe_topic(&args.topic).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                create(&admin, &args.topic, wanted.unwrap_or(1)).await?
            }
            other => other?,
        };
        let found = topic.partitions.len();
        if wanted.is_some_and(|wanted| usize::try_from(wanted) != Ok(found)) {
            let (name, wanted) = (&args.topic, wanted.unwrap_or_default());
            return Err(BenchError::Usage(format!(
                "topic {name} exists with {found} partitions, not with {wanted}"
            )));
        }
        Self::with_leaders(admin, topic).await
    }

    /// Waits until the leaders are known and answer: metadata may name one that has not yet heard of
    /// it, and thousands of new partitions take a broker a while.
    async fn with_leaders(admin: Admin, mut topic: Topic) -> Result<Self, BenchError> {
        let deadline = Instant::now() + LEADERS_WAIT;
        loop {
            match answering_leaders(&admin, &topic).await {
                Ok(leaders) => {
                    return Ok(Self {
                        admin,
                        topic: topic.name,
                        leaders,
                    });
                }
                Err(error) if !error.is_retriable() || Instant::now() > deadline => {
                    return Err(error.into());
                }
                Err(_) => tokio::time::sleep(LEADERS_PAUSE).await,
            }
            topic = admin.describe_topic(&topic.name).await?;
        }
    }

    /// Numbers of the partitions.
    pub(super) fn partitions(&self) -> Vec<i32> {
        self.leaders.keys().copied().collect()
    }

    /// Number of brokers that lead.
    pub(super) fn leader_count(&self) -> usize {
        let leaders: BTreeSet<&String> = self.leaders.values().collect();
        leaders.len()
    }

    /// Deals the partitions to connections: each connection has one leader and some of its
    /// partitions; where there are more connections than partitions, several share one.
    pub(super) fn deal(&self, connections: usize) -> Result<Vec<(String, Vec<i32>)>, BenchError> {
        deal(&self.leaders, connections)
    }
}

async fn admin(args: &TargetArgs) -> Result<Admin, BenchError> {
    let mut options = cluster_at(&args.bootstrap).map_err(BenchError::Usage)?;
    options.connection.client_id = "kabuki-bench".to_owned();
    Ok(Admin::new(Client::connect(options).await?))
}

/// Creates the topic and waits until the broker shows it.
async fn create(admin: &Admin, name: &str, partitions: i32) -> Result<Topic, ClientError> {
    let topic = NewTopic::named(name).partitions(partitions);
    if let Err(error) = admin.create_topic(&topic).await
        // Created a moment ago by somebody else: this broker has not heard of it yet.
        && error.code() != Some(ErrorCode::TopicAlreadyExists)
    {
        return Err(error);
    }
    let deadline = Instant::now() + LEADERS_WAIT;
    loop {
        match admin.describe_topic(name).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                if Instant::now() > deadline {
                    return Err(error);
                }
            }
            other => return other,
        }
        tokio::time::sleep(LEADERS_PAUSE).await;
    }
}

async fn answering_leaders(
    admin: &Admin,
    topic: &Topic,
) -> Result<BTreeMap<i32, String>, ClientError> {
    let leaders = leaders(admin.client(), topic)?;
    let numbers: Vec<i32> = leaders.keys().copied().collect();
    let ends = admin.list_offsets(&topic.name, &numbers, OffsetSpec::Latest);
    ends.await.map(|_| leaders)
}

fn leaders(client: &Client, topic: &Topic) -> Result<BTreeMap<i32, String>, ClientError> {
    let brokers = client.brokers();
    let address = |partition: &kabuki_client::Partition| {
        let leader = partition.leader;
        let broker = brokers.iter().find(|broker| Some(broker.id) == leader);
        let missing = || ClientError::NoLeader {
            topic: topic.name.clone(),
            partition: partition.index,
        };
        Ok((partition.index, broker.ok_or_else(missing)?.address()))
    };
    topic.partitions.iter().map(address).collect()
}

fn deal(
    leaders: &BTreeMap<i32, String>,
    connections: usize,
) -> Result<Vec<(String, Vec<i32>)>, BenchError> {
    let mut by_leader: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (partition, leader) in leaders {
        by_leader.entry(leader).or_default().push(*partition);
    }
    if connections < by_leader.len() {
        return Err(BenchError::Usage(format!(
            "{connections} connections do not reach {} leaders",
            by_leader.len()
        )));
    }
    let leader_count = by_leader.len();
    let mut dealt = Vec::with_capacity(connections);
    for (at, (leader, partitions)) in by_leader.into_iter().enumerate() {
        // The connections of this leader: its share, and one more for the first ones.
        let share = connections / leader_count + usize::from(at < connections % leader_count);
        for lane in 0..share {
            let mine = if share >= partitions.len() {
                vec![partitions[lane % partitions.len()]]
            } else {
                partitions
                    .iter()
                    .skip(lane)
                    .step_by(share)
                    .copied()
                    .collect()
            };
            dealt.push((leader.to_owned(), mine));
        }
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaders(list: &[&str]) -> BTreeMap<i32, String> {
        (0..)
            .zip(list.iter().map(|name| (*name).to_owned()))
            .collect()
    }

    #[test]
    fn every_partition_is_dealt_to_a_connection_of_its_leader() {
        let leaders = leaders(&["a", "b", "a", "a", "b", "a", "a"]);
        for connections in 2..20 {
            let dealt = deal(&leaders, connections).unwrap();
            assert_eq!(dealt.len(), connections);
            let mut seen = Vec::new();
            for (leader, partitions) in dealt {
                assert!(!partitions.is_empty());
                assert!(partitions.iter().all(|one| leaders[one] == leader));
                seen.extend(partitions);
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6], "{connections} connections");
        }
    }

    #[test]
    fn fewer_connections_than_leaders_are_refused() {
        assert!(deal(&leaders(&["a", "b"]), 1).is_err());
        assert_eq!(deal(&leaders(&["a"]), 3).unwrap().len(), 3);
    }
}
