//! One file an API, named after it: its request and its response in every version of Kafka 4.3.
//! Field names are Kafka's in snake case; what a field means to a broker is told where it is handled.
