//! ListGroups (key 16): names the groups that this broker coordinates.
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | flexible (KIP-482) |
//! | 4 | states, to ask by and in the answer (KIP-518) |
//! | 5 | types, to ask by and in the answer (KIP-848) |

use super::exchange;
use crate::codec::Message;

/// Which groups to name.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest {
    /// States to name, in whatever case; empty for all.
    #[kafka(versions = "4+")]
    pub states_filter: Vec<String>,
    /// Types to name, in whatever case; empty for all.
    #[kafka(versions = "5+")]
    pub types_filter: Vec<String>,
}

/// The groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// What the group is for; empty where only offsets are committed.
    pub protocol_type: String,
    /// Kafka's name of its state, `Stable`.
    #[kafka(versions = "4+", ignorable)]
    pub group_state: String,
    /// Kafka's name of its type, `classic` or `consumer`.
    #[kafka(versions = "5+", ignorable)]
    pub group_type: String,
}

exchange!(ListGroups: ListGroupsRequest => ListGroupsResponse);
