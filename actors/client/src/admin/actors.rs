//! What only a Kabuki node can be asked: its actors, its supervision log, and to crash one of them.
//! Such a node answers these to clients on its own machine; another broker closes the connection.

use std::time::Duration;

use kabuki_protocol::private::{
    ActorRow, CrashActor, DescribeActors, ReadSupervisionLog, SupervisionLogRead,
};

use super::Admin;
use crate::error::ClientError;

impl Admin {
    /// The actors at and below a path, `/` for all.
    ///
    /// ```no_run
    /// # async fn example(admin: kabuki_client::Admin) -> Result<(), kabuki_client::ClientError> {
    /// for actor in admin.describe_actors("/replicas").await? {
    ///     println!("{} is {}, {} restarts", actor.path, actor.state, actor.restarts);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_actors(&self, path: &str) -> Result<Vec<ActorRow>, ClientError> {
        let request = DescribeActors {
            prefix: path.to_owned(),
        };
        let connection = self.client.any_connection().await?;
        Ok(connection
            .call_private(&request, Duration::ZERO)
            .await?
            .actors)
    }

    /// Crashes the running instance of one actor, and returns its number.
    ///
    /// # Errors
    /// [`ClientError::Private`] unless the node runs with `kabuki.chaos.enable=true`.
    pub async fn crash_actor(&self, path: &str) -> Result<u64, ClientError> {
        let request = CrashActor {
            path: path.to_owned(),
        };
        let connection = self.client.any_connection().await?;
        Ok(connection
            .call_private(&request, Duration::ZERO)
            .await?
            .incarnation)
    }

    /// Entries of the supervision log from number `from_seq` on, for actors at and below a path.
    /// Waits up to `wait` for the first one.
    pub async fn supervision_log(
        &self,
        path: &str,
        from_seq: u64,
        events_max: u32,
        wait: Duration,
    ) -> Result<SupervisionLogRead, ClientError> {
        let request = ReadSupervisionLog {
            from_seq,
            events_max,
            prefix: path.to_owned(),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        self.client
            .any_connection()
            .await?
            .call_private(&request, wait)
            .await
    }
}
