//! `kabuki actors log`: the events of supervision, once or as they come.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use kabuki_protocol::private::SupervisionRow;
use serde_json::json;

use super::table::print;
use super::{CliError, ClusterArgs};
use crate::logging::{clock, quoted};

/// Events of one answer.
const EVENTS_MAX: u32 = 1_000;

/// How long a node may wait for the next event before it answers that there is none.
const FOLLOW_WAIT: Duration = Duration::from_secs(10);

/// Arguments of `actors log`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Waits for more events, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Shows events of the actors at and below this path
    #[arg(long, value_name = "PATH", default_value = "/")]
    actor: String,
    /// Writes each event as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: LogArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    tokio::select! {
        result = read(&args, cluster) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn read(args: &LogArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let admin = cluster.admin().await?;
    let mut from_seq = 0;
    let mut wait = Duration::ZERO;
    loop {
        let read = admin
            .supervision_log(&args.actor, from_seq, EVENTS_MAX, wait)
            .await?;
        let mut text = String::new();
        for event in &read.events {
            text.push_str(&if args.json {
                json_of(event)
            } else {
                line_of(event)
            });
            text.push('\n');
        }
        print(&text)?;
        let is_all = read.next_seq <= from_seq;
        from_seq = read.next_seq.max(from_seq);
        if read.events.is_empty() && is_all {
            if !args.follow {
                return Ok(());
            }
            wait = FOLLOW_WAIT;
        }
    }
}

/// The event with the keys of the node's own log, in their order.
fn line_of(event: &SupervisionRow) -> String {
    // What follows a crash names it; the crash itself tells the whole of it.
    let follows = matches!(
        event.kind.as_str(),
        "restarted" | "backing_off" | "budget_spent" | "escalated"
    );
    let mut line = format!("{} {}", clock(event.at_ms), event.kind);
    let mut put = |key: &str, value: &dyn std::fmt::Display, is_there: bool| {
        if is_there {
            write!(line, " {key}={value}").expect("a string takes all that is written");
        }
    };
    put("actor", &event.actor, true);
    put("incarnation", &event.incarnation, event.incarnation > 0);
    put("cause", &quoted(&event.cause), !event.cause.is_empty());
    put("at", &event.place, !event.place.is_empty());
    let tells_all = |text: &str| !follows && !text.is_empty();
    put("detail", &quoted(&event.detail), tells_all(&event.detail));
    put("message", &event.message, tells_all(&event.message));
    put("backoff_ms", &event.backoff_ms, event.backoff_ms > 0);
    let restarts = format!("{}/{}", event.restarts_in_window, event.restarts_max);
    put(
        "restarts_in_window",
        &restarts,
        event.restarts_in_window > 0,
    );
    put("repeated", &event.repeated, event.repeated > 0);
    line
}

fn json_of(event: &SupervisionRow) -> String {
    json!({
        "seq": event.seq,
        "at_ms": event.at_ms,
        "kind": event.kind,
        "actor": event.actor,
        "incarnation": event.incarnation,
        "cause": event.cause,
        "detail": event.detail,
        "place": event.place,
        "message": event.message,
        "backoff_ms": event.backoff_ms,
        "restarts_in_window": event.restarts_in_window,
        "restarts_max": event.restarts_max,
        "repeated": event.repeated,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_like_the_nodes_own_log() {
        let crash = SupervisionRow {
            at_ms: 86_400_000 + 3_661_007,
            kind: "panicked".into(),
            actor: "/replicas/orders-3".into(),
            incarnation: 1,
            cause: "panic".into(),
            detail: "index 7 is out\nof bounds".into(),
            place: "state.rs:48".into(),
            ..SupervisionRow::default()
        };
        let restart = SupervisionRow {
            kind: "restarted".into(),
            incarnation: 2,
            backoff_ms: 100,
            restarts_in_window: 1,
            restarts_max: 5,
            ..crash.clone()
        };
        assert_eq!(
            line_of(&crash),
            "01:01:01.007 panicked actor=/replicas/orders-3 incarnation=1 cause=panic \
             at=state.rs:48 detail=\"index 7 is out\\nof bounds\""
        );
        assert_eq!(
            line_of(&restart),
            "01:01:01.007 restarted actor=/replicas/orders-3 incarnation=2 cause=panic \
             at=state.rs:48 backoff_ms=100 restarts_in_window=1/5"
        );
    }
}
