//! What interrupted work left in a partition's directory: files to be removed, half-written ones, and
//! replacements that were complete and only have to be put in place.

use std::collections::BTreeSet;
use std::path::Path;

use kabuki_protocol::ids::Offset;

use crate::dir_fault::REPLACEMENT_SUFFIX;
use crate::file_system::{DirEntry, FileSystem, OpenMode};
use crate::log::{HeaderWalk, LogFault, PROBE_FILE, SegmentFile, base_in_name};

/// Segments that are being written by compaction; incomplete.
const CLEANED_SUFFIX: &str = ".cleaned";
/// Segments that are complete and replace those of the same offsets.
const SWAP_SUFFIX: &str = ".swap";
const DELETED_SUFFIX: &str = ".deleted";

/// Removes or finishes leftovers. Returns how many files that were.
///
/// Source: Kafka writes replacements as `.cleaned`, renames all of them to `.swap` once they are
/// synced, from the highest base down, and then to their final names. So a `.swap` at or above a
/// `.cleaned` belongs to a renaming that did not come to its end, and the originals are still there.
pub(crate) fn clear(
    fs: &dyn FileSystem,
    dir: &Path,
    entries: &[DirEntry],
) -> Result<usize, LogFault> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let with_suffix = |suffix: &'static str| {
        names
            .iter()
            .copied()
            .filter(move |name| name.ends_with(suffix))
    };
    let remove = |name: &str| {
        let path = dir.join(name);
        let removed = fs
            .remove_file(&path)
            .map_err(LogFault::io("remove leftover", &path));
        LogFault::unless_refused(removed).map(usize::from)
    };
    let mut cleared = 0;
    let first_cleaned = with_suffix(CLEANED_SUFFIX)
        .filter_map(|name| segment_base(name.strip_suffix(CLEANED_SUFFIX)?))
        .min();
    for suffix in [DELETED_SUFFIX, CLEANED_SUFFIX, REPLACEMENT_SUFFIX] {
        for name in with_suffix(suffix) {
            cleared += remove(name)?;
        }
    }
    if names.contains(&PROBE_FILE) {
        cleared += remove(PROBE_FILE)?;
    }
    let mut swaps = Vec::new();
    for name in with_suffix(SWAP_SUFFIX) {
        let Some(plain) = name.strip_suffix(SWAP_SUFFIX) else {
            continue;
        };
        match segment_base(plain) {
            Some(base) if first_cleaned.is_none_or(|cleaned| base < cleaned) => {
                swaps.push((base, plain));
                cleared += 1;
            }
            _ => cleared += remove(name)?,
        }
    }
    if !swaps.is_empty() {
        put_in_place(fs, dir, &names, &swaps)?;
        fs.sync_dir(dir)
            .map_err(LogFault::io("remove leftover", dir))?;
    }
    Ok(cleared)
}

/// Base offset in the name of any file of a segment.
fn segment_base(name: &str) -> Option<Offset> {
    SegmentFile::ALL
        .iter()
        .find_map(|kind| base_in_name(name, kind.suffix()))
}

/// Removes the segments that the swaps replace and gives the swaps their final names.
fn put_in_place(
    fs: &dyn FileSystem,
    dir: &Path,
    names: &[&str],
    swaps: &[(Offset, &str)],
) -> Result<(), LogFault> {
    let mut replaced = BTreeSet::new();
    for (base, plain) in swaps {
        if !plain.ends_with(SegmentFile::Log.suffix()) {
            continue;
        }
        let end = end_of_swap(fs, &dir.join(format!("{plain}{SWAP_SUFFIX}")), *base)?;
        let in_range = names.iter().filter_map(|name| segment_base(name));
        replaced.extend(in_range.filter(|other| (*base..end).contains(other)));
    }
    for base in replaced {
        for kind in SegmentFile::ALL {
            let path = kind.path(dir, base);
            if fs
                .exists(&path)
                .map_err(LogFault::io("finish swap", &path))?
            {
                fs.remove_file(&path)
                    .map_err(LogFault::io("finish swap", &path))?;
            }
        }
    }
    for (_, plain) in swaps {
        let swap = dir.join(format!("{plain}{SWAP_SUFFIX}"));
        let renamed = fs.rename(&swap, &dir.join(plain));
        renamed.map_err(LogFault::io("finish swap", &swap))?;
    }
    Ok(())
}

/// Offset behind the last batch of a `.log.swap` file; past its base even where it is empty.
fn end_of_swap(fs: &dyn FileSystem, path: &Path, base: Offset) -> Result<Offset, LogFault> {
    let io = |operation| LogFault::io(operation, path);
    let file = fs.open(path, OpenMode::Read).map_err(io("finish swap"))?;
    let bytes = file.len().map_err(io("finish swap"))?;
    let mut walk = HeaderWalk::new(file.as_ref(), 0, bytes, base);
    let mut end = base.next();
    while let Some(batch) = walk
        .next_batch()
        .map_err(|fault| fault.of(path.to_path_buf()))?
    {
        end = batch.header.next_offset();
    }
    Ok(end)
}
