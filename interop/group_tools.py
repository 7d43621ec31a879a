"""Kafka's own tools for groups: ConsumerGroupCommand and ConsumerPerformance. A row of the column kafka-tools."""

import re

from clients.client import Unsupported
from clients.command import CommandFailed
from group_scenarios import Group
from records import check, check_equal


class GroupCommand:
    """ConsumerGroupCommand on one group; its tables as rows of {column: text}."""

    def __init__(self, group):
        self.group = group
        self.tools = group.bench.client

    def run(self, *arguments, tolerated=()):
        return self.tools.tool(
            "ConsumerGroupCommand", *arguments, main="org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            tolerated=tolerated,
        )

    def on_group(self, *arguments, **options):
        return self.run("--group", self.group.name, *arguments, **options)

    def describe(self, *what):
        return table(self.on_group("--describe", *what))

    def reset(self, *where):
        return table(self.on_group("--reset-offsets", "--topic", self.group.topic, *where, "--execute"))


def table(text):
    """Rows by the names of their columns; what stands before the heading is left out."""
    lines = [line for line in text.splitlines() if line.strip()]
    heads = [number for number, line in enumerate(lines) if line.startswith("GROUP ")]
    check(heads, f"no table in:\n{text}")
    # The address of the coordinator and its id are one column with a blank in it.
    split = [re.sub(r"(\S) +\((\w+)\)", r"\1(\2)", line).split() for line in lines[heads[0] :]]
    return [dict(zip(split[0], row)) for row in split[1:]]


def tools(bench):
    """A group is listed, described, reset and deleted; the tool that measures consumers reads through one."""
    if bench.client_name != "kafka-tools":
        raise Unsupported("about Kafka's own tools")
    with Group(bench, "group-tools", 2) as group:
        command = GroupCommand(group)
        member = group.join("librdkafka")
        group.until("the member owns all", lambda: len(member.owns()) == 2)
        group.produce(30)
        group.await_processed()
        group.await_committed()

        states = table(command.run("--list", "--state").replace("GROUP", "GROUP ", 1))
        check_equal("state in the list", [row for row in states if row["GROUP"] == group.name][0]["STATE"], "Stable")
        [state] = command.describe("--state")
        check_equal("state", (state["STATE"], state["#MEMBERS"], state["ASSIGNMENT-STRATEGY"]), ("Stable", "1", "range"))
        [described] = command.describe("--members")
        check_equal("partitions of the member", described["#PARTITIONS"], "2")
        check(described["CONSUMER-ID"].startswith("rdkafka-"), f"member id {described}")
        check_equal("host", described["HOST"], "/127.0.0.1")
        rows = command.describe()
        lags = sorted((row["PARTITION"], row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"]) for row in rows)
        check_equal("offsets and lag", lags, [("0", "30", "30", "0"), ("1", "30", "30", "0")])
        text = refused(command, "--reset-offsets", "--topic", group.topic, "--to-earliest", "--execute")
        check("inactive" in text, f"reset of a group with members: {text}")
        text = refused(command, "--delete")
        check("GroupNotEmptyException" in text or "not empty" in text, f"deletion of a group with members: {text}")

        member.leave()
        [state] = command.describe("--state")
        check_equal("state without members", (state["STATE"], state["#MEMBERS"]), ("Empty", "0"))
        command.reset("--to-offset", "10")
        check_equal("after --to-offset", group.committed(), {0: 10, 1: 10})
        command.reset("--shift-by", "-5")
        check_equal("after --shift-by", group.committed(), {0: 5, 1: 5})
        lags = sorted(row["LAG"] for row in command.describe())
        check_equal("lag", lags, ["25", "25"])
        command.on_group("--delete-offsets", "--topic", f"{group.topic}:1")
        check_equal("after --delete-offsets", group.committed(), {0: 5})
        command.on_group("--delete")
        check(group.name not in command.run("--list").split(), "the deleted group is listed")
        performance(bench, group)


def refused(command, *arguments):
    """What the tool says of an action that the broker refuses; it ends with 0 or 1, as the action has it."""
    try:
        text = command.on_group(*arguments, tolerated=("Error", "ERROR"))
    except CommandFailed as failed:
        text = str(failed)
    check("rror" in text, f"not refused: {text}")
    return text


def performance(bench, group):
    """ConsumerPerformance reads all records through a group of its own, and says how many there were."""
    name = f"{group.name}.performance"
    arguments = ["--topic", group.topic, "--num-records", "60", "--group", name, "--timeout", "20000", "--hide-header"]
    text = bench.client.tool("ConsumerPerformance", *arguments)
    figures = [line.split(",") for line in text.splitlines() if line.count(",") >= 5]
    check(figures, f"no figures in: {text}")
    check_equal("records read", int(figures[-1][4]), 60)


TOOL_SCENARIOS = {"group tools": tools}
