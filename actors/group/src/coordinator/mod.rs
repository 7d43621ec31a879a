//! `GroupCoordinator`: one consumer group on stage. It reads its records, hands events to the state, and
//! performs what the state says: answers, one append at a time, the next deadline.

mod jobs;
pub(crate) mod messages;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kabuki_protocol::ids::LeaderEpoch;
use kabuki_runtime::{Actor, Addr, ChildSpec, Context, Fault, Handler, NoReply, ReplyPort, Timer};
use tokio::time::Instant;

use messages::{AppendEnded, ExpireOffsets, GroupRead, ReadDue, RestCheckDue, WaitOver, WakeDue};

use crate::catalog::ImageTopics;
use crate::coordinators::CoordinatorRefused;
use crate::messages::{Answer, GroupListing, Now, Token};
use crate::names::GroupId;
use crate::shard::messages::{
    AppendGroup, AppendOutcome, AskGroup, GroupChanged, GroupRests, ReadGroup, ReignShown,
    TopicsChanged,
};
use crate::shard::{Commons, Shard, tireless};
use crate::state::{self, Append, CheckedRegex, Effects, End, Group};

/// Requests that may wait for one group: a turn handles 64, and who finds no room asks again. What one
/// group can make the node hold beside its state.
const GROUP_MAILBOX: usize = 2_048;

/// Requests in hand, parked ones included: as many as members of a very large group.
const OPEN_MAX: usize = 20_000;

/// How long requests wait for the group's records before they are told to ask again.
const READ_WAIT: Duration = Duration::from_secs(1);

/// Pause before records that could not be read are asked for again.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// A group without members that nobody has asked for so long leaves the stage; its records stay.
const REST_CHECK: Duration = Duration::from_secs(30);

/// Answers that leave in one turn. Each makes its session write to a socket, some 20 µs, and the end of a
/// rebalance has one for each member: all at once they would keep every other actor of the thread waiting.
const ANSWERS_PER_TURN: usize = 32;

type AnswerPort = ReplyPort<Result<Answer, CoordinatorRefused>>;

/// The actor of one group, `/coordinators/groups/orders-readers`.
pub(crate) struct GroupCoordinator {
    commons: Arc<Commons>,
    shard: Addr<Shard>,
    /// Reign in which the records were read; in another one they may be others.
    reign: LeaderEpoch,
    id: GroupId,
    /// `None` until its records are read.
    group: Option<Group>,
    /// Tells results that an earlier state waited for; every state counts its appends from 1.
    life: u64,
    waiting: Vec<AskGroup>,
    has_waited: bool,
    /// What was told while the records were being read: topics that are gone, a look for old offsets.
    deleted_meanwhile: BTreeSet<Arc<str>>,
    expires_then: bool,
    /// Heartbeats whose expression is to be checked, and whether one is.
    unchecked: VecDeque<AskGroup>,
    is_checking: bool,
    open: HashMap<Token, AnswerPort>,
    /// Answers that are due, oldest first; some leave with every turn.
    answers: VecDeque<(AnswerPort, Answer)>,
    next_token: u64,
    began: Instant,
    alarm: Option<(i64, Timer)>,
    last_stamp: u64,
    stamp_at_check: u64,
    told: Option<GroupListing>,
}

/// The child that plays `id`.
pub(crate) fn spec(
    commons: &Arc<Commons>,
    id: GroupId,
    name: String,
    shard: Addr<Shard>,
) -> ChildSpec<GroupCoordinator> {
    let arbiter = commons.arbiter.clone();
    let commons = commons.clone();
    let new = move || GroupCoordinator {
        commons: commons.clone(),
        shard: shard.clone(),
        reign: LeaderEpoch::NONE,
        id: id.clone(),
        group: None,
        life: 0,
        waiting: Vec::new(),
        has_waited: false,
        deleted_meanwhile: BTreeSet::new(),
        expires_then: false,
        unchecked: VecDeque::new(),
        is_checking: false,
        open: HashMap::new(),
        answers: VecDeque::new(),
        next_token: 0,
        began: Instant::now(),
        alarm: None,
        last_stamp: 0,
        stamp_at_check: 0,
        told: None,
    };
    ChildSpec::new(name, new)
        .on(&arbiter)
        .mailbox(GROUP_MAILBOX, 256)
        .policy(tireless())
}

