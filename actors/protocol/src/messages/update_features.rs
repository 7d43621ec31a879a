//! UpdateFeatures (key 57): raises or lowers the levels that the cluster's features run at (KIP-584).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |
//! | 1 | the kind of change, and a trial (KIP-778) |
//! | 2 | all features are changed or none, so there is no result of each (KIP-1022) |

use super::exchange;
use crate::codec::Message;

/// What kind of change is meant: the values of `upgrade_type`.
pub mod upgrade_type {
    /// To a higher level.
    pub const UPGRADE: i8 = 1;
    /// To a lower level, if no metadata gets lost by it.
    pub const SAFE_DOWNGRADE: i8 = 2;
    /// To a lower level, whatever gets lost.
    pub const UNSAFE_DOWNGRADE: i8 = 3;
}

/// New levels.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest {
    /// How long the change may take, in milliseconds.
    #[kafka(default = 60_000)]
    pub timeout_ms: i32,
    /// The features.
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Check everything and change nothing.
    #[kafka(versions = "1+")]
    pub validate_only: bool,
}

/// A feature's new level.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FeatureUpdateKey {
    /// Name of the feature.
    pub feature: String,
    /// The level; 0 switches the feature off.
    pub max_version_level: i16,
    /// Whether the level may be lower than now.
    #[kafka(versions = "0")]
    pub allow_downgrade: bool,
    /// See [`upgrade_type`].
    #[kafka(versions = "1+", default = upgrade_type::UPGRADE)]
    pub upgrade_type: i8,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
    /// What became of each feature.
    #[kafka(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// What became of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct UpdatableFeatureResult {
    /// Name of the feature.
    pub feature: String,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
}

exchange!(UpdateFeatures: UpdateFeaturesRequest => UpdateFeaturesResponse);
