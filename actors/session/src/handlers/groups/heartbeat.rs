//! Heartbeat (key 12): keeps a member in its classic group and tells it of rebalances. Versions 0 to 4.
//!
//! While the group's shard loads the answer is 0: anything else would send healthy members to join again.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | static members |
//!
//! Source: KIP-345.

use kabuki_group::messages::{Answer as GroupAnswer, Heartbeat, Request};
use kabuki_group::names::{GroupId, InstanceId, MemberId};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::{NotAnswered, ask, foreign};
use crate::group_refusals::Asked;
use crate::request::{Answer, RequestContext};

pub(in crate::handlers) async fn answer(
    request: HeartbeatRequest,
    context: RequestContext,
) -> Answer {
    let code = beat(request, &context).await;
    context.reply(&HeartbeatResponse {
        error_code: code.code(),
        ..HeartbeatResponse::default()
    })
}

async fn beat(request: HeartbeatRequest, context: &RequestContext) -> ErrorCode {
    if request.group_id.is_empty() {
        return ErrorCode::InvalidGroupId;
    }
    let group = GroupId::new(&request.group_id);
    let beat = Request::Heartbeat(Heartbeat {
        generation: request.generation_id,
        member_id: MemberId::new(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(InstanceId::new),
    });
    let error = match ask(&group, beat, context).await {
        Ok(GroupAnswer::Heartbeat(Ok(()))) => return ErrorCode::None,
        Ok(GroupAnswer::Heartbeat(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    error.code(Asked::Heartbeat)
}
