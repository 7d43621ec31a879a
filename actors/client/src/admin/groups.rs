//! Consumer groups: which there are, who is in them, and taking them away.

use std::collections::{BTreeMap, BTreeSet};

use kabuki_protocol::api::ApiKey;
use kabuki_protocol::consumer_protocol::ConsumerProtocolAssignment;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::consumer_group_describe::{self, ConsumerGroupDescribeRequest};
use kabuki_protocol::messages::describe_groups::{self, DescribeGroupsRequest};
use kabuki_protocol::messages::list_groups::ListGroupsRequest;
use kabuki_protocol::messages::{DeleteGroupsRequest, OPERATIONS_NOT_ASKED};

use super::Admin;
use crate::cluster::{Broker, is_passing};
use crate::connection::Connection;
use crate::error::ClientError;

/// One group, as a list of groups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group: String,
    /// `consumer`, `connect` and others; empty for a group that only stores offsets.
    pub protocol_type: String,
    /// `Empty`, `Stable` and others; empty from brokers that do not tell.
    pub state: String,
    /// `classic` or `consumer`; empty from brokers that do not tell.
    pub group_type: String,
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// `Empty`, `Stable` and others.
    pub state: String,
    /// `classic` or `consumer`.
    pub group_type: String,
    /// Name of the assignor in use; empty for none.
    pub assignor: String,
    /// Group epoch of a group of the new protocol.
    pub epoch: Option<i32>,
    /// Broker that coordinates it.
    pub coordinator: Broker,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    pub instance_id: Option<String>,
    /// `client.id` of its client.
    pub client_id: String,
    /// Address of its client, as Kafka prints it: `/127.0.0.1`.
    pub host: String,
    /// Member epoch, in a group of the new protocol.
    pub epoch: Option<i32>,
    /// What it reads; none where the group is not made of consumers.
    pub partitions: BTreeMap<String, BTreeSet<i32>>,
}

impl Admin {
    /// All groups of all brokers, in order of their ids.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        let mut listed = BTreeMap::new();
        // A broker that was away when the client began is asked too.
        self.describe_cluster().await?;
        for broker in self.client.brokers() {
            let mut backoff = self.client.backoff();
            let groups = loop {
                let asked = match self.client.connection_to(broker.id).await {
                    Ok(connection) => list_at(&connection).await,
                    Err(error) => Err(error),
                };
                match asked {
                    Err(error) if is_passing(&error) && backoff.pause().await => {}
                    asked => break asked?,
                }
            };
            for group in groups {
                listed.insert(group.group.clone(), group);
            }
        }
        Ok(listed.into_values().collect())
    }

    /// State and members of a group.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code 69 if there is no such group.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let coordinator = self
            .client
            .at_coordinator(group, async |_| self.client.coordinator(group).await)
            .await?;
        self.client
            .at_coordinator(group, async |connection| {
                let described = match connection.version_of(ApiKey::ConsumerGroupDescribe) {
                    Ok(_) => describe_consumer(&connection, group, &coordinator).await,
                    Err(error) => Err(error),
                };
                match described {
                    Err(error) if !is_passing(&error) => {
                        describe_classic(&connection, group, &coordinator).await
                    }
                    described => described,
                }
            })
            .await
    }

    /// Forgets a group without members, and its offsets.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest {
            groups_names: vec![group.to_owned()],
        };
        self.client
            .at_coordinator(group, async |connection| {
                let answer = connection.call(&request).await?;
                let result = answer.results.first().ok_or_else(|| {
                    ClientError::malformed("DeleteGroups", "the group is not in the answer")
                })?;
                ClientError::check(result.error_code, None, || format!("group {group}"))
            })
            .await
    }
}

async fn list_at(connection: &Connection) -> Result<Vec<GroupListing>, ClientError> {
    let answer = connection.call(&ListGroupsRequest::default()).await?;
    let what = || format!("groups of {}", connection.address());
    ClientError::check(answer.error_code, None, what)?;
    let groups = answer.groups.into_iter().map(|group| GroupListing {
        group: group.group_id,
        protocol_type: group.protocol_type,
        state: group.group_state,
        group_type: group.group_type,
    });
    Ok(groups.collect())
}

async fn describe_consumer(
    connection: &Connection,
    group: &str,
    coordinator: &Broker,
) -> Result<GroupDescription, ClientError> {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.to_owned()],
        include_authorized_operations: false,
    };
    let answer = connection.call(&request).await?;
    let described = answer.groups.into_iter().next().ok_or_else(|| {
        ClientError::malformed("ConsumerGroupDescribe", "the group is not in the answer")
    })?;
    let message = described.error_message.as_deref();
    ClientError::check(described.error_code, message, || format!("group {group}"))?;
    debug_assert_eq!(described.authorized_operations, OPERATIONS_NOT_ASKED);
    Ok(GroupDescription {
        group: described.group_id,
        state: described.group_state,
        group_type: "consumer".to_owned(),
        assignor: described.assignor_name,
        epoch: Some(described.group_epoch),
        coordinator: coordinator.clone(),
        members: described.members.into_iter().map(consumer_member).collect(),
    })
}

fn consumer_member(member: consumer_group_describe::Member) -> GroupMember {
    let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for topic in member.assignment.topic_partitions {
        let of_topic = partitions.entry(topic.topic_name).or_default();
        of_topic.extend(topic.partitions);
    }
    GroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        epoch: Some(member.member_epoch),
        partitions,
    }
}

async fn describe_classic(
    connection: &Connection,
    group: &str,
    coordinator: &Broker,
) -> Result<GroupDescription, ClientError> {
    let request = DescribeGroupsRequest {
        groups: vec![group.to_owned()],
        include_authorized_operations: false,
    };
    let answer = connection.call(&request).await?;
    let described = answer.groups.into_iter().next().ok_or_else(|| {
        ClientError::malformed("DescribeGroups", "the group is not in the answer")
    })?;
    // Brokers below version 6 tell an unknown group by its state alone.
    let code = match &*described.group_state {
        "Dead" => ErrorCode::GroupIdNotFound.code(),
        _ => described.error_code,
    };
    ClientError::check(code, None, || format!("group {group}"))?;
    let is_of_consumers =
        described.protocol_type == kabuki_protocol::consumer_protocol::PROTOCOL_TYPE;
    let members = described.members.into_iter();
    Ok(GroupDescription {
        group: described.group_id,
        state: described.group_state,
        group_type: "classic".to_owned(),
        assignor: described.protocol_data,
        epoch: None,
        coordinator: coordinator.clone(),
        members: members
            .map(|member| classic_member(member, is_of_consumers))
            .collect(),
    })
}

fn classic_member(member: describe_groups::DescribedGroupMember, is_consumer: bool) -> GroupMember {
    let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    // Assignments are written by clients: what cannot be read is shown as none.
    let assigned = ConsumerProtocolAssignment::from_bytes(&member.member_assignment);
    if let Some(assigned) = assigned.ok().filter(|_| is_consumer) {
        for topic in assigned.assigned_partitions {
            let of_topic = partitions.entry(topic.topic).or_default();
            of_topic.extend(topic.partitions);
        }
    }
    GroupMember {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        epoch: None,
        partitions,
    }
}
