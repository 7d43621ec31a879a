//! The directories of the simulated disk: entries as everybody sees them, entries as they are on the
//! device, and the steps between the two that a crash may lose.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path};

use rand::Rng;
use rand::rngs::StdRng;
use rustix::io::Errno;

use super::content::Content;

/// Number of a file or directory; never used twice.
pub(super) type NodeNumber = u64;

const ROOT: NodeNumber = 0;

/// Unlinked files that are kept before a search for those that nothing can bring back.
const UNLINKED_MAX: usize = 64;

type Entries = BTreeMap<String, NodeNumber>;

#[derive(Debug)]
pub(super) enum Node {
    File(Content),
    Dir { seen: Entries, durable: Entries },
}

/// Entries that change together or not at all.
#[derive(Debug)]
struct Step {
    changes: Vec<(NodeNumber, String, Option<NodeNumber>)>,
}

/// All files and directories.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeNumber, Node>,
    next_number: NodeNumber,
    unsynced: Vec<Step>,
    unlinked: BTreeSet<NodeNumber>,
    open_counts: BTreeMap<NodeNumber, usize>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::Dir {
            seen: Entries::new(),
            durable: Entries::new(),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_number: ROOT + 1,
            unsynced: Vec::new(),
            unlinked: BTreeSet::new(),
            open_counts: BTreeMap::new(),
        }
    }
}

