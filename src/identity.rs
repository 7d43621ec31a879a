//! Whose data directories these are: locks them, reads or writes `meta.properties`, and refuses what
//! belongs to another node or cluster. What lies inside the directories is the replica keeper's.

use std::path::{Path, PathBuf};

use kabuki_controller::image::DirectoryId;
use kabuki_protocol::ids::{NodeId, TopicId};
use kabuki_storage::dir_lock::DirLock;
use kabuki_storage::dir_scan::DirKind;
use kabuki_storage::meta_properties::MetaProperties;
use kabuki_storage::{DirFault, FileSystem, dir_scan};

/// Why a node cannot start on its directories.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityRefused {
    /// Another process holds a directory, or the metadata directory cannot be used.
    #[error("log directory {} cannot be used: {source}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        source: DirFault,
    },
    /// The directory was formatted for another node.
    #[error("log directory {} belongs to node {found}, this is node {own} (node.id)", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Node in its `meta.properties`.
        found: NodeId,
        /// Node of the configuration.
        own: NodeId,
    },
    /// Two directories belong to different clusters.
    #[error("log directory {} belongs to cluster {found}, {} to {other}", path.display(), other_path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Its cluster.
        found: String,
        /// A directory read before.
        other_path: PathBuf,
        /// The cluster of that one.
        other: String,
    },
    /// Two directories carry the same id: one is a copy of the other.
    #[error("log directories {} and {} have the same directory.id: one is a copy", path.display(), other_path.display())]
    Copied {
        /// The directory.
        path: PathBuf,
        /// The one read before.
        other_path: PathBuf,
    },
    /// Nobody formatted it, and something lies in it.
    #[error("log directory {} is not empty and has no meta.properties: not touched", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// Not one directory can be used.
    #[error("no log directory can be used: {0}")]
    NoneUsable(String),
}

/// One directory of this node, held for as long as the value lives.
#[derive(Debug)]
pub(crate) struct OwnedDirectory {
    pub(crate) path: PathBuf,
    pub(crate) id: DirectoryId,
    _lock: DirLock,
}

/// The directories of a node and the cluster they belong to.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) cluster_id: String,
    pub(crate) directories: Vec<OwnedDirectory>,
    /// Directories left out, with the reason: their partitions are offline, the others serve.
    pub(crate) offline: Vec<(PathBuf, String)>,
}

impl Identity {
    /// Whether no directory holds a partition, so that a missing metadata log means a new cluster and
    /// not a lost log. A directory that cannot be read may hold some.
    pub(crate) fn holds_no_partition(&self, fs: &dyn FileSystem) -> bool {
        let is_partition =
            |dir: &dir_scan::ScannedDir| matches!(dir.kind, DirKind::Partition { .. });
        let mut directories = self.directories.iter();
        self.offline.is_empty()
            && directories.all(|directory| match dir_scan::scan(fs, &directory.path) {
                Ok(scan) => !scan.dirs.iter().any(is_partition),
                Err(_) => false,
            })
    }
}

/// Takes the directories of a node. All of them empty: a new cluster is formatted.
///
/// A directory that fails is left out, as a broken disk must not take down the node; one that belongs
/// to somebody else stops the start, as that is a mistake of the configuration.
pub(crate) fn take(
    fs: &dyn FileSystem,
    node: NodeId,
    paths: &[PathBuf],
) -> Result<Identity, IdentityRefused> {
    let mut opened = Vec::new();
    let mut offline = Vec::new();
    for path in paths {
        match open(fs, path) {
            Ok(found) => opened.push(found),
            Err(source @ DirFault::Locked { .. }) => {
                return Err(IdentityRefused::Unusable {
                    path: path.clone(),
                    source,
                });
            }
            Err(fault) => offline.push((path.clone(), fault.to_string())),
        }
    }
    if opened.is_empty() {
        let reasons: Vec<_> = offline.iter().map(|(_, reason)| reason.as_str()).collect();
        return Err(IdentityRefused::NoneUsable(reasons.join("; ")));
    }
    check_owners(node, &opened)?;
    let known = opened
        .iter()
        .find_map(|one| Some(one.properties.as_ref()?.cluster_id.clone()));
    let is_new_cluster = known.is_none() && offline.is_empty();
    let cluster_id = known.unwrap_or_else(|| TopicId::random().to_string());
    let mut directories: Vec<OwnedDirectory> = Vec::new();
    for one in opened {
        let properties = match one.properties {
            Some(properties) => properties,
            None if is_new_cluster => {
                let properties = MetaProperties::for_new_directory(cluster_id.clone(), node);
                let path = one.path.clone();
                properties
                    .write(fs, &one.path)
                    .map_err(|source| IdentityRefused::Unusable { path, source })?;
                properties
            }
            None => {
                // Probably a disk that is not mounted: what is written here would vanish with the
                // next mount.
                let reason = "empty, while the other directories belong to a cluster: mounted?";
                offline.push((one.path, reason.to_owned()));
                continue;
            }
        };
        let id = DirectoryId(properties.directory_id);
        if let Some(other) = directories.iter().find(|other| other.id == id) {
            let other_path = other.path.clone();
            return Err(IdentityRefused::Copied {
                path: one.path,
                other_path,
            });
        }
        directories.push(OwnedDirectory {
            path: one.path,
            id,
            _lock: one.lock,
        });
    }
    if directories.is_empty() {
        let reasons: Vec<_> = offline.iter().map(|(_, reason)| reason.as_str()).collect();
        return Err(IdentityRefused::NoneUsable(reasons.join("; ")));
    }
    Ok(Identity {
        cluster_id,
        directories,
        offline,
    })
}

