//! The rules of fetch sessions as claims: opening, going on, forgetting, refusal, giving way.

use super::*;

const NOTHING: FetchSeen = FetchSeen {
    has_records: false,
    has_error: false,
    diverges: false,
    high_watermark: Offset(10),
    log_start: Offset(0),
};

fn key(partition: i32) -> FetchKey {
    FetchKey {
        topic: FetchTopic::Name("orders".into()),
        partition,
    }
}

fn from(fetch_offset: i64) -> FetchAsk {
    FetchAsk {
        fetch_offset: Offset(fetch_offset),
        bytes_max: 1_024,
        current_leader_epoch: LeaderEpoch::NONE,
        last_fetched_epoch: LeaderEpoch::NONE,
    }
}

fn ask(session_id: i32, session_epoch: i32, partitions: &[i32]) -> SessionAsk {
    SessionAsk {
        session_id,
        session_epoch,
        uses_topic_ids: false,
        is_follower: false,
        partitions: partitions.iter().map(|p| (key(*p), from(0))).collect(),
        forgotten: Vec::new(),
    }
}

struct Node {
    sessions: FetchSessions,
    now: Instant,
    ids: i32,
}

impl Node {
    fn new(slots_max: usize) -> Self {
        Self {
            sessions: FetchSessions::new(slots_max),
            now: Instant::now(),
            ids: 0,
        }
    }

    /// One whole fetch in which every partition answers `seen`: session id, partitions asked and
    /// partitions answered.
    fn fetch(
        &mut self,
        ask: SessionAsk,
        seen: FetchSeen,
    ) -> Result<(i32, Vec<i32>, Vec<i32>), FetchSessionRefused> {
        let context = self.sessions.begin(ask, self.now)?;
        let asked: Vec<i32> = context
            .partitions
            .iter()
            .map(|(key, _)| key.partition)
            .collect();
        let seen = vec![seen; asked.len()];
        let ids = &mut self.ids;
        let outcome = self.sessions.finish(context, &seen, self.now, || {
            *ids += 1;
            *ids
        })?;
        let answered = asked
            .iter()
            .zip(&outcome.included)
            .filter_map(|(partition, included)| included.then_some(*partition))
            .collect();
        Ok((outcome.session_id, asked, answered))
    }

    fn open(&mut self, partitions: &[i32]) -> i32 {
        self.fetch(ask(0, 0, partitions), NOTHING).unwrap().0
    }
}

#[test]
fn an_incremental_fetch_asks_all_and_answers_what_moved() {
    let mut node = Node::new(10);
    assert_eq!(
        node.fetch(ask(0, 0, &[0, 1]), NOTHING),
        Ok((1, vec![0, 1], vec![0, 1]))
    );
    assert_eq!(
        node.fetch(ask(1, 1, &[]), NOTHING),
        Ok((1, vec![0, 1], vec![]))
    );

    let moved = FetchSeen {
        high_watermark: Offset(11),
        ..NOTHING
    };
    assert_eq!(
        node.fetch(ask(1, 2, &[]), moved),
        Ok((1, vec![0, 1], vec![0, 1]))
    );
    assert_eq!(
        node.fetch(ask(1, 3, &[]), moved),
        Ok((1, vec![0, 1], vec![]))
    );

    let trimmed = FetchSeen {
        log_start: Offset(5),
        ..moved
    };
    assert_eq!(
        node.fetch(ask(1, 4, &[]), trimmed),
        Ok((1, vec![0, 1], vec![0, 1]))
    );
    let diverges = FetchSeen {
        diverges: true,
        ..trimmed
    };
    assert_eq!(
        node.fetch(ask(1, 5, &[]), diverges),
        Ok((1, vec![0, 1], vec![0, 1]))
    );
}

#[test]
fn the_end_of_an_error_is_told_although_nothing_moved() {
    let mut node = Node::new(10);
    let id = node.open(&[0]);
    let failed = FetchSeen {
        has_error: true,
        high_watermark: Offset::NONE,
        ..NOTHING
    };
    assert_eq!(node.fetch(ask(id, 1, &[]), failed).unwrap().2, [0]);
    assert_eq!(node.fetch(ask(id, 2, &[]), NOTHING).unwrap().2, [0]);
    assert_eq!(node.fetch(ask(id, 3, &[]), NOTHING).unwrap().2, [0; 0]);
}

