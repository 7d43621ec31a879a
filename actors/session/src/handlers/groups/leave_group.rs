//! LeaveGroup (key 13): takes members out of a group. Versions 0 to 5.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | several members, each with its error (before: one, its error is that of the answer) |
//!
//! Source: KIP-345.

use kabuki_group::messages::{
    Answer as GroupAnswer, LeaveGroup, LeavingMember, LeftMember, Request,
};
use kabuki_group::names::{GroupId, InstanceId, MemberId};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberResponse,
};

use super::{NotAnswered, ask_patiently, foreign};
use crate::group_refusals::{Asked, group_refused};
use crate::request::{Answer, RequestContext};

pub(in crate::handlers) async fn answer(
    request: LeaveGroupRequest,
    context: RequestContext,
) -> Answer {
    let response = match leave(request, &context).await {
        Ok(left) if context.version < 3 => LeaveGroupResponse {
            error_code: left.first().map_or(ErrorCode::None, code).code(),
            ..LeaveGroupResponse::default()
        },
        Ok(left) => LeaveGroupResponse {
            members: left.into_iter().map(member_response).collect(),
            ..LeaveGroupResponse::default()
        },
        Err(code) => LeaveGroupResponse {
            error_code: code.code(),
            ..LeaveGroupResponse::default()
        },
    };
    context.reply(&response)
}

async fn leave(
    request: LeaveGroupRequest,
    context: &RequestContext,
) -> Result<Vec<LeftMember>, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let group = GroupId::new(&request.group_id);
    let members = match context.version {
        0..3 => vec![LeavingMember {
            member_id: MemberId::new(&request.member_id),
            instance_id: None,
        }],
        _ => request
            .members
            .iter()
            .map(|member| LeavingMember {
                member_id: MemberId::new(&member.member_id),
                instance_id: member.group_instance_id.as_deref().map(InstanceId::new),
            })
            .collect(),
    };
    let leave = Request::Leave(LeaveGroup { members });
    let error = match ask_patiently(&group, leave, context).await {
        Ok(GroupAnswer::Leave(Ok(left))) => return Ok(left),
        Ok(GroupAnswer::Leave(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    Err(error.code(Asked::Other))
}

fn code(left: &LeftMember) -> ErrorCode {
    match &left.result {
        Ok(()) => ErrorCode::None,
        Err(refused) => group_refused(refused, Asked::Other),
    }
}

fn member_response(left: LeftMember) -> MemberResponse {
    MemberResponse {
        error_code: code(&left).code(),
        member_id: left.member_id.to_string(),
        group_instance_id: left.instance_id.map(|id| id.to_string()),
    }
}
