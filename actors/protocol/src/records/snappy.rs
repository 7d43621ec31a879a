//! The xerial block framing around raw snappy.
