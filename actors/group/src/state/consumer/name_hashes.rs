//! The hashes of the topics that a group reads and their sum, kept from one event to the next: a group may read
//! ten thousand topics, and any heartbeat may change one of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::records::RegexValue;
use crate::topics::{TopicCatalog, topic_hash};

/// What was hashed, for one version of the topics.
#[derive(Debug, Clone, Default)]
pub(super) struct NameHashes {
    /// `None` until the first look.
    version: Option<i64>,
    sum: u64,
    known: HashMap<Arc<str>, u64>,
    /// Names that may have come or gone since the last look.
    touched: BTreeSet<Arc<str>>,
}

impl PartialEq for NameHashes {
    /// It follows from the records, so it makes no difference between two images.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for NameHashes {}

impl NameHashes {
    pub(super) fn touch(&mut self, name: &Arc<str>) {
        if self.version.is_some() {
            self.touched.insert(name.clone());
        }
    }

    pub(super) fn touch_all(&mut self, regex: &Option<Arc<RegexValue>>) {
        for name in regex.iter().flat_map(|value| value.topics.iter()) {
            self.touch(name);
        }
    }

    /// Names to look at again; `None` when all are, because topics have changed.
    pub(super) fn take_touched(&mut self, version: i64) -> Option<BTreeSet<Arc<str>>> {
        if self.version == Some(version) {
            return Some(std::mem::take(&mut self.touched));
        }
        *self = Self {
            version: Some(version),
            ..Self::default()
        };
        None
    }

    /// Counts a topic that exists and is read, once.
    pub(super) fn set(&mut self, name: &Arc<str>, is_read: bool, topics: &dyn TopicCatalog) {
        match self.known.get(name) {
            None if is_read => {
                if let Some(topic) = topics.by_name(name) {
                    let hash = topic_hash(&topic);
                    self.sum = self.sum.wrapping_add(hash);
                    self.known.insert(name.clone(), hash);
                }
            }
            Some(hash) if !is_read => {
                self.sum = self.sum.wrapping_sub(*hash);
                self.known.remove(name);
            }
            None | Some(_) => {}
        }
    }

    pub(super) fn sum(&self) -> i64 {
        i64::from_ne_bytes(self.sum.to_ne_bytes())
    }
}
