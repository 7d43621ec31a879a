//! LeaveGroup (key 13): takes members out of a classic group.
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | several members, also by group instance id, each with its error (KIP-345) |
//! | 4 | flexible (KIP-482) |
//! | 5 | why the member leaves (KIP-800) |

use super::exchange;
use crate::codec::Message;

/// Who leaves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    /// The group.
    pub group_id: String,
    /// The member, up to version 2.
    #[kafka(versions = "0-2")]
    pub member_id: String,
    /// The members, from version 3 on.
    #[kafka(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberIdentity {
    /// The member; empty to take out whoever bears the group instance id.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    pub group_instance_id: Option<String>,
    /// Why it leaves, for a person.
    #[kafka(versions = "5+", ignorable)]
    pub reason: Option<String>,
}

/// What became of the members.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the whole request, up to version 2 also of the one member; 0 for none.
    pub error_code: i16,
    /// The members, from version 3 on.
    #[kafka(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

/// What became of one member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberResponse {
    /// The member, as the request named it.
    pub member_id: String,
    /// Its group instance id, as the request named it.
    pub group_instance_id: Option<String>,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(LeaveGroup: LeaveGroupRequest => LeaveGroupResponse);
