"""Kafka's own tools for operators: TopicCommand, TransactionsCommand, LogDirsCommand. A row of the column kafka-tools."""

import json
import re

from clients.client import Unsupported
from records import check, check_equal, sample
from scenarios import until


def tools(bench):
    """Topics are described and listed, the producers of a partition named, the log directories measured."""
    if bench.client_name != "kafka-tools":
        raise Unsupported("about Kafka's own tools")
    topic = bench.new_topic("tools", 3, retention_ms="3600000")
    for partition in range(3):
        bench.await_leader(topic, partition)
    bench.steward.produce(topic, sample(10), idempotent=True)
    check_topics(bench.client, topic)
    check_producers(bench, topic)
    check_log_dirs(bench, topic)


def check_topics(client, topic):
    text = client.tool("TopicCommand", "--describe", "--topic", topic)
    [heading] = re.findall(r"PartitionCount: (\d+)\tReplicationFactor: (\d+)\tConfigs: (\S*)", text)
    check_equal("partitions and replicas", heading[:2], ("3", "1"))
    check("retention.ms=3600000" in heading[2], f"configs {heading[2]}")
    line = r"Partition: (\d+)\tLeader: (\d+)\tReplicas: (\d+)\tIsr: (\d+)\tElr: (\S*)\tLastKnownElr: (\S*)"
    node = re.findall(line, text)[0][1]
    check_equal("partitions", re.findall(line, text), [(str(index), node, node, node, "", "") for index in range(3)])
    # A page at a time.
    text = client.tool("TopicCommand", "--describe", "--topic", topic, "--partition-size-limit-per-response", "2")
    check_equal("partitions page by page", len(re.findall(line, text)), 3)
    for option in ("--unavailable-partitions", "--under-replicated-partitions", "--under-min-isr-partitions"):
        text = client.tool("TopicCommand", "--describe", "--topic", topic, option)
        check_equal(option, text.strip(), "")
    text = client.tool("TopicCommand", "--describe", "--topic", topic, "--topics-with-overrides")
    check("Partition:" not in text and "retention.ms=3600000" in text, f"overrides: {text}")
    check(topic in client.tool("TopicCommand", "--list", "--exclude-internal").split(), "the topic is not listed")


def check_producers(bench, topic):
    def described(partition):
        where = ["--topic", topic, "--partition", str(partition)]
        text = bench.client.tool("TransactionsCommand", "describe-producers", *where)
        lines = [line.strip().split("\t") for line in text.splitlines() if "\t" in line]
        return [[word.strip() for word in line] for line in lines if line[0].strip() != "ProducerId"]

    [batch] = {(batch.producer_id, batch.producer_epoch) for batch in bench.stored(topic)}
    [[producer, epoch, coordinator, sequence, timestamp, start]] = described(0)
    check_equal("producer and epoch", (int(producer), int(epoch)), batch)
    check_equal("last sequence", int(sequence), 9)
    check(int(timestamp) > 1_600_000_000_000, f"last timestamp {timestamp}")
    check_equal("coordinator epoch and open transaction", (coordinator, start), ("-1", "None"))
    check_equal("producers of a partition without records", described(1), [])


def check_log_dirs(bench, topic):
    def described():
        text = bench.client.tool("LogDirsCommand", "--describe", "--topic-list", topic)
        [brokers] = [json.loads(line)["brokers"] for line in text.splitlines() if line.startswith("{")]
        [broker] = brokers
        return broker["logDirs"]

    def sizes():
        partitions = [partition for directory in described() for partition in directory["partitions"]]
        return {partition["partition"]: partition["size"] for partition in partitions}

    stored = sum(batch.bytes for batch in bench.stored(topic))
    until("sizes", lambda: sizes() == {f"{topic}-0": stored, f"{topic}-1": 0, f"{topic}-2": 0})
    check_equal("errors", {directory["error"] for directory in described()}, {None})
    lags = {part["offsetLag"] for directory in described() for part in directory["partitions"]}
    check_equal("lags", lags, {0})


OPERATOR_SCENARIOS = {"operator tools": tools}
