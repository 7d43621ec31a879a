//! What lies on the disks: strays are put aside, and what is missing is looked for until it is back.

use kabuki_controller::image::{MetadataImage, TopicImage};
use kabuki_protocol::ids::{PartitionId, TopicId};

use super::cast::{Cast, CreateFault, remove};
use super::directories::{Found, Located, Owner};
use super::role::{Role, Standing, pause_after};
use super::step::Step;

/// The search for missing partitions and failed directories.
#[derive(Debug, Default)]
pub(crate) struct Rescan {
    is_armed: bool,
    /// Searches in a row that found nothing.
    fruitless_count: u32,
}

impl Cast {
    /// Takes over the scan of one directory; `None`: it cannot be read, its partitions are missing.
    /// `look` follows. True after the first that succeeded.
    pub(crate) fn scanned(&mut self, directory: usize, found: Option<Found>) -> bool {
        let roles = &self.roles;
        let is_settled = |partition: &PartitionId| {
            let role = roles.get(partition);
            role.is_some_and(|role| role.standing != Standing::Missing)
        };
        self.directories.scanned(directory, found, is_settled)
    }

    /// The scan of a directory has been out for long: the others do not wait for it. `look` follows.
    /// True if they did.
    pub(crate) fn scan_overdue(&mut self, directory: usize) -> bool {
        self.directories.scan_overdue(directory)
    }

    /// Takes off a partition that an earlier keeper left on stage and that the image does not know,
    /// or whose directory is an older topic's of its name.
    pub(super) fn take_off_if_unknown(&mut self, partition: PartitionId, image: &MetadataImage) {
        let places = self.directories.places(&partition);
        if let Some(topic) = self.hosting(image, &partition) {
            let has = |owner: fn(Owner) -> bool| places.iter().any(|place| owner(place.owner));
            let is_here = self.directories.locate(&partition, topic.id) != Located::Nowhere;
            let is_anothers = has(|owner| matches!(owner, Owner::Topic(_)));
            let may_be_here = has(|owner| !matches!(owner, Owner::Topic(_)));
            if is_here || may_be_here || !is_anothers {
                self.playing.insert(partition);
                return;
            }
        }
        let place = places.first().copied();
        let topic_id = match place.map(|place| place.owner) {
            Some(Owner::Topic(topic_id)) => topic_id,
            _ => TopicId::ZERO,
        };
        let mut role = Role::new(partition.clone(), topic_id);
        role.standing = Standing::Leaving;
        role.directory = place.map_or(0, |place| place.directory);
        role.is_made = place.is_some();
        let directory = place.map(|place| place.directory);
        self.steps.push(remove(&role, directory));
        self.roles.insert(partition, role);
    }

    /// The topic of a partition, if the image gives the partition to this node.
    fn hosting<'a>(
        &self,
        image: &'a MetadataImage,
        partition: &PartitionId,
    ) -> Option<&'a TopicImage> {
        let topic = image.topic(&partition.topic)?;
        let hosted = topic.partition(partition.partition)?;
        hosted.directory_of(self.node)?;
        Some(topic)
    }

    /// Puts partition directories aside that no partition of the image owns, in directories that have
    /// come into sight.
    pub(super) fn set_strays_aside(&mut self, image: &MetadataImage) {
        for (partition, place) in self.directories.take_new() {
            let is_own = match (self.hosting(image, &partition), place.owner) {
                (Some(topic), Owner::Topic(topic_id)) => topic.id == topic_id,
                // A creation that was interrupted, a damaged directory, or one that may be its own.
                (Some(_), Owner::Nobody | Owner::Unreadable) => true,
                (None, _) => false,
            };
            let is_leaving = self
                .roles
                .get(&partition)
                .is_some_and(|role| role.standing == Standing::Leaving);
            if !is_own && !is_leaving {
                self.set_aside_from(place.directory, partition);
            }
        }
    }

    pub(super) fn set_aside_from(&mut self, directory: usize, partition: PartitionId) {
        *self.setting_aside.entry(partition.clone()).or_default() += 1;
        self.steps.push(Step::SetAside {
            partition,
            directory,
        });
    }

    /// A stray directory was renamed, or not: then it stays where it is until the next search, and a
    /// partition that is to be made there tries again.
    pub(crate) fn set_aside(
        &mut self,
        partition: &PartitionId,
        directory: usize,
        outcome: Result<(), String>,
    ) {
        if let Some(count) = self.setting_aside.get_mut(partition) {
            *count -= 1;
            if *count == 0 {
                self.setting_aside.remove(partition);
            }
        }
        match &outcome {
            Ok(()) => self.directories.removed(directory, partition),
            Err(_) => {
                self.directories.stray_stayed(directory);
                self.look_for_missing();
            }
        }
        let Some(mut role) = self.roles.remove(partition) else {
            return self.enter_anew(partition);
        };
        let is_waited_for = role.standing == Standing::MakingRoom && role.directory == directory;
        match (is_waited_for, outcome) {
            (true, Ok(())) => self.create(&mut role),
            (true, Err(cause)) => {
                self.roles.insert(partition.clone(), role);
                return self.create_failed(partition, CreateFault::NotMade(cause));
            }
            (false, _) => {}
        }
        self.roles.insert(partition.clone(), role);
    }

    /// Looks whether what was missing is there by now, and goes on looking for the rest.
    pub(super) fn look_for_missing(&mut self) {
        if self.directories.take_news() {
            let missing: Vec<PartitionId> = (self.roles.values())
                .filter(|role| role.standing == Standing::Missing)
                .map(|role| role.partition.clone())
                .collect();
            for partition in missing {
                if let Some(mut role) = self.roles.remove(&partition) {
                    self.place(&mut role);
                    if role.standing != Standing::Missing {
                        self.rescan.fruitless_count = 0;
                    }
                    self.roles.insert(partition, role);
                }
            }
        }
        let is_missing = |role: &Role| role.standing == Standing::Missing;
        let is_wanted = self.directories.is_incomplete() || self.roles.values().any(is_missing);
        if !is_wanted {
            self.rescan.fruitless_count = 0;
        } else if !self.rescan.is_armed && !self.directories.is_scanning() {
            self.rescan.is_armed = true;
            let pause = pause_after(self.rescan.fruitless_count);
            self.rescan.fruitless_count = self.rescan.fruitless_count.saturating_add(1);
            self.steps.push(Step::RescanLater { pause });
        }
    }

    /// The pause before the next search is over.
    pub(crate) fn rescan_due(&mut self) {
        self.rescan.is_armed = false;
        self.search();
    }

    /// Looks through the log directories once more.
    pub(crate) fn search(&mut self) {
        let idle = self.directories.begin_rescan();
        self.steps
            .extend(idle.into_iter().map(|directory| Step::Scan { directory }));
    }
}
