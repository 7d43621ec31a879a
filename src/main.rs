//! The `kabuki` binary: one command line for nodes, clients and operators.

mod cli;
mod config;
mod identity;
mod logging;
mod node;
mod start;

use clap::{Parser, Subcommand};

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
}

fn main() {
    let code = match Arguments::parse().command {
        Command::Start(args) => start::run(&args),
        Command::Client(command) => run_client(command),
    };
    std::process::exit(code);
}

fn run_client(command: cli::Command) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli::run(command)),
        Err(error) => {
            eprintln!("kabuki: cannot start an event loop: {error}");
            1
        }
    }
}
