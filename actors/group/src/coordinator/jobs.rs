//! What a group has done on a thread beside the arbiter, because it may take long: to check and to search
//! expressions, and to compute a large target. One such job of all groups runs at a time, in the order in which
//! they were asked for, and a group asks for each sort once at a time: a hostile one delays the jobs of others by
//! its own, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kabuki_runtime::{Context, Handler, Message};
use tokio::time::Instant;

use super::GroupCoordinator;
use super::messages::{RegexChecked, RegexesResolved, TargetComputed};
use crate::catalog::{ImageTopics, searchable_names};
use crate::coordinators::CoordinatorRefused;
use crate::regex;
use crate::state::{AssignmentJob, CheckedRegex};

/// A search ends here; what it has not found is searched for again. Ten thousand topics take 10 ms for an
/// expression that a person would write.
const SEARCH_MAX: Duration = Duration::from_millis(500);

impl GroupCoordinator {
    /// Does `work` beside the arbiter in its turn; `then` gets `None` when it panicked.
    fn job<T, M>(
        &self,
        cx: &mut Context<Self>,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(Option<T>) -> M + 'static,
    ) where
        T: Send + 'static,
        M: Message,
        Self: Handler<M>,
    {
        // The virtual clock of tests does not see other threads.
        let is_virtual = cx.stage().is_virtual();
        let turn = self.commons.job_turn.clone();
        let job = async move {
            let turn = turn.acquire_owned().await.ok()?;
            if is_virtual {
                return Some(work());
            }
            let work = move || {
                // Given back by the thread: a group that ends meanwhile does not end its job.
                let _turn = turn;
                work()
            };
            tokio::task::spawn_blocking(work).await.ok()
        };
        cx.spawn(job, then);
    }

    /// Has the expression of the heartbeat that came first checked.
    pub(super) fn check_next(&mut self, cx: &mut Context<Self>) {
        while !self.is_checking
            && let Some(ask) = self.unchecked.pop_front()
        {
            let group = self.group.as_ref();
            let Some(expression) = group.and_then(|group| group.unchecked_regex(&ask.request))
            else {
                // Another member has brought it meanwhile.
                self.handle(ask, None, cx);
                continue;
            };
            self.is_checking = true;
            let life = self.life;
            let check = move || CheckedRegex {
                verdict: regex::check(&expression),
                expression,
            };
            self.job(cx, check, move |checked| RegexChecked {
                life,
                ask,
                checked,
            });
        }
    }

    pub(super) fn refuse_unchecked(&mut self) {
        for ask in self.unchecked.drain(..) {
            ask.reply.send(Err(CoordinatorRefused::Loading));
        }
    }

    /// Expressions times topics may be millions of steps.
    pub(super) fn resolve(&self, expressions: BTreeSet<Arc<str>>, cx: &mut Context<Self>) {
        let image = self.commons.image.borrow().clone();
        let (life, version) = (self.life, image.offset());
        let search = move || {
            let began = Instant::now();
            let has_time = || began.elapsed() < SEARCH_MAX;
            regex::resolve(&expressions, searchable_names(&image).iter(), has_time)
        };
        self.job(cx, search, move |found| RegexesResolved {
            life,
            found: found.unwrap_or_default(),
            version,
        });
    }

    pub(super) fn assign(&self, job: Arc<AssignmentJob>, cx: &mut Context<Self>) {
        let topics = ImageTopics(self.commons.image.borrow().clone());
        let life = self.life;
        let input = job.clone();
        let compute = move || input.compute(&topics);
        self.job(cx, compute, move |targets| TargetComputed {
            life,
            job,
            targets,
        });
    }
}

impl Handler<RegexChecked> for GroupCoordinator {
    fn handle(&mut self, done: RegexChecked, cx: &mut Context<Self>) {
        let RegexChecked { life, ask, checked } = done;
        match checked {
            Some(checked) if life == self.life && self.group.is_some() => {
                self.handle(ask, Some(&checked), cx);
            }
            _ => ask.reply.send(Err(CoordinatorRefused::Loading)),
        }
        if life == self.life {
            self.is_checking = false;
            self.check_next(cx);
        }
    }
}

impl Handler<RegexesResolved> for GroupCoordinator {
    fn handle(&mut self, resolved: RegexesResolved, cx: &mut Context<Self>) {
        let RegexesResolved {
            life,
            found,
            version,
        } = resolved;
        if life == self.life {
            self.event(cx, |group, context| {
                group.regexes_resolved(found, version, context)
            });
        }
    }
}

impl Handler<TargetComputed> for GroupCoordinator {
    fn handle(&mut self, computed: TargetComputed, cx: &mut Context<Self>) {
        let TargetComputed { life, job, targets } = computed;
        if life == self.life {
            self.event(cx, |group, context| {
                group.target_computed(&job, targets, context)
            });
        }
    }
}
