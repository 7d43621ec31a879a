//! ConsumerGroupDescribe (key 69): epochs, members and assignments of groups of the new protocol.
//! Versions 0 and 1.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | which protocol a member speaks |
//!
//! Where the new protocol is off, every group is answered with 35.
//! A classic group is answered with 69, upon which clients ask with DescribeGroups.
//! Source: KIP-848, KIP-1099.

use kabuki_controller::image::MetadataImage;
use kabuki_group::messages::{Answer as GroupAnswer, ConsumerMemberView, ConsumerView, Request};
use kabuki_group::names::GroupId;
use kabuki_group::partitions;
use kabuki_group::refusal::GroupRefused;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::OPERATIONS_NOT_ASKED;
use kabuki_protocol::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    MEMBER_TYPE_CLASSIC, MEMBER_TYPE_CONSUMER, Member, TopicPartitions,
};

use super::consumer_group_heartbeat::is_enabled;
use super::{GROUP_OPERATIONS, NotAnswered, ask, for_each, foreign, once_each};
use crate::group_refusals::Asked;
use crate::request::{Answer, RequestContext};

pub(in crate::handlers) async fn answer(
    request: ConsumerGroupDescribeRequest,
    context: RequestContext,
) -> Answer {
    let operations = match request.include_authorized_operations {
        true => GROUP_OPERATIONS,
        false => OPERATIONS_NOT_ASKED,
    };
    let described = for_each(once_each(request.group_ids), |group_id| {
        describe(group_id, operations, &context)
    });
    let groups = described.await;
    context.reply(&ConsumerGroupDescribeResponse {
        groups,
        ..ConsumerGroupDescribeResponse::default()
    })
}

async fn describe(group_id: String, operations: i32, context: &RequestContext) -> DescribedGroup {
    let failed = |code: ErrorCode, message: Option<String>, group_id: String| DescribedGroup {
        error_code: code.code(),
        error_message: message,
        group_id,
        authorized_operations: OPERATIONS_NOT_ASKED,
        ..DescribedGroup::default()
    };
    if !is_enabled(context) {
        return failed(ErrorCode::UnsupportedVersion, None, group_id);
    }
    if group_id.is_empty() {
        return failed(ErrorCode::InvalidGroupId, None, group_id);
    }
    let group = GroupId::new(&group_id);
    let error = match ask(&group, Request::DescribeConsumer, context).await {
        Ok(GroupAnswer::DescribeConsumer(Ok(view))) => {
            return described(group_id, view, operations, &context.services.image());
        }
        Ok(GroupAnswer::DescribeConsumer(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    let message = match &error {
        NotAnswered::Refused(GroupRefused::UnknownGroup) => Some(format!(
            "Group {group_id} is no consumer group, or there is none."
        )),
        _ => None,
    };
    failed(error.code(Asked::Other), message, group_id)
}

fn described(
    group_id: String,
    view: ConsumerView,
    operations: i32,
    image: &MetadataImage,
) -> DescribedGroup {
    let members = view.members.into_iter();
    DescribedGroup {
        error_code: ErrorCode::None.code(),
        error_message: None,
        group_id,
        group_state: view.state.name().to_owned(),
        group_epoch: view.group_epoch,
        assignment_epoch: view.assignment_epoch,
        assignor_name: view.assignor.to_string(),
        members: members.map(|view| member(view, image)).collect(),
        authorized_operations: operations,
    }
}

fn member(view: ConsumerMemberView, image: &MetadataImage) -> Member {
    let names = view.topic_names.iter();
    Member {
        member_id: view.member_id.to_string(),
        instance_id: view.instance_id.map(|id| id.to_string()),
        rack_id: view.rack_id.map(|rack| rack.to_string()),
        member_epoch: view.member_epoch,
        client_id: view.client_id.to_string(),
        client_host: view.client_host.to_string(),
        subscribed_topic_names: names.map(|name| name.to_string()).collect(),
        // Kafka shows an empty one, not null.
        subscribed_topic_regex: Some(view.topic_regex.unwrap_or_default().to_string()),
        assignment: assignment(&view.assignment, image),
        target_assignment: assignment(&view.target, image),
        member_type: if view.is_classic {
            MEMBER_TYPE_CLASSIC
        } else {
            MEMBER_TYPE_CONSUMER
        },
    }
}

/// Topics that were deleted since are left out: they have no name to be shown by.
fn assignment(assigned: &partitions::TopicPartitions, image: &MetadataImage) -> Assignment {
    let topics = assigned.topics().filter_map(|(topic_id, partitions)| {
        Some(TopicPartitions {
            topic_id,
            topic_name: image.topic_by_id(topic_id)?.name.to_string(),
            partitions: partitions.iter().copied().collect(),
        })
    });
    Assignment {
        topic_partitions: topics.collect(),
    }
}
