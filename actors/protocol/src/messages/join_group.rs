//! JoinGroup (key 11): enters a classic group, or enters it again for the next generation.
//!
//! | version | change |
//! |---|---|
//! | 1 | rebalance timeout beside the session timeout (KIP-62) |
//! | 2 | throttle time (KIP-124) |
//! | 3 | the client holds back for the throttle time (KIP-219) |
//! | 4 | a new member is given its id with error 79 and joins again with it (KIP-394) |
//! | 5 | group instance id (KIP-345) |
//! | 6 | flexible (KIP-482) |
//! | 7 | the answer has the protocol's type; its name may be null (KIP-559) |
//! | 8 | why the member joins (KIP-800) |
//! | 9 | the leader may be told to assign nothing (KIP-814) |

use bytes::Bytes;

use super::exchange;
use crate::codec::Message;

/// A member and what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    /// The group.
    pub group_id: String,
    /// Longest silence of the member before it is taken for gone, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the group waits for the member to join again, in milliseconds; -1 below version 1,
    /// where the session timeout counts.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The member, empty for a new one.
    pub member_id: String,
    /// Name that the member keeps over restarts, if it is static.
    #[kafka(versions = "5+")]
    pub group_instance_id: Option<String>,
    /// What the group is for, `consumer`.
    pub protocol_type: String,
    /// Assignors that the member knows, the one it likes best first.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why the member joins, for a person.
    #[kafka(versions = "8+", ignorable)]
    pub reason: Option<String>,
}

/// One assignor and what the member tells it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct JoinGroupRequestProtocol {
    /// Its name.
    pub name: String,
    /// For the group's leader; of consumers a
    /// [`ConsumerProtocolSubscription`](crate::consumer_protocol::ConsumerProtocolSubscription).
    /// Shares the request's memory: what outlives the request keeps a copy.
    pub metadata: Bytes,
}

/// The generation that the member has joined.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// The generation; -1 on an error.
    #[kafka(default = -1)]
    pub generation_id: i32,
    /// What the group is for.
    #[kafka(versions = "7+", ignorable)]
    pub protocol_type: Option<String>,
    /// The assignor chosen; on an error null, and empty below version 7.
    #[kafka(nullable = "7+", default = Some(String::new()))]
    pub protocol_name: Option<String>,
    /// Member that assigns.
    pub leader: String,
    /// Whether the leader shall assign nothing, because the assignment stands.
    #[kafka(versions = "9+")]
    pub skip_assignment: bool,
    /// The member that joined.
    pub member_id: String,
    /// All members in the leader's answer, none in the others.
    pub members: Vec<JoinGroupResponseMember>,
}

/// One member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct JoinGroupResponseMember {
    /// The member.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    #[kafka(versions = "5+", ignorable)]
    pub group_instance_id: Option<String>,
    /// What it told the assignor chosen.
    pub metadata: Bytes,
}

exchange!(JoinGroup: JoinGroupRequest => JoinGroupResponse);
