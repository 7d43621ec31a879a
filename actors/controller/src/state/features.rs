//! Raising and lowering the levels of features. Source: KIP-584, KIP-778.

use std::collections::BTreeMap;

use super::{Decision, Metadata};
use crate::features::{Feature, METADATA_VERSION};
use crate::messages::{FeatureUpdate, UpgradeType};
use crate::records::{MetadataRecord, Records};
use crate::refusal::UpdateFeaturesRefused;

impl Metadata {
    /// Changes all of the features or none; of one that comes twice, the last update counts.
    pub(crate) fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Decision<Result<(), UpdateFeaturesRefused>> {
        match self.changed_levels(updates) {
            Ok(records) if !validate_only => Decision {
                answer: Ok(()),
                records,
            },
            tried => Decision::unchanged(tried.map(|_| ())),
        }
    }

    fn changed_levels(&self, updates: &[FeatureUpdate]) -> Result<Records, UpdateFeaturesRefused> {
        let mut last = BTreeMap::new();
        for update in updates {
            let name = &update.feature;
            let feature = Feature::named(name)
                .ok_or_else(|| UpdateFeaturesRefused::UnknownFeature { name: name.clone() })?;
            last.insert(feature.name, (feature, update));
        }
        let mut records = Records::new();
        for (feature, update) in last.into_values() {
            self.check_level(feature, update)?;
            if update.level != self.image.feature_level(feature.name) {
                let (name, level) = (feature.name.to_owned(), update.level);
                records.push(MetadataRecord::FeatureLevelChanged { name, level });
            }
        }
        Ok(records)
    }

    fn check_level(
        &self,
        feature: &Feature,
        update: &FeatureUpdate,
    ) -> Result<(), UpdateFeaturesRefused> {
        let Feature { name, min, max, .. } = *feature;
        let Some(upgrade_type) = update.upgrade_type else {
            return Err(UpdateFeaturesRefused::UnknownUpgradeType { name });
        };
        let level = update.level;
        if level < min || level > max {
            return Err(UpdateFeaturesRefused::UnsupportedLevel {
                name,
                level,
                min,
                max,
            });
        }
        let current = self.image.feature_level(name);
        let is_upgrade = upgrade_type == UpgradeType::Upgrade;
        if (level < current && is_upgrade) || (level > current && !is_upgrade) {
            return Err(UpdateFeaturesRefused::WrongDirection {
                name,
                level,
                current,
            });
        }
        if level < current && name == METADATA_VERSION {
            return Err(UpdateFeaturesRefused::MetadataDowngrade { level, current });
        }
        Ok(())
    }
}
