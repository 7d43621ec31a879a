//! `kabuki actors`: the cast of a node, live; and crashes on request.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use kabuki_client::{Admin, ClientError};
use kabuki_protocol::private::ActorRow;

use super::supervision_log::{self, LogArgs};
use super::table::{Align, Columns, duration_ms, print};
use super::{CliError, ClusterArgs};

/// How often `--watch` asks again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `actors`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ActorsArgs {
    #[command(subcommand)]
    command: Option<ActorsCommand>,
    /// Shows the actors at and below this path
    #[arg(default_value = "/")]
    path: String,
    /// Shows them again each second
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What else can be done about actors.
#[derive(Debug, Subcommand)]
pub(crate) enum ActorsCommand {
    /// Shows the supervision log: who crashed, why, and what became of it
    Log(LogArgs),
    /// Crashes an actor, to see it come back; needs kabuki.chaos.enable=true on the node
    Crash(CrashArgs),
}

/// Arguments of `actors crash`.
#[derive(Debug, Args)]
pub(crate) struct CrashArgs {
    /// Path of the actor, as /replicas/orders-3
    path: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) async fn run(args: ActorsArgs) -> Result<(), CliError> {
    explained(run_command(args).await)
}

/// Only a Kabuki node answers, and only to clients beside it; all others close the connection.
fn explained(result: Result<(), CliError>) -> Result<(), CliError> {
    match result {
        Err(CliError::Client(lost @ ClientError::ConnectionLost { .. })) => {
            let hint = "actors are shown by Kabuki nodes, to clients on the same machine";
            Err(CliError::Unsound(format!("{lost}; {hint}")))
        }
        other => other,
    }
}

async fn run_command(args: ActorsArgs) -> Result<(), CliError> {
    match args.command {
        Some(ActorsCommand::Log(args)) => supervision_log::run(args).await,
        Some(ActorsCommand::Crash(args)) => {
            let incarnation = args.cluster.admin().await?.crash_actor(&args.path).await?;
            print(&format!(
                "crashed incarnation {incarnation} of {}\n",
                args.path
            ))
        }
        None => {
            let admin = args.cluster.admin().await?;
            if args.watch {
                watch(&admin, &args.path).await
            } else {
                show(&admin, &args.path).await
            }
        }
    }
}

async fn show(admin: &Admin, path: &str) -> Result<(), CliError> {
    let actors = admin.describe_actors(path).await?;
    if actors.is_empty() {
        return Err(CliError::Unsound(format!("no actor at {path}")));
    }
    print(&table_of(&actors))
}

async fn watch(admin: &Admin, path: &str) -> Result<(), CliError> {
    let is_terminal = io::stdout().is_terminal();
    loop {
        let table = table_of(&admin.describe_actors(path).await?);
        if is_terminal {
            // To the upper left corner, and clear what is below.
            print(&format!("\x1b[H\x1b[J{table}"))?;
        } else {
            print(&format!("{table}\n"))?;
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn table_of(actors: &[ActorRow]) -> String {
    let mut columns = Columns::new(&[
        ("ACTOR", Align::Left),
        ("STATE", Align::Left),
        ("RESTARTS", Align::Right),
        ("LAST CAUSE", Align::Left),
        ("MAILBOX", Align::Right),
        ("OLDEST", Align::Right),
        ("MESSAGES", Align::Right),
        ("BUSY", Align::Right),
        ("DETAIL", Align::Left),
    ]);
    for actor in actors {
        columns.row([
            actor.path.clone(),
            actor.state.clone(),
            actor.restarts.to_string(),
            shortened(&actor.last_cause),
            actor.mailbox_depth.to_string(),
            if actor.mailbox_depth == 0 {
                "-".to_owned()
            } else {
                duration_ms(actor.oldest_age_ms)
            },
            actor.messages.to_string(),
            duration_ms(actor.busy_ms),
            shortened(&actor.detail),
        ]);
    }
    columns.text()
}

/// A text that leaves room for the others; the log has all of it.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashed_actor_shows_its_restarts_and_cause() {
        let actor = ActorRow {
            path: "/replicas/orders-3".into(),
            state: "running".into(),
            incarnation: 2,
            restarts: 1,
            last_cause: "panic at state.rs:48".into(),
            mailbox_depth: 0,
            busy_ms: 1_500,
            ..ActorRow::default()
        };
        let table = table_of(&[actor]);
        let line = table
            .lines()
            .find(|line| line.contains("/replicas/orders-3"))
            .unwrap();
        for part in ["running", " 1 ", "panic at state.rs:48", " - ", "1.5 s"] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ä".repeat(61));
        assert_eq!(cut.chars().count(), 61);
        assert!(cut.ends_with('…'));
    }
}
