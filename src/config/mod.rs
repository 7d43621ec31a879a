//! Configuration of a node before it has a meaning: files, environment and overrides as key and value.

mod properties;
mod sources;

pub(crate) use sources::gather;
