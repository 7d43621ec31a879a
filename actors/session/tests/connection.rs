//! What a connection does with bytes that are no request, or more requests than it may have.

mod kit;

use std::time::Duration;

use bytes::Bytes;
use kabuki_protocol::api::APIS;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::header::decode_response;
use kabuki_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use kabuki_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, resource,
};
use kabuki_protocol::messages::find_coordinator::FindCoordinatorRequest;
use kabuki_runtime::testing;
use tokio::time::Instant;

use kit::Node;

fn api_versions_v3() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
    }
}

/// A frame with a header of version 1 and a body of the test's own.
fn frame(api_key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&api_key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&(-1_i16).to_be_bytes());
    frame.extend_from_slice(body);
    let mut whole = (frame.len() as i32).to_be_bytes().to_vec();
    whole.extend_from_slice(&frame);
    whole
}

#[test]
fn hostile_frames_close_the_connection_without_an_answer() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("socket.request.max.bytes", "1000")]).await;
        let size = |size: i32| size.to_be_bytes().to_vec();
        let hostile: Vec<(&str, Vec<u8>)> = vec![
            ("negative size", size(-1)),
            ("smallest size", size(i32::MIN)),
            ("size above the limit", size(1_001)),
            ("largest size", size(i32::MAX)),
            ("empty frame", size(0)),
            (
                "frame shorter than a header",
                frame(0, 3, 1, b"")[..10].to_vec(),
            ),
            ("four bytes", [size(4), vec![0, 18, 0, 0]].concat()),
            ("unknown key", frame(99, 0, 1, b"")),
            ("negative key", frame(-1, 0, 1, b"")),
            ("version above the range", frame(3, 14, 1, b"\0\0\0\0")),
            ("negative version", frame(3, -1, 1, b"\0\0\0\0")),
            ("Produce v2", frame(0, 2, 1, &[0; 20])),
            ("Fetch v3", frame(1, 3, 1, &[0; 40])),
            (
                "Metadata with a body that is cut",
                frame(3, 1, 1, b"\0\0\0\x05\0\x01a"),
            ),
            (
                "Metadata with an array of two billion",
                frame(3, 1, 1, b"\x7f\xff\xff\xff"),
            ),
            (
                "Metadata with a negative string",
                frame(3, 1, 1, b"\0\0\0\x01\xff\x00"),
            ),
            (
                "text of another protocol",
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            ),
            ("garbage", vec![0xff; 64]),
        ];
        for (what, bytes) in hostile {
            let mut client = node.connect().await;
            // A frame that is announced longer than it comes is cut off by the end of the stream.
            client.send_bytes(&bytes).await;
            if what == "frame shorter than a header" {
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await;
            }
            let answered = client.next_frame().await;
            assert!(answered.is_none(), "{what} was answered");
        }
        let mut client = node.connect().await;
        let answer: ApiVersionsResponse = client.call(3, &api_versions_v3()).await;
        assert_eq!(answer.error_code, 0, "the node serves on");
    });
}

#[test]
fn requests_before_a_bad_frame_are_answered() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let good = frame(18, 0, 7, b"");
        client
            .send_bytes(&[good.clone(), good, frame(99, 0, 9, b"")].concat())
            .await;
        for _ in 0..2 {
            let (id, answer) = client.receive::<ApiVersionsRequest>(0).await;
            assert_eq!((id, answer.error_code), (7, 0));
        }
        client.assert_closed().await;
    });
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0_with_35() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        for version in [5, 99, -1] {
            client
                .send_bytes(&frame(18, version, 41, b"\0\x02not a body"))
                .await;
            let bytes = client.next_frame().await.expect("answered");
            let (header, answer): (_, ApiVersionsResponse) = decode_response(bytes, 0).unwrap();
            assert_eq!(header.correlation_id, 41);
            assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
            assert_eq!(answer.api_keys.len(), 1);
            let own = answer.api_keys[0];
            assert_eq!((own.api_key, own.min_version, own.max_version), (18, 0, 4));
        }
        let answer = client.call(4, &api_versions_v3()).await;
        assert_eq!(answer.error_code, 0, "the connection goes on");
    });
}

#[test]
fn api_versions_names_what_is_built_and_nothing_else() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        for version in 0..=4 {
            let answer = client.call(version, &api_versions_v3()).await;
            let keys: Vec<i16> = answer.api_keys.iter().map(|api| api.api_key).collect();
            let built: Vec<i16> = APIS.iter().map(|api| api.key.code()).collect();
            assert_eq!(keys, built);
            let produce = answer.api_keys[0];
            assert_eq!((produce.min_version, produce.max_version), (0, 13));
            if version >= 3 {
                let names = answer.finalized_features.iter().map(|f| f.name.as_str());
                let finalized = ["group.version", "metadata.version"];
                assert_eq!(names.collect::<Vec<_>>(), finalized);
                let names = answer.supported_features.iter().map(|f| f.name.as_str());
                // Versions below 4 cannot say that a feature may be switched off.
                let shown = if version == 3 {
                    &finalized[1..]
                } else {
                    &finalized
                };
                assert_eq!(names.collect::<Vec<_>>(), shown);
                assert!(answer.finalized_features_epoch >= 0);
            }
        }
        let unnamed = ApiVersionsRequest::default();
        assert_eq!(
            client.call(3, &unnamed).await.error_code,
            ErrorCode::InvalidRequest.code()
        );
        assert_eq!(
            client.call(2, &unnamed).await.error_code,
            0,
            "only v3 has a name to check"
        );
    });
}

