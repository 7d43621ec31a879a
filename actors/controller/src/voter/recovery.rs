//! Reading the log at the start: the newest snapshot, then every batch behind it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use kabuki_storage::{FileSystem, OpenMode};
use thiserror::Error;

use super::files::{Listed, LogFiles, log_path, snapshot_path};
use super::frame::{self, Kind};
use crate::image::MetadataImage;
use crate::records::MetadataRecord;
use crate::state::{ImageBroken, apply};

/// Longest file that is read; frames can not be longer.
const FILE_BYTES_MAX: u64 = u32::MAX as u64;

/// Why the metadata can not be believed. The node must not start on a guess.
#[derive(Debug, Error)]
pub(crate) enum RecoveryFault {
    #[error("metadata log: {operation} of {path} failed: {source}")]
    Disk {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("metadata log is missing in {dir}, but its log directories are in use")]
    Missing { dir: PathBuf },
    #[error("metadata log is damaged: {path} at byte {position}, with sound batches behind")]
    Damaged { path: PathBuf, position: u64 },
    #[error("metadata log has a gap: offset {found} in {path} follows {expected}")]
    Gap {
        path: PathBuf,
        expected: i64,
        found: i64,
    },
    #[error("metadata log {path} belongs to cluster {found}, this is {expected}")]
    ForeignCluster {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("{path}: {source}")]
    Image { path: PathBuf, source: ImageBroken },
}

/// What recovery found.
#[derive(Debug)]
pub(crate) struct RecoveredLog {
    /// All that was committed.
    pub(crate) image: MetadataImage,
    /// Bytes of a write that a crash had cut off; they were never answered, and are gone.
    pub(crate) cut_bytes: u64,
    /// Whether this is a new cluster.
    pub(crate) is_formatted: bool,
}

