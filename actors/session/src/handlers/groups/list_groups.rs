//! ListGroups (key 16): the groups that this node coordinates. Versions 0 to 5.
//!
//! | version | what it added here |
//! |---|---|
//! | 4 | state, and a filter by it |
//! | 5 | type, and a filter by it |
//!
//! Both filters take no heed of case; a word that names no state or type selects nothing.
//! Source: KIP-518, KIP-848.

use kabuki_group::CoordinatorRefused;
use kabuki_group::messages::GroupListing;
use kabuki_group::names::GroupId;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use crate::group_refusals::{Asked, unready};
use crate::request::{Answer, RequestContext};

pub(in crate::handlers) async fn answer(
    request: ListGroupsRequest,
    context: RequestContext,
) -> Answer {
    let limit = context.services.limits.request_timeout;
    let listed = tokio::time::timeout(limit, context.services.groups().list()).await;
    let error_code = match &listed {
        Ok(listed) if listed.is_loading => unready(CoordinatorRefused::Loading, Asked::Other),
        Ok(_) => ErrorCode::None,
        Err(_) => unready(CoordinatorRefused::NotAvailable, Asked::Other),
    };
    let groups = match listed {
        Ok(listed) if error_code == ErrorCode::None => listed.groups,
        _ => Vec::new(),
    };
    let groups = groups
        .into_iter()
        .map(|(group, listing)| listed_group(&group, &listing))
        .filter(|group| is_wanted(&group.group_state, &request.states_filter))
        .filter(|group| is_wanted(&group.group_type, &request.types_filter));
    let response = ListGroupsResponse {
        error_code: error_code.code(),
        groups: groups.collect(),
        ..ListGroupsResponse::default()
    };
    context.reply(&response)
}

fn is_wanted(word: &str, filter: &[String]) -> bool {
    filter.is_empty()
        || filter
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(word))
}

fn listed_group(group: &GroupId, listing: &GroupListing) -> ListedGroup {
    let group_type = if listing.is_consumer {
        "consumer"
    } else {
        "classic"
    };
    ListedGroup {
        group_id: group.to_string(),
        protocol_type: listing.protocol_type.to_string(),
        group_state: listing.state.name().to_owned(),
        group_type: group_type.to_owned(),
    }
}
