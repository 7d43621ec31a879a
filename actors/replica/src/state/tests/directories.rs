//! Missing, doubled, stray and failed directories.

use super::play;

#[test]
fn a_directory_that_was_assigned_and_is_gone_is_never_made_again() {
    play(
        "scan 0
         scan 1
         image orders=A 1@2/d0  | offline orders-0 (the directory of the partition is gone); rescan in 1s
         image orders=A -1@3/d0 |
         rescan                 | scan 0; scan 1
         scan 0                 |
         scan 1                 | rescan in 2s
         rescan                 | scan 0; scan 1
         scan 1                 |
         scan 0 orders-0=A      | start orders-0 in 0
         recovered orders-0=A   | online orders-0",
    );
}

#[test]
fn a_directory_without_its_metadata_file_is_as_good_as_gone() {
    play(
        "scan 0 orders-0=?
         scan 1
         image orders=A 1@2/d0 | offline orders-0 (the directory of the partition is empty, unreadable or another topic's); rescan in 1s",
    );
}

#[test]
fn a_creation_that_was_interrupted_is_finished_in_its_place() {
    play(
        "scan 0 a-0=B
         scan 1 a-0=?
         image b=C 1@0/none a=A 1@0/none",
    );
    play(
        "scan 0
         scan 1 orders-0=?
         image orders=A 1@0/none | create orders-0 in 1",
    );
}

#[test]
fn a_partition_in_two_directories_is_refused_until_one_is_gone() {
    play(
        "scan 0 orders-0=A
         scan 1 orders-0=A
         image orders=A 1@2/d0  | offline orders-0 (the partition lies in several log directories); rescan in 1s
         image orders=A -1@3/d0 |
         rescan                 | scan 0; scan 1
         scan 0                 |
         scan 1 orders-0=A      | assign A-0 d1; start orders-0 in 1
         recovered orders-0=A   | online orders-0",
    );
}

#[test]
fn directories_of_unknown_topics_are_put_aside_once() {
    play(
        "scan 0 orders-0=A old-0=X lost-0=?
         scan 1 orders-0=Y
         image orders=A 1@2/d0 | aside lost-0 in 0; aside old-0 in 0; aside orders-0 in 1
         aside old-0 0         |
         aside orders-0 1      | start orders-0 in 0
         image orders=A 1@2/d0 |",
    );
}

#[test]
fn a_stray_that_cannot_be_put_aside_is_met_again_at_the_next_search() {
    play(
        "scan 0 old-0=X
         scan 1
         image             | aside old-0 in 0
         not-aside old-0 0 | rescan in 1s
         image             |
         rescan            | scan 0; scan 1
         scan 0 old-0=X    | aside old-0 in 0
         aside old-0 0     |
         scan 1            |",
    );
}

#[test]
fn a_new_partition_waits_until_the_stray_of_its_name_is_aside() {
    play(
        "scan 0 orders-0=X
         scan 1 a-0=B
         image a=B 1@0/d1 orders=A 1@0/none | aside orders-0 in 0; start a-0 in 1
         aside orders-0 0                   | create orders-0 in 0",
    );
    // It cannot be put aside: the place is tried once more, and then another one.
    play(
        "scan 0 orders-0=X
         scan 1 a-0=B a-1=B
         image orders=A 1@0/none a=B 1@0/d1 1@0/d1 | aside orders-0 in 0; start a-0 in 1; start a-1 in 1
         not-aside orders-0 0                      | rescan in 1s; aside orders-0 in 0
         not-aside orders-0 0                      | create orders-0 in 1; offline orders-0 (read-only)
         created orders-0                          | assign A-0 d1; start orders-0 in 1",
    );
}

#[test]
fn a_topic_deleted_while_room_is_made_for_it_leaves_nothing_behind() {
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none | create orders-0 in 0
         occupied orders-0       | aside orders-0 in 0; offline orders-0 (has records)
         image                   |
         image orders=B 1@0/none |
         aside orders-0 0        | create orders-0 in 0",
    );
}

