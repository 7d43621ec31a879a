//! A consumer that shares the partitions of topics with the other members of its group. It speaks the
//! new protocol of groups: the broker assigns, the member says what it has let go of.

mod heart;
mod membership;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{Offset, TopicId};
use tokio::time::Instant;

use crate::admin::{Committer, TopicPartition, commit_offsets, fetch_offsets};
use crate::cluster::Client;
use crate::consumer::{ConsumedRecord, Consumer, ConsumerOptions, StartAt};
use crate::error::ClientError;
use heart::{Heart, Shared};
use membership::Partitions;

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
    /// Longest time that the program may work on records between two calls of [`GroupConsumer::poll`].
    /// After it the member leaves its group; the group waits no longer for partitions that it shall give
    /// away. Kafka's `max.poll.interval.ms`.
    pub poll_interval_max: Duration,
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
            poll_interval_max: Duration::from_secs(300),
            commit_interval: Some(Duration::from_secs(5)),
            when_uncommitted: StartAt::End,
            consumer: ConsumerOptions::default(),
        }
    }
}

/// Why a member has lost its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The group has given it up: no heartbeat came for a session, or somebody has removed it.
    Fenced,
    /// The program has not polled for [`GroupOptions::poll_interval_max`], so the member has left.
    PollOverdue,
}

/// What a call of [`GroupConsumer::poll`] has changed in the partitions of its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentChange {
    /// Read from now on.
    Assigned(BTreeSet<TopicPartition>),
    /// Given away, after what was read of them was committed.
    Revoked(BTreeSet<TopicPartition>),
    /// Taken away: others may read them already, from the last commit on. The member joins again.
    Lost {
        /// All that it had.
        partitions: BTreeSet<TopicPartition>,
        /// Why.
        cause: LossCause,
    },
}

/// Reads topics together with the other members of a group.
///
/// A record counts as read when [`GroupConsumer::poll`] is called again; offsets are committed from time
/// to time, before a partition is given away, and by [`GroupConsumer::leave`]. So every record is given
/// out at least once.
///
/// Heartbeats are sent by a task, for as long as the program calls `poll` every
/// [`GroupOptions::poll_interval_max`]; where it blocks the thread of a runtime that has no other, they
/// are not (work of that sort belongs into `tokio::task::spawn_blocking`). A member that has lost its
/// partitions is told by the next `poll`, see [`GroupConsumer::changes`], and joins again.
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
    heart: Heart,
    consumer: Consumer,
    owned: BTreeMap<TopicPartition, TopicId>,
    changes: Vec<AssignmentChange>,
    /// Answers to heartbeats whose assignment was looked at.
    answers_seen: u64,
    committed: BTreeMap<TopicPartition, Offset>,
    commit_at: Instant,
}

/// While it lives, the program waits for records and is not overdue.
struct Polling(Arc<Shared>);

impl Polling {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.change(|membership| membership.poll_begins(Instant::now()));
        Self(shared.clone())
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.0
            .change(|membership| membership.poll_ends(Instant::now()));
    }
}