#[test]
fn bytes_behind_a_body_are_ignored() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        client.send_bytes(&frame(18, 0, 5, b"leftover")).await;
        assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, 5);
    });
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let all: Vec<u8> = (0..1_000).flat_map(|id| frame(18, 0, id, b"")).collect();
        client.send_bytes(&all).await;
        for id in 0..1_000 {
            assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, id);
        }
    });
}

#[test]
fn frames_may_come_byte_by_byte() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        for byte in frame(18, 0, 3, b"") {
            client.send_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, 3);
    });
}

#[test]
fn an_idle_connection_is_closed() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("connections.max.idle.ms", "60000")]).await;
        let mut client = node.connect().await;
        let opened = Instant::now();
        client.call(0, &ApiVersionsRequest::default()).await;
        client.assert_closed().await;
        let idle = opened.elapsed();
        assert!(idle >= Duration::from_secs(60), "closed after {idle:?}");
        assert!(idle <= Duration::from_secs(75), "closed after {idle:?}");
    });
}

#[test]
fn a_connection_too_many_waits_and_one_of_an_address_too_many_is_closed() {
    testing::run(|stage| async move {
        let overrides = [("max.connections", "3"), ("max.connections.per.ip", "2")];
        let node = Node::start_with(&stage, &overrides).await;
        let mut first = node.connect().await;
        let mut second = node.connect().await;
        for client in [&mut first, &mut second] {
            client.call(0, &ApiVersionsRequest::default()).await;
        }
        let mut third = node.connect().await;
        third.assert_closed().await;
        drop(first);
        kit::until(|| node.services.connection_count() == 1).await;
        let mut fourth = node.connect().await;
        fourth.call(0, &ApiVersionsRequest::default()).await;
    });
}

#[test]
fn at_the_limit_of_the_node_the_acceptor_waits_for_a_close() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("max.connections", "1")]).await;
        let mut first = node.connect().await;
        first.call(0, &ApiVersionsRequest::default()).await;
        let mut second = node.connect().await;
        second.send(0, &ApiVersionsRequest::default()).await;
        let early = tokio::time::timeout(Duration::from_secs(5), second.next_frame()).await;
        assert!(
            early.is_err(),
            "answered or closed although the node is full"
        );
        drop(first);
        let (id, _) = second.receive::<ApiVersionsRequest>(0).await;
        assert_eq!(id, 1);
    });
}

#[test]
fn find_coordinator_answers_15_in_every_version_where_there_are_no_groups() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let not_available = ErrorCode::CoordinatorNotAvailable.code();
        for version in 0..=3 {
            let request = FindCoordinatorRequest {
                key: "g".to_owned(),
                ..Default::default()
            };
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.node_id), (not_available, -1));
        }
        for version in 4..=6 {
            let request = FindCoordinatorRequest {
                coordinator_keys: vec!["g".to_owned(), "h".to_owned()],
                ..Default::default()
            };
            let answer = client.call(version, &request).await;
            let codes: Vec<i16> = answer.coordinators.iter().map(|c| c.error_code).collect();
            assert_eq!(codes, [not_available; 2]);
        }
    });
}

#[test]
fn coordinators_of_what_is_not_supported_are_refused_for_good() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let unsupported = ErrorCode::UnsupportedVersion;
        assert!(!unsupported.is_retriable(), "a client would ask again");
        let (transaction, share) = (1, 2);
        for (version, key_type, expected) in [
            (3, transaction, unsupported),
            (4, transaction, unsupported),
            (6, transaction, unsupported),
            (6, share, unsupported),
            (5, share, ErrorCode::InvalidRequest),
        ] {
            let mut request = FindCoordinatorRequest {
                key_type,
                ..FindCoordinatorRequest::default()
            };
            match version < 4 {
                true => request.key = "t".to_owned(),
                false => request.coordinator_keys = vec!["t:AAAAAAAAAAAAAAAAAAAAAQ:0".to_owned()],
            }
            let answer = client.call(version, &request).await;
            let (code, why) = match version < 4 {
                true => (answer.error_code, answer.error_message),
                false => {
                    let found = &answer.coordinators[0];
                    (found.error_code, found.error_message.clone())
                }
            };
            assert_eq!(code, expected.code(), "version {version}");
            let why = why.unwrap();
            let is_named = why.contains("does not support");
            assert_eq!(is_named, expected == unsupported, "{why}");
        }
    });
}

#[test]
fn a_stopped_node_closes_its_connections() {
    let mut client = testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        client.call(0, &ApiVersionsRequest::default()).await;
        let client = client.stream.into_std().unwrap();
        client.set_nonblocking(false).unwrap();
        client
    });
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut client, &mut rest).unwrap();
    assert!(Bytes::from(rest).is_empty());
}

#[test]
fn requests_that_waited_for_a_slow_reader_go_on_as_soon_as_it_reads() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource::BROKER,
                resource_name: "1".to_owned(),
                configuration_keys: None,
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        // Far more than a socket takes, and as many requests as a connection may have in hand.
        for _ in 0..300 {
            client.send(4, &request).await;
        }
        let started = Instant::now();
        for _ in 0..300 {
            let (_, answer) = client.receive::<DescribeConfigsRequest>(4).await;
            assert_eq!(answer.results[0].error_code, 0);
        }
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(5), "stood still: {elapsed:?}");
    });
}
