"""Lays one fault after the other under load and prints the table."""

import argparse
import dataclasses
import json
import pathlib
import signal
import sys
import time
import traceback

import disks
import faults

FAULTS = {
    "directory": faults.directory,
    "degraded": faults.degraded_for_long,
    "default": faults.degraded_by_default,
    "full": disks.full,
    "frozen": disks.frozen,
    "frozen-java": disks.frozen_java,
    "eio": disks.io_error,
    "eio-dropped": disks.io_error_forgotten,
    "unreadable": disks.unreadable,
    "sealed": faults.sealed_segment,
    "tail": faults.corrupt_tail,
    "panic": faults.panic,
    "kill": faults.killed,
}

REPO = pathlib.Path(__file__).resolve().parent.parent.parent


def interrupt(*_):
    raise KeyboardInterrupt


def print_table(rows):
    heads = ["fault", "victim", "reads", "neighbours: errors", "gap before > during", "p99 before > during", "records", "recovery"]
    cells = [heads]
    for row in rows:
        before, during = row.before, row.during
        cells.append(
            [
                row.fault,
                row.victim,
                row.reads,
                ", ".join(sorted(set(during["errors"]))) or "none" if during else "-",
                f"{before['gap_ms']:.0f} > {during['gap_ms']:.0f} ms" if during else "-",
                ratio(before["p99_ms"], during["p99_ms"]) if during else "-",
                f"{before['samples']}, {during['samples']}" if during else "-",
                row.recovery,
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    for line in cells:
        print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for row in rows:
        for note in row.notes:
            print(f"{row.fault}: {note}")


def ratio(before, during):
    if before is None or during is None:
        return "-"
    return f"{before:.2f} > {during:.2f} ms (x{during / before:.2f})"


def main():
    parser = argparse.ArgumentParser(prog="interop/faults/run", description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, default=REPO / "target" / "release" / "kabuki")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one; may be repeated")
    parser.add_argument("--kafka", action="store_true", help="the directory fault against Apache Kafka 4.3")
    parser.add_argument("--json", type=pathlib.Path, help="writes the rows there as well")
    arguments = parser.parse_args()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, interrupt)

    todo = {"directory": faults.directory} if arguments.kafka else FAULTS
    rows, failed = [], []
    for name, lay in todo.items():
        if arguments.fault and name not in arguments.fault:
            continue
        print(f"faults: {name}", flush=True)
        began = time.monotonic()
        try:
            row = lay(None if arguments.kafka else arguments.binary.resolve())
        except Exception as error:  # one fault that could not be laid does not hide the others
            traceback.print_exc()
            failed.append(f"{name}: {error}")
            continue
        rows.append(row)
        print(f"faults: {name} took {time.monotonic() - began:.0f} s", flush=True)
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    failed += [f"{row.fault}: {claim}" for row in rows for claim in row.broken]
    for claim in failed:
        print(f"FAILED {claim}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
