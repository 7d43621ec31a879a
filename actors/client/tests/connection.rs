//! One connection: versions agreed upon, answers matched to requests, and an end to every wait.

#![allow(clippy::unwrap_used)]

mod fake_broker;

use std::time::Duration;

use fake_broker::FakeBroker;
use kabuki_client::{ClientError, Connection, ConnectionOptions};
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::header::encode_response;
use kabuki_protocol::messages::api_versions::ApiVersion;
use kabuki_protocol::messages::{
    ApiVersionsResponse, MetadataRequest, MetadataResponse, ProduceRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// The broker's end of a connection that speaks Metadata up to version 1.
async fn agreed() -> (Connection, DuplexStream) {
    let (near, mut far) = duplex(1 << 16);
    let agree = async {
        let id = read_request(&mut far).await;
        let range = |api: ApiKey, max| ApiVersion {
            api_key: api.code(),
            min_version: 0,
            max_version: max,
        };
        let answer = ApiVersionsResponse {
            api_keys: vec![range(ApiKey::Metadata, 1), range(ApiKey::Produce, 2)],
            ..ApiVersionsResponse::default()
        };
        far.write_all(&encode_response(4, id, &answer).unwrap().to_bytes())
            .await
            .unwrap();
        far
    };
    let options = ConnectionOptions::default();
    let (connection, far) = tokio::join!(Connection::over(near, "test", &options), agree);
    (connection.unwrap(), far)
}

/// Takes a request off the wire and gives its correlation id.
async fn read_request(far: &mut DuplexStream) -> i32 {
    let length = far.read_i32().await.unwrap();
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    far.read_exact(&mut frame).await.unwrap();
    i32::from_be_bytes(frame[4..8].try_into().unwrap())
}

fn metadata(controller_id: i32) -> MetadataResponse {
    MetadataResponse {
        controller_id,
        ..MetadataResponse::default()
    }
}

#[tokio::test]
async fn a_broker_that_knows_only_an_older_version_is_asked_again_in_that() {
    for max in 0..=4 {
        let broker = FakeBroker::start(1).await;
        broker.state().api_versions_max = max;
        let connection = Connection::open(&broker.address, &ConnectionOptions::default()).await;
        assert_eq!(
            connection.unwrap().version_of(ApiKey::Metadata).unwrap(),
            13
        );
        let asked = broker.state().asked[&ApiKey::ApiVersions];
        assert_eq!(
            asked,
            if max == 4 { 1 } else { 2 },
            "broker of version {max}"
        );
    }
}

#[tokio::test]
async fn the_version_used_is_the_highest_that_both_speak() {
    let (connection, _far) = agreed().await;
    assert_eq!(connection.version_of(ApiKey::Metadata).unwrap(), 1);
    assert_eq!(connection.version_within(ApiKey::Metadata, 0).unwrap(), 0);
    for missing in [ApiKey::Produce, ApiKey::Fetch] {
        let refused = connection.version_of(missing).unwrap_err();
        assert!(
            matches!(refused, ClientError::Unsupported { .. }),
            "{missing}: {refused}"
        );
    }
    let refused = connection
        .call(&ProduceRequest::default())
        .await
        .unwrap_err();
    assert!(!refused.is_retriable());
}

#[tokio::test]
async fn answers_find_the_requests_that_wait_for_them() {
    let (connection, mut far) = agreed().await;
    let request = MetadataRequest::default();
    let answer = async {
        let first = read_request(&mut far).await;
        let second = read_request(&mut far).await;
        for (id, controller_id) in [(second, 2), (first, 1)] {
            let frame = encode_response(1, id, &metadata(controller_id))
                .unwrap()
                .to_bytes();
            // Byte by byte: frames are put together again.
            for byte in frame {
                far.write_all(&[byte]).await.unwrap();
            }
        }
    };
    let (first, second, ()) =
        tokio::join!(connection.call(&request), connection.call(&request), answer);
    assert_eq!(
        (first.unwrap().controller_id, second.unwrap().controller_id),
        (1, 2)
    );
}

#[tokio::test]
async fn a_connection_that_ends_fails_everything_that_waits_and_comes() {
    let (connection, mut far) = agreed().await;
    let request = MetadataRequest::default();
    let close = async {
        read_request(&mut far).await;
        read_request(&mut far).await;
        // In the middle of a frame.
        far.write_all(&[0, 0, 0, 9, 0]).await.unwrap();
        drop(far);
    };
    let (first, second, ()) =
        tokio::join!(connection.call(&request), connection.call(&request), close);
    for lost in [first.unwrap_err(), second.unwrap_err()] {
        assert!(matches!(lost, ClientError::ConnectionLost { .. }), "{lost}");
        assert!(lost.is_retriable());
    }
    assert!(connection.is_broken());
    assert!(connection.call(&request).await.is_err());
}

#[tokio::test]
async fn an_answer_that_claims_too_much_ends_the_connection() {
    for claim in [i32::MAX, -1, 2] {
        let (connection, mut far) = agreed().await;
        let answer = async {
            read_request(&mut far).await;
            far.write_i32(claim).await.unwrap();
            far.write_all(&[0, 0]).await.unwrap();
        };
        let request = MetadataRequest::default();
        let (lost, ()) = tokio::join!(connection.call(&request), answer);
        assert!(
            matches!(lost, Err(ClientError::ConnectionLost { .. })),
            "{claim} gave {lost:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_costs_the_deadline_and_the_connection() {
    let (connection, _far) = agreed().await;
    let started = tokio::time::Instant::now();
    let passed = connection
        .call(&MetadataRequest::default())
        .await
        .unwrap_err();
    assert!(
        matches!(passed, ClientError::DeadlinePassed { .. }),
        "{passed}"
    );
    assert_eq!(
        started.elapsed(),
        ConnectionOptions::default().request_timeout
    );
    assert!(connection.is_broken());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_name_its_versions_costs_the_connect_timeout() {
    let (near, _far) = duplex(1 << 16);
    let started = tokio::time::Instant::now();
    let options = ConnectionOptions::default();
    let passed = Connection::over(near, "test", &options).await.unwrap_err();
    assert!(
        matches!(passed, ClientError::DeadlinePassed { .. }),
        "{passed}"
    );
    assert_eq!(started.elapsed(), options.connect_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_does_not_disturb_the_next() {
    let (connection, mut far) = agreed().await;
    let request = MetadataRequest::default();
    let given_up = tokio::time::timeout(Duration::from_secs(1), connection.call(&request)).await;
    assert!(given_up.is_err());
    let answer = async {
        for controller_id in [1, 2] {
            let id = read_request(&mut far).await;
            let frame = encode_response(1, id, &metadata(controller_id)).unwrap();
            far.write_all(&frame.to_bytes()).await.unwrap();
        }
    };
    let (answered, ()) = tokio::join!(connection.call(&request), answer);
    assert_eq!(answered.unwrap().controller_id, 2);
}
