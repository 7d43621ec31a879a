//! Drops the steps, and the changes of the last one, that a difference does not need.

use std::time::Duration;

use serde_json::Value;

use super::kind_of;
use super::pair::Pair;
use crate::{Difference, Stopped};

/// How long an answer is waited for that may not come in a shorter walk.
const ANSWER_WAIT: Duration = Duration::from_millis(60);

pub(super) struct Short {
    pub(super) steps: Vec<Value>,
    pub(super) told: Vec<(Value, Value)>,
    pub(super) differences: Vec<Difference>,
}

/// The shortest walk that still ends in a difference of this kind, by leaving out ever shorter runs of
/// steps. The whole walk, if it does not show the difference a second time.
pub(super) fn shortest<'a>(
    steps: Vec<Value>,
    kind: &str,
    goes_on: bool,
    begin: &impl Fn(&str) -> Result<Pair<'a>, Stopped>,
    is_over: &impl Fn() -> bool,
) -> Result<Short, Stopped> {
    let mut attempt = 0;
    let mut replayed = |steps: &[Value]| {
        attempt += 1;
        let mut pair = begin(&format!(".{attempt}"))?;
        replay(steps, kind, goes_on, &mut pair)
    };
    // Many a difference takes but the last step.
    let last = &steps[steps.len().saturating_sub(1)..];
    let shown = match replayed(last)? {
        None => replayed(&steps)?,
        short => short,
    };
    let mut best = match shown {
        Some(short) => short,
        None => {
            let told = steps.iter().map(|step| (step.clone(), Value::Null));
            return Ok(Short {
                told: told.collect(),
                steps,
                differences: Vec::new(),
            });
        }
    };
    let mut run = best.steps.len() / 2;
    while run > 0 {
        let mut at = 0;
        while at < best.steps.len() && !is_over() {
            let end = (at + run).min(best.steps.len());
            let mut fewer = best.steps.clone();
            fewer.drain(at..end);
            match replayed(&fewer)? {
                Some(short) => best = short,
                None => at += run,
            }
        }
        run /= 2;
    }
    for at in changes(&best.steps) {
        let mut fewer = best.steps.clone();
        if let Some(set) = fewer
            .last_mut()
            .and_then(|step| step["set"].as_object_mut())
        {
            set.remove(&at);
        }
        if let Some(short) = replayed(&fewer)?.filter(|_| !is_over()) {
            best = short;
        }
    }
    Ok(best)
}

/// What the last step sets otherwise than its body.
fn changes(steps: &[Value]) -> Vec<String> {
    let set = steps.last().and_then(|step| step.get("set"));
    let set = set.and_then(Value::as_object);
    set.into_iter()
        .flat_map(|set| set.keys().cloned())
        .collect()
}

/// Walks these steps again; `None` if they do not end in a difference of this kind.
fn replay(
    steps: &[Value],
    kind: &str,
    goes_on: bool,
    pair: &mut Pair<'_>,
) -> Result<Option<Short>, Stopped> {
    let mut taken = Vec::new();
    let mut told = Vec::new();
    for step in steps {
        if let Some(name) = step.get("await").and_then(Value::as_str)
            && !pair.is_answered(name, ANSWER_WAIT)
        {
            continue;
        }
        let put = pair.put(step)?;
        taken.push(step.clone());
        told.push((step.clone(), put.outcome.clone()));
        if put.differences.is_empty() {
            continue;
        }
        if kind_of(&put) == kind {
            return Ok(Some(Short {
                steps: taken,
                told,
                differences: put.differences,
            }));
        }
        if !goes_on {
            return Ok(None);
        }
    }
    Ok(None)
}
