//! What partitions, supervisor and controller say.

use super::play;

/// `orders-0` on stage, led by this node in epoch 2.
fn play_on_stage(table: &str) {
    let on_stage = "scan 0 orders-0=A
                    scan 1
                    image orders=A 1@2/d0
                    recovered orders-0=A |";
    play(&format!("{on_stage}\n{table}"));
}

#[test]
fn a_parked_partition_is_offline_until_it_was_brought_back() {
    play_on_stage(
        "failed orders-0=A      |
         parked orders-0        | probe orders-0 in 1s; offline orders-0 (poisoned)
         image orders=A -1@3/d0 |
         probe orders-0         | revive orders-0
         recovered orders-0=A   | trust orders-0 2; online orders-0
         image orders=A 1@4/d0  | lead orders-0@4",
    );
}

#[test]
fn one_that_falls_at_every_try_is_tried_ever_more_rarely() {
    play_on_stage(
        "parked orders-0      | probe orders-0 in 1s; offline orders-0 (poisoned)
         probe orders-0       | revive orders-0
         recovered orders-0=A | trust orders-0 2
         parked orders-0      | probe orders-0 in 2s
         trust orders-0 2     |
         probe orders-0       | revive orders-0
         parked orders-0      | probe orders-0 in 4s
         probe orders-0       | revive orders-0
         parked orders-0      | probe orders-0 in 8s
         probe orders-0       | revive orders-0
         recovered orders-0=A | trust orders-0 6
         trust orders-0 6     |
         parked orders-0      | probe orders-0 in 1s",
    );
}

#[test]
fn one_that_was_brought_back_with_its_group_is_not_parked() {
    play_on_stage(
        "parked orders-0        | probe orders-0 in 1s; offline orders-0 (poisoned)
         image orders=A -1@3/d0 |
         recovered orders-0=A   | trust orders-0 2; online orders-0
         probe orders-0         |",
    );
}

#[test]
fn a_partition_whose_directory_is_gone_is_offline_at_once() {
    play_on_stage(
        "gone orders-0=A        | offline orders-0 (no directory)
         gone orders-0=A        |
         image orders=A -1@3/d0 | resign orders-0
         parked orders-0        | probe orders-0 in 1s
         probe orders-0         | revive orders-0
         gone orders-0=A        |
         parked orders-0        | probe orders-0 in 2s
         probe orders-0         | revive orders-0
         recovered orders-0=A   | trust orders-0 6; online orders-0",
    );
}

#[test]
fn writes_refused_for_too_long_take_the_leadership() {
    play_on_stage(
        "degraded orders-0=A    | judge orders-0 1
         judge orders-0 1       | offline orders-0 (writes are refused for too long: no space)
         image orders=A -1@3/d0 | resign orders-0
         healed orders-0=A      | trust orders-0 3; online orders-0
         image orders=A 1@4/d0  | lead orders-0@4
         degraded orders-0=A    | offline orders-0 (writes are refused for too long: no space)
         image orders=A -1@5/d0 | resign orders-0
         healed orders-0=A      | trust orders-0 6; online orders-0
         trust orders-0 3       |
         trust orders-0 6       |
         image orders=A 1@6/d0  | lead orders-0@6
         degraded orders-0=A    | judge orders-0 7",
    );
}

#[test]
fn each_time_of_refused_writes_is_judged_by_itself() {
    play_on_stage(
        "degraded orders-0=A  | judge orders-0 1
         healed orders-0=A    |
         judge orders-0 1     |
         degraded orders-0=A  | judge orders-0 2
         judge orders-0 1     |
         judge orders-0 2     | offline orders-0 (writes are refused for too long: no space)",
    );
    play_on_stage(
        "degraded orders-0=A  | judge orders-0 1
         recovered orders-0=A |
         judge orders-0 1     |",
    );
}

#[test]
fn a_suspect_state_is_offline_for_a_pause() {
    play_on_stage(
        "suspect orders-0=A     | probe orders-0 in 1s; offline orders-0 (its state crashes every batch)
         image orders=A -1@3/d0 | resign orders-0
         probe orders-0         | trust orders-0 2; online orders-0
         image orders=A 1@4/d0  | lead orders-0@4
         suspect orders-0=A     | probe orders-0 in 2s; offline orders-0 (its state crashes every batch)",
    );
}

#[test]
fn lost_records_ask_for_a_greater_epoch_until_it_comes() {
    play_on_stage(
        "cut orders-0=A 2       | raise orders-0
         recovered orders-0=A   |
         refused orders-0=A     | ask-again orders-0 in 1s
         ask-again orders-0     | raise orders-0
         refused orders-0=A     | ask-again orders-0 in 2s
         ask-again orders-0     | raise orders-0
         image orders=A 1@3/d0  | lead orders-0@3
         granted orders-0=A     |
         ask-again orders-0     |",
    );
    // The order is on its way already.
    play_on_stage(
        "image orders=A 1@3/d0 | lead orders-0@3
         cut orders-0=A 2      |",
    );
}

#[test]
fn a_refused_request_is_made_again_unless_it_has_become_pointless() {
    play_on_stage(
        "parked orders-0      | probe orders-0 in 1s; offline orders-0 (poisoned)
         refused orders-0=A   | ask-again orders-0 in 1s
         ask-again orders-0   | offline orders-0 (poisoned)
         probe orders-0       | revive orders-0
         recovered orders-0=A | trust orders-0 2
         refused orders-0=A   | ask-again orders-0 in 2s
         ask-again orders-0   |",
    );
}

#[test]
fn what_is_asked_once_is_not_asked_twice() {
    play_on_stage(
        "parked orders-0        | probe orders-0 in 1s; offline orders-0 (poisoned)
         granted orders-0=A     | offline orders-0 (poisoned)
         image orders=A -1@3/d0 |
         granted orders-0=A     |
         probe orders-0         | revive orders-0
         recovered orders-0=A   | trust orders-0 2; online orders-0
         image orders=A -1@3/d0 |
         recovered orders-0=A   | trust orders-0 3",
    );
}

#[test]
fn news_of_a_deleted_topic_are_not_taken_for_its_heirs() {
    play_on_stage(
        "image orders=B -1@0/none | remove orders-0=A from 0
         left orders-0            | create orders-0 in 0
         created orders-0         | assign B-0 d0; start orders-0 in 0
         gone orders-0=A          |
         recovered orders-0=A     |
         recovered orders-0=B     | online orders-0",
    );
}
