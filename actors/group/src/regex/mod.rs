//! Regular expressions of subscriptions: checked when a member brings one, searched when topics change.
//!
//! Kafka evaluates them with RE2/J, this crate with `regex`; both take time linear in the name, whatever the
//! expression. `re2` closes the gaps of syntax. Names of topics are ASCII, so expressions are read as such where
//! they allow it: `\w` of Unicode has 700 ranges, and a heartbeat may bring it eight thousand times. What stays
//! different:
//!
//! * `\C` (any byte) and `(?<name>` before RE2/J 1.8 are unknown there or here; nobody uses them on topics.
//! * A counted repetition may be as large as the compiled form allows (256 KiB); RE2 stops at
//!   1,000. An expression that RE2 takes and whose compiled form is larger than that bound is refused (128).
//! * `(?m)` and `\b` see topic names only, which are ASCII without line ends; both engines agree there.

mod re2;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use crate::refusal::GroupRefused;

/// Bytes that one compiled expression may take: what a hostile one costs. Kafka has no bound here.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Bytes of an expression that needs Unicode (`\pL`): ten times as many took half a second to compile.
const UNICODE_BYTES_MAX: usize = 512;

/// Bytes of an expression as sent. Longer ones are refused before they are parsed.
const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// Characters of an expression, and of what is wrong with it, in an answer.
const TOLD_CHARS_MAX: usize = 250;

/// Checks an expression that a member brings.
///
/// # Errors
/// [`GroupRefused::InvalidRegex`] when it is not RE2, or too large.
pub fn check(expression: &Arc<str>) -> Result<(), GroupRefused> {
    compile(expression)
        .map(drop)
        .map_err(|cause| GroupRefused::InvalidRegex {
            expression: Arc::from(beginning(expression)),
            // The lines before show the expression.
            cause: beginning(cause.lines().last().unwrap_or_default()).to_owned(),
        })
}

/// As much of a text as an answer repeats to its client: the message of an error has its limit.
fn beginning(text: &str) -> &str {
    let end = text.char_indices().nth(TOLD_CHARS_MAX);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Finds the topics that each expression stands for. Takes time in the product of both: run it off the
/// arbiter. An expression that does not compile (a later release wrote it) stands for nothing; one that is not
/// through when `has_time` becomes false is left out, with all behind it.
pub fn resolve<'a>(
    expressions: &BTreeSet<Arc<str>>,
    topic_names: impl Iterator<Item = &'a Arc<str>> + Clone,
    has_time: impl Fn() -> bool,
) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let mut found = BTreeMap::new();
    for expression in expressions {
        let mut matches = BTreeSet::new();
        if let Ok(regex) = compile(expression) {
            for name in topic_names.clone() {
                if !has_time() {
                    return found;
                }
                if regex.is_match(name.as_bytes()) {
                    matches.insert(name.clone());
                }
            }
        }
        found.insert(expression.clone(), matches);
    }
    found
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
    match compile_as(&translated, false) {
        Err(_) if expression.len() <= UNICODE_BYTES_MAX => compile_as(&translated, true),
        compiled => compiled,
    }
}

fn compile_as(translated: &str, is_unicode: bool) -> Result<Regex, String> {
    // Alone first: `a)|(b` must not become legal by what is put around it.
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .unicode(is_unicode)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .nest_limit(100)
            .build()
            .map_err(|error| error.to_string())
    };
    build(translated)?;
    build(&format!(r"\A(?:{translated})\z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(expression: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let expressions = BTreeSet::from([Arc::from(expression)]);
        let found = resolve(&expressions, names.iter(), || true);
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
            (r"[^é]\w+", &["ORDERS", "orders"]),
            (
                r"(?i)[A-Z-]+\b",
                &["ORDERS", "my-orders", "orders", "orders-eu"],
            ),
            ("", &[]),
        ] {
            assert_eq!(matching(expression, &names), expected, "{expression}");
        }
    }

    #[test]
    fn a_search_without_time_leaves_the_rest_out() {
        let names: Vec<Arc<str>> = vec![Arc::from("a"), Arc::from("b")];
        let expressions = BTreeSet::from([Arc::from("a"), Arc::from("b"), Arc::from("c")]);
        let looks = std::cell::Cell::new(3);
        let has_time = || looks.replace(looks.get() - 1) > 0;
        let found = resolve(&expressions, names.iter(), has_time);
        assert_eq!(found.keys().map(|key| &**key).collect::<Vec<_>>(), ["a"]);
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
            &*r"\pL".repeat(200),
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
    fn a_refusal_repeats_the_beginning_of_a_long_expression() {
        for long in ["(a|".repeat(4_000), "é(".repeat(100_000)] {
            let refused = check(&Arc::from(long)).unwrap_err();
            assert!(refused.to_string().len() < 2_000, "{refused}");
        }
    }

    #[test]
    fn an_expression_that_would_grow_is_refused_fast() {
        let grown = "((((a{1,100}){1,100}){1,100}){1,100}){1,100}";
        assert!(check(&Arc::from(grown)).is_err());
    }
}
