//! The log directories of the node as the keeper sees them: which are usable, what lies in them.

use std::collections::HashMap;

use kabuki_controller::image::DirectoryId;
use kabuki_protocol::ids::{PartitionId, TopicId};

/// A partition's directory as a scan found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundPartition {
    /// Index of the log directory.
    pub(crate) directory: usize,
    /// The topic named in `partition.metadata`; `None` where the file is missing or unreadable.
    pub(crate) topic_id: Option<TopicId>,
}

/// All log directories, and the partition directories that were found in them.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    ids: Vec<DirectoryId>,
    is_usable: Vec<bool>,
    partition_counts: Vec<usize>,
    found: HashMap<PartitionId, Vec<FoundPartition>>,
}

/// Where a partition's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Located {
    /// In this directory, and in no other.
    In(usize),
    /// Nowhere.
    Nowhere,
    /// In several directories: nothing tells which is the true one.
    Several,
}

impl Directories {
    pub(crate) fn new(ids: Vec<DirectoryId>) -> Self {
        let count = ids.len();
        Self {
            ids,
            is_usable: vec![false; count],
            partition_counts: vec![0; count],
            found: HashMap::new(),
        }
    }

    pub(crate) fn id(&self, directory: usize) -> DirectoryId {
        self.ids[directory]
    }

    /// Takes over what a scan of one directory found; the directory is usable from now on.
    pub(crate) fn scanned(
        &mut self,
        directory: usize,
        partitions: impl IntoIterator<Item = (PartitionId, Option<TopicId>)>,
    ) {
        self.is_usable[directory] = true;
        for (partition, topic_id) in partitions {
            self.partition_counts[directory] += 1;
            self.found
                .entry(partition)
                .or_default()
                .push(FoundPartition {
                    directory,
                    topic_id,
                });
        }
    }

    /// All that was found, for the search for strays.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&PartitionId, &[FoundPartition])> {
        self.found
            .iter()
            .map(|(partition, places)| (partition, places.as_slice()))
    }

    /// Where the files of a partition of this topic are.
    pub(crate) fn locate(&self, partition: &PartitionId, topic_id: TopicId) -> Located {
        let places = self.found.get(partition).map_or(&[][..], Vec::as_slice);
        let mut own = places
            .iter()
            .filter(|place| place.topic_id == Some(topic_id));
        match (own.next(), own.next()) {
            (None, _) => Located::Nowhere,
            (Some(place), None) => Located::In(place.directory),
            (Some(_), Some(_)) => Located::Several,
        }
    }

    /// The usable directory with this id.
    pub(crate) fn usable_with_id(&self, id: DirectoryId) -> Option<usize> {
        let at = self.ids.iter().position(|own| *own == id)?;
        self.is_usable[at].then_some(at)
    }

    /// The usable directory with the fewest partitions, as Kafka chooses for new ones.
    pub(crate) fn least_used(&self) -> Option<usize> {
        (0..self.ids.len())
            .filter(|at| self.is_usable[*at])
            .min_by_key(|at| self.partition_counts[*at])
    }

    /// A partition got files in this directory.
    pub(crate) fn added(&mut self, directory: usize, partition: &PartitionId, topic_id: TopicId) {
        let places = self.found.entry(partition.clone()).or_default();
        let place = FoundPartition {
            directory,
            topic_id: Some(topic_id),
        };
        if !places.contains(&place) {
            places.push(place);
            self.partition_counts[directory] += 1;
        }
    }

    /// A partition's files left this directory.
    pub(crate) fn removed(&mut self, directory: usize, partition: &PartitionId) {
        let Some(places) = self.found.get_mut(partition) else {
            return;
        };
        let count_before = places.len();
        places.retain(|place| place.directory != directory);
        self.partition_counts[directory] -= count_before - places.len();
        if places.is_empty() {
            self.found.remove(partition);
        }
    }
}
