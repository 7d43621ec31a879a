//! The command line: `record` asks Kafka anew, `replay` asks a broker that runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use kabuki_differential::{
    Difference, Golden, Kafka, Lists, Rules, Schemas, SequenceFile, Stopped, differences_of, home,
    play,
};

const USAGE: &str = "usage: differential record (--libs DIR | --address HOST:PORT) [--work DIR] [--twice] [--only FILE]
       differential replay --address HOST:PORT [--only FILE] [--pending]

record   starts Apache Kafka from the jars in DIR, or takes the fresh one at HOST:PORT, puts every sequence, writes golden/ and tells what changed;
         with --twice it asks a second Kafka and fails if the two differ
replay   puts every sequence to the broker at HOST:PORT and tells the differences to golden/;
         with --pending it writes them as the entries of pending.toml instead";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("record") => record(&arguments),
        Some("replay") => replay(&arguments),
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

/// Plays the files that were asked for; each with what was answered.
fn ask(address: SocketAddr, only: Option<&str>) -> Result<Vec<(String, Golden)>, Stopped> {
    let home = home();
    let schemas = Schemas::read(&home)?;
    let rules = Rules::read(&home)?;
    let mut answered = Vec::new();
    for file in SequenceFile::read_all(&home)? {
        if only.is_none_or(|only| file.name.contains(only)) {
            let started = Instant::now();
            let exchanges = play(&file, address, &schemas, &rules)?;
            let ms = started.elapsed().as_millis();
            println!("{}: {} requests in {ms} ms", file.name, exchanges.len());
            answered.push((file.name, Golden::of(exchanges)));
        }
    }
    Ok(answered)
}

fn tell(differences: &[Difference]) {
    for difference in differences {
        println!("{difference}");
    }
}

fn record(arguments: &[String]) -> Result<bool, Stopped> {
    let libs = PathBuf::from(option(arguments, "--libs").unwrap_or_default());
    let temporary = std::env::temp_dir();
    let work = option(arguments, "--work").map_or(temporary, PathBuf::from);
    let only = option(arguments, "--only");
    let running = option(arguments, "--address");
    let once = || -> Result<_, Stopped> {
        if let Some(address) = running {
            return ask(parsed(address)?, only);
        }
        let kafka = Kafka::start(&libs, &work, &home())?;
        ask(kafka.address(), only)
    };
    let first = once()?;
    let mut is_stable = true;
    if is_set(arguments, "--twice") {
        for ((name, first), (_, second)) in first.iter().zip(&once()?) {
            let differences = differences_of(name, first, second);
            is_stable &= differences.is_empty();
            tell(&differences);
        }
        println!(
            "the same Kafka twice: {}",
            if is_stable {
                "no difference"
            } else {
                "different"
            }
        );
    }
    let mut request_count = 0;
    for (name, golden) in &first {
        request_count += golden.exchanges.len();
        match Golden::read(&home(), name) {
            Ok(before) => tell(&differences_of(name, &before, golden)),
            Err(_) => println!("{name}: recorded for the first time"),
        }
        golden.write(&home(), name)?;
    }
    println!("{request_count} requests recorded");
    Ok(is_stable)
}

fn replay(arguments: &[String]) -> Result<bool, Stopped> {
    let address = parsed(option(arguments, "--address").unwrap_or_default())?;
    let lists = Lists::read(&home())?;
    let mut differences = Vec::new();
    let mut request_count = 0;
    for (name, golden) in ask(address, option(arguments, "--only"))? {
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
    for difference in &verdict.unlisted {
        println!("{difference}");
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
