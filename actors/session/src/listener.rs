//! The acceptor of one listener: takes connections from its socket and puts a session on stage for
//! each. It stops accepting while the node has as many connections as it may have.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kabuki_controller::broker_config::{BrokerConfig, Listener as ListenerConfig};
use kabuki_runtime::{
    Actor, Arbiter, ChildSpec, Context, Fault, Handler, Message, Policy, Supervisor,
};
use rustix::net::sockopt;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use crate::actor::{Connection, Session};
use crate::connections::Room;
use crate::services::SessionServices;
use crate::state::closings::{CloseSort, INTERVAL};

/// Connections taken in one wake-up before others on the arbiter get their turn.
const ACCEPTS_PER_WAKE_MAX: usize = 64;

/// Pause after the system refused to accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Messages a session's mailbox holds. Answers of partitions have reserved slots; nothing else is
/// sent to a session but stop and describe.
const MAILBOX_DATA: usize = 64;
const MAILBOX_CONTROL: usize = 16;

/// Why a listener cannot be opened. Ends the start of the node with a clear line.
#[derive(Debug, Error)]
pub enum BindRefused {
    /// The host is no address and no name that resolves.
    #[error("listener {listener}: cannot resolve {host:?}")]
    UnknownHost {
        /// Name of the listener.
        listener: String,
        /// Host as configured.
        host: String,
        /// What the resolver said.
        source: Option<io::Error>,
    },
    /// The port is in use, or not open to this user.
    #[error("listener {listener}: cannot listen on {address}: {source}")]
    NotBound {
        /// Name of the listener.
        listener: String,
        /// Address that was tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A listener whose socket is bound. Clients that connect now wait for the acceptor.
#[derive(Debug)]
pub struct BoundListener {
    name: Arc<str>,
    socket: StdListener,
    address: SocketAddr,
}

impl BoundListener {
    /// Binds the socket of a configured listener, on all interfaces when it names no host.
    ///
    /// # Errors
    /// The host does not resolve, or the address is not free.
    pub fn bind(config: &ListenerConfig, sizes: SocketSizes) -> Result<Self, BindRefused> {
        let listener = config.name.clone();
        let addresses = resolve(config)?;
        let mut failed = None;
        for address in addresses {
            match open(address, sizes) {
                Ok((socket, address)) => {
                    return Ok(Self {
                        name: listener.as_str().into(),
                        socket,
                        address,
                    });
                }
                Err(source) => failed = Some((address, source)),
            }
        }
        Err(match failed {
            Some((address, source)) => BindRefused::NotBound {
                listener,
                address,
                source,
            },
            None => BindRefused::UnknownHost {
                listener,
                host: config.host.clone(),
                source: None,
            },
        })
    }

    /// Name of the listener, such as `PLAINTEXT`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address bound; its port is the real one where 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn resolve(config: &ListenerConfig) -> Result<Vec<SocketAddr>, BindRefused> {
    if config.host.is_empty() {
        // One socket serves both families where IPv6 is there, else IPv4 alone.
        return Ok(vec![
            SocketAddr::from(([0_u16; 8], config.port)),
            SocketAddr::from(([0_u8; 4], config.port)),
        ]);
    }
    let host = config.host.trim_matches(['[', ']']);
    let addresses = (host, config.port).to_socket_addrs().map_err(|source| {
        let listener = config.name.clone();
        BindRefused::UnknownHost {
            listener,
            host: config.host.clone(),
            source: Some(source),
        }
    })?;
    Ok(addresses.collect())
}

/// What a listener's sockets are set to. Where a key is not set the system chooses: its buffers grow with
/// what a connection needs, which Kafka's defaults would end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketSizes {
    /// `socket.listen.backlog.size`.
    backlog: Option<i32>,
    /// `socket.receive.buffer.bytes`.
    receive_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`.
    send_bytes: Option<usize>,
}

impl SocketSizes {
    /// Reads what the node was started with.
    pub fn of(config: &BrokerConfig) -> Self {
        let set = |key: &str| config.values().get(key)?.trim().parse::<i32>().ok();
        // As in Kafka, -1 leaves it to the system.
        let bytes = |key: &str| usize::try_from(set(key)?).ok();
        Self {
            backlog: set("socket.listen.backlog.size"),
            receive_bytes: bytes("socket.receive.buffer.bytes"),
            send_bytes: bytes("socket.send.buffer.bytes"),
        }
    }

    /// Sets a listening socket; connections take over its buffers when they are accepted.
    fn apply(self, socket: &StdListener) -> io::Result<()> {
        if let Some(bytes) = self.receive_bytes {
            sockopt::set_socket_recv_buffer_size(socket, bytes)?;
        }
        if let Some(bytes) = self.send_bytes {
            sockopt::set_socket_send_buffer_size(socket, bytes)?;
        }
        if let Some(backlog) = self.backlog {
            rustix::net::listen(socket, backlog)?;
        }
        Ok(())
    }
}

fn open(address: SocketAddr, sizes: SocketSizes) -> io::Result<(StdListener, SocketAddr)> {
    // The standard library sets SO_REUSEADDR, so a restart need not wait for old connections.
    let socket = StdListener::bind(address)?;
    sizes.apply(&socket)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Where the sessions of a listener are put on stage.
#[derive(Debug, Clone)]
pub struct SessionStage {
    /// The group `/edge/sessions`.
    pub sessions: Supervisor,
    /// The arbiters sessions run on, taken in turn; not empty. Those that serve the partitions are
    /// best, since a send that crosses no core is ten times cheaper.
    pub arbiters: Vec<Arbiter>,
}

/// The acceptor of one listener.
pub struct Listener {
    name: Arc<str>,
    socket: io::Result<StdListener>,
    acceptor: Option<TcpListener>,
    services: Arc<SessionServices>,
    stage: SessionStage,
    accepted: u64,
    is_paused: bool,
}

/// Time to try again after the system, or `max.connection.creation.rate`, refused to accept.
struct AcceptDue;

impl Message for AcceptDue {
    type Reply = ();
}

/// Time to tell how many connections were closed.
struct ClosingsDue;

impl Message for ClosingsDue {
    type Reply = ();
}

/// The child to start in the group `/edge`, named after the listener in lower case.
///
/// The socket stays open over restarts of the actor, so connections in its backlog are not lost.
pub fn spec(
    bound: BoundListener,
    services: Arc<SessionServices>,
    stage: SessionStage,
) -> ChildSpec<Listener> {
    assert!(
        !stage.arbiters.is_empty(),
        "sessions need an arbiter to run on"
    );
    let child_name = format!("listener-{}", bound.name.to_lowercase());
    ChildSpec::new(child_name, move || Listener {
        name: bound.name.clone(),
        socket: bound.socket.try_clone(),
        acceptor: None,
        services: services.clone(),
        stage: stage.clone(),
        accepted: 0,
        is_paused: false,
    })
    .policy(Policy::default())
}

impl Actor for Listener {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        let socket = match &self.socket {
            Ok(socket) => socket.try_clone()?,
            Err(error) => return Err(Fault::new(format!("listening socket is gone: {error}"))),
        };
        self.acceptor = Some(TcpListener::from_std(socket)?);
        cx.tell_after(INTERVAL, ClosingsDue);
        Ok(())
    }

    fn poll_io(&mut self, task: &mut std::task::Context<'_>, cx: &mut Context<Self>) {
        for _ in 0..ACCEPTS_PER_WAKE_MAX {
            let Some(acceptor) = self.acceptor.as_ref().filter(|_| !self.is_paused) else {
                return;
            };
            self.services.follow_connection_limits();
            let connections = &self.services.connections;
            match connections.room(&self.name, cx.now(), task.waker()) {
                Room::Free => {}
                Room::AfterClose => return,
                Room::After(wait) => {
                    self.is_paused = true;
                    cx.tell_after(wait, AcceptDue);
                    return;
                }
            }
            match acceptor.poll_accept(task) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, peer))) => self.admit(stream, peer, cx),
                Poll::Ready(Err(error)) if is_of_one_connection(&error) => {}
                Poll::Ready(Err(error)) => {
                    // Out of file descriptors or memory. Others may close theirs; a crash would
                    // spend the budget of restarts on what a restart cannot mend.
                    self.note_closing(CloseSort::NotAccepted, &"not known", &error, cx);
                    self.is_paused = true;
                    cx.tell_after(ACCEPT_RETRY, AcceptDue);
                    return;
                }
            }
        }
        cx.wake();
    }

    fn describe(&self) -> String {
        let open = self.services.connections.count();
        format!("{} accepted={} open={open}", self.name, self.accepted)
    }
}

impl Handler<AcceptDue> for Listener {
    fn handle(&mut self, _tick: AcceptDue, cx: &mut Context<Self>) {
        self.is_paused = false;
        cx.wake();
    }
}

impl Handler<ClosingsDue> for Listener {
    fn handle(&mut self, _tick: ClosingsDue, cx: &mut Context<Self>) {
        self.services.closings.tell_due(cx.log(), cx.now());
        cx.tell_after(INTERVAL, ClosingsDue);
    }
}

impl Listener {
    fn note_closing(
        &self,
        sort: CloseSort,
        who: &dyn Display,
        cause: &dyn Display,
        cx: &Context<Self>,
    ) {
        let cause = cause.to_string();
        let closings = &self.services.closings;
        closings.note(cx.log(), cx.now(), sort, who, &cause);
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, cx: &mut Context<Self>) {
        let connections = &self.services.connections;
        let permit = match connections.admit(&self.name, peer.ip(), cx.now()) {
            Ok(permit) => permit,
            Err(refused) => {
                self.note_closing(CloseSort::TooManyFromAddress, &peer, &refused, cx);
                return;
            }
        };
        // The reactor of this arbiter lets go of the socket; that of the session takes it up.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                self.note_closing(CloseSort::NotAccepted, &peer, &error, cx);
                return;
            }
        };
        let number = self.services.next_connection();
        self.accepted += 1;
        let turn = self.accepted as usize % self.stage.arbiters.len();
        let arbiter = &self.stage.arbiters[turn];
        let listener = self.name.clone();
        let mut connection = Some(Connection {
            number,
            listener,
            stream,
            peer,
            permit,
        });
        let services = self.services.clone();
        let session = ChildSpec::new(number.to_string(), move || {
            let connection = connection.take().expect("a session is never started again");
            Session::new(connection, services.clone())
        })
        .on(arbiter)
        .mailbox(MAILBOX_DATA, MAILBOX_CONTROL)
        .policy(Policy::temporary());
        self.stage.sessions.start(session);
    }
}

/// Errors that concern the connection being accepted and say nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn bound(settings: &[(&str, &str)]) -> BoundListener {
        let mut values =
            BTreeMap::from([("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned())]);
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        values.extend(settings);
        let (config, _) = BrokerConfig::parse(values).unwrap();
        BoundListener::bind(&config.listeners()[0], SocketSizes::of(&config)).unwrap()
    }

    fn buffers(socket: &StdListener) -> (usize, usize) {
        let receive = sockopt::socket_recv_buffer_size(socket).unwrap();
        (receive, sockopt::socket_send_buffer_size(socket).unwrap())
    }

    #[test]
    fn buffers_of_sockets_are_as_large_as_they_are_set() {
        let untouched = buffers(&bound(&[]).socket);
        let left = [
            ("socket.receive.buffer.bytes", "-1"),
            ("socket.send.buffer.bytes", "-1"),
        ];
        assert_eq!(buffers(&bound(&left).socket), untouched);
        let set = [
            ("socket.receive.buffer.bytes", "20000"),
            ("socket.send.buffer.bytes", "30000"),
        ];
        // Linux doubles what it is told, to have room for its own bookkeeping.
        assert_eq!(buffers(&bound(&set).socket), (40_000, 60_000));
    }

    #[test]
    fn connections_beyond_the_backlog_are_not_taken_up() {
        let listener = bound(&[("socket.listen.backlog.size", "1")]);
        let address = listener.address();
        let wait = Duration::from_millis(200);
        let connected = (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, wait));
        let open: Vec<_> = connected.filter_map(Result::ok).collect();
        assert!(open.len() < 4, "{} of 4 are waiting", open.len());
    }
}
