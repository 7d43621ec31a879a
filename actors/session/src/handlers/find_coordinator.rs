//! FindCoordinator (key 10): names the broker that coordinates a group. Versions 0 to 6.
//!
//! The leader of the group's partition of `__consumer_offsets` does; the topic is created by the first who
//! asks. There are no transactions and no share groups yet. Their keys are answered with 35, which ends a client
//! with a reason: upon 15 it would ask for as long as it may wait, a minute mostly, and say that time ran out.
//! What is no key of a share partition is 42, as by Kafka.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | key type, error message |
//! | 4 | several keys at once |
//! | 6 | keys of share groups (before: 42) |
//!
//! Source: KIP-699.

use kabuki_controller::image::MetadataImage;
use kabuki_group::OFFSETS_TOPIC;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, KEY_TYPE_GROUP, KEY_TYPE_SHARE,
    KEY_TYPE_TRANSACTION,
};

use crate::request::{Answer, RequestContext};

const NO_NODE: i32 = -1;

/// First version that asks for several keys.
const VERSION_WITH_KEYS: i16 = 4;

/// First version that knows share groups.
const VERSION_WITH_SHARE: i16 = 6;

/// Digits of an id in Base64.
const ID_DIGITS: usize = 22;

pub(super) async fn answer(request: FindCoordinatorRequest, context: RequestContext) -> Answer {
    let refused = match request.key_type {
        KEY_TYPE_GROUP => None,
        KEY_TYPE_TRANSACTION => Some((
            ErrorCode::UnsupportedVersion,
            "this broker does not support transactions",
        )),
        KEY_TYPE_SHARE if context.version >= VERSION_WITH_SHARE => Some((
            ErrorCode::UnsupportedVersion,
            "this broker does not support share groups",
        )),
        _ => Some((
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest.message(),
        )),
    };
    if refused.is_none() && context.services.image().topic(OFFSETS_TOPIC).is_none() {
        let limit = context.services.limits.request_timeout;
        // Whether it worked is seen in the image.
        let created = tokio::time::timeout(limit, context.services.groups().ensure_topic()).await;
        drop(created);
    }
    let image = context.services.image();
    let is_share = request.key_type == KEY_TYPE_SHARE && context.version >= VERSION_WITH_KEYS;
    let found = |key: String| match refused {
        // Kafka has no text for this one.
        Some(_) if is_share && !is_share_partition(&key) => {
            not_found(key, ErrorCode::InvalidRequest, "")
        }
        Some((code, why)) => not_found(key, code, why),
        None => find(key, &image, &context),
    };
    let response = match context.version < VERSION_WITH_KEYS {
        true => {
            let found = found(request.key);
            let error_message = match found.error_message {
                Some(text) if !text.is_empty() => text,
                _ => ErrorCode::None.name().to_owned(),
            };
            FindCoordinatorResponse {
                error_code: found.error_code,
                error_message: Some(error_message),
                node_id: found.node_id,
                host: found.host,
                port: found.port,
                ..FindCoordinatorResponse::default()
            }
        }
        false => FindCoordinatorResponse {
            coordinators: request.coordinator_keys.into_iter().map(found).collect(),
            ..FindCoordinatorResponse::default()
        },
    };
    context.reply(&response)
}

/// True for `group:id of the topic:partition`, where the id is 16 bytes in Base64 without padding.
fn is_share_partition(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (Some(partition), Some(topic), Some(group)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_id = topic.len() == ID_DIGITS && topic.bytes().all(is_digit);
    !group.is_empty() && is_id && partition.parse::<i32>().is_ok()
}

fn find(key: String, image: &MetadataImage, context: &RequestContext) -> Coordinator {
    let partition = context.services.groups().partition_of(&key);
    let leader = partition.and_then(|index| Some(image.partition(OFFSETS_TOPIC, index)?.leader));
    let broker = leader.and_then(|leader| image.broker(leader));
    let broker = broker.filter(|broker| !broker.is_fenced);
    let endpoint = broker.and_then(|broker| Some((broker, broker.endpoint(&context.listener)?)));
    match endpoint {
        Some((broker, endpoint)) => Coordinator {
            key,
            node_id: broker.id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            error_code: ErrorCode::None.code(),
            error_message: Some(String::new()),
        },
        None => {
            let code = ErrorCode::CoordinatorNotAvailable;
            not_found(key, code, code.message())
        }
    }
}

fn not_found(key: String, code: ErrorCode, why: &str) -> Coordinator {
    Coordinator {
        key,
        node_id: NO_NODE,
        host: String::new(),
        port: NO_NODE,
        error_code: code.code(),
        error_message: Some(why.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_share_partition;

    #[test]
    fn a_share_partition_has_a_group_an_id_and_a_number() {
        let id = "AAAAAAAAAAAAAAAAAAAAAQ";
        for good in ["g:ID:0", "a:b:ID:7", "g:ID:-1"] {
            assert!(is_share_partition(&good.replace("ID", id)), "{good}");
        }
        for bad in [
            "", "::", "a:b:0", ":ID:0", "g:ID:", "g:ID:x", "g:ID:0:1", "g:IDA:0",
        ] {
            assert!(!is_share_partition(&bad.replace("ID", id)), "{bad}");
        }
    }
}
