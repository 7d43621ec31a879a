//! Requests of `sequences/` with one to three of their fields changed at once: to bounds, to what other
//! requests say there, to names and ids of other things, with entries that are doubled or missing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::dice::Dice;
use super::material::{Material, Source};
use super::mutants::{Place, places};
use super::{LATE_APIS, Walk};
use crate::Stopped;
use crate::play::{put, range};
use crate::schema::{Api, Schemas, Versions};

/// Changed requests after each one of the sequence.
const MUTANTS: usize = 5;

/// Lists that name what is there of all walks when they are asked for everything.
const LISTS: [(&str, &str, &str, &str); 3] = [
    ("Metadata", "topics", "/topics", "name"),
    ("DescribeLogDirs", "topics", "/results/0/topics", "name"),
    ("DescribeTopicPartitions", "topics", "/topics", "name"),
];

/// APIs that may not be told to change what is the broker's own.
const WRITERS: [&str; 4] = ["Produce", "DeleteRecords", "DeleteGroups", "OffsetDelete"];

pub(super) struct Mutations<'a> {
    source: &'a Source,
    material: &'a Material,
    schemas: &'a Schemas,
    /// Names of variables that there are from the beginning.
    names: BTreeSet<String>,
    /// Requests so far.
    count: usize,
}

impl<'a> Mutations<'a> {
    /// Of the sequence that the seed chooses.
    pub(super) fn new(seed: u64, material: &'a Material, schemas: &'a Schemas) -> Self {
        let source = &material.sources[(seed % material.sources.len() as u64) as usize];
        let mut names: BTreeSet<String> = ["t", "now", "new"].map(str::to_owned).into();
        for topic in source.create.as_array().into_iter().flatten() {
            names.insert(topic["id"].as_str().unwrap_or("id").to_owned());
        }
        Self {
            source,
            material,
            schemas,
            names,
            count: 0,
        }
    }

    fn api_of(&self, step: &Value) -> Result<&'a Api, Stopped> {
        let name = step["api"].as_str().unwrap_or(&self.source.api);
        self.schemas.api(name)
    }

    /// Versions in which a sequence asks a step.
    fn versions(&self, step: &Value, api: &Api) -> Result<Versions, Stopped> {
        let each = self.source.each.as_deref().unwrap_or("all");
        let asked = match step["versions"].as_str() {
            Some("each") => each,
            Some(other) => other,
            None if api.name == self.source.api => each,
            None => "max",
        };
        Ok(range(asked, api)?.both(api.advertised))
    }

    fn step(&mut self, dice: &mut Dice) -> Result<Value, Stopped> {
        let position = self.count / (MUTANTS + 1) % self.source.steps.len();
        let is_changed = !self.count.is_multiple_of(MUTANTS + 1);
        self.count += 1;
        let mut step = self.source.steps[position].clone();
        let api = self.api_of(&step)?;
        let mut versions = self.versions(&step, api)?;
        if is_changed && dice.percent(30) {
            versions = api.advertised;
        }
        // Below version 4 Metadata creates what it asks for, which takes a time of its own.
        let first = if api.name == "Metadata" { 4 } else { 0 };
        let first = i64::from(versions.first.max(first));
        let version = dice.between(first, i64::from(versions.last).max(first)) as i16;
        step["api"] = json!(api.name);
        step["versions"] = json!(version.to_string());
        if is_changed {
            self.change(&mut step, api, version, dice);
        }
        let mut whole = step["body"].clone();
        for (at, value) in step["set"].as_object().into_iter().flatten() {
            put(&mut whole, at, value.clone())?;
        }
        if !is_harmless(&api.name, &whole) {
            // Something else in its place that is always there.
            let other = json!({"name": "in its place", "api": "DescribeCluster", "versions": "0"});
            return Ok(other);
        }
        restrain(&mut step, &api.name, &whole);
        Ok(step)
    }

    /// Chooses what is set otherwise, and names the step by it.
    fn change(&self, step: &mut Value, api: &Api, version: i16, dice: &mut Dice) {
        let mut all: Vec<Place<'_>> = Vec::new();
        places(&api.request, version, &step["body"], &api.name, &mut all);
        let wanted = dice.weighted(&[(2, 1), (5, 2), (3, 3)]);
        let mut name = step["name"].as_str().unwrap_or_default().to_owned();
        let mut set = json!({});
        let mut chosen: Vec<String> = Vec::new();
        for _ in 0..wanted * 3 {
            if all.is_empty() || chosen.len() == wanted {
                break;
            }
            let place = &all[dice.below(all.len())];
            let is_apart = |other: &String| {
                let lies_in = |inner: &str, outer: &str| {
                    inner == outer || inner.starts_with(&format!("{outer}/"))
                };
                !lies_in(other, &place.at) && !lies_in(&place.at, other)
            };
            if !chosen.iter().all(is_apart) {
                continue;
            }
            let said = self
                .material
                .said(&place.field_path, |text| self.is_known(text));
            let texts = self.texts();
            let Some((change, value)) = place.changed(dice, &said, &texts) else {
                continue;
            };
            name.push_str(&format!(", {} {change}", place.told()));
            set[&place.at] = value;
            chosen.push(place.at.clone());
        }
        if let Some(fields) = step.as_object_mut() {
            fields.remove("capture");
        }
        step["name"] = json!(name);
        step["set"] = set;
    }

    /// True if it has no name of a variable that this sequence does not have.
    fn is_known(&self, text: &str) -> bool {
        text.split('$').skip(1).all(|rest| {
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric());
            self.names.contains(&rest[..end.unwrap_or(rest.len())])
        })
    }

    /// Names of other things that there are.
    fn texts(&self) -> Vec<Value> {
        let created = self.source.create.as_array().into_iter().flatten();
        created
            .map(|topic| topic["topic"].clone())
            .chain([json!("$t"), json!("${t}.none")])
            .collect()
    }
}

