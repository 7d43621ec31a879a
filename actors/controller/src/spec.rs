//! What the node says when it puts the controller on stage.

use std::sync::Arc;

use kabuki_runtime::ChildSpec;
use kabuki_storage::Disk;
use tokio::sync::watch;

use crate::actor::Controller;
use crate::broker_config::BrokerConfig;
use crate::image::{ImageWatch, MetadataImage};

/// Everything a controller is built from, at its first start and at every restart.
#[derive(Clone)]
pub struct ControllerSpec {
    /// Id of the cluster; a metadata log of another cluster is refused.
    pub cluster_id: String,
    /// The directory that holds `__cluster_metadata-0`.
    pub disk: Disk,
    /// Whether a missing metadata log means a new cluster. True only where no log directory holds a
    /// partition: beside partitions a missing log is a lost one, and an empty cluster would orphan them.
    pub may_format: bool,
    /// Defaults for new topics, and which changes are allowed.
    pub config: Arc<BrokerConfig>,
    /// Called once when half-alive is worse than dead: the node must end with this code.
    /// The controller takes no message afterwards.
    pub fail_stop: FailStopHook,
}

/// Ends the node. Must not block.
pub type FailStopHook = Arc<dyn Fn(FailStop) + Send + Sync>;

/// Why the node must end: fail-stop where half-alive is worse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct FailStop {
    /// Exit code of the process, see the constants.
    pub code: i32,
    /// What happened.
    pub cause: String,
}

impl FailStop {
    /// The metadata log can not be read, is damaged in its middle, or belongs to another cluster.
    pub const LOG_UNREADABLE: i32 = 3;
    /// A write or an fdatasync of the metadata log failed, so it is unknown what is durable.
    pub const LOG_UNCERTAIN: i32 = 4;
    /// An invariant of the metadata image is broken.
    pub const IMAGE_BROKEN: i32 = 5;
}

/// The child to start at `/controller`, and where its image is seen. The watch outlives every
/// incarnation: readers keep the last image while the controller restarts.
pub fn spec(spec: ControllerSpec) -> (ChildSpec<Controller>, ImageWatch) {
    let (publisher, image) = watch::channel(Arc::new(MetadataImage::empty(&spec.cluster_id)));
    let publisher = Arc::new(publisher);
    let child = ChildSpec::new("controller", move || {
        Controller::new(spec.clone(), publisher.clone())
    });
    (child, image)
}
