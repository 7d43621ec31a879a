//! What the keeper decides: which partitions stand on stage, in which directory and in what role.
//! Pure: image, scans and news come in as arguments, steps go out.

mod cast;
mod directories;
mod news;
mod role;
mod scans;
mod step;

#[cfg(test)]
mod tests;

pub(crate) use cast::{Cast, CreateFault};
pub(crate) use directories::{Found, Owner};
pub(crate) use news::Playing;
pub(crate) use step::{Ask, Step};
