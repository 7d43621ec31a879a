//! Listeners and client sessions: Kafka requests in, answers out.
