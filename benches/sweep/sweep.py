"""Records/s as one thing grows and all others stay: three tables. `run` beside it prepares all."""

import argparse
import dataclasses
import datetime
import json
import pathlib
import sys
import time

import quiet
import table
import tool
from brokers import Kabuki, Kafka
from places import KABUKI, REPO, RESULTS, WORK
from rows import Session, pretouch

RECORD_BYTES = 100


@dataclasses.dataclass
class Axis:
    """What grows, in which steps, and what stays."""

    noun: str
    steps: list
    # Options of `kabuki bench produce` for one step.
    load: object
    stays: str


def batch_load(batch_bytes):
    # One request a record needs more of them in flight, or the way to the broker and back is measured.
    return {"batch_bytes": batch_bytes, "in_flight": 64 if batch_bytes == 1 else 5}


AXES = {
    "partitions": Axis(
        "partitions",
        [1, 10, 100, 300, 1000, 3000],
        lambda count: {"partitions": count},
        "one connection, batches of 16 KiB, 5 requests in flight",
    ),
    "connections": Axis(
        "connections",
        [1, 4, 16, 64, 256, 1000, 2000],
        lambda count: {"partitions": 12, "connections": count, "in_flight": 1},
        "12 partitions, batches of 16 KiB, one request in flight on each connection",
    ),
    "batch": Axis(
        "bytes a batch",
        [1, 1024, 4096, 16_384, 65_536, 262_144, 1_000_000],
        batch_load,
        "one connection, one partition, 5 requests in flight (64 where a batch is one record)",
    ),
}

HEADINGS = {
    "records/s": "records_per_second",
    "MB/s": "megabytes_per_second",
    "us CPU/record": "cpu_per_record_us",
    "ack p50 ms": "ack_p50_ms",
    "ack p99 ms": "ack_p99_ms",
    "RSS MB": "rss_mb",
}


def main():
    options = arguments()
    started = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    surroundings = (quiet.busy_percent(), quiet.sync_ms())
    print(f"others use {surroundings[0]:.0f} % of the cores, fdatasync takes {surroundings[1]:.2f} ms")
    points = []
    for name in options.brokers:
        for axis in options.axes:
            points += measure(name, axis, options)
    text = "\n\n".join(section(axis, points) for axis in options.axes)
    print(f"\n{text}\n\nsweep: {time.monotonic() - started:.0f} s")
    if options.save:
        print(f"\nsaved as {save(text, points, surroundings, options)}")
    return 0


def arguments():
    parser = argparse.ArgumentParser(prog="benches/sweep/run", description=__doc__)
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    parser.add_argument("--brokers", nargs="+", default=["kabuki"], choices=["kabuki", "kafka"])
    parser.add_argument("--seconds", type=int, default=4, help="length of a point (default 4)")
    parser.add_argument("--few", action="store_true", help="first, middle and last point of each axis")
    parser.add_argument("--binary", type=pathlib.Path, default=KABUKI, help="the kabuki to run")
    parser.add_argument("--save", action="store_true", help="write to benches/results/")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    return options


