//! What a session decides, free of sockets, clocks and mailboxes: each file is one decision.

pub(crate) mod closings;
pub(crate) mod fetch_round;
pub(crate) mod fetch_sessions;
pub(crate) mod frames;
pub(crate) mod outbox;
pub(crate) mod pipeline;
pub(crate) mod receive_pool;
