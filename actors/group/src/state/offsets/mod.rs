//! Committed offsets of one group: stored, read, deleted, expired. They belong to the group whatever its
//! protocol, and to groups without any member.

mod commit;
mod delete;
mod expire;
mod fetch;

use super::{Context, Group, Kind, Ledger};
