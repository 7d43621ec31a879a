//! The cast of one node: compares the metadata image with what stands on stage, and brings partitions
//! on and off. What they say of themselves is in `news`, what lies on the disks in `scans`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kabuki_controller::image::{
    ConfigOverrides, DirectoryId, MetadataImage, PartitionImage, TopicImage,
};
use kabuki_protocol::ids::{NodeId, PartitionId, TopicId, TopicName};

use super::directories::{Directories, Located, Owner};
use super::role::{Role, Standing};
use super::scans::Rescan;
use super::step::Step;

/// Why the directory of a new partition was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CreateFault {
    /// Nothing of it is there: it may be made elsewhere.
    NotMade(String),
    /// A part of it may be there: it can only be finished in the same place, or it would be in two.
    HalfMade(String),
    /// Something else is there, which is not touched.
    Occupied(String),
}

/// The partitions of one node.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(super) node: NodeId,
    pub(super) directories: Directories,
    pub(super) roles: HashMap<PartitionId, Role>,
    /// The image that was compared last.
    pub(super) image: Option<Arc<MetadataImage>>,
    /// Topics as last compared: one that is the same object has not changed.
    compared: HashMap<TopicName, Arc<TopicImage>>,
    /// Dynamic configuration of the broker as last compared: its own and the default.
    broker_configs: Option<[Arc<ConfigOverrides>; 2]>,
    /// Names whose stray directories are being put aside, with how many that are.
    pub(super) setting_aside: HashMap<PartitionId, usize>,
    /// Partitions of the image that an earlier keeper left on stage; they are asked how they are.
    pub(super) playing: HashSet<PartitionId>,
    /// The first image is being compared: what it does not assign may have been made before.
    is_first_look: bool,
    pub(super) rescan: Rescan,
    pub(super) steps: Vec<Step>,
}

impl Cast {
    /// A cast whose log directories are being scanned.
    pub(crate) fn new(node: NodeId, directories: Vec<DirectoryId>) -> Self {
        Self {
            node,
            directories: Directories::new(directories),
            roles: HashMap::new(),
            image: None,
            compared: HashMap::new(),
            broker_configs: None,
            setting_aside: HashMap::new(),
            playing: HashSet::new(),
            is_first_look: false,
            rescan: Rescan::default(),
            steps: Vec::new(),
        }
    }

    /// What is to be done since the last call, in this order.
    pub(crate) fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Compares the cast with an image and with the scans that have ended. Nothing happens before
    /// both are there. `on_stage` is asked once: partitions that an earlier keeper left playing.
    ///
    /// Costs one look per topic of the cluster, and one per partition of the topics that changed.
    pub(crate) fn look(
        &mut self,
        image: &Arc<MetadataImage>,
        on_stage: impl FnOnce() -> Vec<PartitionId>,
    ) {
        if !self.directories.are_known() || !image.is_loaded() {
            return;
        }
        self.is_first_look = self.image.replace(image.clone()).is_none();
        if self.is_first_look {
            for partition in on_stage() {
                self.take_off_if_unknown(partition, image);
            }
        }
        self.set_strays_aside(image);
        self.compare_broker_configs(image);
        self.compare_topics(image);
        self.is_first_look = false;
        self.look_for_missing();
    }

    /// A dynamic configuration of the broker stands behind those of all topics.
    fn compare_broker_configs(&mut self, image: &MetadataImage) {
        let now = [
            image.broker_configs(self.node),
            image.default_broker_configs().clone(),
        ];
        if self.broker_configs.as_ref() == Some(&now) {
            return;
        }
        if self.broker_configs.replace(now).is_some() {
            let playing = (self.roles.values()).filter(|role| role.standing == Standing::OnStage);
            let steps = playing.map(|role| Step::Reconfigure {
                partition: role.partition.clone(),
            });
            self.steps.extend(steps);
        }
    }

