//! The tables of keys, and values laid over each other.
#![allow(clippy::unwrap_used)] // a test that can not go on fails

use std::collections::BTreeMap;

use kabuki_controller::catalogue::{
    CompressionType, ConfigKind, ConfigLayers, ConfigSource, TimestampType, TopicConfig,
    broker_key, broker_keys, check_topic_configs, group_keys, topic_key, topic_keys,
};
use kabuki_controller::image::ConfigOverrides;

fn overrides(pairs: &[(&str, &str)]) -> ConfigOverrides {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Layers from the topic down to the file.
fn layers(maps: &[ConfigOverrides; 4]) -> ConfigLayers<'_> {
    let [topic, dynamic_broker, dynamic_default, static_broker] = maps;
    ConfigLayers {
        topic: Some(topic),
        dynamic_broker,
        dynamic_default,
        static_broker,
    }
}

#[test]
fn the_tables_hold_every_key_of_kafka_4_3() {
    assert_eq!(topic_keys().len(), 33);
    let kafka = broker_keys()
        .iter()
        .filter(|key| !key.name.starts_with("kabuki."));
    assert_eq!(kafka.count(), 340);
    assert_eq!(group_keys().len(), 17);
    for keys in [topic_keys(), group_keys(), broker_keys()] {
        assert!(
            keys.is_sorted_by(|left, right| left.name < right.name),
            "no key stands twice"
        );
        for key in keys {
            assert!(key.documentation.ends_with('.'), "{}", key.name);
            assert!(!key.sensitive || key.default.is_none(), "{}", key.name);
            assert_eq!(
                key.kind == ConfigKind::Password,
                key.sensitive,
                "{}",
                key.name
            );
        }
    }
}

#[test]
fn every_default_passes_its_own_rule() {
    for key in topic_keys()
        .iter()
        .filter(|key| !key.default.unwrap_or("").is_empty())
    {
        let configs = overrides(&[(key.name, key.default.unwrap())]);
        assert_eq!(check_topic_configs(&configs), Ok(()), "{}", key.name);
    }
    for key in broker_keys() {
        // Keys that speak of identity or of peers are not set by themselves.
        if ["broker.id", "connections.max.reauth.ms"].contains(&key.name) {
            continue;
        }
        let Some(default) = key.default else { continue };
        let values = BTreeMap::from([(key.name.to_owned(), default.to_owned())]);
        if !default.is_empty() {
            let parsed = kabuki_controller::BrokerConfig::parse(values);
            assert!(parsed.is_ok(), "{}: {:?}", key.name, parsed.err());
        }
    }
}

#[test]
fn topic_defaults_are_those_of_their_broker_keys() {
    for key in topic_keys() {
        for synonym in &key.synonyms {
            let broker = broker_key(synonym.name).unwrap_or_else(|| panic!("{}", synonym.name));
            let Some(default) = broker.default else {
                continue;
            };
            // Where the synonym's default is another key's affair (flush.scheduler), it is the largest.
            let scaled = match default.parse::<i64>() {
                Ok(number) => number.saturating_mul(synonym.factor).to_string(),
                Err(_) => default.to_owned(),
            };
            assert_eq!(
                Some(&*scaled),
                key.default,
                "{} through {}",
                key.name,
                synonym.name
            );
        }
    }
}

#[test]
fn the_effective_configuration_of_an_untouched_topic_is_kafkas() {
    let maps: [ConfigOverrides; 4] = Default::default();
    let config = TopicConfig::effective(&layers(&maps));
    assert!(config.cleanup_policy.delete && !config.cleanup_policy.compact);
    assert_eq!(config.compression, CompressionType::Producer);
    assert_eq!(config.segment_bytes, 1 << 30);
    assert_eq!(config.retention_ms, 604_800_000);
    assert_eq!(config.retention_bytes, -1);
    assert_eq!(config.max_message_bytes, 1_048_588);
    assert_eq!(config.min_insync_replicas, 1);
    assert_eq!(config.flush_messages, i64::MAX);
    assert_eq!(config.flush_ms, i64::MAX);
    assert_eq!(config.message_timestamp_type, TimestampType::CreateTime);
    assert_eq!(config.message_timestamp_before_max_ms, i64::MAX);
    assert_eq!(config.message_timestamp_after_max_ms, 3_600_000);
    assert!(!config.unclean_leader_election_enable && !config.preallocate);
}

#[test]
fn layers_lie_over_each_other_as_in_kafka() {
    // Key; value in topic, dynamic broker, dynamic default, file; effective value.
    type Layer = &'static [(&'static str, &'static str)];
    let cases: [(&str, [Layer; 4], &str); 11] = [
        (
            "retention.ms",
            [&[], &[], &[], &[("log.retention.hours", "2")]],
            "7200000",
        ),
        (
            "retention.ms",
            [&[], &[], &[], &[("log.retention.hours", "-1")]],
            "-1",
        ),
        (
            "retention.ms",
            [
                &[],
                &[],
                &[],
                &[("log.retention.hours", "2"), ("log.retention.minutes", "3")],
            ],
            "180000",
        ),
        (
            "retention.ms",
            [
                &[],
                &[],
                &[("log.retention.ms", "5")],
                &[("log.retention.minutes", "3")],
            ],
            "5",
        ),
        (
            "retention.ms",
            [
                &[],
                &[("log.retention.ms", "4")],
                &[("log.retention.ms", "5")],
                &[],
            ],
            "4",
        ),
        (
            "retention.ms",
            [
                &[("retention.ms", "3")],
                &[("log.retention.ms", "4")],
                &[],
                &[],
            ],
            "3",
        ),
        (
            "max.message.bytes",
            [&[], &[], &[], &[("message.max.bytes", "77")]],
            "77",
        ),
        (
            "flush.ms",
            [&[], &[], &[], &[("log.flush.scheduler.interval.ms", "9")]],
            "9",
        ),
        (
            "compression.type",
            [&[], &[], &[("compression.type", "zstd")], &[]],
            "zstd",
        ),
        (
            "preallocate",
            [&[("preallocate", "TRUE")], &[], &[], &[]],
            "true",
        ),
        // A stored value that no rule passes any more is passed over.
        (
            "segment.bytes",
            [&[("segment.bytes", "12")], &[], &[], &[]],
            "1073741824",
        ),
    ];
    for (key, maps, expected) in cases {
        let maps = maps.map(overrides);
        assert_eq!(layers(&maps).effective(key), expected, "{key} of {maps:?}");
    }
}

