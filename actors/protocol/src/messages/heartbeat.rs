//! Heartbeat (key 12): keeps a member in its classic group and tells it of rebalances.
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | group instance id (KIP-345) |
//! | 4 | flexible (KIP-482) |

use super::exchange;
use crate::codec::Message;

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The generation that the member is in.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    #[kafka(versions = "3+")]
    pub group_instance_id: Option<String>,
}

/// Whether the member may go on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(Heartbeat: HeartbeatRequest => HeartbeatResponse);
