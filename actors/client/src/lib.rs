//! Async client of a Kafka-compatible broker.