impl Tree {
    /// The node at a path. Absolute and relative paths mean the same: there is one root.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeNumber> {
        let mut at = ROOT;
        for part in path.components() {
            if let Some(name) = name_of(part)? {
                at = *self.entries(at)?.get(name).ok_or(Errno::NOENT)?;
            }
        }
        Ok(at)
    }

    /// The directory that holds the last part of a path, and that part.
    pub(super) fn find_parent(&self, path: &Path) -> io::Result<(NodeNumber, String)> {
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .ok_or(Errno::INVAL)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("")))?;
        self.entries(parent)?;
        Ok((parent, name.to_owned()))
    }

    pub(super) fn entries(&self, dir: NodeNumber) -> io::Result<&Entries> {
        match self.nodes.get(&dir) {
            Some(Node::Dir { seen, .. }) => Ok(seen),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn file(&self, number: NodeNumber) -> io::Result<&Content> {
        match self.nodes.get(&number) {
            Some(Node::File(content)) => Ok(content),
            Some(Node::Dir { .. }) => Err(Errno::ISDIR.into()),
            None => Err(Errno::STALE.into()),
        }
    }

    pub(super) fn file_mut(&mut self, number: NodeNumber) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(content)) => Ok(content),
            Some(Node::Dir { .. }) => Err(Errno::ISDIR.into()),
            None => Err(Errno::STALE.into()),
        }
    }

    pub(super) fn is_dir(&self, number: NodeNumber) -> bool {
        matches!(self.nodes.get(&number), Some(Node::Dir { .. }))
    }

    /// True for a file that has lost its last name: it no longer counts against the capacity.
    pub(super) fn is_unlinked(&self, number: NodeNumber) -> bool {
        self.unlinked.contains(&number)
    }

    pub(super) fn create_file(&mut self, dir: NodeNumber, name: String) -> NodeNumber {
        self.link_new(dir, name, Node::File(Content::default()))
    }

    pub(super) fn create_dir(&mut self, dir: NodeNumber, name: String) -> NodeNumber {
        self.link_new(
            dir,
            name,
            Node::Dir {
                seen: Entries::new(),
                durable: Entries::new(),
            },
        )
    }

    fn link_new(&mut self, dir: NodeNumber, name: String, node: Node) -> NodeNumber {
        let number = self.next_number;
        self.next_number += 1;
        self.nodes.insert(number, node);
        self.take_step(Step {
            changes: vec![(dir, name, Some(number))],
        });
        number
    }

    /// Removes one entry.
    pub(super) fn unlink(&mut self, dir: NodeNumber, name: String) {
        self.take_step(Step {
            changes: vec![(dir, name, None)],
        });
    }

    /// Moves an entry, over an existing one if there is one.
    pub(super) fn rename(&mut self, from: (NodeNumber, String), to: (NodeNumber, String)) {
        let moved = self
            .entries(from.0)
            .ok()
            .and_then(|entries| entries.get(&from.1).copied());
        if from == to || moved.is_none() {
            return;
        }
        self.take_step(Step {
            changes: vec![(from.0, from.1, None), (to.0, to.1, moved)],
        });
    }

    fn take_step(&mut self, step: Step) {
        for (dir, name, target) in &step.changes {
            let Some(Node::Dir { seen, .. }) = self.nodes.get_mut(dir) else {
                continue;
            };
            let replaced = match target {
                Some(number) => seen.insert(name.clone(), *number),
                None => seen.remove(name),
            };
            self.unlinked.extend(replaced);
        }
        for (_, _, target) in &step.changes {
            if let Some(number) = target {
                self.unlinked.remove(number);
            }
        }
        self.unsynced.push(step);
    }

    /// Makes the entries of one directory durable, and with them only what they depend on: a rename
    /// into another directory goes with both, an unrelated entry elsewhere stays unsynced.
    pub(super) fn sync_dir(&mut self, dir: NodeNumber) {
        let mut names: BTreeSet<(NodeNumber, String)> = BTreeSet::new();
        let mut synced = Vec::new();
        for at in (0..self.unsynced.len()).rev() {
            let changes = &self.unsynced[at].changes;
            let concerns = |(of, name, _): &(NodeNumber, String, _)| {
                *of == dir || names.contains(&(*of, name.clone()))
            };
            if changes.iter().any(concerns) {
                names.extend(changes.iter().map(|(of, name, _)| (*of, name.clone())));
                synced.push(self.unsynced.remove(at));
            }
        }
        for step in synced.iter().rev() {
            self.persist(step);
        }
        self.forget_unlinked();
    }

    fn persist(&mut self, step: &Step) {
        for (dir, name, target) in &step.changes {
            if let Some(Node::Dir { durable, .. }) = self.nodes.get_mut(dir) {
                match target {
                    Some(number) => durable.insert(name.clone(), *number),
                    None => durable.remove(name),
                };
            }
        }
    }

    /// Frees the files that no name, unsynced step or open handle can bring back.
    fn forget_unlinked(&mut self) {
        if self.unlinked.len() <= UNLINKED_MAX {
            return;
        }
        let mut kept: BTreeSet<NodeNumber> = self.open_counts.keys().copied().collect();
        for node in self.nodes.values() {
            if let Node::Dir { durable, .. } = node {
                kept.extend(durable.values());
            }
        }
        for step in &self.unsynced {
            kept.extend(step.changes.iter().filter_map(|(_, _, target)| *target));
        }
        for number in std::mem::take(&mut self.unlinked) {
            if kept.contains(&number) {
                self.unlinked.insert(number);
            } else {
                self.nodes.remove(&number);
            }
        }
    }

    pub(super) fn opened(&mut self, number: NodeNumber) {
        *self.open_counts.entry(number).or_default() += 1;
    }

    pub(super) fn closed(&mut self, number: NodeNumber) {
        if let Some(count) = self.open_counts.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                self.open_counts.remove(&number);
            }
        }
    }

    /// What is left after a crash of the machine.
    pub(super) fn crash(&mut self, dice: &mut StdRng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let mode = dice.random_range(0..4);
        let prefix_count = dice.random_range(0..=unsynced.len());
        for (at, step) in unsynced.iter().enumerate() {
            let survives = match mode {
                0 => false,
                1 => true,
                2 => at < prefix_count,
                _ => dice.random_bool(0.5),
            };
            if survives {
                self.persist(step);
            }
        }
        self.unlinked.clear();
        self.open_counts.clear();

        let mut reachable = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        while let Some(number) = left.pop() {
            match self.nodes.get_mut(&number) {
                Some(Node::Dir { seen, durable }) => {
                    seen.clone_from(durable);
                    left.extend(seen.values().filter(|child| reachable.insert(**child)));
                }
                Some(Node::File(content)) => content.crash(dice),
                None => {}
            }
        }
        self.nodes.retain(|number, _| reachable.contains(number));
    }

    /// Bytes of all files that have a name.
    pub(super) fn charged_bytes(&self) -> u64 {
        let files = self
            .nodes
            .iter()
            .filter(|(number, _)| !self.unlinked.contains(number));
        files
            .map(|(_, node)| match node {
                Node::File(content) => content.charged_bytes(),
                Node::Dir { .. } => 0,
            })
            .sum()
    }
}

/// The name in one part of a path; `None` for the root and for `.`.
fn name_of(part: Component<'_>) -> io::Result<Option<&str>> {
    match part {
        Component::RootDir | Component::CurDir => Ok(None),
        Component::Normal(name) => Ok(Some(name.to_str().ok_or(Errno::ILSEQ)?)),
        // Nothing of ours climbs, and links that could make it ambiguous do not exist here.
        Component::ParentDir | Component::Prefix(_) => Err(Errno::INVAL.into()),
    }
}
