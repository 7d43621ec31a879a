//! A node as a service: what it tells the service manager that started it, and what it does about the
//! limits that it was started with.

mod support;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use support::{DEADLINE, NodeHome};

/// Where a service manager listens.
struct InitSystem {
    socket: UnixDatagram,
    name: String,
    _directory: tempfile::TempDir,
}

impl InitSystem {
    fn at_path() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("the path is free");
        Self::of(socket, path.display().to_string(), directory)
    }

    fn at_abstract_name() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let name = format!("{}/notify", directory.path().display());
        let address = SocketAddr::from_abstract_name(&name).expect("the name fits");
        let socket = UnixDatagram::bind_addr(&address).expect("the name is free");
        Self::of(socket, format!("@{name}"), directory)
    }

    fn of(socket: UnixDatagram, name: String, directory: tempfile::TempDir) -> Self {
        let wait = socket.set_read_timeout(Some(DEADLINE));
        wait.expect("a deadline for the test");
        Self {
            socket,
            name,
            _directory: directory,
        }
    }

    /// The next message.
    fn heard(&self) -> String {
        let mut buffer = [0; 4_096];
        let length = self.socket.recv(&mut buffer).expect("the node tells");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next message that is no beat, and how many beats came before.
    fn heard_but_beats(&self) -> (String, usize) {
        let mut beats = 0;
        loop {
            match self.heard() {
                beat if beat == "WATCHDOG=1" => beats += 1,
                other => return (other, beats),
            }
        }
    }
}

#[test]
fn a_service_manager_hears_of_the_start_of_life_and_of_the_stop() {
    for manager in [InitSystem::at_path(), InitSystem::at_abstract_name()] {
        let home = NodeHome::new()
            .with_environment("NOTIFY_SOCKET", &manager.name)
            .with_environment("WATCHDOG_USEC", "60000");
        let node = home.start();
        let (ready, beats) = manager.heard_but_beats();
        let address = node.address();
        let status = format!("READY=1\nSTATUS=answers clients on PLAINTEXT://{address}");
        assert_eq!((ready, beats), (status, 0));
        for _ in 0..5 {
            assert_eq!(manager.heard(), "WATCHDOG=1");
        }
        assert!(node.stop().success(), "{}", home.log());
        let (stopping, _) = manager.heard_but_beats();
        assert_eq!(stopping, "STOPPING=1\nSTATUS=closing all logs");
    }
}

#[test]
fn a_node_beats_only_when_it_is_asked_to() {
    let manager = InitSystem::at_path();
    let home = NodeHome::new().with_environment("NOTIFY_SOCKET", &manager.name);
    let node = home.start();
    assert!(manager.heard().starts_with("READY=1\n"));
    assert!(node.stop().success(), "{}", home.log());
    assert!(manager.heard().starts_with("STOPPING=1\n"));
}

#[test]
fn a_node_that_does_not_start_says_why() {
    let manager = InitSystem::at_path();
    let home = NodeHome::new();
    let node = home.start();
    let status = Command::new(env!("CARGO_BIN_EXE_kabuki"))
        .args(["start", "--override"])
        .arg(format!("listeners=PLAINTEXT://{}", node.address()))
        .args(["--override", "log.dirs=/nonexistent/kabuki"])
        .env("NOTIFY_SOCKET", &manager.name)
        .status()
        .expect("the binary was built");
    assert_eq!(status.code(), Some(1));
    let heard = manager.heard();
    let wanted = "STATUS=not started: listener PLAINTEXT: cannot listen on";
    assert!(heard.starts_with(wanted), "{heard}");
}

#[test]
fn a_manager_that_is_not_there_stops_no_node() {
    let home = NodeHome::new().with_environment("NOTIFY_SOCKET", "/nonexistent/notify");
    let node = home.start();
    assert!(node.stop().success());
    let log = home.log();
    assert!(log.contains("cannot be told anything"), "{log}");
}

/// Starts a node with these limits of open files, until it ends by itself.
fn start_with_limit(home: &NodeHome, limit: u32) -> std::process::Output {
    let binary = env!("CARGO_BIN_EXE_kabuki");
    let data = home.data();
    let script = format!(
        "ulimit -n {limit} && exec {binary} start --override listeners=PLAINTEXT://127.0.0.1:0 \
         --override log.dirs={}",
        data.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output();
    output.expect("there is a shell")
}

#[test]
fn a_limit_of_open_files_that_allows_no_node_is_refused_with_what_to_set() {
    let home = NodeHome::new();
    let output = start_with_limit(&home, 100);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("the file-descriptor limit is 100"),
        "{message}"
    );
    assert!(message.contains("ulimit -n 1064"), "{message}");
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_may() {
    let home = NodeHome::new().with_soft_file_limit(200);
    let node = home.start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.process_id()));
    let limits = limits.expect("the node runs");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut fields = line.expect("Linux tells").split_whitespace().skip(3);
    let (soft, hard) = (fields.next(), fields.next());
    assert_eq!(soft, hard, "{limits}");
    assert_ne!(soft, Some("200"));
}
