//! The Apache Kafka wire protocol and record formats.
//!
//! # Duty
//! Turns bytes of Kafka's wire and log into typed values and back, exactly as Kafka 4.3 does.
//!
//! # Messages
//! None: this crate has no actor. [`ids`] and [`error`] are the vocabulary of all others.
//!
//! # Restart
//! Nothing to lose: all functions are pure, but for the random topic id.
//!
//! # Invariants
//! 1. No bytes, however malformed, make a decoder panic.
//! 2. A decoder never allocates more than the bytes left could hold.
//! 3. Record bytes are shared between request, message and response, never copied.
//!
//! # Source
//! Kafka protocol guide; KIP-482 (flexible versions), KIP-511 (ApiVersions), KIP-98 (batches).

pub mod crc;
pub mod error;
pub mod ids;
pub mod records;