#[test]
fn partitions_that_returned_records_are_read_last_the_next_time() {
    let mut node = Node::new(10);
    let id = node.open(&[0, 1, 2]);
    let context = node.sessions.begin(ask(id, 1, &[]), node.now).unwrap();
    let records = FetchSeen {
        has_records: true,
        ..NOTHING
    };
    node.sessions
        .finish(context, &[records, NOTHING, NOTHING], node.now, || 9)
        .unwrap();
    assert_eq!(node.fetch(ask(id, 2, &[]), NOTHING).unwrap().1, [1, 2, 0]);
}

#[test]
fn the_fetch_that_opens_a_session_sets_the_order() {
    let mut node = Node::new(10);
    let records = FetchSeen {
        has_records: true,
        ..NOTHING
    };
    let (id, ..) = node.fetch(ask(0, 0, &[2, 0, 1]), records).unwrap();
    assert_eq!(node.fetch(ask(id, 1, &[]), NOTHING).unwrap().1, [2, 0, 1]);
}

#[test]
fn partitions_that_are_added_and_forgotten_at_once_are_gone() {
    let mut node = Node::new(10);
    let id = node.open(&[0, 1]);
    let mut request = ask(id, 1, &[1, 2]);
    request.forgotten = vec![key(0), key(1), key(7)];
    assert_eq!(node.fetch(request, NOTHING), Ok((id, vec![2], vec![2])));
}

#[test]
fn what_a_fetch_names_is_answered_when_it_ends_the_session() {
    let mut node = Node::new(10);
    let id = node.open(&[0]);
    let mut request = ask(id, 1, &[1]);
    request.forgotten = vec![key(0), key(1)];
    assert_eq!(node.fetch(request, NOTHING), Ok((0, vec![1], vec![1])));
}

#[test]
fn forgetting_every_partition_ends_the_session() {
    let mut node = Node::new(10);
    let id = node.open(&[0]);
    let mut request = ask(id, 1, &[]);
    request.forgotten = vec![key(0)];
    assert_eq!(node.fetch(request, NOTHING), Ok((0, vec![], vec![])));
    let unknown = FetchSessionRefused::UnknownId { session_id: id };
    assert_eq!(node.fetch(ask(id, 2, &[]), NOTHING), Err(unknown));
}

#[test]
fn a_partition_named_again_replaces_its_parameters() {
    let mut node = Node::new(10);
    let id = node.open(&[0, 1]);
    let mut request = ask(id, 1, &[]);
    request.partitions = vec![(key(1), from(77))];
    let context = node.sessions.begin(request, node.now).unwrap();
    assert_eq!(context.partitions, [(key(0), from(0)), (key(1), from(77))]);
}

#[test]
fn a_partition_twice_in_one_request_counts_once() {
    let node = Node::new(10);
    let mut request = ask(0, -1, &[]);
    request.partitions = vec![(key(0), from(1)), (key(1), from(2)), (key(0), from(3))];
    let context = node.sessions.begin(request, node.now).unwrap();
    assert_eq!(context.partitions, [(key(0), from(3)), (key(1), from(2))]);
}

#[test]
fn sessions_are_refused_by_id_epoch_and_kind_of_topic() {
    let mut node = Node::new(10);
    let id = node.open(&[0]);
    let unknown = FetchSessionRefused::UnknownId { session_id: 99 };
    assert_eq!(node.fetch(ask(99, 1, &[]), NOTHING), Err(unknown));
    let mismatch = FetchSessionRefused::EpochMismatch {
        session_id: id,
        sent: 2,
        current: 1,
    };
    assert_eq!(node.fetch(ask(id, 2, &[]), NOTHING), Err(mismatch));
    let by_id = SessionAsk {
        uses_topic_ids: true,
        ..ask(id, 1, &[])
    };
    let changed = FetchSessionRefused::TopicReferenceChanged { session_id: id };
    assert_eq!(node.fetch(by_id, NOTHING), Err(changed));
    assert!(
        node.fetch(ask(id, 1, &[]), NOTHING).is_ok(),
        "a refused request changes nothing"
    );
}

