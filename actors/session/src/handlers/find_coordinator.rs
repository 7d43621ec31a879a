//! FindCoordinator (key 10): names the broker of a group or transactional id. Versions 0 to 6.
//!
//! There are no groups and no transactions yet, so every key is answered with 15, which clients
//! retry. It is served all the same: a librdkafka that misses this API sends lz4 batches uncompressed.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | key type, error message |
//! | 4 | several keys at once |
//!
//! Source: 1.3.6; KIP-699.

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, KEY_TYPE_GROUP, KEY_TYPE_SHARE,
};

use super::Started;
use crate::request::RequestContext;

const NO_NODE: i32 = -1;

pub(super) fn answer(request: FindCoordinatorRequest, context: &RequestContext) -> Started {
    let code = match request.key_type {
        KEY_TYPE_GROUP..=KEY_TYPE_SHARE => ErrorCode::CoordinatorNotAvailable,
        _ => ErrorCode::InvalidRequest,
    };
    let error_code = code.code();
    let error_message = Some(code.message().to_owned());
    let response = if context.version < 4 {
        FindCoordinatorResponse {
            error_code,
            error_message,
            node_id: NO_NODE,
            port: NO_NODE,
            ..FindCoordinatorResponse::default()
        }
    } else {
        let unknown = |key: String| Coordinator {
            key,
            node_id: NO_NODE,
            host: String::new(),
            port: NO_NODE,
            error_code,
            error_message: error_message.clone(),
        };
        FindCoordinatorResponse {
            coordinators: request.coordinator_keys.into_iter().map(unknown).collect(),
            ..FindCoordinatorResponse::default()
        }
    };
    Started::Answered(context.reply(&response))
}
