"""Kafka's tools for what one node has and has not: partitions, groups, trials. A row of the column kafka-tools."""

import json
import pathlib
import re
import tempfile
import time

from broker_tools import of_tools
from clients.command import run
from clients.tools import TOOLS
from group_scenarios import Group
from group_tools import GroupCommand
from places import java
from records import check, check_equal, sample
from wire import Connection

ELECT_LEADERS, DESCRIBE_TRANSACTIONS, DESCRIBE_ACLS = 43, 65, 29
# What a tool needs to start and to be told no; one that asks on takes a minute.
REFUSED_WITHIN_S = 20
# The Java client keeps the text of a coordinator's refusal from those who administer.
UNSUPPORTED = r"does not support|UnsupportedVersionException|FindCoordinator request .* unexpected error"


@of_tools
def unsupported_at_once(bench):
    """A tool for what the broker does not have ends at once and says why."""
    with Connection(bench.bootstrap) as connection:
        known = connection.api_versions()
    topic = bench.new_topic("unsupported")
    sizes = ["--num-records", "1", "--record-size", "10", "--throughput", "-1"]
    for api, name, arguments in [
        (DESCRIBE_TRANSACTIONS, "TransactionsCommand", ["describe", "--transactional-id", topic]),
        (DESCRIBE_TRANSACTIONS, "ProducerPerformance", ["--topic", topic, *sizes, "--transactional-id", topic]),
        (ELECT_LEADERS, "LeaderElectionCommand", ["--election-type", "preferred", "--all-topic-partitions"]),
        (DESCRIBE_ACLS, "AclCommand", ["--list"]),
    ]:
        if api in known:
            continue
        started = time.monotonic()
        command = java(f"{TOOLS}.{name}", "--bootstrap-server", bench.bootstrap, *arguments)
        code, output, errors = run(command, may_fail=True)
        text = output.decode() + errors
        check(code != 0, f"{name} took it: {text}")
        check(re.search(UNSUPPORTED, text), f"{name} does not say why: {text[-1000:]}")
        check(time.monotonic() - started < REFUSED_WITHIN_S, f"{name} took {time.monotonic() - started:.0f} s to say so")


@of_tools
def partition_tools(bench):
    """Offsets of many partitions are told, the log of a partition read with its indexes, records deleted and refused."""
    tool = bench.client.tool
    topic = bench.new_topic("offsets", 3)
    bench.client.produce(topic, sample(10))
    ends = {0: 0, 1: 0, 2: 0}
    for line in tool("GetOffsetShell", "--topic", topic).split():
        _, partition, offset = line.split(":")
        ends[int(partition)] = int(offset)
    check_equal("records", sum(ends.values()), 10)
    text = tool("GetOffsetShell", "--topic-partitions", f"{topic}:1-2", "--time", "earliest")
    check_equal("some partitions", text.split(), [f"{topic}:1:0"])
    [[partition, end]] = [(partition, end) for partition, end in ends.items() if end > 0][:1]
    wish = {"version": 1, "partitions": [{"topic": topic, "partition": partition, "offset": end + 1}]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(wish, file)
        file.flush()
        text = tool("DeleteRecordsCommand", "--offset-json-file", file.name, tolerated=("OFFSET_OUT_OF_RANGE",))
    check("error: " in text and "requested offset is not within" in text.lower(), f"deleted past the end: {text}")


@of_tools
def reset_tools(bench):
    """Offsets of a group are tried, exported, imported and moved by time; expressions are checked."""
    with Group(bench, "reset-tools", 2) as group:
        group.produce(30)
        command = GroupCommand(group)
        command.reset("--to-latest")
        check_equal("after --to-latest", group.committed(), {0: 30, 1: 30})
        text = command.on_group("--reset-offsets", "--all-topics", "--to-earliest", "--export", "--dry-run")
        with tempfile.TemporaryDirectory() as directory:
            plan = pathlib.Path(directory, "plan.csv")
            plan.write_text(text)
            check_equal("a trial changes nothing", group.committed(), {0: 30, 1: 30})
            command.on_group("--reset-offsets", "--from-file", str(plan), "--execute")
        check_equal("after --from-file", group.committed(), {0: 0, 1: 0})
        for where, offset in [
            (("--to-datetime", "2050-01-01T00:00:00.000"), 30),
            (("--to-datetime", "2020-01-01T00:00:00.000"), 0),
            (("--shift-by", "99"), 30),
        ]:
            rows = command.reset(*where)
            check_equal(f"{where}", sorted(row["NEW-OFFSET"] for row in rows), [str(offset)] * 2)
        check_equal("at the end", group.committed(), {0: 30, 1: 30})
        text = command.run("--list", "--type", "classic")
        check(group.name in text, f"not among the classic groups: {text}")


UNMODIFIED_SCENARIOS = {
    "unsupported at once": unsupported_at_once,
    "partition tools": partition_tools,
    "reset tools": reset_tools,
}
