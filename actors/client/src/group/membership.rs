//! What a member says in its heartbeats, when it says it, and what it learns from the answers; nothing
//! of records, offsets, connections or tasks. The time comes in as an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, EPOCH_JOIN, EPOCH_LEAVE,
    EPOCH_LEAVE_STATIC, TopicPartitions,
};
use tokio::time::Instant;

use super::{GroupOptions, LossCause};
use crate::error::ClientError;

/// Heartbeats before the broker has named its interval.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

/// Partitions by the id of their topic.
pub(super) type Partitions = BTreeSet<(TopicId, i32)>;

/// A heartbeat on its way.
#[derive(Debug)]
pub(super) struct Beat {
    /// Membership that it belongs to; an answer for an older one says nothing of this.
    life: u64,
    pub(super) request: ConsumerGroupHeartbeatRequest,
}

impl Beat {
    /// Whether the member goes with it.
    pub(super) fn is_last(&self) -> bool {
        self.request.member_epoch < EPOCH_JOIN
    }
}

/// Membership in a group.
#[derive(Debug)]
pub(super) struct Membership {
    group: String,
    topics: Vec<String>,
    instance_id: Option<String>,
    assignor: Option<String>,
    poll_interval_max: Duration,
    /// Made here: a member keeps it for as long as it lives. Source: KIP-1082.
    member_id: String,
    epoch: i32,
    /// Counts the times that the group went on without this member.
    life: u64,
    /// Wants to be in the group. False before the first poll, and from a loss until the poll that hears of it.
    is_in: bool,
    lost: Option<LossCause>,
    /// End of the last poll; `None` while one is under way.
    polled_at: Option<Instant>,
    /// What the program reads; the group hears of changes.
    owned: Partitions,
    /// What the last heartbeat said of partitions; only changes are said again.
    said: Option<Partitions>,
    target: Partitions,
    interval: Duration,
    beat_at: Instant,
    /// Answers so far, refusals included.
    answers: u64,
    failure: Option<ClientError>,
}

impl Membership {
    pub(super) fn new(options: &GroupOptions, now: Instant) -> Self {
        Self {
            group: options.group.clone(),
            topics: options.topics.clone(),
            instance_id: options.instance_id.clone(),
            assignor: options.assignor.clone(),
            poll_interval_max: options.poll_interval_max,
            member_id: TopicId::random().to_string(),
            epoch: EPOCH_JOIN,
            life: 0,
            is_in: false,
            lost: None,
            polled_at: Some(now),
            owned: Partitions::new(),
            said: None,
            target: Partitions::new(),
            interval: INTERVAL_DEFAULT,
            beat_at: now,
            answers: 0,
            failure: None,
        }
    }

    pub(super) fn member_id(&self) -> &str {
        &self.member_id
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The partitions that the member shall own.
    pub(super) fn target(&self) -> &Partitions {
        &self.target
    }

    /// Answers to heartbeats so far: whoever has seen as many has nothing new to look at.
    pub(super) fn answers(&self) -> u64 {
        self.answers
    }

    /// Why the group has gone on without this member, which has not been told yet.
    pub(super) fn lost(&self) -> Option<LossCause> {
        self.lost
    }

    /// Takes the last failure of a heartbeat, if none has succeeded since.
    pub(super) fn take_failure(&mut self) -> Option<ClientError> {
        self.failure.take()
    }

    /// The program asks for records. It joins, unless it has to be told of a loss first.
    pub(super) fn poll_begins(&mut self, now: Instant) {
        self.polled_at = None;
        if !self.is_in && self.lost.is_none() {
            self.join(now);
        }
    }

    /// The program works on what it was given.
    pub(super) fn poll_ends(&mut self, now: Instant) {
        self.polled_at = Some(now);
    }

    /// The program is told that it has lost its partitions, and joins again.
    pub(super) fn take_lost(&mut self, now: Instant) -> Option<LossCause> {
        let cause = self.lost.take()?;
        self.join(now);
        Some(cause)
    }

    fn join(&mut self, now: Instant) {
        self.is_in = true;
        self.epoch = EPOCH_JOIN;
        self.beat_at = now;
    }

    /// The group goes on without this member.
    pub(super) fn lose(&mut self, cause: LossCause) {
        if !self.is_in {
            return;
        }
        self.is_in = false;
        self.life += 1;
        self.lost = Some(cause);
        self.epoch = EPOCH_JOIN;
        self.said = None;
        self.owned.clear();
        self.target.clear();
        self.failure = None;
    }

    /// The program reads these now: the group hears of it at once.
    pub(super) fn own(&mut self, owned: Partitions, now: Instant) {
        self.owned = owned;
        if self.said.as_ref() != Some(&self.owned) {
            self.beat_at = now;
        }
    }

    /// The next heartbeat is due now: somebody needs its answer.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.beat_at = now;
    }

