//! Waits until the partitions of a topic have come on stage here, or have left it, so that a client
//! that was told "created" or "deleted" finds it so. Never decides an answer: the change is made.

use std::time::Duration;

use kabuki_protocol::ids::{PartitionId, TopicId};
use tokio::time::Instant;

use crate::services::SessionServices;

/// How often the registry is looked at. Partitions come on stage within a few milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long an answer is held back at most: a disk that takes longer is told by the partition itself.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Waits until this node hosts every partition of these topics that it leads.
pub(super) async fn wait_until_hosted(services: &SessionServices, topics: &[TopicId]) {
    wait_until(|| {
        let image = services.image();
        let mut known = topics.iter().filter_map(|topic| image.topic_by_id(*topic));
        known.all(|topic| {
            (0..).zip(&topic.partitions).all(|(index, partition)| {
                partition.leader != services.node()
                    || services.partition(&topic.partition_id(index)).is_some()
            })
        })
    })
    .await;
}

/// Waits until this node hosts none of these partitions.
pub(super) async fn wait_until_gone(services: &SessionServices, partitions: &[PartitionId]) {
    wait_until(|| partitions.iter().all(|id| services.partition(id).is_none())).await;
}

async fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_so() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
