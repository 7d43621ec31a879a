//! A map whose clones share their contents: copy-on-write per shard.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Shards of a map. A clone costs this many reference counts and a change copies one shard, so the best
/// count is near the square root of the topics a node is meant to hold: 64 serves 1,000 to 20,000.
const SHARD_COUNT: usize = 64;

/// A map that is cheap to clone and cheap to change after a clone.
///
/// Clone: `SHARD_COUNT` reference counts. First change of a shard after a clone: a copy of that shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardedMap<K, V> {
    shards: Vec<Arc<BTreeMap<K, V>>>,
    len: usize,
}

impl<K, V> Default for ShardedMap<K, V> {
    fn default() -> Self {
        Self {
            shards: (0..SHARD_COUNT).map(|_| Arc::default()).collect(),
            len: 0,
        }
    }
}

impl<K: Ord + Clone + Hash, V: Clone> ShardedMap<K, V> {
    /// Count of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    /// All keys, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.shards.iter().flat_map(|shard| shard.keys())
    }

    /// The value of one key.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + Hash + ?Sized,
    {
        self.shards[shard_of(key)].get(key)
    }

    /// The value of one key, for a change.
    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + Hash + ?Sized,
    {
        let shard = &mut self.shards[shard_of(key)];
        // A look before the copy: a miss must not copy the shard.
        shard.get(key)?;
        Arc::make_mut(shard).get_mut(key)
    }

    /// Sets the value of one key and returns the old one.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = Arc::make_mut(&mut self.shards[shard_of(&key)]).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes one key and returns its value.
    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + Hash + ?Sized,
    {
        let old = Arc::make_mut(&mut self.shards[shard_of(key)]).remove(key);
        self.len -= usize::from(old.is_some());
        old
    }
}

/// `K` and what it borrows as hash alike (the contract of `Borrow`), so both find the same shard.
fn shard_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    // Unkeyed on purpose: who picks names to fill one shard makes only his own changes slower.
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % SHARD_COUNT as u64) as usize
}
