//! The five codecs of record batches: their numbers, names, levels, and the streaming compressor.

use std::fmt;
use std::str::FromStr;

/// Codec of the records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy; written in xerial blocks, read in xerial blocks or raw.
    Snappy,
    /// lz4 frames.
    Lz4,
    /// zstd frames. Source: KIP-110.
    Zstd,
}

impl Compression {
    /// All codecs, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in bits 0 to 2 of the batch attributes.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with that number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name of the codec in clients and tools.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Level that Kafka uses where none is configured; 0 for the codecs that have no levels.
    ///
    /// Source: KIP-390 (`compression.gzip.level` -1, `compression.lz4.level` 9,
    /// `compression.zstd.level` 3).
    pub const fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is none of Kafka's codecs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("compression '{name}' is none of none, gzip, snappy, lz4, zstd")]
pub struct UnknownCompression {
    /// The name as it came.
    pub name: String,
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    /// Reads a codec name; `uncompressed`, as topics spell it, is `none`.
    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        if name == "uncompressed" {
            return Ok(Self::None);
        }
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCompression {
                name: name.to_owned(),
            })
    }
}
