//! `kabuki topics`: create, list, describe, alter, delete.

use clap::{Args, Subcommand};
use kabuki_client::{
    Admin, ClientError, ConfigChange, ConfigResource, ConfigSource, NewTopic, OffsetSpec, Topic,
};
use kabuki_protocol::error::ErrorCode;

use super::table::{Align, Columns, NONE, joined, print};
use super::{CliError, ClusterArgs};

/// Arguments of `topics`.
#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Creates a topic
    Create(CreateArgs),
    /// Lists the topics
    List(ListArgs),
    /// Shows partitions, leaders, offsets and configuration of topics
    Describe(DescribeArgs),
    /// Adds partitions to a topic, and changes its configuration
    Alter(AlterArgs),
    /// Deletes topics with all their records
    Delete(DeleteArgs),
}

/// Arguments of `topics create`.
#[derive(Debug, Args)]
struct CreateArgs {
    /// Name of the topic
    topic: String,
    /// Number of partitions; the broker's num.partitions if not given
    #[arg(long, short, value_name = "COUNT")]
    partitions: Option<i32>,
    /// Replicas of each partition; the broker's default if not given
    #[arg(long, value_name = "COUNT")]
    replication_factor: Option<i16>,
    /// Configuration of the topic; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// Succeeds if the topic exists
    #[arg(long)]
    if_not_exists: bool,
}

/// Arguments of `topics list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// Shows the brokers' own topics as well
    #[arg(long)]
    internal: bool,
    /// Shows names only, one on each line
    #[arg(long)]
    names: bool,
}

/// Arguments of `topics describe`.
#[derive(Debug, Args)]
struct DescribeArgs {
    /// Topics to describe; all of them if none is given
    topics: Vec<String>,
}

/// Arguments of `topics alter`.
#[derive(Debug, Args)]
struct AlterArgs {
    /// Name of the topic
    topic: String,
    /// Number of partitions it shall have; partitions cannot be taken away
    #[arg(long, short, value_name = "COUNT")]
    partitions: Option<i32>,
    /// Configuration to set; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// Configuration to set back to its default; may be repeated
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
}

/// Arguments of `topics delete`.
#[derive(Debug, Args)]
struct DeleteArgs {
    /// Topics to delete
    #[arg(required = true)]
    topics: Vec<String>,
    /// Succeeds if a topic does not exist
    #[arg(long)]
    if_exists: bool,
}

/// Reads `key=value`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

pub(super) async fn run(args: TopicsArgs) -> Result<(), CliError> {
    let cluster = &args.cluster;
    match args.command {
        TopicsCommand::Create(args) => create(args, cluster).await,
        TopicsCommand::List(args) => list(args, cluster).await,
        TopicsCommand::Describe(args) => describe(args, cluster).await,
        TopicsCommand::Alter(args) => alter(args, cluster).await,
        TopicsCommand::Delete(args) => delete(args, cluster).await,
    }
}

async fn create(args: CreateArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let topic = NewTopic {
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        configs: args.config.into_iter().collect(),
        ..NewTopic::named(&args.topic)
    };
    match cluster.admin().await?.create_topic(&topic).await {
        Ok(created) => {
            let shape = match (created.partitions, created.replication_factor) {
                (Some(partitions), Some(replicas)) => {
                    format!(
                        " with {} and {}",
                        counted(partitions, "partition"),
                        counted(replicas, "replica")
                    )
                }
                _ => String::new(),
            };
            print(&format!("created topic {}{shape}\n", args.topic))
        }
        Err(error) if args.if_not_exists && is_code(&error, ErrorCode::TopicAlreadyExists) => {
            print(&format!("topic {} exists\n", args.topic))
        }
        Err(error) => Err(error.into()),
    }
}

async fn list(args: ListArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let topics = cluster.admin().await?.list_topics().await?;
    let shown: Vec<&Topic> = topics
        .iter()
        .filter(|topic| args.internal || !topic.is_internal)
        .collect();
    if args.names {
        return print(
            &shown
                .iter()
                .map(|topic| format!("{}\n", topic.name))
                .collect::<String>(),
        );
    }
    if shown.is_empty() {
        return print("no topics\n");
    }
    let mut columns = Columns::new(&[
        ("TOPIC", Align::Left),
        ("PARTITIONS", Align::Right),
        ("REPLICAS", Align::Right),
        ("OFFLINE", Align::Right),
        ("ID", Align::Left),
    ]);
    for topic in shown {
        let offline = topic
            .partitions
            .iter()
            .filter(|it| it.leader.is_none())
            .count();
        columns.row([
            topic.name.clone(),
            topic.partitions.len().to_string(),
            topic
                .partitions
                .first()
                .map_or(0, |it| it.replicas.len())
                .to_string(),
            offline.to_string(),
            topic.id.to_string(),
        ]);
    }
    columns.print()
}

