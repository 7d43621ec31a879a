//! The command line: `record` asks Kafka anew, `replay` asks a broker that runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use kabuki_differential::{
    Coverage, Difference, DrawnCodes, ErrorCodes, Golden, Kafka, Lists, Rules, Schemas,
    SequenceFile, Stopped, check_codec, differences_of, home, lines_of, play,
};

const USAGE: &str = "usage: differential record (--libs DIR | --address HOST:PORT) [--work DIR] [--twice] [--only FILE]
       differential replay --address HOST:PORT [--only FILE] [--pending]
       differential coverage

record   starts Apache Kafka from the jars in DIR, or takes the fresh one at HOST:PORT, puts every sequence, writes golden/ and tells what changed;
         with --twice it asks the same Kafka once more under other names and fails if the answers differ
replay   puts every sequence to the broker at HOST:PORT and tells the differences to golden/;
         with --pending it writes them as the entries of pending.toml instead
coverage tells how many requests each version of an API is asked, and which error codes they draw";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("record") => record(&arguments),
        Some("replay") => replay(&arguments),
        Some("coverage") => coverage(),
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

/// Asks everything once more under other names.
fn is_same_again(
    first: &[(String, Golden)],
    address: SocketAddr,
    only: Option<&str>,
) -> Result<bool, Stopped> {
    let mut different_count = 0;
    for ((name, first), (_, second)) in first.iter().zip(&ask(address, only, "again.")?) {
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
