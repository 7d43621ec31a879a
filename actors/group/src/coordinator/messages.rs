//! What the actor of a group hears beside requests: its own timers and jobs, and the shard's checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kabuki_runtime::{Lane, Message, NoReply};

use crate::shard::messages::{AppendOutcome, AskGroup, RecordsOfGroup};
use crate::state::{AssignmentJob, CheckedRegex, ComputedTargets};

/// Look for offsets past their retention. Sent by the shard.
pub(crate) struct ExpireOffsets;

/// The group's records, or why there are none now.
pub(super) struct GroupRead {
    pub(super) life: u64,
    pub(super) outcome: Result<Result<RecordsOfGroup, String>, NoReply>,
}

/// Time to ask for the records again.
pub(super) struct ReadDue;

/// Requests have waited long enough for the records.
pub(super) struct WaitOver;

/// An append came back.
pub(super) struct AppendEnded {
    pub(super) life: u64,
    pub(super) sequence: u64,
    pub(super) outcome: Result<AppendOutcome, NoReply>,
}

/// A search of topic names is done.
pub(super) struct RegexesResolved {
    pub(super) life: u64,
    pub(super) found: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    pub(super) version: i64,
}

/// An expression that a heartbeat brings was checked; `None` when the thread failed.
pub(super) struct RegexChecked {
    pub(super) life: u64,
    pub(super) ask: AskGroup,
    pub(super) checked: Option<CheckedRegex>,
}

/// A target is computed; `None` when the thread failed.
pub(super) struct TargetComputed {
    pub(super) life: u64,
    pub(super) job: Arc<AssignmentJob>,
    pub(super) targets: Option<ComputedTargets>,
}

/// A deadline of the group has come.
pub(super) struct WakeDue;

/// Time to look whether anybody needs this actor.
pub(super) struct RestCheckDue;

macro_rules! told {
    ($($message:ty),+) => {$(
        impl Message for $message {
            type Reply = ();
            const LANE: Lane = Lane::Control;
        }
    )+};
}

told!(
    ExpireOffsets,
    GroupRead,
    ReadDue,
    WaitOver,
    AppendEnded,
    RegexesResolved,
    RegexChecked,
    TargetComputed,
    WakeDue,
    RestCheckDue
);
