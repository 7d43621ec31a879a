//! JoinGroup (key 11): a member enters a classic group, or enters it again for the next generation.
//! Versions 0 to 9. Parked until the join phase ends.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | rebalance timeout (before: the session timeout) |
//! | 4 | 79 and an id for a new member |
//! | 5 | static members |
//! | 7 | type of the protocol; on an error its name is null (before: empty) |
//! | 9 | the leader may be told to assign nothing |
//!
//! Source: KIP-62, KIP-345, KIP-394, KIP-559, KIP-814.

use std::sync::Arc;

use bytes::Bytes;
use kabuki_group::messages::{Answer as GroupAnswer, JoinGroup, JoinedGroup, Request};
use kabuki_group::names::{GroupId, InstanceId, MemberId};
use kabuki_group::records::JoinProtocol;
use kabuki_group::refusal::GroupRefused;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};

use super::{NotAnswered, ask_parked, client, foreign};
use crate::group_refusals::Asked;
use crate::handlers::Started;
use crate::request::RequestContext;

pub(in crate::handlers) fn start(request: JoinGroupRequest, context: RequestContext) -> Started {
    let member_id = request.member_id.clone();
    if request.group_id.is_empty() {
        let refused = failed(ErrorCode::InvalidGroupId, member_id, context.version);
        return Started::Answered(context.reply(&refused));
    }
    let group = GroupId::new(&request.group_id);
    let held_bytes = request.protocols.len() * size_of::<JoinProtocol>();
    let join = Request::Join(join(request, &context));
    Started::parked(held_bytes, async move {
        let answered = match ask_parked(&group, join, &context).await {
            Ok(GroupAnswer::Join(answered)) => answered.map_err(NotAnswered::from),
            Ok(other) => Err(foreign(&other)),
            Err(error) => Err(error),
        };
        context.reply(&match answered {
            Ok(joined) => joined_response(joined, context.version),
            Err(NotAnswered::Refused(GroupRefused::MemberIdRequired { member_id })) => failed(
                ErrorCode::MemberIdRequired,
                member_id.to_string(),
                context.version,
            ),
            Err(error) => {
                let is_of_nobody = matches!(
                    error,
                    NotAnswered::Refused(
                        GroupRefused::OfNobody { .. } | GroupRefused::GroupFull { .. }
                    )
                );
                let named = if is_of_nobody {
                    String::new()
                } else {
                    member_id
                };
                failed(error.code(Asked::Join), named, context.version)
            }
        })
    })
}

/// Copies all that outlives the request.
fn join(request: JoinGroupRequest, context: &RequestContext) -> JoinGroup {
    let protocols = request.protocols.iter().map(|protocol| JoinProtocol {
        name: Arc::from(&*protocol.name),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    JoinGroup {
        client: client(context),
        member_id: MemberId::new(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(InstanceId::new),
        protocol_type: Arc::from(&*request.protocol_type),
        protocols: protocols.collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match context.version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        needs_member_id: context.version >= 4,
        can_skip_assignment: context.version >= 9,
    }
}

fn joined_response(joined: JoinedGroup, version: i16) -> JoinGroupResponse {
    let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
    let members = joined
        .members
        .into_iter()
        .map(|member| JoinGroupResponseMember {
            member_id: member.member_id.to_string(),
            group_instance_id: member.instance_id.map(|id| id.to_string()),
            metadata: member.metadata,
        });
    // An empty name is none, and none is an empty one where there is no null.
    let protocol_name = match text(joined.protocol_name).unwrap_or_default() {
        name if name.is_empty() && version >= 7 => None,
        name => Some(name),
    };
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: text(joined.protocol_type),
        protocol_name,
        leader: joined.leader.to_string(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.to_string(),
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

fn failed(code: ErrorCode, member_id: String, version: i16) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: code.code(),
        generation_id: -1,
        protocol_name: (version < 7).then(String::new),
        member_id,
        ..JoinGroupResponse::default()
    }
}
