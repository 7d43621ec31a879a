"""kill -9 of the node under load: what was committed and who was a member, after the start."""

import contextlib
import threading
import time

import group_requests
from churn import PARTITIONS, RECORDS_PER_SECOND, await_owners, is_done, new_topic
from clients.command import run
from commits import Committer, Watcher, await_coordinator, fetched
from crowd import Crowd, Load
from group_tools import table
from places import java
from rows import committer_row, crowd_row
from wire import Connection

TOPIC = "killed"
PLAIN_GROUPS = 200
FIRST_GROUP = "killed-probe"
BEFORE_S = 8
MEMBERS = {"classic": ["librdkafka", "sarama", "java"], "consumer": ["librdkafka", "java"]}
GROUP_COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def killed(node, asked):
    new_topic(node.bootstrap, TOPIC)
    await_coordinator(node.bootstrap, FIRST_GROUP)
    crowds = [Crowd(node.bootstrap, f"killed-{protocol}", TOPIC, protocol, asked.seed) for protocol in asked.protocols]
    plain = [f"killed-plain-{number}" for number in range(PLAIN_GROUPS)]
    with contextlib.ExitStack() as stack:
        for crowd in crowds:
            stack.callback(crowd.close)
            for client_name in MEMBERS[crowd.asked.protocol]:
                crowd.join(client_name)
        for crowd in crowds:
            await_owners(crowd)
        watchers = [stack.enter_context(Watcher(node.bootstrap, crowd, PARTITIONS)) for crowd in crowds]
        committer = stack.enter_context(Committer(node.bootstrap, plain, TOPIC))
        load = stack.enter_context(Load(node.bootstrap, TOPIC, PARTITIONS, RECORDS_PER_SECOND))
        time.sleep(BEFORE_S)
        before = listed(node.bootstrap)
        node.kill()
        first = FirstCommit(node.bootstrap)
        with first:
            node.restart()
        after = listed(node.bootstrap)
        time.sleep(BEFORE_S)
        load.stop()
        committer.stop()
        late = [crowd.asked.group for crowd in crowds if not is_done(node, crowd, load.ends)]
        lags = lag_of(node.bootstrap, plain[0])
        for crowd in crowds:
            crowd.disband()
        committer.check()
        rows = [crowd_row(crowd, load.ends, watcher, False) for crowd, watcher in zip(crowds, watchers)]
        for row in rows:
            row.expect(row.group not in late, "not everything was committed after the start")
        row = committer_row(f"{PLAIN_GROUPS} groups (no members)", committer)
        expected = {0: load.ends[0] - fetched(node.bootstrap, plain[0], TOPIC, [0])[0]}
        row.expect(lags == expected, f"lag of {plain[0]}: {lags}, expected {expected}")
        gone = sorted(set(before) - set(after))
        row.expect(not gone, f"groups not there after the start: {gone[:5]}")
        told = f"first commit accepted {first.took_ms:.0f} ms after the start" if first.took_ms else "no commit accepted"
        row.expect(first.took_ms is not None, told)
        row.notes.append(f"{told}, first answer after {node.first_answer_ms:.0f} ms, {len(after)} groups listed")
        return [*rows, row]


def listed(bootstrap, deadline_s=20):
    """All groups; coordinators that are still loaded are waited for."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            with Connection(bootstrap) as connection:
                return group_requests.listed(connection.ask(*group_requests.LIST_GROUPS, b""))
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def lag_of(bootstrap, group):
    """What Kafka's tool says of a group's lag, by partition."""
    _, output, _ = run(java(GROUP_COMMAND, "--bootstrap-server", bootstrap, "--describe", "--group", group))
    return {int(row["PARTITION"]): int(row["LAG"]) for row in table(output.decode())}


class FirstCommit:
    """Tries to commit from the start of the node on, and keeps how long it took."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.began = time.monotonic()
        self.took_ms = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.began = time.monotonic()
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()

    def _run(self):
        body = group_requests.commit(FIRST_GROUP, TOPIC, {0: 1})
        while time.monotonic() < self.began + 60:
            with contextlib.suppress(OSError), Connection(self.bootstrap, timeout_s=5) as connection:
                for _ in range(2000):
                    answer = connection.ask(*group_requests.OFFSET_COMMIT, body)
                    if group_requests.commit_errors(answer)[0] == 0:
                        self.took_ms = (time.monotonic() - self.began) * 1000
                        return
                    time.sleep(0.002)
            time.sleep(0.002)
