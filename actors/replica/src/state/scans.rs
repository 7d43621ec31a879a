//! What lies on the disks: strays are put aside, and what is missing is looked for until it is back.

use kabuki_controller::image::{MetadataImage, TopicImage};
use kabuki_protocol::ids::{PartitionId, TopicId};

use super::cast::{Cast, CreateFault, remove};
use super::directories::{Found, Located};
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
    /// or whose directory went to a newer topic of its name.
    pub(super) fn take_off_if_unknown(&mut self, partition: PartitionId, image: &MetadataImage) {
        let topic = hosting(image, &partition, |topic| {
            let replica = topic.partition(partition.partition)?;
            replica.directory_of(self.node)
        });
        if let Some((topic, assigned)) = topic {
            let is_here = self.directories.locate(&partition, topic.id) != Located::Nowhere;
            let has_no_place = self.directories.places(&partition).is_empty();
            // One that was assigned and has no directory is missing: it is told so, or comes back.
            if is_here || (has_no_place && assigned.is_assigned()) {
                return;
            }
        }
        let place = self.directories.places(&partition).first().copied();
        let topic_id = place.and_then(|place| place.topic_id);
        let mut role = Role::new(partition.clone(), topic_id.unwrap_or(TopicId::ZERO));
        role.standing = Standing::Leaving;
        role.directory = place.map_or(0, |place| place.directory);
        role.is_made = place.is_some();
        let directory = place.map(|place| place.directory);
        self.steps.push(remove(&role, directory));
        self.roles.insert(partition, role);
    }

    /// Puts partition directories aside that no partition of the image owns, once per directory.
    pub(super) fn set_strays_aside(&mut self, image: &MetadataImage) {
        for (partition, place) in self.directories.take_new() {
            let hosted = hosting(image, &partition, |topic| {
                let replica = topic.partition(partition.partition)?;
                replica.directory_of(self.node)
            });
            let is_own = match (hosted, place.topic_id) {
                (Some((topic, _)), Some(topic_id)) => topic.id == topic_id,
                // Without its metadata file it may be anybody's, or a creation that was interrupted.
                (Some(_), None) => true,
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

    /// A stray directory was renamed, or not: then it stays where it is, and a partition that is to be
    /// made there tries again.
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
        if outcome.is_ok() {
            self.directories.removed(directory, partition);
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
        let is_wanted = self.directories.has_unusable() || self.roles.values().any(is_missing);
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
        let idle = self.directories.begin_rescan();
        self.steps
            .extend(idle.into_iter().map(|directory| Step::Scan { directory }));
    }
}

/// The topic of a partition in the image, with what `find` says of it.
fn hosting<'a, T>(
    image: &'a MetadataImage,
    partition: &PartitionId,
    find: impl FnOnce(&TopicImage) -> Option<T>,
) -> Option<(&'a TopicImage, T)> {
    let topic = image.topic(&partition.topic)?;
    Some((topic, find(topic)?))
}
