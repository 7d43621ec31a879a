//! Features of the cluster and the levels that they can run at. Clients switch behaviour on a level, so
//! only what is built is named here: `transaction.version` would put Java on transactions of the second
//! kind.

/// A feature whose level can be read and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Lowest level, inclusive; 0 stands for switched off.
    pub min: i16,
    /// Highest level, inclusive.
    pub max: i16,
    /// Level of a cluster that never changed it. Never to be changed here: logs do not hold it.
    pub initial: i16,
}

/// The new protocol of consumer groups at level 1. Source: KIP-848.
pub const GROUP_VERSION: &str = "group.version";

/// What Kafka's controllers write into their log. Ours has a form of its own, so that this level says
/// only which Kafka we answer like.
pub const METADATA_VERSION: &str = "metadata.version";

/// All features, with the levels that Kafka 4.3 supports.
pub const FEATURES: [Feature; 2] = [
    Feature {
        name: GROUP_VERSION,
        min: 0,
        max: 1,
        initial: 1,
    },
    Feature {
        name: METADATA_VERSION,
        min: 7,
        max: 30,
        initial: 30,
    },
];

impl Feature {
    /// The feature of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FEATURES.iter().find(|feature| feature.name == name)
    }
}
