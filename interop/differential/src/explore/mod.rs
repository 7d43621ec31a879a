//! Random walks: a generator makes the next request from what was answered so far, two brokers get it,
//! and the answers are compared as those of `sequences/` are. A walk that ends in a difference is cut
//! down to the requests that it takes, in the form of a file of `sequences/`.

mod classic_groups;
mod consumer_groups;
mod dice;
mod fetch;
mod group_requests;
mod material;
mod mutants;
mod mutations;
mod pair;
mod produce;
mod shrink;
mod topics;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::normal::Rules;
use crate::schema::Schemas;
use crate::{Difference, Lists, Stopped};
use dice::Dice;
use material::Material;
use mutations::Mutations;
use pair::{Pair, Put};

/// Makes the requests of one subject.
trait Walk {
    /// API that a file of such a walk is named by.
    fn api(&self) -> &str;

    /// File of sequences, and sequence, by which lists of differences name its steps.
    fn file(&self) -> &str {
        self.api()
    }

    fn sequence(&self) -> &str {
        "walk"
    }

    /// Topics of the walk, as a sequence's `create`.
    fn topics(&self) -> Value {
        json!([{"topic": "$t"}])
    }

    /// True if a difference that is known does not end the walk.
    fn goes_on(&self) -> bool {
        false
    }

    /// Steps before the first random one.
    fn opening(&self) -> Vec<Value> {
        Vec::new()
    }

    /// The next step, as one of a sequence.
    fn next(&mut self, dice: &mut Dice) -> Value;

    /// Takes in what the first broker answered, made comparable.
    fn heard(&mut self, step: &Value, outcome: &Value);
}

const WALKS: [&str; 5] = ["groups", "consumer-groups", "produce", "fetch", "topics"];

const MUTATIONS: &str = "mutations";

/// What Kafka's controller answers before its broker knows of it.
const LATE_APIS: [&str; 5] = [
    "CreateTopics",
    "DeleteTopics",
    "CreatePartitions",
    "AlterConfigs",
    "IncrementalAlterConfigs",
];

fn walk_of(name: &str) -> Result<Box<dyn Walk>, Stopped> {
    match name {
        "groups" => Ok(Box::new(classic_groups::ClassicGroups::default())),
        "consumer-groups" => Ok(Box::new(consumer_groups::ConsumerGroups::default())),
        "produce" => Ok(Box::new(produce::Produce::default())),
        "fetch" => Ok(Box::new(fetch::Fetch::default())),
        "topics" => Ok(Box::new(topics::Topics::default())),
        _ => Err(Stopped::because(format!(
            "no walk is called {name:?}, only {} and {MUTATIONS}",
            WALKS.join(", ")
        ))),
    }
}

/// Waits until the coordinator of the group `$t` serves it.
fn coordinator_opening() -> Vec<Value> {
    vec![
        json!({"name": "coordinator", "api": "FindCoordinator", "versions": "2", "body": {"key": "$t"}, "until": {"/errorCode": 0}}),
        json!({"name": "it has loaded", "api": "DescribeGroups", "versions": "5", "body": {"groups": ["$t"]}, "until": {"/groups/0/errorCode": 0}}),
    ]
}

/// What is to be walked.
#[derive(Debug, Clone)]
pub struct Exploration {
    /// Name of the walk.
    pub walk: String,
    /// Seed of the first walk; the next ones count on.
    pub seed: u64,
    /// How many walks.
    pub walk_count: u64,
    /// Random steps in a walk that finds no difference.
    pub step_count: usize,
    /// Of `mutations`: only sequences of files with one of these in their names, parted by commas.
    pub only: String,
    /// No walk begins, and no other one is cut down, after this time.
    pub time_max: Duration,
}

/// A difference, and the shortest walk that was found to show it.
#[derive(Debug)]
pub struct Finding {
    /// Seed of the walk that showed it first.
    pub seed: u64,
    /// How many walks ended in it.
    pub walk_count: usize,
    /// The walk as a file of `sequences/`.
    pub file: Value,
    /// The steps, and what the first broker answered.
    pub told: Vec<(Value, Value)>,
    /// Where the last answers differ.
    pub differences: Vec<Difference>,
}

/// What was walked and found.
#[derive(Debug, Default)]
pub struct Explored {
    /// Steps that both brokers answered alike, or that ended a walk.
    pub step_count: usize,
    /// Walks that were begun.
    pub walk_count: usize,
    /// Each difference once.
    pub findings: Vec<Finding>,
}

/// The field and both values, without positions: what makes two findings one.
fn kind_of(put: &Put) -> String {
    let Some(first) = put.differences.first() else {
        return String::new();
    };
    let place: Vec<&str> = first
        .path
        .split('.')
        .filter(|part| part.parse::<usize>().is_err())
        .collect();
    format!(
        "{} {} {:?} {:?}",
        put.api,
        place.join("."),
        first.kafka,
        first.other
    )
}

