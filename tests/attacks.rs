//! What hostile clients can do to a node: not stop it from serving others, not take more memory than
//! the configuration allows (ARCHITECTURE, "What a client can make the node hold"), not flood its
//! logs. Small here; `interop/attacks/run` does the same with thousands of connections.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kabuki_client::{Admin, Client, NewRecord, NewTopic, Producer, ProducerOptions};
use kabuki_protocol::header::{Request, encode_request};
use kabuki_protocol::ids::ProducerId;
use kabuki_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kabuki_protocol::messages::{
    ApiVersionsRequest, DescribeConfigsRequest, InitProducerIdRequest, MetadataRequest,
    ProduceRequest, describe_configs, metadata, produce,
};
use kabuki_protocol::records::{BatchBuilder, Compression};
use support::{DEADLINE, Node, NodeHome, read_records};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// `kabuki.memory.max`: the least it can be set to.
const MEMORY_MAX: u64 = 16 << 20;

/// What a connection may hold beside the budget: its kept share and the buffer it reads into.
const CONNECTION_BYTES: u64 = 208 << 10;

/// zstd's window for the one batch that is unpacked away from the arbiter, and for its search.
const UNPACKING_BYTES: u64 = 128 << 20;

/// Buffers of the runtime, and what the allocator keeps.
const SLACK_BYTES: u64 = 48 << 20;

/// Each sort of closing is told once, and counted from then on.
const LOG_LINES_MAX: usize = 12;

struct Target {
    home: NodeHome,
    node: Node,
    admin: Admin,
}

impl Target {
    /// A node with the topic that is attacked and the one that the good client uses.
    async fn start() -> Self {
        let home = NodeHome::new().with(&format!("kabuki.memory.max={MEMORY_MAX}"));
        let node = home.start();
        let admin = Admin::new(node.client().await);
        for topic in ["good", "orders"] {
            let topic = NewTopic::named(topic).partitions(4);
            admin.create_topic(&topic).await.expect("created");
        }
        Self { home, node, admin }
    }

    fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.node.process_id());
        let status = std::fs::read_to_string(path).expect("the node runs");
        let line = status.lines().find(|line| line.starts_with(field));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|kib| kib.parse::<u64>().ok()).expect("kB") << 10
    }

    fn open_sockets(&self) -> usize {
        let path = format!("/proc/{}/fd", self.node.process_id());
        let files = std::fs::read_dir(path).expect("the node runs");
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Runs an attack beside a good client and looks at what it did to the node.
    async fn survives(
        self,
        connections: u64,
        bytes_more: u64,
        attack: impl AsyncFnOnce(SocketAddr),
    ) {
        let (stop, stopped) = watch::channel(false);
        let good = tokio::spawn(write_until(self.node.client().await, stopped));
        let (memory, sockets) = (self.status("RssAnon"), self.open_sockets());
        let lines = self.home.log().lines().count();
        let mut peak = memory;
        let sampled = async {
            let mut attack = std::pin::pin!(attack(self.node.address()));
            loop {
                tokio::select! {
                    () = &mut attack => break,
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
                peak = peak.max(self.status("RssAnon"));
            }
        };
        let outcome = tokio::time::timeout(2 * DEADLINE, sampled).await;
        assert!(outcome.is_ok(), "the attack is not answered");
        peak = peak.max(self.status("RssAnon"));
        stop.send(true).expect("the good client listens");
        let written = good
            .await
            .expect("no record of the good client was refused");
        assert!(written > 0);
        let client = self.node.client().await;
        read_records(&client, "good", 0, written).await;
        drop(client);

        let bound =
            memory + MEMORY_MAX * 5 / 4 + SLACK_BYTES + connections * CONNECTION_BYTES + bytes_more;
        let mib = |bytes: u64| bytes >> 20;
        assert!(
            peak <= bound,
            "{} MiB of memory, {} at first, {} allowed",
            mib(peak),
            mib(memory),
            mib(bound)
        );
        // Connections come and go a moment later: the attacker's end with its sockets.
        let closed = async {
            while self.open_sockets() > sockets {
                tokio::task::yield_now().await;
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, closed).await;
        assert!(
            outcome.is_ok(),
            "{} open sockets, {sockets} at first",
            self.open_sockets()
        );
        let log = self.home.log();
        let told = log.lines().count() - lines;
        assert!(told <= LOG_LINES_MAX, "{told} lines:\n{log}");
        let story = self
            .admin
            .supervision_log("/", 0, 100, Duration::ZERO)
            .await;
        let events = story.expect("the log is read").events;
        // A loaded machine may hold up an arbiter of a debug build; what breaks is something else.
        let broken: Vec<_> = events.iter().filter(|event| event.kind != "hung").collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

/// The good client: record after record, each of which must be acknowledged.
async fn write_until(client: Client, stop: watch::Receiver<bool>) -> usize {
    let producer = Producer::new(client, ProducerOptions::default());
    let mut acknowledged = 0;
    loop {
        let record = NewRecord::to("good").partition(0).value("value");
        let delivery = producer.send(record).await.expect("buffered");
        producer.flush().await.expect("flushed");
        delivery.await.expect("delivered");
        acknowledged += 1;
        if *stop.borrow() {
            return acknowledged;
        }
    }
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let encoded = encode_request(version, 1, Some("attacker"), request);
    encoded.expect("fits its version").to_bytes().to_vec()
}

fn produce(batches: &[(i32, Bytes)]) -> Vec<u8> {
    let partition_data = batches
        .iter()
        .map(|(index, batch)| produce::PartitionProduceData {
            index: *index,
            records: Some(batch.clone()),
        });
    let topic = produce::TopicProduceData {
        name: "orders".to_owned(),
        partition_data: partition_data.collect(),
        ..produce::TopicProduceData::default()
    };
    let request = ProduceRequest {
        transactional_id: None,
        acks: 1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
    };
    frame(7, &request)
}

fn batch(compression: Compression, value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.push(1_700_000_000_000, None, Some(value), &[]);
    builder.build().expect("a sound batch")
}

fn fetch(session_epoch: i32, topic: &str, partitions: i32) -> Vec<u8> {
    let partition = |partition| FetchPartition {
        partition,
        partition_max_bytes: i32::MAX,
        ..FetchPartition::default()
    };
    let request = FetchRequest {
        max_bytes: i32::MAX,
        session_epoch,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    frame(11, &request)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the node accepts")
}

/// Sends what the node takes and reads until it has closed or answered `answers` frames.
async fn exchange(address: SocketAddr, bytes: &[u8], answers: usize) -> usize {
    let (mut reader, mut writer) = connect(address).await.into_split();
    let send = async {
        // A node that closes in the middle is right to do so.
        let _ = writer.write_all(bytes).await;
    };
    let receive = async {
        let mut received = 0;
        while received < answers {
            let Ok(size) = reader.read_u32().await else {
                break;
            };
            let mut body = vec![0; size as usize];
            if reader.read_exact(&mut body).await.is_err() {
                break;
            }
            received += 1;
        }
        received
    };
    tokio::join!(send, receive).1
}

#[tokio::test]
async fn bytes_that_are_no_requests_close_their_connection_alone() {
    let seeds = [
        produce(&[(0, batch(Compression::None, b"value"))]),
        fetch(0, "orders", 4),
        frame(12, &MetadataRequest::default()),
        frame(1, &InitProducerIdRequest::default()),
        frame(3, &ApiVersionsRequest::default()),
    ];
    let attack = async |address| {
        let mut dice = Dice(7);
        for round in 0..400 {
            let mut bytes = seeds[dice.next(seeds.len())].clone();
            match round % 4 {
                0 => bytes
                    .iter_mut()
                    .for_each(|byte| *byte = dice.next(256) as u8),
                1 => {
                    let sizes = [-1, i32::MAX, i32::MIN, 104_857_601];
                    bytes[..4].copy_from_slice(&sizes[dice.next(4)].to_be_bytes());
                }
                2 => bytes.truncate(dice.next(bytes.len())),
                _ => {
                    let at = 4 + dice.next(bytes.len() - 4);
                    bytes[at] = dice.next(256) as u8;
                }
            }
            let mut stream = connect(address).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // Whatever it answers, it comes to an end.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    Target::start().await.survives(1, 0, attack).await;
}

#[tokio::test]
async fn clients_that_wait_or_send_half_a_frame_cost_what_they_sent() {
    let attack = async |address| {
        let mut streams = Vec::new();
        for number in 0..300 {
            let mut stream = connect(address).await;
            match number % 3 {
                0 => {}
                1 => stream.write_all(&[0]).await.expect("taken"),
                _ => {
                    // Of 100 MiB announced, as much as the socket takes at once.
                    let mut start = (100_i32 << 20).to_be_bytes().to_vec();
                    start.resize(1 << 20, 0);
                    stream.writable().await.expect("open");
                    let _ = stream.try_write(&start);
                }
            }
            streams.push(stream);
        }
        for number in 0..20 {
            let told = exchange(address, &frame(3, &ApiVersionsRequest::default()), 1).await;
            assert_eq!(told, 1, "small request {number}");
        }
    };
    Target::start().await.survives(300, 0, attack).await;
}

#[tokio::test]
async fn answers_that_nobody_takes_stay_within_the_budget() {
    let full = produce(&[(0, batch(Compression::None, &[7; 900_000]))]).repeat(24);
    let attack = async |address| {
        assert_eq!(exchange(address, &full, 24).await, 24);
        let all = frame(
            1,
            &MetadataRequest {
                topics: None,
                ..MetadataRequest::default()
            },
        );
        let asked = [fetch(-1, "orders", 4), all].concat().repeat(10);
        let mut streams = Vec::new();
        for _ in 0..60 {
            let mut stream = connect(address).await;
            stream.write_all(&asked).await.expect("taken");
            streams.push(stream);
        }
        assert!(exchange(address, &fetch(-1, "orders", 1), 1).await == 1);
    };
    // While the budget is spent, each may have one batch more.
    let target = Target::start().await;
    target.survives(60, 60 << 20, attack).await;
}

#[tokio::test]
async fn batches_that_lie_are_refused_one_by_one() {
    let sound = batch(Compression::None, b"value");
    let changed = |at: usize, bytes: &[u8]| {
        let mut batch = sound.to_vec();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(batch)
    };
    let lies = [
        changed(17, &[0; 4]),
        changed(57, &i32::MAX.to_be_bytes()),
        changed(57, &(-1_i32).to_be_bytes()),
        changed(23, &i32::MAX.to_be_bytes()),
        changed(8, &i32::MAX.to_be_bytes()),
        sound.slice(..20),
    ];
    let requests: Vec<u8> = lies
        .iter()
        .flat_map(|lie| produce(&[(1, lie.clone())]))
        .collect();
    let flood = requests.repeat(100);
    let attack = async |address| {
        assert_eq!(
            exchange(address, &flood, 600).await,
            600,
            "each is answered"
        );
    };
    Target::start().await.survives(1, 0, attack).await;
}

#[tokio::test]
async fn bombs_go_off_away_from_the_others() {
    let zeros = vec![0; 300 << 20];
    let bombs: Vec<Vec<u8>> = [Compression::Gzip, Compression::Zstd]
        .iter()
        .map(|compression| {
            let bomb = batch(*compression, &zeros);
            produce(&[(0, bomb.clone()), (1, bomb.clone()), (2, bomb)])
        })
        .collect();
    drop(zeros);
    let attack = async |address| {
        let one = |bomb: &Vec<u8>| {
            let bomb = bomb.clone();
            async move { exchange(address, &bomb, 1).await }
        };
        let answered = tokio::join!(one(&bombs[0]), one(&bombs[1]), one(&bombs[1]));
        assert_eq!(answered, (1, 1, 1));
    };
    let target = Target::start().await;
    target.survives(3, UNPACKING_BYTES, attack).await;
}

#[tokio::test]
async fn a_flood_of_producers_takes_the_room_of_the_last_few_thousand() {
    let one = |number: i64| {
        let mut builder = BatchBuilder::new(Compression::None).producer(ProducerId(number), 0, 0);
        builder.push(1_700_000_000_000, None, Some(b"value"), &[]);
        produce(&[(1, builder.build().expect("a sound batch"))])
    };
    let flood: Vec<u8> = (1_000_000..1_020_000).flat_map(one).collect();
    let ids = frame(1, &InitProducerIdRequest::default()).repeat(5_000);
    let attack = async |address| {
        let (batches, ids) = tokio::join!(
            exchange(address, &flood, 20_000),
            exchange(address, &ids, 5_000)
        );
        assert_eq!((batches, ids), (20_000, 5_000));
    };
    Target::start().await.survives(2, 0, attack).await;
}

#[tokio::test]
async fn small_requests_have_no_answers_of_any_size() {
    let named = metadata::MetadataRequestTopic {
        name: Some("orders".to_owned()),
        ..metadata::MetadataRequestTopic::default()
    };
    let topics = frame(
        12,
        &MetadataRequest {
            topics: Some(vec![named; 50_000]),
            ..MetadataRequest::default()
        },
    );
    let named = describe_configs::DescribeConfigsResource {
        resource_type: describe_configs::resource::TOPIC,
        resource_name: "orders".to_owned(),
        configuration_keys: None,
    };
    let configs = frame(
        4,
        &DescribeConfigsRequest {
            resources: vec![named; 20_000],
            include_synonyms: true,
            include_documentation: true,
        },
    );
    let tiny = frame(0, &ApiVersionsRequest::default()).repeat(20_000);
    let sessions: Vec<u8> = fetch(0, &"x".repeat(249), 2_000).repeat(30);
    let attack = async |address| {
        assert_eq!(exchange(address, &topics, 1).await, 1);
        assert_eq!(exchange(address, &configs, 1).await, 1);
        assert_eq!(exchange(address, &tiny, 20_000).await, 20_000);
        assert_eq!(exchange(address, &sessions, 30).await, 30);
    };
    Target::start().await.survives(1, 0, attack).await;
}
