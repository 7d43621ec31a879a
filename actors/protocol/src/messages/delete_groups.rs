//! DeleteGroups (key 42): deletes groups that have no members, with all their offsets (KIP-229).
//!
//! | version | change |
//! |---|---|
//! | 1 | the client holds back for the throttle time (KIP-219) |
//! | 2 | flexible (KIP-482) |

use super::exchange;
use crate::codec::Message;

/// Groups to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsRequest {
    /// The groups.
    pub groups_names: Vec<String>,
}

/// What became of each group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The groups.
    pub results: Vec<DeletableGroupResult>,
}

/// What became of one group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeletableGroupResult {
    /// The group.
    pub group_id: String,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(DeleteGroups: DeleteGroupsRequest => DeleteGroupsResponse);