struct Opened {
    path: PathBuf,
    lock: DirLock,
    properties: Option<MetaProperties>,
    is_empty: bool,
}

fn open(fs: &dyn FileSystem, path: &Path) -> Result<Opened, DirFault> {
    fs.create_dir_all(path).map_err(|source| DirFault::Io {
        operation: "create",
        path: path.to_owned(),
        source,
    })?;
    let lock = DirLock::take(fs, path)?;
    let properties = MetaProperties::read(fs, path)?;
    let is_empty = properties.is_none() && dir_scan::scan(fs, path)?.is_empty();
    Ok(Opened {
        path: path.to_owned(),
        lock,
        properties,
        is_empty,
    })
}

fn check_owners(node: NodeId, opened: &[Opened]) -> Result<(), IdentityRefused> {
    let mut first: Option<(&Path, &str)> = None;
    for one in opened {
        let path = one.path.clone();
        let Some(properties) = &one.properties else {
            if one.is_empty {
                continue;
            }
            return Err(IdentityRefused::Foreign { path });
        };
        if properties.node_id != node {
            let found = properties.node_id;
            return Err(IdentityRefused::OtherNode {
                path,
                found,
                own: node,
            });
        }
        match first {
            Some((other_path, other)) if other != properties.cluster_id => {
                return Err(IdentityRefused::OtherCluster {
                    path,
                    found: properties.cluster_id.clone(),
                    other_path: other_path.to_owned(),
                    other: other.to_owned(),
                });
            }
            Some(_) => {}
            None => first = Some((&one.path, &properties.cluster_id)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use kabuki_storage::RealFs;

    use super::*;

    fn paths(root: &Path, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| root.join(name)).collect()
    }

    #[test]
    fn empty_directories_become_a_cluster_that_is_found_again() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let paths = paths(root.path(), &["a", "b"]);
        let new = take(&RealFs, NodeId(1), &paths).expect("formatted");
        let ids: Vec<_> = new.directories.iter().map(|one| one.id).collect();
        assert_ne!(ids[0], ids[1]);
        let cluster_id = new.cluster_id.clone();
        drop(new);
        let again = take(&RealFs, NodeId(1), &paths).expect("the same node");
        assert_eq!(again.cluster_id, cluster_id);
        assert_eq!(
            again
                .directories
                .iter()
                .map(|one| one.id)
                .collect::<Vec<_>>(),
            ids
        );
    }

    #[test]
    fn directories_of_another_node_or_cluster_are_refused() {
        let root = tempfile::tempdir().expect("a temporary folder");
        drop(take(&RealFs, NodeId(1), &paths(root.path(), &["a"])).expect("formatted"));
        drop(take(&RealFs, NodeId(1), &paths(root.path(), &["b"])).expect("formatted"));
        let other_node = take(&RealFs, NodeId(2), &paths(root.path(), &["a"]));
        assert!(matches!(other_node, Err(IdentityRefused::OtherNode { .. })));
        let other_cluster = take(&RealFs, NodeId(1), &paths(root.path(), &["a", "b"]));
        assert!(matches!(
            other_cluster,
            Err(IdentityRefused::OtherCluster { .. })
        ));
    }

    #[test]
    fn a_directory_with_foreign_files_is_not_touched() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let paths = paths(root.path(), &["a"]);
        fs::create_dir(&paths[0]).expect("made");
        fs::write(paths[0].join("thesis.txt"), "precious").expect("written");
        let refused = take(&RealFs, NodeId(1), &paths);
        assert!(matches!(refused, Err(IdentityRefused::Foreign { .. })));
        assert!(!paths[0].join("meta.properties").exists());
    }

    #[test]
    fn two_nodes_do_not_share_a_directory() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let paths = paths(root.path(), &["a"]);
        let held = take(&RealFs, NodeId(1), &paths).expect("formatted");
        assert!(matches!(
            take(&RealFs, NodeId(1), &paths),
            Err(IdentityRefused::Unusable {
                source: DirFault::Locked { .. },
                ..
            })
        ));
        drop(held);
    }

    #[test]
    fn an_empty_directory_next_to_a_formatted_one_is_left_out() {
        let root = tempfile::tempdir().expect("a temporary folder");
        drop(take(&RealFs, NodeId(1), &paths(root.path(), &["a"])).expect("formatted"));
        let both = take(&RealFs, NodeId(1), &paths(root.path(), &["a", "b"])).expect("started");
        assert_eq!(both.directories.len(), 1);
        assert_eq!(both.offline.len(), 1);
        assert!(!root.path().join("b/meta.properties").exists());
    }
}
