//! Kafka's log files, indexes and checkpoints on real and simulated disks.