def measure(name, axis_name, options):
    """One start of a broker and all points of an axis on it, the smallest first."""
    axis = AXES[axis_name]
    steps = axis.steps
    if options.few:
        steps = [steps[0], steps[len(steps) // 2], steps[-1]]
    broker = Kabuki(options.binary) if name == "kabuki" else Kafka()
    session = Session(broker, options.binary, options.seconds)
    points = []
    try:
        pretouch()
        broker.start()
        # What is not seen twice is not measured: allocators, page tables, a virtual machine's compiler.
        session.produce(record_bytes=RECORD_BYTES, seconds=2 if name == "kabuki" else 15)
        for step in steps:
            session.client_is_limit = False
            load = axis.load(step)
            partitions = load.get("partitions", 1)
            # Kept until it was weighed: partitions in use are part of the point.
            topic = session.new_topic(partitions, max_message_bytes=2_000_000)
            result = session.produce(
                record_bytes=RECORD_BYTES, topic=topic, before_drop=lambda found: found.update(rss_mb=broker.rss_mb()),
                **{key: value for key, value in load.items() if key != "partitions"},
            )
            point = figures(result)
            point.update(broker=name, axis=axis_name, step=step, client_is_limit=session.client_is_limit)
            points.append(point)
            told = "  ".join(f"{heading} {table.number(point[key])}" for heading, key in HEADINGS.items())
            print(f"{name}, {step:,} {axis.noun}: {told}{limit_note(point)}", flush=True)
    finally:
        broker.stop()
    return points


def figures(result):
    return {
        "records_per_second": result["records_per_second"],
        "megabytes_per_second": result["megabytes_per_second"],
        "cpu_per_record_us": result["broker_cpu_s"] / result["records"] * 1e6,
        "ack_p50_ms": result["ack_ms"]["p50"],
        "ack_p99_ms": result["ack_ms"]["p99"],
        "rss_mb": result["rss_mb"],
    }


def limit_note(point):
    return "  (the load generator is the limit)" if point["client_is_limit"] else ""


def section(axis_name, points):
    """Heading, table and sentence of one axis."""
    axis = AXES[axis_name]
    found = [point for point in points if point["axis"] == axis_name]
    lines = [f"## {axis.noun}", "", f"Stays: {axis.stays}; records of {RECORD_BYTES} bytes.", ""]
    names = list(dict.fromkeys(point["broker"] for point in found))
    lines.append("| broker | " + axis.noun + " | " + " | ".join(HEADINGS) + " | |")
    lines.append("|---|" + "--:|" * (len(HEADINGS) + 1) + "---|")
    for point in found:
        cells = [table.number(point[key]) for key in HEADINGS.values()]
        note = "generator is the limit" if point["client_is_limit"] else ""
        lines.append(f"| {point['broker']} | {point['step']:,} | " + " | ".join(cells) + f" | {note} |")
    lines.append("")
    for name in names:
        lines.append(sentence(axis, name, [point for point in found if point["broker"] == name]))
    return "\n".join(lines)


def sentence(axis, name, points):
    """What the column says from its first to its last line."""
    first, last = points[0], points[-1]
    best = max(points, key=lambda point: point["records_per_second"])
    ratio = last["records_per_second"] / first["records_per_second"]
    return (
        f"{name.capitalize()}: from {first['step']:,} to {last['step']:,} {axis.noun}, records/s change by a factor of "
        f"{ratio:.2f} and CPU per record from {first['cpu_per_record_us']:.3g} to {last['cpu_per_record_us']:.3g} us; "
        f"most records/s come with {best['step']:,}, and RSS goes from {first['rss_mb']:.0f} to {last['rss_mb']:.0f} MB."
    )


def save(text, points, surroundings, options):
    """Writes tables and raw figures side by side; returns the path of the tables."""
    now = datetime.datetime.now(datetime.timezone.utc)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M}-sweep.md"
    busy, sync = surroundings
    head = [
        "# Records/s against partitions, connections and batch size",
        "",
        f"- date: {now:%Y-%m-%d %H:%M} UTC",
        f"- machine: {table.machine()}; broker and load generator share it",
        f"- kabuki: {table.commit()}",
        f"- command: `benches/sweep/run {' '.join(sys.argv[1:])}`",
        f"- one run, points of up to {options.seconds} s and 2 GB, acks=1; others used {busy:.0f} % of the cores, "
        f"16 KiB and fdatasync took {sync:.2f} ms",
        "- CPU and RSS are those of the broker's process alone; RSS right after the load, broker started anew for each table",
        "",
    ]
    path.write_text("\n".join(head) + "\n" + text + "\n")
    path.with_suffix(".json").write_text(json.dumps(points, indent=1) + "\n")
    return path.relative_to(REPO)


if __name__ == "__main__":
    tool.run("sweep", main)
