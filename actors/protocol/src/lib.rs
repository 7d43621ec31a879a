//! The Apache Kafka wire protocol and record formats.
//!
//! # Duty
//! Turns bytes of Kafka's wire and log into typed values and back, exactly as Kafka 4.3 does.
//!
//! # Messages
//! None: this crate has no actor. [`ids`] and [`error`] are the vocabulary of all others.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`], [`error`] | offsets, epochs, topic names; Kafka's error codes |
//! | [`codec`] | what a field and a message are; decoder, encoder, `#[derive(Message)]` |
//! | [`api`], [`header`] | table of keys and versions; headers and whole frames |
//! | [`messages`] | one file an API: its request and response in every version |
//! | [`consumer_protocol`] | what consumers tell each other inside JoinGroup and SyncGroup |
//! | [`group_records`] | records of `__consumer_offsets` |
//! | [`records`], [`crc`] | record batches, records and their checksum |
//! | [`private`] | our own APIs beside Kafka's, from key 10000 on |
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

// The derive macro writes absolute paths, also inside this crate.
extern crate self as kabuki_protocol;

pub mod api;
pub mod codec;
pub mod consumer_protocol;
pub mod crc;
pub mod error;
pub mod group_records;
pub mod header;
pub mod ids;
pub mod messages;
pub mod private;
pub mod records;
