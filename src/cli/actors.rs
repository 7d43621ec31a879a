//! `kabuki actors`: the cast of a node, live; and crashes on request.

use std::time::Duration;

use clap::{Args, Subcommand};
use kabuki_client::{Admin, ClientError};
use kabuki_protocol::private::ActorRow;

use super::supervision_log::{self, LogArgs};
use super::table::{Align, Columns, duration_ms, print, shortened, terminal_columns};
use super::{CliError, ClusterArgs};

/// How often `--watch` asks again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `actors`.
#[derive(Debug, Args)]
pub(crate) struct ActorsArgs {
    #[command(subcommand)]
    command: Option<ActorsCommand>,
    /// Shows the actors at and below this path; all without it
    path: Option<String>,
    /// Shows them again each second
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What else can be done about actors.
#[derive(Debug, Subcommand)]
enum ActorsCommand {
    /// Shows the supervision log: who crashed, why, and what became of it
    Log(LogArgs),
    /// Crashes an actor, to see it come back; needs kabuki.chaos.enable=true on the node
    Crash(CrashArgs),
}

/// Arguments of `actors crash`.
#[derive(Debug, Args)]
struct CrashArgs {
    /// Path of the actor, as /replicas/orders-3
    path: String,
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
    let ActorsArgs {
        command,
        path,
        watch: watches,
        cluster,
    } = args;
    if command.is_some() && (path.is_some() || watches) {
        let cause = "a path to show and --watch go without a subcommand";
        return Err(CliError::Usage(cause.to_owned()));
    }
    match command {
        Some(ActorsCommand::Log(args)) => supervision_log::run(args, &cluster).await,
        Some(ActorsCommand::Crash(CrashArgs { path })) => {
            let incarnation = cluster.admin().await?.crash_actor(&path).await?;
            print(&format!("crashed incarnation {incarnation} of {path}\n"))
        }
        None => {
            let path = path.as_deref().unwrap_or("/");
            let admin = cluster.admin().await?;
            if watches {
                watch(&admin, path).await
            } else {
                show(&admin, path).await
            }
        }
    }
}

async fn show(admin: &Admin, path: &str) -> Result<(), CliError> {
    let actors = admin.describe_actors(path).await?;
    if actors.is_empty() {
        return Err(CliError::Unsound(format!("no actor at {path}")));
    }
    print(&table_of(&actors, terminal_columns()))
}

async fn watch(admin: &Admin, path: &str) -> Result<(), CliError> {
    loop {
        // Asked each time: a window can be resized.
        let terminal = terminal_columns();
        let table = table_of(&admin.describe_actors(path).await?, terminal);
        if terminal.is_some() {
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

/// Columns of the table, of which a terminal is shown those that say something.
const COLUMNS: [(&str, Align); 9] = [
    ("ACTOR", Align::Left),
    ("STATE", Align::Left),
    ("RESTARTS", Align::Right),
    (LAST_CAUSE, Align::Left),
    ("MAILBOX", Align::Right),
    ("OLDEST", Align::Right),
    ("MESSAGES", Align::Right),
    ("BUSY", Align::Right),
    (DETAIL, Align::Left),
];
const LAST_CAUSE: &str = "LAST CAUSE";
const DETAIL: &str = "DETAIL";

/// What is shown for "none" where a reader is to see at a glance who has any.
const NONE: &str = "-";

/// The least that is left of a text which is cut.
const TEXT_MIN: usize = 12;

/// The table: all of it in a pipe; on a terminal of that many columns without those in which nobody
/// has anything, and with texts cut so that no line is broken.
fn table_of(actors: &[ActorRow], terminal: Option<usize>) -> String {
    let Some(columns_max) = terminal else {
        let rows: Vec<_> = actors.iter().map(full_row).collect();
        return drawn(&COLUMNS.map(|column| (column, usize::MAX)), &rows);
    };
    let rows: Vec<_> = actors.iter().map(terse_row).collect();
    let says_something = |at: usize| {
        let is_named = COLUMNS[at].0 == "ACTOR" || COLUMNS[at].0 == "STATE";
        is_named || rows.iter().any(|row| row[at] != NONE)
    };
    let kept: Vec<usize> = (0..COLUMNS.len())
        .filter(|at| says_something(*at))
        .collect();
    let mut columns: Vec<_> = kept.iter().map(|at| (COLUMNS[*at], usize::MAX)).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| kept.iter().map(|at| row[*at].clone()).collect())
        .collect();
    for cut in [DETAIL, LAST_CAUSE] {
        let Some(at) = columns.iter().position(|((name, _), _)| *name == cut) else {
            continue;
        };
        let lines = drawn(&columns, &rows);
        let widest = lines.lines().map(|line| line.chars().count()).max();
        let excess = widest.unwrap_or(0).saturating_sub(columns_max);
        let longest = rows.iter().map(|row| row[at].chars().count()).max();
        columns[at].1 = longest.unwrap_or(0).saturating_sub(excess).max(TEXT_MIN);
    }
    drawn(&columns, &rows)
}

/// Draws rows of as many values as there are columns, each cut to what its column takes.
fn drawn<R>(columns: &[((&str, Align), usize)], rows: &[R]) -> String
where
    R: AsRef<[String]>,
{
    let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = Columns::new(&headings);
    for row in rows {
        let values = row.as_ref().iter().zip(columns);
        table.row(values.map(|(value, (_, characters_max))| shortened(value, *characters_max)));
    }
    table.text()
}

fn full_row(actor: &ActorRow) -> [String; COLUMNS.len()] {
    [
        actor.path.clone(),
        actor.state.clone(),
        actor.restarts.to_string(),
        actor.last_cause.clone(),
        actor.mailbox_depth.to_string(),
        if actor.mailbox_depth == 0 {
            NONE.to_owned()
        } else {
            duration_ms(actor.oldest_age_ms)
        },
        actor.messages.to_string(),
        duration_ms(actor.busy_ms),
        actor.detail.clone(),
    ]
}

/// As [`full_row`], with what is zero or empty told as none.
fn terse_row(actor: &ActorRow) -> [String; COLUMNS.len()] {
    full_row(actor).map(|value| match value.as_str() {
        "" | "0" | "0 ms" => NONE.to_owned(),
        _ => value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed() -> ActorRow {
        ActorRow {
            path: "/replicas/orders-3".into(),
            state: "running".into(),
            incarnation: 2,
            restarts: 1,
            last_cause: "panic at state.rs:48".into(),
            mailbox_depth: 0,
            busy_ms: 1_500,
            detail: "epoch 3 log 0..1000000 high watermark 1000000 synced 0 waiting 0".into(),
            ..ActorRow::default()
        }
    }

    fn idle() -> ActorRow {
        ActorRow {
            path: "/edge/sessions/17".into(),
            state: "running".into(),
            ..ActorRow::default()
        }
    }

    #[test]
    fn a_crashed_actor_shows_its_restarts_and_cause() {
        let table = table_of(&[crashed(), idle()], None);
        let line = table
            .lines()
            .find(|line| line.contains("/replicas/orders-3"))
            .unwrap();
        for part in ["running", " 1 ", "panic at state.rs:48", " - ", "1.5 s"] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
        assert!(line.contains(&crashed().detail), "a pipe gets all: {line}");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        for columns in [100, 120, 300] {
            let table = table_of(&[crashed(), idle()], Some(columns));
            for line in table.lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
            let is_cut = table.contains('…');
            assert_eq!(is_cut, columns < 300, "{table}");
            assert!(table.contains("panic at"), "{table}");
        }
    }

    #[test]
    fn a_terminal_is_not_shown_columns_in_which_nobody_has_anything() {
        let table = table_of(&[idle()], Some(100));
        assert!(
            table.contains("ACTOR") && table.contains("STATE"),
            "{table}"
        );
        for heading in ["RESTARTS", LAST_CAUSE, "MAILBOX", "OLDEST", "BUSY", DETAIL] {
            assert!(!table.contains(heading), "{heading} in {table}");
        }
        let table = table_of(&[crashed(), idle()], Some(200));
        let line = table.lines().find(|line| line.contains("/edge")).unwrap();
        assert!(line.contains(NONE) && !line.contains('0'), "{line}");
    }
}
