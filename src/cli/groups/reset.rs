//! `kabuki groups reset`: sets the offsets of a group without members.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use kabuki_client::{Admin, CommittedOffset, OffsetSpec, TopicPartition};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use serde_json::json;

use super::super::table::{Align, Columns, print};
use super::super::{CliError, ClusterArgs};
use super::time_text::parse_ms;
use super::{found_offsets, number};

/// Arguments of `groups reset`.
#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// Group whose offsets are set
    group: String,
    /// Topic, or partitions of it as TOPIC:0,1; may be repeated
    #[arg(long, short, value_name = "TOPIC[:PARTITIONS]", value_parser = topic_partitions)]
    topic: Vec<(String, Vec<i32>)>,
    /// All topics that the group has offsets of
    #[arg(long, conflicts_with = "topic", required_unless_present = "topic")]
    all_topics: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// Does it; without this it only shows what it would do
    #[arg(long)]
    execute: bool,
    /// Says that nothing shall be done, which is so without it too
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Writes each partition as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Where to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// The first record that is there
    #[arg(long)]
    to_earliest: bool,
    /// The end: records that are there are not read
    #[arg(long)]
    to_latest: bool,
    /// The offset that is committed, or the end where there is none
    #[arg(long)]
    to_current: bool,
    /// This offset
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// So many records on; negative goes back
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// The first record at or after this time, as 2026-05-01T12:00:00Z or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    to_datetime: Option<i64>,
}

/// Reads `topic` and `topic:0,1`.
fn topic_partitions(text: &str) -> Result<(String, Vec<i32>), String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((topic, list)) => {
            let numbers = list.split(',').map(|number| number.trim().parse());
            let numbers: Result<Vec<i32>, _> = numbers.collect();
            (
                topic,
                numbers.map_err(|_| format!("{list:?} are no partitions"))?,
            )
        }
    };
    match topic.is_empty() {
        true => Err("a topic has a name".to_owned()),
        false => Ok((topic.to_owned(), partitions)),
    }
}

/// What becomes of one partition.
struct Change {
    partition: TopicPartition,
    from: Option<Offset>,
    to: Offset,
}

pub(super) async fn run(args: ResetArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let admin = cluster.admin().await?;
    must_be_empty(&admin, &args.group).await?;
    let committed = admin.group_offsets(&args.group).await?;
    let wanted = wanted(&args, &admin, &committed).await?;
    let changes = changes(&args.target, &admin, &wanted, &committed).await?;
    if changes.is_empty() {
        return print("nothing to reset\n");
    }
    if args.execute {
        let offsets = changes.iter().map(|it| (it.partition.clone(), it.to));
        let offsets: BTreeMap<_, _> = offsets.collect();
        admin.set_group_offsets(&args.group, &offsets).await?;
    }
    if args.json {
        let line = |change: &Change| {
            let line = json!({
                "topic": change.partition.0,
                "partition": change.partition.1,
                "from": change.from.map(Offset::get),
                "to": change.to.get(),
                "done": args.execute,
            });
            format!("{line}\n")
        };
        return print(&changes.iter().map(line).collect::<String>());
    }
    let mut columns = Columns::new(&[
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("FROM", Align::Right),
        ("TO", Align::Right),
    ]);
    for change in &changes {
        let (topic, index) = &change.partition;
        columns.row([
            topic.clone(),
            index.to_string(),
            number(change.from),
            change.to.to_string(),
        ]);
    }
    columns.print()?;
    match args.execute {
        true => print(&format!("reset group {}\n", args.group)),
        false => print("nothing is changed; --execute does it\n"),
    }
}

/// Members would not notice that their offsets have changed.
async fn must_be_empty(admin: &Admin, group: &str) -> Result<(), CliError> {
    match admin.describe_group(group).await {
        Ok(described) if described.members.is_empty() => Ok(()),
        Ok(described) => Err(CliError::Unsound(format!(
            "group {group} has {} members: stop them first",
            described.members.len()
        ))),
        // It comes into being with its offsets.
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn wanted(
    args: &ResetArgs,
    admin: &Admin,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<BTreeSet<TopicPartition>, CliError> {
    if args.all_topics {
        return Ok(committed.keys().cloned().collect());
    }
    let mut wanted = BTreeSet::new();
    for (name, partitions) in &args.topic {
        let topic = admin.describe_topic(name).await?;
        for index in partitions {
            topic.partition(*index)?;
        }
        let all = topic.partitions.iter().map(|of| of.index);
        let chosen = all.filter(|index| partitions.is_empty() || partitions.contains(index));
        wanted.extend(chosen.map(|index| (name.clone(), index)));
    }
    Ok(wanted)
}

/// Where each partition goes. What lies outside of its log is moved to the nearer end, as by Kafka's tool.
async fn changes(
    target: &TargetArgs,
    admin: &Admin,
    wanted: &BTreeSet<TopicPartition>,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<Vec<Change>, CliError> {
    let starts = found_offsets(admin, wanted, OffsetSpec::Earliest).await?;
    let ends = found_offsets(admin, wanted, OffsetSpec::Latest).await?;
    let at_time = match target.to_datetime {
        Some(ms) => found_offsets(admin, wanted, OffsetSpec::AtOrAfter(ms)).await?,
        None => BTreeMap::new(),
    };
    let mut changes = Vec::new();
    for partition in wanted {
        let (Some(start), Some(end)) = (starts.get(partition), ends.get(partition)) else {
            let (topic, index) = partition;
            let cause = format!("partition {topic}-{index} is not there or has no leader");
            return Err(CliError::Unsound(cause));
        };
        let from = committed.get(partition).map(|committed| committed.offset);
        let to = match target {
            TargetArgs {
                to_earliest: true, ..
            } => *start,
            TargetArgs {
                to_latest: true, ..
            } => *end,
            TargetArgs {
                to_current: true, ..
            } => from.unwrap_or(*end),
            TargetArgs {
                to_offset: Some(offset),
                ..
            } => Offset(*offset),
            TargetArgs {
                shift_by: Some(count),
                ..
            } => {
                let from = from.unwrap_or(*end).get();
                Offset(from.saturating_add(*count))
            }
            _ => at_time.get(partition).copied().unwrap_or(*end),
        };
        changes.push(Change {
            partition: partition.clone(),
            from,
            to: to.clamp(*start, (*end).max(*start)),
        });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_its_partitions() {
        let parsed = topic_partitions("orders:0, 3");
        assert_eq!(parsed, Ok(("orders".to_owned(), vec![0, 3])));
        assert_eq!(
            topic_partitions("orders"),
            Ok(("orders".to_owned(), vec![]))
        );
        for wrong in ["", ":1", "orders:", "orders:x"] {
            assert!(topic_partitions(wrong).is_err(), "{wrong}");
        }
    }
}
