//! A node as a process of its own, for tests that stop, kill and restart it. The directory outlives
//! the process, so that a second one finds what the first has left.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// Data directory and settings of a node that may run or not.
pub struct NodeHome {
    directory: TempDir,
    overrides: Vec<String>,
}

impl NodeHome {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder");
        Self { directory, overrides: Vec::new() }
    }

    /// Adds `key=value` to what the node is started with.
    #[allow(dead_code)]
    pub fn with(mut self, setting: &str) -> Self {
        self.overrides.push(setting.to_owned());
        self
    }

    #[allow(dead_code)]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the node and waits until it says that it is ready.
    pub fn start(&self) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kabuki"));
        command.args(["start", "--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
        command.arg("--override").arg(format!("log.dirs={}", self.path().display()));
        for setting in &self.overrides {
            command.args(["--override", setting]);
        }
        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log file");
        let mut child =
            command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary was built");
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let ready = lines.next().and_then(Result::ok);
        let address = ready.as_deref().and_then(address_in);
        let Some(address) = address else {
            let status = child.wait();
            panic!("the node did not start ({status:?}): {}", self.log());
        };
        Node { child, address }
    }

    /// What the node has written to standard error since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// `kabuki is ready: PLAINTEXT://127.0.0.1:40123 node=1 cluster=…`
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split("://").nth(1)?.split(' ').next()?.parse().ok()
}

/// A running node; killed when dropped.
pub struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[allow(dead_code)]
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// SIGKILL: what a crash of the process leaves.
    #[allow(dead_code)]
    pub fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// SIGTERM, and the exit status after an ordered stop.
    #[allow(dead_code)]
    pub fn stop(mut self) -> ExitStatus {
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
