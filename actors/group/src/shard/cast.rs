//! Brings groups on stage, hands requests to them, and lets those rest that nobody needs.

use kabuki_runtime::{Context, Handler, Undelivered};

use super::book::Place;
use super::messages::{
    AskGroup, GroupChanged, GroupLeft, GroupRests, ListGroups, ReignShown, WakeNextDue,
};
use super::{CHILD_STOP_WAIT, Shard};
use crate::catalog::ImageTopics;
use crate::coordinator::{self, GroupCoordinator};
use crate::coordinators::{CoordinatorRefused, GroupsListed};
use crate::messages::{Answer, Now, Request, Token};
use crate::names::GroupId;
use crate::state;

/// Requests that may wait for the end of a child and the start of the next.
const WAITING_MAX: usize = 64;

/// Groups brought on stage in one turn, each of which reads its records.
const WAKES_A_TURN: usize = 16;

impl Shard {
    fn forward(&mut self, mut ask: AskGroup, cx: &mut Context<Self>) {
        let group = ask.group.clone();
        if self.book.get(&group).is_none()
            && let Some(answer) = self.answer_for_nobody(&ask)
        {
            return ask.reply.send(Ok(answer));
        }
        self.bring_on_stage(&group, cx);
        self.next_stamp += 1;
        ask.stamp = self.next_stamp;
        match &mut self.book.entry(&group).place {
            Place::OnStage { addr, stamp } => {
                *stamp = ask.stamp;
                if let Err(refused) = addr.try_tell(ask) {
                    // It has more to do than it can take, or ends just now.
                    refused.message.reply.send(Err(CoordinatorRefused::Loading));
                    if refused.why == Undelivered::Stopped {
                        self.book.entry(&group).place = Place::Nobody;
                    }
                }
            }
            Place::Leaving { waiting } if waiting.len() < WAITING_MAX => waiting.push(ask),
            Place::Leaving { .. } | Place::Nobody => {
                ask.reply.send(Err(CoordinatorRefused::Loading));
            }
        }
    }

    /// What a group that does not exist answers to a request that does not make it: names that somebody
    /// made up cost no actor.
    fn answer_for_nobody(&self, ask: &AskGroup) -> Option<Answer> {
        match &ask.request {
            Request::Join(_) | Request::CommitOffsets(_) => return None,
            // An expression is checked beside this thread, which the group's actor does.
            Request::ConsumerHeartbeat(heartbeat) if heartbeat.topic_regex.is_some() => {
                return None;
            }
            _ => {}
        }
        let topics = ImageTopics(self.commons.image.borrow().clone());
        let config = self.commons.settings.of_group(&ask.group, &topics.0);
        let context = state::Context {
            now: Now {
                tick_ms: 0,
                wall_ms: (self.commons.clock)(),
            },
            config: &config,
            topics: &topics,
            fresh_id: rand::random(),
            checked_regex: None,
        };
        let mut nobody = state::Group::new(ask.group.clone());
        let effects = nobody.handle(Token(0), &ask.request, &context);
        let is_void = effects.end == Some(state::End::Void) && effects.append.is_none();
        let (_, answer) = effects.answers.into_iter().next().filter(|_| is_void)?;
        Some(answer)
    }

    /// Starts the child of a group that nobody plays, or finds the one of an earlier instance of this
    /// shard: what that one has in hand is in the log.
    pub(super) fn bring_on_stage(&mut self, group: &GroupId, cx: &mut Context<Self>) {
        let entry = self.book.entry(group);
        if !matches!(entry.place, Place::Nobody) {
            return;
        }
        let commons = &self.commons;
        let name = commons.path_names.of(group);
        let path = commons.groups.path().child(&name);
        let addr = match cx.stage().registry().find::<GroupCoordinator>(&path) {
            Some(found) => {
                if let Some(reign) = self.reign {
                    // Of the control lane, so it is heard before any request.
                    _ = found.try_tell(ReignShown {
                        shard: cx.addr(),
                        reign: reign.leader_epoch,
                    });
                }
                found
            }
            None => {
                let spec = coordinator::spec(commons, group.clone(), name, cx.addr());
                commons.groups.start(spec)
            }
        };
        entry.place = Place::OnStage { addr, stamp: 0 };
    }

    fn let_rest(&mut self, group: &GroupId, cx: &mut Context<Self>) {
        let name = self.commons.path_names.of(group);
        let entry = self.book.entry(group);
        entry.told = None;
        entry.place = Place::Leaving {
            waiting: Vec::new(),
        };
        let group = group.clone();
        let stop = self.commons.groups.stop_child(&name, CHILD_STOP_WAIT);
        cx.spawn(stop, |_| GroupLeft { group });
    }
}

impl Handler<AskGroup> for Shard {
    fn handle(&mut self, ask: AskGroup, cx: &mut Context<Self>) {
        match (self.reign, self.is_serving) {
            (None, _) if self.shown_reign().is_none() => {
                ask.reply.send(Err(CoordinatorRefused::NotCoordinator));
            }
            (None, _) | (Some(_), false) => ask.reply.send(Err(CoordinatorRefused::Loading)),
            (Some(_), true) => self.forward(ask, cx),
        }
    }
}

impl Handler<ListGroups> for Shard {
    fn handle(&mut self, list: ListGroups, _: &mut Context<Self>) {
        let listed = self.book.iter().filter_map(|(group, entry)| {
            let listing = entry.listing()?;
            Some((group.clone(), listing))
        });
        list.reply.send(GroupsListed {
            groups: listed.collect(),
            is_loading: !self.is_serving && self.shown_reign().is_some(),
        });
    }
}

impl Handler<GroupChanged> for Shard {
    fn handle(&mut self, changed: GroupChanged, _: &mut Context<Self>) {
        if let Some(entry) = self.book.get_mut(&changed.group) {
            entry.told = changed.listing;
        }
    }
}

impl Handler<GroupRests> for Shard {
    fn handle(&mut self, rests: GroupRests, cx: &mut Context<Self>) {
        if !self.is_serving {
            return;
        }
        match self.book.get(&rests.group).map(|entry| &entry.place) {
            Some(Place::OnStage { stamp, .. }) if *stamp == rests.stamp => {
                self.let_rest(&rests.group, cx);
            }
            // It has seen requests of an earlier instance of this shard, and this one sent none.
            Some(Place::OnStage { stamp: 0, .. } | Place::Nobody) | None => {
                self.let_rest(&rests.group, cx);
            }
            Some(_) => {}
        }
    }
}

impl Handler<GroupLeft> for Shard {
    fn handle(&mut self, left: GroupLeft, cx: &mut Context<Self>) {
        let Some(entry) = self.book.get_mut(&left.group) else {
            return;
        };
        if !matches!(entry.place, Place::Leaving { .. }) {
            return;
        }
        let place = std::mem::replace(&mut entry.place, Place::Nobody);
        if let Place::Leaving { waiting } = place {
            for ask in waiting {
                self.forward(ask, cx);
            }
        }
        self.book.tidy(&left.group);
    }
}

impl Handler<WakeNextDue> for Shard {
    fn handle(&mut self, _: WakeNextDue, cx: &mut Context<Self>) {
        for _ in 0..WAKES_A_TURN {
            let Some((group, expires)) = self.to_wake.pop_front() else {
                return;
            };
            self.wake(&group, expires, cx);
        }
        cx.tell_self(WakeNextDue);
    }
}
