//! Levels of features, and the epochs of the quorum.

use kabuki_protocol::ids::{LeaderEpoch, NodeId};

use super::Bench;
use crate::features::{FEATURES, Feature, GROUP_VERSION};
use crate::messages::{FeatureUpdate, UpgradeType};

/// Asks for `feature=level` with an upgrade type, several with commas between them; shows the levels
/// afterwards, or the refusal.
fn updated(bench: &mut Bench, asked: &str, upgrade_type: i8, validate_only: bool) -> String {
    let updates: Vec<FeatureUpdate> = asked
        .split(',')
        .map(|update| {
            let (feature, level) = update.split_once('=').unwrap();
            FeatureUpdate {
                feature: feature.to_owned(),
                level: level.parse().unwrap(),
                upgrade_type: UpgradeType::from_code(upgrade_type),
            }
        })
        .collect();
    let decision = bench.metadata.update_features(&updates, validate_only);
    match bench.take(decision) {
        Ok(()) => levels(bench),
        Err(refused) => refused.to_string(),
    }
}

fn levels(bench: &Bench) -> String {
    let image = &bench.metadata.image;
    let level =
        |feature: &Feature| format!("{}={}", feature.name, image.feature_level(feature.name));
    FEATURES.each_ref().map(level).join(" ")
}

#[test]
fn levels_go_where_the_upgrade_type_says_and_all_go_or_none() {
    let table = [
        ("group.version=1", 1, "group.version=1 metadata.version=30"),
        (
            "group.version=0",
            1,
            "group.version is at level 1, which an upgrade can not lower nor a downgrade raise to 0",
        ),
        (
            "group.version=0,nobody=1",
            2,
            "feature \"nobody\" is not supported",
        ),
        ("group.version=0", 2, "group.version=0 metadata.version=30"),
        ("group.version=0", 3, "group.version=0 metadata.version=30"),
        (
            "group.version=1",
            3,
            "group.version is at level 0, which an upgrade can not lower nor a downgrade raise to 1",
        ),
        ("group.version=1", 1, "group.version=1 metadata.version=30"),
        (
            "group.version=2",
            1,
            "group.version can not be set to 2: levels 0 to 1 are supported",
        ),
        (
            "group.version=-1",
            2,
            "group.version can not be set to -1: levels 0 to 1 are supported",
        ),
        (
            "group.version=1",
            0,
            "group.version can not be changed by an upgrade type that nobody knows",
        ),
        (
            "group.version=9,group.version=1",
            1,
            "group.version=1 metadata.version=30",
        ),
        (
            "group.version=1,group.version=9",
            1,
            "group.version can not be set to 9: levels 0 to 1 are supported",
        ),
        (
            "metadata.version=29",
            2,
            "metadata.version can not be lowered from 30 to 29: the metadata log would stay as it is",
        ),
        (
            "metadata.version=30",
            1,
            "group.version=1 metadata.version=30",
        ),
    ];
    let mut bench = Bench::with_brokers(1);
    for (asked, upgrade_type, expected) in table {
        assert_eq!(
            updated(&mut bench, asked, upgrade_type, false),
            expected,
            "{asked} by {upgrade_type}"
        );
    }
}

#[test]
fn a_trial_changes_nothing() {
    let mut bench = Bench::with_brokers(1);
    let tried = updated(&mut bench, "group.version=0", 2, true);
    assert_eq!(tried, "group.version=1 metadata.version=30");
    assert_eq!(bench.metadata.image.feature_level(GROUP_VERSION), 1);
}

#[test]
fn a_feature_that_nobody_knows_is_at_level_0() {
    let bench = Bench::with_brokers(1);
    assert_eq!(bench.metadata.image.feature_level("nobody.version"), 0);
}

#[test]
fn every_start_of_the_node_is_an_epoch_of_the_quorum() {
    let mut bench = Bench::with_brokers(1);
    let leader = |bench: &Bench| bench.metadata.image.quorum_leader();
    assert_eq!(leader(&bench), (NodeId(1), LeaderEpoch(1)));
    bench.register(1, 2, &[1]);
    assert_eq!(leader(&bench), (NodeId(1), LeaderEpoch(2)));
    bench.register(1, 2, &[1]);
    assert_eq!(
        leader(&bench),
        (NodeId(1), LeaderEpoch(2)),
        "the same start, told twice"
    );
}
