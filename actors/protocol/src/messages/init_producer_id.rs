//! InitProducerId (key 22): hands out producer ids, and fences older producers of a transactional id.
//!
//! | version | change |
//! |---|---|
//! | 0 | first (KIP-98) |
//! | 1 | the client holds back for the throttle time (KIP-219) |
//! | 2 | flexible (KIP-482) |
//! | 3 | a producer may name the id it has, to get a new epoch of it (KIP-360) |
//! | 4 | error 90 may be answered (KIP-588) |
//! | 5 | error 120 may be answered (KIP-890) |

use super::exchange;
use crate::codec::Message;

/// A producer that wants an id.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdRequest {
    /// Null for a producer that is idempotent and no more.
    pub transactional_id: Option<String>,
    /// How long a transaction may be open, in milliseconds; of no meaning without transactional id.
    pub transaction_timeout_ms: i32,
    /// Id that the producer has, -1 for none.
    #[kafka(versions = "3+", default = -1)]
    pub producer_id: i64,
    /// Epoch that the producer has, -1 for none.
    #[kafka(versions = "3+", default = -1)]
    pub producer_epoch: i16,
}

/// The id.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// The producer's id, -1 on an error.
    #[kafka(default = -1)]
    pub producer_id: i64,
    /// The producer's epoch, -1 on an error.
    #[kafka(default = -1)]
    pub producer_epoch: i16,
}

exchange!(InitProducerId: InitProducerIdRequest => InitProducerIdResponse);
