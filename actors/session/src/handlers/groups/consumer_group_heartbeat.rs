//! ConsumerGroupHeartbeat (key 68): a member of the new protocol joins, stays, acknowledges and leaves.
//! Versions 0 and 1.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | regular expressions; the client names itself, so a first request without a member id is refused |
//!
//! Answered with 35 where `group.coordinator.rebalance.protocols` does not name `consumer`, or
//! `group.version` is at level 0.
//! Source: KIP-848, KIP-1082.

use std::sync::Arc;

use kabuki_controller::features::GROUP_VERSION;
use kabuki_group::messages::{Answer as GroupAnswer, ConsumerHeartbeat, HeartbeatAnswer, Request};
use kabuki_group::names::{GroupId, InstanceId, MemberId};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::{NotAnswered, ask, ask_patiently, client, foreign};
use crate::group_refusals::Asked;
use crate::request::{Answer, RequestContext};

/// First version in which the client makes its member id.
const VERSION_WITH_MEMBER_ID: i16 = 1;

pub(in crate::handlers) async fn answer(
    request: ConsumerGroupHeartbeatRequest,
    context: RequestContext,
) -> Answer {
    let response = match beat(request, &context).await {
        Ok(answer) => accepted(answer),
        Err((code, error_message)) => ConsumerGroupHeartbeatResponse {
            error_code: code.code(),
            error_message,
            ..ConsumerGroupHeartbeatResponse::default()
        },
    };
    context.reply(&response)
}

async fn beat(
    request: ConsumerGroupHeartbeatRequest,
    context: &RequestContext,
) -> Result<HeartbeatAnswer, (ErrorCode, Option<String>)> {
    if !is_enabled(context) {
        return Err((ErrorCode::UnsupportedVersion, None));
    }
    let invalid = |cause: &str| Err((ErrorCode::InvalidRequest, Some(cause.to_owned())));
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if context.version >= VERSION_WITH_MEMBER_ID && request.member_id.is_empty() {
        return invalid("MemberId can't be empty.");
    }
    let group = GroupId::new(&request.group_id);
    let is_leaving = request.member_epoch < 0;
    let beat = Request::ConsumerHeartbeat(heartbeat(request, context));
    let answered = match is_leaving {
        true => ask_patiently(&group, beat, context).await,
        false => ask(&group, beat, context).await,
    };
    let error = match answered {
        Ok(GroupAnswer::ConsumerHeartbeat(Ok(answer))) => return Ok(answer),
        Ok(GroupAnswer::ConsumerHeartbeat(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    let asked = Asked::ConsumerHeartbeat;
    Err((error.code(asked), Some(error.message(asked))))
}

/// Whether this cluster and this node speak the new protocol.
pub(super) fn is_enabled(context: &RequestContext) -> bool {
    if context.services.image().feature_level(GROUP_VERSION) < 1 {
        return false;
    }
    let protocols = context
        .services
        .config
        .text("group.coordinator.rebalance.protocols")
        .unwrap_or_default();
    protocols
        .split(',')
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("consumer"))
}

/// Copies all that outlives the request.
fn heartbeat(
    request: ConsumerGroupHeartbeatRequest,
    context: &RequestContext,
) -> ConsumerHeartbeat {
    let text = |text: &Option<String>| text.as_deref().map(Arc::<str>::from);
    let owned = request.topic_partitions.as_ref().map(|topics| {
        let partitions = topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.topic_id, *partition))
        });
        partitions.collect()
    });
    let topic_names = request.subscribed_topic_names.as_ref();
    ConsumerHeartbeat {
        client: client(context),
        member_id: MemberId::new(&request.member_id),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id.as_deref().map(InstanceId::new),
        rack_id: text(&request.rack_id),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topic_names: topic_names.map(|names| names.iter().map(|name| Arc::from(&**name)).collect()),
        topic_regex: text(&request.subscribed_topic_regex),
        server_assignor: text(&request.server_assignor),
        owned,
    }
}

fn accepted(answer: HeartbeatAnswer) -> ConsumerGroupHeartbeatResponse {
    let assignment = answer.assignment.map(|assigned| Assignment {
        topic_partitions: assigned
            .topics()
            .map(|(topic_id, partitions)| TopicPartitions {
                topic_id,
                partitions: partitions.iter().copied().collect(),
            })
            .collect(),
    });
    ConsumerGroupHeartbeatResponse {
        member_id: Some(answer.member_id.to_string()),
        member_epoch: answer.member_epoch,
        heartbeat_interval_ms: answer.heartbeat_interval_ms,
        assignment,
        ..ConsumerGroupHeartbeatResponse::default()
    }
}
