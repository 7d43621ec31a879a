//! `kabuki configs`: get and set, for topics, groups and brokers.

use clap::{Args, Subcommand};
use kabuki_client::{ConfigChange, ConfigResource, ConfigSource};
use kabuki_protocol::ids::NodeId;

use super::table::{Align, Columns, print};
use super::topics::key_value;
use super::{CliError, ClusterArgs};

/// Arguments of `configs`.
#[derive(Debug, Args)]
pub(crate) struct ConfigsArgs {
    #[command(subcommand)]
    command: ConfigsCommand,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What to do with configuration.
#[derive(Debug, Subcommand)]
enum ConfigsCommand {
    /// Shows configuration: what was set, or all of it, or single keys
    Get(GetArgs),
    /// Changes configuration while the broker runs
    Set(SetArgs),
}

/// Whose configuration.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ResourceArgs {
    /// Configuration of this topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Configuration of this consumer group
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// Configuration of the broker with this node id
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// What all brokers have that do not say otherwise
    #[arg(long)]
    all_brokers: bool,
}

/// Arguments of `configs get`.
#[derive(Debug, Args)]
struct GetArgs {
    /// Keys to show; without any, those that differ from the default
    keys: Vec<String>,
    /// Shows defaults as well
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    resource: ResourceArgs,
}

/// Arguments of `configs set`.
#[derive(Debug, Args)]
struct SetArgs {
    /// Keys and values to set
    #[arg(value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Key to set back to its default; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Value to add to a list; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Value to take from a list; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
    #[command(flatten)]
    resource: ResourceArgs,
}

impl ResourceArgs {
    fn resource(&self) -> ConfigResource {
        // Exactly one of the four is given.
        match (&self.topic, &self.group, self.broker) {
            (Some(topic), _, _) => ConfigResource::Topic(topic.clone()),
            (_, Some(group), _) => ConfigResource::Group(group.clone()),
            (_, _, Some(id)) => ConfigResource::Broker(NodeId(id)),
            (None, None, None) => ConfigResource::AllBrokers,
        }
    }
}

pub(super) async fn run(args: ConfigsArgs) -> Result<(), CliError> {
    let cluster = &args.cluster;
    match args.command {
        ConfigsCommand::Get(args) => get(args, cluster).await,
        ConfigsCommand::Set(args) => set(args, cluster).await,
    }
}

async fn get(args: GetArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let resource = args.resource.resource();
    let keys: Vec<&str> = args.keys.iter().map(String::as_str).collect();
    let entries = cluster
        .admin()
        .await?
        .describe_configs(&resource, &keys)
        .await?;
    if let Some(missing) = keys
        .iter()
        .find(|key| entries.iter().all(|it| it.key != **key))
    {
        return Err(CliError::Unsound(format!(
            "{resource} has no key {missing}"
        )));
    }
    let shows_all = args.all || !keys.is_empty();
    let shown = entries
        .iter()
        .filter(|it| shows_all || it.source != ConfigSource::Default);
    let mut columns = Columns::new(&[
        ("KEY", Align::Left),
        ("VALUE", Align::Left),
        ("SET BY", Align::Left),
        ("CHANGE", Align::Left),
    ]);
    let mut is_empty = true;
    for entry in shown {
        is_empty = false;
        let hidden = if entry.is_sensitive {
            "(hidden)"
        } else {
            "(none)"
        };
        columns.row([
            entry.key.clone(),
            entry.value.clone().unwrap_or_else(|| hidden.to_owned()),
            entry.source.to_string(),
            if entry.is_read_only {
                "at restart"
            } else {
                "any time"
            }
            .to_owned(),
        ]);
    }
    if is_empty {
        return print(&format!("{resource} has only defaults; --all shows them\n"));
    }
    columns.print()
}

async fn set(args: SetArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let mut changes: Vec<ConfigChange> = Vec::new();
    changes.extend(
        args.set
            .into_iter()
            .map(|(key, value)| ConfigChange::Set(key, value)),
    );
    changes.extend(args.unset.into_iter().map(ConfigChange::Unset));
    changes.extend(
        args.append
            .into_iter()
            .map(|(key, value)| ConfigChange::Append(key, value)),
    );
    let subtract = args.subtract.into_iter();
    changes.extend(subtract.map(|(key, value)| ConfigChange::Subtract(key, value)));
    if changes.is_empty() {
        let hint = "nothing to set: give KEY=VALUE, --unset, --append or --subtract";
        return Err(CliError::Usage(hint.to_owned()));
    }
    let resource = args.resource.resource();
    cluster
        .admin()
        .await?
        .alter_configs(&resource, &changes)
        .await?;
    print(&format!(
        "changed {} of {resource}\n",
        match changes.len() {
            1 => "1 key".to_owned(),
            count => format!("{count} keys"),
        }
    ))
}