impl Walk for Mutations<'_> {
    fn api(&self) -> &str {
        &self.source.api
    }

    fn file(&self) -> &str {
        &self.source.file
    }

    fn sequence(&self) -> &str {
        &self.source.name
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn topics(&self) -> Value {
        self.source.create.clone()
    }

    fn opening(&self) -> Vec<Value> {
        let mut opening = super::coordinator_opening();
        opening.push(json!({"name": "an id", "api": "InitProducerId", "versions": "5", "until": {"/errorCode": 0},
            "body": {"transactionalId": null, "transactionTimeoutMs": 60_000}}));
        opening
    }

    fn next(&mut self, dice: &mut Dice) -> Value {
        self.step(dice)
            .unwrap_or_else(|error| json!({"name": error.to_string()}))
    }

    fn heard(&mut self, _: &Value, _: &Value) {}
}

/// True if what it changes has the name of the walk, and is of what is built: not of transactions and
/// share groups.
fn is_harmless(api: &str, body: &Value) -> bool {
    let is_transaction = match api {
        "FindCoordinator" => body["keyType"]
            .as_i64()
            .is_some_and(|sort| sort == 1 || sort == 2),
        "InitProducerId" | "Produce" => body["transactionalId"].is_string(),
        _ => false,
    };
    if is_transaction {
        return false;
    }
    let is_writer = WRITERS.contains(&api) || LATE_APIS.contains(&api);
    let text = body.to_string();
    let is_about_own = text.contains("__") && is_writer;
    let configured = body["resources"].as_array().into_iter().flatten();
    let is_broker = configured
        .filter(|resource| resource.get("configs").is_some())
        .any(|resource| {
            let sort = resource["resourceType"].as_i64();
            !matches!(sort, Some(2 | 32))
        });
    let is_auto_created = api == "Metadata" && body["allowAutoTopicCreation"] == true;
    !is_about_own && !is_auto_created && (!is_broker || body["validateOnly"] == true)
}

/// What the comparison needs beside the body.
fn restrain(step: &mut Value, api: &str, body: &Value) {
    if api == "Metadata" && body.get("allowAutoTopicCreation").is_none() {
        step["body"]["allowAutoTopicCreation"] = json!(false);
    }
    if api == "Produce" && body["acks"] == 0 {
        step["silent"] = json!(true);
    }
    for (of, field, at, name) in LISTS {
        let is_all = body[field].as_array().is_none_or(Vec::is_empty);
        if api == of && is_all {
            step["keep"] = json!({"at": at, "field": name});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;
    use crate::sequence::Step;
    use crate::variables::Variables;

    #[test]
    fn a_seed_changes_the_same_fields_again_and_nearly_all_can_be_sent() {
        let schemas = Schemas::read(&crate::home()).expect("the schemas can be read");
        let material =
            Material::read(&crate::home(), &schemas, "").expect("the sequences can be read");
        let (mut sent_count, mut count) = (0, 0);
        for seed in 0..material.sources.len() as u64 {
            let steps = |seed| {
                let mut walk = Mutations::new(seed, &material, &schemas);
                let mut dice = Dice::new(seed);
                (0..24).map(|_| walk.next(&mut dice)).collect::<Vec<_>>()
            };
            let once = steps(seed);
            assert_eq!(once, steps(seed));
            let walk = Mutations::new(seed, &material, &schemas);
            let mut variables = Variables::new("x.walk.", 1_000);
            for name in &walk.names {
                if !["t", "now", "new"].contains(&name.as_str()) {
                    variables.set(name, json!("0".repeat(32)));
                }
            }
            for step in once {
                let read: Step = serde_json::from_value(step.clone()).expect("it is a step");
                let api = read.api.as_deref().expect("it names its API");
                let api = schemas.api(api).expect("it is one of Kafka's");
                let version = read.versions.as_deref().expect("it names its version");
                let version = version.parse().expect("one version");
                assert!(api.advertised.holds(version), "{step}");
                let mut body = read.body.unwrap_or_default();
                for (at, value) in read.set {
                    put(&mut body, &at, value).expect("it is there");
                }
                count += 1;
                let body = variables.fill(&body);
                sent_count += usize::from(message::encode(&api.request, version, &body).is_ok());
            }
        }
        assert!(sent_count * 100 > count * 85, "{sent_count} of {count}");
    }
}