impl GroupCoordinator {
    /// Asks the shard for the group's records: at the start, and when nobody knows any more whether
    /// memory and log agree.
    fn read(&mut self, cx: &mut Context<Self>) {
        self.group = None;
        self.life += 1;
        self.has_waited = false;
        self.is_checking = false;
        self.refuse_unchecked();
        if let Some((_, timer)) = self.alarm.take() {
            cx.cancel(timer);
        }
        cx.tell_after(READ_WAIT, WaitOver);
        self.ask_for_records(cx);
    }

    fn ask_for_records(&mut self, cx: &mut Context<Self>) {
        // The shard this group was started by may have left the stage, and another one come.
        if let Some(shard) = cx.stage().registry().find(self.shard.path()) {
            self.shard = shard;
        }
        let life = self.life;
        let ask = ReadGroup {
            group: self.id.clone(),
            reply: cx.reply_port(move |outcome| GroupRead { life, outcome }),
        };
        if let Err(refused) = self.shard.try_tell(ask) {
            refused.message.reply.refuse(refused.why);
        }
    }

    fn now(&self, cx: &Context<Self>) -> Now {
        let since = cx.now().saturating_duration_since(self.began);
        Now {
            tick_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            wall_ms: (self.commons.clock)(),
        }
    }

    /// Hands one event to the state, if there is one, and does what it says.
    fn event(
        &mut self,
        cx: &mut Context<Self>,
        event: impl FnOnce(&mut Group, &state::Context<'_>) -> Effects,
    ) {
        let now = self.now(cx);
        let Some(group) = &mut self.group else { return };
        let topics = ImageTopics(self.commons.image.borrow().clone());
        let config = self.commons.settings.of_group(&self.id, &topics.0);
        let context = state::Context {
            now,
            config: &config,
            topics: &topics,
            fresh_id: rand::random(),
            checked_regex: None,
        };
        let effects = event(group, &context);
        self.perform(effects, cx);
    }

    fn perform(&mut self, effects: Effects, cx: &mut Context<Self>) {
        let Effects {
            answers,
            append,
            resolve,
            assign,
            wake_ms,
            end,
        } = effects;
        self.queue(answers);
        if let Some(append) = append {
            self.append(append, cx);
        }
        if let Some(expressions) = resolve {
            self.resolve(expressions, cx);
        }
        if let Some(job) = assign {
            self.assign(job, cx);
        }
        self.set_alarm(wake_ms, cx);
        self.tell_listing();
        match end {
            Some(End::Rebuild) => self.read(cx),
            Some(End::Void) => self.rest(),
            None => {}
        }
    }

    fn queue(&mut self, answers: Vec<(Token, Answer)>) {
        for (token, answer) in answers {
            let port = self.open.remove(&token);
            self.answers.extend(port.map(|port| (port, answer)));
        }
    }

    fn send_answers(&mut self, count_max: usize) {
        let count = self.answers.len().min(count_max);
        for (port, answer) in self.answers.drain(..count) {
            port.send(Ok(answer));
        }
        if self.answers.is_empty() && self.answers.capacity() > ANSWERS_PER_TURN {
            self.answers = VecDeque::new();
        }
    }

    fn append(&mut self, append: Append, cx: &mut Context<Self>) {
        let Append { sequence, changes } = append;
        let life = self.life;
        let append = AppendGroup {
            group: self.id.clone(),
            reign: self.reign,
            changes,
            reply: cx.reply_port(move |outcome| AppendEnded {
                life,
                sequence,
                outcome,
            }),
        };
        if let Err(refused) = self.shard.try_tell(append) {
            // Comes back as a message: certainly not written.
            refused.message.reply.refuse(refused.why);
        }
    }

    /// An alarm that is early is let ring: nothing is due then, and the next one is set.
    fn set_alarm(&mut self, wake_ms: Option<i64>, cx: &mut Context<Self>) {
        let Some(wake_ms) = wake_ms else {
            if let Some((_, timer)) = self.alarm.take() {
                cx.cancel(timer);
            }
            return;
        };
        if let Some((set_ms, timer)) = self.alarm {
            if set_ms <= wake_ms {
                return;
            }
            cx.cancel(timer);
        }
        let delay_ms = wake_ms.saturating_sub(self.now(cx).tick_ms).max(0);
        let delay = Duration::from_millis(delay_ms.unsigned_abs());
        self.alarm = Some((wake_ms, cx.tell_after(delay, WakeDue)));
    }

    fn tell_listing(&mut self) {
        let listing = self.group.as_ref().and_then(Group::listing);
        if listing == self.told {
            return;
        }
        let changed = GroupChanged {
            group: self.id.clone(),
            listing: listing.clone(),
        };
        if self.shard.try_tell(changed).is_ok() {
            self.told = listing;
        }
    }

    fn rest(&self) {
        let rests = GroupRests {
            group: self.id.clone(),
            stamp: self.last_stamp,
        };
        // Told again at the next check.
        _ = self.shard.try_tell(rests);
    }

    /// Takes a request up, or has its expression checked first.
    fn take(&mut self, ask: AskGroup, cx: &mut Context<Self>) {
        let group = self.group.as_ref();
        let in_hand = self.open.len() + self.answers.len() + self.unchecked.len();
        if in_hand >= OPEN_MAX {
            ask.reply.send(Err(CoordinatorRefused::Loading));
        } else if group.is_some_and(|group| group.unchecked_regex(&ask.request).is_some()) {
            self.unchecked.push_back(ask);
            self.check_next(cx);
        } else {
            self.handle(ask, None, cx);
        }
    }

    fn handle(&mut self, ask: AskGroup, checked: Option<&CheckedRegex>, cx: &mut Context<Self>) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.open.insert(token, ask.reply);
        self.event(cx, |group, context| {
            let context = state::Context {
                checked_regex: checked,
                ..*context
            };
            group.handle(token, &ask.request, &context)
        });
    }
}

