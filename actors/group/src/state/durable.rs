//! What the records of one group say. [`Durable::apply`] is the one function that changes it, live and at
//! replay. Every key is independent of the others, so the change that undoes a change is the key's old value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumer::ConsumerImage;
use crate::records::{Change, ClassicGroupValue, CommittedOffset, OffsetKey};

/// The value of every key that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) classic: Option<Arc<ClassicGroupValue>>,
    pub(crate) consumer: ConsumerImage,
    pub(crate) offsets: BTreeMap<OffsetKey, CommittedOffset>,
}

impl Durable {
    /// True when no key has a value: the group does not exist.
    pub(crate) fn is_void(&self) -> bool {
        self.classic.is_none() && self.consumer.is_void() && self.offsets.is_empty()
    }

    /// Makes one record true. Returns the change that would undo it.
    pub(crate) fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Offset(key, value) => {
                let old = match value {
                    Some(value) => self.offsets.insert(key.clone(), value),
                    None => self.offsets.remove(&key),
                };
                Change::Offset(key, old)
            }
            Change::ClassicGroup(value) => {
                Change::ClassicGroup(std::mem::replace(&mut self.classic, value))
            }
            other => self.consumer.apply(other),
        }
    }
}
