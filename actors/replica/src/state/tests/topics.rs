//! Topics that come, change and go.

use super::play;

#[test]
fn nothing_happens_before_image_and_scans_are_there() {
    play(
        "scan 0 |
         image orders=A 1@0/none |
         scan 1  | create orders-0 in 0",
    );
    play(
        "scan 0 |
         scan 1 |
         image orders=A 1@0/none | create orders-0 in 0",
    );
}

#[test]
fn a_new_partition_is_made_assigned_and_started() {
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none | create orders-0 in 0
         created orders-0        | assign A-0 d0; start orders-0 in 0
         image orders=A 1@0/d0   |
         recovered orders-0=A    |",
    );
}

#[test]
fn new_partitions_go_to_the_directory_with_the_fewest() {
    play(
        "scan 0 a-0=A a-1=A
         scan 1
         image a=A 1@0/d0 1@0/d0 b=B 1@0/none 1@0/none 1@0/none
         image a=A 1@0/d0 1@0/d0 b=B 1@0/none 1@0/none 1@0/none c=C 1@0/none | create c-0 in 1",
    );
    play(
        "scan 0 a-0=A a-1=A
         scan 1 b-0=B
         image a=A 1@0/d0 1@0/d0 b=B 1@0/d1 1@0/none 1@0/none | start b-0 in 1; create b-1 in 1; create b-2 in 0; start a-0 in 0; start a-1 in 0",
    );
}

#[test]
fn partitions_found_on_disk_are_started_where_they_are() {
    play(
        "scan 0
         scan 1 orders-0=A
         image orders=A 1@2/d1 | start orders-0 in 1",
    );
}

#[test]
fn a_directory_that_the_controller_does_not_know_of_is_assigned_until_it_does() {
    play(
        "scan 0
         scan 1 orders-0=A
         image orders=A 1@2/none | assign A-0 d1; start orders-0 in 1
         assign-again            | assign A-0 d1
         image orders=A 1@2/d1   |
         assign-again            |",
    );
    play(
        "scan 0
         scan 1 orders-0=A
         image orders=A 1@2/d0 | assign A-0 d1; start orders-0 in 1",
    );
}

#[test]
fn changes_of_leader_and_configuration_are_passed_on() {
    play(
        "scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0                     | start orders-0 in 0
         recovered orders-0=A                      |
         image orders=A 1@3/d0                     | lead orders-0@3
         image orders=A 2@4/d0                     | resign orders-0
         image orders=A 1@5/d0                     | lead orders-0@5
         image orders=A 1@5/d0 segment.bytes:2048  | reconfigure orders-0
         image orders=A 1@5/d0 segment.bytes:2048  |",
    );
}

#[test]
fn a_deleted_topic_leaves_and_its_name_can_be_used_again() {
    play(
        "scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0   | start orders-0 in 0
         image                   | remove orders-0=A from 0
         image orders=B 1@0/none |
         recovered orders-0=A    |
         left orders-0           | create orders-0 in 0
         created orders-0        | assign B-0 d0; start orders-0 in 0
         parked orders-0         | probe orders-0 in 1s; offline orders-0 (poisoned)",
    );
}

#[test]
fn a_topic_that_is_deleted_and_made_again_between_two_images_is_another_one() {
    play(
        "scan 0 orders-0=A orders-1=A
         scan 1
         image orders=A 1@2/d0 1@2/d0
         image orders=B 1@0/none | remove orders-0=A from 0; remove orders-1=A from 0
         left orders-1           |
         left orders-0           | create orders-0 in 0",
    );
}

#[test]
fn a_partition_that_is_being_made_leaves_when_that_is_done() {
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none | create orders-0 in 0
         image                   |
         image orders=B 1@0/none |
         created orders-0        | remove orders-0=A from 0
         left orders-0           | create orders-0 in 0",
    );
}

