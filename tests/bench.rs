//! The load generator against a node, as a person starts it: every measurement ends by itself, counts
//! what the node holds, and says in one line why it cannot go on.

mod support;

use std::process::{Command, Output};

use support::{Node, NodeHome};

/// Runs `kabuki bench` to its end.
fn bench(node: &Node, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kabuki"))
        .arg("bench")
        .args(arguments.split_whitespace())
        .args(["--bootstrap", &node.address().to_string()])
        .output()
        .expect("the binary was built")
}

/// The same, with the result as JSON.
fn measure(node: &Node, arguments: &str) -> serde_json::Value {
    let output = bench(node, &format!("{arguments} --json"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {error}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

#[test]
fn what_was_produced_in_any_way_is_consumed() {
    let home = NodeHome::new();
    let node = home.start();
    let ways = [
        "--partitions 4 --connections 3",
        "--connections 9 --threads 2 --batch-bytes 1",
        "--batch-bytes 900000 --in-flight 1 --acks all",
        "--acks 0",
        "--acks 0 --connections 5 --record-bytes 3000",
    ];
    let mut written = 0;
    for way in ways {
        let result = measure(&node, &format!("produce --records 5000 {way}"));
        let records = result["records"].as_u64().expect("a count");
        assert!(records >= 5_000, "{way}: {records}");
        written += records;
    }
    for way in ["", "--connections 2 --in-flight 1 --fetch-bytes 10000"] {
        let result = measure(&node, &format!("consume --check-crc {way}"));
        assert_eq!(result["records"], written, "{way}");
    }
}

#[test]
fn latency_counts_every_record_twice() {
    let home = NodeHome::new();
    let node = home.start();
    let result = measure(&node, "latency --rate 2000 --seconds 1");
    for timing in ["ack_ms", "delivery_ms"] {
        assert_eq!(result[timing]["count"], 2_000, "{timing}");
    }
}

#[test]
fn a_refusal_is_one_clear_line() {
    let home = NodeHome::new();
    let node = home.start();
    let too_large = "produce --records 1 --record-bytes 2000000 --batch-bytes 2000000";
    for (arguments, code, words) in [
        (too_large, 1, "MESSAGE_TOO_LARGE"),
        ("consume --topic nowhere", 1, "UNKNOWN_TOPIC_OR_PARTITION"),
        (
            "produce --records 1 --partitions 7",
            2,
            "exists with 1 partitions",
        ),
        ("consume", 2, "holds no records"),
    ] {
        let output = bench(&node, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
        assert!(error.contains(words), "{arguments}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments}: {error}");
    }
}
