//! A group, a log, a clock and topics, driven by lines of text. Members go by short names; the ids that the
//! group makes are kept behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::TopicId;

use super::super::*;
use crate::embedded::{write_assignment, write_subscription};
use crate::messages::*;
use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;
use crate::records::{JoinProtocol, OffsetKey};
use crate::topics::TopicInfo;

/// Topics as a test wants them. A topic's id is its name, repeated.
#[derive(Debug, Clone, Default)]
pub(super) struct FakeTopics {
    pub(super) counts: BTreeMap<Arc<str>, i32>,
    pub(super) version: i64,
}

pub(super) fn topic_id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(name.bytes().cycle())
        .for_each(|(to, from)| *to = from);
    TopicId(bytes)
}

impl TopicCatalog for FakeTopics {
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        let (name, count) = self.counts.get_key_value(name)?;
        Some(TopicInfo {
            id: topic_id(name),
            name: name.clone(),
            partition_count: *count,
        })
    }

    fn by_id(&self, id: TopicId) -> Option<TopicInfo> {
        let (name, _) = self.counts.iter().find(|(name, _)| topic_id(name) == id)?;
        self.by_name(name)
    }

    fn version(&self) -> i64 {
        self.version
    }
}

/// What a test member knows of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) epoch: i32,
    pub(super) instance: Option<InstanceId>,
    pub(super) owned: TopicPartitions,
    pub(super) protocol: Option<Arc<str>>,
}

pub(super) struct Scene {
    pub(super) group: Group,
    pub(super) config: GroupConfig,
    pub(super) topics: FakeTopics,
    pub(super) members: BTreeMap<String, Member>,
    /// What is committed.
    pub(super) log: Vec<Change>,
    pub(super) appending: Option<Append>,
    pub(super) commits_at_once: bool,
    pub(super) resolve: Option<BTreeSet<Arc<str>>>,
    pub(super) assign: Option<Arc<AssignmentJob>>,
    pub(super) checked_regex: Option<CheckedRegex>,
    pub(super) end: Option<End>,
    pub(super) now_ms: i64,
    wake_ms: Option<i64>,
    next_token: u64,
    next_id: u8,
    /// Tokens without an answer, and whose they are.
    pub(super) open: BTreeMap<Token, String>,
}

/// Wall clock of the first event.
pub(super) const START_MS: i64 = 1_000_000;

impl Scene {
    pub(super) fn new() -> Self {
        let mut topics = FakeTopics::default();
        topics.counts.insert(Arc::from("t"), 4);
        topics.counts.insert(Arc::from("u"), 2);
        Self {
            group: Group::new(GroupId::new("g")),
            config: GroupConfig::default(),
            topics,
            members: BTreeMap::new(),
            log: Vec::new(),
            appending: None,
            commits_at_once: true,
            resolve: None,
            assign: None,
            checked_regex: None,
            end: None,
            now_ms: 0,
            wake_ms: None,
            next_token: 0,
            next_id: 0,
            open: BTreeMap::new(),
        }
    }