#[test]
fn epoch_minus_one_closes_and_epoch_zero_replaces() {
    let mut node = Node::new(10);
    let first = node.open(&[0]);
    assert_eq!(
        node.fetch(ask(first, -1, &[0]), NOTHING),
        Ok((0, vec![0], vec![0]))
    );
    assert_eq!(node.sessions.lock().len(), 0);

    let second = node.open(&[0]);
    let third = node.fetch(ask(second, 0, &[0]), NOTHING).unwrap().0;
    assert_ne!(third, second);
    assert_eq!(node.sessions.lock().len(), 1);
}

#[test]
fn epochs_wrap_to_one() {
    assert_eq!(epoch_after(1), 2);
    assert_eq!(epoch_after(i32::MAX), 1);
}

#[test]
fn a_full_cache_gives_up_only_what_counts_for_less() {
    let mut node = Node::new(2);
    let small = node.open(&[0]);
    let large = node.open(&[0, 1, 2]);
    assert_eq!(node.open(&[0, 1, 2, 3]), 0, "both are young");

    node.now += EVICTION_IDLE_MIN + Duration::from_secs(1);
    for (id, epoch) in [(small, 1), (large, 1)] {
        node.fetch(ask(id, epoch, &[]), NOTHING).unwrap();
    }
    assert_eq!(node.open(&[0]), 0, "none is smaller");
    let larger = node.open(&[0, 1]);
    assert_ne!(larger, 0);
    assert!(node.fetch(ask(small, 2, &[]), NOTHING).is_err());
    assert!(node.fetch(ask(large, 2, &[]), NOTHING).is_ok());
}

#[test]
fn an_idle_session_makes_room_for_any_other() {
    let mut node = Node::new(1);
    let large = node.open(&[0, 1, 2]);
    node.now += EVICTION_IDLE_MIN + Duration::from_secs(1);
    assert_ne!(node.open(&[0]), 0);
    assert!(node.fetch(ask(large, 1, &[]), NOTHING).is_err());
}

#[test]
fn a_follower_takes_the_slot_of_a_consumer_at_once() {
    let mut node = Node::new(1);
    node.open(&[0, 1, 2]);
    let follower = SessionAsk {
        is_follower: true,
        ..ask(0, 0, &[0])
    };
    assert_ne!(node.fetch(follower, NOTHING).unwrap().0, 0);
    assert_eq!(node.open(&[0, 1, 2, 3]), 0);
}

#[test]
fn more_partitions_than_the_node_remembers_get_no_session() {
    let mut node = Node::new(1_000);
    let most: Vec<i32> = (0..PARTITIONS_MAX as i32 - 1).collect();
    let (first, ..) = node.fetch(ask(0, 0, &most), NOTHING).unwrap();
    assert_ne!(first, 0);
    let (second, asked, answered) = node.fetch(ask(0, 0, &[1, 2]), NOTHING).unwrap();
    assert_eq!((second, asked, answered), (0, vec![1, 2], vec![1, 2]));

    // One more fits; another does not, and the session that wants it goes.
    let fits = PARTITIONS_MAX as i32;
    assert!(node.fetch(ask(first, 1, &[fits]), NOTHING).is_ok());
    assert!(
        node.fetch(ask(first, 2, &[fits]), NOTHING).is_ok(),
        "is known"
    );
    let refused = node.fetch(ask(first, 3, &[fits + 1]), NOTHING);
    let session_id = first;
    assert_eq!(refused, Err(FetchSessionRefused::UnknownId { session_id }));
    assert_eq!(node.sessions.lock().len(), 0);
}

#[test]
fn a_name_too_long_for_a_topic_is_not_remembered() {
    let mut node = Node::new(10);
    let mut long = ask(0, 0, &[1]);
    long.partitions[0].0.topic = FetchTopic::Name("n".repeat(NAME_BYTES_MAX + 1).into());
    assert_eq!(node.fetch(long, NOTHING).unwrap().0, 0);
}
