//! One file an API key: what a request means, what it asks of partitions and controller, and what it
//! is answered with. Hot requests (Produce, Fetch) are driven by the session; all others answer at
//! once or as a job of their connection.

mod alter_configs;
mod api_versions;
mod config_changes;
mod crash_actor;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_actors;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
pub(crate) mod fetch;
mod fetch_answer;
mod find_coordinator;
mod groups;
mod hosting;
mod incremental_alter_configs;
mod init_producer_id;
mod list_config_resources;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
pub(crate) mod produce;
mod produce_answer;
pub(crate) mod produce_costly;
mod read_supervision_log;
mod standstill;
mod update_features;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kabuki_protocol::api::ApiKey;
use kabuki_protocol::codec::{DecodeError, EncodedFrame};
use kabuki_protocol::messages::api_versions::ApiVersionsResponse;
use kabuki_protocol::messages::fetch::FetchRequest;
use kabuki_protocol::messages::produce::ProduceRequest;
use kabuki_protocol::private::{
    CrashActor, DescribeActors, PrivateRefused, PrivateRequest, ReadSupervisionLog,
    decode_private_request, encode_private_answer,
};
use serde::Serialize;
use thiserror::Error;

use crate::request::{Answer, Received, RequestContext};
use crate::state::closings::CloseSort;

/// How a request goes on.
pub(crate) enum Started {
    Answered(Answer),
    /// Polled on the session's arbiter; dies with the connection.
    Job(Pin<Box<dyn Future<Output = Answer>>>),
    /// The same, but it waits for other clients, for minutes if need be: it has let go of its request, and
    /// nobody waits for it when its connection ends.
    Parked {
        job: Pin<Box<dyn Future<Output = Answer>>>,
        /// Bytes it holds beside those of its frame.
        held_bytes: usize,
    },
    Produce(ProduceRequest),
    Fetch(FetchRequest),
}

impl Started {
    fn job(job: impl Future<Output = Answer> + 'static) -> Self {
        Self::Job(Box::pin(job))
    }

    fn parked(held_bytes: usize, job: impl Future<Output = Answer> + 'static) -> Self {
        Self::Parked {
            job: Box::pin(job),
            held_bytes,
        }
    }
}

/// A request that is not answered: the connection is closed.
#[derive(Debug, Error)]
pub(crate) enum RequestRefused {
    #[error("api key {api_key} is not served")]
    UnknownApi { api_key: i16 },
    #[error("version {version} of {api} is not served")]
    UnsupportedVersion { api: ApiKey, version: i16 },
    #[error("{api} v{version} cannot be read: {source}")]
    Malformed {
        api: ApiKey,
        version: i16,
        source: DecodeError,
    },
    #[error("private requests are answered to peers on this machine only")]
    NotLoopback,
}

impl RequestRefused {
    /// How the closing is counted.
    pub(crate) fn sort(&self) -> CloseSort {
        match self {
            Self::UnknownApi { .. } => CloseSort::UnknownApi,
            Self::UnsupportedVersion { .. } => CloseSort::UnsupportedVersion,
            Self::Malformed { .. } => CloseSort::Malformed,
            Self::NotLoopback => CloseSort::NotLoopback,
        }
    }
}

/// Reads a request and starts its work.
pub(crate) fn start(
    received: Received,
    context: &RequestContext,
) -> Result<Started, RequestRefused> {
    let api_key = received.header.api_key;
    let Some(api) = received.header.api() else {
        return start_private(&received, context)
            .unwrap_or(Err(RequestRefused::UnknownApi { api_key }));
    };
    let version = context.version;
    if !api.decodes(version) {
        if api == ApiKey::ApiVersions {
            let fallback = ApiVersionsResponse::unsupported_version();
            return Ok(Started::Answered(context.reply_in(0, &fallback)));
        }
        return Err(RequestRefused::UnsupportedVersion { api, version });
    }
    let started = start_kafka(api, received, context);
    started.map_err(|source| RequestRefused::Malformed {
        api,
        version,
        source,
    })
}