#[test]
fn a_broker_key_behind_a_topic_key_is_its_default_from_every_layer() {
    let candidates = [
        "5",
        "1048577",
        "1",
        "true",
        "zstd",
        "compact",
        "LogAppendTime",
    ];
    let mut pair_count = 0;
    for key in topic_keys() {
        for synonym in &key.synonyms {
            let fits = |value: &&str| {
                let value = (*value).to_owned();
                let set = BTreeMap::from([(synonym.name.to_owned(), value.clone())]);
                let is_other = broker_key(synonym.name).unwrap().default != Some(&*value);
                is_other && kabuki_controller::BrokerConfig::parse(set).is_ok()
            };
            let value = candidates
                .into_iter()
                .find(fits)
                .unwrap_or_else(|| panic!("{}", key.name));
            let expected = match value.parse::<i64>() {
                Ok(number) => (number * synonym.factor).to_string(),
                Err(_) => value.to_owned(),
            };
            for layer in 1..4 {
                let mut maps: [ConfigOverrides; 4] = Default::default();
                maps[layer] = overrides(&[(synonym.name, value)]);
                let effective = layers(&maps).effective(key.name);
                let number = |text: &str| text.parse::<f64>().ok();
                assert!(
                    effective == expected || number(&effective) == number(&expected),
                    "{} = {value} in layer {layer}: {} is {effective}",
                    synonym.name,
                    key.name
                );
            }
            pair_count += 1;
        }
    }
    assert_eq!(pair_count, 33, "of all topic keys together");
}

#[test]
fn describe_configs_tells_source_and_synonyms() {
    let maps = [
        overrides(&[("cleanup.policy", "compact")]),
        overrides(&[("message.max.bytes", "50")]),
        overrides(&[("message.max.bytes", "60")]),
        overrides(&[
            ("log.retention.hours", "1"),
            ("log.cleanup.policy", "delete,compact"),
        ]),
    ];
    let entries = layers(&maps).describe_topic();
    let shown = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        let synonyms = entry.synonyms.iter().map(|synonym| {
            let value = synonym.value.as_deref().unwrap_or("null");
            format!("{}={value}@{}", synonym.name, synonym.source.code())
        });
        let value = entry.value.as_deref().unwrap_or("null");
        let synonyms = synonyms.collect::<Vec<_>>().join(" ");
        format!("{value}@{} {synonyms}", entry.source.code())
    };
    assert_eq!(
        shown("cleanup.policy"),
        "compact@1 cleanup.policy=compact@1 log.cleanup.policy=delete,compact@4 log.cleanup.policy=delete@5"
    );
    assert_eq!(
        shown("max.message.bytes"),
        "50@2 message.max.bytes=50@2 message.max.bytes=60@3 message.max.bytes=1048588@5"
    );
    assert_eq!(shown("retention.ms"), "3600000@5 ");
    assert_eq!(shown("flush.ms"), "9223372036854775807@5 ");
    assert_eq!(entries.len(), 33);
}

#[test]
fn sensitive_values_are_never_shown() {
    let maps = [
        ConfigOverrides::new(),
        ConfigOverrides::new(),
        ConfigOverrides::new(),
        overrides(&[("ssl.key.password", "hunter2"), ("node.id", "4")]),
    ];
    let entries = ConfigLayers {
        topic: None,
        ..layers(&maps)
    }
    .describe_broker();
    assert_eq!(entries.len(), broker_keys().len());
    assert!(!format!("{entries:?}").contains("hunter2"));
    let find = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
    let password = find("ssl.key.password");
    assert!(password.is_sensitive && password.value.is_none());
    assert_eq!(password.source, ConfigSource::StaticBroker);
    let node = find("node.id");
    assert_eq!((node.value.as_deref(), node.read_only), (Some("4"), true));
    assert_eq!(find("fetch.max.bytes").value.as_deref(), Some("57671680"));
}

#[test]
fn codecs_take_their_own_level() {
    let table = [
        (
            "gzip",
            "compression.gzip.level",
            "6",
            CompressionType::Gzip { level: 6 },
        ),
        (
            "lz4",
            "compression.lz4.level",
            "3",
            CompressionType::Lz4 { level: 3 },
        ),
        (
            "zstd",
            "compression.zstd.level",
            "-7",
            CompressionType::Zstd { level: -7 },
        ),
        (
            "snappy",
            "compression.zstd.level",
            "1",
            CompressionType::Snappy,
        ),
        (
            "uncompressed",
            "compression.zstd.level",
            "1",
            CompressionType::Uncompressed,
        ),
    ];
    for (codec, key, level, expected) in table {
        let topic = overrides(&[("compression.type", codec), (key, level)]);
        let maps = [
            topic,
            Default::default(),
            Default::default(),
            Default::default(),
        ];
        assert_eq!(TopicConfig::effective(&layers(&maps)).compression, expected);
    }
    assert_eq!(topic_key("compression.gzip.level").unwrap().kind.code(), 3);
}
