//! `kabuki produce`: the lines of standard input become records.

use std::collections::VecDeque;
use std::io::{self, BufRead as _};

use clap::{Args, ValueEnum};
use kabuki_client::{Acks, Delivery, NewRecord, Producer, ProducerOptions};
use kabuki_protocol::records::Compression;
use tokio::sync::mpsc;

use super::progress::RecordProgress;
use super::topics::key_value;
use super::{CliError, ClusterArgs, record_json};

/// Records whose outcome is awaited while others are sent.
const AWAITED_MAX: usize = 20_000;

/// Lines that are read ahead.
const LINES_AHEAD: usize = 4_096;

/// Arguments of `produce`.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// Topic to write to
    topic: String,
    /// Partition to write to; without it the key decides, or chance
    #[arg(long, short)]
    partition: Option<i32>,
    /// Key of all records
    #[arg(long, short, conflicts_with = "key_separator")]
    key: Option<String>,
    /// Text between key and value of each line
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Header of all records; may be repeated
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = key_value)]
    header: Vec<(String, String)>,
    /// Takes lines as `consume --json` writes them
    #[arg(long, conflicts_with_all = ["key", "key_separator", "header"])]
    json: bool,
    /// Writes an empty line as a record without value, which deletes its key in a compacted topic
    #[arg(long)]
    empty_is_null: bool,
    /// Copies to wait for
    #[arg(long, value_enum, default_value = "all")]
    acks: AcksArg,
    /// Codec: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', default_value = "none")]
    compression: Compression,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// `--acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcksArg {
    /// Not even an answer
    #[value(name = "0")]
    None,
    /// The leader's
    #[value(name = "1")]
    Leader,
    /// Those of all replicas in sync; each record is written once
    #[value(name = "all", alias = "-1")]
    All,
}

pub(super) async fn run(args: ProduceArgs) -> Result<(), CliError> {
    let client = args.cluster.client().await?;
    // Asked for at once, so that a wrong name is told before anything is typed.
    client.topic_or_create(&args.topic).await?;
    let producer = Producer::new(
        client,
        ProducerOptions {
            acks: match args.acks {
                AcksArg::None => Acks::None,
                AcksArg::Leader => Acks::Leader,
                AcksArg::All => Acks::All,
            },
            compression: args.compression,
            ..ProducerOptions::default()
        },
    );

    let mut progress = RecordProgress::start("writing", None, false);
    let mut lines = read_lines();
    let mut awaited: VecDeque<Delivery> = VecDeque::new();
    let mut line_number = 0;
    let mut written_count: u64 = 0;
    while let Some(line) = lines.recv().await {
        let line = line.map_err(CliError::io("standard input"))?;
        line_number += 1;
        let record = args.record(&line).map_err(|reason| CliError::Input {
            line: line_number,
            reason,
        })?;
        awaited.push_back(producer.send(record).await?);
        progress.add(1, line.len() as u64);
        if awaited.len() >= AWAITED_MAX
            && let Some(oldest) = awaited.pop_front()
        {
            oldest.await?;
            written_count += 1;
        }
    }
    producer.flush().await?;
    for delivery in awaited {
        delivery.await?;
        written_count += 1;
    }
    progress.finish();
    let noun = if written_count == 1 {
        "record"
    } else {
        "records"
    };
    eprintln!("{written_count} {noun} written to {}", args.topic);
    Ok(())
}

impl ProduceArgs {
    fn record(&self, line: &[u8]) -> Result<NewRecord, String> {
        if self.json {
            let mut record = record_json::from_json(&self.topic, line)?;
            record.partition = self.partition.or(record.partition);
            return Ok(record);
        }
        let mut record = NewRecord::to(&self.topic);
        record.partition = self.partition;
        record.headers = self
            .header
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone().into_bytes().into())))
            .collect();
        let value = match (&self.key, &self.key_separator) {
            (Some(key), _) => {
                record.key = Some(key.clone().into_bytes().into());
                line
            }
            (None, Some(separator)) => {
                let (key, value) = split_at(line, separator.as_bytes())
                    .ok_or_else(|| format!("no {separator:?} between key and value"))?;
                record.key = Some(key.to_vec().into());
                value
            }
            (None, None) => line,
        };
        let is_null = value.is_empty() && self.empty_is_null;
        record.value = (!is_null).then(|| value.to_vec().into());
        Ok(record)
    }
}

fn split_at<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = line
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

/// Reads lines on a thread of its own: standard input cannot be waited for in any other way that
/// works for files, pipes and terminals alike.
fn read_lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.read_until(b'\n', &mut line);
            let item = match read {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            let is_last = item.is_err();
            if sender.blocking_send(item).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_parts_key_and_value() {
        assert_eq!(split_at(b"a::b::c", b"::"), Some((&b"a"[..], &b"b::c"[..])));
        assert_eq!(split_at(b"::", b"::"), Some((&b""[..], &b""[..])));
        assert_eq!(split_at(b"a", b"::"), None);
        assert_eq!(split_at(b"a", b""), None);
    }
}
