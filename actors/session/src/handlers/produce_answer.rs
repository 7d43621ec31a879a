//! The answer to Produce: one outcome a partition, grouped by topic as the request was. Versions and
//! behaviour are told in `produce`.

use kabuki_controller::image::MetadataImage;
use kabuki_partition::RecordsAppended;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::produce::{
    BatchIndexAndErrorMessage, NodeEndpoint, PartitionProduceResponse, ProduceResponse,
    TopicProduceResponse,
};
use kabuki_protocol::records::{RecordRefused, RefusedKind};

use super::produce::Waiting;
use crate::refusals;
use crate::request::Answer;
use crate::state::closings::CloseSort;

/// A batch that is in the log.
pub(super) fn appended(index: i32, done: &RecordsAppended) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: done.base_offset.get(),
        log_append_time_ms: done.log_append_time_ms,
        log_start_offset: done.log_start.get(),
        ..PartitionProduceResponse::default()
    }
}

/// A batch that is not, or not surely: all offsets -1.
pub(super) fn failed(index: i32, code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: code.code(),
        ..PartitionProduceResponse::default()
    }
}

/// A batch that is wrong in itself, with the records at fault (KIP-467).
pub(super) fn record_refused(index: i32, refused: &RecordRefused) -> PartitionProduceResponse {
    let record_errors: Vec<_> = refused
        .record_errors
        .iter()
        .map(|error| BatchIndexAndErrorMessage {
            batch_index: error.index,
            batch_index_error_message: Some(error.message.clone().into_owned()),
        })
        .collect();
    let is_told = !record_errors.is_empty() || refused.kind == RefusedKind::Unmeasurable;
    PartitionProduceResponse {
        error_message: is_told.then(|| refused.message.clone()),
        record_errors,
        ..failed(index, refusals::record_refused(refused))
    }
}

/// The whole answer. With acks=0 there is none, and a failure closes the connection so that the
/// client asks for metadata again.
pub(super) fn response(waiting: Waiting, image: &MetadataImage) -> Answer {
    let Waiting {
        context,
        acks,
        topics,
        outcomes,
        leaders,
        ..
    } = waiting;
    if acks == 0 {
        let failed = outcomes.iter().find(|outcome| outcome.error_code != 0);
        return match failed {
            None => Answer::Nothing,
            Some(outcome) => Answer::Close {
                sort: CloseSort::SilentProduce,
                cause: format!(
                    "produce with acks=0 failed with error {}",
                    outcome.error_code
                ),
            },
        };
    }
    let mut outcomes = outcomes.into_iter();
    let responses = topics
        .into_iter()
        // Kafka does not name a topic without partitions again.
        .filter(|topic| topic.count > 0)
        .map(|topic| TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: outcomes.by_ref().take(topic.count).collect(),
        })
        .collect();
    let endpoint = |leader| {
        let broker = image.broker(leader)?;
        let endpoint = broker.endpoint(&context.listener)?;
        Some(NodeEndpoint {
            node_id: leader.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        })
    };
    let mut leaders = leaders;
    leaders.sort_unstable();
    leaders.dedup();
    context.reply(&ProduceResponse {
        responses,
        throttle_time_ms: 0,
        node_endpoints: leaders.into_iter().filter_map(endpoint).collect(),
    })
}
