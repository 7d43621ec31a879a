//! One TCP connection to one broker: requests go out as they come, answers find their request by its
//! correlation id. Knows nothing of clusters, topics or retries.

mod pump;
mod versions;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::codec::{EncodeError, EncodedFrame};
use kabuki_protocol::header::{Request, decode_response, encode_request};
use kabuki_protocol::private::{PrivateRequest, decode_private_answer, encode_private_request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::error::ClientError;
use versions::ApiRanges;

/// Frames that wait to be written. Callers wait beyond it, so that a broker that does not read does
/// not fill the client's memory.
const OUTBOX_FRAMES: usize = 64;

/// How a connection behaves.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// Name that the client gives itself, as Kafka's `client.id`.
    pub client_id: String,
    /// Longest wait for the connection and for the broker to name its versions.
    pub connect_timeout: Duration,
    /// Longest wait for an answer. Past it the connection is closed: answers come in order, so what
    /// is behind a lost one would never come either.
    pub request_timeout: Duration,
    /// Largest answer that is read; more closes the connection.
    pub response_bytes_max: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_id: "kabuki-client".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            // Twice Kafka's largest request: a fetch answer may exceed its limit by one batch.
            response_bytes_max: 200 << 20,
        }
    }
}

/// A connection to one broker. Clones share it; it closes with the last of them.
///
/// ```no_run
/// use kabuki_client::{Connection, ConnectionOptions};
/// use kabuki_protocol::messages::DescribeClusterRequest;
///
/// # async fn example() -> Result<(), kabuki_client::ClientError> {
/// let connection = Connection::open("127.0.0.1:9092", &ConnectionOptions::default()).await?;
/// let cluster = connection.call(&DescribeClusterRequest::default()).await?;
/// println!("{} has {} brokers", cluster.cluster_id, cluster.brokers.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    client_id: String,
    request_timeout: Duration,
    ranges: ApiRanges,
    link: Link,
}

/// What sends and receives; exists before the versions of the broker are known.
struct Link {
    outbox: mpsc::Sender<EncodedFrame>,
    calls: Arc<Calls>,
    pumps: [AbortHandle; 2],
}

/// Requests that wait for their answers.
pub(crate) struct Calls {
    address: String,
    state: Mutex<CallState>,
}

#[derive(Default)]
struct CallState {
    next_correlation_id: i32,
    waiting: HashMap<i32, oneshot::Sender<Result<Bytes, ClientError>>>,
    broken: Option<ClientError>,
}