#[test]
fn a_partition_whose_making_failed_makes_room_for_the_next_of_its_name() {
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none | create orders-0 in 0
         image orders=B 1@0/none |
         not-made orders-0       | create orders-0 in 0",
    );
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none | create orders-0 in 0
         image orders=B 1@0/none |
         half-made orders-0      | remove orders-0=A from 0
         left orders-0           | create orders-0 in 0",
    );
}

#[test]
fn what_cannot_be_taken_off_is_tried_again() {
    play(
        "scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0   | start orders-0 in 0
         image orders=B 1@0/none | remove orders-0=A from 0
         probe orders-0          |
         not-left orders-0       | probe orders-0 in 1s
         probe orders-0          | remove orders-0=A from 0
         not-left orders-0       | probe orders-0 in 2s
         parked orders-0         |
         probe orders-0          | remove orders-0=A from 0
         left orders-0           | create orders-0 in 0",
    );
}

#[test]
fn a_keeper_that_restarts_takes_up_what_plays_on() {
    play(
        "playing orders-0 orders-1
         scan 0 orders-0=A orders-1=A
         scan 1
         image orders=A 1@2/d0 -1@3/d0  | start orders-0 in 0; start orders-1 in 0
         found orders-0=A 0 leading 2     |
         found orders-1=A 0 following 3   | online orders-1",
    );
    play(
        "playing orders-0
         scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0        | start orders-0 in 0
         found orders-0=A 0 following 1 | lead orders-0@2",
    );
    // The earlier keeper heard that the tail was cut and fell before it asked for an epoch.
    play(
        "playing orders-0
         scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0        | start orders-0 in 0
         found orders-0=A 0 following 2 | raise orders-0",
    );
    play(
        "playing orders-0
         scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0       | start orders-0 in 0
         found orders-0=A 0 no-space 2 | judge orders-0 1
         judge orders-0 1            | offline orders-0 (writes are refused for too long: no-space)",
    );
    play(
        "playing orders-0
         scan 0 orders-0=A
         scan 1
         image orders=A 1@2/d0 | start orders-0 in 0
         parked orders-0       | probe orders-0 in 1s; offline orders-0 (poisoned)",
    );
}

#[test]
fn a_keeper_that_restarts_takes_off_what_was_deleted_meanwhile() {
    play(
        "playing orders-0
         scan 0 orders-0=A
         scan 1
         image                   | remove orders-0=A from 0
         left orders-0           |",
    );
    play(
        "playing orders-0
         scan 0 orders-0=A
         scan 1
         image orders=B 1@0/none | remove orders-0=A from 0
         left orders-0           | create orders-0 in 0",
    );
    // Its directory is renamed already, and it is about to end or has ended.
    play(
        "playing orders-0
         scan 0
         scan 1
         image orders=B 1@0/none      | start orders-0 in 0
         found orders-0=A 1 leading 7 | remove orders-0=A from 1
         left orders-0                | create orders-0 in 0",
    );
    play(
        "playing orders-0
         scan 0
         scan 1
         image orders=B 1@0/none | start orders-0 in 0
         gone orders-0           | create orders-0 in 0",
    );
}

#[test]
fn a_keeper_that_restarts_believes_what_plays_rather_than_a_disk_it_cannot_read() {
    play(
        "playing orders-0 orders-1 orders-2 orders-3
         scan 0 failed
         scan 1 orders-2=! orders-3=?
         image orders=A 1@2/d0 1@2/none 1@2/none 1@2/none | start orders-0 in 0; start orders-1 in 0; start orders-2 in 1; start orders-3 in 1; rescan in 1s
         found orders-0=A 0 leading 2                     |
         found orders-1=A 0 leading 2                     | assign A-1 d0
         found orders-2=A 1 leading 2                     | assign A-2 d1
         gone orders-3                                    | create orders-3 in 1
         rescan                                           | scan 0; scan 1
         scan 1 orders-2=! orders-3=A                     | rescan in 2s
         scan 0 orders-0=A orders-1=A                     |",
    );
}
