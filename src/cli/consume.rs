//! `kabuki consume`: the records of a topic become lines of standard output.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use kabuki_client::{
    Admin, Client, ConsumedRecord, Consumer, ConsumerOptions, FoundOffset, OffsetSpec, StartAt,
};
use kabuki_protocol::ids::Offset;

use super::progress::RecordProgress;
use super::{CliError, ClusterArgs, consume_group, record_json};

/// How long one wait for records lasts; between two of them the end is looked for.
pub(super) const POLL_WAIT: Duration = Duration::from_millis(500);

/// Arguments of `consume`.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    /// Topic to read
    pub(super) topic: String,
    /// Partition to read; may be repeated; all of them if not given
    #[arg(long, short)]
    partition: Vec<i32>,
    /// Starts with the first record that is there; without any start only new records are read
    ///
    /// With a group: of partitions that it has no offset of
    #[arg(long, short = 'b', conflicts_with_all = ["offset", "timestamp"])]
    pub(super) from_beginning: bool,
    /// Starts at this offset; -5 starts five before the end
    #[arg(
        long,
        short,
        allow_negative_numbers = true,
        conflicts_with = "timestamp"
    )]
    offset: Option<i64>,
    /// Starts with the first record at or after this time, in milliseconds since 1970
    #[arg(long, short, value_name = "MS")]
    timestamp: Option<i64>,
    /// Ends after so many records
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(super) max_messages: Option<u64>,
    /// Ends where the partitions ended when the command began
    #[arg(long, short = 'e')]
    pub(super) until_end: bool,
    /// Reads as a member of this group: its partitions, from its offsets on, and commits what was written
    #[arg(long, short, value_name = "ID", conflicts_with_all = ["partition", "offset", "timestamp"])]
    group: Option<String>,
    /// Name that the member keeps over restarts, so that they move nobody's partitions
    #[arg(long, value_name = "ID", requires = "group")]
    pub(super) instance_id: Option<String>,
    /// Writes each record as a line of JSON, with everything it has
    #[arg(long)]
    json: bool,
    /// Writes the key before the value
    #[arg(long, short = 'k', conflicts_with = "json")]
    keys: bool,
    /// Writes the headers before the key
    #[arg(long, short = 'H', conflicts_with = "json")]
    headers: bool,
    /// Text between headers, key and value
    #[arg(long, value_name = "TEXT", default_value = "\t")]
    separator: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What ends the command.
struct Ends {
    /// Records left to be written.
    records_left: Option<u64>,
    /// Partitions that are read up to an offset; `None` reads on for ever.
    partitions: Option<BTreeMap<i32, Offset>>,
}

