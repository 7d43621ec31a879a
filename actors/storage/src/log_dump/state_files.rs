//! Dumps the files beside the segments: producer snapshots, leader epochs, `partition.metadata`.

use std::path::Path;

use super::{Dump, DumpFault};
use crate::epochs::EpochCache;
use crate::partition_metadata;
use crate::producers::{ProducerLimits, ProducerTable};

/// Largest of these files that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

impl Dump<'_> {
    pub(super) fn snapshot(&mut self, path: &Path, name: &str) -> Result<(), DumpFault> {
        self.summary.file_count += 1;
        let content = self.whole(path, FILE_BYTES_MAX)?;
        let table = match ProducerTable::decode_snapshot(&content, ProducerLimits::default()) {
            Ok(table) => table,
            Err(refused) => {
                self.wrong(name, format_args!("{refused}"));
                return Ok(());
            }
        };
        writeln!(self.out, "{name}: {} producers", table.len())?;
        if self.options.batches {
            for known in table.producers() {
                writeln!(
                    self.out,
                    "  producer {} epoch {} last sequence {} timestamp {} coordinator epoch {}",
                    known.producer_id,
                    known.producer_epoch,
                    known.last_sequence,
                    known.last_timestamp,
                    known.coordinator_epoch,
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn epochs(&mut self, path: &Path, name: &str) -> Result<(), DumpFault> {
        self.summary.file_count += 1;
        let content = self.whole(path, FILE_BYTES_MAX)?;
        match EpochCache::decode(&String::from_utf8_lossy(&content)) {
            Ok(epochs) => {
                writeln!(self.out, "{name}: {} epochs", epochs.entries().len())?;
                if self.options.batches {
                    for entry in epochs.entries() {
                        writeln!(
                            self.out,
                            "  epoch {} from offset {}",
                            entry.epoch, entry.start
                        )?;
                    }
                }
            }
            Err(refused) => self.wrong(name, format_args!("{refused}")),
        }
        Ok(())
    }

    pub(super) fn metadata(&mut self, path: &Path, name: &str) -> Result<(), DumpFault> {
        self.summary.file_count += 1;
        let content = self.whole(path, FILE_BYTES_MAX)?;
        match partition_metadata::parse(&String::from_utf8_lossy(&content)) {
            Ok(topic_id) => writeln!(self.out, "{name}: topic id {topic_id}")?,
            Err(reason) => self.wrong(name, format_args!("{reason}")),
        }
        Ok(())
    }
}
