//! Replaces a small file whole: after a crash the old content is there or the new.

use std::io::IoSlice;
use std::path::Path;

use super::fault::LogFault;
use crate::dir_fault::REPLACEMENT_SUFFIX;
use crate::file_system::{FileSystem, OpenMode};

/// Writes `content` beside the file, syncs it and renames it over `name`. The caller syncs the
/// directory where the new name must survive a crash.
pub(crate) fn replace_file(
    fs: &dyn FileSystem,
    dir: &Path,
    name: &str,
    content: &[u8],
) -> Result<(), LogFault> {
    let temporary = dir.join(format!("{name}{REPLACEMENT_SUFFIX}"));
    let write = || {
        let file = fs.open(&temporary, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_at(0, &[IoSlice::new(content)])?;
        file.sync_data()?;
        fs.rename(&temporary, &dir.join(name))
    };
    write().map_err(LogFault::io("replace", &dir.join(name)))
}
