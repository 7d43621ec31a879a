//! The APIs of consumer groups, one file each: what a request means, which groups it asks, and where its
//! version puts the error. What a group decides is in `kabuki_group`.

pub(super) mod consumer_group_describe;
pub(super) mod consumer_group_heartbeat;
pub(super) mod delete_groups;
pub(super) mod describe_groups;
pub(super) mod heartbeat;
pub(super) mod join_group;
pub(super) mod leave_group;
pub(super) mod list_groups;
pub(super) mod offset_commit;
pub(super) mod offset_delete;
pub(super) mod offset_fetch;
pub(super) mod sync_group;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use kabuki_group::messages::{Answer as GroupAnswer, Client, Request as GroupRequest};
use kabuki_group::names::GroupId;
use kabuki_group::refusal::GroupRefused;
use kabuki_protocol::error::ErrorCode;
use tokio::time::Instant;

use crate::group_refusals::{Asked, group_refused, unready};
use crate::request::RequestContext;
use kabuki_group::CoordinatorRefused;

/// Groups of one request that are asked at the same time.
const GROUPS_AT_ONCE: usize = 64;

/// Operations that anybody may do with a group while there is no authorization: read 3, delete 6,
/// describe 8, describe configs 10, alter configs 11. One bit each (KIP-430).
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Why there is no answer of a group.
#[derive(Debug)]
enum NotAnswered {
    Unready(CoordinatorRefused),
    Refused(GroupRefused),
}

impl NotAnswered {
    fn code(&self, asked: Asked) -> ErrorCode {
        match self {
            Self::Unready(refused) => unready(*refused, asked),
            Self::Refused(refused) => group_refused(refused, asked),
        }
    }

    /// A sentence for a person.
    fn message(&self, asked: Asked) -> String {
        match self {
            Self::Unready(_) => self.code(asked).message().to_owned(),
            Self::Refused(refused) => refused.to_string(),
        }
    }
}

impl From<GroupRefused> for NotAnswered {
    fn from(refused: GroupRefused) -> Self {
        Self::Refused(refused)
    }
}

/// Asks a group and waits for as long as it takes: JoinGroup and SyncGroup wait for other members.
async fn ask_parked(
    group: &GroupId,
    request: GroupRequest,
    context: &RequestContext,
) -> Result<GroupAnswer, NotAnswered> {
    let asking = context.services.groups().ask(group.clone(), request);
    asking.await.map_err(NotAnswered::Unready)
}

/// Asks a group; one that does not answer within `request.timeout.ms` counts as not available.
async fn ask(
    group: &GroupId,
    request: GroupRequest,
    context: &RequestContext,
) -> Result<GroupAnswer, NotAnswered> {
    let limit = context.services.limits.request_timeout;
    let asking = ask_parked(group, request, context);
    match tokio::time::timeout(limit, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(NotAnswered::Unready(CoordinatorRefused::NotAvailable)),
    }
}

/// How long a group that is being rebuilt is asked again, and how often.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// As [`ask`], and again while the group is being rebuilt after a crash: for commits and leaves. Clients send
/// a leave once, and a member that they believe gone would hold its partitions for a whole session; a commit
/// before a rebalance that fails brings records twice. Both may be done twice: the group checks who asks.
/// And for reading offsets: not every client looks for the error, and one that overlooks it begins anew.
async fn ask_patiently(
    group: &GroupId,
    request: GroupRequest,
    context: &RequestContext,
) -> Result<GroupAnswer, NotAnswered> {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let answered = ask(group, request.clone(), context).await;
        if !is_rebuilding(&answered) || Instant::now() >= give_up_at {
            return answered;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_rebuilding(answered: &Result<GroupAnswer, NotAnswered>) -> bool {
    matches!(
        answered,
        Err(NotAnswered::Unready(CoordinatorRefused::Loading))
            | Ok(GroupAnswer::Leave(Err(GroupRefused::Unloaded))
                | GroupAnswer::CommitOffsets(Err(GroupRefused::Unloaded))
                | GroupAnswer::FetchOffsets(Err(GroupRefused::Unloaded))
                | GroupAnswer::ConsumerHeartbeat(Err(GroupRefused::Unloaded)))
    )
}

/// Asks for each of these, a few at a time; the answers come in the order of `asked`.
async fn for_each<T, R, F>(asked: Vec<T>, ask_one: impl Fn(T) -> F) -> Vec<R>
where
    F: Future<Output = R>,
{
    let asking = asked.into_iter().map(ask_one);
    stream::iter(asking)
        .buffered(GROUPS_AT_ONCE)
        .collect()
        .await
}

/// Each group once, in the order of the request, as Kafka answers.
fn once_each(groups: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let is_new = |group: &String| seen.insert(group.clone());
    groups.into_iter().filter(is_new).collect()
}

fn client(context: &RequestContext) -> Client {
    Client {
        id: context.client_id.clone(),
        host: Arc::from(host(context.peer.ip())),
    }
}

/// An address as Java prints it: `/127.0.0.1`, `/0:0:0:0:0:0:0:1`.
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let parts = address.segments().map(|part| format!("{part:x}"));
            format!("/{}", parts.join(":"))
        }
    }
}

/// An answer of another kind than the request: a bug of the coordinator, which costs its connection nothing
/// but a retry.
fn foreign(answer: &GroupAnswer) -> NotAnswered {
    debug_assert!(false, "a group has answered what was not asked: {answer:?}");
    NotAnswered::Unready(CoordinatorRefused::NotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_java_does() {
        for (address, text) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::ffff:10.0.0.1", "/10.0.0.1"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("fe80::a1", "/fe80:0:0:0:0:0:0:a1"),
        ] {
            assert_eq!(host(address.parse().unwrap()), text);
        }
    }
}
