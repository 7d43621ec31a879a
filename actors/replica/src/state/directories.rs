//! The log directories of the node as the keeper sees them: which are usable, what lies in them.

use std::collections::HashMap;

use kabuki_controller::image::DirectoryId;
use kabuki_protocol::ids::{PartitionId, TopicId};

/// Whose a partition's directory is, by its `partition.metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This topic's.
    Topic(TopicId),
    /// The file is missing or malformed: the directory was never finished, or is damaged.
    Nobody,
    /// The disk did not give the file: it may be anybody's.
    Unreadable,
}

/// A partition's directory as a scan found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the log directory.
    pub(crate) directory: usize,
    pub(crate) owner: Owner,
}

/// Partition directories of one log directory, as a scan lists them.
pub(crate) type Found = Vec<(PartitionId, Owner)>;

/// What is known of one log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// Its first scan is out.
    None,
    /// Its last scan failed, or has been out for too long.
    Unusable,
    /// It was looked through.
    Usable,
}

#[derive(Debug)]
struct Directory {
    id: DirectoryId,
    knowledge: Knowledge,
    is_scan_out: bool,
    /// It was out of sight until its last scan: strays are to be put aside.
    has_strays: bool,
    /// One could not be put aside: the next scan looks for all of them again.
    is_stray_left: bool,
    was_scanned: bool,
    partition_count: usize,
}

/// All log directories, and the partition directories that were found in them.
#[derive(Debug)]
pub(crate) struct Directories {
    directories: Vec<Directory>,
    places: HashMap<PartitionId, Vec<Place>>,
    /// A scan ended and what is missing was not looked for since.
    has_news: bool,
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
    /// Directories whose first scan is out.
    pub(crate) fn new(ids: Vec<DirectoryId>) -> Self {
        let directories = ids.into_iter().map(|id| Directory {
            id,
            knowledge: Knowledge::None,
            is_scan_out: true,
            has_strays: false,
            is_stray_left: false,
            was_scanned: false,
            partition_count: 0,
        });
        Self {
            directories: directories.collect(),
            places: HashMap::new(),
            has_news: false,
        }
    }

    pub(crate) fn id(&self, directory: usize) -> DirectoryId {
        self.directories[directory].id
    }

    /// Whether every directory was looked at or given up, so that a missing partition is missing.
    pub(crate) fn are_known(&self) -> bool {
        let mut all = self.directories.iter();
        all.all(|one| one.knowledge != Knowledge::None)
    }

    /// Whether a directory is out of use.
    pub(crate) fn has_unusable(&self) -> bool {
        let mut all = self.directories.iter();
        all.any(|one| one.knowledge == Knowledge::Unusable)
    }

