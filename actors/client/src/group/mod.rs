//! A consumer that shares the partitions of topics with the other members of its group. It speaks the
//! new protocol of groups: the broker assigns, the member says what it has let go of.

mod membership;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{Offset, TopicId};
use tokio::time::Instant;

use crate::admin::{Committer, TopicPartition, commit_offsets, fetch_offsets};
use crate::cluster::Client;
use crate::consumer::{ConsumedRecord, Consumer, ConsumerOptions, StartAt};
use crate::error::ClientError;
use membership::Membership;

/// How a member of a group reads.
///
/// ```
/// use kabuki_client::{GroupOptions, StartAt};
///
/// let options = GroupOptions {
///     when_uncommitted: StartAt::Beginning,
///     ..GroupOptions::new("billing", &["orders"])
/// };
/// assert_eq!(options.topics, ["orders"]);
/// ```
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Id of the group.
    pub group: String,
    /// Topics to read.
    pub topics: Vec<String>,
    /// Name that the member keeps over restarts: a restart within the session timeout gets the same
    /// partitions and moves nobody else's. Source: KIP-345.
    pub instance_id: Option<String>,
    /// Assignor of the broker, `uniform` or `range`; `None` for the broker's choice.
    pub assignor: Option<String>,
    /// Longest time between two calls of [`GroupConsumer::poll`] that the group waits for partitions.
    pub rebalance_timeout: Duration,
    /// How often what was given out is committed by itself; `None` for never.
    pub commit_interval: Option<Duration>,
    /// Where to begin in a partition that the group has no offset of.
    pub when_uncommitted: StartAt,
    /// How partitions are read.
    pub consumer: ConsumerOptions,
}

impl GroupOptions {
    /// The defaults, for a group and its topics.
    pub fn new(group: &str, topics: &[&str]) -> Self {
        Self {
            group: group.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            instance_id: None,
            assignor: None,
            rebalance_timeout: Duration::from_secs(300),
            commit_interval: Some(Duration::from_secs(5)),
            when_uncommitted: StartAt::End,
            consumer: ConsumerOptions::default(),
        }
    }
}

/// Reads topics together with the other members of a group.
///
/// A record counts as read when [`GroupConsumer::poll`] is called again; offsets are committed from time
/// to time, before a partition is given away, and by [`GroupConsumer::leave`]. So every record is given
/// out at least once. Heartbeats are sent by `poll`, so a member that does not call it for longer than
/// its session lasts loses its partitions, and joins again with the next call.
///
/// ```no_run
/// use kabuki_client::{Client, ClientOptions, GroupConsumer, GroupOptions};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), kabuki_client::ClientError> {
/// let client = Client::connect(ClientOptions::at("127.0.0.1:9092")).await?;
/// let mut consumer = GroupConsumer::new(client, GroupOptions::new("billing", &["orders"]));
/// for _ in 0..10 {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// consumer.leave().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    options: GroupOptions,
    membership: Membership,
    consumer: Consumer,
    owned: BTreeSet<TopicPartition>,
    committed: BTreeMap<TopicPartition, Offset>,
    commit_at: Instant,
}

impl GroupConsumer {
    /// A consumer that joins its group with the first [`GroupConsumer::poll`].
    pub fn new(client: Client, options: GroupOptions) -> Self {
        let when_out_of_range = match options.consumer.when_out_of_range {
            None => Some(options.when_uncommitted),
            start => start,
        };
        let consumer_options = ConsumerOptions {
            when_out_of_range,
            ..options.consumer.clone()
        };
        Self {
            membership: Membership::new(&options),
            consumer: Consumer::new(client.clone(), consumer_options),
            client,
            options,
            owned: BTreeSet::new(),
            committed: BTreeMap::new(),
            commit_at: Instant::now(),
        }
    }

    /// The partitions that it reads at the moment.
    pub fn assignment(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// Offset of the next record that is given out of a partition.
    pub fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        let position = self.consumer.position(topic, partition)?;
        Some(position.next)
    }

