//! Fetch sessions: what a consumer fetched last, so that a request names only what changed and an
//! answer holds only what moved. They belong to the node, not to a connection.
//! Source: KIP-227.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use thiserror::Error;
use tokio::time::Instant;

/// A session younger or more lately used than this is not given up for another (Kafka's constant
/// `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_IDLE_MIN: Duration = Duration::from_secs(120);

/// Partitions that all sessions remember together, at most 600 bytes each; by default 262 for each of
/// Kafka's thousand slots. A client that gets no session fetches without one.
const PARTITIONS_MAX: usize = 256 * 1024;

/// Longer names are no topics, and nothing is remembered of them.
const NAME_BYTES_MAX: usize = 249;

/// The epoch of a request that closes its session, or that wants none.
const FINAL_EPOCH: i32 = -1;

/// A topic as the request names it: by name up to Fetch v12, by id from v13 on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum FetchTopic {
    Name(Arc<str>),
    Id(TopicId),
}

/// One partition of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FetchKey {
    pub(crate) topic: FetchTopic,
    pub(crate) partition: i32,
}

impl FetchKey {
    fn is_rememberable(&self) -> bool {
        match &self.topic {
            FetchTopic::Name(name) => name.len() <= NAME_BYTES_MAX,
            FetchTopic::Id(_) => true,
        }
    }
}

/// What a consumer wants from one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchAsk {
    pub(crate) fetch_offset: Offset,
    pub(crate) bytes_max: i32,
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) last_fetched_epoch: LeaderEpoch,
}

/// The session part of a Fetch request.
#[derive(Debug, Clone)]
pub(crate) struct SessionAsk {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) uses_topic_ids: bool,
    /// Followers are served before consumers when slots are short.
    pub(crate) is_follower: bool,
    pub(crate) partitions: Vec<(FetchKey, FetchAsk)>,
    pub(crate) forgotten: Vec<FetchKey>,
}

/// Why a fetch names a session it cannot have. Answered at the top level, without partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FetchSessionRefused {
    /// Code 70: never created, given up for another, or closed.
    #[error("fetch session {session_id} is unknown")]
    UnknownId { session_id: i32 },
    /// Code 71: a request was lost or sent twice.
    #[error("fetch session {session_id} is at epoch {current}, not {sent}")]
    EpochMismatch {
        session_id: i32,
        sent: i32,
        current: i32,
    },
    /// Code 106: the client changed between topic names and topic ids.
    #[error("fetch session {session_id} was created with the other kind of topic reference")]
    TopicReferenceChanged { session_id: i32 },
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct FetchContext {
    kind: ContextKind,
    /// What to fetch, in the order in which the partitions are to be read.
    pub(crate) partitions: Vec<(FetchKey, FetchAsk)>,
}

#[derive(Debug)]
enum ContextKind {
    Sessionless,
    New {
        uses_topic_ids: bool,
        is_follower: bool,
    },
    Incremental {
        session_id: i32,
        epoch_next: i32,
        session: Arc<Mutex<Session>>,
    },
}

/// What is remembered of a partition's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchSeen {
    pub(crate) has_records: bool,
    pub(crate) has_error: bool,
    pub(crate) diverges: bool,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
}

/// How to answer a fetch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionOutcome {
    /// 0 for no session.
    pub(crate) session_id: i32,
    /// Whether each partition, in the order of [`FetchContext::partitions`], is in the answer.
    pub(crate) included: Vec<bool>,
}

/// All fetch sessions of the node; at most `slots_max`.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots_max: usize,
    slots: Mutex<HashMap<i32, Slot>>,
}

#[derive(Debug)]
struct Slot {
    session: Arc<Mutex<Session>>,
    is_follower: bool,
    size: usize,
    created: Instant,
    last_used: Instant,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    uses_topic_ids: bool,
    partitions: HashMap<FetchKey, Cached>,
    /// Reading order; a partition that returned records goes to the end, so that none starves.
    order: BTreeMap<u64, FetchKey>,
    order_next: u64,
}

#[derive(Debug)]
struct Cached {
    ask: FetchAsk,
    high_watermark: Offset,
    log_start: Offset,
    order: u64,
}

impl FetchSessions {
    /// `slots_max` is `max.incremental.fetch.session.cache.slots`.
    pub(crate) fn new(slots_max: usize) -> Self {
        Self {
            slots_max,
            slots: Mutex::new(HashMap::new()),
        }
    }