impl Actor for GroupCoordinator {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        self.began = cx.now();
        self.read(cx);
        cx.tell_after(REST_CHECK, RestCheckDue);
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        self.send_answers(ANSWERS_PER_TURN);
        if !self.answers.is_empty() {
            cx.wake();
        }
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        for ask in self.waiting.drain(..) {
            ask.reply.send(Err(CoordinatorRefused::Loading));
        }
        self.refuse_unchecked();
        if let Some(group) = &mut self.group {
            let effects = group.unload();
            self.queue(effects.answers);
        }
        self.send_answers(usize::MAX);
        cx.stop();
    }

    fn describe(&self) -> String {
        match &self.group {
            None => "phase=reading".to_owned(),
            Some(group) => format!("state={} open={}", group.state(), self.open.len()),
        }
    }
}

impl Handler<AskGroup> for GroupCoordinator {
    fn handle(&mut self, ask: AskGroup, cx: &mut Context<Self>) {
        self.last_stamp = ask.stamp;
        if self.group.is_some() {
            self.take(ask, cx);
        } else if self.has_waited || self.waiting.len() >= GROUP_MAILBOX {
            ask.reply.send(Err(CoordinatorRefused::Loading));
        } else {
            self.waiting.push(ask);
        }
    }
}

impl Handler<GroupRead> for GroupCoordinator {
    fn handle(&mut self, read: GroupRead, cx: &mut Context<Self>) {
        if read.life != self.life || self.group.is_some() {
            return;
        }
        let changes = match read.outcome {
            Ok(Ok(read)) => {
                self.reign = read.reign;
                read.changes
            }
            Ok(Err(cause)) => {
                slog::warn!(cx.log(), "the group's records can not be read"; "cause" => cause);
                cx.tell_after(READ_PAUSE, ReadDue);
                return;
            }
            // The shard restarts.
            Err(NoReply::Lost | NoReply::NotDone(_)) => {
                cx.tell_after(READ_PAUSE, ReadDue);
                return;
            }
        };
        let mut group = Group::new(self.id.clone());
        changes.into_iter().for_each(|change| group.replay(change));
        self.group = Some(group);
        let waiting = std::mem::take(&mut self.waiting);
        let is_awaited = !waiting.is_empty();
        self.event(cx, |group, context| {
            let loaded = group.loaded(context);
            match is_awaited {
                // Of a new group nothing is there now, and something in a moment: it must not rest.
                true => Effects {
                    end: None,
                    ..loaded
                },
                false => loaded,
            }
        });
        let deleted = std::mem::take(&mut self.deleted_meanwhile);
        if !deleted.is_empty() {
            self.event(cx, |group, context| group.topics_changed(&deleted, context));
        }
        if std::mem::take(&mut self.expires_then) {
            self.event(cx, Group::expire_offsets);
        }
        for ask in waiting {
            // The state may have ended meanwhile.
            match self.group {
                Some(_) => self.take(ask, cx),
                None => ask.reply.send(Err(CoordinatorRefused::Loading)),
            }
        }
    }
}

