//! `CoordinatorKeeper`: follows the metadata image. It brings a shard on stage for every partition of
//! `__consumer_offsets` that this node leads, tells the shards of topics that changed, and creates the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::Controller;
use kabuki_controller::image::MetadataImage;
use kabuki_controller::messages::{CreateTopicRefused, CreateTopics, NewTopic, TopicCreated};
use kabuki_protocol::ids::{LeaderEpoch, TopicId};
use kabuki_runtime::{
    Actor, Addr, AskError, ChildSpec, Context, Fault, Handler, Message, ReplyPort, Supervisor,
    Undelivered,
};

use crate::catalog::topic_changes;
use crate::coordinators::{CoordinatorRefused, OFFSETS_TOPIC};
use crate::shard::messages::{LeadershipMoved, TopicsChanged};
use crate::shard::{self, Commons, Shard, tireless};

/// How long the controller may take to create a topic: a commit is one fdatasync.
const CREATE_WAIT: Duration = Duration::from_secs(10);

/// Topics are compared so often at most: it costs a look at every topic.
const COMPARE_PAUSE: Duration = Duration::from_millis(100);

/// How long a shard may take to end, its groups included.
const SHARD_STOP_WAIT: Duration = Duration::from_secs(3);

/// Wants `__consumer_offsets` to be there; its number of partitions. Sent by sessions.
pub(crate) struct EnsureTopic {
    pub(crate) reply: ReplyPort<Result<i32, CoordinatorRefused>>,
}

impl Message for EnsureTopic {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// There is a newer image.
struct ImageChanged;

/// Time to compare topics.
struct CompareDue;

/// A shard has ended.
struct ShardLeft;

/// The controller has answered.
struct CreateAnswered {
    outcome: Result<Result<TopicCreated, CreateTopicRefused>, String>,
}

macro_rules! told {
    ($($message:ty),+) => {$(
        impl Message for $message {
            type Reply = ();
        }
    )+};
}

told!(ImageChanged, CompareDue, ShardLeft, CreateAnswered);

/// The actor `/coordinators/keeper`.
pub(crate) struct CoordinatorKeeper {
    commons: Arc<Commons>,
    controller: Addr<Controller>,
    shards: Supervisor,
    /// Shards that are ending; a new one of that name starts only then.
    leaving: BTreeSet<i32>,
    /// Topic and leader epoch that each shard was told of.
    told: BTreeMap<i32, (TopicId, LeaderEpoch)>,
    /// As the shards were told.
    compared: Arc<MetadataImage>,
    is_compare_set: bool,
    waiting: Vec<ReplyPort<Result<i32, CoordinatorRefused>>>,
    is_creating: bool,
}

/// The child that keeps the shards.
pub(crate) fn spec(
    commons: &Arc<Commons>,
    controller: Addr<Controller>,
    shards: Supervisor,
) -> ChildSpec<CoordinatorKeeper> {
    let arbiter = commons.arbiter.clone();
    let commons = commons.clone();
    let new = move || CoordinatorKeeper {
        compared: commons.image.borrow().clone(),
        commons: commons.clone(),
        controller: controller.clone(),
        shards: shards.clone(),
        leaving: BTreeSet::new(),
        told: BTreeMap::new(),
        is_compare_set: false,
        waiting: Vec::new(),
        is_creating: false,
    };
    ChildSpec::new("keeper", new)
        .on(&arbiter)
        .policy(tireless())
}

impl CoordinatorKeeper {
    fn watch_image(&self, cx: &mut Context<Self>) {
        let mut image = self.commons.image.clone();
        let seen = self.compared.offset();
        cx.spawn(
            async move {
                // Past what was looked at; a watch that was just cloned does not know that.
                if image.wait_for(|image| image.offset() > seen).await.is_err() {
                    // The controller has ended for good, and so will the node.
                    std::future::pending::<()>().await;
                }
            },
            |()| ImageChanged,
        );
    }

    fn find(&self, number: i32, cx: &Context<Self>) -> Option<Addr<Shard>> {
        let path = self.shards.path().child(&number.to_string());
        cx.stage().registry().find(&path)
    }

    /// Brings shards on stage, tells those that are there, and ends those whose partition is led elsewhere.
    fn look(&mut self, cx: &mut Context<Self>) {
        let image = self.commons.image.borrow().clone();
        let topic = image.topic(OFFSETS_TOPIC);
        let leads = |number: i32| {
            let partition = topic.and_then(|topic| topic.partition(number));
            partition.is_some_and(|partition| partition.leader == self.commons.node)
        };
        let count = topic.map_or(0, |topic| topic.partitions.len());
        let led = (0..i32::try_from(count).unwrap_or(0)).filter(|number| leads(*number));
        for number in led.filter(|number| !self.leaving.contains(number)) {
            let reign = topic.and_then(|topic| {
                let partition = topic.partition(number)?;
                Some((topic.id, partition.leader_epoch))
            });
            if self.told.get(&number) == reign.as_ref() {
                continue;
            }
            let is_told = match self.find(number, cx) {
                Some(shard) => shard.try_tell(LeadershipMoved).is_ok(),
                None => {
                    self.shards.start(shard::spec(&self.commons, number));
                    true
                }
            };
            if let Some(reign) = reign.filter(|_| is_told) {
                self.told.insert(number, reign);
            }
        }
        let others = self.shards.children().into_iter();
        let others = others.filter_map(|name| name.parse::<i32>().ok());
        let others: Vec<i32> = others.filter(|number| !leads(*number)).collect();
        for number in others {
            self.told.remove(&number);
            if self.leaving.insert(number) {
                let stop = self.shards.stop_child(&number.to_string(), SHARD_STOP_WAIT);
                cx.spawn(stop, |_| ShardLeft);
            }
        }
        self.answer_waiting(&image);
    }