    /// When [`Membership::beat`] has something to say; `None` for not before the next poll.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let beat_at = self.is_in.then_some(self.beat_at)?;
        Some(match self.overdue_at() {
            Some(overdue_at) => beat_at.min(overdue_at),
            None => beat_at,
        })
    }

    fn overdue_at(&self) -> Option<Instant> {
        Some(self.polled_at? + self.poll_interval_max)
    }

    /// The heartbeat that is due. A program that has not polled for too long leaves its group.
    pub(super) fn beat(&mut self, now: Instant) -> Option<Beat> {
        if !self.is_in {
            return None;
        }
        if self
            .overdue_at()
            .is_some_and(|overdue_at| overdue_at <= now)
        {
            let last = self.leave();
            self.lose(LossCause::PollOverdue);
            return last;
        }
        if self.beat_at > now {
            return None;
        }
        self.beat_at = now + self.interval;
        let is_join = self.epoch == EPOCH_JOIN;
        let is_news = is_join || self.said.as_ref() != Some(&self.owned);
        let topic_partitions = is_news.then(|| by_topic(&self.owned));
        self.said = Some(self.owned.clone());
        let timeout_ms = i32::try_from(self.poll_interval_max.as_millis()).unwrap_or(i32::MAX);
        Some(Beat {
            life: self.life,
            request: ConsumerGroupHeartbeatRequest {
                rebalance_timeout_ms: if is_join { timeout_ms } else { -1 },
                subscribed_topic_names: is_join.then(|| self.topics.clone()),
                server_assignor: self.assignor.clone().filter(|_| is_join),
                topic_partitions,
                ..self.plain(self.epoch)
            },
        })
    }

    /// The last heartbeat; none where the member is in no group.
    pub(super) fn leave(&self) -> Option<Beat> {
        if self.epoch <= EPOCH_JOIN {
            return None;
        }
        let epoch = match self.instance_id {
            Some(_) => EPOCH_LEAVE_STATIC,
            None => EPOCH_LEAVE,
        };
        Some(Beat {
            life: self.life,
            request: self.plain(epoch),
        })
    }

    fn plain(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.member_id.clone(),
            member_epoch: epoch,
            instance_id: self.instance_id.clone(),
            rack_id: None,
            rebalance_timeout_ms: -1,
            subscribed_topic_names: None,
            subscribed_topic_regex: None,
            server_assignor: None,
            topic_partitions: None,
        }
    }

    /// Takes in what became of a heartbeat.
    pub(super) fn answered(
        &mut self,
        beat: &Beat,
        told: Result<ConsumerGroupHeartbeatResponse, ClientError>,
        now: Instant,
    ) {
        self.answers += 1;
        if beat.life != self.life || beat.is_last() {
            return;
        }
        match told {
            Ok(answer) => self.learn(&answer, now),
            Err(error) if is_fenced(&error) => self.lose(LossCause::Fenced),
            Err(error) => {
                // Nobody knows whether it was heard.
                self.said = None;
                self.failure = Some(error);
            }
        }
    }

    /// An answer names partitions only when they have changed, so they are kept.
    fn learn(&mut self, answer: &ConsumerGroupHeartbeatResponse, now: Instant) {
        self.failure = None;
        self.epoch = answer.member_epoch;
        if let Some(id) = answer.member_id.as_ref().filter(|id| !id.is_empty()) {
            self.member_id.clone_from(id);
        }
        if let Ok(interval_ms @ 1..) = u64::try_from(answer.heartbeat_interval_ms) {
            self.interval = Duration::from_millis(interval_ms);
        }
        // What was taken up while the heartbeat was on its way is still to be said.
        if self.said.as_ref() == Some(&self.owned) {
            self.beat_at = now + self.interval;
        }
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            let partitions =
                topics.flat_map(|of| of.partitions.iter().map(|index| (of.topic_id, *index)));
            self.target = partitions.collect();
        }
    }
}

