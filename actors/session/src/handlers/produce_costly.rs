//! Batches that take too long to check on an arbiter that others wait for: compressed ones that are
//! large, or small ones that expand far. They are checked on a thread of their own, one at a time for
//! each connection, and nothing else of the connection starts before they are done, so that its
//! batches keep their order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::records::{
    AppendRules, BatchHeader, CheckedBatch, Compression, DECOMPRESSED_BYTES_MAX, RecordRefused,
    RefusedKind, check_batch,
};
use kabuki_runtime::{Context, Handler, Message};

use super::produce_answer::{failed, response};
use crate::actor::Session;
use crate::ports::PartitionPort;
use crate::state::pipeline::Ticket;

/// Compressed bytes that are checked at once: four batches as librdkafka and Java send them by default.
const PACKED_BYTES_MAX: usize = 64 * 1024;

/// Bytes they may expand to there: about a third of a millisecond for the slowest codec.
pub(crate) const EXPANDED_BYTES_MAX: u64 = 256 * 1024;

/// The costly batches of a connection.
#[derive(Debug, Default)]
pub(crate) struct CostlyBatches {
    queue: VecDeque<CostlyBatch>,
    is_checking: bool,
}

/// One batch and where its outcome goes.
pub(super) struct CostlyBatch {
    pub(super) ticket: Ticket,
    pub(super) place: usize,
    pub(super) topic: TopicId,
    pub(super) records: Option<Bytes>,
    pub(super) rules: AppendRules,
    pub(super) port: Arc<PartitionPort>,
}

impl std::fmt::Debug for CostlyBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CostlyBatch {{ ticket: {} }}", self.ticket)
    }
}

/// A batch was checked away from the arbiter; `None` if that thread panicked.
pub(crate) struct BatchChecked {
    ticket: Ticket,
    place: usize,
    topic: TopicId,
    port: Arc<PartitionPort>,
    checked: Option<Result<CheckedBatch, RecordRefused>>,
}

impl Message for BatchChecked {
    type Reply = ();
}

impl CostlyBatches {
    /// Whether batches wait that must go before all others.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.is_checking
    }

    pub(super) fn push(&mut self, batch: CostlyBatch) {
        self.queue.push_back(batch);
    }
}

/// The outcome of a check with the limits of an arbiter, or `None`: to be checked elsewhere.
pub(super) fn check_here(
    records: Option<&Bytes>,
    rules: &AppendRules,
    now_ms: i64,
) -> Option<Result<CheckedBatch, RecordRefused>> {
    let is_large = records.is_some_and(|records| {
        records.len() > PACKED_BYTES_MAX
            && BatchHeader::parse(records)
                .is_ok_and(|header| header.attributes.compression() != Ok(Compression::None))
    });
    if is_large {
        return None;
    }
    let checked = check_batch(records.cloned(), rules, now_ms);
    let expands = |refused: &RecordRefused| refused.kind == RefusedKind::ExpandsTooFar;
    (!checked.as_ref().is_err_and(expands)).then_some(checked)
}

impl Session {
    /// Checks the next costly batch, if none is being checked.
    pub(super) fn check_costly(&mut self, cx: &mut Context<Self>) {
        let costly = &mut self.produce.costly;
        if costly.is_checking {
            return;
        }
        let Some(batch) = costly.queue.pop_front() else {
            return;
        };
        costly.is_checking = true;
        let CostlyBatch {
            ticket,
            place,
            topic,
            records,
            rules,
            port,
        } = batch;
        let rules = AppendRules {
            expanded_bytes_max: DECOMPRESSED_BYTES_MAX,
            ..rules
        };
        let turns = self.services.costly_checks.clone();
        let now_ms = (self.services.clock)();
        let check = async move {
            let turn = turns.acquire_owned().await.ok()?;
            let check = move || {
                // Held by the thread, not by the connection: it may end before.
                let _turn = turn;
                check_batch(records, &rules, now_ms)
            };
            tokio::task::spawn_blocking(check).await.ok()
        };
        cx.spawn(check, move |checked| BatchChecked {
            ticket,
            place,
            topic,
            port,
            checked,
        });
    }
}

impl Handler<BatchChecked> for Session {
    fn handle(&mut self, message: BatchChecked, cx: &mut Context<Self>) {
        let BatchChecked {
            ticket,
            place,
            topic,
            port,
            checked,
        } = message;
        self.produce.costly.is_checking = false;
        // If its time is over, the client was told that it may be written. It is not.
        if let Some(mut waiting) = self.produce.waiting.remove(&ticket) {
            match checked {
                Some(checked) => {
                    self.append_checked(ticket, place, topic, checked, &port, &mut waiting, cx);
                }
                None => waiting.close(place, failed(0, ErrorCode::UnknownServerError)),
            }
            if waiting.open_count == 0 {
                let answer = response(waiting, self.routes.image());
                self.pipeline.answer(ticket, answer);
            } else {
                self.produce.waiting.insert(ticket, waiting);
            }
        }
        self.check_costly(cx);
    }
}
