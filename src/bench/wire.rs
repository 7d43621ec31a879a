//! The frames that are sent, encoded once, and where their changing fields lie. Versions: Produce 7 and Fetch 11, the newest without compact fields, which
//! brokers from Kafka 2.3 on serve.

use bytes::Bytes;
use kabuki_protocol::header::encode_request;
use kabuki_protocol::messages::fetch::{FetchPartition, FetchTopic};
use kabuki_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use kabuki_protocol::messages::{FetchRequest, ProduceRequest};

use super::BenchError;

pub(super) const PRODUCE_VERSION: i16 = 7;
pub(super) const FETCH_VERSION: i16 = 11;

/// An API with the version that is sent.
pub(super) struct Api {
    pub(super) key: i16,
    pub(super) name: &'static str,
    pub(super) version: i16,
}

pub(super) const PRODUCE: Api = Api {
    key: 0,
    name: "Produce",
    version: PRODUCE_VERSION,
};

pub(super) const FETCH: Api = Api {
    key: 1,
    name: "Fetch",
    version: FETCH_VERSION,
};

const CLIENT_ID: &str = "kabuki-bench";

/// Where the correlation id of a request lies: behind length, key and version.
const CORRELATION_AT: usize = 8;

/// How long a broker may wait for other replicas.
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// How long a broker may wait for new records.
const FETCH_WAIT_MS: i32 = 500;

/// A Produce request with one batch for one partition.
pub(super) struct ProduceFrame {
    pub(super) bytes: Vec<u8>,
    /// Where the number of the partition lies.
    partition_at: usize,
    /// Where the batch begins; it ends with the frame.
    pub(super) batch_at: usize,
}

impl ProduceFrame {
    pub(super) fn new(topic: &str, acks: i16, batch: &Bytes) -> Result<Self, BenchError> {
        let request = ProduceRequest {
            acks,
            timeout_ms: PRODUCE_TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned(),
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(batch.clone()),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let frame = encode_request(PRODUCE_VERSION, 0, Some(CLIENT_ID), &request)?;
        let bytes = frame.into_chunks().concat();
        let batch_at = bytes.len() - batch.len();
        Ok(Self {
            bytes,
            partition_at: batch_at - size_of::<i32>() - size_of::<i32>(),
            batch_at,
        })
    }

    /// Writes correlation id and partition into a copy of this frame.
    pub(super) fn address(&self, copy: &mut [u8], correlation_id: i32, partition: i32) {
        put_i32(copy, CORRELATION_AT, correlation_id);
        put_i32(copy, self.partition_at, partition);
    }
}

/// A Fetch request for one partition.
pub(super) struct FetchFrame {
    bytes: Vec<u8>,
    partition_at: usize,
    offset_at: usize,
}

impl FetchFrame {
    pub(super) fn new(topic: &str, bytes_max: i32) -> Result<Self, BenchError> {
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: bytes_max,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic.to_owned(),
                partitions: vec![FetchPartition {
                    current_leader_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: bytes_max,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let frame = encode_request(FETCH_VERSION, 0, Some(CLIENT_ID), &request)?;
        let bytes = frame.into_chunks().concat();
        // Behind the partition: its bytes_max, no forgotten topics, an empty rack.
        let behind = size_of::<i32>() + size_of::<i32>() + size_of::<i16>();
        let log_start_at = bytes.len() - behind - size_of::<i64>();
        let offset_at = log_start_at - size_of::<i64>();
        let leader_epoch_at = offset_at - size_of::<i32>();
        Ok(Self {
            partition_at: leader_epoch_at - size_of::<i32>(),
            bytes,
            offset_at,
        })
    }

    /// The request for what follows `offset`.
    pub(super) fn ask(&mut self, correlation_id: i32, partition: i32, offset: i64) -> &[u8] {
        put_i32(&mut self.bytes, CORRELATION_AT, correlation_id);
        put_i32(&mut self.bytes, self.partition_at, partition);
        let field = self.offset_at..self.offset_at + size_of::<i64>();
        self.bytes[field].copy_from_slice(&offset.to_be_bytes());
        &self.bytes
    }
}

/// ApiVersions version 0: answered by every broker, and after all requests before it.
pub(super) fn api_versions_frame(correlation_id: i32) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 10, 0, 18, 0, 0];
    frame.extend(correlation_id.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    frame
}

fn put_i32(frame: &mut [u8], at: usize, value: i32) {
    frame[at..at + size_of::<i32>()].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use kabuki_protocol::codec::{Decoder, Message as _};
    use kabuki_protocol::header::RequestHeader;

    use super::*;

    fn body(frame: &[u8]) -> (RequestHeader, Decoder) {
        let (length, rest) = frame.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, rest.len());
        let mut decoder = Decoder::new(Bytes::copy_from_slice(rest));
        (RequestHeader::decode(&mut decoder).unwrap(), decoder)
    }

    #[test]
    fn a_patched_produce_request_decodes_to_what_was_patched_in() {
        for batch in [Bytes::from(vec![5; 90]), Bytes::from(vec![5; 9_000])] {
            let frame = ProduceFrame::new("orders", 1, &batch).unwrap();
            let mut copy = frame.bytes.clone();
            frame.address(&mut copy, 77, 11);
            let (header, mut decoder) = body(&copy);
            let request = ProduceRequest::decode(&mut decoder, header.api_version).unwrap();
            let partition = &request.topic_data[0].partition_data[0];
            assert_eq!((header.correlation_id, partition.index), (77, 11));
            assert_eq!(partition.records.as_ref(), Some(&batch));
            assert_eq!(&copy[frame.batch_at..], &batch[..]);
        }
    }

    #[test]
    fn a_patched_fetch_request_decodes_to_what_was_patched_in() {
        let mut frame = FetchFrame::new("orders", 1 << 20).unwrap();
        let (header, mut decoder) = body(frame.ask(78, 12, 1 << 40));
        let request = FetchRequest::decode(&mut decoder, header.api_version).unwrap();
        let partition = &request.topics[0].partitions[0];
        assert_eq!(header.correlation_id, 78);
        assert_eq!((partition.partition, partition.fetch_offset), (12, 1 << 40));
        assert_eq!(
            (partition.log_start_offset, partition.partition_max_bytes),
            (-1, 1 << 20)
        );
    }

    #[test]
    fn a_barrier_is_a_request_for_the_versions() {
        let (header, _) = body(&api_versions_frame(9));
        assert_eq!(
            (header.api_key, header.api_version, header.correlation_id),
            (18, 0, 9)
        );
    }
}
