//! CrashActor (key 10001, Kabuki's own): ends the running instance of an actor as a panic would, so
//! that the promise of supervision can be checked. Version 0. Off unless `kabuki.chaos.enable` is
//! true; answered to peers on this machine only.

use kabuki_protocol::private::{ActorCrashed, CrashActor, PrivateRefused};
use kabuki_runtime::ActorPath;

use super::{Started, private_answer, private_body};
use crate::request::{Received, RequestContext};

pub(super) fn answer(received: &Received, context: &RequestContext) -> Started {
    let crashed = private_body::<CrashActor>(received).and_then(|request| crash(request, context));
    Started::Answered(private_answer(&crashed, context))
}

fn crash(request: CrashActor, context: &RequestContext) -> Result<ActorCrashed, PrivateRefused> {
    let services = &context.services;
    if !services.config.is_on("kabuki.chaos.enable") {
        return Err(PrivateRefused::ChaosDisabled);
    }
    let path = ActorPath::new(&request.path);
    let registry = services.stage.registry();
    let found = registry
        .describe(&path)
        .into_iter()
        .find(|actor| actor.path == path);
    let Some(actor) = found else {
        return Err(PrivateRefused::NoSuchActor { path: request.path });
    };
    match registry.crash(&path) {
        Ok(()) => Ok(ActorCrashed {
            incarnation: actor.incarnation.0,
        }),
        Err(_) => {
            let state = actor.state.as_str().to_owned();
            Err(PrivateRefused::NotRunning {
                path: request.path,
                state,
            })
        }
    }
}
