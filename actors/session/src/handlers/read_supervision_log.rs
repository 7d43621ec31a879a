//! ReadSupervisionLog (key 10002, Kabuki's own): events that the node still has in memory, and those
//! to come for `wait_ms`. Version 0. Answered to peers on this machine only.

use std::time::Duration;

use kabuki_protocol::private::{ReadSupervisionLog, SupervisionLogRead, SupervisionRow};
use kabuki_runtime::{ActorPath, SupervisionEvent};
use tokio::time::Instant;

use super::{Started, private_answer, private_body};
use crate::request::{Answer, Received, RequestContext};

/// Longest wait for an event; the caller asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Events of one answer; the caller reads on from `next_seq`.
const EVENTS_MAX: usize = 1_000;

pub(super) fn answer(received: &Received, context: &RequestContext) -> Started {
    match private_body::<ReadSupervisionLog>(received) {
        Ok(request) => Started::job(read(request, context.clone())),
        Err(refused) => {
            let refused: Result<SupervisionLogRead, _> = Err(refused);
            Started::Answered(private_answer(&refused, context))
        }
    }
}

async fn read(request: ReadSupervisionLog, context: RequestContext) -> Answer {
    let log = context.services.stage.supervision_log();
    let deadline = Instant::now() + Duration::from_millis(u64::from(request.wait_ms)).min(WAIT_MAX);
    // Subscribed before the look at what there is, so that nothing falls between both.
    let mut coming = (request.wait_ms > 0).then(|| log.subscribe());
    let mut read = select(&request, log.recent());
    while read.events.is_empty()
        && let Some(receiver) = &mut coming
    {
        match tokio::time::timeout_at(deadline, receiver.recv()).await {
            Ok(Some(event)) => {
                let more = select(&request, vec![event]);
                read.next_seq = read.next_seq.max(more.next_seq);
                read.events = more.events;
            }
            Ok(None) | Err(_) => break,
        }
    }
    private_answer(&Ok(read), &context)
}

/// The events from `from_seq` on that lie within the prefix, and where to read on.
fn select(request: &ReadSupervisionLog, events: Vec<SupervisionEvent>) -> SupervisionLogRead {
    let prefix = ActorPath::new(&request.prefix);
    let events_max = usize::try_from(request.events_max)
        .unwrap_or(EVENTS_MAX)
        .min(EVENTS_MAX);
    let mut read = SupervisionLogRead {
        events: Vec::new(),
        next_seq: request.from_seq,
    };
    for event in events
        .into_iter()
        .filter(|event| event.seq >= request.from_seq)
    {
        if read.events.len() == events_max {
            break;
        }
        read.next_seq = event.seq + 1;
        if event.actor.is_within(&prefix) {
            read.events.push(row(event));
        }
    }
    read
}

fn row(event: SupervisionEvent) -> SupervisionRow {
    SupervisionRow {
        seq: event.seq,
        at_ms: event.at_ms,
        kind: event.kind.as_str().to_owned(),
        actor: event.actor.to_string(),
        incarnation: event.incarnation.0,
        cause: event.cause,
        detail: event.detail,
        place: event.place,
        message: event.message,
        backoff_ms: event.backoff_ms,
        restarts_in_window: event.restarts_in_window,
        restarts_max: event.restarts_max,
        repeated: event.repeated,
    }
}