/// Names operation and file of an error.
fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecoveryFault {
    move |source| RecoveryFault::Disk {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Reads the log in `dir`, or begins one where `may_format` says that nothing is lost by that.
pub(super) fn recover(
    fs: &dyn FileSystem,
    dir: PathBuf,
    empty: MetadataImage,
    may_format: bool,
) -> Result<(LogFiles, RecoveredLog), RecoveryFault> {
    let is_there = fs.exists(&dir).map_err(failed("look-up", &dir))?;
    let listed = if is_there {
        Listed::read(fs, &dir).map_err(failed("listing", &dir))?
    } else {
        Listed::default()
    };
    if listed.logs.is_empty() && listed.snapshots.is_empty() {
        return match may_format {
            true => format(fs, dir, empty),
            false => Err(RecoveryFault::Missing { dir }),
        };
    }
    for draft in &listed.drafts {
        fs.remove_file(draft).map_err(failed("removal", draft))?;
    }
    let mut replay = Replay {
        image: empty,
        cut: None,
        bytes: 0,
        end_bytes: 0,
    };
    if let Some(offset) = listed.snapshots.last() {
        replay.read_snapshot(fs, &snapshot_path(&dir, *offset), *offset)?;
    }
    let snapshot = replay.image.offset() + 1;
    let needed = listed.logs.iter().rposition(|base| *base <= snapshot);
    let Some(needed) = needed else {
        let found = listed.logs.first().copied().unwrap_or(snapshot);
        return Err(RecoveryFault::Gap {
            path: dir,
            expected: snapshot,
            found,
        });
    };
    for base in &listed.logs[needed..] {
        replay.read_log(fs, &log_path(&dir, *base), snapshot)?;
    }
    if replay.image.offset() < 0 {
        // The first start was cut off before its first batch was synced: nothing was ever here.
        return match may_format {
            true => format(fs, dir, replay.image),
            false => Err(RecoveryFault::Missing { dir }),
        };
    }
    replay.finish(
        fs,
        dir,
        *listed.logs.last().expect("a needed log was found above"),
    )
}

fn format(
    fs: &dyn FileSystem,
    dir: PathBuf,
    empty: MetadataImage,
) -> Result<(LogFiles, RecoveredLog), RecoveryFault> {
    fs.create_dir_all(&dir).map_err(failed("creation", &dir))?;
    let path = log_path(&dir, 0);
    let file = fs
        .open(&path, OpenMode::Create)
        .map_err(failed("creation", &path))?;
    file.set_len(0).map_err(failed("cut", &path))?;
    let mut image = empty;
    let record = MetadataRecord::ClusterFormatted {
        cluster_id: image.cluster_id().to_owned(),
    };
    let bytes = frame::encode(Kind::Batch, 0, std::slice::from_ref(&record));
    file.write_at(0, &[IoSlice::new(&bytes)])
        .map_err(failed("write", &path))?;
    file.sync_data().map_err(failed("sync", &path))?;
    fs.sync_dir(&dir).map_err(failed("sync", &dir))?;
    if let Some(parent) = dir.parent() {
        fs.sync_dir(parent).map_err(failed("sync", parent))?;
    }
    apply(&mut image, &record).map_err(|source| RecoveryFault::Image { path, source })?;
    let end_bytes = bytes.len() as u64;
    let files = LogFiles {
        dir,
        file,
        base: 0,
        end_bytes,
        next_offset: 1,
        has_remains: false,
        bytes_since_snapshot: end_bytes,
    };
    image.is_loaded = true;
    Ok((
        files,
        RecoveredLog {
            image,
            cut_bytes: 0,
            is_formatted: true,
        },
    ))
}

/// The image as it grows, and where the log stops being sound.
struct Replay {
    image: MetadataImage,
    /// File and position of the first byte that is no frame, and the bytes behind it.
    cut: Option<(PathBuf, u64, u64)>,
    /// Bytes of frames behind the snapshot.
    bytes: u64,
    /// End of the last sound frame in the file read last.
    end_bytes: u64,
}

impl Replay {
    fn read_snapshot(
        &mut self,
        fs: &dyn FileSystem,
        path: &Path,
        offset: i64,
    ) -> Result<(), RecoveryFault> {
        let bytes = fs
            .read_whole(path, FILE_BYTES_MAX)
            .map_err(failed("read", path))?;
        let frame = frame::decode(Kind::Snapshot, &bytes)
            .filter(|frame| frame.base_offset == offset && frame.bytes == bytes.len())
            .ok_or_else(|| RecoveryFault::Damaged {
                path: path.to_owned(),
                position: 0,
            })?;
        self.apply_all(path, &frame.records)?;
        self.image.offset = offset - 1;
        Ok(())
    }

    fn apply_all(&mut self, path: &Path, records: &[MetadataRecord]) -> Result<(), RecoveryFault> {
        for record in records {
            if let MetadataRecord::ClusterFormatted { cluster_id } = record
                && **cluster_id != *self.image.cluster_id()
            {
                return Err(RecoveryFault::ForeignCluster {
                    path: path.to_owned(),
                    expected: self.image.cluster_id().to_owned(),
                    found: cluster_id.clone(),
                });
            }
            apply(&mut self.image, record).map_err(|source| RecoveryFault::Image {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    fn read_log(
        &mut self,
        fs: &dyn FileSystem,
        path: &Path,
        snapshot: i64,
    ) -> Result<(), RecoveryFault> {
        let bytes = fs
            .read_whole(path, FILE_BYTES_MAX)
            .map_err(failed("read", path))?;
        let mut position = 0;
        while position < bytes.len() {
            let Some(frame) = frame::decode(Kind::Batch, &bytes[position..]) else {
                break;
            };
            if let Some((path, position, _)) = self.cut.take() {
                return Err(RecoveryFault::Damaged { path, position });
            }
            self.replay(path, &frame, snapshot)?;
            position += frame.bytes;
        }
        self.end_bytes = position as u64;
        let rest = &bytes[position..];
        if rest.is_empty() {
            return Ok(());
        }
        let at = position as u64;
        // A crash cuts off one write at most, the last one: so nothing sound can stand behind it.
        if self.cut.is_some() || frame::has_frame(Kind::Batch, &rest[1..]) {
            return Err(RecoveryFault::Damaged {
                path: path.to_owned(),
                position: at,
            });
        }
        self.cut = Some((path.to_owned(), at, rest.len() as u64));
        Ok(())
    }

    fn replay(
        &mut self,
        path: &Path,
        frame: &frame::Frame,
        snapshot: i64,
    ) -> Result<(), RecoveryFault> {
        let expected = self.image.offset() + 1;
        let end = frame.base_offset + frame.records.len() as i64;
        if end <= snapshot {
            return Ok(());
        }
        if frame.base_offset != expected {
            let (path, found) = (path.to_owned(), frame.base_offset);
            return Err(RecoveryFault::Gap {
                path,
                expected,
                found,
            });
        }
        self.apply_all(path, &frame.records)?;
        self.bytes += frame.bytes as u64;
        Ok(())
    }

    /// Cuts the tail and syncs the file: what a killed process left in the page cache counts as
    /// committed from now on, so it must be durable before anybody sees it.
    fn finish(
        mut self,
        fs: &dyn FileSystem,
        dir: PathBuf,
        last: i64,
    ) -> Result<(LogFiles, RecoveredLog), RecoveryFault> {
        let path = log_path(&dir, last);
        let mut cut_bytes = 0;
        if let Some((torn, position, bytes)) = self.cut.take() {
            let file = fs
                .open(&torn, OpenMode::ReadWrite)
                .map_err(failed("opening", &torn))?;
            file.set_len(position).map_err(failed("cut", &torn))?;
            file.sync_data().map_err(failed("sync", &torn))?;
            cut_bytes = bytes;
        }
        let file = fs
            .open(&path, OpenMode::ReadWrite)
            .map_err(failed("opening", &path))?;
        file.sync_data().map_err(failed("sync", &path))?;
        let files = LogFiles {
            dir,
            file,
            base: last,
            end_bytes: self.end_bytes,
            next_offset: self.image.offset() + 1,
            has_remains: false,
            bytes_since_snapshot: self.bytes,
        };
        self.image.is_loaded = true;
        Ok((
            files,
            RecoveredLog {
                image: self.image,
                cut_bytes,
                is_formatted: false,
            },
        ))
    }
}
