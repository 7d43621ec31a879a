//! Random runs of clients, crashes and a log that refuses, with the promises of the crate checked at every step.

use std::collections::BTreeMap;

use kabuki_protocol::ids::TopicId;
use proptest::prelude::*;

use super::super::consumer::ConsumerImage;
use super::super::*;
use super::scene::Scene;
use crate::names::MemberId;
use crate::partitions::TopicPartitions;

/// What the last step saw, to be compared with the next.
#[derive(Default)]
struct Seen {
    group_epoch: i32,
    target_epoch: i32,
    generation: i32,
    member_epochs: BTreeMap<MemberId, i32>,
}

/// Two numbers choose what happens and to whom.
fn steps() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec((0..40u8, any::<u8>()), 1..120)
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens at one step, in the words of the scene.
fn command(what: u8, which: u8, scene: &Scene) -> String {
    let name = NAMES[usize::from(which % 4)];
    let topics = ["t", "u", "t,u", "v", "t,v"][usize::from(which / 4 % 5)];
    let fixed = ["", " static=i"][usize::from(which / 32 % 2)];
    let owned = match which / 64 {
        // The client has taken all that it was given, or has given up all; or says nothing.
        0 | 1 => " owned==",
        2 => " owned=",
        _ => "",
    };
    let all = "a=t/0,t/1 b=t/2,u/0 c=t/3 d=u/1,t/0";
    match what {
        0..=3 => format!("hb {name} join topics={topics}{fixed}"),
        4..=13 => format!("hb {name}{owned}"),
        14 => format!("hb {name} topics={topics}{owned}"),
        15 => format!("hb {name} epoch=-1"),
        16 => format!("hb {name} epoch=-2"),
        17 => format!("join {name} topics={topics}{fixed}"),
        18 | 19 => format!("join {name} v4 topics={topics}"),
        20 => format!("join {name} new topics={topics}{fixed}"),
        21..=23 => format!("sync {name} {all}"),
        24 | 25 => format!("beat {name}"),
        26 => format!("leave {name}"),
        27 | 28 => format!("store {name} t/0={which}"),
        29 => format!("store - t/1={which}"),
        30 => format!("wait {}", u32::from(which) * 10),
        31 => format!("wait {}", u32::from(which) * 1_000),
        32 => format!(
            "topic {} {}",
            ["t", "u", "v"][usize::from(which % 3)],
            which % 7 + 1
        ),
        33 => "expire".to_owned(),
        34 => "delete".to_owned(),
        35 => "search".to_owned(),
        36 => format!("hb {name} join regex=t|v"),
        37 if scene.appending.is_some() => "refuse".to_owned(),
        _ if scene.assign.is_some() && which.is_multiple_of(2) => "assign".to_owned(),
        _ if scene.appending.is_some() => "commit".to_owned(),
        38 => "rebuild".to_owned(),
        _ => format!("fetch t/{}", which % 4),
    }
}

/// No partition is assigned to two members, or waited for by one while another has it.
fn check_owners(group: &Group) -> Result<(), TestCaseError> {
    let image = &group.ledger.durable.consumer;
    let mut owners: BTreeMap<(TopicId, i32), &MemberId> = BTreeMap::new();
    for (id, current) in image.currents() {
        for (topic, partition, _) in current.assigned.iter().chain(current.revoking.iter()) {
            let other = owners.insert((topic, partition), id);
            prop_assert!(
                other.is_none(),
                "{topic}/{partition} is owned by {id} and {other:?}"
            );
            prop_assert_eq!(image.owner(topic, partition), Some(id));
        }
    }
    let mut targets: BTreeMap<(TopicId, i32), &MemberId> = BTreeMap::new();
    for (id, target) in image.targets() {
        for partition in target.iter() {
            prop_assert_eq!(
                targets.insert(partition, id),
                None,
                "a target has one owner"
            );
        }
    }
    Ok(())
}

/// Numbers that are kept from event to event are those that the records give.
fn check_numbers(scene: &Scene) -> Result<(), TestCaseError> {
    let image = &scene.group.ledger.durable.consumer;
    let target_epoch = image.target_epoch();
    let are_all_stable = image
        .members()
        .keys()
        .all(|id| consumer::is_reconciled(&image.current(id), target_epoch));
    prop_assert_eq!(image.are_all_stable(target_epoch), are_all_stable);
    let mut kept = image.clone();
    let mut anew = ConsumerImage::default();
    for (regex, value) in image.regexes() {
        anew.apply(Change::Regex(regex.clone(), Some(value.clone())));
    }
    for (id, value) in image.members() {
        anew.apply(Change::Member(id.clone(), Some(value.clone())));
    }
    prop_assert_eq!(
        kept.topics_hash(&scene.topics),
        anew.topics_hash(&scene.topics)
    );
    Ok(())
}