    /// Goes to another offset of a partition that it reads.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: Offset) {
        if self.owned.contains(&(topic.to_owned(), partition)) {
            let start = StartAt::Offset(offset);
            self.consumer.assign(topic, partition, start);
        }
    }

    /// The next records, of one batch of one partition; none if `wait` passes before any come.
    ///
    /// # Errors
    /// What keeps the member out of its group or a partition from being read, when trying again cannot
    /// help or the client's patience is over.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ConsumedRecord>, ClientError> {
        let give_up_at = Instant::now() + wait;
        self.commit_when_due().await?;
        loop {
            if Instant::now() >= self.membership.beat_at() {
                self.beat().await?;
            }
            let now = Instant::now();
            let until = give_up_at.min(self.membership.beat_at());
            let records = self
                .consumer
                .poll(until.saturating_duration_since(now))
                .await?;
            if !records.is_empty() || Instant::now() >= give_up_at {
                return Ok(records);
            }
        }
    }

    /// Commits all that was given out.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let positions = self.positions(&self.owned);
        self.commit_positions(positions).await
    }

    /// Commits all that was given out and leaves the group; a static member only for a while.
    pub async fn leave(mut self) -> Result<(), ClientError> {
        let committed = self.commit().await;
        if let Some(beat) = self.membership.leaving() {
            membership::send(&self.client, &self.options, &beat).await?;
        }
        committed
    }

    async fn commit_when_due(&mut self) -> Result<(), ClientError> {
        let Some(interval) = self.options.commit_interval else {
            return Ok(());
        };
        if Instant::now() < self.commit_at {
            return Ok(());
        }
        self.commit_at = Instant::now() + interval;
        self.commit().await
    }

    fn positions(&self, of: &BTreeSet<TopicPartition>) -> BTreeMap<TopicPartition, Offset> {
        let moved = of.iter().filter_map(|key| {
            let next = self.position(&key.0, key.1)?;
            let is_news = self.committed.get(key) != Some(&next);
            is_news.then(|| (key.clone(), next))
        });
        moved.collect()
    }

    async fn commit_positions(
        &mut self,
        positions: BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        loop {
            let by = Committer {
                epoch: self.membership.epoch(),
                member_id: self.membership.member_id().to_owned(),
                instance_id: self.options.instance_id.clone(),
            };
            let group = &self.options.group;
            let Err(error) = commit_offsets(&self.client, group, &by, &positions).await else {
                self.committed.extend(positions);
                return Ok(());
            };
            match error.code() {
                // The epoch has moved on: ask for it, then try again.
                Some(ErrorCode::StaleMemberEpoch) => {
                    if !self.exchange(None).await? {
                        return Ok(());
                    }
                }
                // Others read these partitions by now, from the last commit on.
                _ if membership::is_fenced(&error) => {
                    self.lose_all();
                    return Ok(());
                }
                // A topic that was deleted needs no offsets.
                Some(ErrorCode::UnknownTopicOrPartition) => return Ok(()),
                _ => return Err(error),
            }
        }
    }

    /// Sends a heartbeat and takes in the answer; false when the group has given this member up.
    async fn exchange(&mut self, owned: Option<&membership::Owned>) -> Result<bool, ClientError> {
        let beat = self.membership.beat(owned);
        match membership::send(&self.client, &self.options, &beat).await {
            Ok(told) => {
                self.membership.learn(&told);
                Ok(true)
            }
            Err(error) if membership::is_fenced(&error) => {
                self.lose_all();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// One heartbeat, and what its answer asks for.
    async fn beat(&mut self) -> Result<(), ClientError> {
        let owned = self.owned_by_id().await?;
        if !self.exchange(Some(&owned)).await? {
            return Ok(());
        }
        let mut names = BTreeMap::new();
        for name in &self.options.topics {
            if let Some(id) = self.topic_id(name).await? {
                names.insert(id, name.clone());
            }
        }
        let mut wanted = BTreeSet::new();
        for (id, partition) in self.membership.target() {
            match names.get(id) {
                Some(name) => {
                    wanted.insert((name.clone(), *partition));
                }
                // Created since the client looked: found with the next heartbeat.
                None => self.forget_topics(),
            }
        }
        self.change_to(wanted).await
    }

    /// Lets go of what is not wanted, and takes what is new where the group left off.
    async fn change_to(&mut self, wanted: BTreeSet<TopicPartition>) -> Result<(), ClientError> {
        if wanted == self.owned {
            return Ok(());
        }
        let revoked: BTreeSet<_> = self.owned.difference(&wanted).cloned().collect();
        let positions = self.positions(&revoked);
        self.commit_positions(positions).await?;
        if !self.membership.is_member() {
            return Ok(());
        }
        for (topic, partition) in &revoked {
            self.consumer.unassign(topic, *partition);
            self.committed.remove(&(topic.clone(), *partition));
            self.owned.remove(&(topic.clone(), *partition));
        }
        let added: BTreeSet<_> = wanted.difference(&self.owned).cloned().collect();
        if !added.is_empty() {
            let committed = fetch_offsets(&self.client, &self.options.group).await?;
            for key in added {
                let start = match committed.get(&key) {
                    Some(committed) => {
                        self.committed.insert(key.clone(), committed.offset);
                        StartAt::Offset(committed.offset)
                    }
                    None => self.options.when_uncommitted,
                };
                self.consumer.assign(&key.0, key.1, start);
                self.owned.insert(key);
            }
        }
        self.membership.acknowledge();
        Ok(())
    }

    /// The group goes on without this member: it joins again with the next heartbeat.
    fn lose_all(&mut self) {
        for (topic, partition) in std::mem::take(&mut self.owned) {
            self.consumer.unassign(&topic, partition);
        }
        self.committed.clear();
        self.membership.fenced();
    }

    async fn owned_by_id(&self) -> Result<membership::Owned, ClientError> {
        let mut owned = membership::Owned::new();
        for (name, partition) in &self.owned {
            if let Some(id) = self.topic_id(name).await? {
                owned.entry(id).or_default().insert(*partition);
            }
        }
        Ok(owned)
    }

    /// Id of a topic; one that does not exist, or not yet, is no error: the group waits for it.
    async fn topic_id(&self, name: &str) -> Result<Option<TopicId>, ClientError> {
        match self.client.topic(name).await {
            Ok(topic) => Ok(Some(topic.id)),
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn forget_topics(&self) {
        for name in &self.options.topics {
            self.client.forget_topic(name);
        }
    }
}