    /// Finds out what a request fetches, from itself and from its session.
    pub(crate) fn begin(
        &self,
        ask: SessionAsk,
        now: Instant,
    ) -> Result<FetchContext, FetchSessionRefused> {
        let SessionAsk {
            session_id,
            session_epoch,
            uses_topic_ids,
            is_follower,
            ..
        } = ask;
        if session_epoch == 0 || session_epoch == FINAL_EPOCH {
            self.lock().remove(&session_id);
            let kind = match session_epoch {
                FINAL_EPOCH => ContextKind::Sessionless,
                _ => ContextKind::New {
                    uses_topic_ids,
                    is_follower,
                },
            };
            return Ok(FetchContext {
                kind,
                partitions: last_of_each(ask.partitions),
            });
        }
        let unknown = FetchSessionRefused::UnknownId { session_id };
        let shared = self.lock().get(&session_id).ok_or(unknown)?.session.clone();
        let Ok(mut session) = shared.lock() else {
            // A panic left this session half changed: it is as good as gone.
            self.lock().remove(&session_id);
            return Err(unknown);
        };
        if session.epoch != session_epoch {
            let current = session.epoch;
            let sent = session_epoch;
            return Err(FetchSessionRefused::EpochMismatch {
                session_id,
                sent,
                current,
            });
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(FetchSessionRefused::TopicReferenceChanged { session_id });
        }
        let asked = ask.partitions.iter().map(|(key, _)| key);
        let fresh = asked.filter(|key| !session.partitions.contains_key(key));
        let fresh_count = fresh.clone().count();
        if fresh_count > 0
            && (self.remembered() + fresh_count > PARTITIONS_MAX
                || !fresh.clone().all(FetchKey::is_rememberable))
        {
            // The client opens another, with all it wants, and gets none if that is too much.
            self.lock().remove(&session_id);
            return Err(unknown);
        }
        let named = match ask.forgotten.is_empty() {
            true => Vec::new(),
            false => ask.partitions.clone(),
        };
        session.update(ask.partitions, &ask.forgotten);
        if session.partitions.is_empty() {
            // What it names is answered all the same, without a session.
            self.lock().remove(&session_id);
            let kind = ContextKind::Sessionless;
            return Ok(FetchContext {
                kind,
                partitions: named,
            });
        }
        session.epoch = epoch_after(session.epoch);
        let epoch_next = session.epoch;
        let partitions = session.in_order();
        let size = session.partitions.len();
        drop(session);
        if let Some(slot) = self.lock().get_mut(&session_id) {
            slot.last_used = now;
            slot.size = size;
        }
        let kind = ContextKind::Incremental {
            session_id,
            epoch_next,
            session: shared,
        };
        Ok(FetchContext { kind, partitions })
    }

    /// Decides which partitions the answer holds, and remembers it. `seen` is parallel to
    /// [`FetchContext::partitions`]; `fresh_id` draws a random session id.
    pub(crate) fn finish(
        &self,
        context: FetchContext,
        seen: &[FetchSeen],
        now: Instant,
        mut fresh_id: impl FnMut() -> i32,
    ) -> Result<SessionOutcome, FetchSessionRefused> {
        let FetchContext { kind, partitions } = context;
        assert_eq!(
            partitions.len(),
            seen.len(),
            "every partition of a fetch has an outcome"
        );
        let all = vec![true; seen.len()];
        match kind {
            ContextKind::Sessionless => Ok(SessionOutcome {
                session_id: 0,
                included: all,
            }),
            ContextKind::New {
                uses_topic_ids,
                is_follower,
            } => {
                let mut session = Session::new(uses_topic_ids);
                session.update(partitions.clone(), &[]);
                for ((key, _), seen) in partitions.iter().zip(seen) {
                    session.remember(key, seen);
                }
                let session_id = self
                    .admit(session, is_follower, now, &mut fresh_id)
                    .unwrap_or(0);
                Ok(SessionOutcome {
                    session_id,
                    included: all,
                })
            }
            ContextKind::Incremental {
                session_id,
                epoch_next,
                session,
            } => {
                let unknown = FetchSessionRefused::UnknownId { session_id };
                let mut session = session.lock().map_err(|_| unknown)?;
                if session.epoch != epoch_next {
                    let (sent, current) = (epoch_next, session.epoch);
                    return Err(FetchSessionRefused::EpochMismatch {
                        session_id,
                        sent,
                        current,
                    });
                }
                let included = partitions
                    .iter()
                    .zip(seen)
                    .map(|((key, _), seen)| {
                        // Not after the fetch that opens a session: that one sets the order.
                        if seen.has_records {
                            session.move_to_end(key);
                        }
                        session.remember(key, seen)
                    })
                    .collect();
                Ok(SessionOutcome {
                    session_id,
                    included,
                })
            }
        }
    }

    fn admit(
        &self,
        session: Session,
        is_follower: bool,
        now: Instant,
        fresh_id: &mut impl FnMut() -> i32,
    ) -> Option<i32> {
        let mut slots = self.lock();
        let size = session.partitions.len();
        let remembered: usize = slots.values().map(|slot| slot.size).sum();
        if remembered + size > PARTITIONS_MAX
            || !session.partitions.keys().all(FetchKey::is_rememberable)
        {
            return None;
        }
        if slots.len() >= self.slots_max {
            let victim = victim(&slots, is_follower, size, now)?;
            slots.remove(&victim);
        }
        let session_id = loop {
            let id = fresh_id();
            if id > 0 && !slots.contains_key(&id) {
                break id;
            }
        };
        let session = Arc::new(Mutex::new(session));
        let slot = Slot {
            session,
            is_follower,
            size,
            created: now,
            last_used: now,
        };
        slots.insert(session_id, slot);
        Some(session_id)
    }

