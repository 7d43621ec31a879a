//! The client's view of a cluster: which brokers there are, who leads which partition, and a
//! connection to each broker that is used. Asks again when an answer shows the view to be stale.

mod backoff;
mod coordinator;
mod topic;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{NodeId, TopicId};
use kabuki_protocol::messages::metadata::MetadataRequestTopic;
use kabuki_protocol::messages::{MetadataRequest, MetadataResponse};
use tokio::time::Instant;

pub(crate) use backoff::Backoff;
pub(crate) use coordinator::is_passing;
pub use topic::{Broker, Partition, Topic};

use crate::connection::{Connection, ConnectionOptions};
use crate::error::ClientError;

/// How a client finds and treats its cluster.
///
/// ```
/// use kabuki_client::ClientOptions;
/// use std::time::Duration;
///
/// let options = ClientOptions {
///     patience: Duration::from_secs(5),
///     ..ClientOptions::at("broker-1:9092,broker-2:9092")
/// };
/// assert_eq!(options.bootstrap.len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Addresses as `host:port`; any broker of the cluster will do.
    pub bootstrap: Vec<String>,
    /// How each connection behaves.
    pub connection: ConnectionOptions,
    /// Age at which a topic's partitions and leaders are asked for again.
    pub metadata_age_max: Duration,
    /// How long a doing is tried again when its broker is away or a partition has no leader.
    pub patience: Duration,
}

impl ClientOptions {
    /// The defaults, for a cluster at these addresses, parted by commas.
    pub fn at(bootstrap: &str) -> Self {
        let addresses = bootstrap
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty());
        Self {
            bootstrap: addresses.map(str::to_owned).collect(),
            connection: ConnectionOptions::default(),
            metadata_age_max: Duration::from_secs(300),
            patience: Duration::from_secs(30),
        }
    }
}

/// A client of a cluster. Clones share connections and what is known of the cluster.
///
/// ```no_run
/// use kabuki_client::{Client, ClientOptions};
///
/// # async fn example() -> Result<(), kabuki_client::ClientError> {
/// let client = Client::connect(ClientOptions::at("127.0.0.1:9092")).await?;
/// let topic = client.topic("orders").await?;
/// println!("orders has {} partitions", topic.partitions.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    options: ClientOptions,
    view: Mutex<View>,
    /// One slot a broker; locked while it is being connected, so that many callers make one.
    slots: Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

#[derive(Default)]
struct View {
    cluster_id: Option<String>,
    brokers: Vec<Broker>,
    topics: HashMap<String, (Instant, Arc<Topic>)>,
}

