//! What a test tells the simulated disk to do wrong: which operations, below which path, and how.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use crate::fault::FaultClass;

/// One sort of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A directory is made.
    CreateDir,
    /// A file is opened that did not exist.
    Create,
    /// A file is opened that exists.
    Open,
    /// A directory is listed, or an entry looked up.
    List,
    /// An entry is renamed. Rules see the old path.
    Rename,
    /// A file or directory is removed.
    Remove,
    /// The entries of a directory are synced.
    SyncDir,
    /// A file is read, from the cache or not.
    Read,
    /// A file is written.
    Write,
    /// A file is cut or extended.
    SetLen,
    /// Space is reserved.
    Allocate,
    /// A file is synced.
    SyncData,
    /// A lock file is taken.
    Lock,
}

impl Operation {
    /// Every operation.
    pub const ALL: &'static [Self] = &[
        Self::CreateDir,
        Self::Create,
        Self::Open,
        Self::List,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
        Self::Read,
        Self::Write,
        Self::SetLen,
        Self::Allocate,
        Self::SyncData,
        Self::Lock,
    ];

    /// What a read-only file system refuses.
    pub const CHANGES: &'static [Self] = &[
        Self::CreateDir,
        Self::Create,
        Self::Rename,
        Self::Remove,
        Self::Write,
        Self::SetLen,
        Self::Allocate,
    ];

    /// What an immutable directory (`chattr +i`) refuses: entries come and go no more, while open
    /// files in it are still written.
    pub const ENTRY_CHANGES: &'static [Self] =
        &[Self::CreateDir, Self::Create, Self::Rename, Self::Remove];

    /// True for operations that leave something to be lost in a crash, and for syncs.
    pub(super) const fn is_step(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Read | Self::Lock)
    }
}

/// What happens to an operation that a rule meets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Fail(FaultClass),
    Delay(Duration),
    Hang,
    NotCached,
}

/// A rule for [`SimFs::inject`](super::SimFs::inject).
#[derive(Debug, Clone)]
pub struct FaultRule {
    below: PathBuf,
    operations: Vec<Operation>,
    action: Action,
    skip_count: u64,
    times_left: Option<u64>,
}

impl FaultRule {
    /// Operations at or below a path fail with the error of that class. A failed sync of a file with
    /// [`FaultClass::Io`] also loses what it should have synced, as it does on Linux.
    pub fn fail(below: impl Into<PathBuf>, operations: &[Operation], class: FaultClass) -> Self {
        Self::new(below.into(), operations, Action::Fail(class))
    }

    /// Operations work, and the job that they are part of ends that much later in virtual time.
    /// Calls outside of a job are not delayed: nothing can sleep for them.
    pub fn delay(below: impl Into<PathBuf>, operations: &[Operation], by: Duration) -> Self {
        Self::new(below.into(), operations, Action::Delay(by))
    }

    /// Operations wait until the rule is healed. A job that meets it ends only then; a call outside
    /// of a job blocks its thread, as it would on a real disk.
    pub fn hang(below: impl Into<PathBuf>, operations: &[Operation]) -> Self {
        Self::new(below.into(), operations, Action::Hang)
    }

    /// Nothing is in the page cache: `read_cached` answers `WouldBlock`.
    pub fn not_cached(below: impl Into<PathBuf>) -> Self {
        Self::new(below.into(), &[Operation::Read], Action::NotCached)
    }

    fn new(below: PathBuf, operations: &[Operation], action: Action) -> Self {
        let operations = operations.to_vec();
        Self {
            below,
            operations,
            action,
            skip_count: 0,
            times_left: None,
        }
    }

    /// Lets the first `count` operations pass.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.skip_count = count;
        self
    }

    /// Ends after it was met `count` times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times_left = Some(count);
        self
    }
}

/// Name of a rule, for [`SimFs::heal`](super::SimFs::heal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub(super) u64);

/// What the rules together say about one operation.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    pub(super) must_hang: bool,
    pub(super) is_not_cached: bool,
    pub(super) error: Option<FaultClass>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Rules {
    next_id: u64,
    rules: Vec<(RuleId, FaultRule)>,
}

impl Rules {
    pub(super) fn add(&mut self, rule: FaultRule) -> RuleId {
        let id = RuleId(self.next_id);
        self.next_id += 1;
        self.rules.push((id, rule));
        id
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        self.rules.retain(|(of, _)| *of != id);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn may_hang(&self) -> bool {
        self.rules
            .iter()
            .any(|(_, rule)| rule.action == Action::Hang)
    }

    /// Judges one operation, and counts it.
    pub(super) fn judge(&mut self, operation: Operation, path: &Path) -> Verdict {
        let mut verdict = Verdict::default();
        for (_, rule) in &mut self.rules {
            let is_met = rule.operations.contains(&operation) && path.starts_with(&rule.below);
            if !is_met || rule.times_left == Some(0) {
                continue;
            }
            if rule.skip_count > 0 {
                rule.skip_count -= 1;
                continue;
            }
            // A hang is met once and lasts until it is healed, however often it is looked at.
            if let (Some(left), true) = (&mut rule.times_left, rule.action != Action::Hang) {
                *left -= 1;
            }
            match &rule.action {
                Action::Fail(class) => verdict.error = verdict.error.or(Some(*class)),
                Action::Delay(by) => verdict.delay += *by,
                Action::Hang => verdict.must_hang = true,
                Action::NotCached => verdict.is_not_cached = true,
            }
        }
        verdict
    }
}

/// The error that Linux gives for a class.
pub(super) fn error_of(class: FaultClass) -> io::Error {
    let errno = match class {
        FaultClass::Full => Errno::NOSPC,
        FaultClass::ReadOnly => Errno::ROFS,
        FaultClass::Denied => Errno::PERM,
        FaultClass::OutOfHandles => Errno::MFILE,
        FaultClass::Io => Errno::IO,
        FaultClass::Gone => Errno::NOENT,
        FaultClass::Other => Errno::INVAL,
    };
    errno.into()
}
