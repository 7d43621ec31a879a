//! The configuration of groups: what bounds it, and what of it judges consumer groups. Source: KIP-848.

use super::check::{ConfigRefused, check_group_value};
use super::layers::ConfigLayers;
use crate::broker_config::BrokerConfig;
use crate::image::ConfigOverrides;

/// A group key and the broker keys that bound it, both ends included.
struct Bound {
    key: &'static str,
    least: Option<&'static str>,
    most: &'static str,
}

const fn bound(key: &'static str, least: &'static str, most: &'static str) -> Bound {
    let least = Some(least);
    Bound { key, least, most }
}

const BOUNDS: [Bound; 13] = [
    bound(
        "consumer.assignment.interval.ms",
        "group.consumer.min.assignment.interval.ms",
        "group.consumer.max.assignment.interval.ms",
    ),
    bound(
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ),
    bound(
        "consumer.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
    ),
    bound(
        "share.assignment.interval.ms",
        "group.share.min.assignment.interval.ms",
        "group.share.max.assignment.interval.ms",
    ),
    bound(
        "share.delivery.count.limit",
        "group.share.min.delivery.count.limit",
        "group.share.max.delivery.count.limit",
    ),
    bound(
        "share.heartbeat.interval.ms",
        "group.share.min.heartbeat.interval.ms",
        "group.share.max.heartbeat.interval.ms",
    ),
    bound(
        "share.partition.max.record.locks",
        "group.share.min.partition.max.record.locks",
        "group.share.max.partition.max.record.locks",
    ),
    bound(
        "share.record.lock.duration.ms",
        "group.share.min.record.lock.duration.ms",
        "group.share.max.record.lock.duration.ms",
    ),
    bound(
        "share.session.timeout.ms",
        "group.share.min.session.timeout.ms",
        "group.share.max.session.timeout.ms",
    ),
    bound(
        "streams.assignment.interval.ms",
        "group.streams.min.assignment.interval.ms",
        "group.streams.max.assignment.interval.ms",
    ),
    bound(
        "streams.heartbeat.interval.ms",
        "group.streams.min.heartbeat.interval.ms",
        "group.streams.max.heartbeat.interval.ms",
    ),
    bound(
        "streams.session.timeout.ms",
        "group.streams.min.session.timeout.ms",
        "group.streams.max.session.timeout.ms",
    ),
    Bound {
        key: "streams.num.standby.replicas",
        least: None,
        most: "group.streams.max.standby.replicas",
    },
];

/// A session must be longer than the interval that keeps it alive.
const SESSIONS: [(&str, &str); 3] = [
    (
        "consumer.session.timeout.ms",
        "consumer.heartbeat.interval.ms",
    ),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    (
        "streams.session.timeout.ms",
        "streams.heartbeat.interval.ms",
    ),
];

impl Bound {
    fn range(&self, broker: &BrokerConfig) -> (i64, i64) {
        let least = self.least.map_or(i64::MIN, |key| broker.number(key));
        (least, broker.number(self.most))
    }
}

/// Checks a complete set of overrides of one group against the bounds that `layers` and `broker` hold.
///
/// # Errors
/// The first key that is unknown, has a value that its rule or the node forbids, or a session that is
/// not longer than its heart-beats' interval.
pub(crate) fn check_group_configs(
    configs: &ConfigOverrides,
    layers: &ConfigLayers<'_>,
    broker: &BrokerConfig,
) -> Result<(), ConfigRefused> {
    for (name, value) in configs {
        check_group_value(name, value)?;
    }
    for bound in &BOUNDS {
        let Some(value) = configs.get(bound.key) else {
            continue;
        };
        let (least, most) = bound.range(broker);
        let number = layers.group_i64(configs, bound.key);
        if !(least..=most).contains(&number) {
            return Err(ConfigRefused::InvalidValue {
                key: bound.key.to_owned(),
                value: value.clone(),
                cause: match bound.least {
                    Some(key) => format!(
                        "must be between {least} ({key}) and {most} ({})",
                        bound.most
                    ),
                    None => format!("must be at most {most} ({})", bound.most),
                },
            });
        }
    }
    for (session, heartbeat) in SESSIONS {
        let timeout_ms = layers.group_i64(configs, session);
        let interval_ms = layers.group_i64(configs, heartbeat);
        if timeout_ms <= interval_ms {
            return Err(ConfigRefused::Contradiction {
                key: session,
                value: timeout_ms,
                other: heartbeat,
                other_value: interval_ms,
            });
        }
    }
    Ok(())
}

/// What a consumer group is told and judged by, after all layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupTimes {
    /// `consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `consumer.assignment.interval.ms`.
    pub assignment_interval_ms: i32,
}

impl ConsumerGroupTimes {
    /// The values in effect for a group with these overrides. Overrides that were set under wider bounds
    /// are taken for the nearest value that the node allows, as in Kafka.
    pub fn effective(
        overrides: &ConfigOverrides,
        layers: &ConfigLayers<'_>,
        broker: &BrokerConfig,
    ) -> Self {
        let int = |key: &str| {
            let mut value = layers.group_i64(overrides, key);
            if overrides.contains_key(key)
                && let Some(bound) = BOUNDS.iter().find(|bound| bound.key == key)
            {
                let (least, most) = bound.range(broker);
                value = value.min(most).max(least);
            }
            // The validators keep each int key inside the range of its type.
            i32::try_from(value).unwrap_or(i32::MAX)
        };
        Self {
            session_timeout_ms: int("consumer.session.timeout.ms"),
            heartbeat_interval_ms: int("consumer.heartbeat.interval.ms"),
            assignment_interval_ms: int("consumer.assignment.interval.ms"),
        }
    }
}