impl GroupConsumer {
    /// A consumer that joins its group with the first [`GroupConsumer::poll`]. Must be called inside of a
    /// tokio runtime.
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
            heart: Heart::start(client.clone(), &options),
            consumer: Consumer::new(client.clone(), consumer_options),
            client,
            options,
            owned: BTreeMap::new(),
            changes: Vec::new(),
            answers_seen: 0,
            committed: BTreeMap::new(),
            commit_at: Instant::now(),
        }
    }

    /// The partitions that it reads at the moment.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    /// What the last call of [`GroupConsumer::poll`] has changed, in order.
    pub fn changes(&self) -> &[AssignmentChange] {
        &self.changes
    }

    /// Offset of the next record that is given out of a partition.
    pub fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        let position = self.consumer.position(topic, partition)?;
        Some(position.next)
    }

    /// Goes to another offset of a partition that it reads.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: Offset) {
        if self.owned.contains_key(&(topic.to_owned(), partition)) {
            let start = StartAt::Offset(offset);
            self.consumer.assign(topic, partition, start);
        }
    }

    /// The next records, of one batch of one partition; none if `wait` passes before any come, or when the
    /// member has lost its partitions.
    ///
    /// # Errors
    /// What keeps the member out of its group or a partition from being read, when trying again cannot
    /// help or the client's patience is over.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ConsumedRecord>, ClientError> {
        let give_up_at = Instant::now() + wait;
        let shared = self.heart.shared.clone();
        let _polling = Polling::begin(&shared);
        self.changes.clear();
        self.commit_when_due().await?;
        loop {
            self.reconcile().await?;
            if self.is_told_of_loss() {
                return Ok(Vec::new());
            }
            if let Some(failure) = shared.membership().take_failure() {
                return Err(failure);
            }
            let left = give_up_at.saturating_duration_since(Instant::now());
            let records = tokio::select! {
                biased;
                () = shared.news() => continue,
                records = self.consumer.poll(left) => records?,
            };
            if !records.is_empty() || Instant::now() >= give_up_at {
                return Ok(records);
            }
        }
    }

    /// Commits all that was given out.
    ///
    /// # Errors
    /// Also where the group has gone on without this member: others read its partitions from the last
    /// commit on.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let positions = self.positions(self.owned.keys());
        self.commit_positions(positions).await
    }

    /// Commits all that was given out and leaves the group; a static member only for a while.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit`]; and what kept the group from hearing of it.
    pub async fn leave(mut self) -> Result<(), ClientError> {
        let committed = self.commit().await;
        self.heart.leave().await?;
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
        let positions = self.positions(self.owned.keys());
        self.commit_unless_lost(positions).await
    }

    fn positions<'a>(
        &self,
        of: impl Iterator<Item = &'a TopicPartition>,
    ) -> BTreeMap<TopicPartition, Offset> {
        let moved = of.filter_map(|key| {
            let next = self.position(&key.0, key.1)?;
            let is_news = self.committed.get(key) != Some(&next);
            is_news.then(|| (key.clone(), next))
        });
        moved.collect()
    }

    /// As [`GroupConsumer::commit_positions`], for `poll`, which tells of a loss itself.
    async fn commit_unless_lost(
        &mut self,
        positions: BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        match self.commit_positions(positions).await {
            Err(_) if self.heart.shared.membership().lost().is_some() => Ok(()),
            committed => committed,
        }
    }

    async fn commit_positions(
        &mut self,
        positions: BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let group = &self.options.group;
        let shared = &self.heart.shared;
        let mut backoff = self.client.backoff();
        loop {
            let (by, answers) = {
                let membership = shared.membership();
                if membership.lost().is_some() {
                    let code = ErrorCode::UnknownMemberId.code();
                    return ClientError::check(code, None, || format!("commit of group {group}"));
                }
                let by = Committer {
                    epoch: membership.epoch(),
                    member_id: membership.member_id().to_owned(),
                    instance_id: self.options.instance_id.clone(),
                };
                (by, membership.answers())
            };
            let Err(error) = commit_offsets(&self.client, group, &by, &positions).await else {
                self.committed.extend(positions);
                return Ok(());
            };
            match error.code() {
                // The epoch has moved on: it is asked for, then the commit is tried again.
                Some(ErrorCode::StaleMemberEpoch) => {
                    if !backoff.pause().await {
                        return Err(error);
                    }
                    shared.change(|membership| membership.hurry(Instant::now()));
                    while shared.membership().answers() == answers {
                        shared.news().await;
                    }
                }
                // Others read these partitions by now, from the last commit on.
                _ if membership::is_fenced(&error) => {
                    shared.change(|membership| membership.lose(LossCause::Fenced));
                    return Err(error);
                }
                // A topic that was deleted needs no offsets.
                Some(ErrorCode::UnknownTopicOrPartition) => return Ok(()),
                _ => return Err(error),
            }
        }
    }

    /// Does what the heartbeats since the last look have asked for.
    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let shared = self.heart.shared.clone();
        let (answers, target) = {
            let membership = shared.membership();
            if membership.answers() == self.answers_seen || membership.lost().is_some() {
                return Ok(());
            }
            (membership.answers(), membership.target().clone())
        };
        if target != self.owned_by_id() {
            let mut names = BTreeMap::new();
            for name in &self.options.topics {
                if let Some(id) = self.topic_id(name).await? {
                    names.insert(id, name.clone());
                }
            }
            let mut wanted = BTreeMap::new();
            for (id, partition) in target {
                match names.get(&id) {
                    Some(name) => _ = wanted.insert((name.clone(), partition), id),
                    // Created since the client looked: found with the next heartbeat.
                    None => self.forget_topics(),
                }
            }
            self.change_to(wanted).await?;
        }
        self.answers_seen = answers;
        Ok(())
    }

    /// Lets go of what is not wanted, and takes what is new where the group left off.
    async fn change_to(
        &mut self,
        wanted: BTreeMap<TopicPartition, TopicId>,
    ) -> Result<(), ClientError> {
        let shared = self.heart.shared.clone();
        let revoked = missing_in(&wanted, &self.owned);
        let positions = self.positions(revoked.iter());
        self.commit_unless_lost(positions).await?;
        if shared.membership().lost().is_some() {
            return Ok(());
        }
        for key in &revoked {
            self.consumer.unassign(&key.0, key.1);
            self.committed.remove(key);
            self.owned.remove(key);
        }
        if !revoked.is_empty() {
            self.changes.push(AssignmentChange::Revoked(revoked));
        }
        let added = missing_in(&self.owned, &wanted);
        if !added.is_empty() {
            let committed = fetch_offsets(&self.client, &self.options.group).await?;
            for key in &added {
                let start = match committed.get(key) {
                    Some(committed) => {
                        self.committed.insert(key.clone(), committed.offset);
                        StartAt::Offset(committed.offset)
                    }
                    None => self.options.when_uncommitted,
                };
                self.consumer.assign(&key.0, key.1, start);
                self.owned.insert(key.clone(), wanted[key]);
            }
            self.changes.push(AssignmentChange::Assigned(added));
        }
        let owned = self.owned_by_id();
        shared.change(|membership| membership.own(owned, Instant::now()));
        Ok(())
    }

    /// True when the group has gone on without this member: it reads nothing any more, and joins again.
    fn is_told_of_loss(&mut self) -> bool {
        let shared = &self.heart.shared;
        let Some(cause) = shared.change(|membership| membership.take_lost(Instant::now())) else {
            return false;
        };
        let partitions: BTreeSet<_> = std::mem::take(&mut self.owned).into_keys().collect();
        for (topic, partition) in &partitions {
            self.consumer.unassign(topic, *partition);
        }
        self.committed.clear();
        self.changes
            .push(AssignmentChange::Lost { partitions, cause });
        true
    }

    fn owned_by_id(&self) -> Partitions {
        let owned = self.owned.iter();
        owned
            .map(|((_, partition), id)| (*id, *partition))
            .collect()
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

/// Partitions of `of` that `in_these` does not have.
fn missing_in(
    in_these: &BTreeMap<TopicPartition, TopicId>,
    of: &BTreeMap<TopicPartition, TopicId>,
) -> BTreeSet<TopicPartition> {
    let keys = of.iter();
    let missing = keys.filter(|(key, id)| in_these.get(*key) != Some(*id));
    missing.map(|(key, _)| key.clone()).collect()
}