/// Bytes of a request that cannot name so many partitions that its own cost is felt by others.
const BYTES_UNBOUNDED: usize = 32 * 1024;

/// Partitions that a request may name although the cluster does not have so many: those of topics that
/// were deleted since the client looked.
const PARTITIONS_UNKNOWN_MAX: usize = 10_000;

/// The same for an OffsetFetch, which may name every partition once for each of many groups.
const OFFSETS_MAX: usize = 100_000;

/// Elements that a partition may take in a request: a Fetch can name it, its topic, and both once more
/// to forget them.
const ELEMENTS_PER_PARTITION: usize = 4;

/// Keeps a request from naming far more partitions than there are: a megabyte of them holds the arbiter
/// for tens of milliseconds, and with it every other connection.
fn bound_partitions(api: ApiKey, received: &mut Received, context: &RequestContext) {
    let names_partitions = matches!(
        api,
        ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::ListOffsets
            | ApiKey::OffsetForLeaderEpoch
            | ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::OffsetDelete
            | ApiKey::DescribeQuorum
            | ApiKey::DescribeLogDirs
            | ApiKey::DescribeProducers
            | ApiKey::DescribeTopicPartitions
    );
    if names_partitions && received.body.left_bytes() > BYTES_UNBOUNDED {
        let known = context.services.image().partition_count();
        let elements_max = match api {
            ApiKey::OffsetFetch => ELEMENTS_PER_PARTITION * known + OFFSETS_MAX,
            _ => ELEMENTS_PER_PARTITION * known + PARTITIONS_UNKNOWN_MAX,
        };
        received.body.limit_elements(elements_max);
    }
}

fn start_kafka(
    api: ApiKey,
    mut received: Received,
    context: &RequestContext,
) -> Result<Started, DecodeError> {
    bound_partitions(api, &mut received, context);
    let owned = || context.clone();
    let started = match api {
        ApiKey::Produce => Started::Produce(received.decode()?),
        ApiKey::Fetch => Started::Fetch(received.decode()?),
        ApiKey::ListOffsets => Started::job(list_offsets::answer(received.decode()?, owned())),
        ApiKey::Metadata => metadata::start(received.decode()?, owned()),
        ApiKey::OffsetCommit => {
            Started::job(groups::offset_commit::answer(received.decode()?, owned()))
        }
        ApiKey::OffsetFetch => {
            Started::job(groups::offset_fetch::answer(received.decode()?, owned()))
        }
        ApiKey::FindCoordinator => {
            Started::job(find_coordinator::answer(received.decode()?, owned()))
        }
        ApiKey::JoinGroup => groups::join_group::start(received.decode()?, owned()),
        ApiKey::Heartbeat => Started::job(groups::heartbeat::answer(received.decode()?, owned())),
        ApiKey::LeaveGroup => {
            Started::job(groups::leave_group::answer(received.decode()?, owned()))
        }
        ApiKey::SyncGroup => groups::sync_group::start(received.decode()?, owned()),
        ApiKey::DescribeGroups => {
            Started::job(groups::describe_groups::answer(received.decode()?, owned()))
        }
        ApiKey::ListGroups => {
            Started::job(groups::list_groups::answer(received.decode()?, owned()))
        }
        ApiKey::ApiVersions => api_versions::answer(&received.decode()?, context),
        ApiKey::CreateTopics => Started::job(create_topics::answer(received.decode()?, owned())),
        ApiKey::DeleteTopics => Started::job(delete_topics::answer(received.decode()?, owned())),
        ApiKey::DeleteRecords => Started::job(delete_records::answer(received.decode()?, owned())),
        ApiKey::InitProducerId => {
            Started::job(init_producer_id::answer(received.decode()?, owned()))
        }
        ApiKey::OffsetForLeaderEpoch => {
            Started::job(offset_for_leader_epoch::answer(received.decode()?, owned()))
        }
        ApiKey::DescribeConfigs => describe_configs::answer(&received.decode()?, context),
        ApiKey::AlterConfigs => Started::job(alter_configs::answer(received.decode()?, owned())),
        ApiKey::CreatePartitions => {
            Started::job(create_partitions::answer(received.decode()?, owned()))
        }
        ApiKey::IncrementalAlterConfigs => Started::job(incremental_alter_configs::answer(
            received.decode()?,
            owned(),
        )),
        ApiKey::DescribeQuorum => describe_quorum::answer(&received.decode()?, context),
        ApiKey::UpdateFeatures => {
            Started::job(update_features::answer(received.decode()?, owned()))
        }
        ApiKey::DescribeLogDirs => {
            Started::job(describe_log_dirs::answer(received.decode()?, owned()))
        }
        ApiKey::DescribeProducers => {
            Started::job(describe_producers::answer(received.decode()?, owned()))
        }
        ApiKey::DescribeTopicPartitions => {
            describe_topic_partitions::answer(&received.decode()?, context)
        }
        ApiKey::DescribeCluster => describe_cluster::answer(&received.decode()?, context),
        ApiKey::DeleteGroups => {
            Started::job(groups::delete_groups::answer(received.decode()?, owned()))
        }
        ApiKey::OffsetDelete => {
            Started::job(groups::offset_delete::answer(received.decode()?, owned()))
        }
        ApiKey::ConsumerGroupHeartbeat => Started::job(groups::consumer_group_heartbeat::answer(
            received.decode()?,
            owned(),
        )),
        ApiKey::ConsumerGroupDescribe => Started::job(groups::consumer_group_describe::answer(
            received.decode()?,
            owned(),
        )),
        ApiKey::ListConfigResources => list_config_resources::answer(&received.decode()?, context),
    };
    Ok(started)
}

