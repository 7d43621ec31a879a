//! A node as a process of its own, for tests that stop, kill and restart it. The directory and the
//! port outlive the process, so that a second one finds what the first has left and its clients find
//! the second.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use kabuki_client::{Client, ClientOptions, ConsumedRecord, Consumer, ConsumerOptions, StartAt};
use std::time::Duration;
use tempfile::TempDir;

/// Long enough for anything that works at all on a loaded machine; only a failure waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Data directory, port and settings of a node that may run or not.
pub(crate) struct NodeHome {
    directory: TempDir,
    overrides: Vec<String>,
    environment: Vec<(String, String)>,
    soft_file_limit: Option<u32>,
    port: Cell<u16>,
}

impl NodeHome {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder");
        Self {
            directory,
            overrides: Vec::new(),
            environment: Vec::new(),
            soft_file_limit: None,
            port: Cell::new(0),
        }
    }

    /// Adds `key=value` to what the node is started with.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.overrides.push(setting.to_owned());
        self
    }

    /// Adds a variable to the environment that the node is started with.
    pub(crate) fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the node with this soft limit of open files; the hard one stays.
    pub(crate) fn with_soft_file_limit(mut self, limit: u32) -> Self {
        self.soft_file_limit = Some(limit);
        self
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the node and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Node {
        let binary = env!("CARGO_BIN_EXE_kabuki");
        let mut command = match self.soft_file_limit {
            None => Command::new(binary),
            Some(limit) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -S -n {limit} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script, binary]);
                shell
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let listener = format!("listeners=PLAINTEXT://127.0.0.1:{}", self.port.get());
        command.args(["start", "--override", &listener]);
        command
            .arg("--override")
            .arg(format!("log.dirs={}", self.data().display()));
        for setting in &self.overrides {
            command.args(["--override", setting]);
        }
        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log file");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary was built");
        let stdout = child.stdout.take().expect("standard output is piped");
        let ready = BufReader::new(stdout).lines().next().and_then(Result::ok);
        let Some(address) = ready.as_deref().and_then(address_in) else {
            let status = child.wait();
            panic!("the node did not start ({status:?}): {}", self.log());
        };
        self.port.set(address.port());
        Node { child, address }
    }

    /// What the node has written to standard error since its last start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// `kabuki is ready: PLAINTEXT://127.0.0.1:40123 node=1 cluster=…`
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split("://").nth(1)?.split(' ').next()?.parse().ok()
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of the process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// A client of this node.
    pub(crate) async fn client(&self) -> Client {
        let options = ClientOptions::at(&self.address.to_string());
        Client::connect(options).await.expect("the node answers")
    }

    /// SIGKILL: what a crash of the process leaves.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// SIGTERM, and the exit status after an ordered stop.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("the process is ours")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one partition from its beginning until `count` records were seen.
pub(crate) async fn read_records(
    client: &Client,
    topic: &str,
    partition: i32,
    count: usize,
) -> Vec<ConsumedRecord> {
    let mut consumer = Consumer::new(client.clone(), ConsumerOptions::default());
    consumer.assign(topic, partition, StartAt::Beginning);
    let mut records = Vec::new();
    let reading = async {
        while records.len() < count {
            let wait = Duration::from_secs(1);
            records.extend(
                consumer
                    .poll(wait)
                    .await
                    .expect("the partition can be read"),
            );
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, reading).await;
    assert!(
        outcome.is_ok(),
        "{topic}-{partition}: {} of {count} records",
        records.len()
    );
    records
}

/// Value of a record as text.
pub(crate) fn text(record: &ConsumedRecord) -> String {
    let value = record.value.as_deref().unwrap_or_default();
    String::from_utf8(value.to_vec()).expect("the test wrote text")
}
