"""Runs the rows against both brokers in turn and tells the ratios. `run` beside it prepares all."""

import argparse
import fnmatch
import pathlib
import sys
import time

import quiet
import table
import tool
from brokers import Kabuki, Kafka
from places import KABUKI
from rows import ROWS, START, Session, pretouch


def main():
    options = arguments()
    if options.list:
        print("\n".join(ROWS))
        return 0
    chosen = [row for row in ROWS if any(fnmatch.fnmatch(row, glob) for glob in options.rows)]
    if not chosen:
        print(f"compare: no row matches {' '.join(options.rows)}; --list shows them", file=sys.stderr)
        return 2
    figures, surroundings = {}, []
    for run in range(options.runs):
        # Who goes first changes, so that a machine that grows warm or tired favours nobody.
        names = ["kabuki", "kafka"] if run % 2 == 0 else ["kafka", "kabuki"]
        for name in [name for name in names if name in options.brokers]:
            surroundings.append((quiet.busy_percent(), quiet.sync_ms()))
            busy, sync = surroundings[-1]
            print(
                f"run {run + 1} of {options.runs}: {name}"
                f"  (others use {busy:.0f} % of the cores, fdatasync takes {sync:.2f} ms)",
                flush=True,
            )
            for (row, metric), value in work(name, chosen, options).items():
                figures.setdefault((row, metric), {}).setdefault(name, []).append(value)
    text = table.render(figures)
    print(text)
    if options.save:
        print(f"saved as {table.save(text, figures, surroundings, options)}")
    return 0


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run")
    parser.add_argument("--runs", type=int, help="times that each broker is started (default 3)")
    parser.add_argument("--seconds", type=int, help="length of a row (default 10)")
    parser.add_argument("--warmup", type=int, help="seconds of work before the first row (default 30)")
    parser.add_argument("--rows", nargs="+", default=["*"], help="patterns of rows")
    parser.add_argument("--brokers", nargs="+", default=["kabuki", "kafka"], choices=["kabuki", "kafka"])
    parser.add_argument("--binary", type=pathlib.Path, default=KABUKI, help="the kabuki to run")
    parser.add_argument("--save", action="store_true", help="write to benches/results/")
    parser.add_argument("--list", action="store_true", help="show the rows")
    options = parser.parse_args()
    runs, seconds, warmup = (1, 3, 10) if options.quick else (3, 10, 30)
    options.runs = options.runs or runs
    options.seconds = options.seconds or seconds
    options.warmup = warmup if options.warmup is None else options.warmup
    options.binary = options.binary.resolve()
    return options


def work(name, chosen, options):
    """One start of one broker and all rows on it; returns figures by (row, metric)."""
    broker = Kabuki(options.binary) if name == "kabuki" else Kafka()
    session = Session(broker, options.binary, options.seconds)
    figures = {}
    try:
        pretouch()
        figures[START, "first answer"] = broker.start()
        warm_up(session, options.warmup)
        for row in chosen:
            session.client_is_limit = False
            perform, _ = ROWS[row]
            found = perform(session)
            limit = "  (the load generator is the limit)" if session.client_is_limit else ""
            told = "  ".join(f"{metric} {table.number(value)}" for metric, value in found.items())
            print(f"  {row}: {told}{limit}", flush=True)
            figures.update({(row, metric): value for metric, value in found.items()})
    finally:
        broker.stop()
    return figures


def warm_up(session, seconds):
    """Produces and consumes in turn: a virtual machine compiles what it has seen often enough."""
    deadline = time.monotonic() + seconds
    shapes = [{}, {"batch_bytes": 1, "in_flight": 64}, {"batch_bytes": 900_000}]
    turn = 0
    while time.monotonic() < deadline:
        topic = session.new_topic()
        for shape in (shapes[turn % len(shapes)], shapes[0]):
            flags = [part for key, value in shape.items() for part in (f"--{key.replace('_', '-')}", value)]
            session.bench("produce", "--topic", topic, "--seconds", 2, "--records", 2_000_000, *flags)
        session.bench("consume", "--topic", topic, "--seconds", 1)
        session.drop(topic)
        turn += 1


if __name__ == "__main__":
    tool.run("compare", main)
