//! `kabuki start`: reads the configuration, runs a node until it is told to stop, and says on standard
//! output when it is ready.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use kabuki_controller::broker_config::BrokerConfig;
use kabuki_runtime::{Arbiter, Stage, StageOptions};
use slog::Level;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config;
use crate::logging::{self, LogFormat};
use crate::node::Node;
use crate::service::InitSystem;

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
    if !warnings.is_empty() {
        let keys: Vec<String> = warnings
            .iter()
            .map(|warning| format!("{} ({})", warning.key, warning.cause))
            .collect();
        slog::warn!(logger, "configuration without effect"; "keys" => keys.join(", "));
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
    let manager = Arc::new(InitSystem::from_environment().unwrap_or_else(|error| {
        slog::warn!(stage.logger(), "the service manager cannot be told anything";
            "NOTIFY_SOCKET" => std::env::var("NOTIFY_SOCKET").ok(), "cause" => %error);
        InitSystem::none()
    }));
    let node = match Node::start(&stage, config).await {
        Ok(node) => node,
        Err(refused) => {
            eprintln!("kabuki: {refused}");
            manager.status(&format!("not started: {refused}"));
            return EXIT_FAILED;
        }
    };
    // Before anybody hears that the node is ready: who stops it at once is to get an ordered stop.
    let mut signals = StopSignals::install();
    for (listener, address) in node.addresses() {
        println!(
            "kabuki is ready: {listener}://{address} node={node_id} cluster={}",
            node.cluster_id()
        );
    }
    manager.ready(&status(&node));
    let beats = beat(manager.clone(), node.edge_arbiter());
    tokio::pin!(beats);
    let name = tokio::select! {
        name = signals.next() => name,
        never = &mut beats => match never {},
    };
    slog::info!(stage.logger(), "stopping"; "signal" => name);
    manager.stopping("closing all logs");
    // A second signal means that the operator has no time: the next start recovers.
    let trouble = tokio::select! {
        trouble = node.stop() => trouble,
        _ = signals.next() => return EXIT_FAILED,
        never = beats => match never {},
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

/// What `systemctl status` shows of a node that is ready.
fn status(node: &Node) -> String {
    let addresses = node.addresses().iter();
    let addresses: Vec<_> = addresses
        .map(|(listener, address)| format!("{listener}://{address}"))
        .collect();
    let mut status = format!("answers clients on {}", addresses.join(", "));
    match node.offline_directory_count() {
        0 => {}
        count => status += &format!("; {count} log directories are offline"),
    }
    status
}

/// Tells a service manager that asks for it that the node lives, for as long as the thread of the
/// supervisors and the one that answers clients do their work: the first keeps the time, the second
/// sends. A log directory of several that hangs has a thread of its own and does not end the node.
async fn beat(manager: Arc<InitSystem>, edge: Arbiter) -> Infallible {
    let Some(every) = manager.beat_every() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let manager = manager.clone();
        edge.run(move || manager.beat());
    }
}

/// SIGTERM and SIGINT, from the moment of the installation: one that comes while nobody waits counts.
struct StopSignals {
    /// None where the system refuses handlers: then the signals end the process by themselves.
    streams: Option<(Signal, Signal)>,
}

impl StopSignals {
    fn install() -> Self {
        let terminate = signal(SignalKind::terminate());
        let interrupt = signal(SignalKind::interrupt());
        Self {
            streams: terminate.ok().zip(interrupt.ok()),
        }
    }

    /// Completes at the next one.
    async fn next(&mut self) -> &'static str {
        let Some((terminate, interrupt)) = &mut self.streams else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    }
}
