//! FindCoordinator (key 10): names the broker that coordinates a group or a transactional id.
//!
//! | version | change |
//! |---|---|
//! | 1 | type of the key, error message, throttle time (KIP-98, KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | flexible (KIP-482) |
//! | 4 | several keys at once (KIP-699) |
//! | 5 | error 120 may be answered (KIP-890) |
//! | 6 | keys of share groups (KIP-932) |

use super::exchange;
use crate::codec::Message;

/// Key type of a consumer group.
pub const KEY_TYPE_GROUP: i8 = 0;
/// Key type of a transactional id.
pub const KEY_TYPE_TRANSACTION: i8 = 1;
/// Key type of one partition's state in a share group; from version 6 on.
pub const KEY_TYPE_SHARE: i8 = 2;

/// Keys to look up.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    /// The key, up to version 3.
    #[kafka(versions = "0-3")]
    pub key: String,
    /// What the keys are: one of the constants of this file.
    #[kafka(versions = "1+")]
    pub key_type: i8,
    /// The keys, from version 4 on.
    #[kafka(versions = "4+")]
    pub coordinator_keys: Vec<String>,
}

/// Who coordinates.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error code up to version 3, 0 for none.
    #[kafka(versions = "0-3")]
    pub error_code: i16,
    /// What is wrong, for a person; up to version 3.
    #[kafka(versions = "1-3", ignorable)]
    pub error_message: Option<String>,
    /// Node id up to version 3.
    #[kafka(versions = "0-3")]
    pub node_id: i32,
    /// Advertised host up to version 3.
    #[kafka(versions = "0-3")]
    pub host: String,
    /// Advertised port up to version 3.
    #[kafka(versions = "0-3")]
    pub port: i32,
    /// One entry a key, from version 4 on.
    #[kafka(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// Who coordinates one key.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Coordinator {
    /// The key.
    pub key: String,
    /// Node id; -1 on an error.
    pub node_id: i32,
    /// Advertised host; empty on an error.
    pub host: String,
    /// Advertised port; -1 on an error.
    pub port: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
}

exchange!(FindCoordinator: FindCoordinatorRequest => FindCoordinatorResponse);
