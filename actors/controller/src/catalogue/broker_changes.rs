//! Which values a broker takes while it runs, beyond what each key's rule says: pools grow and shrink by
//! half at most, bounds of groups hold, and what names things of the node names what is there.

use super::check::ConfigRefused;
use super::key::{ListenerKey, broker_key};
use super::layers::ConfigLayers;
use super::validator::list_entries;
use crate::image::ConfigOverrides;

/// Sizes of pools: Kafka at most doubles or halves one in one step.
const POOLS: [&str; 10] = [
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// A rule of the start takes 0 for these; a broker that runs would lock everybody out.
const NEVER_ZERO: [&str; 2] = ["max.connections", "max.connection.creation.rate"];

/// Kinds of groups with an assignment interval of brokers between bounds.
const GROUP_KINDS: [&str; 3] = ["consumer", "share", "streams"];

/// Kafka's compaction asks for more than this for each of its threads.
const DEDUPE_BYTES_MIN: i64 = 1024 * 1024;

/// What a change of a broker's configuration would lead to.
pub(crate) struct BrokerChange<'a> {
    /// Overrides of the resource before.
    pub(crate) old: &'a ConfigOverrides,
    /// Overrides of the resource after.
    pub(crate) new: &'a ConfigOverrides,
    /// All layers before.
    pub(crate) before: ConfigLayers<'a>,
    /// All layers after.
    pub(crate) after: ConfigLayers<'a>,
    /// Whether it is one for all brokers.
    pub(crate) is_for_all: bool,
    /// Log directories of this node.
    pub(crate) log_dirs: Vec<String>,
}

impl BrokerChange<'_> {
    /// Checks what is new in it.
    ///
    /// # Errors
    /// The first key with a value that does not fit to what the broker is now.
    pub(crate) fn check(&self) -> Result<(), ConfigRefused> {
        let is_new = |name: &str, value: &String| self.old.get(name) != Some(value);
        let changed = self.new.iter().filter(|(name, value)| is_new(name, value));
        for (name, value) in changed {
            if name == "min.insync.replicas" && !self.is_for_all {
                return Err(ConfigRefused::ForAllBrokers { key: name.clone() });
            }
            self.check_key(name, value)
                .map_err(|cause| ConfigRefused::InvalidValue {
                    key: name.clone(),
                    value: value.clone(),
                    cause,
                })?;
        }
        Ok(())
    }

    fn check_key(&self, name: &str, value: &str) -> Result<(), String> {
        match name {
            _ if POOLS.contains(&name) => self.check_pool(name),
            _ if NEVER_ZERO.contains(&name) && self.after.broker_i64(name) == 0 => {
                Err("must be at least 1 while the broker runs".to_owned())
            }
            "max.connections.per.ip" if self.after.broker_i64(name) == 0 => {
                let others = "max.connections.per.ip.overrides";
                match self.after.broker_text(others) {
                    Some("") | None => Err(format!("may be 0 only where {others} says more")),
                    Some(_) => Ok(()),
                }
            }
            "log.cleaner.dedupe.buffer.size" | "log.cleaner.threads" => self.check_dedupe(),
            "log.retention.ms" | "log.local.retention.ms" => {
                self.check_local("retention.ms", "local.retention.ms")
            }
            "log.retention.bytes" | "log.local.retention.bytes" => {
                self.check_local("retention.bytes", "local.retention.bytes")
            }
            _ if self.is_for_all
                && ListenerKey::parse(name).is_some_and(|own| !own.has_effect()) =>
            {
                Err("can be set for single brokers only".to_owned())
            }
            "cordoned.log.dirs" => self.check_cordoned(value),
            "metric.reporters" => check_reporters(value),
            _ => self.check_interval(name),
        }
    }

    fn check_pool(&self, name: &str) -> Result<(), String> {
        let (old, new) = (self.before.broker_i64(name), self.after.broker_i64(name));
        if new == old {
            return Ok(());
        }
        let (least, most) = ((old / 2).max(1), old.saturating_mul(2));
        if !(least..=most).contains(&new) {
            return Err(format!(
                "must be between {least} and {most}, as it is {old}"
            ));
        }
        if name == "log.cleaner.threads" {
            return self.check_dedupe();
        }
        Ok(())
    }

    fn check_dedupe(&self) -> Result<(), String> {
        let bytes = self.after.broker_i64("log.cleaner.dedupe.buffer.size");
        let threads = self.after.broker_i64("log.cleaner.threads").max(1);
        if bytes / threads <= DEDUPE_BYTES_MIN {
            return Err(format!(
                "leaves {bytes} bytes for {threads} threads, each needs more than {DEDUPE_BYTES_MIN}"
            ));
        }
        Ok(())
    }

    /// What stays on local disk is no more than all that is kept; -1 and -2 are no limit and the same.
    fn check_local(&self, all: &str, local: &str) -> Result<(), String> {
        let (kept, kept_local) = (
            self.after.effective_i64(all),
            self.after.effective_i64(local),
        );
        if kept == -1 || kept_local == -2 || (0..=kept).contains(&kept_local) {
            return Ok(());
        }
        Err(format!(
            "would keep {kept_local} locally, and {kept} in all"
        ))
    }

    fn check_cordoned(&self, value: &str) -> Result<(), String> {
        if self.is_for_all {
            return Err("can be set for single brokers only".to_owned());
        }
        let is_known = |dir: &str| self.log_dirs.iter().any(|known| known == dir);
        if value.trim().is_empty() || value.trim() == "*" {
            return Ok(());
        }
        match value.split(',').map(str::trim).find(|dir| !is_known(dir)) {
            Some(dir) => Err(format!("{dir:?} is no log directory of this broker")),
            None => Ok(()),
        }
    }

    /// An interval for all groups of a kind is bounded as one for a single group is.
    fn check_interval(&self, name: &str) -> Result<(), String> {
        let key_of =
            |kind: &str, bound: &str| format!("group.{kind}.{bound}assignment.interval.ms");
        let Some(kind) = GROUP_KINDS.iter().find(|kind| key_of(kind, "") == name) else {
            return Ok(());
        };
        let least = self.after.broker_i64(&key_of(kind, "min."));
        let most = self.after.broker_i64(&key_of(kind, "max."));
        match (least..=most).contains(&self.after.broker_i64(name)) {
            true => Ok(()),
            false => Err(format!("must be between {least} and {most}")),
        }
    }
}

/// Java classes are not loaded; those that Kafka always has may be named.
fn check_reporters(value: &str) -> Result<(), String> {
    let always = broker_key("metric.reporters").and_then(|key| key.default);
    match list_entries(value).find(|name| Some(*name) != always) {
        Some(name) => Err(format!(
            "names the Java class {name}, which can not be loaded"
        )),
        None if value.contains(',') => Err("has an empty entry".to_owned()),
        None => Ok(()),
    }
}
