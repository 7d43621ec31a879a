//! Which topics a consumer group reads: names, resolved expressions, and the hash that tells when they change.
//! Searching itself is `crate::regex`, started by the shell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ConsumerSoft, Context, Ledger};
use crate::records::{Change, GroupEpochValue, MemberValue, RegexValue};
use crate::refusal::GroupRefused;
use crate::regex;

/// Between two searches for one group, as in Kafka: many members that come at once cost one search.
const SEARCH_INTERVAL_MS: i64 = 10_000;

/// Different expressions that one group may bring. All members of one version of an application bring the
/// same; each costs a search of all topics, and may stand for all of them.
const EXPRESSIONS_MAX: usize = 100;

/// What a heartbeat means for the group's expressions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RegexUpdate {
    /// The member brings another expression than before.
    pub(super) has_changed: bool,
    /// ... and what it stands for is known, so a target can be computed at once.
    pub(super) is_resolved: bool,
    /// ... and nobody has brought it before.
    is_new: bool,
}

/// Checks a new expression and drops one that nobody else brings. Call before the member is written.
pub(super) fn prepare_regex(
    old: &MemberValue,
    new: &MemberValue,
    cx: &Context<'_>,
    ledger: &mut Ledger,
) -> Result<RegexUpdate, GroupRefused> {
    let mut update = RegexUpdate::default();
    if old.topic_regex == new.topic_regex {
        return Ok(update);
    }
    update.has_changed = true;
    let image = &ledger.durable.consumer;
    let dropped = old.regex().filter(|regex| {
        image.regex_counts().get(*regex) == Some(&1) && image.regexes().contains_key(*regex)
    });
    match new.regex() {
        Some(regex) if !image.regex_counts().contains_key(regex) => {
            match cx.checked_regex {
                Some(checked) if checked.expression == *regex => checked.verdict.clone()?,
                _ => regex::check(regex)?,
            }
            let is_last_of_old = old
                .regex()
                .is_some_and(|old| image.regex_counts().get(old) == Some(&1));
            if image.regex_counts().len() - usize::from(is_last_of_old) >= EXPRESSIONS_MAX {
                let limit = EXPRESSIONS_MAX;
                return Err(GroupRefused::GroupFull { limit });
            }
            update.is_new = true;
        }
        Some(regex) => update.is_resolved = image.regexes().contains_key(regex),
        None => update.is_resolved = old.regex().is_some(),
    }
    if let Some(regex) = dropped {
        ledger.write(Change::Regex(regex.clone(), None));
    }
    Ok(update)
}

/// Raises the group epoch when asked to, or when topics of the group have changed.
pub(super) fn update_epoch(is_asked: bool, cx: &Context<'_>, ledger: &mut Ledger) {
    let image = &mut ledger.durable.consumer;
    let hash = image.topics_hash(cx.topics);
    if is_asked || hash != image.metadata_hash() {
        let epoch = image.group_epoch() + 1;
        ledger.write(Change::GroupEpoch(Some(GroupEpochValue {
            epoch,
            metadata_hash: hash,
        })));
    }
}

impl ConsumerSoft {
    /// Asks for a search when an expression is new, topics have changed, or the last search is old.
    pub(super) fn search_regexes(
        &mut self,
        update: RegexUpdate,
        cx: &Context<'_>,
        ledger: &Ledger,
    ) {
        let image = &ledger.durable.consumer;
        if self.resolving.is_some() || image.regex_counts().is_empty() {
            return;
        }
        let last_ms = image
            .regexes()
            .values()
            .map(|value| value.resolved_ms)
            .max()
            .unwrap_or(0)
            .max(self.searched_ms);
        let last_version = image
            .regexes()
            .values()
            .map(|value| value.version)
            .max()
            .unwrap_or(0);
        let age_ms = cx.now.wall_ms - last_ms;
        // A wall clock that was set back must not stop searches for ever.
        if (0..SEARCH_INTERVAL_MS).contains(&age_ms) {
            return;
        }
        let is_missing = image
            .regex_counts()
            .keys()
            .any(|regex| !image.regexes().contains_key(regex));
        let is_due = update.is_new
            || is_missing
            || last_version < cx.topics.version()
            || age_ms >= cx.config.consumer_regex_refresh_ms;
        if is_due {
            let expressions: BTreeSet<Arc<str>> = image.regex_counts().keys().cloned().collect();
            self.resolving = Some(expressions.clone());
            self.to_resolve = Some(expressions);
        }
    }

    /// Takes the result of a search that was asked for.
    pub(crate) fn regexes_resolved(
        &mut self,
        found: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
        version: i64,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        if self.resolving.take().is_none() {
            return;
        }
        self.searched_ms = cx.now.wall_ms;
        let mut has_changed = false;
        for (regex, topics) in found {
            let image = &ledger.durable.consumer;
            // Its last member may have left meanwhile.
            if !image.regex_counts().contains_key(&regex) {
                continue;
            }
            let old = image.regexes().get(&regex);
            has_changed |= old.map_or(!topics.is_empty(), |old| old.topics != topics);
            let value = RegexValue {
                topics,
                version,
                resolved_ms: cx.now.wall_ms,
            };
            ledger.write(Change::Regex(regex, Some(Arc::new(value))));
        }
        update_epoch(has_changed, cx, ledger);
    }
}