/// Epochs and generations rise; what was rolled back or lost may start again from what the log knows.
fn check_epochs(seen: &mut Seen, group: &Group) -> Result<(), TestCaseError> {
    let image = &group.ledger.durable.consumer;
    if let Kind::Classic(classic) = &group.kind {
        prop_assert!(
            classic.generation >= seen.generation,
            "the generation rises"
        );
        *seen = Seen {
            generation: classic.generation,
            ..Seen::default()
        };
        return Ok(());
    }
    prop_assert!(
        image.group_epoch() >= seen.group_epoch,
        "the group epoch rises"
    );
    prop_assert!(
        image.target_epoch() >= seen.target_epoch,
        "the target epoch rises"
    );
    prop_assert!(image.target_epoch() <= image.group_epoch());
    let mut member_epochs = BTreeMap::new();
    for (id, current) in image.currents() {
        prop_assert!(current.epoch <= image.target_epoch());
        let before = seen.member_epochs.get(id).copied().unwrap_or(0);
        prop_assert!(
            current.epoch >= before || current.epoch == -2,
            "the epoch of {id} rises"
        );
        member_epochs.insert(id.clone(), current.epoch.max(before));
    }
    *seen = Seen {
        group_epoch: image.group_epoch(),
        target_epoch: image.target_epoch(),
        generation: 0,
        member_epochs,
    };
    Ok(())
}

/// A new instance from the log knows what this one has committed.
fn check_replay(scene: &Scene) -> Result<(), TestCaseError> {
    let mut rebuilt = Scene::new();
    rebuilt.topics = scene.topics.clone();
    rebuilt.log = scene.log.clone();
    rebuilt.commits_at_once = false;
    rebuilt.rebuild();
    prop_assert_eq!(&rebuilt.group.ledger.durable, &scene.group.ledger.durable);
    match (&rebuilt.group.kind, &scene.group.kind) {
        (Kind::Classic(new), Kind::Classic(old)) if old.state == ClassicState::Stable => {
            prop_assert_eq!(new.generation, old.generation);
            prop_assert!(new.members.keys().eq(old.members.keys()));
            for (id, member) in &new.members {
                prop_assert_eq!(&member.assignment, &old.members[id].assignment);
            }
        }
        (Kind::Consumer(_), Kind::Consumer(_)) => {
            prop_assert_eq!(rebuilt.group.state(), scene.group.state());
        }
        _ => {}
    }
    Ok(())
}

/// Clients of the new protocol that are still members never believe to own the same partition.
fn check_clients(scene: &Scene) -> Result<(), TestCaseError> {
    let image = &scene.group.ledger.durable.consumer;
    let mut owners: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
    for (name, member) in &scene.members {
        let is_live = image
            .members()
            .get(&member.id)
            .is_some_and(|value| value.classic.is_none() && member.epoch > 0);
        if !is_live {
            continue;
        }
        for partition in member.owned.iter() {
            let other = owners.insert(partition, name);
            prop_assert!(
                other.is_none(),
                "{partition:?} is held by {name} and {other:?}"
            );
        }
    }
    Ok(())
}

/// True when the name belongs to a classic member of a consumer group.
fn is_classic(scene: &mut Scene, name: &str) -> bool {
    let Some(id) = scene.members.get(name).map(|member| member.id.clone()) else {
        return false;
    };
    let members = scene.group.ledger.durable.consumer.members();
    members
        .get(&id)
        .is_some_and(|member| member.classic.is_some())
}

/// Runs one command; a client takes what it is given and leaves what it is asked to.
fn perform(scene: &mut Scene, command: &str) -> String {
    let result = scene.perform(command);
    let words: Vec<&str> = command.split(' ').collect();
    if let ["hb", name, ..] = words[..] {
        let is_fenced = ["110", "25", "69", "82"]
            .iter()
            .any(|code| result.ends_with(code));
        if is_fenced || command.contains("epoch=-") {
            scene.member(name).owned = TopicPartitions::new();
        }
    }
    result
}

fn run(steps: &[(u8, u8)], commits_at_once: bool) -> Result<(), TestCaseError> {
    let mut scene = Scene::new();
    scene.commits_at_once = commits_at_once;
    scene.config.initial_rebalance_delay_ms = 500;
    if steps.len().is_multiple_of(2) {
        // All targets are computed elsewhere.
        scene.config.assignment_steps_max = 0;
    }
    let mut seen = Seen::default();
    for (at, (what, which)) in steps.iter().enumerate() {
        let command = command(*what, *which, &scene);
        let name = command.split(' ').nth(1).unwrap_or_default().to_owned();
        let command = match is_classic(&mut scene, &name) && !command.contains(" join ") {
            // A client speaks one protocol until it joins anew.
            true => command.replacen("hb ", "beat ", 1),
            false => command,
        };
        // A client that joins has given up all, and so has one that says it owns nothing.
        if command.contains(" join ") || command.ends_with(" owned=") {
            scene.member(&name).owned = TopicPartitions::new();
        }
        perform(&mut scene, &command);
        let is_new = scene.end == Some(End::Void);
        if is_new || matches!(&*command, "refuse" | "rebuild" | "delete" | "expire") {
            seen = Seen::default();
        }
        check_owners(&scene.group)?;
        check_numbers(&scene)?;
        check_epochs(&mut seen, &scene.group)?;
        if commits_at_once {
            check_clients(&scene)?;
        }
        // A replay reads the whole log: not at every step.
        if scene.appending.is_none() && at % 8 == 0 {
            check_replay(&scene)?;
        }
    }
    // Whoever still waits is answered at the end, and nobody twice (the scene checks that).
    while scene.appending.is_some() {
        scene.perform("commit");
    }
    check_replay(&scene)?;
    scene.perform("unload");
    prop_assert!(scene.open.is_empty(), "without an answer: {:?}", scene.open);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn promises_hold_while_every_append_is_committed_at_once(steps in steps()) {
        run(&steps, true)?;
    }

    #[test]
    fn promises_hold_while_appends_take_their_time_or_fail(steps in steps()) {
        run(&steps, false)?;
    }
}
