"""Attacks a fresh node with one attack after the other beside a good client, and prints the table."""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from attacks import ATTACKS, prepare  # noqa: E402
from broker import Broker  # noqa: E402
from wire import Connection  # noqa: E402

REPO = HERE.parent.parent
MIB = 1 << 20
GOOD_TOPIC = "good"
BEFORE_S = 3
# Dead connections that hold half a frame are let go when the check for stalled ones comes round.
SETTLE_S = 40
# Each cause of closing is told once at first and then once in ten seconds.
LOG_LINES_MAX = 24
# Only a node that stands still fails by this: how much slower it gets is told by the table.
GAP_S_MAX = 5.0

MEMORY_MAX = 256 * MIB
CONNECTIONS_MAX = 12_000
SETTINGS = [
    f"kabuki.memory.max={MEMORY_MAX}",
    f"max.connections={CONNECTIONS_MAX}",
    # Groups form at once, so that there is more to attack.
    "group.initial.rebalance.delay.ms=0",
]

# The bound that ARCHITECTURE states under "What a client can make the node hold".
CONNECTION_BYTES = 208 << 10
OVER_BUDGET_BYTES = 356 * MIB
UNPACKING_BYTES = 128 * MIB
UNPACKING_MAX = max(1, (os.cpu_count() or 1) // 2) + 8  # kabuki.disk.threads
FETCH_SESSION_BYTES = 150 * MIB
BATCH_BYTES = MIB


def memory_bound(base, name, connections):
    """Only what the attack is about, of all that the bound allows."""
    held = MEMORY_MAX + OVER_BUDGET_BYTES + connections * CONNECTION_BYTES + 4 * MIB
    if "bombs" in name:
        held += UNPACKING_MAX * UNPACKING_BYTES
    if name in ("slow_readers", "never_read"):
        held += connections * BATCH_BYTES
    if name == "fetch_sessions":
        held += FETCH_SESSION_BYTES
    return base + held * 5 // 4


@dataclasses.dataclass
class Row:
    """What one attack did; `broken` lists the promises that it showed to be untrue."""

    attack: str
    did: str = ""
    good: str = ""
    p50: str = ""
    p99: str = ""
    groups_p99: str = ""
    gap_ms: float = 0
    base: int = 0
    peak: int = 0
    bound: int = 0
    log_lines: int = 0
    cpu_s: float = 0
    broken: list = dataclasses.field(default_factory=list)

    def expect(self, claim, text):
        if not claim:
            self.broken.append(text)


class Watched:
    """The process of the node, seen from outside: memory, files, processor time."""

    def __init__(self, pid):
        self.proc = pathlib.Path(f"/proc/{pid}")
        self.peak = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def rss(self):
        """Memory of its own: what is mapped from files is the system's to drop."""
        status = (self.proc / "status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) << 10

    def sockets(self):
        count = 0
        for file in (self.proc / "fd").iterdir():
            with contextlib.suppress(OSError):
                count += os.readlink(file).startswith("socket:")
        return count

    def cpu_s(self):
        fields = (self.proc / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _sample(self):
        while not self.stopping.wait(0.02):
            try:
                self.peak = max(self.peak, self.rss())
            except OSError:
                return


class GoodClient:
    def __init__(self, bootstrap):
        words = [sys.executable, HERE / "good.py", bootstrap, GOOD_TOPIC]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.seen = None

    def end(self):
        text, _ = self.process.communicate(timeout=180)
        self.seen = json.loads(text)

    def span(self, since, until):
        """What it saw of the records sent in a span: errors, p50 and p99 from sent to read, longest silence, losses.

        Silence is a time without an acknowledgement, or without an answer to its groups.
        """
        rows = [row for row in self.seen["rows"] if since <= row[0] <= until]
        asked = [row for row in self.seen["groups"] if since <= row[0] <= until]
        delays = sorted((max(acked, read) - sent) * 1000 for sent, acked, read in rows if acked and read)
        answers = sorted((answered - sent) * 1000 for sent, answered in asked)
        acks = sorted(acked for _, acked, _ in rows if acked)
        return {
            "errors": [what for moment, what in self.seen["errors"] if since <= moment],
            "p50": at_share(delays, 0.5),
            "p99": at_share(delays, 0.99),
            "groups_p99": at_share(answers, 0.99),
            "gap_s": max(longest_gap(times, since, until) for times in (acks, [answered for _, answered in asked])),
            "lost": len(rows) - len(delays),
        }


def at_share(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def longest_gap(times, since, until):
    times = [since, *times, until]
    return max(later - sooner for sooner, later in zip(times, times[1:]))


def start_node(binary):
    broker = Broker("attacked")
    overrides = [f"listeners=PLAINTEXT://{broker.bootstrap}", f"log.dirs={broker.data_dir}", *SETTINGS]
    words = [word for override in overrides for word in ("--override", override)]
    return broker.start([str(binary), "start", *words])


def make(name, binary, seconds, scale):
    """Makes one attack against a node of its own."""
    row = Row(ATTACKS[name][1])
    broker = start_node(binary)
    good = None
    try:
        prepare(broker.bootstrap, name)
        create = [binary, "topics", "create", GOOD_TOPIC, "--partitions", "1", "--bootstrap", broker.bootstrap]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        with Watched(broker.process.pid) as node:
            good = GoodClient(broker.bootstrap)
            time.sleep(1)
            before_at = time.time()
            time.sleep(BEFORE_S)
            row.base, sockets, cpu_s = node.rss(), node.sockets(), node.cpu_s()
            lines = len(log_lines(broker))
            node.peak, began_at = 0, time.time()
            words = [sys.executable, HERE / "attacks.py", name, broker.bootstrap, str(seconds), str(scale)]
            attacker = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=seconds * 4 + 120)
            ended_at = time.time()
            row.did = attacker.stdout.strip()
            row.expect(attacker.returncode == 0, "the attack failed by itself")
            row.cpu_s = node.cpu_s() - cpu_s
            deadline = time.monotonic() + SETTLE_S
            while node.sockets() > sockets and time.monotonic() < deadline:
                time.sleep(0.05)
            row.expect(node.sockets() <= sockets, f"{node.sockets()} open sockets, {sockets} before")
            good.end()
            row.peak = node.peak
        judge(row, name, good, (before_at, began_at, ended_at))
        row.log_lines = len(log_lines(broker)) - lines
        row.expect(row.log_lines <= LOG_LINES_MAX, f"process log: {log_lines(broker)[-1][:200]}")
        judge_story(row, broker, binary)
    finally:
        for process in (good.process if good else None, broker.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        if not (row.broken and os.environ.get("INTEROP_KEEP") == "1"):
            shutil.rmtree(broker.home, ignore_errors=True)
    return row


def log_lines(broker):
    return broker.log_path.read_text(errors="replace").splitlines()


def judge(row, name, good, times):
    before_at, began_at, ended_at = times
    before, during = good.span(before_at, began_at), good.span(began_at, ended_at)
    errors = collections.Counter(during["errors"])
    row.good = f"{errors.total()} errors"
    row.p50 = f"{before['p50']:.1f} > {during['p50']:.1f}"
    row.p99 = f"{before['p99']:.1f} > {during['p99']:.1f}"
    row.groups_p99 = f"{before['groups_p99']:.1f} > {during['groups_p99']:.1f}"
    row.gap_ms = during["gap_s"] * 1000
    row.expect(not errors, f"good client saw {dict(errors)}")
    row.expect(not during["lost"], f"{during['lost']} records of the good client not acknowledged or not read")
    row.expect(during["gap_s"] <= GAP_S_MAX, f"good client heard nothing for {during['gap_s']:.1f} s")
    connections = re.search(r"(\d+) connections(,|$)", row.did)
    row.bound = memory_bound(row.base, name, int(connections.group(1)) if connections else 1)
    row.expect(row.peak <= row.bound, f"{row.peak // MIB} MiB of memory, {row.bound // MIB} allowed")


def judge_story(row, broker, binary):
    if broker.process.poll() is not None:
        row.expect(False, f"the process ended: {broker.log_tail(3)}")
        return
    with Connection(broker.bootstrap) as connection:
        connection.api_versions()
    ask = [binary, "actors", "log", "--json", "--bootstrap", broker.bootstrap]
    story = subprocess.run(ask, stdout=subprocess.PIPE, text=True, timeout=60)
    events = [line for line in story.stdout.splitlines() if line.startswith("{")]
    row.expect(story.returncode == 0, "the supervision log cannot be read")
    row.expect(not events, f"{len(events)} events in the supervision log, first {events[:1]}")


def print_table(rows):
    heads = ["attack", "good client", "p50 ms", "p99 ms", "groups p99", "longest gap", "memory", "bound", "log lines", "CPU", "verdict"]
    cells = [heads]
    for row in rows:
        cells.append(
            [
                row.attack,
                row.good,
                row.p50,
                row.p99,
                row.groups_p99,
                f"{row.gap_ms:.0f} ms",
                f"{row.base // MIB} > {row.peak // MIB} MiB",
                f"{row.bound // MIB} MiB",
                str(row.log_lines),
                f"{row.cpu_s:.1f} s",
                "FAILED" if row.broken else "held",
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    for line in cells:
        print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for row in rows:
        print(f"{row.attack}: {row.did}")


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="interop/attacks/run", description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, default=REPO / "target" / "release" / "kabuki")
    parser.add_argument("--attack", action="append", choices=list(ATTACKS), help="only this one; may be repeated")
    parser.add_argument("--seconds", type=float, help="how long each attack lasts")
    parser.add_argument("--quick", action="store_true", help="two seconds each, a tenth of the connections")
    parser.add_argument("--json", type=pathlib.Path, help="writes the rows there as well")
    arguments = parser.parse_args()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, interrupt)

    seconds = arguments.seconds or (2 if arguments.quick else 12)
    scale = 0.1 if arguments.quick else 1
    rows, failed = [], []
    for name in ATTACKS:
        if arguments.attack and name not in arguments.attack:
            continue
        try:
            row = make(name, arguments.binary.resolve(), seconds, scale)
        except Exception as error:  # one attack that could not be made does not hide the others
            traceback.print_exc()
            failed.append(f"{name}: {error}")
            continue
        rows.append(row)
        print(f"attacks: {name}: {'; '.join(row.broken) or 'held'}", flush=True)
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    failed += [f"{row.attack}: {claim}" for row in rows for claim in row.broken]
    for claim in failed:
        print(f"FAILED {claim}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
