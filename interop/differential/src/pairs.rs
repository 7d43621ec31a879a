//! Requests with one or two things wrong at once: which of the two a broker tells is its order of checks.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sequence::Step;

/// JSON pointers into the body, and what is put there.
type Changes = BTreeMap<String, Value>;

/// Each of `faults` alone, and each two that change different places, in the order of their names.
pub(crate) fn cases(faults: &BTreeMap<String, Changes>) -> Vec<Step> {
    let mut cases = Vec::new();
    for (position, (name, fault)) in faults.iter().enumerate() {
        cases.push(Step {
            name: name.clone(),
            set: fault.clone(),
            ..Step::default()
        });
        for (other_name, other) in faults.iter().skip(position + 1) {
            if meet(fault, other) {
                continue;
            }
            let mut set = fault.clone();
            set.extend(other.clone());
            cases.push(Step {
                name: format!("{name} & {other_name}"),
                set,
                ..Step::default()
            });
        }
    }
    cases
}

/// True if one changes what the other changes, or a part of it.
fn meet(one: &Changes, other: &Changes) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    one.keys()
        .any(|a| other.keys().any(|b| is_within(a, b) || is_within(b, a)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_of_different_places_come_together() {
        let faults: BTreeMap<String, Changes> = serde_json::from_value(json!({
            "acks": {"/acks": 7},
            "name": {"/topics/0/name": "x"},
            "none": {"/topics/0": null},
            "two": {"/topics/-": {}},
        }))
        .expect("it is a map of maps");
        let cases = cases(&faults);
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "acks",
                "acks & name",
                "acks & none",
                "acks & two",
                "name",
                "name & two",
                "none",
                "none & two",
                "two"
            ]
        );
        assert_eq!(cases[1].set.len(), 2);
    }
}
