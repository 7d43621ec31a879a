//! Apache Kafka as a process: formatted, started, waited for, killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Stopped;

/// What Kafka writes when it serves.
const READY: &str = "Kafka Server started";

/// A running Kafka on a fresh directory, which is deleted with it.
#[derive(Debug)]
pub struct Kafka {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Kafka {
    /// Starts the Kafka whose jars lie in `libs` on a fresh directory below `work`.
    ///
    /// # Errors
    /// When it does not start; its log is named.
    pub fn start(libs: &Path, work: &Path, home: &Path) -> Result<Self, Stopped> {
        let port = free_port()?;
        let folder = work.join(format!("differential-{port}"));
        let told = |what: &Path| {
            let what = what.display().to_string();
            move |error: std::io::Error| Stopped::because(format!("{what}: {error}"))
        };
        std::fs::create_dir_all(&folder).map_err(told(&folder))?;
        let template = crate::read_text(&home.join("kafka.properties"))?;
        let properties = template
            .replace("{port}", &port.to_string())
            .replace("{controller_port}", &free_port()?.to_string())
            .replace("{data}", &folder.join("data").display().to_string());
        let properties_path = folder.join("server.properties");
        std::fs::write(&properties_path, properties).map_err(told(&properties_path))?;
        let log_path = folder.join("kafka.log");
        let mut log = File::create(&log_path).map_err(told(&log_path))?;
        let java = |main: &str| {
            let mut command = Command::new("java");
            // Start-up counts here, not peak speed.
            command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]);
            let logging = home.join("log4j2.properties");
            command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
            command.arg("-cp").arg(format!("{}/*", libs.display()));
            command.arg(main).stdin(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut format = java("kafka.tools.StorageTool");
        format.args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]);
        let formatted = format.arg(&properties_path).stdout(Stdio::null()).status();
        if !formatted.map_err(told(Path::new("java")))?.success() {
            return Err(Stopped::because("Kafka's storage tool failed"));
        }
        let mut server = java("kafka.Kafka");
        server.arg(&properties_path).stdout(Stdio::piped());
        let mut process = server.spawn().map_err(told(Path::new("java")))?;
        let Some(output) = process.stdout.take() else {
            return Err(Stopped::because("Kafka has no output"));
        };
        let kafka = Self {
            process,
            folder,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        let mut lines = BufReader::new(output).lines();
        while let Some(Ok(line)) = lines.next() {
            // The log is for people who look for a cause; the run goes on without it.
            let _ = writeln!(log, "{line}");
            if line.contains(READY) {
                // Its output has to be taken, or Kafka stands still when the pipe is full.
                std::thread::spawn(move || {
                    for line in lines.map_while(Result::ok) {
                        let _ = writeln!(log, "{line}");
                    }
                });
                return Ok(kafka);
            }
        }
        Err(Stopped::because(format!(
            "Kafka did not start: {}",
            log_path.display()
        )))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // All three fail only when there is nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> Result<u16, Stopped> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Stopped::because(format!("no free port: {error}")))
}
