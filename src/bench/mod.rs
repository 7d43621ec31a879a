//! `kabuki bench`: a load generator for any Kafka-compatible broker. It encodes its requests once,
//! patches the few bytes that differ in place and pipelines them, so that the broker is the limit.
//! Nothing here is meant for use in an application: it neither retries nor batches by time.

mod answers;
mod batch;
mod consume;
mod histogram;
mod inbox;
mod lanes;
mod latency;
mod produce;
mod progress;
mod report;
mod stamp;
mod target;
mod train;
mod wire;

use std::io;

use clap::Subcommand;
use kabuki_client::ClientError;
use kabuki_protocol::codec::{DecodeError, EncodeError};
use kabuki_protocol::records::BatchError;

use crate::descriptors;

/// What is to be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Writes records as fast as the broker takes them
    Produce(produce::ProduceArgs),
    /// Reads what a topic holds as fast as the broker gives it
    Consume(consume::ConsumeArgs),
    /// Writes at a steady rate and measures the way to the acknowledgement and to a consumer
    Latency(latency::LatencyArgs),
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The cluster refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A connection under load was refused or broke.
    #[error("connection to {address}: {source}")]
    Connection { address: String, source: io::Error },
    /// The broker closed a connection under load.
    #[error("{address} closed the connection {when}")]
    Closed { address: String, when: &'static str },
    /// The broker does not serve the version that is sent.
    #[error("{address} serves {api} in versions {min} to {max}; this tool sends version {sent}")]
    Unsupported {
        address: String,
        api: &'static str,
        min: i16,
        max: i16,
        sent: i16,
    },
    /// An answer that is not one to what was asked.
    #[error("answer to {what}: {cause}")]
    Answer { what: String, cause: String },
    /// An answer that breaks off or is not of this API.
    #[error("answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// A request that cannot be written.
    #[error("request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// Records that are not sound.
    #[error("records of {what}: {source}")]
    Records { what: String, source: BatchError },
    /// The broker has fallen silent.
    #[error("no answer from the broker for {seconds} s")]
    Silent { seconds: u64 },
    /// The system gave no thread or no event loop.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// Runs one measurement; the answer is the exit code.
pub(crate) async fn run(command: BenchCommand) -> i32 {
    // Thousands of connections are more than the usual soft limit allows.
    descriptors::raise_limit();
    let (result, as_json) = match command {
        BenchCommand::Produce(args) => (produce::run(&args).await, args.target.json),
        BenchCommand::Consume(args) => (consume::run(&args).await, args.target.json),
        BenchCommand::Latency(args) => (latency::run(&args).await, args.target.json),
    };
    match result {
        Ok(report) => {
            report.print(as_json);
            0
        }
        Err(error) => {
            eprintln!("kabuki: {error}");
            match error {
                BenchError::Usage(_) => 2,
                _ => 1,
            }
        }
    }
}
