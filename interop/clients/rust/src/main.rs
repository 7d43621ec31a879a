//! Driver of the crate rdkafka: one JSON request a line in, one JSON answer a line out.
//! `interop-rdkafka member JSON` is a member of a consumer group.

mod member;

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);
const UNKNOWN_TOPIC: i32 = 3;

/// The arguments of every call; those that a call has not are empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Request {
    call: String,
    topic: String,
    partition: i32,
    partitions: i32,
    configs: HashMap<String, String>,
    before: i64,
    acks: String,
    compression: String,
    idempotent: bool,
    bytes_max: usize,
    records: Vec<Record>,
    start: (String, Option<i64>),
}

/// A record as text; `None` is null. A header is a name and a value.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Record {
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
    offset: i64,
    timestamp: i64,
}

/// Why a call has no result.
enum Failure {
    /// An error code that the broker answered or the library reported.
    Refused(i32, String),
    /// The library cannot make this call.
    NoMeans(&'static str),
    /// Anything else.
    Failed(String),
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::Refused(code as i32, error.to_string()),
            None => Self::Failed(format!("{error:?}")),
        }
    }
}

fn refused((topic, code): (String, RDKafkaErrorCode)) -> Failure {
    Failure::Refused(code as i32, format!("{topic}: {code}"))
}

/// Keeps what became of the records.
#[derive(Default)]
struct Deliveries(Mutex<Vec<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0
                .lock()
                .expect("no panic holds it")
                .push(error.clone());
        }
    }
}

struct Driver {
    bootstrap: String,
}

impl Driver {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Failure> {
        Ok(self.config().create()?)
    }

    fn consumer(&self) -> Result<BaseConsumer, Failure> {
        let mut config = self.config();
        // Required by the library; no group is joined where partitions are assigned by hand.
        config.set("group.id", "interop");
        config.set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error");
        config.set("fetch.message.max.bytes", (4 << 20).to_string());
        Ok(config.create()?)
    }

    fn call(&self, request: Request) -> Result<Value, Failure> {
        let topic = request.topic.as_str();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        match request.call.as_str() {
            "create" => {
                let replication = TopicReplication::Fixed(1);
                let mut new = NewTopic::new(topic, request.partitions, replication);
                for (name, value) in &request.configs {
                    new = new.set(name, value);
                }
                let created = block_on(self.admin()?.create_topics([&new], &options))?;
                first(created)?.map_err(refused)?;
            }
            "delete" => {
                let deleted = block_on(self.admin()?.delete_topics(&[topic], &options))?;
                first(deleted)?.map_err(refused)?;
            }
            "partitions" => return self.partitions(topic).map(Value::from),
            "configs" => {
                let asked = ResourceSpecifier::Topic(topic);
                let found = block_on(self.admin()?.describe_configs([&asked], &options))?;
                let found = first(found)?.map_err(|code| refused((topic.to_owned(), code)))?;
                let entries = found.entries.into_iter();
                let configs: HashMap<_, _> =
                    entries.map(|entry| (entry.name, entry.value)).collect();
                return Ok(json!(configs));
            }
            "alter" => {
                // It only knows the request that resets every config it does not name.
                return Err(Failure::NoMeans("no incremental change of configs"));
            }
            "grow" => {
                let count = usize::try_from(request.partitions).unwrap_or(0);
                let new = NewPartitions::new(topic, count);
                let grown = block_on(self.admin()?.create_partitions([&new], &options))?;
                first(grown)?.map_err(refused)?;
            }
            "trim" => {
                let mut before = TopicPartitionList::new();
                let offset = Offset::Offset(request.before);
                before.add_partition_offset(topic, request.partition, offset)?;
                let trimmed = block_on(self.admin()?.delete_records(&before, &options))?;
                for element in trimmed.elements() {
                    element.error()?;
                }
            }
            "offsets" => {
                let consumer = self.consumer()?;
                let offsets = consumer.fetch_watermarks(topic, request.partition, WAIT)?;
                return Ok(json!([offsets.0, offsets.1]));
            }
            "produce" => self.produce(&request)?,
            "consume" => return Ok(json!(self.consume(&request)?)),
            _ => return Err(Failure::NoMeans("the driver has no such call")),
        }
        Ok(Value::Null)
    }

