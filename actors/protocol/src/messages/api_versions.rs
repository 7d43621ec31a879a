//! ApiVersions (key 18): names the APIs, versions and features of a broker.
//!
//! The answer's header is always version 0. A request of an unknown version is answered with a body
//! of version 0, error 35 and the range of this API alone, without a look at its body (KIP-511).
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | flexible (KIP-482); name and version of the client (KIP-511); features (KIP-584) |
//! | 4 | features whose lowest version is 0 are shown (KIP-1022) |

use super::exchange;
use crate::api::ApiKey;
use crate::codec::Message;
use crate::error::ErrorCode;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    /// Name of the client library.
    #[kafka(versions = "3+", ignorable)]
    pub client_software_name: String,
    /// Its version.
    #[kafka(versions = "3+", ignorable)]
    pub client_software_version: String,
}

/// What the broker speaks.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// The APIs.
    pub api_keys: Vec<ApiVersion>,
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Features and the levels that the broker can run at.
    #[kafka(versions = "3+", tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Rises when finalized features change; below 0 clients take no notice of them.
    #[kafka(versions = "3+", tag = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// Features and the levels that the cluster runs at.
    #[kafka(versions = "3+", tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Whether the cluster could leave ZooKeeper; long gone, false.
    #[kafka(versions = "3+", tag = 3, ignorable)]
    pub zk_migration_ready: bool,
}

impl ApiVersionsResponse {
    /// The answer to a version that this broker does not know; to be encoded in version 0.
    ///
    /// Source: KIP-511.
    pub fn unsupported_version() -> Self {
        let spec = ApiKey::ApiVersions.spec();
        Self {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: vec![ApiVersion {
                api_key: spec.key.code(),
                min_version: spec.min,
                max_version: spec.max,
            }],
            ..Self::default()
        }
    }
}

/// One API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
pub struct ApiVersion {
    /// Its key.
    pub api_key: i16,
    /// Lowest version, inclusive.
    pub min_version: i16,
    /// Highest version, inclusive.
    pub max_version: i16,
}

/// A feature and the levels that the broker can run at.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SupportedFeatureKey {
    /// Name of the feature.
    pub name: String,
    /// Lowest level, inclusive.
    pub min_version: i16,
    /// Highest level, inclusive.
    pub max_version: i16,
}

/// A feature and the level that the cluster runs at.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FinalizedFeatureKey {
    /// Name of the feature.
    pub name: String,
    /// Highest level, inclusive.
    pub max_version_level: i16,
    /// Lowest level, inclusive.
    pub min_version_level: i16,
}

exchange!(ApiVersions: ApiVersionsRequest => ApiVersionsResponse);
