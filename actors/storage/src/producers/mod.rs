//! Idempotent producers of one log: what each has written last, which decides whether its next batch
//! is new, a resend, or out of order.

mod snapshot;
mod table;

pub use snapshot::{SnapshotRefused, snapshot_file_name};
pub use table::{
    AppliedBatch, KnownProducer, ProducerBatch, ProducerLimits, ProducerRefused, ProducerTable,
    ProducerVerdict,
};
