//! Drops the steps that a difference does not need.

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
    begin: &impl Fn(&str) -> Result<Pair<'a>, Stopped>,
    is_over: &impl Fn() -> bool,
) -> Result<Short, Stopped> {
    let mut attempt = 0;
    let mut replayed = |steps: &[Value]| {
        attempt += 1;
        replay(steps, kind, &mut begin(&format!(".{attempt}"))?)
    };
    let mut best = match replayed(&steps)? {
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
    Ok(best)
}

/// Walks these steps again; `None` if they do not end in a difference of this kind.
fn replay(steps: &[Value], kind: &str, pair: &mut Pair<'_>) -> Result<Option<Short>, Stopped> {
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
        if !put.differences.is_empty() {
            let is_same = kind_of(&put) == kind;
            return Ok(is_same.then_some(Short {
                steps: taken,
                told,
                differences: put.differences,
            }));
        }
    }
    Ok(None)
}
