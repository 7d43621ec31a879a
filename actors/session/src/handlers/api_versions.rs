//! ApiVersions (key 18): which APIs, versions and features this node serves. Versions 0 to 4; any
//! other is answered in version 0 with error 35 and this API's own range (KIP-511), see `start`.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | name and version of the client are checked; features |
//! | 4 | features whose lowest version is 0 are shown |
//!
//! Only what is built is named: clients switch behaviour on presence. So `transaction.version`, which
//! would put Java on transactions of the second kind, is absent.

use kabuki_controller::features::FEATURES;
use kabuki_protocol::api::APIS;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::Started;
use crate::request::RequestContext;

pub(super) fn answer(request: &ApiVersionsRequest, context: &RequestContext) -> Started {
    let is_named = |text: &str| is_software_text(text);
    if context.version >= 3
        && !(is_named(&request.client_software_name) && is_named(&request.client_software_version))
    {
        let refused = ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        };
        return Started::Answered(context.reply(&refused));
    }
    let api_keys = APIS
        .iter()
        .map(|api| ApiVersion {
            api_key: api.key.code(),
            min_version: api.min,
            max_version: api.max,
        })
        .collect();
    let shows_all = context.version >= 4;
    let supported = FEATURES
        .iter()
        .filter(|feature| shows_all || feature.min > 0)
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_owned(),
            min_version: feature.min,
            max_version: feature.max,
        });
    let image = context.services.image();
    let levels = FEATURES
        .iter()
        .map(|feature| (feature.name, image.feature_level(feature.name)));
    let finalized =
        levels
            .filter(|(_, level)| *level > 0)
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.to_owned(),
                max_version_level: level,
                min_version_level: level,
            });
    Started::Answered(context.reply(&ApiVersionsResponse {
        api_keys,
        supported_features: supported.collect(),
        // Below 0 clients take the list for unknown.
        finalized_features_epoch: image.offset().max(0),
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    }))
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_text(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| is_inner(*byte))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_names_follow_kafkas_pattern() {
        for good in ["a", "librdkafka", "apache-kafka-java", "4.3.0", "1-a.b"] {
            assert!(is_software_text(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "a_b", "ä"] {
            assert!(!is_software_text(bad), "{bad}");
        }
    }
}
