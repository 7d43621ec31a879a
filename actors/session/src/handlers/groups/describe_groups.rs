//! DescribeGroups (key 15): members and assignments of classic groups. Versions 0 to 6.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | authorized operations |
//! | 4 | group instance id |
//! | 6 | 69 with a message for an unknown group (before: no error, state `Dead`) |
//!
//! Source: KIP-430, KIP-345, KIP-1043.

use kabuki_group::messages::{Answer as GroupAnswer, ClassicView, GroupState, Request};
use kabuki_group::names::GroupId;
use kabuki_group::refusal::GroupRefused;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::OPERATIONS_NOT_ASKED;
use kabuki_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::{GROUP_OPERATIONS, NotAnswered, ask, for_each, foreign, once_each};
use crate::group_refusals::Asked;
use crate::request::{Answer, RequestContext};

/// First version that has an error for a group that does not exist.
const VERSION_WITH_UNKNOWN: i16 = 6;

pub(in crate::handlers) async fn answer(
    request: DescribeGroupsRequest,
    context: RequestContext,
) -> Answer {
    let operations = match request.include_authorized_operations {
        true => GROUP_OPERATIONS,
        false => OPERATIONS_NOT_ASKED,
    };
    let described = for_each(once_each(request.groups), |group_id| {
        describe(group_id, operations, &context)
    });
    let groups = described.await;
    context.reply(&DescribeGroupsResponse {
        groups,
        ..DescribeGroupsResponse::default()
    })
}

async fn describe(group_id: String, operations: i32, context: &RequestContext) -> DescribedGroup {
    let group = GroupId::new(&group_id);
    let error = match ask(&group, Request::DescribeClassic, context).await {
        Ok(GroupAnswer::DescribeClassic(Ok(view))) => {
            return described(group_id, view, operations);
        }
        Ok(GroupAnswer::DescribeClassic(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    let without_members = DescribedGroup {
        group_id,
        authorized_operations: OPERATIONS_NOT_ASKED,
        ..DescribedGroup::default()
    };
    match error {
        NotAnswered::Refused(GroupRefused::UnknownGroup) => {
            let dead = GroupState::Dead.name().to_owned();
            match context.version < VERSION_WITH_UNKNOWN {
                true => DescribedGroup {
                    group_state: dead,
                    authorized_operations: operations,
                    ..without_members
                },
                false => DescribedGroup {
                    error_code: ErrorCode::GroupIdNotFound.code(),
                    error_message: Some(format!(
                        "Group {} is no classic group, or there is none.",
                        without_members.group_id
                    )),
                    group_state: dead,
                    ..without_members
                },
            }
        }
        error => DescribedGroup {
            error_code: error.code(Asked::Other).code(),
            ..without_members
        },
    }
}

fn described(group_id: String, view: ClassicView, operations: i32) -> DescribedGroup {
    let members = view.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.member_id.to_string(),
        group_instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    });
    DescribedGroup {
        error_code: ErrorCode::None.code(),
        error_message: None,
        group_id,
        group_state: view.state.name().to_owned(),
        protocol_type: view.protocol_type.to_string(),
        protocol_data: view.protocol.to_string(),
        members: members.collect(),
        authorized_operations: operations,
    }
}