    /// Partitions that all sessions remember, as of their last request.
    fn remembered(&self) -> usize {
        self.lock().values().map(|slot| slot.size).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Slot>> {
        // The map is changed by single calls only, so a panic of a holder cannot leave it halfway.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which session makes room for a new one of `size` partitions: the longest unused if it is idle,
/// else one that counts for less (consumer before follower, then fewer partitions).
fn victim(slots: &HashMap<i32, Slot>, is_follower: bool, size: usize, now: Instant) -> Option<i32> {
    let is_old = |since: Instant| now.saturating_duration_since(since) > EVICTION_IDLE_MIN;
    let (idle_id, idle) = slots
        .iter()
        .min_by_key(|(id, slot)| (slot.last_used, **id))?;
    if is_old(idle.last_used) {
        return Some(*idle_id);
    }
    let weight = |slot: &Slot| (slot.is_follower, slot.size);
    let (id, slot) = slots
        .iter()
        .filter(|(_, slot)| is_old(slot.created) || (is_follower && !slot.is_follower))
        .min_by_key(|(id, slot)| (weight(slot), **id))?;
    ((is_follower, size) > weight(slot)).then_some(*id)
}

/// Epochs run from 1 and wrap to 1: 0 opens a session and -1 closes it.
fn epoch_after(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// A partition that stands twice in a request counts once, with what was said last.
fn last_of_each(partitions: Vec<(FetchKey, FetchAsk)>) -> Vec<(FetchKey, FetchAsk)> {
    let mut places: HashMap<FetchKey, usize> = HashMap::with_capacity(partitions.len());
    let mut kept: Vec<(FetchKey, FetchAsk)> = Vec::with_capacity(partitions.len());
    for (key, ask) in partitions {
        match places.get(&key) {
            Some(place) => kept[*place].1 = ask,
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((key, ask));
            }
        }
    }
    kept
}

impl Session {
    fn new(uses_topic_ids: bool) -> Self {
        Self {
            epoch: 1,
            uses_topic_ids,
            partitions: HashMap::new(),
            order: BTreeMap::new(),
            order_next: 0,
        }
    }

    /// Adds before it removes, so that what is named in both is gone; a partition that is there keeps
    /// its place in the order.
    fn update(&mut self, asked: Vec<(FetchKey, FetchAsk)>, forgotten: &[FetchKey]) {
        for (key, ask) in asked {
            if let Some(cached) = self.partitions.get_mut(&key) {
                cached.ask = ask;
                continue;
            }
            let order = self.place_at_end(key.clone());
            let (high_watermark, log_start) = (Offset::NONE, Offset::NONE);
            self.partitions.insert(
                key,
                Cached {
                    ask,
                    high_watermark,
                    log_start,
                    order,
                },
            );
        }
        for key in forgotten {
            if let Some(cached) = self.partitions.remove(key) {
                self.order.remove(&cached.order);
            }
        }
    }

    fn place_at_end(&mut self, key: FetchKey) -> u64 {
        let order = self.order_next;
        self.order_next += 1;
        self.order.insert(order, key);
        order
    }

    fn in_order(&self) -> Vec<(FetchKey, FetchAsk)> {
        self.order
            .values()
            .map(|key| (key.clone(), self.partitions[key].ask))
            .collect()
    }

    /// Notes the answer of one partition; true if the consumer has to be told.
    fn remember(&mut self, key: &FetchKey, seen: &FetchSeen) -> bool {
        let Some(cached) = self.partitions.get_mut(key) else {
            return true;
        };
        let has_moved =
            cached.high_watermark != seen.high_watermark || cached.log_start != seen.log_start;
        cached.high_watermark = seen.high_watermark;
        cached.log_start = seen.log_start;
        if seen.has_error {
            // Makes the next answer differ, so that the recovery is told as well.
            cached.high_watermark = Offset::NONE;
        }
        seen.has_records || has_moved || seen.has_error || seen.diverges
    }

    /// A partition that returned records is read last the next time.
    fn move_to_end(&mut self, key: &FetchKey) {
        let order = self.place_at_end(key.clone());
        if let Some(cached) = self.partitions.get_mut(key) {
            let old = std::mem::replace(&mut cached.order, order);
            self.order.remove(&old);
        } else {
            self.order.remove(&order);
        }
    }
}

#[cfg(test)]
#[path = "fetch_sessions_tests.rs"]
mod tests;
