//! Groups that answer what a test has told them to, and remember what they were asked.

use std::sync::{Arc, Mutex, MutexGuard};

use kabuki_group::messages::{Answer, Request};
use kabuki_group::names::GroupId;
use kabuki_group::{Asked, CoordinatorRefused, GroupCoordinators, GroupsListed};
use tokio::sync::oneshot;

/// What a session hears of one group.
pub(crate) type Told = Result<Answer, CoordinatorRefused>;

/// `None` parks the request until [`StubGroups::release`].
type Script = dyn Fn(&GroupId, &Request) -> Option<Told> + Send + Sync;

/// A node without groups, until told otherwise.
#[derive(Clone, Default)]
pub(crate) struct StubGroups(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    script: Option<Box<Script>>,
    asked: Vec<(GroupId, Request)>,
    parked: Vec<oneshot::Sender<Told>>,
    listed: GroupsListed,
    partition_count: Option<i32>,
}

impl StubGroups {
    /// Groups that answer by `script`.
    pub(crate) fn that(
        script: impl Fn(&GroupId, &Request) -> Option<Told> + Send + Sync + 'static,
    ) -> Self {
        let groups = Self::default();
        groups.lock().script = Some(Box::new(script));
        groups
    }

    /// Groups that refuse every request.
    pub(crate) fn refusing(refused: CoordinatorRefused) -> Self {
        Self::that(move |_, _| Some(Err(refused)))
    }

    /// Answers by the script of another.
    pub(crate) fn become_like(&self, other: &Self) {
        let script = other.lock().script.take();
        self.lock().script = script;
    }

    pub(crate) fn list(&self, listed: GroupsListed) {
        self.lock().listed = listed;
    }

    /// From now on there is a topic of groups with so many partitions; all groups are in the last.
    pub(crate) fn has_topic(&self, partition_count: i32) {
        self.lock().partition_count = Some(partition_count);
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<(GroupId, Request)> {
        std::mem::take(&mut self.lock().asked)
    }

    /// The only request since the last call.
    pub(crate) fn asked_once(&self) -> Request {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0).1
    }

    /// Parked requests whose session still waits.
    pub(crate) fn parked_count(&self) -> usize {
        let inner = self.lock();
        inner.parked.iter().filter(|port| !port.is_closed()).count()
    }

    /// Answers all parked requests.
    pub(crate) fn release(&self, told: &Told) {
        for port in std::mem::take(&mut self.lock().parked) {
            // One whose session has gone hears nothing.
            let _ = port.send(told.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics with it")
    }
}

impl GroupCoordinators for StubGroups {
    fn ask(&self, group: GroupId, request: Request) -> Asked<Told> {
        let mut inner = self.lock();
        let told = match &inner.script {
            Some(script) => script(&group, &request),
            None => Some(Err(CoordinatorRefused::NotAvailable)),
        };
        inner.asked.push((group, request));
        match told {
            Some(told) => Box::pin(async move { told }),
            None => {
                let (port, reply) = oneshot::channel();
                inner.parked.push(port);
                Box::pin(async move { reply.await.unwrap_or(Err(CoordinatorRefused::Loading)) })
            }
        }
    }

    fn list(&self) -> Asked<GroupsListed> {
        let listed = self.lock().listed.clone();
        Box::pin(async move { listed })
    }

    fn ensure_topic(&self) -> Asked<Result<i32, CoordinatorRefused>> {
        let count = self.lock().partition_count;
        Box::pin(async move { count.ok_or(CoordinatorRefused::NotAvailable) })
    }

    fn partition_of(&self, _: &str) -> Option<i32> {
        Some(self.lock().partition_count? - 1)
    }
}
