//! What the keeper decides: which partitions stand on stage, in which directory and in what role.
//! Pure: image, scans and news come in as arguments, steps go out.

mod cast;
mod directories;
mod role;

pub(crate) use cast::{Cast, Step};
