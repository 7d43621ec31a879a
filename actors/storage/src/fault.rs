//! Tells the errors of a disk apart: what degrades a log directory for a while, what ends a file
//! handle for good, and what happened to a job. Decides nothing about partitions.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

/// What an I/O error means for the one who met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// No space or no quota left (ENOSPC, EDQUOT, EFBIG).
    Full,
    /// The file system is mounted read-only (EROFS), which is also how Linux answers a broken one.
    ReadOnly,
    /// The operation is not permitted (EPERM, EACCES): wrong owner, or an immutable file.
    Denied,
    /// No file handle is left in this process or machine (EMFILE, ENFILE).
    OutOfHandles,
    /// The device failed (EIO and its kin, or content that cannot be what was written).
    Io,
    /// The file or directory is not there (ENOENT, ENOTDIR, ENODEV, ESTALE).
    Gone,
    /// Anything else: treated as [`FaultClass::Io`] by those who must act.
    Other,
}

impl FaultClass {
    /// True where waiting can help: writes are refused, reads go on, and a probe finds out when
    /// the cause is gone.
    pub const fn is_degrading(self) -> bool {
        matches!(
            self,
            Self::Full | Self::ReadOnly | Self::Denied | Self::OutOfHandles
        )
    }

    /// True where the file handle is never used again: the kernel may have dropped dirty pages and
    /// marked them clean, so a second fdatasync would report success for lost bytes.
    pub const fn ends_handle(self) -> bool {
        matches!(self, Self::Io | Self::Gone | Self::Other)
    }
}

/// Sorts an error by the number the operating system gave it.
pub fn classify(error: &io::Error) -> FaultClass {
    let Some(errno) = Errno::from_io_error(error) else {
        return classify_kind(error.kind());
    };
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FaultClass::Full,
        Errno::ROFS => FaultClass::ReadOnly,
        Errno::PERM | Errno::ACCESS => FaultClass::Denied,
        Errno::MFILE | Errno::NFILE => FaultClass::OutOfHandles,
        Errno::IO | Errno::NXIO | Errno::UCLEAN | Errno::BADMSG | Errno::TIMEDOUT => FaultClass::Io,
        Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::STALE => FaultClass::Gone,
        _ => FaultClass::Other,
    }
}

/// Sorts an error that was made by this process and carries no number.
fn classify_kind(kind: io::ErrorKind) -> FaultClass {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultClass::Full,
        io::ErrorKind::ReadOnlyFilesystem => FaultClass::ReadOnly,
        io::ErrorKind::PermissionDenied => FaultClass::Denied,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FaultClass::Gone,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => FaultClass::Io,
        _ => FaultClass::Other,
    }
}

/// Why a job of [`Disk::run`](crate::disk::Disk::run) gave no result. What the job itself met is in
/// its own result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiskFault {
    /// The job panicked; how far it came is unknown.
    #[error("disk job {job} panicked: {cause}")]
    Panicked {
        /// Name of the job.
        job: &'static str,
        /// Text of the panic.
        cause: String,
    },
    /// The queue of the directory is full; the job was not started.
    #[error("disk job {job} refused, {queued} jobs are waiting for the directory")]
    QueueFull {
        /// Name of the job.
        job: &'static str,
        /// Jobs that wait.
        queued: usize,
    },
    /// The pool of the directory ended before the job was started or finished.
    #[error("disk job {job} dropped, the pool of its directory has ended")]
    Closed {
        /// Name of the job.
        job: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(errno: Errno) -> FaultClass {
        classify(&io::Error::from(errno))
    }

    #[test]
    fn errors_a_wait_can_cure_degrade_and_keep_the_handle() {
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::PERM,
            Errno::ACCESS,
            Errno::MFILE,
        ] {
            let class = class_of(errno);
            assert!(class.is_degrading(), "{errno} gave {class:?}");
            assert!(!class.ends_handle(), "{errno} gave {class:?}");
        }
    }

    #[test]
    fn a_failed_device_ends_the_handle() {
        assert_eq!(class_of(Errno::IO), FaultClass::Io);
        assert!(FaultClass::Io.ends_handle());
        assert_eq!(class_of(Errno::NOENT), FaultClass::Gone);
        assert_eq!(class_of(Errno::INVAL), FaultClass::Other);
        assert!(FaultClass::Other.ends_handle());
    }

    #[test]
    fn errors_without_a_number_are_sorted_by_kind() {
        let short = io::Error::new(io::ErrorKind::UnexpectedEof, "short file");
        assert_eq!(classify(&short), FaultClass::Io);
        assert_eq!(
            classify(&io::Error::from(io::ErrorKind::StorageFull)),
            FaultClass::Full
        );
    }
}
