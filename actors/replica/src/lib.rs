//! Keeps the log directories and partitions of one node on stage.
