//! One pass over the records of a batch: structure, keys, timestamps and offset deltas.