    /// Tells groups which topics have changed since the last look.
    fn compare(&mut self, cx: &Context<Self>) {
        let image = self.commons.image.borrow().clone();
        let changes = topic_changes(&self.compared, &image);
        self.compared = image;
        if changes.is_any {
            let deleted = Arc::new(changes.deleted);
            let numbers = self.shards.children();
            let numbers = numbers.iter().filter_map(|name| name.parse::<i32>().ok());
            for shard in numbers.filter_map(|number| self.find(number, cx)) {
                let deleted = deleted.clone();
                // Its mailbox holds more news than the image makes in a second.
                _ = shard.try_tell(TopicsChanged { deleted });
            }
        }
    }

    fn answer_waiting(&mut self, image: &MetadataImage) {
        if let Some(topic) = image.topic(OFFSETS_TOPIC) {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            self.waiting
                .drain(..)
                .for_each(|reply| reply.send(Ok(count)));
        }
    }

    /// As many replicas as are configured, or as there are brokers: with Kafka's default of 3 a single
    /// node could have no groups at all.
    fn create(&mut self, cx: &mut Context<Self>) {
        self.is_creating = true;
        let image = self.commons.image.borrow().clone();
        let live_count = image.brokers().filter(|broker| !broker.is_fenced).count();
        let live_count = i16::try_from(live_count).unwrap_or(i16::MAX).max(1);
        let settings = &self.commons.settings;
        let config = |key: &str, value: String| (key.to_owned(), Some(value));
        let topic = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partition_count: settings.partition_count,
            replication_factor: settings.replication_factor.min(live_count),
            configs: vec![
                config("cleanup.policy", "compact".to_owned()),
                config("compression.type", "producer".to_owned()),
                config("segment.bytes", settings.segment_bytes.to_string()),
            ],
            ..NewTopic::default()
        };
        let controller = self.controller.clone();
        let create = async move {
            let create = |reply| CreateTopics {
                topics: vec![topic],
                validate_only: false,
                reply,
            };
            match controller.ask_with(CREATE_WAIT, create).await {
                Ok(mut outcomes) => outcomes.pop().ok_or_else(|| "no outcome".to_owned()),
                Err(error) => Err(AskError::to_string(&error)),
            }
        };
        cx.spawn(create, |outcome| CreateAnswered { outcome });
    }
}

impl Actor for CoordinatorKeeper {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        self.look(cx);
        self.watch_image(cx);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("shards={}", self.shards.children().len())
    }
}

impl Handler<EnsureTopic> for CoordinatorKeeper {
    fn handle(&mut self, ensure: EnsureTopic, cx: &mut Context<Self>) {
        self.waiting.retain(|reply| !reply.is_abandoned());
        self.waiting.push(ensure.reply);
        let image = self.commons.image.borrow().clone();
        self.answer_waiting(&image);
        if !self.waiting.is_empty() && !self.is_creating {
            self.create(cx);
        }
    }
}

impl Handler<CreateAnswered> for CoordinatorKeeper {
    fn handle(&mut self, answered: CreateAnswered, cx: &mut Context<Self>) {
        self.is_creating = false;
        let cause = match answered.outcome {
            Ok(Ok(_) | Err(CreateTopicRefused::Exists { .. })) => None,
            Ok(Err(refused)) => Some(refused.to_string()),
            Err(cause) => Some(cause),
        };
        self.look(cx);
        if let Some(cause) = cause {
            slog::error!(cx.log(), "__consumer_offsets was not created"; "cause" => cause);
            for reply in self.waiting.drain(..) {
                reply.send(Err(CoordinatorRefused::NotAvailable));
            }
        }
    }
}

impl Handler<ImageChanged> for CoordinatorKeeper {
    fn handle(&mut self, _: ImageChanged, cx: &mut Context<Self>) {
        self.look(cx);
        if !self.is_compare_set {
            self.is_compare_set = true;
            // A change that comes alone is heard of at once.
            self.compare(cx);
            cx.tell_after(COMPARE_PAUSE, CompareDue);
        }
    }
}

impl Handler<CompareDue> for CoordinatorKeeper {
    fn handle(&mut self, _: CompareDue, cx: &mut Context<Self>) {
        self.is_compare_set = false;
        self.compare(cx);
        self.look(cx);
        self.watch_image(cx);
    }
}

impl Handler<ShardLeft> for CoordinatorKeeper {
    fn handle(&mut self, _: ShardLeft, cx: &mut Context<Self>) {
        let on_stage = self.shards.children();
        self.leaving
            .retain(|number| on_stage.contains(&number.to_string()));
        self.look(cx);
    }
}