async fn describe(args: DescribeArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let admin = cluster.admin().await?;
    let topics = if args.topics.is_empty() {
        admin.list_topics().await?
    } else {
        let mut topics = Vec::new();
        for name in &args.topics {
            topics.push(admin.describe_topic(name).await?);
        }
        topics
    };
    if topics.is_empty() {
        return print("no topics\n");
    }
    for (at, topic) in topics.iter().enumerate() {
        if at > 0 {
            print("\n")?;
        }
        describe_one(&admin, topic).await?;
    }
    Ok(())
}

async fn describe_one(admin: &Admin, topic: &Topic) -> Result<(), CliError> {
    let resource = ConfigResource::Topic(topic.name.clone());
    let configs = admin.describe_configs(&resource, &[]).await?;
    let set = configs
        .iter()
        .filter(|entry| entry.source == ConfigSource::Topic);
    let set = joined(set.map(|entry| {
        format!(
            "{}={}",
            entry.key,
            entry.value.as_deref().unwrap_or("(hidden)")
        )
    }));
    let configs = if set.is_empty() {
        "defaults".to_owned()
    } else {
        set
    };
    print(&format!(
        "{}  id {}  configs: {configs}\n",
        topic.name, topic.id
    ))?;

    let mut columns = Columns::new(&[
        ("PARTITION", Align::Right),
        ("LEADER", Align::Right),
        ("EPOCH", Align::Right),
        ("REPLICAS", Align::Left),
        ("ISR", Align::Left),
        ("START", Align::Right),
        ("END", Align::Right),
        ("RECORDS", Align::Right),
    ]);
    // Offsets of partitions without a leader cannot be had; waiting for one would only hide that.
    let led: Vec<i32> = topic
        .partitions
        .iter()
        .filter(|it| it.leader.is_some())
        .map(|it| it.index)
        .collect();
    let starts = admin
        .list_offsets(&topic.name, &led, OffsetSpec::Earliest)
        .await?;
    let ends = admin
        .list_offsets(&topic.name, &led, OffsetSpec::Latest)
        .await?;
    for partition in &topic.partitions {
        let start = starts.get(&partition.index).and_then(|found| found.offset);
        let end = ends.get(&partition.index).and_then(|found| found.offset);
        let records = start.zip(end).map(|(start, end)| end.since(start));
        columns.row([
            partition.index.to_string(),
            partition
                .leader
                .map_or("none".to_owned(), |leader| leader.to_string()),
            partition.leader_epoch.to_string(),
            joined(&partition.replicas),
            joined(&partition.isr),
            or_dash(start),
            or_dash(end),
            or_dash(records),
        ]);
    }
    columns.print()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or(NONE.to_owned(), |value| value.to_string())
}

async fn alter(args: AlterArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let mut changes: Vec<ConfigChange> = Vec::new();
    changes.extend(
        args.config
            .into_iter()
            .map(|(key, value)| ConfigChange::Set(key, value)),
    );
    changes.extend(args.delete_config.into_iter().map(ConfigChange::Unset));
    if args.partitions.is_none() && changes.is_empty() {
        let hint = "nothing to alter: give --partitions, --config or --delete-config";
        return Err(CliError::Usage(hint.to_owned()));
    }
    let admin = cluster.admin().await?;
    if !changes.is_empty() {
        admin
            .alter_configs(&ConfigResource::Topic(args.topic.clone()), &changes)
            .await?;
    }
    if let Some(count) = args.partitions {
        admin.create_partitions(&args.topic, count).await?;
    }
    print(&format!("altered topic {}\n", args.topic))
}

async fn delete(args: DeleteArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let admin = cluster.admin().await?;
    for topic in &args.topics {
        match admin.delete_topic(topic).await {
            Ok(()) => print(&format!("deleted topic {topic}\n"))?,
            Err(error) if args.if_exists && is_code(&error, ErrorCode::UnknownTopicOrPartition) => {
                print(&format!("topic {topic} does not exist\n"))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_code(error: &ClientError, code: ErrorCode) -> bool {
    error.code() == Some(code)
}

/// `1 partition`, `8 partitions`.
fn counted(count: impl Into<i64>, noun: &str) -> String {
    let count = count.into();
    if count == 1 {
        format!("{count} {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_needs_a_key_and_may_have_an_empty_value() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value(" a = "), Ok(("a".to_owned(), String::new())));
        assert!(key_value("=b").is_err() && key_value("a").is_err());
    }
}
