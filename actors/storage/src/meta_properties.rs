//! `meta.properties` of a log directory: which cluster and node it belongs to, and its own identity.
//! Refusing a foreign one is the business of the node's start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use kabuki_protocol::ids::{NodeId, TopicId};

use crate::dir_fault::{DirFault, read_text, replace_file};
use crate::file_system::FileSystem;

/// Name of the file.
pub const FILE_NAME: &str = "meta.properties";

/// Version of the layout that KRaft nodes write.
const VERSION: &str = "1";

/// Far above the four lines that are written; other tools may add some.
const BYTES_MAX: u64 = 64 << 10;

/// Content of `meta.properties`, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`, usually 22 characters of base64url.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: NodeId,
    /// `directory.id` as bytes; written as base64url. Source: KIP-858.
    pub directory_id: [u8; 16],
}

impl MetaProperties {
    /// For a new directory of a node: with an identity of its own.
    pub fn for_new_directory(cluster_id: String, node_id: NodeId) -> Self {
        Self {
            cluster_id,
            node_id,
            directory_id: TopicId::random().0,
        }
    }

    /// Reads the file of the log directory `dir`, `None` where it is missing.
    ///
    /// # Errors
    /// Malformed where a key is missing or unusable, or the version is another one.
    pub fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Self>, DirFault> {
        let path = dir.join(FILE_NAME);
        match read_text(fs, &path, BYTES_MAX)? {
            Some(text) => Self::parse(&path, &text).map(Some),
            None => Ok(None),
        }
    }

    /// Writes the file of the log directory `dir`; durable when this returns.
    pub fn write(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), DirFault> {
        let Self {
            cluster_id,
            node_id,
            directory_id,
        } = self;
        let directory_id = TopicId(*directory_id);
        let mut text = String::new();
        for (key, value) in [
            ("cluster.id", cluster_id as &dyn std::fmt::Display),
            ("directory.id", &directory_id),
            ("node.id", node_id),
            ("version", &VERSION),
        ] {
            writeln!(text, "{key}={value}").expect("a string takes all that is written");
        }
        replace_file(fs, &dir.join(FILE_NAME), text.as_bytes())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DirFault> {
        let malformed = |reason: String| DirFault::malformed(path, 0, reason);
        let mut values = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            // Kafka opens the file with a comment that holds the date.
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let parted = line.split_once(['=', ':']);
            let (key, value) = parted.ok_or_else(|| malformed(format!("no value in {line:?}")))?;
            values.insert(key.trim(), value.trim());
        }
        let value_of = |key: &str| {
            let value = values.get(key).filter(|value| !value.is_empty());
            value.ok_or_else(|| malformed(format!("{key} is missing")))
        };

        let version = value_of("version")?;
        if *version != VERSION {
            return Err(malformed(format!("version {version} is not {VERSION}")));
        }
        let node_id = value_of("node.id")?;
        let directory_id = value_of("directory.id")?;
        Ok(Self {
            cluster_id: (*value_of("cluster.id")?).to_owned(),
            node_id: node_id
                .parse()
                .ok()
                .filter(|id: &i32| *id >= 0)
                .map(NodeId)
                .ok_or_else(|| malformed(format!("node.id {node_id} is not a number from 0")))?,
            directory_id: directory_id
                .parse::<TopicId>()
                .map_err(|_| malformed(format!("directory.id {directory_id} is not an id")))?
                .0,
        })
    }
}
