//! The command line: `record` asks Kafka anew, `replay` asks a broker that runs, `explore` asks both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kabuki_differential::{
    Coverage, Difference, DrawnCodes, ErrorCodes, Exploration, Finding, Golden, Kafka, Lists,
    Rules, Schemas, SequenceFile, Stopped, check_codec, differences_of, home, lines_of, play,
};

const USAGE: &str = "usage: differential record (--libs DIR | --address HOST:PORT) [--work DIR] [--twice] [--only FILE]
       differential replay --address HOST:PORT [--only FILE] [--pending]
       differential coverage
       differential explore --walk NAME,... (--libs DIR | --against HOST:PORT) --against HOST:PORT [--work DIR] [--seed N] [--walks N] [--steps N] [--seconds N] [--only FILE] [--keep FOLDER]

record   starts Apache Kafka from the jars in DIR, or takes the fresh one at HOST:PORT, puts every sequence, writes golden/ and tells what changed;
         with --twice it asks the same Kafka once more under other names and fails if the answers differ
replay   puts every sequence to the broker at HOST:PORT and tells the differences to golden/;
         with --pending it writes them as the entries of pending.toml instead
coverage tells how many requests each version of an API is asked, and which error codes they draw
explore  walks at random before two brokers, the first one a Kafka, and tells the shortest walks that they answer differently;
         with --keep it writes them as files of sequences into FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("record") => record(&arguments),
        Some("replay") => replay(&arguments),
        Some("coverage") => coverage(),
        Some("explore") => explore(&arguments),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn parsed(address: &str) -> Result<SocketAddr, Stopped> {
    address
        .parse()
        .map_err(|_| Stopped::because(format!("{address:?} is no address\n{USAGE}")))
}

fn is_set(arguments: &[String], name: &str) -> bool {
    arguments.iter().any(|argument| argument == name)
}

/// Plays the files that were asked for, with `names` in front of the names of topics and groups; each
/// with what was answered.
fn ask(
    address: SocketAddr,
    only: Option<&str>,
    names: &str,
) -> Result<Vec<(String, Golden)>, Stopped> {
    let home = home();
    let schemas = Schemas::read(&home)?;
    let rules = Rules::read(&home)?;
    let mut answered = Vec::new();
    for file in SequenceFile::read_all(&home)? {
        if only.is_none_or(|only| file.name.contains(only)) {
            let started = Instant::now();
            let exchanges = play(&file, address, &schemas, &rules, names)?;
            let ms = started.elapsed().as_millis();
            println!("{}: {} requests in {ms} ms", file.name, exchanges.len());
            answered.push((file.name, Golden::of(exchanges)));
        }
    }
    Ok(answered)
}

/// The tables of what was recorded.
fn coverage() -> Result<bool, Stopped> {
    let schemas = Schemas::read(&home())?;
    let mut coverage = Coverage::default();
    let mut drawn = DrawnCodes::default();
    for file in SequenceFile::read_all(&home())? {
        for exchange in Golden::read(&home(), &file.name)?.exchanges {
            coverage.count(schemas.api(&exchange.request.0)?.key, &exchange);
            drawn.count(&exchange);
        }
    }
    println!("good/refused requests by version\n{}", coverage.table());
    println!(
        "error codes and how many answers have them\n{}",
        ErrorCodes::read(&home())?.table(&drawn)
    );
    Ok(true)
}

/// What changed between two records of the same file: answers, and how many requests are new or gone.
fn tell_changes(before: &Golden, now: &Golden, name: &str) {
    let differences = differences_of(name, before, now);
    let (unasked, changed): (Vec<&Difference>, Vec<&Difference>) = differences
        .iter()
        .partition(|difference| difference.is_unasked());
    for line in lines_of(changed, ["was", "is"]) {
        println!("{line}");
    }
    let new_count = unasked.iter().filter(|one| one.kafka.is_none()).count();
    if !unasked.is_empty() {
        let gone_count = unasked.len() - new_count;
        println!("{name}: {new_count} requests are new, {gone_count} are gone");
    }
}

fn record(arguments: &[String]) -> Result<bool, Stopped> {
    let libs = PathBuf::from(option(arguments, "--libs").unwrap_or_default());
    let temporary = std::env::temp_dir();
    let work = option(arguments, "--work").map_or(temporary, PathBuf::from);
    let only = option(arguments, "--only");
    let started = Instant::now();
    let (kafka, address) = match option(arguments, "--address") {
        Some(running) => (None, parsed(running)?),
        None => {
            let kafka = Kafka::start(&libs, &work, &home())?;
            let address = kafka.address();
            (Some(kafka), address)
        }
    };
    let first = ask(address, only, "")?;
    let is_stable = !is_set(arguments, "--twice") || is_same_again(&first, address, only)?;
    drop(kafka);
    let is_sound = libs.as_os_str().is_empty() || is_codec_sound(&first, &libs)?;
    let mut request_count = 0;
    for (name, golden) in &first {
        request_count += golden.exchanges.len();
        match Golden::read(&home(), name) {
            Ok(before) => tell_changes(&before, golden, name),
            Err(_) => println!("{name}: recorded for the first time"),
        }
        golden.write(&home(), name)?;
    }
    let seconds = started.elapsed().as_secs();
    println!("{request_count} requests recorded in {seconds} s");
    Ok(is_stable && is_sound)
}

