//! Regular expressions of subscriptions: checked when a member brings one, searched when topics change.
//!
//! Kafka evaluates them with RE2/J, this crate with `regex`; both take time linear in the name, whatever the
//! expression. `re2` closes the gaps of syntax. What stays different:
//!
//! * `\C` (any byte) and `(?<name>` before RE2/J 1.8 are unknown there or here; nobody uses them on topics.
//! * A counted repetition may be as large as the compiled form allows (256 KiB); RE2 stops at
//!   1,000. An expression that RE2 takes and whose compiled form is larger than that bound is refused (128).
//! * `(?m)` and `\b` see topic names only, which are ASCII without line ends; both engines agree there.

mod re2;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::refusal::GroupRefused;

/// Bytes that one compiled expression may take: what a hostile one costs. Kafka has no bound here.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Bytes of an expression as sent. Longer ones are refused before they are parsed.
const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// Checks an expression that a member brings.
///
/// # Errors
/// [`GroupRefused::InvalidRegex`] when it is not RE2, or too large.
pub fn check(expression: &Arc<str>) -> Result<(), GroupRefused> {
    compile(expression)
        .map(drop)
        .map_err(|cause| GroupRefused::InvalidRegex {
            expression: expression.clone(),
            cause,
        })
}

/// Finds the topics that each expression stands for. Takes time in the product of both: run it off the
/// arbiter. An expression that does not compile (a later release wrote it) stands for nothing.
pub fn resolve<'a>(
    expressions: &BTreeSet<Arc<str>>,
    topic_names: impl Iterator<Item = &'a Arc<str>> + Clone,
) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let matches = |expression: &Arc<str>| match compile(expression) {
        Ok(regex) => topic_names
            .clone()
            .filter(|name| regex.is_match(name))
            .cloned()
            .collect(),
        Err(_) => BTreeSet::new(),
    };
    expressions
        .iter()
        .map(|expression| (expression.clone(), matches(expression)))
        .collect()
}

/// Compiles an expression so that it must match a whole name.
fn compile(expression: &str) -> Result<Regex, String> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        let length = expression.len();
        return Err(format!(
            "{length} bytes are more than {EXPRESSION_BYTES_MAX}"
        ));
    }
    let translated = re2::translate(expression)?;
    // Alone first: `a)|(b` must not become legal by what is put around it.
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .nest_limit(100)
            .build()
            .map_err(|error| error.to_string())
    };
    build(&translated)?;
    build(&format!(r"\A(?:{translated})\z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(expression: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let expressions = BTreeSet::from([Arc::from(expression)]);
        let found = resolve(&expressions, names.iter());
        found[expression]
            .iter()
            .map(|name| name.to_string())
            .collect()
    }

    #[test]
    fn an_expression_matches_whole_names() {
        let names = ["orders", "orders-eu", "my-orders", "ORDERS"];
        for (expression, expected) in [
            ("orders", &["orders"][..]),
            ("orders.*", &["orders", "orders-eu"]),
            (".*orders", &["my-orders", "orders"]),
            ("orders|my-orders", &["my-orders", "orders"]),
            ("^orders$", &["orders"]),
            ("(?i)orders", &["ORDERS", "orders"]),
            (r"\Qorders\E(-[[:alpha:]]{2})?", &["orders", "orders-eu"]),
            ("[[:upper:]]+", &["ORDERS"]),
            (r"\pL+", &["ORDERS", "orders"]),
            ("", &[]),
        ] {
            assert_eq!(matching(expression, &names), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for bad in [
            "(",
            "a)|(b",
            "[a",
            "a**(",
            r"\Z",
            "(?=a)",
            r"(a)\1",
            "a{2,1}",
            &*"(".repeat(20_000),
        ] {
            let refused = check(&Arc::from(bad));
            assert!(
                matches!(refused, Err(GroupRefused::InvalidRegex { .. })),
                "{bad:.20}"
            );
        }
        for good in ["a", "a.*", "[a-z&&b]", r"[\w.-]+", "(?P<n>a)", "a{3,}"] {
            assert_eq!(check(&Arc::from(good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn an_expression_that_would_grow_is_refused_fast() {
        let grown = "((((a{1,100}){1,100}){1,100}){1,100}){1,100}";
        assert!(check(&Arc::from(grown)).is_err());
    }
}
