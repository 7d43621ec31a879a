//! DeleteGroups (key 42): forgets groups without members, with all their offsets. Versions 0 to 2.
//!
//! Source: KIP-229.

use kabuki_group::messages::{Answer as GroupAnswer, Request};
use kabuki_group::names::GroupId;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::{NotAnswered, ask, for_each, foreign, once_each};
use crate::group_refusals::Asked;
use crate::request::{Answer, RequestContext};

pub(in crate::handlers) async fn answer(
    request: DeleteGroupsRequest,
    context: RequestContext,
) -> Answer {
    let groups = once_each(request.groups_names);
    let results = for_each(groups, |group_id| async {
        let error_code = delete(&group_id, &context).await.code();
        DeletableGroupResult {
            group_id,
            error_code,
        }
    });
    let results = results.await;
    context.reply(&DeleteGroupsResponse {
        results,
        ..DeleteGroupsResponse::default()
    })
}

async fn delete(group_id: &str, context: &RequestContext) -> ErrorCode {
    let group = GroupId::new(group_id);
    let error = match ask(&group, Request::DeleteGroup, context).await {
        Ok(GroupAnswer::DeleteGroup(Ok(()))) => return ErrorCode::None,
        Ok(GroupAnswer::DeleteGroup(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    error.code(Asked::Other)
}
