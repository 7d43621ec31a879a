"""Exercises groups under load and prints one table: what was processed, owned and committed. Started by `run`."""

import argparse
import dataclasses
import json
import pathlib
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import broker  # noqa: E402
from churn import churn  # noqa: E402
from clients.members import KINDS  # noqa: E402
from killed import killed  # noqa: E402
from places import KABUKI  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(prog="interop/groups/run", description=__doc__)
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--kafka", action="store_true", help="start Apache Kafka instead of Kabuki")
    target.add_argument("--binary", type=pathlib.Path, default=KABUKI, help="start this kabuki")
    parser.add_argument("--minutes", type=float, default=5, help="how long members come and go (default 5)")
    parser.add_argument("--protocol", action="append", choices=["classic", "consumer"], help="only this one")
    parser.add_argument("--client", action="append", choices=list(KINDS), help="only members on this; may be repeated")
    parser.add_argument("--crash", action="store_true", help="crash the coordinators of the groups meanwhile")
    parser.add_argument("--crashes", type=int, default=100, help="how often (default 100)")
    parser.add_argument("--kill9", action="store_true", help="then end the node with kill -9 and start it again")
    parser.add_argument("--only-kill9", action="store_true", help="that alone")
    parser.add_argument("--seed", default=f"{int(time.time())}", help="of who joins and leaves when")
    parser.add_argument("--json", type=pathlib.Path, help="writes the rows there as well")
    asked = parser.parse_args()
    asked.protocols = asked.protocol or ["classic", "consumer"]
    if asked.crash and asked.kafka:
        parser.error("--crash is about actors, which Apache Kafka has none of")
    return asked


def print_table(rows):
    heads = [field.name.replace("_", " ") for field in dataclasses.fields(rows[0]) if field.name not in ("notes", "broken")]
    cells = [heads] + [[str(getattr(row, head.replace(" ", "_"))) for head in heads] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    print()
    for line in cells:
        print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for row in rows:
        for note in row.notes:
            print(f"{row.group}: {note}")


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    asked = arguments()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, interrupt)
    if asked.kafka:
        node = broker.start_kafka()
    else:
        node = broker.start_kabuki(asked.binary.resolve(), "kabuki.chaos.enable=true")
    print(f"groups: {node.name} on {node.bootstrap}, seed {asked.seed}", flush=True)
    rows = []
    try:
        if not asked.only_kill9:
            rows += churn(node, asked)
        if asked.kill9 or asked.only_kill9:
            rows += killed(node, asked)
    finally:
        node.kill()
    print_table(rows)
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
    failed = [f"{row.group}: {claim}" for row in rows for claim in row.broken]
    for claim in failed:
        print(f"FAILED {claim}")
    if failed:
        print(f"groups: log and data of the broker are in {node.home}")
    else:
        broker.remove_home(node)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
