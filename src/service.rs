//! What the service manager is told: systemd's notification protocol, one datagram a message to the
//! socket that `NOTIFY_SOCKET` names. Without that name nothing is sent.
//! Source: sd_notify(3), sd_watchdog_enabled(3).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Beats in the time after which the manager ends a process that it hears nothing of: one may be
/// late or lost.
const BEATS_PER_WATCHDOG: u32 = 3;

/// The manager that started this process, if there is one that listens.
pub(crate) struct InitSystem {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl InitSystem {
    /// The one that the environment names.
    ///
    /// # Errors
    /// The socket that is named is not there or is none: the manager would wait for a message that
    /// never comes, and the reason is better told than found.
    pub(crate) fn from_environment() -> io::Result<Self> {
        let text = |name| env::var(name).unwrap_or_default();
        let watchdog = watchdog(
            &text("WATCHDOG_USEC"),
            &text("WATCHDOG_PID"),
            std::process::id(),
        );
        let socket = match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Some(open(&name)?),
            _ => None,
        };
        Ok(Self { socket, watchdog })
    }

    /// A manager that hears nothing.
    pub(crate) fn none() -> Self {
        Self {
            socket: None,
            watchdog: None,
        }
    }

    /// Clients are answered from now on.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The ordered stop has begun.
    pub(crate) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// A line for `systemctl status`.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// The node still answers.
    pub(crate) fn beat(&self) {
        self.send("WATCHDOG=1");
    }

    /// How often a beat is due; `None` where nobody waits for one.
    pub(crate) fn beat_every(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog)
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A manager that has gone away or has no room must not hold up the node.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// A line break would begin another assignment.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

fn open(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// How often to beat. `usec` is the time after which the manager gives up; `pid`, where it is given,
/// is the process that it means.
fn watchdog(usec: &str, pid: &str, own_pid: u32) -> Option<Duration> {
    let is_meant = pid.is_empty() || pid.parse() == Ok(own_pid);
    let usec: u64 = usec.parse().ok().filter(|usec| *usec > 0)?;
    is_meant.then(|| Duration::from_micros(usec) / BEATS_PER_WATCHDOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_fed_three_times_as_often_as_it_asks() {
        assert_eq!(watchdog("60000000", "", 7), Some(Duration::from_secs(20)));
        assert_eq!(watchdog("3000", "7", 7), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_watchdog_of_another_process_or_without_a_time_is_none() {
        for (usec, pid) in [("60000000", "8"), ("", "7"), ("0", "7"), ("soon", "7")] {
            assert_eq!(watchdog(usec, pid, 7), None, "{usec} {pid}");
        }
    }

    #[test]
    fn messages_are_datagrams_to_the_socket_that_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let manager = InitSystem {
            socket: Some(open(path.as_os_str()).unwrap()),
            watchdog: None,
        };
        manager.ready("serves\nclients");
        manager.beat();
        manager.stopping("closing");
        let mut buffer = [0; 200];
        let mut next = || {
            let length = heard.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1\nSTATUS=serves clients");
        assert_eq!(next(), "WATCHDOG=1");
        assert_eq!(next(), "STOPPING=1\nSTATUS=closing");
        assert_eq!(manager.beat_every(), None);
    }

    #[test]
    fn a_socket_that_is_not_there_is_told_and_one_that_went_away_holds_up_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        assert!(open(path.as_os_str()).is_err());
        let heard = UnixDatagram::bind(&path).unwrap();
        let socket = Some(open(path.as_os_str()).unwrap());
        let watchdog = Some(Duration::from_secs(1));
        let manager = InitSystem { socket, watchdog };
        drop(heard);
        manager.status("nobody listens");
        assert_eq!(manager.beat_every(), watchdog);
        assert_eq!(InitSystem::none().beat_every(), None);
    }
}
