//! A broker of one topic for the tests of the client: speaks real frames over loopback, keeps real
//! batches, and makes the mistakes that a test asks it for.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use kabuki_protocol::api::{APIS, ApiKey};
use kabuki_protocol::codec::{Decoder, Message};
use kabuki_protocol::header::{RequestHeader, Response, encode_response};
use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_protocol::messages::api_versions::ApiVersion;
use kabuki_protocol::messages::fetch::{FetchableTopicResponse, PartitionData};
use kabuki_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse, TIMESTAMP_LATEST,
};
use kabuki_protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kabuki_protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use kabuki_protocol::messages::*;
use kabuki_protocol::records::{BatchHeader, HEADER_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const TOPIC: &str = "orders";

/// What the next request of an API meets instead of its usual answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Every partition answers this code, and nothing is done.
    Refuse(i16),
    /// The connection closes before anything is done.
    Close,
    /// The request is carried out, and the connection closes before the answer.
    CloseAfter,
}

/// What a batch said of its producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) partition: i32,
    pub(crate) producer_id: i64,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) logs: BTreeMap<i32, Vec<Bytes>>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) asked: BTreeMap<ApiKey, usize>,
    pub(crate) versions: BTreeMap<ApiKey, i16>,
    pub(crate) log_start: i64,
    /// Highest version of ApiVersions that is understood.
    pub(crate) api_versions_max: i16,
    next_producer_id: i64,
    mishaps: BTreeMap<ApiKey, VecDeque<Mishap>>,
}

#[derive(Clone)]
pub(crate) struct FakeBroker {
    pub(crate) address: String,
    port: i32,
    topic_id: TopicId,
    partition_count: i32,
    state: Arc<Mutex<State>>,
}

impl FakeBroker {
    pub(crate) async fn start(partition_count: i32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let broker = Self {
            address: local.to_string(),
            port: local.port().into(),
            topic_id: TopicId::random(),
            partition_count,
            state: Arc::new(Mutex::new(State {
                api_versions_max: 4,
                ..State::default()
            })),
        };
        let accepting = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        broker
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next requests of an API meet these.
    pub(crate) fn prepare(&self, api: ApiKey, mishaps: &[Mishap]) {
        self.state().mishaps.entry(api).or_default().extend(mishaps);
    }

    /// Puts a batch at the end of a partition, at the offset that follows.
    pub(crate) fn append(&self, partition: i32, batch: &Bytes) -> i64 {
        let mut state = self.state();
        let log = state.logs.entry(partition).or_default();
        let base = end_of(log);
        let mut header = BatchHeader::parse(batch).unwrap();
        header.base_offset = Offset(base);
        header.partition_leader_epoch = LeaderEpoch(0);
        let mut stored = BytesMut::from(&header.encode()[..]);
        stored.extend_from_slice(&batch[HEADER_BYTES..]);
        log.push(stored.freeze());
        base
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_i32().await {
            let mut frame = vec![0; usize::try_from(length).unwrap()];
            if stream.read_exact(&mut frame).await.is_err() {
                return;
            }
            let mut decoder = Decoder::new(frame.into());
            let header = RequestHeader::decode(&mut decoder).unwrap();
            let api = header.api().unwrap();
            *self.state().asked.entry(api).or_default() += 1;
            let mishap = self
                .state()
                .mishaps
                .get_mut(&api)
                .and_then(VecDeque::pop_front);
            if mishap == Some(Mishap::Close) {
                return;
            }
            let answer = self.answer(&header, &mut decoder, mishap);
            if mishap == Some(Mishap::CloseAfter) {
                return;
            }
            if let Some(answer) = answer {
                stream.write_all(&answer).await.unwrap();
            }
        }
    }

    fn answer(
        &self,
        header: &RequestHeader,
        decoder: &mut Decoder,
        mishap: Option<Mishap>,
    ) -> Option<Bytes> {
        let refused = match mishap {
            Some(Mishap::Refuse(code)) => Some(code),
            _ => None,
        };
        let version = header.api_version;
        let api = header.api().unwrap();
        self.state().versions.insert(api, version);
        match api {
            ApiKey::ApiVersions if version > self.state().api_versions_max => {
                let mut answer = ApiVersionsResponse::unsupported_version();
                answer.api_keys[0].max_version = self.state().api_versions_max;
                Some(framed(header, 0, &answer))
            }
            ApiKey::ApiVersions => {
                let offered = |spec: &kabuki_protocol::api::ApiSpec| ApiVersion {
                    api_key: spec.key.code(),
                    min_version: spec.min,
                    max_version: spec.max,
                };
                let api_keys = APIS.iter().map(offered).collect();
                let answer = ApiVersionsResponse {
                    api_keys,
                    ..ApiVersionsResponse::default()
                };
                Some(framed(header, version, &answer))
            }
            ApiKey::Metadata => Some(framed(header, version, &self.metadata())),
            ApiKey::InitProducerId => {
                let producer_id = self.state().next_producer_id;
                self.state().next_producer_id += 1;
                let error_code = refused.unwrap_or(0);
                let answer = InitProducerIdResponse {
                    producer_id,
                    producer_epoch: 0,
                    error_code,
                    throttle_time_ms: 0,
                };
                Some(framed(header, version, &answer))
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(decoder, version).unwrap();
                let is_answered = request.acks != 0;
                let answer = self.produce(request, refused);
                is_answered.then(|| framed(header, version, &answer))
            }
            ApiKey::Fetch => {
                let request = FetchRequest::decode(decoder, version).unwrap();
                Some(framed(header, version, &self.fetch(request, refused)))
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(decoder, version).unwrap();
                Some(framed(header, version, &self.list_offsets(request)))
            }
            other => panic!("the fake broker does not know {other}"),
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: 1,
            leader_epoch: 0,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..MetadataResponsePartition::default()
        };
        let topic = MetadataResponseTopic {
            name: Some(TOPIC.to_owned()),
            topic_id: self.topic_id,
            partitions: (0..self.partition_count).map(partition).collect(),
            ..MetadataResponseTopic::default()
        };
        let broker = MetadataResponseBroker {
            node_id: 1,
            host: "127.0.0.1".to_owned(),
            port: self.port,
            rack: None,
        };
        MetadataResponse {
            brokers: vec![broker],
            topics: vec![topic],
            controller_id: 1,
            ..MetadataResponse::default()
        }
    }

    fn produce(&self, request: ProduceRequest, refused: Option<i16>) -> ProduceResponse {
        let topic = request.topic_data.into_iter().next().unwrap();
        let responses = topic.partition_data.into_iter().map(|data| {
            let batch = data.records.unwrap();
            let header = BatchHeader::parse(&batch).unwrap();
            header.verify_crc(&batch).unwrap();
            let arrival = Arrival {
                partition: data.index,
                producer_id: header.producer_id.get(),
                base_sequence: header.base_sequence,
                record_count: header.record_count,
            };
            let is_known = arrival.producer_id >= 0 && self.is_stored(&arrival);
            self.state().arrivals.push(arrival);
            let (error_code, base_offset) = match refused {
                Some(code) => (code, -1),
                None if is_known => (0, -1),
                None => (0, self.append(data.index, &batch)),
            };
            PartitionProduceResponse {
                index: data.index,
                error_code,
                base_offset,
                ..PartitionProduceResponse::default()
            }
        });
        let answered = TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: responses.collect(),
        };
        ProduceResponse {
            responses: vec![answered],
            ..ProduceResponse::default()
        }
    }