fn by_topic(partitions: &Partitions) -> Vec<TopicPartitions> {
    let mut topics = BTreeMap::<TopicId, Vec<i32>>::new();
    for (topic, partition) in partitions {
        topics.entry(*topic).or_default().push(*partition);
    }
    let topics = topics.into_iter();
    let topics = topics.map(|(topic_id, partitions)| TopicPartitions {
        topic_id,
        partitions,
    });
    topics.collect()
}

/// Whether the group goes on without the member that was told this.
pub(super) fn is_fenced(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound
        )
    )
}

#[cfg(test)]
mod tests {
    use kabuki_protocol::messages::consumer_group_heartbeat::Assignment;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(3);
    const POLL_INTERVAL_MAX: Duration = Duration::from_secs(60);

    struct Scene {
        membership: Membership,
        now: Instant,
        topic: TopicId,
    }

    impl Scene {
        /// A member that owns partition 0, and whose program has just been given records.
        fn joined(instance_id: Option<&str>) -> Self {
            let options = GroupOptions {
                instance_id: instance_id.map(str::to_owned),
                poll_interval_max: POLL_INTERVAL_MAX,
                ..GroupOptions::new("g", &["t"])
            };
            let now = Instant::now();
            let mut scene = Self {
                membership: Membership::new(&options, now),
                now,
                topic: TopicId::random(),
            };
            assert_eq!(scene.membership.due_at(), None, "it joins when it polls");
            scene.membership.poll_begins(now);
            let join = scene.beat();
            assert_eq!(join.request.member_epoch, EPOCH_JOIN);
            assert_eq!(join.request.rebalance_timeout_ms, 60_000);
            scene.hear(&join, 1, Some(&[0]));
            scene.own(&[0]);
            let told = scene.beat();
            assert!(told.request.topic_partitions.is_some());
            scene.hear(&told, 1, None);
            scene.membership.poll_ends(now);
            scene
        }

        fn beat(&mut self) -> Beat {
            assert!(self.membership.due_at().is_some_and(|at| at <= self.now));
            self.membership.beat(self.now).expect("a heartbeat is due")
        }

        fn own(&mut self, partitions: &[i32]) {
            let topic = self.topic;
            let owned = partitions.iter().map(|partition| (topic, *partition));
            self.membership.own(owned.collect(), self.now);
        }

        fn hear(&mut self, beat: &Beat, epoch: i32, target: Option<&[i32]>) {
            let answer = ConsumerGroupHeartbeatResponse {
                member_epoch: epoch,
                heartbeat_interval_ms: 3_000,
                assignment: target.map(|partitions| Assignment {
                    topic_partitions: vec![TopicPartitions {
                        topic_id: self.topic,
                        partitions: partitions.to_vec(),
                    }],
                }),
                ..ConsumerGroupHeartbeatResponse::default()
            };
            self.membership.answered(beat, Ok(answer), self.now);
        }

        fn refuse(&mut self, beat: &Beat, code: ErrorCode) {
            let refused = ClientError::check(code.code(), None, || "heartbeat".to_owned());
            let refused = refused.map(|()| ConsumerGroupHeartbeatResponse::default());
            self.membership.answered(beat, refused, self.now);
        }
    }

