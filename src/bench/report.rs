//! The result of a measurement, for a person or as one line of JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::histogram::Histogram;

/// Ticks a second in which Linux tells the CPU time of a process.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// What was measured.
pub(super) struct Report {
    pub(super) command: &'static str,
    pub(super) topic: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) requests: u64,
    pub(super) elapsed: Duration,
    /// What was timed, under its name in JSON and in words.
    pub(super) timings: Vec<Timing>,
}

/// A histogram with its name.
pub(super) struct Timing {
    pub(super) key: &'static str,
    pub(super) words: &'static str,
    pub(super) histogram: Histogram,
}

impl Report {
    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json(cpu_seconds()));
        } else {
            print!("{}", self.text(cpu_seconds()));
        }
    }

    fn seconds(&self) -> f64 {
        self.elapsed.as_secs_f64().max(1e-9)
    }

    fn json(&self, cpu_seconds: Option<f64>) -> Value {
        let seconds = self.seconds();
        let mut result = json!({
            "command": self.command,
            "topic": self.topic,
            "records": self.records,
            "bytes": self.bytes,
            "requests": self.requests,
            "seconds": rounded(seconds),
            "records_per_second": (self.records as f64 / seconds).round(),
            "megabytes_per_second": rounded(self.bytes as f64 / seconds / 1e6),
            "client_cpu_seconds": cpu_seconds,
        });
        for timing in &self.timings {
            let histogram = &timing.histogram;
            result[timing.key] = json!({
                "count": histogram.count(),
                "p50": millis(histogram.percentile(0.5)),
                "p99": millis(histogram.percentile(0.99)),
                "p99_9": millis(histogram.percentile(0.999)),
                "max": millis(histogram.max()),
                "mean": millis(histogram.mean()),
            });
        }
        result
    }

    fn text(&self, cpu_seconds: Option<f64>) -> String {
        let seconds = self.seconds();
        let mut text = format!(
            "{} {}: {} records in {seconds:.2} s, {} records/s, {:.1} MB/s, {} requests\n",
            self.command,
            self.topic,
            grouped(self.records),
            grouped((self.records as f64 / seconds).round() as u64),
            self.bytes as f64 / seconds / 1e6,
            grouped(self.requests),
        );
        for Timing {
            words, histogram, ..
        } in &self.timings
        {
            text += &format!(
                "{words}: p50 {}  p99 {}  p99.9 {}  max {}  ms\n",
                millis(histogram.percentile(0.5)),
                millis(histogram.percentile(0.99)),
                millis(histogram.percentile(0.999)),
                millis(histogram.max()),
            );
        }
        if let Some(cpu_seconds) = cpu_seconds {
            text += &format!("this program used {cpu_seconds:.2} s of CPU\n");
        }
        text
    }
}

/// CPU time of this process so far; `None` where the system does not tell it.
fn cpu_seconds() -> Option<f64> {
    parse_cpu_seconds(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// User and system time are the 14th and 15th field; the second one, the name, may hold anything.
fn parse_cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / CLOCK_TICKS_PER_SECOND)
}

fn millis(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_micros(1_500));
        Report {
            command: "produce",
            topic: "orders".to_owned(),
            records: 3_000_000,
            bytes: 330_000_000,
            requests: 20_000,
            elapsed: Duration::from_secs(2),
            timings: vec![Timing {
                key: "ack_ms",
                words: "acknowledged in",
                histogram,
            }],
        }
    }

    #[test]
    fn json_has_rates_and_percentiles() {
        let result = report().json(Some(0.25));
        assert_eq!(result["records_per_second"], 1_500_000.0);
        assert_eq!(result["megabytes_per_second"], 165.0);
        assert_eq!(result["client_cpu_seconds"], 0.25);
        assert_eq!(result["ack_ms"]["p99_9"], 1.5);
    }

    #[test]
    fn text_says_the_same_in_words() {
        let text = report().text(Some(0.25));
        assert!(text.starts_with(
            "produce orders: 3,000,000 records in 2.00 s, 1,500,000 records/s, 165.0 MB/s"
        ));
        assert!(text.contains("acknowledged in: p50 1.5  p99 1.5"), "{text}");
        assert!(text.ends_with("0.25 s of CPU\n"));
    }

    #[test]
    fn the_name_of_a_process_does_not_shift_its_cpu_time() {
        let stat = "7 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0";
        assert_eq!(parse_cpu_seconds(stat), Some(1.5));
        assert_eq!(parse_cpu_seconds("7"), None);
    }
}
