//! The Apache Kafka wire protocol and record formats.
