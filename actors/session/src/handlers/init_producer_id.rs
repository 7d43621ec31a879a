//! InitProducerId (key 22): hands out producer ids. Versions 0 to 5.
//!
//! Without a transactional id every request gets a fresh id and epoch 0, whatever id it names. With
//! one it is answered 35, as FindCoordinator is: there are no transactions yet. While no block of ids
//! is durable the answer is 14, which clients retry.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | id and epoch the producer has: both or neither |
//!
//! Source: KIP-98, KIP-360.

use kabuki_controller::messages::AllocateProducerId;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::ports::ask;
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: InitProducerIdRequest, context: RequestContext) -> Answer {
    let failed = |code: ErrorCode| InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    let has_half = (request.producer_id == -1) != (request.producer_epoch == -1);
    let refused = match request.transactional_id.as_deref() {
        Some("") => Some(ErrorCode::InvalidRequest),
        _ if has_half => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(ErrorCode::UnsupportedVersion),
        None => None,
    };
    if let Some(code) = refused {
        return context.reply(&failed(code));
    }
    let wait = context.services.limits.request_timeout;
    let controller = &context.services.controller.allocate_producer_id;
    let allocated = ask(controller, wait, |reply| AllocateProducerId { reply }).await;
    context.reply(&match allocated {
        Ok(Ok(producer_id)) => InitProducerIdResponse {
            producer_id: producer_id.get(),
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        // An id that was given and lost on the way is never given again: asking anew is harmless.
        Ok(Err(_)) | Err(_) => failed(ErrorCode::CoordinatorLoadInProgress),
    })
}