    fn compare_topics(&mut self, image: &MetadataImage) {
        let gone: Vec<TopicName> = (self.compared.iter())
            .filter(|(name, topic)| image.topic(name).is_none_or(|now| now.id != topic.id))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(topic) = self.compared.remove(&name) {
                for index in 0..index_of(topic.partitions.len()) {
                    self.leave(&topic.partition_id(index), topic.id);
                }
            }
        }
        for topic in image.topics() {
            let known = self.compared.get(&topic.name);
            if known.is_some_and(|known| Arc::ptr_eq(known, topic)) {
                continue;
            }
            for (index, partition) in topic.partitions.iter().enumerate() {
                self.compare_partition(topic, index_of(index), partition);
            }
            self.compared.insert(topic.name.clone(), topic.clone());
        }
    }

    /// The topic of a partition was deleted.
    fn leave(&mut self, partition: &PartitionId, topic_id: TopicId) {
        let Some(role) = self.roles.get_mut(partition) else {
            return;
        };
        if role.topic_id != topic_id {
            return;
        }
        match std::mem::replace(&mut role.standing, Standing::Leaving) {
            Standing::OnStage | Standing::Parked => {
                self.steps.push(remove(role, Some(role.directory)));
            }
            Standing::Missing => self.steps.push(remove(role, None)),
            // Nothing of it is there; its name is free once the stranger's directory is aside.
            Standing::MakingRoom => drop(self.roles.remove(partition)),
            // It leaves when that has ended.
            Standing::Creating | Standing::Leaving => {}
        }
    }

    fn compare_partition(&mut self, topic: &TopicImage, index: i32, image: &PartitionImage) {
        let Some(assigned) = image.directory_of(self.node) else {
            return;
        };
        let id = topic.partition_id(index);
        let Some(role) = self.roles.get_mut(&id) else {
            // A name that is being cleared is entered when that is done.
            if !self.setting_aside.contains_key(&id) {
                let mut role = Role::new(id.clone(), topic.id);
                role.seen(topic, image, assigned);
                role.may_be_made = self.is_first_look;
                if self.playing.remove(&id) {
                    self.take_over(&mut role);
                } else {
                    self.place(&mut role);
                }
                self.roles.insert(id, role);
            }
            return;
        };
        if role.standing == Standing::Leaving {
            return;
        }
        assert_eq!(role.topic_id, topic.id, "{id} plays for a deleted topic");
        if role.standing == Standing::OnStage {
            if image.leader_epoch > role.leader_epoch || image.leader != role.leader {
                let leader_epoch = image.leader_epoch;
                let partition = id.clone();
                self.steps.push(if image.leader == self.node {
                    Step::Lead {
                        partition,
                        leader_epoch,
                    }
                } else {
                    Step::Resign {
                        partition,
                        leader_epoch,
                    }
                });
            }
            if role.configs != topic.configs {
                self.steps.push(Step::Reconfigure { partition: id });
            }
        }
        role.seen(topic, image, assigned);
        role.reconcile(self.node, &mut self.steps);
    }

    /// Puts a partition on stage where its files are, makes them if it is new, or finds it missing.
    pub(super) fn place(&mut self, role: &mut Role) {
        match self.directories.locate(&role.partition, role.topic_id) {
            Located::In(directory) => {
                role.directory = directory;
                self.bring_on(role);
            }
            Located::Several => role.lose("the partition lies in several log directories"),
            Located::Nowhere if role.assigned.is_assigned() => {
                let cause = self.why_missing(role);
                role.lose(cause);
            }
            Located::Nowhere => match self.why_not_new(role) {
                Some(cause) => role.lose(cause),
                None => self.place_new(role),
            },
        }
        role.reconcile(self.node, &mut self.steps);
    }

    /// Takes over a partition that is on stage. It tells where it is, whatever the disk shows.
    fn take_over(&mut self, role: &mut Role) {
        if let Located::In(directory) = self.directories.locate(&role.partition, role.topic_id) {
            role.directory = directory;
            return self.bring_on(role);
        }
        let places = self.directories.places(&role.partition);
        let likely = self.directories.with_id(role.assigned);
        let likely = likely.or_else(|| Some(places.first()?.directory));
        role.directory = likely.unwrap_or(0);
        role.standing = Standing::OnStage;
        role.is_made = true;
        self.steps.push(Step::Start {
            partition: role.partition.clone(),
            topic_id: role.topic_id,
            directory: role.directory,
        });
    }

    /// Why a partition without an assigned directory may have one all the same.
    fn why_not_new(&self, role: &Role) -> Option<&'static str> {
        let mut places = self.directories.places(&role.partition).iter();
        if places.any(|place| place.owner == Owner::Unreadable) {
            return Some("the directory of the partition cannot be read");
        }
        // Made before this keeper came, it would be found later, and be in two places.
        let may_be_there = role.may_be_made && self.directories.has_unusable();
        may_be_there.then_some("it may lie in a log directory that is not online")
    }

    fn why_missing(&self, role: &Role) -> String {
        if !self.directories.is_usable(role.assigned) {
            return format!("log directory {} is not online", role.assigned);
        }
        match self.directories.places(&role.partition) {
            [] => "the directory of the partition is gone".to_owned(),
            _ => {
                "the directory of the partition is empty, unreadable or another topic's".to_owned()
            }
        }
    }

    fn bring_on(&mut self, role: &mut Role) {
        role.standing = Standing::OnStage;
        role.is_made = true;
        role.failed_in.clear();
        let directory = role.directory;
        if let Some(assignment) = self.assignment(role) {
            self.steps.push(assignment);
        }
        self.steps.push(Step::Start {
            partition: role.partition.clone(),
            topic_id: role.topic_id,
            directory,
        });
    }

    /// What the controller does not know yet: the node stopped between making the directory and
    /// telling it, or an operator moved the files while the node was down.
    pub(super) fn assignment(&self, role: &Role) -> Option<Step> {
        let directory = self.directories.id(role.directory);
        let is_known = role.assigned == directory || !role.is_made;
        (!is_known).then(|| Step::Assign {
            partition: role.reference(),
            directory,
        })
    }

    /// The controller did not take the directories it was told.
    pub(crate) fn assign_again_due(&mut self) {
        let here = |role: &&Role| matches!(role.standing, Standing::OnStage | Standing::Parked);
        let mut again: Vec<Step> = (self.roles.values().filter(here))
            .filter_map(|role| self.assignment(role))
            .collect();
        self.steps.append(&mut again);
    }

    fn place_new(&mut self, role: &mut Role) {
        let Some(directory) = self.directories.choose(&role.partition, &role.failed_in) else {
            if role.failed_in.is_empty() {
                return role.lose("no log directory is online");
            }
            // Each refused it once: all are tried again after a pause.
            role.failed_in.clear();
            role.standing = Standing::Parked;
            return role.try_later(&mut self.steps);
        };
        role.directory = directory;
        if self.directories.is_taken(directory, &role.partition) {
            role.standing = Standing::MakingRoom;
            self.set_aside_from(directory, role.partition.clone());
        } else {
            self.create(role);
        }
    }

    pub(super) fn create(&mut self, role: &mut Role) {
        role.standing = Standing::Creating;
        let mut places = self.directories.places(&role.partition).iter();
        role.is_begun = places.any(|place| place.directory == role.directory);
        self.directories
            .added(role.directory, &role.partition, Owner::Topic(role.topic_id));
        self.steps.push(Step::Create {
            partition: role.partition.clone(),
            topic_id: role.topic_id,
            directory: role.directory,
        });
    }

    /// The directory of a new partition is there.
    pub(crate) fn created(&mut self, partition: &PartitionId) {
        let Some(mut role) = self.roles.remove(partition) else {
            return;
        };
        if role.standing == Standing::Leaving {
            role.is_made = true;
            self.steps.push(remove(&role, Some(role.directory)));
        } else {
            self.bring_on(&mut role);
        }
        self.roles.insert(partition.clone(), role);
    }

    /// The directory of a new partition could not be made: tried elsewhere at once if that is safe,
    /// else in the same place after a pause.
    pub(crate) fn create_failed(&mut self, partition: &PartitionId, fault: CreateFault) {
        let Some(mut role) = self.roles.remove(partition) else {
            return;
        };
        let at = role.directory;
        let fault = match fault {
            CreateFault::NotMade(cause) if role.is_begun => CreateFault::HalfMade(cause),
            fault => fault,
        };
        // A stranger's directory that could not be put aside is still there, and to be put aside by the
        // next search: a scan alone would not show it beside a partition that plays elsewhere.
        if role.standing != Standing::MakingRoom {
            self.directories.removed(at, partition);
        }
        if let CreateFault::HalfMade(_) = &fault {
            self.directories.added(at, partition, Owner::Nobody);
        }
        if role.standing == Standing::Leaving {
            return match fault {
                CreateFault::HalfMade(_) => {
                    role.is_made = true;
                    self.steps.push(remove(&role, Some(at)));
                    self.roles.insert(partition.clone(), role);
                }
                CreateFault::NotMade(_) | CreateFault::Occupied(_) => self.enter_anew(partition),
            };
        }
        match fault {
            CreateFault::NotMade(cause) => {
                role.fail(cause);
                role.failed_in.push(at);
                self.place_new(&mut role);
            }
            CreateFault::HalfMade(cause) => {
                role.fail(cause);
                role.standing = Standing::Parked;
                role.try_later(&mut self.steps);
            }
            CreateFault::Occupied(cause) => {
                role.fail(cause);
                role.standing = Standing::MakingRoom;
                self.set_aside_from(at, partition.clone());
            }
        }
        role.reconcile(self.node, &mut self.steps);
        self.roles.insert(partition.clone(), role);
    }

    /// A partition was taken off and its directory renamed, or not. Its name may be wanted already.
    pub(crate) fn left(&mut self, partition: &PartitionId, outcome: Result<(), String>) {
        let Some(role) = self.roles.get_mut(partition) else {
            return;
        };
        if outcome.is_err() {
            role.must_leave_again = true;
            return role.try_later(&mut self.steps);
        }
        if role.is_made {
            let directory = role.directory;
            self.directories.removed(directory, partition);
        }
        self.roles.remove(partition);
        // What else bears its name belonged to it, or to nobody.
        let others: Vec<usize> = (self.directories.places(partition).iter())
            .map(|place| place.directory)
            .collect();
        for directory in others {
            self.set_aside_from(directory, partition.clone());
        }
        self.enter_anew(partition);
    }

    /// A name has become free: a newer topic may have been waiting for it.
    pub(super) fn enter_anew(&mut self, partition: &PartitionId) {
        let Some(image) = self.image.clone() else {
            return;
        };
        if let Some(topic) = image.topic(&partition.topic)
            && let Some(hosted) = topic.partition(partition.partition)
        {
            self.compare_partition(topic, partition.partition, hosted);
        }
    }
}

/// The step that takes a partition off.
pub(super) fn remove(role: &Role, directory: Option<usize>) -> Step {
    Step::Remove {
        partition: role.partition.clone(),
        topic_id: role.topic_id,
        directory,
    }
}

/// A topic has far fewer than 2^31 partitions; the controller bounds them.
fn index_of(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
