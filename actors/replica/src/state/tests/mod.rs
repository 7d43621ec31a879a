//! Rules of the cast as text tables: what happens on the left, what is to be done on the right.

mod directories;
mod news;
mod topics;

use std::sync::Arc;

use kabuki_controller::image::{DirectoryId, MetadataImage, PartitionImage, TopicImage};
use kabuki_partition::{PartitionFact, PartitionPhase};
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionId, TopicId, TopicName};

use super::cast::{Cast, CreateFault};
use super::directories::Owner;
use super::news::Playing;
use super::step::{Ask, Step};

const NODE: NodeId = NodeId(1);

/// A cast of node 1 with two log directories, `d0` and `d1`.
struct Bench {
    cast: Cast,
    image: Arc<MetadataImage>,
    on_stage: Vec<PartitionId>,
}

/// Plays a table: `<what happens> | <steps>`, a line each. Lines without a right side are not checked.
///
/// Topic ids are single letters: `orders=A`. An image lists each topic with its partitions as
/// `leader@epoch/directory`, for example `image orders=A 1@0/d0 -1@3/none`.
fn play(table: &str) {
    let mut bench = Bench {
        cast: Cast::new(NODE, vec![dir_id(0), dir_id(1)]),
        image: Arc::new(MetadataImage::empty("test")),
        on_stage: Vec::new(),
    };
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines {
        let (left, right) = line.split_once('|').unwrap_or((line, "*"));
        bench.happens(left.trim());
        let done: Vec<String> = bench.cast.take_steps().iter().map(show).collect();
        if right.trim() != "*" {
            assert_eq!(done.join("; "), right.trim(), "after: {left}");
        }
    }
}

impl Bench {
    fn happens(&mut self, what: &str) {
        let words: Vec<&str> = what.split_whitespace().collect();
        let cast = &mut self.cast;
        match words[..] {
            ["playing", ..] => self.on_stage = words[1..].iter().map(|id| partition(id)).collect(),
            ["image", ..] => {
                let offset = self.image.offset() + 1;
                let topics = topics(&words[1..], &self.image);
                self.image = Arc::new(MetadataImage::of_topics("test", offset, topics));
                self.look();
            }
            ["scan", dir, "failed"] => {
                cast.scanned(number(dir), None);
                self.look();
            }
            ["scan", dir, ..] => {
                let found = words[2..].iter().map(|word| named(word)).collect();
                cast.scanned(number(dir), Some(found));
                self.look();
            }
            ["overdue", dir] => {
                cast.scan_overdue(number(dir));
                self.look();
            }
            ["rescan"] => cast.rescan_due(),
            ["created", id] => cast.created(&partition(id)),
            ["not-made", id] => {
                cast.create_failed(&partition(id), CreateFault::NotMade("read-only".into()));
            }
            ["half-made", id] => {
                cast.create_failed(&partition(id), CreateFault::HalfMade("bad sync".into()));
            }
            ["occupied", id] => {
                cast.create_failed(&partition(id), CreateFault::Occupied("has records".into()));
            }
            ["left", id] => cast.left(&partition(id), Ok(())),
            ["not-left", id] => cast.left(&partition(id), Err("read-only".into())),
            ["aside", id, dir] => cast.set_aside(&partition(id), number(dir), Ok(())),
            ["not-aside", id, dir] => {
                cast.set_aside(&partition(id), number(dir), Err("read-only".into()));
            }
            ["parked", id] => cast.parked(&partition(id), "poisoned"),
            ["probe", id] => cast.probe_due(&partition(id)),
            ["judge", id, trouble] => cast.degraded_due(&partition(id), number(trouble) as u64),
            ["trust", id, trouble] => cast.trust_due(&partition(id), number(trouble) as u64),
            ["granted", id] => {
                let (id, topic) = known(id);
                cast.answered(&id, topic, Ok(()));
            }
            ["refused", id] => {
                let (id, topic) = known(id);
                cast.answered(&id, topic, Err("log full".into()));
            }
            ["ask-again", id] => cast.ask_again_due(&partition(id)),
            ["assign-again"] => cast.assign_again_due(),
            ["gone", id] if !id.contains('=') => cast.found_gone(&partition(id)),
            ["found", id, dir, phase, epoch] => {
                let (id, topic_id) = known(id);
                let phase = match phase {
                    "leading" => PartitionPhase::Leading,
                    "following" => PartitionPhase::Following,
                    "recovering" => PartitionPhase::Recovering,
                    _ => PartitionPhase::Degraded {
                        cause: phase.to_owned(),
                    },
                };
                let playing = Playing {
                    topic_id,
                    directory: number(dir),
                    phase,
                    leader_epoch: LeaderEpoch(number(epoch) as i32),
                };
                cast.found_playing(&id, &playing);
            }
            [fact, id, ..] => {
                let epoch = words.get(2).map_or(0, |epoch| number(epoch) as i32);
                let (id, topic) = known(id);
                cast.heard(&id, topic, &self::fact(fact, epoch));
            }
            _ => panic!("what is {what:?}?"),
        }
    }

    fn look(&mut self) {
        let on_stage = self.on_stage.clone();
        self.cast.look(&self.image, || on_stage);
    }
}