impl Handler<ReignShown> for GroupCoordinator {
    fn handle(&mut self, shown: ReignShown, cx: &mut Context<Self>) {
        self.shard = shown.shard;
        let Some(group) = self.group.as_mut().filter(|_| shown.reign != self.reign) else {
            return;
        };
        let effects = group.unload();
        self.perform(effects, cx);
        self.read(cx);
    }
}

impl Handler<ReadDue> for GroupCoordinator {
    fn handle(&mut self, _: ReadDue, cx: &mut Context<Self>) {
        if self.group.is_none() {
            self.ask_for_records(cx);
        }
    }
}

impl Handler<WaitOver> for GroupCoordinator {
    fn handle(&mut self, _: WaitOver, _: &mut Context<Self>) {
        if self.group.is_none() {
            self.has_waited = true;
            for ask in self.waiting.drain(..) {
                ask.reply.send(Err(CoordinatorRefused::Loading));
            }
        }
    }
}

impl Handler<AppendEnded> for GroupCoordinator {
    fn handle(&mut self, ended: AppendEnded, cx: &mut Context<Self>) {
        let AppendEnded {
            life,
            sequence,
            outcome,
        } = ended;
        if life != self.life {
            return;
        }
        match outcome {
            Ok(AppendOutcome::Committed) => {
                self.event(cx, |group, context| group.committed(sequence, context));
            }
            Ok(AppendOutcome::Refused(cause)) => {
                self.event(cx, |group, context| {
                    group.append_refused(sequence, &cause, context)
                });
            }
            Err(NoReply::NotDone(why)) => {
                let cause = why.to_string();
                self.event(cx, |group, context| {
                    group.append_refused(sequence, &cause, context)
                });
            }
            Ok(AppendOutcome::Unknown) | Err(NoReply::Lost) => {
                self.event(cx, |group, _| group.append_lost(sequence));
            }
        }
    }
}

impl Handler<TopicsChanged> for GroupCoordinator {
    fn handle(&mut self, changed: TopicsChanged, cx: &mut Context<Self>) {
        if self.group.is_none() {
            self.deleted_meanwhile
                .extend(changed.deleted.iter().cloned());
        }
        self.event(cx, |group, context| {
            group.topics_changed(&changed.deleted, context)
        });
    }
}

impl Handler<ExpireOffsets> for GroupCoordinator {
    fn handle(&mut self, _: ExpireOffsets, cx: &mut Context<Self>) {
        self.expires_then = self.group.is_none();
        self.event(cx, Group::expire_offsets);
    }
}

impl Handler<WakeDue> for GroupCoordinator {
    fn handle(&mut self, _: WakeDue, cx: &mut Context<Self>) {
        self.alarm = None;
        self.event(cx, Group::tick);
    }
}

impl Handler<RestCheckDue> for GroupCoordinator {
    fn handle(&mut self, _: RestCheckDue, cx: &mut Context<Self>) {
        cx.tell_after(REST_CHECK, RestCheckDue);
        let is_unasked = self.stamp_at_check == self.last_stamp;
        self.stamp_at_check = self.last_stamp;
        let is_at_rest = self.group.as_ref().is_some_and(Group::is_at_rest);
        if is_unasked && is_at_rest && self.open.is_empty() {
            self.rest();
        }
        self.tell_listing();
    }
}
