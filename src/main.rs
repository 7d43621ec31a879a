//! The `kabuki` binary: one command line for nodes, clients and operators.

mod bench;
mod cli;
mod config;
mod descriptors;
mod identity;
mod logging;
mod memory;
mod node;
mod service;
mod start;
mod tree;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// An event broker that speaks the Apache Kafka protocol; everything that can fail is a supervised actor.
#[derive(Debug, Parser)]
#[command(name = "kabuki", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node: on 127.0.0.1:9092 and ./kabuki-data without a file
    Start(start::StartArgs),
    #[command(flatten)]
    Client(cli::Command),
    /// Measures throughput and latency of any Kafka-compatible broker
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

fn main() {
    let command = Arguments::command()
        .mut_subcommand("actors", |actors| actors.after_long_help(tree::legend()));
    let parsed = Arguments::from_arg_matches(&command.get_matches());
    let code = match parsed.unwrap_or_else(|error| error.exit()).command {
        Command::Start(args) => start::run(&args),
        Command::Client(command) => run_client(cli::run(command)),
        Command::Bench(command) => run_client(bench::run(command)),
    };
    std::process::exit(code);
}

fn run_client(work: impl Future<Output = i32>) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("kabuki: cannot start an event loop: {error}");
            1
        }
    }
}
