//! Waits until the partitions of a topic serve here, or have left this node, so that a client that
//! was told "created" or "deleted" finds it so. Never decides an answer: the change is made.

use std::future::pending;
use std::time::Duration;

use kabuki_controller::image::ImageWatch;
use kabuki_partition::AwaitLeadership;
use kabuki_protocol::ids::{PartitionId, TopicId};
use tokio::sync::watch;

use crate::ports::{PartitionPort, ask};
use crate::services::SessionServices;

/// How long an answer is held back at most for partitions that do not come: their disk is stuck, and
/// they tell that themselves. Hundreds of new partitions need several syncs each.
const SERVE_WAIT_MAX: Duration = Duration::from_secs(10);

/// The same for partitions that do not go.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Waits until every partition of these topics that this node leads takes appends and reads, but
/// not longer than `limit`.
pub(super) async fn wait_until_serving(
    services: &SessionServices,
    topics: &[TopicId],
    limit: Duration,
) {
    let limit = limit.min(SERVE_WAIT_MAX);
    let serving = async {
        let mut changes = Changes::of(services);
        for topic in topics {
            // One after the other: they come on stage together, so the first wait is the long one.
            let image = services.image();
            let count = image
                .topic_by_id(*topic)
                .map_or(0, |topic| topic.partitions.len());
            for index in (0..).take(count) {
                while !is_serving(services, *topic, index, limit, &mut changes).await {
                    changes.next().await;
                }
            }
        }
    };
    // What is not there in time is told by its own errors.
    let _ = tokio::time::timeout(limit, serving).await;
}

/// Waits until this node hosts none of these partitions.
pub(super) async fn wait_until_gone(services: &SessionServices, partitions: &[PartitionId]) {
    let gone = async {
        let mut changes = Changes::of(services);
        for partition in partitions {
            changes.seen();
            while services.partition(partition).is_some() {
                changes.next().await;
                changes.seen();
            }
        }
    };
    let _ = tokio::time::timeout(LEAVE_WAIT_MAX, gone).await;
}

/// True once there is nothing to wait for at this partition; false when what was seen has to change.
async fn is_serving(
    services: &SessionServices,
    topic: TopicId,
    index: i32,
    limit: Duration,
    changes: &mut Changes,
) -> bool {
    changes.seen();
    let image = services.image();
    let Some(topic) = image.topic_by_id(topic) else {
        // Deleted meanwhile.
        return true;
    };
    let leader = topic.partition(index).map(|partition| partition.leader);
    if leader != Some(services.node()) {
        return true;
    }
    match services.partition(&topic.partition_id(index)) {
        None => false,
        Some(port) => leads(&port, topic.id, limit).await,
    }
}

/// True once the partition leads; false when it is another topic's, goes, or crashes before.
async fn leads(port: &PartitionPort, topic_id: TopicId, limit: Duration) -> bool {
    let asking = ask(&port.await_leadership, limit, |reply| AwaitLeadership {
        topic_id,
        reply,
    });
    matches!(asking.await, Ok(Ok(_)))
}

/// What can change who serves: the actors of this node, and the metadata image.
struct Changes {
    actors: watch::Receiver<u64>,
    image: ImageWatch,
}

impl Changes {
    fn of(services: &SessionServices) -> Self {
        Self {
            actors: services.stage.registry().changes(),
            image: services.image.clone(),
        }
    }

    /// What is looked at from here on is news no more.
    fn seen(&mut self) {
        self.actors.mark_unchanged();
        self.image.mark_unchanged();
    }

    /// Completes at the next change.
    async fn next(&mut self) {
        tokio::select! {
            () = news(&mut self.actors) => {}
            () = news(&mut self.image) => {}
        }
    }
}

/// Completes when there is a newer value; never where there can be none.
async fn news<T>(watch: &mut watch::Receiver<T>) {
    if watch.changed().await.is_err() {
        pending::<()>().await;
    }
}
