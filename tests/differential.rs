//! Kabuki answers as Apache Kafka 4.3 does: field by field, to every request of `interop/differential`,
//! but where its lists say otherwise.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use kabuki_differential::{
    Coverage, Difference, DrawnCodes, ErrorCodes, Golden, Lists, Rules, Schemas, SequenceFile,
    differences_of, home, lines_of, play,
};
use support::NodeHome;

/// What the run of all files showed.
struct Run {
    request_count: usize,
    equal_count: usize,
    differences: Vec<Difference>,
    coverage: Coverage,
    drawn: DrawnCodes,
    /// Key, and lowest and highest version, as the node itself says.
    advertised: Vec<(i16, i16, i16)>,
}

#[test]
fn every_request_is_answered_as_kafka_answers_it() {
    let started = Instant::now();
    let lists = Lists::read(&home()).expect("the lists can be read");
    let schemas = Schemas::read(&home()).expect("the schemas can be read");
    let run = run(&lists, &schemas);
    let verdict = lists.judge(&run.differences);

    let codes = ErrorCodes::read(&home()).expect("the list of codes can be read");
    println!("good/refused requests by version\n{}", run.coverage.table());
    println!(
        "error codes and how many answers have them\n{}",
        codes.table(&run.drawn)
    );
    println!(
        "{} requests in {} ms, {} answered as Kafka does; fields that differ: {} on purpose, {} pending, {} not listed",
        run.request_count,
        started.elapsed().as_millis(),
        run.equal_count,
        verdict.deliberate_count,
        verdict.pending_count,
        verdict.unlisted.len(),
    );
    for (file, reason) in &lists.not_replayed {
        println!("not asked: {file}: {reason}");
    }
    for line in lines_of(verdict.unlisted.iter().copied(), ["kafka", "here"]) {
        println!("{line}");
    }
    for listed in &verdict.stale {
        println!(
            "no such difference any more: {} {}",
            listed.request, listed.path
        );
    }
    assert!(
        verdict.unlisted.is_empty(),
        "{} fields differ from Kafka's answers and no list says why; see above",
        verdict.unlisted.len()
    );
    assert!(
        verdict.stale.is_empty(),
        "{} listed differences are none any more: take them out of the lists",
        verdict.stale.len()
    );
    assert_coverage(&lists, &schemas, &run);
    assert_codes(&codes, &schemas, &run);
    assert_readme(&run);
}

/// Puts all files to a fresh node.
fn run(lists: &Lists, schemas: &Schemas) -> Run {
    let rules = Rules::read(&home()).expect("the rules can be read");
    let files = SequenceFile::read_all(&home()).expect("the sequences can be read");
    let mut node_home = NodeHome::new();
    for setting in settings_of_kafka() {
        node_home = node_home.with(&setting);
    }
    let node = node_home.start();
    let mut run = Run {
        request_count: 0,
        equal_count: 0,
        differences: Vec::new(),
        coverage: Coverage::default(),
        drawn: DrawnCodes::default(),
        advertised: Vec::new(),
    };
    for file in &files {
        let kafka = Golden::read(&home(), &file.name).expect("Kafka's answers were recorded");
        if lists.not_replayed.contains_key(&file.name) {
            continue;
        }
        let exchanges = play(file, node.address(), schemas, &rules, "")
            .unwrap_or_else(|error| panic!("{error}\n{}", node_home.log()));
        let here = Golden::of(exchanges);
        for exchange in &kafka.exchanges {
            let key = schemas.api(&exchange.request.0).expect("it was asked").key;
            run.coverage.count(key, exchange);
            run.drawn.count(exchange);
        }
        if file.api == "ApiVersions" {
            run.advertised = advertised(&here);
        }
        let differences = differences_of(&file.name, &kafka, &here);
        let mut differing: Vec<_> = differences
            .iter()
            .map(|difference| (&difference.request, difference.version))
            .collect();
        differing.dedup();
        run.request_count += here.exchanges.len();
        run.equal_count += here.exchanges.len() - differing.len();
        run.differences.extend(differences);
    }
    run
}

/// What the file of the recorded Kafka sets and a node without a cluster knows, too.
fn settings_of_kafka() -> Vec<String> {
    let text = std::fs::read_to_string(home().join("kafka.properties")).expect("it is there");
    let is_own = |line: &str| {
        [
            "listener",
            "advertised",
            "controller",
            "log.dirs",
            "inter.",
            "process.",
            "#",
        ]
        .iter()
        .any(|prefix| line.starts_with(prefix))
    };
    let lines = text.lines().filter(|line| !is_own(line));
    lines.map(str::to_owned).collect()
}

fn advertised(api_versions: &Golden) -> Vec<(i16, i16, i16)> {
    let newest = api_versions
        .exchanges
        .iter()
        .rfind(|exchange| exchange.label == "asked/as clients do")
        .expect("ApiVersions is asked");
    let keys = newest.outcome["apiKeys"]
        .as_object()
        .expect("it lists APIs");
    let number = |value: &serde_json::Value| value.as_i64().expect("a version") as i16;
    keys.iter()
        .map(|(key, versions)| {
            let key = key.parse().expect("a key");
            (
                key,
                number(&versions["minVersion"]),
                number(&versions["maxVersion"]),
            )
        })
        .collect()
}

/// Every advertised version of every API is asked something good and something that is refused, but
/// where the list says why not.
fn assert_coverage(lists: &Lists, schemas: &Schemas, run: &Run) {
    let mut lacking = Vec::new();
    let mut is_used: BTreeMap<usize, bool> =
        (0..lists.uncovered.len()).map(|at| (at, false)).collect();
    for (key, min, max) in &run.advertised {
        let name = schemas.name_of(*key).expect("an API of Kafka's");
        for version in *min..=*max {
            for lacks in run.coverage.lacks(*key, name, version) {
                let listed = lists
                    .uncovered
                    .iter()
                    .position(|uncovered| uncovered.names(name, version, lacks));
                match listed {
                    Some(at) => {
                        is_used.insert(at, true);
                    }
                    None => lacking.push(format!("{name} v{version} lacks a {lacks} request")),
                }
            }
        }
    }
    assert!(!run.advertised.is_empty(), "the node advertises nothing");
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
    assert!(
        is_used.values().all(|is_used| *is_used),
        "an uncovered version is covered: take it out of the list"
    );
}

/// Every error code of every advertised API is drawn from Kafka, but where the list says why not.
fn assert_codes(codes: &ErrorCodes, schemas: &Schemas, run: &Run) {
    let apis: Vec<&str> = run
        .advertised
        .iter()
        .map(|(key, ..)| schemas.name_of(*key).expect("an API of Kafka's"))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let problems = codes.problems(&run.drawn, &apis, root);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// README quotes figures that this run has reached, and not much less than it has.
fn assert_readme(run: &Run) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md is there");
    let words: Vec<&str> = readme.split_whitespace().collect();
    let text = words.join(" ");
    let number_after = |words: &str| {
        let number = text.split_once(words)?.1.split(' ').next()?;
        number.replace(',', "").parse::<usize>().ok()
    };
    let asked = number_after("Of more than ").expect("README quotes the requests");
    let percent = number_after("it answers more than ").expect("README quotes the equal ones");
    let equal_permille = run.equal_count * 1000 / run.request_count;
    assert!(
        (asked..asked * 11 / 10).contains(&run.request_count)
            && (percent * 10..percent * 10 + 20).contains(&equal_permille),
        "README.md quotes more than {asked} requests and {percent} % answered as Kafka does: {} and {} of them are it",
        run.request_count,
        run.equal_count
    );
}
