//! Kafka's offset checkpoints of a log directory: one text file with one offset per partition. Which
//! offsets are worth keeping is decided by those who write them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use kabuki_protocol::ids::{Offset, PartitionId, TopicName};

use crate::dir_fault::{DirFault, read_text, replace_file};
use crate::file_system::FileSystem;

/// Up to where each log is known to be on the device; recovery scans from there.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// First offset of each log whose start was moved by a deletion of records.
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// The only version of the format.
const VERSION: &str = "0";

/// Larger than the lines of 50,000 partitions with the longest names.
const BYTES_MAX: u64 = 16 << 20;

/// Offsets by partition.
pub type Offsets = BTreeMap<PartitionId, Offset>;

/// Reads a checkpoint; a missing file is an empty one.
///
/// Layout: a line with the version `0`, a line with the number of entries, then
/// `<topic> <partition> <offset>` on each line.
///
/// # Errors
/// Malformed content is an error and not an empty answer: the caller chooses between a scan of
/// everything and an offset that may be too low.
pub fn read(fs: &dyn FileSystem, path: &Path) -> Result<Offsets, DirFault> {
    match read_text(fs, path, BYTES_MAX)? {
        Some(text) => parse(path, &text),
        None => Ok(Offsets::new()),
    }
}

/// Replaces a checkpoint; durable when this returns.
pub fn write(fs: &dyn FileSystem, path: &Path, offsets: &Offsets) -> Result<(), DirFault> {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for (PartitionId { topic, partition }, offset) in offsets {
        writeln!(text, "{topic} {partition} {offset}").expect("a string takes all that is written");
    }
    replace_file(fs, path, text.as_bytes())
}

fn parse(path: &Path, text: &str) -> Result<Offsets, DirFault> {
    let malformed = |at: usize, reason: &str| DirFault::malformed(path, at + 1, reason);
    let mut lines = text.lines().enumerate();

    match lines.next() {
        Some((_, version)) if version.trim() == VERSION => {}
        Some((at, version)) => {
            return Err(malformed(at, &format!("version {version:?} is not known")));
        }
        // A file of length 0 is what some file systems leave of a file that was never synced.
        None => return Err(malformed(0, "the file is empty")),
    }
    let count = lines
        .next()
        .and_then(|(_, count)| count.trim().parse::<usize>().ok());
    let count = count.ok_or_else(|| malformed(1, "the number of entries is missing"))?;

    let mut offsets = Offsets::new();
    let mut entry_count = 0;
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let mut parts = line.split_ascii_whitespace();
        let (Some(topic), Some(partition), Some(offset), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(at, "an entry is <topic> <partition> <offset>"));
        };
        let topic = TopicName::new(topic).map_err(|why| malformed(at, &why.to_string()))?;
        let partition = partition.parse().ok().filter(|number: &i32| *number >= 0);
        let offset = offset.parse().ok().filter(|offset: &i64| *offset >= 0);
        let (Some(partition), Some(offset)) = (partition, offset) else {
            return Err(malformed(at, "partition and offset are numbers from 0"));
        };
        offsets.insert(PartitionId::new(topic, partition), Offset(offset));
        entry_count += 1;
    }
    if entry_count != count {
        let reason = format!("{entry_count} entries follow where {count} are announced");
        return Err(malformed(1, &reason));
    }
    Ok(offsets)
}
