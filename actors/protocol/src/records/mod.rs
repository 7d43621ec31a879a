//! Record batches and records: layout, validation and compression of what a partition stores.
