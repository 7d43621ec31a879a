//! Walks batches in a byte range and records in a batch.

use bytes::Bytes;

use super::{BatchError, BatchHeader, Record};

/// Iterator of [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

/// The whole batches at the start of `bytes`, each with its own bytes, shared.
///
/// Ends at the first batch that is cut, which is how a Fetch answer may end; a header that is no
/// header is an error, after which the iterator ends. Checksums are not checked.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches {
        rest: bytes.clone(),
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

/// Iterator of [`records`].
#[derive(Debug)]
pub struct Records {
    rest: Bytes,
}

/// The records of one whole batch, decompressed as they are asked for.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    Ok(Records {
        rest: batch.clone(),
    })
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = &self.rest;
        None
    }
}
