//! How a scene prints answers: short, with names in place of ids and Kafka's codes for refusals.

use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use super::super::*;
use super::scene::{Scene, partitions};
use crate::embedded::read_assignment;
use crate::messages::*;
use crate::names::MemberId;
use crate::partitions::TopicPartitions;

impl Scene {
    /// Answers in order, with ids replaced by names; members learn their epochs on the way.
    pub(super) fn print(&mut self, answers: Vec<(Token, Answer)>) -> String {
        for (token, answer) in &answers {
            if let (Some(who), Answer::Join(Ok(joined))) = (self.open.get(token).cloned(), answer) {
                self.member(&who).id = joined.member_id.clone();
            }
        }
        let mut lines = Vec::new();
        for (token, answer) in answers {
            let who = self.open.remove(&token).expect("a token is answered once");
            let text = self.print_answer(&who, &answer);
            lines.push(match who.is_empty() {
                true => text,
                false => format!("{who}: {text}"),
            });
        }
        lines.join("; ")
    }

    fn print_answer(&mut self, who: &str, answer: &Answer) -> String {
        match answer {
            Answer::Join(Ok(joined)) => {
                let member = self.member(who);
                member.id = joined.member_id.clone();
                member.epoch = joined.generation;
                member.protocol = joined.protocol_name.clone();
                let mut text = format!("joined {}", joined.generation);
                if let Some(leader) = self.name_of(&joined.leader) {
                    text += &format!(" led by {leader}");
                }
                if !joined.members.is_empty() {
                    let names: Vec<String> = joined
                        .members
                        .iter()
                        .filter_map(|member| self.name_of(&member.member_id))
                        .collect();
                    text += &format!(" with {}", names.join(" "));
                }
                if joined.skip_assignment {
                    text + " skip"
                } else {
                    text
                }
            }
            Answer::Join(Err(GroupRefused::MemberIdRequired { member_id })) => {
                self.member(who).id = member_id.clone();
                "has an id".to_owned()
            }
            Answer::Sync(Ok(synced)) => {
                let assigned = read_assignment(&synced.assignment).expect("an assignment");
                let assigned: Vec<String> = assigned
                    .iter()
                    .map(|(topic, number)| format!("{topic}/{number}"))
                    .collect();
                self.member(who).owned = partitions(&assigned.join(","));
                format!("synced {}", assigned.join(" "))
                    .trim_end()
                    .to_owned()
            }
            Answer::ConsumerHeartbeat(Ok(heartbeat)) => {
                let member = self.member(who);
                member.id = heartbeat.member_id.clone();
                member.epoch = heartbeat.member_epoch;
                let mut text = format!("epoch {}", heartbeat.member_epoch);
                if let Some(assignment) = &heartbeat.assignment {
                    member.owned = assignment.clone();
                    text += &format!(" [{}]", self.print_partitions(assignment));
                }
                text
            }
            Answer::Heartbeat(Ok(())) | Answer::DeleteGroup(Ok(())) => "ok".to_owned(),
            Answer::Leave(Ok(left)) => {
                let one = |left: &LeftMember| match &left.result {
                    Ok(()) => "left".to_owned(),
                    Err(refused) => code(refused),
                };
                left.iter().map(one).collect::<Vec<_>>().join(" ")
            }
            Answer::CommitOffsets(Ok(committed)) => {
                let one = |partition: &CommittedPartition| match &partition.result {
                    Ok(()) => "stored".to_owned(),
                    Err(refused) => format!("{refused:?}").split(' ').next().unwrap().to_owned(),
                };
                committed.iter().map(one).collect::<Vec<_>>().join(" ")
            }
            Answer::FetchOffsets(Ok(fetched)) => {
                let one = |fetched: &FetchedOffset| {
                    let offset = fetched
                        .offset
                        .as_ref()
                        .map_or(-1, |offset| offset.offset.get());
                    format!("{}/{}={offset}", fetched.key.topic, fetched.key.partition)
                };
                fetched.iter().map(one).collect::<Vec<_>>().join(" ")
            }
            Answer::DeleteOffsets(Ok(deleted)) => match deleted[0] {
                Ok(()) => "forgotten".to_owned(),
                Err(refused) => format!("{refused:?}"),
            },
            Answer::DescribeClassic(Ok(view)) => format!("{view:?}"),
            Answer::DescribeConsumer(Ok(view)) => format!("{view:?}"),
            Answer::List(listing) => format!("{listing:?}"),
            Answer::Join(Err(refused))
            | Answer::Sync(Err(refused))
            | Answer::Heartbeat(Err(refused))
            | Answer::Leave(Err(refused))
            | Answer::ConsumerHeartbeat(Err(refused))
            | Answer::CommitOffsets(Err(refused))
            | Answer::FetchOffsets(Err(refused))
            | Answer::DeleteOffsets(Err(refused))
            | Answer::DeleteGroup(Err(refused))
            | Answer::DescribeClassic(Err(refused))
            | Answer::DescribeConsumer(Err(refused)) => code(refused),
        }
    }

