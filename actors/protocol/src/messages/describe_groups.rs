//! DescribeGroups (key 15): state and members of classic groups.
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | authorized operations (KIP-430) |
//! | 4 | group instance id (KIP-345) |
//! | 5 | flexible (KIP-482) |
//! | 6 | a group that does not exist is answered error 69 and a message (KIP-1043) |

use bytes::Bytes;

use super::{OPERATIONS_NOT_ASKED, exchange};
use crate::codec::Message;

/// Groups to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    /// The groups.
    pub groups: Vec<String>,
    /// Whether to tell what the client may do with each group.
    #[kafka(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroup {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person. Must be null below version 6.
    #[kafka(versions = "6+")]
    pub error_message: Option<String>,
    /// The group.
    pub group_id: String,
    /// Kafka's name of its state, `PreparingRebalance`; `Dead` for a group that does not exist.
    pub group_state: String,
    /// What the group is for.
    pub protocol_type: String,
    /// The assignor chosen; empty unless the group is stable.
    pub protocol_data: String,
    /// Its members.
    pub members: Vec<DescribedGroupMember>,
    /// What the client may do with the group, one bit an operation.
    #[kafka(versions = "3+", default = OPERATIONS_NOT_ASKED)]
    pub authorized_operations: i32,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroupMember {
    /// The member.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    #[kafka(versions = "4+", ignorable)]
    pub group_instance_id: Option<String>,
    /// Client id of its last join.
    pub client_id: String,
    /// Address of its last join, `/127.0.0.1`.
    pub client_host: String,
    /// What it told the assignor chosen; empty unless the group is stable.
    pub member_metadata: Bytes,
    /// What it was assigned.
    pub member_assignment: Bytes,
}

exchange!(DescribeGroups: DescribeGroupsRequest => DescribeGroupsResponse);