pub(super) async fn run(args: ConsumeArgs) -> Result<(), CliError> {
    let client = args.cluster.client().await?;
    if let Some(group) = &args.group {
        return consume_group::run(&args, client, group).await;
    }
    let topic = client.topic(&args.topic).await?;
    let mut partitions = args.partition.clone();
    if partitions.is_empty() {
        partitions = topic
            .partitions
            .iter()
            .map(|partition| partition.index)
            .collect();
    }
    for partition in &partitions {
        topic.partition(*partition)?;
    }

    let bounds = Bounds::find(&client, &args, &partitions).await?;
    let mut consumer = Consumer::new(client, ConsumerOptions::default());
    for partition in &partitions {
        consumer.assign(&args.topic, *partition, args.start(bounds.end(*partition)));
    }
    let mut ends = Ends {
        records_left: args.max_messages,
        partitions: bounds.ends(),
    };
    let expected = match (args.max_messages, bounds.expected(&args)) {
        (Some(max), Some(there)) => Some(max.min(there)),
        (max, there) => max.or(there),
    };
    let mut progress = RecordProgress::start("reading", expected, true);
    // Blocks, so that a large answer is not written record by record.
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let result = tokio::select! {
        result = read(&args, &mut consumer, &mut ends, &mut progress, &mut out) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    progress.finish();
    result.and_then(|()| out.flush().map_err(CliError::output))
}

async fn read(
    args: &ConsumeArgs,
    consumer: &mut Consumer,
    ends: &mut Ends,
    progress: &mut RecordProgress,
    out: &mut impl Write,
) -> Result<(), CliError> {
    while !ends.are_reached(consumer, &args.topic) {
        let records = consumer.poll(POLL_WAIT).await?;
        let wanted = records.iter().filter(|record| ends.includes(record));
        let count_max = ends.records_left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        let mut count = 0;
        let mut bytes = 0;
        for record in wanted.take(count_max) {
            args.write(record, out).map_err(CliError::output)?;
            count += 1;
            bytes += record.value.as_ref().map_or(0, |value| value.len() as u64);
        }
        if let Some(left) = &mut ends.records_left {
            *left -= count;
        }
        progress.add(count, bytes);
        out.flush().map_err(CliError::output)?;
    }
    Ok(())
}

impl Ends {
    fn includes(&self, record: &ConsumedRecord) -> bool {
        let Some(partitions) = &self.partitions else {
            return true;
        };
        partitions
            .get(&record.partition)
            .is_some_and(|end| record.offset < *end)
    }

    fn are_reached(&self, consumer: &Consumer, topic: &str) -> bool {
        let is_read = |(partition, end): (&i32, &Offset)| {
            // The position may stand on a batch that holds no record, so it says more than records.
            let position = consumer.position(topic, *partition);
            *end == Offset::ZERO || position.is_some_and(|position| position.next >= *end)
        };
        let all_read = self
            .partitions
            .as_ref()
            .is_some_and(|ends| ends.iter().all(is_read));
        all_read || self.records_left == Some(0)
    }
}

/// Where the partitions begin and end, as far as the command needs to know.
struct Bounds {
    starts: Option<BTreeMap<i32, FoundOffset>>,
    ends: Option<BTreeMap<i32, FoundOffset>>,
    is_until_end: bool,
}

impl Bounds {
    async fn find(
        client: &Client,
        args: &ConsumeArgs,
        partitions: &[i32],
    ) -> Result<Self, CliError> {
        let admin = Admin::new(client.clone());
        let needs_ends = args.until_end || args.offset.is_some_and(|offset| offset < 0);
        let needs_starts = args.until_end && args.from_beginning;
        let mut bounds = Self {
            starts: None,
            ends: None,
            is_until_end: args.until_end,
        };
        if needs_starts {
            let earliest = OffsetSpec::Earliest;
            bounds.starts = Some(
                admin
                    .list_offsets(&args.topic, partitions, earliest)
                    .await?,
            );
        }
        if needs_ends {
            let latest = OffsetSpec::Latest;
            bounds.ends = Some(admin.list_offsets(&args.topic, partitions, latest).await?);
        }
        Ok(bounds)
    }

    fn end(&self, partition: i32) -> Option<Offset> {
        self.ends.as_ref()?.get(&partition)?.offset
    }

    /// Where to stop to read, if that was asked for.
    fn ends(&self) -> Option<BTreeMap<i32, Offset>> {
        let ends = self.ends.as_ref().filter(|_| self.is_until_end)?;
        let known = ends
            .iter()
            .filter_map(|(partition, found)| Some((*partition, found.offset?)));
        Some(known.collect())
    }

    /// How many records there will be, where that is known.
    fn expected(&self, args: &ConsumeArgs) -> Option<u64> {
        let (starts, ends) = (self.starts.as_ref()?, self.ends()?);
        let counts = ends.iter().map(|(partition, end)| {
            let start = starts
                .get(partition)
                .and_then(|found| found.offset)
                .unwrap_or(*end);
            u64::try_from(end.since(start)).unwrap_or(0)
        });
        args.from_beginning.then(|| counts.sum())
    }
}

impl ConsumeArgs {
    fn start(&self, end: Option<Offset>) -> StartAt {
        match (self.from_beginning, self.offset, self.timestamp) {
            (true, _, _) => StartAt::Beginning,
            (false, Some(offset), _) if offset >= 0 => StartAt::Offset(Offset(offset)),
            (false, Some(back), _) => {
                let end = end.map_or(0, Offset::get);
                StartAt::Offset(Offset(end.saturating_add(back).max(0)))
            }
            (false, None, Some(time_ms)) => StartAt::Timestamp(time_ms),
            (false, None, None) => StartAt::End,
        }
    }

    pub(super) fn write(&self, record: &ConsumedRecord, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{}", record_json::to_json(record));
        }
        if self.headers {
            for (at, (name, value)) in record.headers.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(out, "{comma}{name}=")?;
                out.write_all(value.as_deref().unwrap_or(b"null"))?;
            }
            out.write_all(self.separator.as_bytes())?;
        }
        if self.keys {
            out.write_all(record.key.as_deref().unwrap_or(b"null"))?;
            out.write_all(self.separator.as_bytes())?;
        }
        out.write_all(record.value.as_deref().unwrap_or_default())?;
        out.write_all(b"\n")
    }
}