    fn is_stored(&self, arrival: &Arrival) -> bool {
        let state = self.state();
        let stored = state.logs.get(&arrival.partition).into_iter().flatten();
        stored
            .map(|batch| BatchHeader::parse(batch).unwrap())
            .any(|header| {
                (header.producer_id.get(), header.base_sequence)
                    == (arrival.producer_id, arrival.base_sequence)
            })
    }

    fn fetch(&self, request: FetchRequest, refused: Option<i16>) -> FetchResponse {
        let state = self.state();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = state
                    .logs
                    .get(&asked.partition)
                    .map_or(&[][..], Vec::as_slice);
                let end = end_of(log);
                let in_range = (state.log_start..=end).contains(&asked.fetch_offset);
                let error_code = refused.unwrap_or(if in_range { 0 } else { 1 });
                let wanted = log.iter().filter(|batch| {
                    let header = BatchHeader::parse(batch).unwrap();
                    header.next_offset().get() > asked.fetch_offset
                });
                let records: Vec<u8> = wanted.flat_map(|batch| batch.to_vec()).collect();
                let is_read = error_code == 0;
                PartitionData {
                    partition_index: asked.partition,
                    error_code,
                    high_watermark: if is_read { end } else { -1 },
                    log_start_offset: if is_read { state.log_start } else { -1 },
                    records: Some(if is_read {
                        records.into()
                    } else {
                        Bytes::new()
                    }),
                    ..PartitionData::default()
                }
            });
            FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        FetchResponse {
            responses: topics.collect(),
            ..FetchResponse::default()
        }
    }

    fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let state = self.state();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = state
                    .logs
                    .get(&asked.partition_index)
                    .map_or(&[][..], Vec::as_slice);
                let is_end = asked.timestamp == TIMESTAMP_LATEST;
                ListOffsetsPartitionResponse {
                    partition_index: asked.partition_index,
                    offset: if is_end { end_of(log) } else { state.log_start },
                    ..ListOffsetsPartitionResponse::default()
                }
            });
            ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions: partitions.collect(),
            }
        });
        ListOffsetsResponse {
            topics: topics.collect(),
            ..ListOffsetsResponse::default()
        }
    }
}

fn end_of(log: &[Bytes]) -> i64 {
    log.last().map_or(0, |batch| {
        BatchHeader::parse(batch).unwrap().next_offset().get()
    })
}

fn framed<R: Response>(header: &RequestHeader, version: i16, answer: &R) -> Bytes {
    encode_response(version, header.correlation_id, answer)
        .unwrap()
        .to_bytes()
}
