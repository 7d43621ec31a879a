//! DescribeActors (key 10000, Kabuki's own): the live supervision tree, for `kabuki actors`. Version
//! 0. Answered to peers on this machine only; not named in ApiVersions.

use kabuki_protocol::private::{ActorRow, ActorsDescribed, DescribeActors};
use kabuki_runtime::{ActorDescription, ActorPath};

use super::{Started, private_answer, private_body};
use crate::request::{Received, RequestContext};

pub(super) fn answer(received: &Received, context: &RequestContext) -> Started {
    let described = private_body::<DescribeActors>(received).map(|request| {
        let registry = context.services.stage.registry();
        let actors = registry.describe(&ActorPath::new(&request.prefix));
        let mut actors: Vec<ActorRow> = actors.into_iter().map(row).collect();
        actors.sort_by(|left, right| left.path.cmp(&right.path));
        ActorsDescribed { actors }
    });
    Started::Answered(private_answer(&described, context))
}

fn row(actor: ActorDescription) -> ActorRow {
    let ms =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
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