fn fact(name: &str, epoch: i32) -> PartitionFact {
    let cause = "no space".to_owned();
    match name {
        "recovered" => PartitionFact::LogRecovered {
            log_start: Offset(0),
            log_end: Offset(0),
            scanned_bytes: 0,
            cut_bytes: 0,
        },
        "cut" => PartitionFact::TailCut {
            log_end: Offset(0),
            leader_epoch: LeaderEpoch(epoch),
        },
        "degraded" => PartitionFact::Degraded { cause },
        "healed" => PartitionFact::Healed,
        "suspect" => PartitionFact::StateSuspect,
        "gone" => PartitionFact::Failed {
            cause: "no directory".to_owned(),
            is_missing: true,
        },
        "failed" => PartitionFact::Failed {
            cause,
            is_missing: false,
        },
        _ => panic!("what is {name:?}?"),
    }
}

/// Topics of an image; one that is written as before is the same object, as in a real image.
fn topics(words: &[&str], before: &MetadataImage) -> Vec<TopicImage> {
    let mut topics: Vec<TopicImage> = Vec::new();
    for word in words {
        if let Some((name, id)) = word.split_once('=') {
            let known = before.topic(name).filter(|topic| topic.id == topic_id(id));
            let configs = known.map(|topic| topic.configs.clone()).unwrap_or_default();
            topics.push(TopicImage {
                name: TopicName::new(name).unwrap(),
                id: topic_id(id),
                partitions: Vec::new(),
                configs,
            });
            continue;
        }
        let topic = topics.last_mut().unwrap();
        if let Some(value) = word.strip_prefix("segment.bytes:") {
            let configs = [("segment.bytes".to_owned(), value.to_owned())];
            topic.configs = Arc::new(configs.into_iter().collect());
            continue;
        }
        let (leader, rest) = word.split_once('@').unwrap();
        let (epoch, directory) = rest.split_once('/').unwrap();
        let directory = match directory {
            "none" => DirectoryId::UNASSIGNED,
            name => dir_id(number(name.strip_prefix('d').unwrap())),
        };
        topic.partitions.push(PartitionImage {
            leader: NodeId(leader.parse().unwrap()),
            leader_epoch: LeaderEpoch(epoch.parse().unwrap()),
            partition_epoch: 0,
            replicas: [NODE].into(),
            isr: [NODE].into(),
            directories: [directory].into(),
        });
    }
    topics
}

fn show(step: &Step) -> String {
    match step {
        Step::Scan { directory } => format!("scan {directory}"),
        Step::Create {
            partition,
            directory,
            ..
        } => format!("create {partition} in {directory}"),
        Step::Start {
            partition,
            directory,
            ..
        } => format!("start {partition} in {directory}"),
        Step::Assign {
            partition,
            directory,
        } => format!(
            "assign {}-{} d{}",
            char::from(partition.topic.0[0]),
            partition.partition,
            directory.0[0] - 100
        ),
        Step::Lead {
            partition,
            leader_epoch,
        } => format!("lead {partition}@{leader_epoch}"),
        Step::Resign { partition, .. } => format!("resign {partition}"),
        Step::Reconfigure { partition } => format!("reconfigure {partition}"),
        Step::Remove {
            partition,
            topic_id,
            directory,
        } => {
            let topic = char::from(topic_id.0[0]);
            match directory {
                Some(directory) => format!("remove {partition}={topic} from {directory}"),
                None => format!("remove {partition}={topic}"),
            }
        }
        Step::SetAside {
            partition,
            directory,
        } => format!("aside {partition} in {directory}"),
        Step::Ask {
            partition,
            what,
            cause,
            ..
        } => match what {
            Ask::MarkOnline => format!("online {partition}"),
            Ask::MarkOffline => format!("offline {partition} ({cause})"),
            Ask::RaiseEpoch => format!("raise {partition}"),
        },
        Step::AskAgainLater { partition, pause } => {
            format!("ask-again {partition} in {}s", pause.as_secs())
        }
        Step::ProbeLater { partition, pause } => {
            format!("probe {partition} in {}s", pause.as_secs())
        }
        Step::JudgeDegradedLater { partition, trouble } => format!("judge {partition} {trouble}"),
        Step::TrustLater {
            partition, trouble, ..
        } => format!("trust {partition} {trouble}"),
        Step::RescanLater { pause } => format!("rescan in {}s", pause.as_secs()),
        Step::Revive { partition, .. } => format!("revive {partition}"),
    }
}

fn dir_id(at: usize) -> DirectoryId {
    DirectoryId([100 + at as u8; 16])
}

fn topic_id(letter: &str) -> TopicId {
    TopicId([letter.as_bytes()[0]; 16])
}

fn partition(id: &str) -> PartitionId {
    id.parse().unwrap()
}

/// `orders-0=A`; `orders-0=?` where the metadata file is missing, `orders-0=!` where it is unreadable.
fn named(word: &str) -> (PartitionId, Owner) {
    let (id, topic) = word.split_once('=').unwrap();
    let owner = match topic {
        "?" => Owner::Nobody,
        "!" => Owner::Unreadable,
        letter => Owner::Topic(topic_id(letter)),
    };
    (partition(id), owner)
}

fn known(word: &str) -> (PartitionId, TopicId) {
    let (id, topic) = word.split_once('=').unwrap();
    (partition(id), topic_id(topic))
}

fn number(word: &str) -> usize {
    word.parse().unwrap()
}
