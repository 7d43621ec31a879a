//! SyncGroup (key 14): the leader of a classic group brings the assignment, every member fetches its own.
//! Versions 0 to 5. Parked until the leader has brought it.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | static members |
//! | 5 | type and name of the protocol; without them 23, before the group is looked at |
//!
//! Source: KIP-345, KIP-559.

use std::sync::Arc;

use bytes::Bytes;
use kabuki_group::messages::{Answer as GroupAnswer, Request, SyncGroup};
use kabuki_group::names::{GroupId, InstanceId, MemberId};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{NotAnswered, ask_parked, foreign};
use crate::group_refusals::Asked;
use crate::handlers::Started;
use crate::request::RequestContext;

/// Bytes that an assignment takes beside those it had in the request: two texts, their counters.
const ASSIGNMENT_BYTES: usize = 96;

pub(in crate::handlers) fn start(request: SyncGroupRequest, context: RequestContext) -> Started {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    let refused = if context.version >= 5 && !names_protocol {
        Some(ErrorCode::InconsistentGroupProtocol)
    } else if request.group_id.is_empty() {
        Some(ErrorCode::InvalidGroupId)
    } else {
        None
    };
    if let Some(code) = refused {
        return Started::Answered(context.reply(&failed(code)));
    }
    let group = GroupId::new(&request.group_id);
    let held_bytes = request.assignments.len() * ASSIGNMENT_BYTES;
    let sync = Request::Sync(sync(request));
    Started::parked(held_bytes, async move {
        let answered = match ask_parked(&group, sync, &context).await {
            Ok(GroupAnswer::Sync(answered)) => answered.map_err(NotAnswered::from),
            Ok(other) => Err(foreign(&other)),
            Err(error) => Err(error),
        };
        context.reply(&match answered {
            Ok(synced) => SyncGroupResponse {
                protocol_type: synced.protocol_type.map(|text| text.to_string()),
                protocol_name: synced.protocol_name.map(|text| text.to_string()),
                assignment: synced.assignment,
                ..SyncGroupResponse::default()
            },
            Err(error) => failed(error.code(Asked::Sync)),
        })
    })
}

/// Copies all that outlives the request.
fn sync(request: SyncGroupRequest) -> SyncGroup {
    let assignments = request.assignments.iter().map(|assigned| {
        let bytes = Bytes::copy_from_slice(&assigned.assignment);
        (MemberId::new(&assigned.member_id), bytes)
    });
    SyncGroup {
        generation: request.generation_id,
        member_id: MemberId::new(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(InstanceId::new),
        protocol_type: request.protocol_type.as_deref().map(Arc::from),
        protocol_name: request.protocol_name.as_deref().map(Arc::from),
        assignments: assignments.collect(),
    }
}

fn failed(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: code.code(),
        ..SyncGroupResponse::default()
    }
}
