//! `kabuki actors`: the cast of a node, live; and crashes on request.

use std::time::Duration;

use clap::{Args, Subcommand};
use kabuki_client::{Admin, ClientError};
use kabuki_protocol::private::ActorRow;

use super::supervision_log::{self, LogArgs};
use super::table::{Align, Columns, NONE, Terminal, duration_ms, print};
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
    /// Crashes an actor, to see it come back; needs kabuki.chaos.enable=true
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
    let columns = Terminal::of_output().map(|terminal| terminal.columns);
    print(&table_of(&actors, columns))
}

async fn watch(admin: &Admin, path: &str) -> Result<(), CliError> {
    loop {
        // Asked each time: a window can be resized.
        let terminal = Terminal::of_output();
        let actors = admin.describe_actors(path).await?;
        let table = table_of(&actors, terminal.map(|terminal| terminal.columns));
        match terminal {
            // To the upper left corner, and clear what is below.
            Some(Terminal { rows, .. }) => print(&format!("\x1b[H\x1b[J{}", first(&table, rows)))?,
            None => print(&format!("{table}\n"))?,
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// As much of a table as a screen of `rows` lines shows without moving, told where it is not all.
fn first(table: &str, rows: usize) -> String {
    let count = table.lines().count();
    // The cursor waits in the line below the last one.
    if count < rows {
        return table.to_owned();
    }
    let shown = rows.saturating_sub(2);
    let lines = table.lines().take(shown);
    let mut text: String = lines.map(|line| format!("{line}\n")).collect();
    text += &format!(
        "… {} more lines; name a path to see fewer actors\n",
        count - shown
    );
    text
}

/// The table: in a pipe with all numbers, on a terminal of that many columns with "none" for zero, so
/// that columns in which nobody has anything can be left out.
fn table_of(actors: &[ActorRow], terminal: Option<usize>) -> String {
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
    let row = if terminal.is_some() {
        terse_row
    } else {
        full_row
    };
    let mut actors: Vec<&ActorRow> = actors.iter().collect();
    actors.sort_by_cached_key(|actor| counted(&actor.path));
    for actor in actors {
        columns.row(row(actor));
    }
    columns.text(terminal)
}

/// A path for sorting, so that `orders-10` comes after `orders-9`: texts, each with the number after it.
fn counted(path: &str) -> Vec<(&str, u64)> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let is_digit = |it: char| it.is_ascii_digit();
        let (text, after) = rest.split_at(rest.find(is_digit).unwrap_or(rest.len()));
        let (number, after) = after.split_at(after.find(|it| !is_digit(it)).unwrap_or(after.len()));
        parts.push((text, number.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    parts
}

fn full_row(actor: &ActorRow) -> [String; 9] {
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
fn terse_row(actor: &ActorRow) -> [String; 9] {
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
    fn a_terminal_is_shown_causes_before_details_and_nothing_that_nobody_has() {
        let table = table_of(&[idle()], Some(100));
        assert!(
            table.contains("ACTOR") && table.contains("STATE"),
            "{table}"
        );
        for heading in [
            "RESTARTS",
            "LAST CAUSE",
            "MAILBOX",
            "OLDEST",
            "BUSY",
            "DETAIL",
        ] {
            assert!(!table.contains(heading), "{heading} in {table}");
        }
        for columns in [80, 120, 200] {
            let table = table_of(&[crashed(), idle()], Some(columns));
            assert!(table.contains("panic at state.rs:48"), "{table}");
            assert_eq!(table.contains("DETAIL"), columns > 80, "{table}");
            assert_eq!(table.contains('…'), columns == 120, "{table}");
            let line = table.lines().find(|line| line.contains("/edge")).unwrap();
            assert!(line.contains(NONE) && !line.contains('0'), "{line}");
        }
    }

    #[test]
    fn a_watched_table_does_not_run_off_the_screen() {
        let table = "1\n2\n3\n4\n";
        assert_eq!(first(table, 5), table);
        let cut = "1\n2\n… 2 more lines; name a path to see fewer actors\n";
        assert_eq!(first(table, 4), cut);
        assert_eq!(first(table, 1).lines().count(), 1);
    }

    #[test]
    fn actors_are_shown_in_the_order_of_their_numbers_each_below_its_group() {
        let paths = [
            "/",
            "/a",
            "/a/o-2",
            "/a/o-2x",
            "/a/o-10",
            "/a/o-10/1",
            "/a/p",
            "/b",
        ];
        let mut actors: Vec<ActorRow> = Vec::new();
        for path in paths.iter().rev() {
            let path = (*path).to_owned();
            actors.push(ActorRow { path, ..idle() });
        }
        let table = table_of(&actors, None);
        let shown = table
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next());
        assert_eq!(shown.collect::<Vec<_>>(), paths);
    }
}