impl Connection {
    /// Connects and asks the broker which versions it speaks.
    pub async fn open(address: &str, options: &ConnectionOptions) -> Result<Self, ClientError> {
        let connect = async {
            let stream = TcpStream::connect(address).await.and_then(|stream| {
                // Requests are written whole; waiting for more only delays them.
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            let stream = stream.map_err(|source| ClientError::Connect {
                address: address.to_owned(),
                source: Arc::new(source),
            })?;
            Self::start(stream, address, options).await
        };
        within(
            options.connect_timeout,
            || format!("connect to {address}"),
            connect,
        )
        .await
    }

    /// Uses a stream that is connected already; `address` is what errors call it.
    ///
    /// ```no_run
    /// use kabuki_client::{Connection, ConnectionOptions};
    ///
    /// # async fn example(stream: tokio::net::UnixStream) -> Result<(), kabuki_client::ClientError> {
    /// let connection = Connection::over(stream, "tunnel", &ConnectionOptions::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        address: &str,
        options: &ConnectionOptions,
    ) -> Result<Self, ClientError> {
        let start = Self::start(stream, address, options);
        within(
            options.connect_timeout,
            || format!("connect to {address}"),
            start,
        )
        .await
    }

    async fn start(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        address: &str,
        options: &ConnectionOptions,
    ) -> Result<Self, ClientError> {
        let (reader, writer) = tokio::io::split(stream);
        let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
        let calls = Arc::new(Calls {
            address: address.to_owned(),
            state: Mutex::new(CallState::default()),
        });
        let pumps = [
            tokio::spawn(pump::write(writer, frames, calls.clone())).abort_handle(),
            tokio::spawn(pump::read(
                reader,
                options.response_bytes_max,
                calls.clone(),
            ))
            .abort_handle(),
        ];
        let link = Link {
            outbox,
            calls,
            pumps,
        };
        let ranges = versions::negotiate(&link, &options.client_id).await?;
        let shared = Shared {
            address: address.to_owned(),
            client_id: options.client_id.clone(),
            request_timeout: options.request_timeout,
            ranges,
            link,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// True once the connection is lost: every call fails from then on.
    pub fn is_broken(&self) -> bool {
        self.shared.link.calls.lock().broken.is_some()
    }

    /// The version in which this client and the broker speak an API, the highest of both.
    pub fn version_of(&self, api: ApiKey) -> Result<i16, ClientError> {
        self.version_within(api, i16::MAX)
    }

    /// As [`Connection::version_of`], not above `max`.
    pub fn version_within(&self, api: ApiKey, max: i16) -> Result<i16, ClientError> {
        let spec = api.spec();
        let max = max.min(spec.max);
        self.shared
            .ranges
            .highest(api, spec.decode_min, max)
            .ok_or_else(|| ClientError::Unsupported {
                address: self.shared.address.clone(),
                api,
                min: spec.decode_min,
                max,
            })
    }

    /// Sends a request in the highest common version and waits for its answer.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.call_in(self.version_of(R::KEY)?, request, Duration::ZERO)
            .await
    }

    /// Sends a request in a version of the caller's choice. `extra` is what the broker may take on
    /// top of the usual time, for requests that ask it to wait.
    pub async fn call_in<R: Request>(
        &self,
        version: i16,
        request: &R,
        extra: Duration,
    ) -> Result<R::Response, ClientError> {
        let encode = |id| encode_request(version, id, Some(&self.shared.client_id), request);
        let frame = self.exchange(R::KEY.name(), extra, encode).await?;
        let (_, response) = decode_response::<R::Response>(frame, version)
            .map_err(|error| ClientError::malformed(R::KEY, error))?;
        Ok(response)
    }

    /// Sends a request that is never answered: Produce with `acks` 0. Returns when it is on its way
    /// to the socket.
    pub async fn tell_in<R: Request>(&self, version: i16, request: &R) -> Result<(), ClientError> {
        let link = &self.shared.link;
        let permit = link
            .outbox
            .reserve()
            .await
            .map_err(|_| link.calls.broken())?;
        let id = link.calls.next_id()?;
        permit.send(encode_request(
            version,
            id,
            Some(&self.shared.client_id),
            request,
        )?);
        Ok(())
    }

    /// Sends one of Kabuki's own requests; `extra` as in [`Connection::call_in`].
    pub async fn call_private<R: PrivateRequest>(
        &self,
        request: &R,
        extra: Duration,
    ) -> Result<R::Answer, ClientError> {
        let encode = |id| encode_private_request(id, Some(&self.shared.client_id), request);
        let frame = self.exchange("a private request", extra, encode).await?;
        let (_, answer) = decode_private_answer::<R>(frame)?;
        Ok(answer?)
    }

    async fn exchange(
        &self,
        what: &str,
        extra: Duration,
        encode: impl FnOnce(i32) -> Result<EncodedFrame, EncodeError>,
    ) -> Result<Bytes, ClientError> {
        let link = &self.shared.link;
        let what = || format!("{what} to {}", self.shared.address);
        let answer = within(
            self.shared.request_timeout + extra,
            what,
            link.exchange(encode),
        )
        .await;
        if let Err(passed @ ClientError::DeadlinePassed { .. }) = &answer {
            link.calls.fail(&ClientError::ConnectionLost {
                address: self.shared.address.clone(),
                cause: passed.to_string(),
            });
            link.close();
        }
        answer
    }
}

impl Link {
    /// Sends one frame and waits for the frame that answers it.
    async fn exchange(
        &self,
        encode: impl FnOnce(i32) -> Result<EncodedFrame, EncodeError>,
    ) -> Result<Bytes, ClientError> {
        // Room first: nothing between taking a number and sending can be cancelled.
        let permit = self
            .outbox
            .reserve()
            .await
            .map_err(|_| self.calls.broken())?;
        let id = self.calls.next_id()?;
        let frame = encode(id)?;
        let answer = self.calls.expect(id)?;
        permit.send(frame);
        answer.await.unwrap_or_else(|_| Err(self.calls.broken()))
    }

    fn close(&self) {
        self.pumps.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

impl Calls {
    fn next_id(&self) -> Result<i32, ClientError> {
        let mut state = self.lock();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let id = state.next_correlation_id;
        state.next_correlation_id = id.checked_add(1).unwrap_or(0);
        Ok(id)
    }

    fn expect(
        &self,
        id: i32,
    ) -> Result<oneshot::Receiver<Result<Bytes, ClientError>>, ClientError> {
        let mut state = self.lock();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(id, sender);
        Ok(receiver)
    }

    /// Hands a frame to the call it answers; false for one that nobody asked for.
    fn answer(&self, id: i32, frame: Bytes) -> bool {
        let waiting = self.lock().waiting.remove(&id);
        match waiting {
            Some(sender) => {
                // A caller that gave up has dropped its end.
                let _ = sender.send(Ok(frame));
                true
            }
            None => false,
        }
    }

    /// Ends the connection for all that wait and all that come.
    fn fail(&self, error: &ClientError) {
        let waiting = {
            let mut state = self.lock();
            if state.broken.is_none() {
                state.broken = Some(error.clone());
            }
            std::mem::take(&mut state.waiting)
        };
        for sender in waiting.into_values() {
            let _ = sender.send(Err(error.clone()));
        }
    }

    fn lost(&self, cause: impl ToString) {
        let (address, cause) = (self.address.clone(), cause.to_string());
        self.fail(&ClientError::ConnectionLost { address, cause });
    }

    /// Why the connection ended.
    fn broken(&self) -> ClientError {
        let broken = self.lock().broken.clone();
        broken.unwrap_or_else(|| ClientError::ConnectionLost {
            address: self.address.clone(),
            cause: "closed by this client".to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, CallState> {
        // No code that can panic runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bounds the time of a future.
pub(crate) async fn within<T>(
    limit: Duration,
    what: impl FnOnce() -> String,
    future: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::DeadlinePassed {
            what: what(),
            after: limit,
        }),
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Connection");
        debug
            .field("address", &self.shared.address)
            .field("is_broken", &self.is_broken());
        debug.finish_non_exhaustive()
    }
}
