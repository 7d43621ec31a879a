//! `kabuki groups`: list, describe, reset, delete.

mod reset;
mod time_text;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use kabuki_client::{
    Admin, CommittedOffset, GroupDescription, GroupListing, GroupMember, OffsetSpec, TopicPartition,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use serde_json::{Value, json};

use super::table::{Align, Columns, NONE, print};
use super::{CliError, ClusterArgs};

/// Arguments of `groups`.
#[derive(Debug, Args)]
pub(crate) struct GroupsArgs {
    #[command(subcommand)]
    command: GroupsCommand,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What to do with consumer groups.
#[derive(Debug, Subcommand)]
enum GroupsCommand {
    /// Lists the groups
    List(ListArgs),
    /// Shows members, offsets and lag of groups
    Describe(DescribeArgs),
    /// Sets the offsets of a group without members; shows what it would do unless told to --execute
    Reset(reset::ResetArgs),
    /// Deletes groups without members, with their offsets
    Delete(DeleteArgs),
}

/// Arguments of `groups list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// Shows groups in this state only: Stable, Empty and others; may be repeated
    #[arg(long)]
    state: Vec<String>,
    /// Shows names only, one on each line
    #[arg(long, conflicts_with = "json")]
    names: bool,
    /// Writes each group as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `groups describe`.
#[derive(Debug, Args)]
struct DescribeArgs {
    /// Groups to describe; all of them if none is given
    groups: Vec<String>,
    /// Writes each group as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `groups delete`.
#[derive(Debug, Args)]
struct DeleteArgs {
    /// Groups to delete
    #[arg(required = true)]
    groups: Vec<String>,
    /// Succeeds if a group does not exist
    #[arg(long)]
    if_exists: bool,
}

pub(super) async fn run(args: GroupsArgs) -> Result<(), CliError> {
    let cluster = &args.cluster;
    match args.command {
        GroupsCommand::List(args) => list(args, cluster).await,
        GroupsCommand::Describe(args) => describe(args, cluster).await,
        GroupsCommand::Reset(args) => reset::run(args, cluster).await,
        GroupsCommand::Delete(args) => delete(args, cluster).await,
    }
}

async fn list(args: ListArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let mut groups = cluster.admin().await?.list_groups().await?;
    let is_wanted = |group: &GroupListing| {
        let mut states = args.state.iter();
        args.state.is_empty() || states.any(|state| state.eq_ignore_ascii_case(&group.state))
    };
    groups.retain(is_wanted);
    if args.json || args.names {
        let line = |group: &GroupListing| match args.json {
            true => format!(
                "{}\n",
                json!({
                    "group": group.group,
                    "type": group.group_type,
                    "protocol_type": group.protocol_type,
                    "state": group.state,
                })
            ),
            false => format!("{}\n", group.group),
        };
        return print(&groups.iter().map(line).collect::<String>());
    }
    if groups.is_empty() {
        return print("no groups\n");
    }
    let mut columns = Columns::new(&[
        ("GROUP", Align::Left),
        ("TYPE", Align::Left),
        ("PROTOCOL", Align::Left),
        ("STATE", Align::Left),
    ]);
    for group in groups {
        columns.row([
            group.group,
            or_dash(group.group_type),
            or_dash(group.protocol_type),
            or_dash(group.state),
        ]);
    }
    columns.print()
}

async fn describe(args: DescribeArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let admin = cluster.admin().await?;
    let groups = if args.groups.is_empty() {
        let listed = admin.list_groups().await?;
        listed.into_iter().map(|group| group.group).collect()
    } else {
        args.groups
    };
    if groups.is_empty() && !args.json {
        return print("no groups\n");
    }
    for (at, group) in groups.iter().enumerate() {
        let lag = Lag::of(&admin, group).await?;
        if args.json {
            print(&format!("{}\n", lag.to_json()))?;
            continue;
        }
        if at > 0 {
            print("\n")?;
        }
        print(&lag.headline())?;
        if !lag.rows.is_empty() {
            lag.table().print()?;
        }
    }
    Ok(())
}

async fn delete(args: DeleteArgs, cluster: &ClusterArgs) -> Result<(), CliError> {
    let admin = cluster.admin().await?;
    for group in &args.groups {
        match admin.delete_group(group).await {
            Ok(()) => print(&format!("deleted group {group}\n"))?,
            Err(error) if args.if_exists && error.code() == Some(ErrorCode::GroupIdNotFound) => {
                print(&format!("group {group} does not exist\n"))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A group, and how far it is behind in each partition that it has read or reads.
struct Lag {
    group: GroupDescription,
    rows: Vec<Row>,
}

/// One partition of a group, or a member that reads none.
struct Row {
    partition: Option<TopicPartition>,
    committed: Option<Offset>,
    end: Option<Offset>,
    member: Option<GroupMember>,
}

impl Row {
    fn lag(&self) -> Option<i64> {
        let (committed, end) = (self.committed?, self.end?);
        // What was cut off since the end was asked for is no lag.
        Some(end.since(committed).max(0))
    }
}

impl Lag {
    async fn of(admin: &Admin, group: &str) -> Result<Self, CliError> {
        let described = admin.describe_group(group).await?;
        let committed = admin.group_offsets(group).await?;
        let mut wanted: BTreeSet<TopicPartition> = committed.keys().cloned().collect();
        for member in &described.members {
            wanted.extend(partitions_of(member));
        }
        let ends = ends(admin, &wanted).await?;
        Ok(Self {
            rows: rows(&described, &wanted, &committed, &ends),
            group: described,
        })
    }

    /// What is said of the group as a whole.
    fn headline(&self) -> String {
        let group = &self.group;
        let total: i64 = self.rows.iter().filter_map(Row::lag).sum();
        let epoch = group
            .epoch
            .map_or(String::new(), |epoch| format!("  epoch {epoch}"));
        let coordinator = &group.coordinator;
        format!(
            "{}  {}  {}  assignor {}{epoch}  members {}  lag {total}  coordinator {} ({})\n",
            shown(&group.group),
            group.group_type,
            shown(&group.state),
            or_dash(shown(&group.assignor)),
            group.members.len(),
            coordinator.id,
            coordinator.address(),
        )
    }

    fn table(&self) -> Columns {
        let mut columns = Columns::new(&[
            ("TOPIC", Align::Left),
            ("PARTITION", Align::Right),
            ("COMMITTED", Align::Right),
            ("END", Align::Right),
            ("LAG", Align::Right),
            ("MEMBER", Align::Left),
            ("INSTANCE", Align::Left),
            ("CLIENT", Align::Left),
            ("HOST", Align::Left),
        ]);
        for row in &self.rows {
            let (topic, partition) = row
                .partition
                .as_ref()
                .map_or((String::new(), None), |(topic, index)| {
                    (topic.clone(), Some(*index))
                });
            let member = row.member.as_ref();
            let text = |of: fn(&GroupMember) -> Option<String>| {
                or_dash(member.and_then(of).unwrap_or_default())
            };
            columns.row([
                or_dash(topic),
                number(partition),
                number(row.committed),
                number(row.end),
                number(row.lag()),
                text(|member| Some(member.member_id.clone())),
                text(|member| member.instance_id.clone()),
                text(|member| Some(member.client_id.clone())),
                text(|member| Some(member.host.clone())),
            ]);
        }
        columns
    }

    fn to_json(&self) -> Value {
        let group = &self.group;
        let offsets = self.rows.iter().filter_map(|row| {
            let (topic, partition) = row.partition.as_ref()?;
            Some(json!({
                "topic": topic,
                "partition": partition,
                "committed": row.committed.map(Offset::get),
                "end": row.end.map(Offset::get),
                "lag": row.lag(),
                "member": row.member.as_ref().map(|member| &member.member_id),
            }))
        });
        let members = group.members.iter().map(|member| {
            json!({
                "member": member.member_id,
                "instance": member.instance_id,
                "client": member.client_id,
                "host": member.host,
                "epoch": member.epoch,
                "partitions": member.partitions,
            })
        });
        json!({
            "group": group.group,
            "type": group.group_type,
            "state": group.state,
            "assignor": group.assignor,
            "epoch": group.epoch,
            "coordinator": group.coordinator.id.get(),
            "members": members.collect::<Vec<_>>(),
            "offsets": offsets.collect::<Vec<_>>(),
        })
    }
}

fn partitions_of(member: &GroupMember) -> impl Iterator<Item = TopicPartition> {
    let topics = member.partitions.iter();
    topics.flat_map(|(topic, indexes)| indexes.iter().map(|index| (topic.clone(), *index)))
}

fn rows(
    group: &GroupDescription,
    wanted: &BTreeSet<TopicPartition>,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ends: &BTreeMap<TopicPartition, Offset>,
) -> Vec<Row> {
    let mut owners = BTreeMap::new();
    for member in &group.members {
        owners.extend(partitions_of(member).map(|partition| (partition, member)));
    }
    let mut rows: Vec<Row> = wanted
        .iter()
        .map(|partition| Row {
            partition: Some(partition.clone()),
            committed: committed.get(partition).map(|committed| committed.offset),
            end: ends.get(partition).copied(),
            member: owners.get(partition).map(|member| (*member).clone()),
        })
        .collect();
    let idle = group
        .members
        .iter()
        .filter(|member| member.partitions.is_empty());
    rows.extend(idle.map(|member| Row {
        partition: None,
        committed: None,
        end: None,
        member: Some(member.clone()),
    }));
    rows
}

/// Ends of those partitions that are there and have a leader; waiting for others would only hide them.
async fn ends(
    admin: &Admin,
    wanted: &BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Offset>, CliError> {
    found_offsets(admin, wanted, OffsetSpec::Latest).await
}

/// An offset of each of those partitions that are there and have a leader.
async fn found_offsets(
    admin: &Admin,
    wanted: &BTreeSet<TopicPartition>,
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, Offset>, CliError> {
    let mut found = BTreeMap::new();
    let names: BTreeSet<&str> = wanted.iter().map(|(topic, _)| &**topic).collect();
    for name in names {
        let topic = match admin.describe_topic(name).await {
            Ok(topic) => topic,
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => continue,
            Err(error) => return Err(error.into()),
        };
        let led = topic.partitions.iter().filter(|of| of.leader.is_some());
        let asked: Vec<i32> = led
            .map(|of| of.index)
            .filter(|index| wanted.contains(&(name.to_owned(), *index)))
            .collect();
        for (index, offset) in admin.list_offsets(name, &asked, spec).await? {
            if let Some(offset) = offset.offset {
                found.insert((name.to_owned(), index), offset);
            }
        }
    }
    Ok(found)
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        NONE.to_owned()
    } else {
        text
    }
}

fn number(value: Option<impl ToString>) -> String {
    value.map_or(NONE.to_owned(), |value| value.to_string())
}

/// Whatever a client has called itself may not move the cursor.
fn shown(text: &str) -> String {
    let shown = |it: char| if it.is_control() { ' ' } else { it };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use kabuki_client::Broker;
    use kabuki_protocol::ids::{LeaderEpoch, NodeId};

    use super::*;

    fn member(id: &str, partitions: &[i32]) -> GroupMember {
        let mut of_topics = BTreeMap::new();
        if !partitions.is_empty() {
            of_topics.insert("orders".to_owned(), partitions.iter().copied().collect());
        }
        GroupMember {
            member_id: id.to_owned(),
            instance_id: None,
            client_id: "app".to_owned(),
            host: "/10.0.0.1".to_owned(),
            epoch: None,
            partitions: of_topics,
        }
    }

    fn lag() -> Lag {
        let group = GroupDescription {
            group: "billing".to_owned(),
            state: "Stable".to_owned(),
            group_type: "classic".to_owned(),
            assignor: "range".to_owned(),
            epoch: None,
            coordinator: Broker {
                id: NodeId(1),
                host: "127.0.0.1".to_owned(),
                port: 9092,
                rack: None,
            },
            members: vec![member("a", &[0, 1]), member("b", &[])],
        };
        let committed = |offset| CommittedOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(0),
            metadata: String::new(),
        };
        let of = |index| ("orders".to_owned(), index);
        let committed = BTreeMap::from([(of(0), committed(7)), (of(2), committed(12))]);
        let ends = BTreeMap::from([(of(0), Offset(10)), (of(1), Offset(5)), (of(2), Offset(11))]);
        let wanted = BTreeSet::from([of(0), of(1), of(2)]);
        Lag {
            rows: rows(&group, &wanted, &committed, &ends),
            group,
        }
    }

    #[test]
    fn a_group_shows_what_it_has_read_what_it_reads_and_who_reads_nothing() {
        let lag = lag();
        let lags: Vec<Option<i64>> = lag.rows.iter().map(Row::lag).collect();
        assert_eq!(lags, [Some(3), None, Some(0), None]);
        let table = lag.table().text(None);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 5, "{table}");
        for (line, parts) in [
            (1, ["orders", "7", "10", "3", "/10.0.0.1"]),
            (2, ["orders", "-", "5", "-", "app"]),
            (3, ["orders", "12", "11", "0", "-"]),
            (4, ["-", "-", "-", "b", "app"]),
        ] {
            for part in parts {
                let is_there = lines[line].split_whitespace().any(|word| word == part);
                assert!(is_there, "{part} is missing in {}", lines[line]);
            }
        }
        assert!(
            lag.headline().contains("members 2  lag 3"),
            "{}",
            lag.headline()
        );
    }

    #[test]
    fn a_group_as_json_has_nulls_where_nothing_is_known() {
        let json = lag().to_json();
        assert_eq!(json["offsets"][1]["committed"], Value::Null);
        assert_eq!(json["offsets"][0]["lag"], 3);
        assert_eq!(json["offsets"][2]["member"], Value::Null);
        assert_eq!(json["members"][0]["partitions"]["orders"], json!([0, 1]));
        assert_eq!(json["coordinator"], 1);
    }
}
