//! `kabuki start`: reads the configuration, runs a node until it is told to stop, and says on standard
//! output when it is ready.

use std::path::PathBuf;
use std::sync::Arc;

use kabuki_controller::broker_config::BrokerConfig;
use kabuki_runtime::{Stage, StageOptions};
use slog::Level;
use tokio::signal::unix::{SignalKind, signal};

use crate::config;
use crate::logging::{self, LogFormat};
use crate::node::Node;

/// Exit codes of the command line.
const EXIT_DONE: i32 = 0;
const EXIT_FAILED: i32 = 1;

/// Listener of a node that is started without a file: this machine only.
const DEFAULT_LISTENERS: &str = "PLAINTEXT://127.0.0.1:9092";

/// Arguments of `kabuki start`.
#[derive(Debug, clap::Args)]
pub(crate) struct StartArgs {
    /// A file of Kafka's properties, such as config/server.properties
    file: Option<PathBuf>,
    /// Sets one key, stronger than file and environment; may be repeated
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Runs a node; returns the exit code of the process.
pub(crate) fn run(args: &StartArgs) -> i32 {
    let (config, warnings) = match read_config(args) {
        Ok(read) => read,
        Err(message) => {
            eprintln!("kabuki: {message}");
            return EXIT_FAILED;
        }
    };
    let (logger, guard) = logging::open(log_format(&config), log_level(&config));
    for warning in warnings {
        slog::warn!(logger, "configuration key without effect";
            "key" => warning.key, "cause" => warning.cause);
    }
    let config = Arc::new(config);
    let options = StageOptions {
        logger: logger.clone(),
        ..StageOptions::default()
    };
    let code = kabuki_runtime::run(options, |stage| serve(stage, config));
    drop(logger);
    drop(guard);
    code
}

type Warnings = Vec<kabuki_controller::broker_config::ConfigWarning>;

fn read_config(args: &StartArgs) -> Result<(BrokerConfig, Warnings), String> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut values = config::gather(args.file.as_deref(), environment, &args.overrides)
        .map_err(|fault| fault.to_string())?;
    if args.file.is_none() {
        values
            .entry("listeners".to_owned())
            .or_insert_with(|| DEFAULT_LISTENERS.to_owned());
    }
    BrokerConfig::parse(values).map_err(|refused| refused.to_string())
}

fn log_format(config: &BrokerConfig) -> LogFormat {
    match config.text("kabuki.log.format") {
        Some("json") => LogFormat::Json,
        Some("terminal") => LogFormat::Terminal,
        _ if std::io::IsTerminal::is_terminal(&std::io::stderr()) => LogFormat::Terminal,
        _ => LogFormat::Json,
    }
}

fn log_level(config: &BrokerConfig) -> Level {
    let level = config
        .text("kabuki.log.level")
        .and_then(|level| level.parse().ok());
    level.unwrap_or(Level::Info)
}

async fn serve(stage: Stage, config: Arc<BrokerConfig>) -> i32 {
    let node_id = config.node_id();
    let node = match Node::start(&stage, config).await {
        Ok(node) => node,
        Err(refused) => {
            eprintln!("kabuki: {refused}");
            return EXIT_FAILED;
        }
    };
    for (listener, address) in node.addresses() {
        println!(
            "kabuki is ready: {listener}://{address} node={node_id} cluster={}",
            node.cluster_id()
        );
    }
    let name = wait_for_signal().await;
    slog::info!(stage.logger(), "stopping"; "signal" => name);
    // A second signal means that the operator has no time: the next start recovers.
    let trouble = tokio::select! {
        trouble = node.stop() => trouble,
        _ = wait_for_signal() => return EXIT_FAILED,
    };
    if trouble.is_empty() {
        slog::info!(stage.logger(), "stopped cleanly");
        return EXIT_DONE;
    }
    for what in trouble {
        slog::warn!(stage.logger(), "not closed in order, recovered at the next start"; "what" => what);
    }
    EXIT_FAILED
}

/// Completes at SIGTERM or SIGINT.
async fn wait_for_signal() -> &'static str {
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = streams else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
