//! The other end of a connection: sends frames as bytes or as requests, reads answers one by one.

use std::net::Ipv4Addr;

use bytes::Bytes;
use kabuki_protocol::codec::Message;
use kabuki_protocol::header::{Request, decode_response, encode_request};
use kabuki_protocol::ids::{LeaderEpoch, ProducerId};
use kabuki_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use kabuki_protocol::records::{BatchBuilder, Compression};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::NOW_MS;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    next_correlation: i32,
}

impl Client {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .expect("listening");
        // Or the second of two requests waits for an acknowledgement, for longer than virtual time does.
        stream.set_nodelay(true).expect("an open socket");
        Self {
            stream,
            next_correlation: 0,
        }
    }

    /// Sends a request; its correlation id counts from 1.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.next_correlation += 1;
        let frame = encode_request(version, self.next_correlation, Some("test"), request)
            .expect("the request fits its version");
        self.send_bytes(&frame.to_bytes()).await;
        self.next_correlation
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the node reads");
    }

    /// The next answer, without its size; `None` once the node has closed the connection.
    pub(crate) async fn next_frame(&mut self) -> Option<Bytes> {
        let size = match self.stream.read_i32().await {
            Ok(size) => usize::try_from(size).expect("sizes are positive"),
            Err(_) => return None,
        };
        let mut frame = vec![0; size];
        self.stream
            .read_exact(&mut frame)
            .await
            .expect("frames are whole");
        Some(frame.into())
    }

    /// The next answer, to a request of type `R` in `version`: its correlation id and body.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response)
    where
        R::Response: Message,
    {
        let frame = self.next_frame().await.expect("the connection is open");
        let (header, response) = decode_response(frame, version).expect("a sound answer");
        (header.correlation_id, response)
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (correlation_id, response) = self.receive::<R>(version).await;
        assert_eq!(correlation_id, sent, "answers come in order");
        response
    }

    pub(crate) async fn assert_closed(&mut self) {
        let frame = self.next_frame().await;
        assert!(
            frame.is_none(),
            "the node answers instead of closing: {frame:?}"
        );
    }

    /// Produces one batch and waits for the answer.
    pub(crate) async fn produce(
        &mut self,
        version: i16,
        request: &ProduceRequest,
    ) -> ProduceResponse {
        self.call(version, request).await
    }
}

/// A batch of `count` small records.
pub(crate) fn batch(count: i32) -> Bytes {
    batch_from(ProducerId::NONE, -1, count)
}

/// A batch of an idempotent producer.
pub(crate) fn batch_from(producer: ProducerId, base_sequence: i32, count: i32) -> Bytes {
    let epoch = if producer.is_none() { -1 } else { 0 };
    let mut builder = BatchBuilder::new(Compression::None)
        .leader_epoch(LeaderEpoch::NONE)
        .producer(producer, epoch, base_sequence);
    for record in 0..count {
        builder.push(
            NOW_MS,
            Some(b"key"),
            Some(record.to_string().as_bytes()),
            &[],
        );
    }
    builder.build().expect("a sound batch")
}

/// A Produce request by topic names.
pub(crate) fn produce(acks: i16, partitions: &[(&str, i32, Bytes)]) -> ProduceRequest {
    let mut topic_data: Vec<TopicProduceData> = Vec::new();
    for (name, index, records) in partitions {
        let data = PartitionProduceData {
            index: *index,
            records: Some(records.clone()),
        };
        match topic_data.last_mut().filter(|topic| topic.name == *name) {
            Some(topic) => topic.partition_data.push(data),
            None => topic_data.push(TopicProduceData {
                name: (*name).to_owned(),
                partition_data: vec![data],
                ..TopicProduceData::default()
            }),
        }
    }
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 30_000,
        topic_data,
    }
}
