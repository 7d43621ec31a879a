"""Members come and go for minutes, under load; the coordinators of their groups are crashed meanwhile if asked for."""

import contextlib
import json
import random
import re
import subprocess
import time

from broker import BrokerFailed
from commits import Committer, Watcher, await_coordinator, fetched
from confluent_kafka.admin import AdminClient, NewTopic
from crowd import Crowd, Load
from rows import committer_row, crowd_row

TOPIC = "groups"
PARTITIONS = 12
RECORDS_PER_SECOND = 50
SETTLE_S = 90
# One that nothing is done to, and one without members that is crashed like the others.
BYSTANDER, PLAIN = "bystander", "plain"


def new_topic(bootstrap, topic=TOPIC):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    [future] = admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values()
    future.result(20)


def churn(node, asked):
    new_topic(node.bootstrap)
    await_coordinator(node.bootstrap, PLAIN)
    crowds = [
        Crowd(node.bootstrap, f"{protocol}-crowd", TOPIC, protocol, asked.seed, asked.client) for protocol in asked.protocols
    ]
    bystander = Crowd(node.bootstrap, BYSTANDER, TOPIC, "classic", asked.seed)
    with contextlib.ExitStack() as stack:
        for crowd in [*crowds, bystander]:
            stack.callback(crowd.close)
        bystander.join("librdkafka")
        bystander.join("sarama")
        await_owners(bystander)
        seen = len(bystander_events(bystander))
        watchers = [stack.enter_context(Watcher(node.bootstrap, crowd, PARTITIONS)) for crowd in [*crowds, bystander]]
        committer = stack.enter_context(Committer(node.bootstrap, [PLAIN, f"{BYSTANDER}-plain"], TOPIC))
        load = stack.enter_context(Load(node.bootstrap, TOPIC, PARTITIONS, RECORDS_PER_SECOND))
        for crowd in crowds:
            crowd.start()
        names = [crowd.asked.group for crowd in crowds] + [PLAIN]
        crashes = pass_time(node, asked, names) if asked.crash else pass_quietly(asked)
        for crowd in crowds:
            crowd.settle()
        load.stop()
        committer.stop()
        late = [crowd.asked.group for crowd in [*crowds, bystander] if not is_done(node, crowd, load.ends)]
        noticed = bystander_events(bystander)[seen:]
        for crowd in [*crowds, bystander]:
            crowd.disband()
        committer.check()
        keep_events(node, [*crowds, bystander])
        rows = [crowd_row(crowd, load.ends, watcher, not asked.crash) for crowd, watcher in zip([*crowds, bystander], watchers)]
        for row in rows:
            row.expect(row.group not in late, f"not everything was committed within {SETTLE_S} s")
            row.expect(not load.refused, f"records were refused: {load.refused[:3]}")
        rows[-1].expect(not noticed, f"the bystander noticed: {noticed[:3]}")
        rows.append(committer_row(f"{PLAIN} (no members)", committer))
        if asked.crash:
            rows[-1].notes.append(f"coordinators were crashed {crashes}")
            rows[-1].expect(sum(crashes.values()) >= asked.crashes, f"only {crashes} of {asked.crashes} crashes")
        return rows


def keep_events(node, crowds):
    """All that members told lies beside the log of the node, which stays where something failed."""
    lines = [
        json.dumps({"group": crowd.asked.group, "member": repr(member), **event})
        for crowd in crowds
        for member in crowd.members
        for event in member.events
    ]
    (node.home / "events.jsonl").write_text("\n".join(lines) + "\n")


def bystander_events(crowd):
    """All that can happen to members that nobody touches; none of it should."""
    names = ("assigned", "revoked", "lost", "commit_failed", "trouble")
    return [(member.client_name, event) for member in crowd.members for event in member.told(*names)]


def await_owners(crowd):
    deadline = time.monotonic() + 30
    while sum(len(member.owns()) for member in crowd.members) < PARTITIONS or not all(
        member.owns() for member in crowd.members
    ):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{crowd.asked.group}: {[member.events for member in crowd.members]}")
        time.sleep(0.05)
    # The last assignment may still be on its way to one of them.
    time.sleep(1)


def is_done(node, crowd, ends):
    """Waits until the group has committed the end of every partition."""
    deadline = time.monotonic() + SETTLE_S
    while fetched(node.bootstrap, crowd.asked.group, crowd.asked.topic, range(PARTITIONS)) != ends:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def pass_quietly(asked):
    time.sleep(asked.minutes * 60)
    return {}


def pass_time(node, asked, groups):
    """Crashes the groups' actors in turn, evenly over the time."""
    crashes = dict.fromkeys(groups, 0)
    chance = random.Random(asked.seed)
    ends_at = time.monotonic() + asked.minutes * 60
    # A group that is off stage for a moment is passed over: some turns more than crashes.
    pause = asked.minutes * 60 / (asked.crashes * 1.1 + 2)
    while time.monotonic() < ends_at:
        group = min(crashes, key=crashes.get)
        if sum(crashes.values()) < asked.crashes and (path := actor_of(node, group)):
            if command(node, "actors", "crash", path).startswith("crashed"):
                crashes[group] += 1
        if node.process.poll() is not None:
            raise BrokerFailed(f"the node ended:\n{node.log_tail()}")
        time.sleep(pause * chance.uniform(0.5, 1.4))
    return crashes


def actor_of(node, group):
    """The path of the group's coordinator, where it is on stage at the moment."""
    found = re.findall(r"^\s*(/\S+)", command(node, "actors"), re.MULTILINE)
    return next((path for path in found if path.endswith(f"/{group}")), None)


def command(node, *words):
    binary = node.command[0]
    done = subprocess.run([binary, *words, "--bootstrap", node.bootstrap], capture_output=True, text=True, timeout=20)
    return done.stdout