    fn name_of(&self, id: &MemberId) -> Option<String> {
        if id.is_empty() {
            return None;
        }
        let found = self.members.iter().find(|(_, member)| member.id == *id);
        Some(found.map_or_else(|| id.to_string(), |(name, _)| name.clone()))
    }

    fn print_partitions(&self, partitions: &TopicPartitions) -> String {
        let one = |(topic, number): (TopicId, i32)| {
            let name = self
                .topics
                .by_id(topic)
                .map_or_else(|| Arc::from("?"), |topic| topic.name);
            format!("{name}/{number}")
        };
        partitions.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn print_log(&self) -> String {
        let one = |change: &Change| {
            let kind = match change {
                Change::Offset(..) => "offset",
                Change::ClassicGroup(_) => "classic",
                Change::GroupEpoch(_) => "epoch",
                Change::Member(..) => "member",
                Change::TargetEpoch(_) => "target-epoch",
                Change::Target(..) => "target",
                Change::Current(..) => "current",
                Change::Regex(..) => "regex",
            };
            let sign = if change.is_tombstone() { "-" } else { "" };
            format!("{sign}{kind}")
        };
        self.log.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

/// The Kafka code of a refusal, as its documentation names it.
fn code(refused: &GroupRefused) -> String {
    let code = match refused {
        GroupRefused::UnknownMember { .. } => "25",
        GroupRefused::IllegalGeneration { .. } => "22",
        GroupRefused::FencedInstance { .. } => "82",
        GroupRefused::RebalanceInProgress => "27",
        GroupRefused::InconsistentProtocol => "23",
        GroupRefused::InvalidSessionTimeout { .. } => "26",
        GroupRefused::MemberIdRequired { .. } => "79",
        GroupRefused::GroupFull { .. } => "81",
        GroupRefused::UnknownGroup | GroupRefused::NotConvertible { .. } => "69",
        GroupRefused::OfNobody { cause } => return code(cause) + " of nobody",
        GroupRefused::NotEmpty => "68",
        GroupRefused::FencedMemberEpoch { .. } => "110",
        GroupRefused::StaleMemberEpoch {
            is_classic: false, ..
        } => "113",
        GroupRefused::StaleMemberEpoch {
            is_classic: true, ..
        } => "22",
        GroupRefused::UnreleasedInstance { .. } => "111",
        GroupRefused::UnsupportedAssignor { .. } => "112",
        GroupRefused::InvalidRequest { .. } | GroupRefused::MemberTooLarge { .. } => "42",
        GroupRefused::InvalidRegex { .. } => "128",
        GroupRefused::UnsupportedVersion => "35",
        GroupRefused::NotCommitted { .. } => "not committed",
        GroupRefused::Unloaded => "unloaded",
    };
    code.to_owned()
}
