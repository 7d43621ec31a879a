//! Kabuki's own requests: the tree of actors, crashes on request, the supervision log.

mod kit;

use kabuki_protocol::messages::produce::ProduceRequest;
use kabuki_protocol::private::{
    CrashActor, DescribeActors, PrivateRefused, PrivateRequest, ReadSupervisionLog,
    decode_private_answer, encode_private_request,
};
use kabuki_runtime::testing;
use tokio::time::Instant;

use kit::Node;
use kit::client::{Client, batch, produce};

async fn ask<R: PrivateRequest>(
    client: &mut Client,
    request: &R,
) -> Result<R::Answer, PrivateRefused> {
    let frame = encode_private_request(77, None, request).expect("a sound request");
    client.send_bytes(&frame.to_bytes()).await;
    let answer = client.next_frame().await.expect("answered");
    let (header, answer) = decode_private_answer::<R>(answer).expect("a sound answer");
    assert_eq!(header.correlation_id, 77);
    answer
}

#[test]
fn the_tree_is_described_from_a_prefix() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 2).await;
        let mut client = node.connect().await;
        let all = ask(
            &mut client,
            &DescribeActors {
                prefix: "/".to_owned(),
            },
        )
        .await
        .unwrap();
        let paths: Vec<&str> = all.actors.iter().map(|actor| actor.path.as_str()).collect();
        for path in [
            "/controller",
            "/edge/listener-plaintext",
            "/edge/sessions/1",
            "/replicas/orders-1",
        ] {
            assert!(paths.contains(&path), "{path} is not among {paths:?}");
        }
        // The session that asks has counted its request, whatever it said of itself before.
        let own = all
            .actors
            .iter()
            .find(|actor| actor.path == "/edge/sessions/1");
        let detail = &own.unwrap().detail;
        assert!(detail.contains("requests=1"), "{detail}");
        let below = DescribeActors {
            prefix: "/replicas".to_owned(),
        };
        let below = ask(&mut client, &below).await.unwrap();
        assert!(
            below
                .actors
                .iter()
                .all(|actor| actor.path.starts_with("/replicas"))
        );
    });
}

#[test]
fn an_actor_is_crashed_only_where_chaos_is_allowed() {
    testing::run(|stage| async move {
        let crash = |path: &str| CrashActor {
            path: path.to_owned(),
        };
        let node = Node::start_with(&stage, &[("kabuki.chaos.enable", "true")]).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let crashed = ask(&mut client, &crash("/replicas/orders-0"))
            .await
            .unwrap();
        assert_eq!(crashed.incarnation, 1);
        let refused = ask(&mut client, &crash("/replicas/nobody"))
            .await
            .unwrap_err();
        assert_eq!(
            refused,
            PrivateRefused::NoSuchActor {
                path: "/replicas/nobody".to_owned()
            }
        );

        client
            .send(9, &produce(1, &[("orders", 0, batch(1))]))
            .await;
        let (_, answer) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(
            answer.responses[0].partition_responses[0].error_code, 0,
            "it is back"
        );

        let read = ReadSupervisionLog {
            from_seq: 0,
            events_max: 100,
            prefix: "/replicas/orders-0".to_owned(),
            wait_ms: 1_000,
        };
        let log = ask(&mut client, &read).await.unwrap();
        let kinds: Vec<&str> = log.events.iter().map(|event| event.kind.as_str()).collect();
        assert!(kinds.contains(&"restarted"), "{kinds:?}");
    });
}

#[test]
fn chaos_is_off_by_default() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let request = CrashActor {
            path: "/controller".to_owned(),
        };
        let refused = ask(&mut client, &request).await.unwrap_err();
        assert_eq!(refused, PrivateRefused::ChaosDisabled);
    });
}

#[test]
fn the_supervision_log_is_waited_for() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let read = |from_seq, wait_ms| ReadSupervisionLog {
            from_seq,
            events_max: 1_000,
            prefix: "/replicas".to_owned(),
            wait_ms,
        };
        let so_far = ask(&mut client, &read(0, 0)).await.unwrap();
        let started = Instant::now();
        let nothing = ask(&mut client, &read(so_far.next_seq, 5_000))
            .await
            .unwrap();
        assert_eq!(nothing.events.len(), 0);
        assert_eq!(started.elapsed().as_secs(), 5);
    });
}

#[test]
fn a_private_body_that_is_none_is_refused_and_an_unknown_private_key_closes() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let header = |key: i16, version: i16| {
            let mut frame = vec![0, 0, 0, 12];
            frame.extend_from_slice(&key.to_be_bytes());
            frame.extend_from_slice(&version.to_be_bytes());
            frame.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
            frame
        };
        client.send_bytes(&header(10_000, 0)).await;
        let answer = client.next_frame().await.expect("answered");
        let (_, answer) = decode_private_answer::<DescribeActors>(answer).unwrap();
        assert_eq!(answer, Err(PrivateRefused::Malformed));
        client.send_bytes(&header(10_001, 9)).await;
        let answer = client.next_frame().await.expect("answered");
        let (_, answer) = decode_private_answer::<CrashActor>(answer).unwrap();
        assert_eq!(answer, Err(PrivateRefused::Version { min: 0, max: 0 }));
        client.send_bytes(&header(10_003, 0)).await;
        client.assert_closed().await;
    });
}