/// Asks everything once more under other names, which stand before letters as those of the first time do.
fn is_same_again(
    first: &[(String, Golden)],
    address: SocketAddr,
    only: Option<&str>,
) -> Result<bool, Stopped> {
    let mut different_count = 0;
    for ((name, first), (_, second)) in first.iter().zip(&ask(address, only, "0.")?) {
        let differences = differences_of(name, first, second);
        different_count += differences.len();
        for line in lines_of(&differences, ["once", "again"]) {
            println!("{line}");
        }
    }
    println!("the same Kafka asked twice: {different_count} fields differ");
    Ok(different_count == 0)
}

fn is_codec_sound(first: &[(String, Golden)], libs: &Path) -> Result<bool, Stopped> {
    let exchanges: Vec<_> = first
        .iter()
        .flat_map(|(_, golden)| golden.exchanges.iter().cloned())
        .collect();
    let report = check_codec(&exchanges, &Schemas::read(&home())?, libs)?;
    for difference in &report.differences {
        println!("{difference}");
    }
    println!("{report}");
    Ok(report.differences.is_empty())
}

fn replay(arguments: &[String]) -> Result<bool, Stopped> {
    let address = parsed(option(arguments, "--address").unwrap_or_default())?;
    let lists = Lists::read(&home())?;
    let mut differences = Vec::new();
    let mut request_count = 0;
    for (name, golden) in ask(address, option(arguments, "--only"), "")? {
        request_count += golden.exchanges.len();
        differences.extend(differences_of(
            &name,
            &Golden::read(&home(), &name)?,
            &golden,
        ));
    }
    if is_set(arguments, "--pending") {
        write_pending(&home(), &lists, &differences)?;
        return Ok(true);
    }
    let verdict = lists.judge(&differences);
    for line in lines_of(verdict.unlisted.iter().copied(), ["kafka", "here"]) {
        println!("{line}");
    }
    println!(
        "{request_count} requests; differences: {} on purpose, {} pending, {} not listed",
        verdict.deliberate_count,
        verdict.pending_count,
        verdict.unlisted.len()
    );
    Ok(verdict.unlisted.is_empty())
}

/// Writes what no list on purpose names as entries of `pending.toml`; its reasons are kept by people.
fn write_pending(home: &Path, lists: &Lists, differences: &[Difference]) -> Result<(), Stopped> {
    let path = home.join("pending.toml");
    let text = lists.pending_text(differences);
    std::fs::write(&path, text).map_err(|error| Stopped::because_of(&path, &error))
}

/// The number after `name`, or `default`.
fn number(arguments: &[String], name: &str, default: u64) -> Result<u64, Stopped> {
    let Some(text) = option(arguments, name) else {
        return Ok(default);
    };
    text.parse()
        .map_err(|_| Stopped::because(format!("{name} wants a number, not {text:?}")))
}

fn explore(arguments: &[String]) -> Result<bool, Stopped> {
    let mut against = Vec::new();
    for pair in arguments.windows(2) {
        if pair[0] == "--against" {
            against.push(parsed(&pair[1])?);
        }
    }
    let kafka = match option(arguments, "--libs") {
        None => None,
        Some(libs) => {
            let work = option(arguments, "--work").map_or(std::env::temp_dir(), PathBuf::from);
            Some(Kafka::start(Path::new(libs), &work, &home())?)
        }
    };
    let kafka_address = kafka.as_ref().map(Kafka::address);
    let addresses: Vec<SocketAddr> = kafka_address.into_iter().chain(against).collect();
    let addresses = <[SocketAddr; 2]>::try_from(addresses)
        .map_err(|_| Stopped::because(format!("two brokers are needed\n{USAGE}")))?;
    let schemas = Schemas::read(&home())?;
    let rules = Rules::read(&home())?;
    let lists = Lists::read(&home())?;
    let mut is_equal = true;
    for walk in option(arguments, "--walk").unwrap_or_default().split(',') {
        let exploration = Exploration {
            walk: walk.to_owned(),
            seed: number(arguments, "--seed", 1)?,
            walk_count: number(arguments, "--walks", 10)?,
            step_count: number(arguments, "--steps", 100)? as usize,
            only: option(arguments, "--only").unwrap_or_default().to_owned(),
            time_max: Duration::from_secs(number(arguments, "--seconds", 60)?),
        };
        let explored = exploration.run(addresses, &schemas, &rules, &lists)?;
        for finding in &explored.findings {
            tell_finding(finding);
            if let Some(folder) = option(arguments, "--keep") {
                let path = Path::new(folder).join(format!("{walk}-{}.json", finding.seed));
                std::fs::write(&path, format!("{:#}\n", finding.file))
                    .map_err(|error| Stopped::because_of(&path, &error))?;
            }
        }
        println!(
            "{} steps in {} walks of {walk}; {} differences",
            explored.step_count,
            explored.walk_count,
            explored.findings.len()
        );
        is_equal &= explored.findings.is_empty();
    }
    Ok(is_equal)
}

fn tell_finding(finding: &Finding) {
    println!(
        "seed {}, {} walks, {} steps:",
        finding.seed,
        finding.walk_count,
        finding.told.len()
    );
    for (step, outcome) in &finding.told {
        println!("  {step}");
        if !outcome.is_null() {
            println!("      {outcome}");
        }
    }
    if finding.differences.is_empty() {
        println!("  not seen a second time");
    }
    for line in lines_of(&finding.differences, ["kafka", "here"]) {
        println!("{line}");
    }
}
