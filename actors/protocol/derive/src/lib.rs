//! Derives the versioned encoding of Kafka messages.