#[test]
fn a_directory_that_refuses_is_passed_over_and_all_are_tried_again_after_a_pause() {
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none  | create orders-0 in 0
         not-made orders-0        | create orders-0 in 1; offline orders-0 (read-only)
         not-made orders-0        | probe orders-0 in 1s
         image orders=A -1@1/none |
         probe orders-0           | create orders-0 in 0
         not-made orders-0        | create orders-0 in 1
         created orders-0         | assign A-0 d1; start orders-0 in 1
         recovered orders-0=A     | trust orders-0 4; online orders-0",
    );
}

#[test]
fn a_half_made_directory_is_finished_where_it_is_and_nowhere_else() {
    play(
        "scan 0
         scan 1
         image orders=A 1@0/none  | create orders-0 in 0
         half-made orders-0       | probe orders-0 in 1s; offline orders-0 (bad sync)
         probe orders-0           | create orders-0 in 0
         half-made orders-0       | probe orders-0 in 2s
         probe orders-0           | create orders-0 in 0
         not-made orders-0        | probe orders-0 in 4s",
    );
}

#[test]
fn a_failed_directory_leaves_the_others_serving_and_is_tried_again() {
    play(
        "scan 0 failed
         scan 1 b-0=B
         image a=A 1@2/d0 b=B 1@2/d1              | start b-0 in 1; offline a-0 (log directory ZGRkZGRkZGRkZGRkZGRkZA is not online); rescan in 1s
         image a=A 1@2/d0 b=B 1@2/d1 c=C 1@0/none | create c-0 in 1
         rescan                                   | scan 0; scan 1
         scan 1 b-0=B c-0=?                       | rescan in 2s
         scan 0 a-0=A old-0=X                     | aside old-0 in 0; start a-0 in 0
         recovered a-0=A                          |",
    );
}

#[test]
fn a_directory_that_does_not_answer_is_not_waited_for() {
    play(
        "scan 1 b-0=B
         image a=A 1@2/d0 b=B 1@2/d1 |
         overdue 0                   | start b-0 in 1; offline a-0 (log directory ZGRkZGRkZGRkZGRkZGRkZA is not online); rescan in 1s
         overdue 0                   |
         rescan                      | scan 1
         scan 1 b-0=B                | rescan in 2s
         scan 0 a-0=A                | start a-0 in 0",
    );
}

#[test]
fn a_later_scan_does_not_contradict_what_is_on_stage() {
    play(
        "scan 0 a-0=A
         scan 1
         image a=A 1@2/d0 b=B 1@2/d0 | offline b-0 (the directory of the partition is gone); start a-0 in 0; rescan in 1s
         rescan                      | scan 0; scan 1
         scan 0                      |
         scan 1                      | rescan in 2s
         parked a-0                  | probe a-0 in 1s; offline a-0 (poisoned)
         probe a-0                   | revive a-0",
    );
}

#[test]
fn a_missing_partition_of_a_deleted_topic_is_forgotten() {
    play(
        "scan 0
         scan 1
         image orders=A 1@2/d0   | offline orders-0 (the directory of the partition is gone); rescan in 1s
         image orders=B 1@0/none | remove orders-0=A
         left orders-0           | create orders-0 in 0",
    );
}

#[test]
fn what_may_have_been_made_in_a_directory_out_of_sight_is_not_made_elsewhere() {
    play(
        "scan 0 failed
         scan 1 pay-0=!
         image orders=A 1@0/none pay=B 1@0/none | offline pay-0 (the directory of the partition cannot be read); offline orders-0 (it may lie in a log directory that is not online); rescan in 1s
         rescan                                 | scan 0; scan 1
         scan 1 pay-0=B                         | assign B-0 d1; start pay-0 in 1; rescan in 1s
         scan 0 orders-0=A                      | assign A-0 d0; start orders-0 in 0",
    );
}

#[test]
fn what_bears_the_name_of_a_deleted_topic_is_put_aside() {
    play(
        "scan 0 orders-0=A
         scan 1 orders-0=A
         image orders=A 1@2/d0   | offline orders-0 (the partition lies in several log directories); rescan in 1s
         image orders=B 1@0/none | remove orders-0=A
         left orders-0           | aside orders-0 in 0; aside orders-0 in 1
         aside orders-0 1        |
         aside orders-0 0        | create orders-0 in 0",
    );
}
