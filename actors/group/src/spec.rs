//! What the node says when it puts its group coordinators on stage, and the handle it gets.

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::Controller;
use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::image::ImageWatch;
use kabuki_partition::WallClock;
use kabuki_protocol::group_records;
use kabuki_runtime::{
    ActorPath, Addr, Arbiter, GroupOptions, NoReply, Reply, Stage, Supervisor, Undelivered,
    reply_channel,
};
use tokio::sync::Semaphore;

use crate::coordinators::{
    Asked, CoordinatorRefused, GroupCoordinators, GroupsListed, OFFSETS_TOPIC,
};
use crate::keeper::{self, CoordinatorKeeper, EnsureTopic};
use crate::log_port::OffsetsLogFinder;
use crate::messages::{Answer, Request};
use crate::names::{GroupId, PathNames};
use crate::settings::Settings;
use crate::shard::messages::{AskGroup, ListGroups};
use crate::shard::{Commons, Shard};

/// Everything the group coordinators of a node are built from.
pub struct CoordinatorsSpec {
    /// The static configuration.
    pub config: Arc<BrokerConfig>,
    /// Where the metadata image is seen.
    pub image: ImageWatch,
    /// Who creates `__consumer_offsets`.
    pub controller: Addr<Controller>,
    /// Finds the partitions of `__consumer_offsets` that this node hosts.
    pub logs: OffsetsLogFinder,
    /// Where shards and groups run: next to the sessions, as every request crosses there and back.
    pub arbiter: Arbiter,
    /// Time for records, retention and the age of a search.
    pub clock: WallClock,
}

/// The group coordinators of a node, on stage below `/coordinators`. Cloning gives another handle to the
/// same ones.
#[derive(Clone)]
pub struct Coordinators {
    stage: Stage,
    image: ImageWatch,
    node: kabuki_protocol::ids::NodeId,
    top: Supervisor,
    shards: ActorPath,
    keeper: Addr<CoordinatorKeeper>,
}

/// Puts the keeper on stage, which brings shards there by itself.
pub fn start(stage: &Stage, spec: CoordinatorsSpec) -> Coordinators {
    let top = stage.root().group("coordinators", GroupOptions::default());
    // Groups before shards: at a stop the shards end first, and their groups with them.
    let groups = top.group("groups", GroupOptions::default());
    let shards = top.group("shards", GroupOptions::default());
    let node = spec.config.node_id();
    let commons = Arc::new(Commons {
        node,
        settings: Settings::of(&spec.config),
        image: spec.image.clone(),
        logs: spec.logs,
        clock: spec.clock,
        groups,
        arbiter: spec.arbiter,
        path_names: PathNames::default(),
        job_turn: Arc::new(Semaphore::new(1)),
    });
    let keeper = top.start(keeper::spec(&commons, spec.controller, shards.clone()));
    Coordinators {
        stage: stage.clone(),
        image: spec.image,
        node,
        shards: shards.path().clone(),
        keeper,
        top,
    }
}

impl Coordinators {
    /// Ends the groups in order: all that wait are told to ask again.
    pub async fn stop(self, deadline: Duration) {
        self.top.stop(deadline).await;
    }

    fn shard(&self, number: i32) -> Option<Addr<Shard>> {
        let path = self.shards.child(&number.to_string());
        self.stage.registry().find(&path)
    }

    /// True when this node leads the partition.
    fn leads(&self, number: i32) -> bool {
        let image = self.image.borrow();
        let partition = image.partition(OFFSETS_TOPIC, number);
        partition.is_some_and(|partition| partition.leader == self.node)
    }

    fn send(&self, number: i32, group: GroupId, request: Request) -> Sent {
        let Some(shard) = self.shard(number) else {
            // Its shard comes on stage with the next look of the keeper.
            return Sent::Refused(match self.leads(number) {
                true => CoordinatorRefused::Loading,
                false => CoordinatorRefused::NotCoordinator,
            });
        };
        let (port, reply) = reply_channel();
        let ask = AskGroup {
            group,
            request,
            stamp: 0,
            reply: port,
        };
        match shard.try_tell(ask) {
            Ok(()) => Sent::Waits(reply),
            Err(refused) => Sent::Refused(refused_of(refused.why)),
        }
    }
}

/// A request on its way.
enum Sent {
    Waits(Reply<Result<Answer, CoordinatorRefused>>),
    Refused(CoordinatorRefused),
}

impl Sent {
    async fn answer(self) -> Result<Answer, CoordinatorRefused> {
        match self {
            Self::Refused(refused) => Err(refused),
            Self::Waits(reply) => match reply.await {
                Ok(answer) => answer,
                // Shard or group crashed with the request in hand, and comes back.
                Err(NoReply::Lost) => Err(CoordinatorRefused::Loading),
                Err(NoReply::NotDone(why)) => Err(refused_of(why)),
            },
        }
    }
}

fn refused_of(why: Undelivered) -> CoordinatorRefused {
    match why {
        Undelivered::Full | Undelivered::Restarting | Undelivered::Parked => {
            CoordinatorRefused::Loading
        }
        Undelivered::Stopped => CoordinatorRefused::NotCoordinator,
    }
}

impl GroupCoordinators for Coordinators {
    fn ask(&self, group: GroupId, request: Request) -> Asked<Result<Answer, CoordinatorRefused>> {
        if let Some(number) = self.partition_of(&group) {
            return Box::pin(self.send(number, group, request).answer());
        }
        let (ensured, this) = (self.ensure_topic(), self.clone());
        Box::pin(async move {
            let number = group_records::partition_of(&group, ensured.await?);
            this.send(number, group, request).answer().await
        })
    }

    fn list(&self) -> Asked<GroupsListed> {
        let image = self.image.borrow().clone();
        let count = image
            .topic(OFFSETS_TOPIC)
            .map_or(0, |topic| topic.partitions.len());
        let numbers = 0..i32::try_from(count).unwrap_or(0);
        let mut listed = GroupsListed::default();
        let mut replies = Vec::new();
        for number in numbers.filter(|number| self.leads(*number)) {
            let (port, reply) = reply_channel();
            match self
                .shard(number)
                .map(|shard| shard.try_tell(ListGroups { reply: port }))
            {
                Some(Ok(())) => replies.push(reply),
                _ => listed.is_loading = true,
            }
        }
        Box::pin(async move {
            for reply in replies {
                match reply.await {
                    Ok(part) => {
                        listed.is_loading |= part.is_loading;
                        listed.groups.extend(part.groups);
                    }
                    Err(_) => listed.is_loading = true,
                }
            }
            listed
        })
    }

    fn ensure_topic(&self) -> Asked<Result<i32, CoordinatorRefused>> {
        let image = self.image.borrow().clone();
        if let Some(topic) = image.topic(OFFSETS_TOPIC) {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            return Box::pin(async move { Ok(count) });
        }
        let (port, reply) = reply_channel();
        let told = self.keeper.try_tell(EnsureTopic { reply: port });
        Box::pin(async move {
            if told.is_err() {
                return Err(CoordinatorRefused::NotAvailable);
            }
            reply.await.unwrap_or(Err(CoordinatorRefused::NotAvailable))
        })
    }

    fn partition_of(&self, group: &str) -> Option<i32> {
        let image = self.image.borrow();
        let count = image.topic(OFFSETS_TOPIC)?.partitions.len();
        let count = i32::try_from(count).ok().filter(|count| *count > 0)?;
        Some(group_records::partition_of(group, count))
    }
}
