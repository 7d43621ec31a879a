//! DescribeActors (key 10000, Kabuki's own): the live supervision tree, for `kabuki actors`. Version
//! 0. Answered to peers on this machine only; not named in ApiVersions.

use std::time::Duration;

use kabuki_protocol::private::{ActorRow, ActorsDescribed, DescribeActors};
use kabuki_runtime::{ActorDescription, ActorPath};

use super::{Started, private_answer, private_body};

/// How long all actors together may take to say how they are. One that is idle needs microseconds;
/// what is busy or hangs for longer is shown as it last was.
const FRESH_WAIT_MAX: Duration = Duration::from_millis(50);
use crate::request::{Received, RequestContext};

pub(super) fn answer(received: &Received, context: &RequestContext) -> Started {
    let request = private_body::<DescribeActors>(received);
    let context = context.clone();
    Started::job(async move {
        let described = match request {
            Ok(request) => Ok(describe(&request, &context).await),
            Err(refused) => Err(refused),
        };
        private_answer(&described, &context)
    })
}

async fn describe(request: &DescribeActors, context: &RequestContext) -> ActorsDescribed {
    let registry = context.services.stage.registry();
    let prefix = ActorPath::new(&request.prefix);
    let actors = registry.describe_fresh(&prefix, FRESH_WAIT_MAX).await;
    let mut actors: Vec<ActorRow> = actors.into_iter().map(row).collect();
    actors.sort_by(|left, right| left.path.cmp(&right.path));
    ActorsDescribed { actors }
}

fn row(actor: ActorDescription) -> ActorRow {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ActorRow {
        path: actor.path.to_string(),
        state: actor.state.as_str().to_owned(),
        incarnation: actor.incarnation.0,
        restarts: actor.restarts,
        last_cause: actor.last_cause,
        mailbox_depth: actor.mailbox_depth as u64,
        oldest_age_ms: ms(actor.oldest_age),
        messages: actor.messages,
        busy_ms: ms(actor.busy),
        arbiter: actor.arbiter,
        detail: actor.detail,
    }
}
