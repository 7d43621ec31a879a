//! What the node's configuration says about groups.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::catalogue::{ConfigLayers, ConsumerGroupTimes};
use kabuki_controller::image::MetadataImage;
use kabuki_protocol::records::Compression;

use crate::config::{GroupConfig, MigrationPolicy};

/// Settings of coordinators beside those of single groups.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// For groups without settings of their own.
    pub(crate) group: GroupConfig,
    broker: Arc<BrokerConfig>,
    /// `offsets.commit.timeout.ms`.
    pub(crate) commit_timeout: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub(crate) retention_check: Duration,
    /// `offsets.topic.num.partitions`.
    pub(crate) partition_count: i32,
    /// `offsets.topic.replication.factor`, at most as many as there are brokers.
    pub(crate) replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub(crate) segment_bytes: i64,
    /// `offsets.topic.compression.codec`.
    pub(crate) compression: Compression,
}

impl Settings {
    pub(crate) fn of(config: &Arc<BrokerConfig>) -> Self {
        let int = |key: &str| i32::try_from(config.number(key)).unwrap_or(i32::MAX);
        let count = |key: &str| usize::try_from(config.number(key)).unwrap_or(0);
        let millis = |key: &str| Duration::from_millis(config.number(key).max(1).unsigned_abs());
        let group = GroupConfig {
            session_timeout_ms_min: int("group.min.session.timeout.ms"),
            session_timeout_ms_max: int("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms").max(0),
            classic_size_max: count("group.max.size"),
            consumer_session_timeout_ms: int("group.consumer.session.timeout.ms"),
            consumer_heartbeat_interval_ms: int("group.consumer.heartbeat.interval.ms"),
            consumer_size_max: count("group.consumer.max.size"),
            consumer_assignment_interval_ms: int("group.consumer.assignment.interval.ms"),
            migration_policy: migration_policy(config),
            offset_metadata_bytes_max: count("offset.metadata.max.bytes"),
            offsets_retention_ms: config
                .number("offsets.retention.minutes")
                .saturating_mul(60_000),
            ..GroupConfig::default()
        };
        Self {
            group,
            broker: config.clone(),
            commit_timeout: millis("offsets.commit.timeout.ms"),
            retention_check: millis("offsets.retention.check.interval.ms"),
            partition_count: int("offsets.topic.num.partitions").max(1),
            replication_factor: i16::try_from(config.number("offsets.topic.replication.factor"))
                .unwrap_or(i16::MAX)
                .max(1),
            segment_bytes: config.number("offsets.topic.segment.bytes"),
            compression: compression(config.number("offsets.topic.compression.codec")),
        }
    }

    /// What one group is judged by: what the node was started with, what was changed on it since, and
    /// what is set on the group.
    pub(crate) fn of_group(&self, group: &str, image: &MetadataImage) -> Cow<'_, GroupConfig> {
        let overrides = image.group_overrides(group);
        let layers = ConfigLayers::of_broker(image, &self.broker);
        // Of nearly all groups nothing is set, and no request should pay for it.
        let layered = [overrides, layers.dynamic_broker, layers.dynamic_default];
        if layered.iter().all(|layer| layer.is_empty()) {
            return Cow::Borrowed(&self.group);
        }
        let times = ConsumerGroupTimes::effective(overrides, &layers, &self.broker);
        Cow::Owned(GroupConfig {
            consumer_session_timeout_ms: times.session_timeout_ms,
            consumer_heartbeat_interval_ms: times.heartbeat_interval_ms,
            consumer_assignment_interval_ms: times.assignment_interval_ms,
            ..self.group.clone()
        })
    }
}

fn migration_policy(config: &BrokerConfig) -> MigrationPolicy {
    let policy = config
        .text("group.consumer.migration.policy")
        .unwrap_or_default();
    match policy.to_ascii_lowercase().as_str() {
        "disabled" => MigrationPolicy::Disabled,
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        _ => MigrationPolicy::Bidirectional,
    }
}

/// Numbers of Kafka's codecs; an unknown one is none, as Kafka's default.
fn compression(codec: i64) -> Compression {
    match codec {
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        _ => Compression::None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings(values: &[(&str, &str)]) -> Settings {
        let values = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let (config, _) = BrokerConfig::parse(values.collect()).expect("a sound configuration");
        Settings::of(&Arc::new(config))
    }

    #[test]
    fn keys_of_the_node_are_what_its_groups_are_judged_by() {
        let settings = settings(&[
            ("group.min.session.timeout.ms", "11"),
            ("group.max.session.timeout.ms", "12"),
            ("group.consumer.session.timeout.ms", "46000"),
            ("group.consumer.heartbeat.interval.ms", "6000"),
            ("group.consumer.assignment.interval.ms", "17"),
            ("offsets.commit.timeout.ms", "18"),
            ("offsets.topic.compression.codec", "4"),
        ]);
        let group = &settings.group;
        assert_eq!(
            (group.session_timeout_ms_min, group.session_timeout_ms_max),
            (11, 12)
        );
        assert_eq!(group.consumer_session_timeout_ms, 46_000);
        assert_eq!(group.consumer_heartbeat_interval_ms, 6_000);
        assert_eq!(group.consumer_assignment_interval_ms, 17);
        assert_eq!(settings.commit_timeout, Duration::from_millis(18));
        assert_eq!(settings.compression, Compression::Zstd);
    }

    #[test]
    fn what_is_set_on_a_group_is_brought_within_the_bounds_of_the_node() {
        let bounds = [
            ("session.timeout.ms", "50000", "55000"),
            ("heartbeat.interval.ms", "6000", "7000"),
            ("assignment.interval.ms", "20", "30"),
        ];
        let mut values = BTreeMap::new();
        for (key, least, most) in bounds {
            values.insert(format!("group.consumer.min.{key}"), least.to_owned());
            values.insert(format!("group.consumer.max.{key}"), most.to_owned());
        }
        let (config, _) = BrokerConfig::parse(values).expect("a sound configuration");
        let image = MetadataImage::empty("");
        let layers = ConfigLayers::of_broker(&image, &config);
        for (value, expected) in [("1", [50_000, 6_000, 20]), ("99999", [55_000, 7_000, 30])] {
            let set = bounds.map(|(key, ..)| (format!("consumer.{key}"), value.to_owned()));
            let times = ConsumerGroupTimes::effective(&set.into_iter().collect(), &layers, &config);
            let times = [
                times.session_timeout_ms,
                times.heartbeat_interval_ms,
                times.assignment_interval_ms,
            ];
            assert_eq!(times, expected);
        }
    }
}
