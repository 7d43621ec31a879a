//! UpdateFeatures (key 57): raises or lowers the levels of features. Versions 0 to 2.
//!
//! All features of a request get their level or none, and the answer as a whole tells which. At level 0
//! of `group.version` the new protocol of consumer groups is refused with 35; groups and their offsets
//! stay.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | the kind of change; a trial |
//! | 2 | no results of single features |
//!
//! Source: KIP-584, KIP-778, KIP-1022.

use kabuki_controller::messages::{FeatureUpdate, UpdateFeatures, UpgradeType};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::admin_wait;
use crate::ports::ask;
use crate::refusals::{change_unanswered, code_of};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: UpdateFeaturesRequest, context: RequestContext) -> Answer {
    let names: Vec<String> = request
        .feature_updates
        .iter()
        .map(|update| update.feature.clone())
        .collect();
    let updates = request.feature_updates.into_iter().map(update).collect();
    let validate_only = request.validate_only;
    let wait = admin_wait(request.timeout_ms);
    let controller = &context.services.controller.update_features;
    let answered = ask(controller, wait, |reply| UpdateFeatures {
        updates,
        validate_only,
        reply,
    })
    .await;
    let (code, message) = match answered {
        Ok(Ok(())) => {
            return context.reply(&UpdateFeaturesResponse {
                results: names.into_iter().map(result).collect(),
                ..UpdateFeaturesResponse::default()
            });
        }
        Ok(Err(refused)) => (code_of(&refused), refused.to_string()),
        Err(error) => {
            let code = change_unanswered(error);
            (code, code.message().to_owned())
        }
    };
    context.reply(&UpdateFeaturesResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..UpdateFeaturesResponse::default()
    })
}

fn update(asked: FeatureUpdateKey) -> FeatureUpdate {
    FeatureUpdate {
        feature: asked.feature,
        level: asked.max_version_level,
        upgrade_type: UpgradeType::from_code(asked.upgrade_type),
    }
}

fn result(feature: String) -> UpdatableFeatureResult {
    UpdatableFeatureResult {
        feature,
        error_code: ErrorCode::None.code(),
        // As in Kafka, which has a text for success, too.
        error_message: Some("NONE".to_owned()),
    }
}