/// The shortest and longest time an administrative request may ask for; 0 and less stand for "as long
/// as it takes" in old clients.
const ADMIN_WAIT_MIN: Duration = Duration::from_secs(1);
const ADMIN_WAIT_MAX: Duration = Duration::from_secs(600);

/// How long a change may take, by the `timeout_ms` of its request.
fn admin_wait(timeout_ms: i32) -> Duration {
    match u64::try_from(timeout_ms) {
        Ok(asked) if asked > 0 => {
            Duration::from_millis(asked).clamp(ADMIN_WAIT_MIN, ADMIN_WAIT_MAX)
        }
        _ => Duration::from_secs(30),
    }
}

/// Kabuki's own requests; `None` for keys that nobody has.
fn start_private(
    received: &Received,
    context: &RequestContext,
) -> Option<Result<Started, RequestRefused>> {
    let key = received.header.api_key;
    let is_private = [
        DescribeActors::KEY,
        CrashActor::KEY,
        ReadSupervisionLog::KEY,
    ]
    .contains(&key);
    if !is_private {
        return None;
    }
    if !context.peer.ip().to_canonical().is_loopback() {
        return Some(Err(RequestRefused::NotLoopback));
    }
    Some(Ok(match key {
        DescribeActors::KEY => describe_actors::answer(received, context),
        CrashActor::KEY => crash_actor::answer(received, context),
        _ => read_supervision_log::answer(received, context),
    }))
}

/// Reads the body of a private request of the version this node speaks.
fn private_body<R: PrivateRequest>(received: &Received) -> Result<R, PrivateRefused> {
    if received.header.api_version != R::VERSION {
        return Err(PrivateRefused::Version {
            min: R::VERSION,
            max: R::VERSION,
        });
    }
    decode_private_request(&received.body).ok_or(PrivateRefused::Malformed)
}

fn private_answer<T: Serialize>(
    answer: &Result<T, PrivateRefused>,
    context: &RequestContext,
) -> Answer {
    match encode_private_answer(context.correlation_id, answer) {
        Ok::<EncodedFrame, _>(frame) => Answer::Frame(frame),
        Err(error) => Answer::Close {
            sort: CloseSort::Unanswerable,
            cause: format!("answer cannot be encoded: {error}"),
        },
    }
}
