//! The topics of the metadata image as groups see them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kabuki_controller::image::{MetadataImage, TopicImage, is_internal_topic};
use kabuki_protocol::ids::TopicId;

use crate::topics::{TopicCatalog, TopicInfo};

/// One image.
pub(crate) struct ImageTopics(pub(crate) Arc<MetadataImage>);

impl TopicCatalog for ImageTopics {
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.0.topic(name).map(|topic| info(topic))
    }

    fn by_id(&self, id: TopicId) -> Option<TopicInfo> {
        self.0.topic_by_id(id).map(|topic| info(topic))
    }

    fn version(&self) -> i64 {
        self.0.offset()
    }
}

fn info(topic: &TopicImage) -> TopicInfo {
    TopicInfo {
        id: topic.id,
        name: Arc::from(topic.name.as_str()),
        partition_count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
    }
}

/// Names that a regular expression is searched among. The broker's own topics are not: `.*` means the
/// topics of users, as it does for a client that searches itself (`exclude.internal.topics`).
pub(crate) fn searchable_names(image: &MetadataImage) -> Vec<Arc<str>> {
    let topics = image
        .topics()
        .filter(|topic| !is_internal_topic(&topic.name));
    topics.map(|topic| Arc::from(topic.name.as_str())).collect()
}

/// What changed for groups between two images.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicChanges {
    /// Some topic appeared, went, or got partitions.
    pub(crate) is_any: bool,
    /// Topics that are gone, also those that were created again under their name.
    pub(crate) deleted: BTreeSet<Arc<str>>,
}

/// Compares two images: one look-up a topic.
pub(crate) fn topic_changes(old: &MetadataImage, new: &MetadataImage) -> TopicChanges {
    let mut changes = TopicChanges::default();
    let mut left_count = 0;
    for topic in old.topics() {
        match new.topic(&topic.name) {
            Some(same) if Arc::ptr_eq(same, topic) => left_count += 1,
            Some(same) if same.id == topic.id => {
                left_count += 1;
                changes.is_any |= same.partitions.len() != topic.partitions.len();
            }
            _ => {
                changes.deleted.insert(Arc::from(topic.name.as_str()));
            }
        }
    }
    changes.is_any |= !changes.deleted.is_empty() || new.topic_count() > left_count;
    changes
}
