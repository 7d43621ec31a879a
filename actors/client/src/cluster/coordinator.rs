//! Who coordinates a group, and asking it for as long as it moves or loads.

use kabuki_protocol::api::ApiKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::NodeId;
use kabuki_protocol::messages::FindCoordinatorRequest;
use kabuki_protocol::messages::find_coordinator::KEY_TYPE_GROUP;

use super::{Broker, Client};
use crate::connection::Connection;
use crate::error::ClientError;

/// First version of FindCoordinator that asks for several keys.
const VERSION_WITH_KEYS: i16 = 4;

impl Client {
    /// The broker that coordinates a group, as any broker tells it.
    pub async fn coordinator(&self, group: &str) -> Result<Broker, ClientError> {
        let connection = self.any_connection().await?;
        let version = connection.version_of(ApiKey::FindCoordinator)?;
        let is_listed = version >= VERSION_WITH_KEYS;
        let request = FindCoordinatorRequest {
            key: if is_listed {
                String::new()
            } else {
                group.to_owned()
            },
            key_type: KEY_TYPE_GROUP,
            coordinator_keys: if is_listed {
                vec![group.to_owned()]
            } else {
                Vec::new()
            },
        };
        let answer = connection
            .call_in(version, &request, std::time::Duration::ZERO)
            .await?;
        let what = || format!("coordinator of group {group}");
        let (id, host, port) = if is_listed {
            let found = answer.coordinators.into_iter().next().ok_or_else(|| {
                ClientError::malformed("FindCoordinator", "the group is not in the answer")
            })?;
            ClientError::check(found.error_code, found.error_message.as_deref(), what)?;
            (found.node_id, found.host, found.port)
        } else {
            ClientError::check(answer.error_code, answer.error_message.as_deref(), what)?;
            (answer.node_id, answer.host, answer.port)
        };
        Ok(Broker {
            id: NodeId(id),
            host,
            port,
            rack: None,
        })
    }

    /// A connection to the coordinator of a group.
    pub(crate) async fn connection_to_coordinator(
        &self,
        group: &str,
    ) -> Result<Connection, ClientError> {
        let broker = self.coordinator(group).await?;
        self.connection_at(&broker.address()).await
    }

    /// Asks the coordinator of a group, again while it is away, moves or loads.
    pub(crate) async fn at_coordinator<T, F>(
        &self,
        group: &str,
        ask: impl Fn(Connection) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut backoff = self.backoff();
        loop {
            let answered = match self.connection_to_coordinator(group).await {
                Ok(connection) => ask(connection).await,
                Err(error) => Err(error),
            };
            match answered {
                Err(error) if is_passing(&error) && backoff.pause().await => {}
                answered => return answered,
            }
        }
    }
}

/// Whether the coordinator, here or elsewhere, may answer soon.
pub(crate) fn is_passing(error: &ClientError) -> bool {
    match error.code() {
        Some(code) => matches!(
            code,
            ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator
        ),
        None => error.is_retriable(),
    }
}
