"""What consumer groups cost a broker, beside Apache Kafka in the same run. `run` beside it prepares all."""

import argparse
import asyncio
import datetime
import json
import pathlib
import signal
import subprocess
import sys
import time

import commits
import members
import quiet
import table
from brokers import BrokerFailed, Kabuki, Kafka
from commits import own_cpu_s
from places import KABUKI, REPO, RESULTS, WORK

TOPIC = "groups"
HEARTBEAT_S = 3
GROUPS, MEMBERS_EACH = 1000, 3
REBALANCE_MEMBERS = 100
CONNECTIONS, WINDOW = 8, 512
GOAL_COMMITS, GOAL_REBALANCE_MS = 50_000, 1000


async def heartbeats(broker, options):
    """All groups stable, then their heartbeats for a while."""
    group_count = GROUPS // 10 if options.quick else GROUPS
    latencies = []
    await members.await_coordinator(broker.port, "heartbeats-0")
    before_mb = broker.rss_mb()
    crowd = [
        members.Member(broker.port, f"heartbeats-{group}", TOPIC, latencies)
        for group in range(group_count)
        for _ in range(MEMBERS_EACH)
    ]
    began = time.monotonic()
    # Some at a time: a broker that is asked for 3,000 connections at once turns some away.
    for start in range(0, len(crowd), 150):
        some = crowd[start : start + 150]
        await asyncio.gather(*(settle(some[at : at + MEMBERS_EACH]) for at in range(0, len(some), MEMBERS_EACH)))
    joined_s = time.monotonic() - began
    lives = [
        asyncio.create_task(member.live(HEARTBEAT_S, HEARTBEAT_S * number / len(crowd)))
        for number, member in enumerate(crowd)
    ]
    await asyncio.sleep(HEARTBEAT_S * 1.5)
    latencies.clear()
    joins = sum(member.joins for member in crowd)
    cpu, own, began = broker.cpu_s(), own_cpu_s(), time.monotonic()
    await asyncio.sleep(options.seconds)
    took = time.monotonic() - began
    cpu, own = broker.cpu_s() - cpu, own_cpu_s() - own
    rss_mb = broker.rss_mb()
    ended = [life for life in lives if life.done()]
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
    errors = [error for member in crowd for error in member.errors]
    for member in crowd:
        member.close()
    if ended or errors:
        raise members.Refused(f"{len(ended)} members ended, heartbeats answered {errors[:5]}")
    latencies.sort()
    return {
        "heartbeats/s": len(latencies) / took,
        "broker CPU, % of a core": cpu / took * 100,
        "us CPU/heartbeat": cpu / len(latencies) * 1e6,
        "p50 ms": latencies[len(latencies) // 2] * 1000,
        "p99 ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "RSS MB": rss_mb,
        "RSS MB of the groups": rss_mb - before_mb,
        "all stable after s": joined_s,
        "rejoins meanwhile": sum(member.joins for member in crowd) - joins,
        "generator, cores": own / took,
    }


async def settle(group):
    """Has members join one group until they are all in one generation.

    Who has joined asks on and on: the others wait for it to join again.
    """

    def is_settled():
        return all(member.synced_at for member in group) and len({member.generation for member in group}) == 1

    async def stay(member):
        await member.join()
        while not is_settled():
            await asyncio.sleep(0.02)
            await member.heartbeat()

    while not is_settled():
        await asyncio.gather(*(stay(member) for member in group))


async def rebalance(broker, options):
    """One member more joins a stable group of 100, all of which ask at once whether they have to join again."""
    latencies = []
    await members.await_coordinator(broker.port, "rebalance")
    took_ms = []
    for attempt in range(1 if options.quick else 5):
        group = [members.Member(broker.port, f"rebalance-{attempt}", TOPIC, latencies) for _ in range(REBALANCE_MEMBERS)]
        await settle(group)
        newcomer = members.Member(broker.port, f"rebalance-{attempt}", TOPIC, latencies)
        newcomer.link = await members.channel(broker.port)
        began = time.monotonic()
        joining = asyncio.create_task(newcomer.join())

        async def notice(member):
            # As fast as answers come: what a member's heartbeat interval would add is configured, not measured.
            while not await member.heartbeat():
                await asyncio.sleep(0.005)

        await asyncio.gather(*(notice(member) for member in group))
        await joining
        everybody = [*group, newcomer]
        if len({member.generation for member in everybody}) != 1:
            raise members.Refused(f"generations {sorted({member.generation for member in everybody})} after one rebalance")
        took_ms.append((max(member.synced_at for member in everybody) - began) * 1000)
        for member in everybody:
            member.close()
    took_ms.sort()
    return {"ms, median": took_ms[len(took_ms) // 2], "ms, longest": took_ms[-1], "goal ms": GOAL_REBALANCE_MS}


async def pipelined(broker, options):
    """OffsetCommits of 64 groups a connection, one offset each."""
    await members.await_coordinator(broker.port, "commits-0-0")
    seconds = 3 if options.quick else 10
    commits.measure(broker, TOPIC, seconds / 2 if broker.name == "kabuki" else seconds, CONNECTIONS, WINDOW)
    found = commits.measure(broker, TOPIC, seconds, CONNECTIONS, WINDOW)
    few = commits.measure(broker, TOPIC, seconds, CONNECTIONS, WINDOW, partitions=10)
    found["offsets/s, ten a commit"] = few["offsets/s"]
    found["goal commits/s"] = GOAL_COMMITS
    del found["offsets/s"]
    return found


ROWS = {"heartbeats": heartbeats, "rebalance": rebalance, "commits": pipelined}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/groups/run", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--brokers", nargs="+", default=["kabuki", "kafka"], choices=["kabuki", "kafka"])
    parser.add_argument("--seconds", type=int, default=20, help="of heartbeats (default 20)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the groups and short")
    parser.add_argument("--binary", type=pathlib.Path, default=KABUKI, help="the kabuki to run")
    parser.add_argument("--save", action="store_true", help="write to benches/results/")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    if options.quick:
        options.seconds = min(options.seconds, 6)
    return options


def run_row(name, broker_name, options):
    """A broker started for this row alone, as what others left behind would be part of the figure."""
    settings = {"group_initial_rebalance_delay_ms": 0}
    broker = Kabuki(options.binary, **settings) if broker_name == "kabuki" else Kafka(**settings)
    try:
        broker.start()
        create_topic(broker, options)
        return asyncio.run(ROWS[name](broker, options))
    finally:
        broker.stop()


def create_topic(broker, options):
    """By the command of this project: ten partitions, so that a commit can name ten."""
    command = [options.binary, "topics", "create", TOPIC, "--partitions", "10", "--bootstrap", broker.bootstrap]
    subprocess.run([str(word) for word in command], check=True, timeout=60, stdout=subprocess.DEVNULL)


def render(figures, options):
    lines = []
    for row in options.rows:
        names = list(next(found for (name, _), found in figures.items() if name == row))
        lines += [f"## {row}", "", "| broker | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
        for broker in options.brokers:
            found = figures[row, broker]
            lines.append(f"| {broker} | " + " | ".join(table.number(found[name]) for name in names) + " |")
        lines.append("")
    return "\n".join(lines)


def save(text, figures, surroundings, options):
    now = datetime.datetime.now(datetime.timezone.utc)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M}-groups.md"
    busy, sync = surroundings
    head = [
        "# Consumer groups",
        "",
        f"- date: {now:%Y-%m-%d %H:%M} UTC",
        f"- machine: {table.machine()}; broker and load generator share it",
        f"- kabuki: {table.commit()}",
        f"- command: `benches/groups/run {' '.join(sys.argv[1:])}`",
        f"- {GROUPS} groups of {MEMBERS_EACH} members, each with a connection and a heartbeat every {HEARTBEAT_S} s; commits over"
        f" {CONNECTIONS} connections, up to {WINDOW} in flight on each; group.initial.rebalance.delay.ms=0",
        f"- others used {busy:.0f} % of the cores, 16 KiB and fdatasync took {sync:.2f} ms",
        "",
    ]
    path.write_text("\n".join(head) + "\n" + text)
    entries = [{"row": row, "broker": broker, **found} for (row, broker), found in figures.items()]
    path.with_suffix(".json").write_text(json.dumps(entries, indent=1) + "\n")
    return path.relative_to(REPO)


def main():
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    surroundings = (quiet.busy_percent(), quiet.sync_ms())
    figures = {}
    for row in options.rows:
        for broker in options.brokers:
            figures[row, broker] = run_row(row, broker, options)
            told = "  ".join(f"{name} {table.number(value)}" for name, value in figures[row, broker].items())
            print(f"{broker}, {row}: {told}", flush=True)
    text = render(figures, options)
    print(f"\n{text}")
    if options.save:
        print(f"saved as {save(text, figures, surroundings, options)}")
    return 0


def interrupted(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    # So that an end from outside ends the broker as well.
    signal.signal(signal.SIGTERM, interrupted)
    try:
        sys.exit(main())
    except (BrokerFailed, commits.Refused, members.Refused) as error:
        print(f"groups: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("groups: ended from outside, nothing is saved", file=sys.stderr)
        sys.exit(130)