impl Exploration {
    /// Walks before both brokers.
    ///
    /// # Errors
    /// When there is no such walk, or a broker cannot be set up for it.
    pub fn run(
        &self,
        addresses: [SocketAddr; 2],
        schemas: &Schemas,
        rules: &Rules,
        lists: &Lists,
    ) -> Result<Explored, Stopped> {
        let started = Instant::now();
        let material = match self.walk == MUTATIONS {
            true => Some(Material::read(&crate::home(), schemas, &self.only)?),
            false => None,
        };
        let walk_of = |seed| -> Result<Box<dyn Walk + '_>, Stopped> {
            match &material {
                Some(material) => Ok(Box::new(Mutations::new(seed, material, schemas))),
                None => walk_of(&self.walk),
            }
        };
        let mut explored = Explored::default();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for seed in self.seed..self.seed + self.walk_count {
            if started.elapsed() > self.time_max {
                break;
            }
            explored.walk_count += 1;
            let mut walk = walk_of(seed)?;
            let begin = |suffix: &str| {
                let name = format!("{}-{seed}{suffix}", self.walk);
                let walk = walk_of(seed)?;
                Pair::begin(addresses, schemas, rules, lists, walk.as_ref(), &name)
            };
            let mut pair = begin("")?;
            let mut is_new = |put: &Put| match known.get(&kind_of(put)) {
                Some(at) => {
                    explored.findings[*at].walk_count += 1;
                    false
                }
                None => true,
            };
            let (steps, last) =
                wander(walk.as_mut(), &mut pair, seed, self.step_count, &mut is_new)?;
            explored.step_count += steps.len();
            let kind = kind_of(&last);
            if last.differences.is_empty() || known.contains_key(&kind) {
                continue;
            }
            known.insert(kind.clone(), explored.findings.len());
            let is_over = || started.elapsed() > self.time_max;
            let short = shrink::shortest(steps, &kind, walk.goes_on(), &begin, &is_over)?;
            let file = json!({"api": walk.api(), "sequences": [{
                "name": format!("{} {seed}", walk.sequence()), "create": walk.topics(), "steps": short.steps,
            }]});
            explored.findings.push(Finding {
                seed,
                walk_count: 1,
                file,
                told: short.told,
                differences: short.differences,
            });
        }
        Ok(explored)
    }
}

/// Walks until the answers differ, or so many steps are done; the steps and the last answers.
fn wander(
    walk: &mut dyn Walk,
    pair: &mut Pair<'_>,
    seed: u64,
    step_count: usize,
    is_new: &mut impl FnMut(&Put) -> bool,
) -> Result<(Vec<Value>, Put), Stopped> {
    let mut dice = Dice::new(seed);
    let mut steps = Vec::new();
    let mut next = walk.opening();
    next.reverse();
    loop {
        let step = match next.pop() {
            Some(step) => step,
            None if steps.len() >= step_count => return Ok((steps, Put::default())),
            None => walk.next(&mut dice),
        };
        let put = pair.put(&step)?;
        steps.push(step.clone());
        if !put.differences.is_empty() && (is_new(&put) || !walk.goes_on()) {
            return Ok((steps, put));
        }
        walk.heard(&step, &put.outcome);
        // One at a time: to take it may let others come.
        next.extend(pair.answered().into_iter().next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;
    use crate::sequence::Step;
    use crate::variables::Variables;

    #[test]
    fn every_step_of_a_walk_can_be_sent() {
        let schemas = Schemas::read(&crate::home()).expect("the schemas can be read");
        let mut variables = Variables::new("x.walk.", 1_000);
        for number in 0..400 {
            for prefix in ["p", "s"] {
                variables.set(&format!("{prefix}{number}"), json!(number));
            }
            variables.set(&format!("id{number}"), json!("0".repeat(32)));
        }
        for id in ["id", "idb", "idc", "idm", "ids"] {
            variables.set(id, json!("0".repeat(32)));
        }
        for name in WALKS {
            let mut walk = walk_of(name).expect("it is one");
            let mut dice = Dice::new(11);
            for _ in 0..400 {
                let step = walk.next(&mut dice);
                walk.heard(
                    &step,
                    &json!({"errorCode": 0, "memberEpoch": 1, "sessionId": "some"}),
                );
                let read: Step = serde_json::from_value(step.clone()).expect("it is a step");
                let api = read.api.as_deref().expect("it names its API");
                let api = schemas.api(api).expect("it is one of Kafka's");
                let version = read.versions.as_deref().expect("it names its version");
                let version = version.parse().expect("one version");
                assert!(api.advertised.holds(version), "{step}");
                let body = variables.fill(&read.body.unwrap_or_default());
                if let Err(error) = message::encode(&api.request, version, &body) {
                    panic!("{error}: {step}");
                }
            }
        }
    }
}
