//! Listeners and client sessions: Kafka requests in, answers out.
//!
//! # Duty
//! Turns what clients send over TCP into messages to partitions and controller, and what those say
//! into Kafka's answers, in order, within the limits of the node.
//!
//! # Messages
//! None from outside: a [`Listener`] hears its socket, a [`Session`] its client and the answers to
//! what it asked. What they send is in `kabuki_partition`, `kabuki_controller` and `kabuki_replica`.
//!
//! | file | holds |
//! |---|---|
//! | `listener` | acceptor of one listener |
//! | `actor` | one connection: reading, starting, collecting, writing |
//! | `handlers/` | one file an API key |
//! | `state/` | frames, pipelining, fetch sessions, the rounds of a fetch: pure |
//! | `routes`, `ports` | from a topic name to a partition's mailbox |
//! | `refusals`, `group_refusals` | Kafka's error code for each refusal |
//! | `memory`, `connections` | what bounds all connections together |
//! | `closing_log` | which connections were closed and why, without a line for each |
//!
//! # Restart
//! A listener's socket outlives its actor: connections in its backlog are accepted by the next
//! instance. A session is never restarted; its client connects again. Fetch sessions belong to the
//! node and survive their connection, not the process.
//!
//! # Invariants
//! 1. Answers leave in the order of their requests.
//! 2. Produce overlaps Produce; everything else waits for all before it, and nothing starts behind a
//!    Fetch that waits.
//! 3. No byte of a client can panic a session: what cannot be read closes the connection.
//! 4. Every request that has started is answered or its connection closed, whatever becomes of those
//!    it asked.
//! 5. Bytes of requests and answers are charged to the node's budget from arrival to departure.
//! 6. A connection that has ended is not watched for.
//!
//! # Source
//! Kafka protocol guide; KIP-227 (fetch sessions), KIP-511 (ApiVersions), KIP-402 (connection limits).

mod actor;
mod closing_log;
mod connections;
mod group_refusals;
mod handlers;
mod listener;
mod memory;
mod messages;
mod ports;
mod refusals;
mod request;
mod routes;
mod services;
mod socket;
mod state;

pub use actor::Session;
pub use listener::{BindRefused, BoundListener, Listener, SessionStage, SocketSizes, spec};
pub use ports::{ControllerPort, LogDirPort, PartitionFinder, PartitionPort};
pub use services::{ServicesSpec, SessionServices, WallClock};