    #[test]
    fn a_member_beats_while_its_program_works() {
        let mut scene = Scene::joined(None);
        for _ in 0..15 {
            assert_eq!(scene.membership.due_at(), Some(scene.now + INTERVAL));
            scene.now += INTERVAL;
            let beat = scene.beat();
            assert_eq!(beat.request.member_epoch, 1);
            assert_eq!(beat.request.topic_partitions, None, "nothing has changed");
            scene.hear(&beat, 1, None);
        }
        assert_eq!(scene.membership.lost(), None);
    }

    #[test]
    fn a_program_that_polls_too_rarely_leaves_and_joins_with_its_next_poll() {
        for (instance_id, epoch) in [(None, EPOCH_LEAVE), (Some("a"), EPOCH_LEAVE_STATIC)] {
            let mut scene = Scene::joined(instance_id);
            scene.now += POLL_INTERVAL_MAX;
            let last = scene.beat();
            assert_eq!((last.request.member_epoch, last.is_last()), (epoch, true));
            assert_eq!(scene.membership.due_at(), None, "it says nothing more");
            scene.hear(&last, epoch, None);
            assert_eq!(scene.membership.epoch(), EPOCH_JOIN);

            scene.membership.poll_begins(scene.now);
            assert_eq!(scene.membership.due_at(), None, "it is told first");
            let lost = scene.membership.take_lost(scene.now);
            assert_eq!(lost, Some(LossCause::PollOverdue));
            let join = scene.beat();
            assert_eq!(join.request.member_epoch, EPOCH_JOIN);
            assert_eq!(join.request.topic_partitions, Some(Vec::new()));
            assert_eq!(scene.membership.take_lost(scene.now), None);
        }
    }

    #[test]
    fn a_poll_that_waits_for_records_is_never_overdue() {
        let mut scene = Scene::joined(None);
        scene.membership.poll_begins(scene.now);
        scene.now += POLL_INTERVAL_MAX * 2;
        let beat = scene.beat();
        assert!(!beat.is_last());
        scene.hear(&beat, 1, None);
        scene.membership.poll_ends(scene.now);
        assert_eq!(scene.membership.due_at(), Some(scene.now + INTERVAL));
    }

    #[test]
    fn a_fenced_member_is_told_once_and_hears_nothing_of_its_former_life() {
        let mut scene = Scene::joined(None);
        scene.now += INTERVAL;
        let beat = scene.beat();
        // A commit has found it out before the heartbeat was answered.
        scene.membership.lose(LossCause::Fenced);
        scene.hear(&beat, 7, Some(&[0, 1]));
        assert_eq!(scene.membership.epoch(), EPOCH_JOIN);
        assert!(scene.membership.target().is_empty());
        let lost = scene.membership.take_lost(scene.now);
        assert_eq!(lost, Some(LossCause::Fenced));

        let join = scene.beat();
        scene.hear(&join, 8, None);
        scene.now += INTERVAL;
        let beat = scene.beat();
        scene.refuse(&beat, ErrorCode::UnknownMemberId);
        assert_eq!(scene.membership.lost(), Some(LossCause::Fenced));
        assert_eq!(scene.membership.due_at(), None);
    }

    #[test]
    fn what_a_failed_heartbeat_said_is_said_again() {
        let mut scene = Scene::joined(None);
        scene.own(&[0, 1]);
        let beat = scene.beat();
        scene.refuse(&beat, ErrorCode::CoordinatorNotAvailable);
        let failure = scene
            .membership
            .take_failure()
            .expect("told to the program");
        assert_eq!(failure.code(), Some(ErrorCode::CoordinatorNotAvailable));
        assert_eq!(scene.membership.lost(), None, "it may still be a member");
        scene.now += INTERVAL;
        let again = scene.beat();
        assert_eq!(
            again.request.topic_partitions,
            beat.request.topic_partitions
        );
    }

    #[test]
    fn what_is_taken_up_while_a_heartbeat_is_out_is_said_at_once() {
        let mut scene = Scene::joined(None);
        scene.now += INTERVAL;
        let beat = scene.beat();
        scene.own(&[0, 1]);
        scene.hear(&beat, 1, None);
        let next = scene.beat();
        assert!(next.request.topic_partitions.is_some());
    }
}
