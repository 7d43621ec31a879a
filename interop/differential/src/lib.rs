//! Puts the same requests to Apache Kafka and to Kabuki and compares the answers field by field.
//!
//! Kafka's answers are recorded (`interop/differential/record`) and kept in `golden/`, so the
//! comparison needs no Java; `tests/differential.rs` runs it. Everything that says *what* is asked
//! and *what* may differ is data:
//!
//! | folder or file | holds |
//! |---|---|
//! | `schemas/` | layout of Kafka's messages |
//! | `sequences/` | requests, one file an API key |
//! | `rules.json` | what is made comparable: ids, times, texts, order |
//! | `golden/` | Kafka's answers, made comparable |
//! | `codes.toml` | error codes by API |
//! | `differences.toml` | where Kabuki answers otherwise on purpose, with the reason |
//! | `pending.toml` | where it does and should not |
//!
//! The codec reads `schemas/` and has no line in common with `actors/protocol`.

mod batch;
mod boundaries;
mod broker;
mod codec;
mod codes;
mod compare;
mod connection;
mod coverage;
mod explore;
mod golden;
mod lists;
mod message;
mod normal;
mod pairs;
mod patterns;
mod play;
mod schema;
mod sequence;
mod subscription;
mod variables;
mod wire;

pub use broker::Kafka;
pub use codec::{CodecReport, check_codec};
pub use codes::{DrawnCodes, ErrorCodes};
pub use compare::{Difference, differences_of, lines_of};
pub use coverage::{Coverage, Uncovered};
pub use explore::{Exploration, Explored, Finding};
pub use golden::Golden;
pub use lists::{Listed, Lists, Verdict};
pub use normal::Rules;
pub use play::{Exchange, play};
pub use schema::{Api, Schemas};
pub use sequence::SequenceFile;

use std::path::{Path, PathBuf};

use thiserror::Error;

/// What stops a run: a file that cannot be read as what it should be, or a broker that does not answer.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Stopped(String);

impl Stopped {
    /// With this cause.
    pub fn because(cause: impl Into<String>) -> Self {
        Self(cause.into())
    }

    /// Because of a file.
    #[must_use]
    pub fn because_of(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

/// The folder of this crate, where its data lies.
#[must_use]
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read_text(path: &Path) -> Result<String, Stopped> {
    std::fs::read_to_string(path).map_err(|error| Stopped::because_of(path, &error))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Stopped> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|error| Stopped::because(format!("{}: {error}", path.display())))
}