    fn partitions(&self, topic: &str) -> Result<usize, Failure> {
        let metadata = self.consumer()?.fetch_metadata(Some(topic), WAIT)?;
        let found = &metadata.topics()[0];
        match found.error() {
            Some(error) => {
                let code = RDKafkaErrorCode::from(error);
                Err(refused((topic.to_owned(), code)))
            }
            None if found.partitions().is_empty() => Err(Failure::Refused(
                UNKNOWN_TOPIC,
                format!("{topic} has no partitions"),
            )),
            None => Ok(found.partitions().len()),
        }
    }

    fn produce(&self, request: &Request) -> Result<(), Failure> {
        let mut config = self.config();
        config.set("acks", &request.acks);
        config.set("compression.type", &request.compression);
        config.set("enable.idempotence", request.idempotent.to_string());
        config.set("message.max.bytes", request.bytes_max.to_string());
        config.set("linger.ms", "50");
        config.set("message.timeout.ms", WAIT.as_millis().to_string());
        let producer: ThreadedProducer<Deliveries> =
            config.create_with_context(Deliveries::default())?;
        for record in &request.records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                let value = value.as_deref();
                headers = headers.insert(Header { key, value });
            }
            let mut sent: BaseRecord<'_, str, str> = BaseRecord::to(&request.topic).partition(0);
            sent.key = record.key.as_deref();
            sent.payload = record.value.as_deref();
            let sent = sent.headers(headers);
            producer.send(sent).map_err(|(error, _)| error)?;
        }
        producer.flush(WAIT)?;
        let deliveries = &producer.context().0;
        let mut errors = deliveries.lock().expect("no panic holds it");
        match errors.pop() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn consume(&self, request: &Request) -> Result<Vec<Record>, Failure> {
        let topic = request.topic.as_str();
        // An assigned partition of an unknown topic would be waited for, not refused.
        self.partitions(topic)?;
        let consumer = self.consumer()?;
        let (at, number) = (
            request.start.0.as_str(),
            request.start.1.unwrap_or_default(),
        );
        let offset = match at {
            "offset" => Offset::Offset(number),
            "timestamp" => {
                let mut asked = TopicPartitionList::new();
                asked.add_partition_offset(topic, 0, Offset::Offset(number))?;
                let found = consumer.offsets_for_times(asked, WAIT)?;
                found.elements()[0].offset()
            }
            _ => Offset::Beginning,
        };
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, 0, offset)?;
        consumer.assign(&assignment)?;
        let deadline = Instant::now() + WAIT;
        let mut records = Vec::new();
        while Instant::now() < deadline {
            match consumer.poll(Duration::from_secs(1)) {
                None => {}
                Some(Ok(message)) => records.push(record(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(records),
                Some(Err(error)) => return Err(error.into()),
            }
        }
        let read = records.len();
        Err(Failure::Failed(format!(
            "end not reached, {read} records read"
        )))
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().into_iter().flat_map(|all| all.iter());
    Record {
        key: message.key().map(text),
        value: message.payload().map(text),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(text)))
            .collect(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
    }
}

fn first<T>(results: Vec<T>) -> Result<T, Failure> {
    let first = results.into_iter().next();
    first.ok_or_else(|| Failure::Failed("the answer is empty".to_owned()))
}

fn main() {
    let bootstrap = std::env::args().nth(1).expect("HOST:PORT of the broker");
    if bootstrap == "member" {
        let asked = std::env::args().nth(2).expect("what is asked of a member");
        member::serve(&asked);
        return;
    }
    let driver = Driver { bootstrap };
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is text");
        let request = serde_json::from_str(&line).expect("requests are JSON");
        let answer = match driver.call(request) {
            Ok(result) => json!({ "result": result }),
            Err(Failure::Refused(code, message)) => json!({ "error": code, "message": message }),
            Err(Failure::NoMeans(reason)) => json!({ "unsupported": reason }),
            Err(Failure::Failed(message)) => json!({ "failed": message }),
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{answer}").expect("standard output is open");
        stdout.flush().expect("standard output is open");
    }
}
