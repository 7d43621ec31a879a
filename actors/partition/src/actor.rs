//! The shell: performs what the state decides.

use kabuki_runtime::Actor;

use crate::spec::PartitionSpec;

/// One hosted replica of a topic partition.
pub struct Partition {
    spec: PartitionSpec,
}

impl Partition {
    pub(crate) fn new(spec: PartitionSpec) -> Self {
        Self { spec }
    }
}

impl Actor for Partition {}