    /// Runs one event and all commits that follow; answers as text.
    pub(super) fn event(
        &mut self,
        event: impl FnOnce(&mut Group, &Context<'_>) -> Effects,
    ) -> Vec<(Token, Answer)> {
        self.next_id = self.next_id.wrapping_add(1);
        let effects = self.with_context(event);
        self.take(effects)
    }

    fn with_context<T>(&mut self, event: impl FnOnce(&mut Group, &Context<'_>) -> T) -> T {
        let cx = Context {
            now: Now {
                tick_ms: self.now_ms,
                wall_ms: START_MS + self.now_ms,
            },
            config: &self.config,
            topics: &self.topics,
            fresh_id: [self.next_id; 16],
            checked_regex: self.checked_regex.as_ref(),
        };
        event(&mut self.group, &cx)
    }

    fn take(&mut self, effects: Effects) -> Vec<(Token, Answer)> {
        let mut answers = effects.answers;
        self.wake_ms = effects.wake_ms;
        self.end = effects.end;
        if effects.resolve.is_some() {
            self.resolve = effects.resolve;
        }
        if effects.assign.is_some() {
            self.assign = effects.assign;
        }
        if let Some(append) = effects.append {
            assert!(
                self.appending.replace(append).is_none(),
                "one append at a time"
            );
            if self.commits_at_once {
                answers.extend(self.commit());
            }
        }
        answers
    }

    pub(super) fn commit(&mut self) -> Vec<(Token, Answer)> {
        let Some(append) = self.appending.take() else {
            return Vec::new();
        };
        self.log.extend(append.changes);
        let effects = self.with_context(|group, cx| group.committed(append.sequence, cx));
        self.take(effects)
    }

    pub(super) fn refuse(&mut self) -> Vec<(Token, Answer)> {
        let append = self.appending.take().expect("an append is under way");
        let effects =
            self.with_context(|group, cx| group.append_refused(append.sequence, "disk full", cx));
        self.take(effects)
    }

    /// Lets time pass, with every deadline on its way.
    pub(super) fn wait(&mut self, ms: i64) -> Vec<(Token, Answer)> {
        let end_ms = self.now_ms + ms;
        let mut answers = Vec::new();
        while let Some(wake_ms) = self.wake_ms.filter(|wake_ms| *wake_ms <= end_ms) {
            self.now_ms = self.now_ms.max(wake_ms);
            answers.extend(self.event(|group, cx| group.tick(cx)));
        }
        self.now_ms = end_ms;
        answers
    }

    /// A new instance from the log, as after a crash. Nobody who waits is answered: the shell does that.
    pub(super) fn rebuild(&mut self) -> Vec<(Token, Answer)> {
        self.group = Group::new(GroupId::new("g"));
        for change in self.log.clone() {
            self.group.replay(change);
        }
        self.appending = None;
        self.open.clear();
        let effects = self.with_context(|group, cx| group.loaded(cx));
        self.take(effects)
    }

    pub(super) fn ask(&mut self, who: &str, request: &Request) -> Vec<(Token, Answer)> {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.open.insert(token, who.to_owned());
        self.event(|group, cx| group.handle(token, request, cx))
    }

    pub(super) fn member(&mut self, name: &str) -> &mut Member {
        self.members.entry(name.to_owned()).or_default()
    }

    /// Reads `key=value` words.
    fn options<'a>(words: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
        words
            .iter()
            .map(|word| word.split_once('=').unwrap_or((word, "")))
            .collect()
    }

    pub(super) fn join_request(&mut self, name: &str, options: &BTreeMap<&str, &str>) -> JoinGroup {
        let number = |key: &str, default: i32| {
            options
                .get(key)
                .map_or(default, |text| text.parse().unwrap())
        };
        let topics: Vec<&str> = options.get("topics").unwrap_or(&"t").split(',').collect();
        // Only a consumer group asks; elsewhere the same bytes mean an unchanged member.
        let owned = match self.group.kind {
            Kind::Consumer(_) => self.member(name).owned.clone(),
            Kind::Classic(_) => TopicPartitions::new(),
        };
        let by_name: Vec<(Arc<str>, Vec<i32>)> = owned
            .topics()
            .filter_map(|(id, numbers)| {
                Some((
                    self.topics.by_id(id)?.name,
                    numbers.iter().copied().collect(),
                ))
            })
            .collect();
        let by_name: Vec<(&str, &[i32])> = by_name
            .iter()
            .map(|(name, numbers)| (&**name, &**numbers))
            .collect();
        let metadata = match options.get("raw") {
            Some(raw) => Bytes::copy_from_slice(raw.as_bytes()),
            None => write_subscription(&topics, &by_name),
        };
        let protocols = options
            .get("with")
            .unwrap_or(&"range")
            .split(',')
            .map(|name| JoinProtocol {
                name: Arc::from(name),
                metadata: metadata.clone(),
            });
        let member = self.member(name);
        if let Some(instance) = options.get("static") {
            member.instance = Some(InstanceId::new(instance));
        }
        JoinGroup {
            client: client(name),
            member_id: match options.contains_key("new") {
                true => MemberId::default(),
                false => member.id.clone(),
            },
            instance_id: member.instance.clone(),
            protocol_type: Arc::from(*options.get("type").unwrap_or(&"consumer")),
            protocols: protocols.collect(),
            session_timeout_ms: number("session", 10_000),
            rebalance_timeout_ms: number("rebalance", 60_000),
            needs_member_id: options.contains_key("v4"),
            can_skip_assignment: options.contains_key("v9"),
        }
    }

    pub(super) fn heartbeat_request(
        &mut self,
        name: &str,
        options: &BTreeMap<&str, &str>,
    ) -> ConsumerHeartbeat {
        let member = self.member(name);
        if let Some(instance) = options.get("static") {
            member.instance = Some(InstanceId::new(instance));
        }
        if member.id.is_empty() {
            member.id = MemberId::new(name);
        }
        let is_join = options.contains_key("join");
        let owned = match options.get("owned") {
            Some(&"") => Some(TopicPartitions::new()),
            Some(&"=") => Some(member.owned.clone()),
            Some(list) => Some(partitions(list)),
            None => is_join.then(TopicPartitions::new),
        };
        let split = |list: &&str| {
            list.split(',')
                .filter(|name| !name.is_empty())
                .map(Arc::from)
                .collect()
        };
        ConsumerHeartbeat {
            client: client(name),
            member_id: match options.contains_key("anonymous") {
                true => MemberId::default(),
                false => member.id.clone(),
            },
            member_epoch: match options.get("epoch") {
                Some(epoch) => epoch.parse().unwrap(),
                None if is_join => 0,
                None => member.epoch,
            },
            instance_id: member.instance.clone(),
            rack_id: None,
            rebalance_timeout_ms: match options.get("rebalance") {
                Some(ms) => ms.parse().unwrap(),
                None if is_join => 60_000,
                None => -1,
            },
            topic_names: options.get("topics").map(split),
            topic_regex: options.get("regex").map(|regex| Arc::from(*regex)),
            server_assignor: options.get("with").map(|name| Arc::from(*name)),
            owned,
        }
    }

    /// Performs one command and prints the answers that it released.
    pub(super) fn perform(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (verb, rest) = words.split_first().expect("a command");
        let options = Self::options(rest.get(1..).unwrap_or_default());
        let who = rest.first().copied().unwrap_or_default();
        let answers = match *verb {
            "join" => {
                let request = self.join_request(who, &options);
                self.ask(who, &Request::Join(request))
            }
            "sync" => {
                let request = self.sync_request(who, &options);
                self.ask(who, &Request::Sync(request))
            }
            "beat" => {
                let member = self.member(who).clone();
                let request = Heartbeat {
                    generation: options
                        .get("gen")
                        .map_or(member.epoch, |text| text.parse().unwrap()),
                    member_id: member.id,
                    instance_id: member.instance,
                };
                self.ask(who, &Request::Heartbeat(request))
            }
            "leave" => {
                let members = rest.iter().map(|name| self.leaving(name)).collect();
                self.ask(who, &Request::Leave(LeaveGroup { members }))
            }
            "hb" => {
                let request = self.heartbeat_request(who, &options);
                self.ask(who, &Request::ConsumerHeartbeat(request))
            }
            "store" => {
                let request = self.commit_request(who, &options);
                self.ask(who, &Request::CommitOffsets(request))
            }
            "fetch" => {
                let keys = (who != "*").then(|| vec![offset_key(who)]);
                let request = FetchOffsets {
                    member_id: None,
                    member_epoch: -1,
                    keys,
                };
                self.ask("", &Request::FetchOffsets(request))
            }
            "forget" => {
                let keys = vec![offset_key(who)];
                self.ask("", &Request::DeleteOffsets(DeleteOffsets { keys }))
            }
            "delete" => self.ask("", &Request::DeleteGroup),
            "wait" => self.wait(who.parse().unwrap()),
            "hold" => {
                self.commits_at_once = false;
                Vec::new()
            }
            "commit" => self.commit(),
            "refuse" => self.refuse(),
            "lose" => {
                let append = self.appending.take().expect("an append is under way");
                let effects = self.group.append_lost(append.sequence);
                self.take(effects)
            }
            "rebuild" => self.rebuild(),
            "unload" => {
                let effects = self.group.unload();
                self.take(effects)
            }
            "expire" => self.event(|group, cx| group.expire_offsets(cx)),
            "topic" => {
                self.topics.version += 1;
                self.topics
                    .counts
                    .insert(Arc::from(who), rest[1].parse().unwrap());
                self.event(|group, cx| group.topics_changed(&BTreeSet::new(), cx))
            }
            "untopic" => {
                self.topics.version += 1;
                self.topics.counts.remove(who);
                let deleted = BTreeSet::from([Arc::from(who)]);
                self.event(|group, cx| group.topics_changed(&deleted, cx))
            }
            "search" => self.search(),
            "assign" => self.assign(),
            "state" => return format!("{}", self.group.state()),
            "ended" => return format!("{:?}", self.end),
            "log" => return self.print_log(),
            other => panic!("no command {other}"),
        };
        self.print(answers)
    }

    pub(super) fn search(&mut self) -> Vec<(Token, Answer)> {
        let Some(expressions) = self.resolve.take() else {
            return Vec::new();
        };
        let found = crate::regex::resolve(&expressions, self.topics.counts.keys(), || true);
        let version = self.topics.version;
        self.event(|group, cx| group.regexes_resolved(found, version, cx))
    }

    /// Computes the target that was asked for.
    pub(super) fn assign(&mut self) -> Vec<(Token, Answer)> {
        let Some(job) = self.assign.take() else {
            return Vec::new();
        };
        let targets = job.compute(&self.topics);
        self.event(|group, cx| group.target_computed(&job, Some(targets), cx))
    }

    pub(super) fn sync_request(&mut self, name: &str, options: &BTreeMap<&str, &str>) -> SyncGroup {
        let mut assignments = Vec::new();
        for (to, list) in options {
            if let Some(member) = self.members.get(*to) {
                let mut by_name: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
                for (topic, number) in list.split(',').filter_map(|one| one.split_once('/')) {
                    by_name
                        .entry(topic)
                        .or_default()
                        .push(number.parse().unwrap());
                }
                let by_name: Vec<(Arc<str>, Vec<i32>)> = by_name
                    .into_iter()
                    .map(|(topic, numbers)| (Arc::from(topic), numbers))
                    .collect();
                assignments.push((member.id.clone(), write_assignment(1, &by_name)));
            }
        }
        let member = self.member(name).clone();
        SyncGroup {
            generation: options
                .get("gen")
                .map_or(member.epoch, |text| text.parse().unwrap()),
            member_id: member.id,
            instance_id: member.instance,
            protocol_type: Some(Arc::from(*options.get("type").unwrap_or(&"consumer"))),
            protocol_name: member.protocol,
            assignments,
        }
    }

    pub(super) fn leaving(&mut self, name: &str) -> LeavingMember {
        match name.strip_prefix("static=") {
            Some(instance) => LeavingMember {
                member_id: MemberId::default(),
                instance_id: Some(InstanceId::new(instance)),
            },
            None => LeavingMember {
                member_id: self.member(name).id.clone(),
                instance_id: self.member(name).instance.clone(),
            },
        }
    }

    fn commit_request(&mut self, name: &str, options: &BTreeMap<&str, &str>) -> CommitOffsets {
        let member = match name {
            "-" => Member {
                epoch: -1,
                ..Member::default()
            },
            name => self.member(name).clone(),
        };
        let offsets = options
            .iter()
            .filter(|(key, _)| key.contains('/'))
            .map(|(key, value)| OffsetToCommit {
                key: offset_key(key),
                topic_id: TopicId::ZERO,
                offset: value.parse().unwrap(),
                leader_epoch: -1,
                metadata: options.get("note").map(|note| Arc::from(*note)),
            });
        CommitOffsets {
            generation: options
                .get("gen")
                .map_or(member.epoch, |text| text.parse().unwrap()),
            member_id: member.id,
            instance_id: member.instance,
            version: options
                .get("version")
                .map_or(9, |text| text.parse().unwrap()),
            retention_ms: options.get("keep").map_or(-1, |text| text.parse().unwrap()),
            offsets: offsets.collect(),
        }
    }
}

pub(super) fn client(name: &str) -> Client {
    Client {
        id: Arc::from(name),
        host: Arc::from("/127.0.0.1"),
    }
}

pub(super) fn partitions(list: &str) -> TopicPartitions {
    list.split(',')
        .filter_map(|one| one.split_once('/'))
        .map(|(topic, number)| (topic_id(topic), number.parse().unwrap()))
        .collect()
}

pub(super) fn offset_key(text: &str) -> OffsetKey {
    let (topic, number) = text.split_once('/').expect("topic/partition");
    OffsetKey::new(topic, number.parse().unwrap())
}