    /// Whether a directory is out of use, or holds a stray that could not be put aside.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.has_unusable() || self.directories.iter().any(|one| one.is_stray_left)
    }

    /// A stray could not be put aside.
    pub(crate) fn stray_stayed(&mut self, at: usize) {
        self.directories[at].is_stray_left = true;
    }

    /// Takes over a scan; `None` says that the directory cannot be read.
    ///
    /// What is known of a partition that `is_settled` stands above what a later scan found of it: the
    /// scan may have been overtaken by a creation or a removal. True after the first good scan.
    pub(crate) fn scanned(
        &mut self,
        at: usize,
        found: Option<Found>,
        is_settled: impl Fn(&PartitionId) -> bool,
    ) -> bool {
        let directory = &mut self.directories[at];
        directory.is_scan_out = false;
        self.has_news = true;
        let Some(found) = found else {
            directory.knowledge = Knowledge::Unusable;
            return false;
        };
        let before = std::mem::replace(&mut directory.knowledge, Knowledge::Usable);
        let is_first = !std::mem::replace(&mut directory.was_scanned, true);
        let is_stray_left = std::mem::take(&mut directory.is_stray_left);
        directory.has_strays |= before != Knowledge::Usable || is_stray_left;
        let gone: Vec<PartitionId> = (self.places.iter())
            .filter(|(partition, places)| {
                places.iter().any(|place| place.directory == at) && !is_settled(partition)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in gone {
            self.removed(at, &partition);
        }
        for (partition, owner) in found {
            if is_first || !is_settled(&partition) {
                self.added(at, &partition, owner);
            }
        }
        is_first
    }

    /// The scan of a directory takes too long to wait for; true if anybody waited.
    pub(crate) fn scan_overdue(&mut self, at: usize) -> bool {
        let directory = &mut self.directories[at];
        let is_waited_for = directory.is_scan_out && directory.knowledge != Knowledge::Unusable;
        if is_waited_for {
            directory.knowledge = Knowledge::Unusable;
            self.has_news = true;
        }
        is_waited_for
    }

    /// Directories that are to be scanned again: all whose last scan has ended.
    pub(crate) fn begin_rescan(&mut self) -> Vec<usize> {
        let numbered = self.directories.iter_mut().enumerate();
        let idle = numbered.filter(|(_, one)| !one.is_scan_out);
        idle.map(|(at, one)| {
            one.is_scan_out = true;
            at
        })
        .collect()
    }

    /// Whether a scan is out that is worth waiting for: those given up are not.
    pub(crate) fn is_scanning(&self) -> bool {
        let mut all = self.directories.iter();
        all.any(|one| one.is_scan_out && one.knowledge != Knowledge::Unusable)
    }

    /// True once after scans have ended: not before all have.
    pub(crate) fn take_news(&mut self) -> bool {
        !self.is_scanning() && std::mem::take(&mut self.has_news)
    }

    /// Partition directories of those log directories that have come into sight.
    pub(crate) fn take_new(&mut self) -> Vec<(PartitionId, Place)> {
        let numbered = self.directories.iter_mut().enumerate();
        let new: Vec<usize> = numbered
            .filter_map(|(at, one)| std::mem::take(&mut one.has_strays).then_some(at))
            .collect();
        if new.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<(PartitionId, Place)> = (self.places.iter())
            .flat_map(|(partition, places)| places.iter().map(move |it| (partition.clone(), *it)))
            .filter(|(_, place)| new.contains(&place.directory))
            .collect();
        found
            .sort_by(|left, right| (left.1.directory, &left.0).cmp(&(right.1.directory, &right.0)));
        found
    }

    /// What was found under the name of a partition.
    pub(crate) fn places(&self, partition: &PartitionId) -> &[Place] {
        self.places.get(partition).map_or(&[], Vec::as_slice)
    }

    /// Where the files of a partition of this topic are.
    pub(crate) fn locate(&self, partition: &PartitionId, topic_id: TopicId) -> Located {
        let places = self.places(partition).iter();
        let mut own = places.filter(|place| place.owner == Owner::Topic(topic_id));
        match (own.next(), own.next()) {
            (None, _) => Located::Nowhere,
            (Some(place), None) => Located::In(place.directory),
            (Some(_), Some(_)) => Located::Several,
        }
    }

    /// The directory with this id, if this node has it.
    pub(crate) fn with_id(&self, id: DirectoryId) -> Option<usize> {
        self.directories.iter().position(|one| one.id == id)
    }

    /// Whether the directory with this id is usable.
    pub(crate) fn is_usable(&self, id: DirectoryId) -> bool {
        let found = self.with_id(id).map(|at| &self.directories[at]);
        found.is_some_and(|one| one.knowledge == Knowledge::Usable)
    }

    /// Where a new partition goes: where its creation was begun before, else into the usable
    /// directory with the fewest partitions, as Kafka chooses.
    pub(crate) fn choose(&self, partition: &PartitionId, but_not: &[usize]) -> Option<usize> {
        let is_open = |at: &usize| {
            self.directories[*at].knowledge == Knowledge::Usable && !but_not.contains(at)
        };
        let places = self.places(partition).iter();
        let begun = places.filter(|place| place.owner == Owner::Nobody);
        begun
            .map(|place| place.directory)
            .find(is_open)
            .or_else(|| {
                let open = (0..self.directories.len()).filter(is_open);
                open.min_by_key(|at| self.directories[*at].partition_count)
            })
    }

    /// Whether another topic's directory lies where this partition's would be made.
    pub(crate) fn is_taken(&self, directory: usize, partition: &PartitionId) -> bool {
        let mut places = self.places(partition).iter();
        places.any(|place| place.directory == directory && matches!(place.owner, Owner::Topic(_)))
    }

    /// A partition got files in this directory.
    pub(crate) fn added(&mut self, at: usize, partition: &PartitionId, owner: Owner) {
        self.removed(at, partition);
        let place = Place {
            directory: at,
            owner,
        };
        self.places
            .entry(partition.clone())
            .or_default()
            .push(place);
        self.directories[at].partition_count += 1;
    }

    /// A partition's files left this directory.
    pub(crate) fn removed(&mut self, at: usize, partition: &PartitionId) {
        let Some(places) = self.places.get_mut(partition) else {
            return;
        };
        let count_before = places.len();
        places.retain(|place| place.directory != at);
        self.directories[at].partition_count -= count_before - places.len();
        if places.is_empty() {
            self.places.remove(partition);
        }
    }
}
