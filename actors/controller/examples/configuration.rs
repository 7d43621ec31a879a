//! Writes `docs/configuration.md` from the tables of keys:
//! `cargo run -p kabuki-controller --example configuration > docs/configuration.md`.

use std::fmt::Write;

use kabuki_controller::catalogue::{ConfigKey, broker_keys, group_keys, is_fixed, topic_keys};

const HEAD: &str = "\
# Configuration

Every key that a topic, a group or a broker can have, written from the tables in `actors/controller/src/catalogue`, which
hold the names, types, defaults and rules of Kafka 4.3 (`cargo run -p kabuki-controller --example configuration`).

A key that does nothing here is taken all the same, so that files and tools for Kafka work, and its last column says why.
The log names those that are set to something else than their default: at the start of a node all in one line, at a
change once for each key. Keys of a broker that nobody knows are taken, too (Kafka keeps them for its plugins), but for
`kabuki.*`; keys that ask for protection which is not built stop the start instead.

*When* says what a new value needs: *now* takes effect while the node runs, on all that is there; *start* is read at the
start of a node only, and refused by AlterConfigs.
";

fn main() {
    print!("{}", page());
}

/// The whole document.
pub(crate) fn page() -> String {
    let (own, kafkas): (Vec<_>, Vec<_>) = broker_keys()
        .iter()
        .partition(|key| key.name.starts_with("kabuki."));
    let mut page = HEAD.to_owned();
    chapter(
        &mut page,
        "Topics",
        "Set by CreateTopics, AlterConfigs and IncrementalAlterConfigs; a broker key of the row is the default.",
        topic_keys().iter(),
    );
    chapter(
        &mut page,
        "Groups",
        "Resource type 32. Bounded by the broker's `group.*.min.*` and `group.*.max.*`; a session is longer than the \
         interval of its heart-beats.",
        group_keys().iter(),
    );
    chapter(
        &mut page,
        "Brokers: keys of Kabuki",
        "They have no match in Kafka.",
        own.into_iter(),
    );
    chapter(
        &mut page,
        "Brokers: keys of Kafka",
        "From the properties file, `--override`, `KABUKI_*` in the environment, or AlterConfigs where they need no start.",
        kafkas.into_iter(),
    );
    page
}

fn chapter<'a>(
    page: &mut String,
    title: &str,
    words: &str,
    keys: impl Iterator<Item = &'a ConfigKey>,
) {
    _ = write!(page, "\n## {title}\n\n{words}\n\n");
    page.push_str("| key | type | default | when | what it does | without effect, because |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for key in keys {
        let words = key.documentation.replace('|', "\\|");
        let stand_ins: Vec<String> = key
            .synonyms
            .iter()
            .map(|synonym| format!("`{}`", synonym.name))
            .collect();
        let stand_ins = match stand_ins.is_empty() {
            true => String::new(),
            false => format!(" Default: {}.", stand_ins.join(", ")),
        };
        _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {words}{stand_ins} | {} |",
            key.name,
            kind(key),
            default(key),
            when(key),
            key.without_effect.unwrap_or(""),
        );
    }
}

/// The type, with the unit where the name says one.
fn kind(key: &ConfigKey) -> String {
    const UNITS: [(&str, &str); 6] = [
        (".ms", "ms"),
        (".bytes", "bytes"),
        (".minutes", "min"),
        (".hours", "h"),
        (".seconds", "s"),
        (".secs", "s"),
    ];
    let kind = format!("{:?}", key.kind).to_lowercase();
    match UNITS.iter().find(|(end, _)| key.name.ends_with(end)) {
        Some((_, unit)) => format!("{kind}, {unit}"),
        None => kind,
    }
}

fn default(key: &ConfigKey) -> String {
    match key.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some("9223372036854775807") => "no limit".to_owned(),
        Some(value) => format!("`{value}`"),
    }
}

fn when(key: &ConfigKey) -> &'static str {
    if is_fixed(key.name) { "start" } else { "now" }
}