impl Client {
    /// Connects to the first bootstrap address that answers, and learns the brokers.
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        let shared = Shared {
            options,
            view: Mutex::default(),
            slots: Mutex::default(),
        };
        let client = Self {
            shared: Arc::new(shared),
        };
        client.fetch_metadata(Some(Vec::new()), false).await?;
        Ok(client)
    }

    /// The options it was made with.
    pub fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    /// Id of the cluster, as far as the brokers tell it.
    pub fn cluster_id(&self) -> Option<String> {
        self.view().cluster_id.clone()
    }

    /// The live brokers, as last heard.
    pub fn brokers(&self) -> Vec<Broker> {
        self.view().brokers.clone()
    }

    /// A topic that exists; asked for anew when what is known is old.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code 3 if there is no such topic.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        if let Some(topic) = self.known_topic(name) {
            return Ok(topic);
        }
        self.ask_topic(name, false).await
    }

    /// As [`Client::topic`]; a missing one is created where the broker does that by itself.
    pub async fn topic_or_create(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        if let Some(topic) = self.known_topic(name) {
            return Ok(topic);
        }
        self.ask_topic(name, true).await
    }

    /// The topics of these names with all that the brokers say of them, or all topics.
    ///
    /// A topic that cannot be described has its error in [`Topic::error`].
    pub async fn describe_topics(&self, names: Option<&[&str]>) -> Result<Vec<Topic>, ClientError> {
        let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let response = self.fetch_metadata(names, false).await?;
        let mut topics: Vec<Topic> = response.topics.into_iter().map(Topic::from).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// A connection to any broker, one that exists where possible.
    pub async fn any_connection(&self) -> Result<Connection, ClientError> {
        let brokers = self.brokers();
        let known = brokers.iter().map(Broker::address);
        let mut addresses: Vec<String> = known.collect();
        for address in &self.shared.options.bootstrap {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses.sort_by_key(|address| !self.is_connected(address));
        let mut last = None;
        for address in &addresses {
            match self.connection_at(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        let last = last.unwrap_or(ClientError::Ended {
            what: "the list of addresses",
        });
        Err(ClientError::NoBroker {
            addresses: addresses.join(","),
            last: Box::new(last),
        })
    }

    /// A connection to one broker.
    pub async fn connection_to(&self, node: NodeId) -> Result<Connection, ClientError> {
        let find = || {
            self.view()
                .brokers
                .iter()
                .find(|it| it.id == node)
                .map(Broker::address)
        };
        let address = match find() {
            Some(address) => address,
            None => {
                self.fetch_metadata(Some(Vec::new()), false).await?;
                find().ok_or_else(|| ClientError::Refused {
                    what: format!("broker {node}"),
                    code: ErrorCode::BrokerNotAvailable.code(),
                    message: None,
                })?
            }
        };
        self.connection_at(&address).await
    }

    /// Forgets what is known of a topic, after an answer that shows it to be stale.
    pub(crate) fn forget_topic(&self, name: &str) {
        self.view().topics.remove(name);
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.shared.options.patience)
    }

    /// What is known of a topic and not too old.
    pub(crate) fn known_topic(&self, name: &str) -> Option<Arc<Topic>> {
        let view = self.view();
        let (asked_at, topic) = view.topics.get(name)?;
        (asked_at.elapsed() < self.shared.options.metadata_age_max).then(|| topic.clone())
    }

    async fn ask_topic(&self, name: &str, may_create: bool) -> Result<Arc<Topic>, ClientError> {
        let mut backoff = self.backoff();
        loop {
            let asked = self.ask_topic_once(name, may_create).await;
            let Err(error) = asked else { return asked };
            // A topic that is being created is unknown or without leader for a moment.
            let is_unknown = error.code() == Some(ErrorCode::UnknownTopicOrPartition);
            let is_hopeless = !error.is_retriable() || (is_unknown && !may_create);
            if is_hopeless || !backoff.pause().await {
                return Err(error);
            }
        }
    }

    async fn ask_topic_once(
        &self,
        name: &str,
        may_create: bool,
    ) -> Result<Arc<Topic>, ClientError> {
        let response = self
            .fetch_metadata(Some(vec![name.to_owned()]), may_create)
            .await?;
        let found = response
            .topics
            .into_iter()
            .find(|topic| topic.name.as_deref() == Some(name));
        let topic = found.ok_or_else(|| {
            ClientError::malformed("Metadata", format!("topic {name} is not in the answer"))
        })?;
        ClientError::check(topic.error_code, None, || format!("topic {name}"))?;
        let topic = Arc::new(Topic::from(topic));
        self.view()
            .topics
            .insert(name.to_owned(), (Instant::now(), topic.clone()));
        Ok(topic)
    }

    /// Asks for brokers and topics: `None` is all topics.
    async fn fetch_metadata(
        &self,
        names: Option<Vec<String>>,
        may_create: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let connection = self.any_connection().await?;
        let topics = names.map(|names| {
            let topic = |name| MetadataRequestTopic {
                topic_id: TopicId::ZERO,
                name: Some(name),
            };
            names.into_iter().map(topic).collect()
        });
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: may_create,
            ..MetadataRequest::default()
        };
        let response = connection.call(&request).await?;
        ClientError::check(response.error_code, None, || "metadata".to_owned())?;
        let mut view = self.view();
        view.brokers = response.brokers.iter().map(Broker::from).collect();
        view.cluster_id.clone_from(&response.cluster_id);
        drop(view);
        Ok(response)
    }

    fn is_connected(&self, address: &str) -> bool {
        let slot = self.slots().get(address).cloned();
        slot.is_some_and(|slot| {
            slot.try_lock()
                .is_ok_and(|held| held.as_ref().is_some_and(|it| !it.is_broken()))
        })
    }

    async fn connection_at(&self, address: &str) -> Result<Connection, ClientError> {
        let slot = self.slots().entry(address.to_owned()).or_default().clone();
        let mut held = slot.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| !connection.is_broken()) {
            return Ok(connection.clone());
        }
        let connection = Connection::open(address, &self.shared.options.connection).await?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // Only plain assignments happen under it.
        self.shared
            .view
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        // Only look-ups happen under it.
        self.shared
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Client");
        debug
            .field("bootstrap", &self.shared.options.bootstrap)
            .finish_non_exhaustive()
    }
}
