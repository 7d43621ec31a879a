//! The commands that talk to a running broker, and `log dump`, which reads files. Each command is a
//! file: its arguments and what it does. Exit codes: 0 done, 1 refused or failed, 2 usage.

mod actors;
mod configs;
mod consume;
mod consume_group;
mod groups;
mod log_dump;
mod produce;
mod progress;
mod record_json;
mod supervision_log;
mod table;
mod topics;

use std::io;

use clap::Subcommand;
use kabuki_client::{Admin, Client, ClientError, ClientOptions};

/// What can be asked of a running cluster, and of files.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Creates, lists, describes, alters and deletes topics
    Topics(topics::TopicsArgs),
    /// Writes the lines of standard input to a topic
    Produce(produce::ProduceArgs),
    /// Writes the records of a topic to standard output
    Consume(consume::ConsumeArgs),
    /// Lists, describes, resets and deletes consumer groups
    Groups(groups::GroupsArgs),
    /// Shows and changes the configuration of topics, groups and brokers
    Configs(configs::ConfigsArgs),
    /// Reads log files without a broker
    #[command(subcommand)]
    Log(log_dump::LogCommand),
    /// Shows the actors of a node: state, restarts, last cause, mailbox, work
    Actors(actors::ActorsArgs),
}

/// Where the cluster is. Global, so that it may stand before a subcommand and behind it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Addresses of brokers, parted by commas
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092"
    )]
    bootstrap: String,
}

impl ClusterArgs {
    async fn client(&self) -> Result<Client, CliError> {
        let mut options = cluster_at(&self.bootstrap).map_err(CliError::Usage)?;
        options.connection.client_id = "kabuki-cli".to_owned();
        Ok(Client::connect(options).await?)
    }

    async fn admin(&self) -> Result<Admin, CliError> {
        self.client().await.map(Admin::new)
    }
}

/// How to reach the cluster at addresses parted by commas, as `--bootstrap` names them.
pub(crate) fn cluster_at(bootstrap: &str) -> Result<ClientOptions, String> {
    let options = ClientOptions::at(bootstrap);
    if options.bootstrap.is_empty() {
        return Err("--bootstrap names no address".to_owned());
    }
    for address in &options.bootstrap {
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            return Err(format!("--bootstrap: {address:?} is not HOST:PORT"));
        }
    }
    Ok(options)
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The cluster refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard input, standard output or a file.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// A line of input that is no record.
    #[error("line {line}: {reason}")]
    Input { line: u64, reason: String },
    /// What was read is not as it should be; told in full on standard output.
    #[error("{0}")]
    Unsound(String),
}

impl CliError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn output(source: io::Error) -> Self {
        Self::Io {
            what: "standard output".to_owned(),
            source,
        }
    }
}

/// Runs one command; the answer is the exit code.
pub(crate) async fn run(command: Command) -> i32 {
    let result = match command {
        Command::Topics(args) => topics::run(args).await,
        Command::Produce(args) => produce::run(args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::Groups(args) => groups::run(args).await,
        Command::Configs(args) => configs::run(args).await,
        Command::Log(command) => log_dump::run(command),
        Command::Actors(args) => actors::run(args).await,
    };
    match result {
        Ok(()) => 0,
        // The reader of our output has seen enough, as `head` does.
        Err(CliError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            eprintln!("kabuki: {error}");
            match error {
                CliError::Usage(_) => 2,
                _ => 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: Command,
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("kabuki").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| arguments.command)
    }

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error_with_code_2() {
        for line in [
            "consume",
            "consume orders --from-beginning --offset 3",
            "produce orders --json --key a",
            "produce orders --acks 2",
            "produce orders --compression brotli",
            "topics create orders --config retention.ms",
            "topics delete",
            "configs get",
            "configs get --topic a --broker 1",
            "configs get --topic a --group b",
            "actors crash",
            "groups",
            "groups delete",
            "groups reset billing --topic orders",
            "groups reset billing --to-earliest",
            "groups reset billing --all-topics --to-earliest --to-latest",
            "groups reset billing --all-topics --to-latest --execute --dry-run",
            "consume orders --group billing --offset 3",
            "consume orders --instance-id a",
            "log dump",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn paths_and_subcommands_of_actors_do_not_get_mixed_up() {
        for line in [
            "actors",
            "actors /replicas --watch",
            "actors log --follow --actor /edge",
        ] {
            assert!(matches!(parse(line), Ok(Command::Actors(_))), "{line}");
        }
        assert!(matches!(
            parse("consume orders --offset -5"),
            Ok(Command::Consume(_))
        ));
    }

    #[tokio::test]
    async fn the_bootstrap_address_is_taken_before_and_behind_a_subcommand() {
        for line in [
            "topics --bootstrap , list",
            "topics list --bootstrap ,",
            "configs --bootstrap , get --all-brokers",
            "configs get --all-brokers --bootstrap ,",
            "actors --bootstrap ,",
            "actors /replicas --bootstrap ,",
            "actors --bootstrap , /replicas",
            "actors --bootstrap , crash /replicas/orders-3",
            "actors crash /replicas/orders-3 --bootstrap ,",
            "actors crash --bootstrap , /replicas/orders-3",
            "actors --bootstrap , log --json",
            "actors log --bootstrap ,",
            "produce --bootstrap , orders",
            "consume orders --bootstrap ,",
            "groups list --bootstrap ,",
            "groups --bootstrap , describe billing",
        ] {
            // No address is nonsense that only the command finds: it has heard it.
            assert_eq!(run(parse(line).expect(line)).await, 2, "{line}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_code_1_and_nonsense_found_later_is_code_2() {
        // Nothing listens on port 1 of the loopback address.
        for (line, code) in [
            ("topics list --bootstrap 127.0.0.1:1", 1),
            ("log dump /there/is/no/such/directory", 1),
            ("topics list --bootstrap ,", 2),
            ("topics list --bootstrap 127.0.0.1", 2),
            ("topics list --bootstrap 127.0.0.1:1,b:65536", 2),
            ("topics alter orders --bootstrap 127.0.0.1:1", 2),
            ("configs set --topic orders --bootstrap 127.0.0.1:1", 2),
            ("actors --watch crash /edge --bootstrap 127.0.0.1:1", 2),
            ("actors /edge log --bootstrap 127.0.0.1:1", 2),
        ] {
            assert_eq!(run(parse(line).unwrap()).await, code, "{line}");
        }
    }
}
