//! Consumer groups: who is a member, who owns which partition, how far each group has read.
//!
//! # Duty
//! Groups of the classic protocol and of KIP-848: their members, assignments and committed offsets. A keeper
//! brings one shard on stage for each partition of `__consumer_offsets` that this node leads, and the shard one
//! child for each group in use.
//!
//! # Messages
//! Sessions ask through [`GroupCoordinators`]; the messages between keeper, shards and groups are their own.
//! [`messages::Request`] and [`messages::Answer`] travel through the shard to the group. There a [`Group`], the
//! state, takes one event at a time and says what to do in [`Effects`]: answers, one append, a search of topic
//! names, the next deadline.
//!
//! | event | method |
//! |---|---|
//! | a request | [`Group::handle`] |
//! | an append ended | [`Group::committed`], [`Group::append_refused`], [`Group::append_lost`] |
//! | a deadline has come | [`Group::tick`] |
//! | topics changed, a search ended | [`Group::topics_changed`], [`Group::regexes_resolved`] |
//! | the retention check | [`Group::expire_offsets`] |
//! | load, unload | [`Group::replay`] then [`Group::loaded`]; [`Group::unload`] |
//!
//! # Restart
//! A new instance of a group replays the last record of each of its keys, whose offsets a [`KeyIndex`] in its
//! shard knows. A new shard reads its partition, while its groups play on; it waits for what the old one had
//! on the way to the log. The keeper looks at image and registry. Rebuilt: members of a stable classic group,
//! everything of a consumer group, offsets. Lost: a classic rebalance that was under way (members are told 22 or
//! 25 and join again), ids handed out and not used, searches. Sessions start anew in full. Callers in hand are
//! told to ask again ([`refusal::GroupRefused::Unloaded`]); the shell answers for those it cannot ask the
//! state for.
//!
//! What is decided and not committed is described in `state/ledger.rs`: one append is under way at a time,
//! answers wait for it; a refused append is undone key by key, one whose outcome nobody knows ends the instance.
//!
//! # Invariants
//! 1. No answer goes out before the records it was decided upon are committed.
//! 2. Records and replay go through one function: a replayed group equals the one that wrote them.
//! 3. No partition is assigned to two members of a consumer group at once; one is given only after its
//!    former owner has let it go, has left, or was fenced.
//! 4. Group epoch, target epoch and generation never go back while the instance lives, nor do they in the log.
//! 5. Every token is answered exactly once, at the latest when the instance ends.
//! 6. What a client can make a group hold is bounded by [`GroupConfig`].
//!
//! # Source
//! KIP-62, KIP-134, KIP-345, KIP-394, KIP-814 (classic); KIP-848, KIP-1082 (consumer); KIP-211 (retention). The
//! record formats are Kafka's: `group-coordinator/src/main/resources/common/message`.

pub mod assignors;
pub mod config;
pub mod messages;
pub mod names;
pub mod partitions;
pub mod records;
pub mod refusal;
pub mod regex;
pub mod topics;

mod catalog;
mod coordinator;
mod coordinators;
mod embedded;
mod keeper;
mod log_port;
mod log_records;
mod settings;
mod shard;
mod spec;
mod state;

pub use config::{GroupConfig, MigrationPolicy};
pub use coordinators::{Asked, CoordinatorRefused, GroupCoordinators, GroupsListed, OFFSETS_TOPIC};
pub use log_port::{OffsetsLog, OffsetsLogFinder};
pub use spec::{Coordinators, CoordinatorsSpec, start};
pub use state::{Append, AssignmentJob, CheckedRegex, Context, Effects, End, Group, KeyIndex};
