"""Kafka's own tool for configuration, ConfigCommand. A row of the column kafka-tools."""

import re

from clients.client import Unsupported
from clients.command import CommandFailed
from records import check, check_equal


class ConfigCommand:
    """The tool on one entity: a type, and a name that may be missing."""

    def __init__(self, bench, kind, *name):
        self.tools = bench.client
        self.entity = ["--entity-type", kind, *name]

    def run(self, *arguments):
        return self.tools.tool("ConfigCommand", *self.entity, *arguments, main="kafka.admin.ConfigCommand")

    def described(self, *options):
        """Values by key, with what the tool says of their sources."""
        text = self.run("--describe", *options)
        lines = re.findall(r"^\s+(\S+?)=(\S*) sensitive=\w+ synonyms=\{(.*)\}$", text, re.MULTILINE)
        return {key: (value, synonyms) for key, value, synonyms in lines}

    def add(self, **configs):
        pairs = ",".join(f"{key.replace('_', '.')}={value}" for key, value in configs.items())
        self.run("--alter", "--add-config", pairs)

    def delete(self, *keys):
        self.run("--alter", "--delete-config", ",".join(keys))

    def refuses(self, pair):
        try:
            self.run("--alter", "--add-config", pair)
        except CommandFailed as failed:
            return str(failed)
        raise AssertionError(f"{pair} was taken")


def config_tools(bench):
    """Topics, brokers, the defaults of brokers and groups are described and altered."""
    if bench.client_name != "kafka-tools":
        raise Unsupported("about Kafka's own tools")
    topic = bench.new_topic("configured")
    of_topic = ConfigCommand(bench, "topics", "--entity-name", topic)
    lives(of_topic, "retention.ms", "604800001")
    all_keys = of_topic.described("--all")
    check_equal("topic keys", len(all_keys), 33)
    check_equal("retention.ms", all_keys["retention.ms"][0], "604800000")
    check("InvalidConfiguration" in of_topic.refuses("no.such.key=1"), "unknown topic key")

    of_group = ConfigCommand(bench, "groups", "--entity-name", f"{topic}.group")
    lives(of_group, "consumer.session.timeout.ms", "50000")
    check_equal("group keys", len(of_group.described("--all")), 17)
    check("InvalidConfiguration" in of_group.refuses("consumer.session.timeout.ms=1"), "session of 1 ms")
    of_group.add(consumer_heartbeat_interval_ms=6000)
    text = ConfigCommand(bench, "groups").run("--describe")
    check(f"{topic}.group" in text, f"groups with configuration: {text}")
    of_group.delete("consumer.heartbeat.interval.ms")

    of_broker = ConfigCommand(bench, "brokers", "--entity-name", "1")
    lives(of_broker, "log.cleaner.backoff.ms", "15001")
    check("InvalidRequest" in of_broker.refuses("node.id=7"), "a key that is read only")
    keys = [key for key in of_broker.described("--all") if not key.startswith("kabuki.")]
    check(len(keys) >= 340, f"{len(keys)} broker keys")
    of_all = ConfigCommand(bench, "brokers", "--entity-default")
    of_all.add(log_cleaner_backoff_ms=15002)
    check_equal("default of all brokers", of_all.described()["log.cleaner.backoff.ms"][0], "15002")
    of_all.delete("log.cleaner.backoff.ms")
    check("log.cleaner.backoff.ms" not in of_all.described(), "a default that was taken away is shown")


def lives(entity, key, value):
    """A key is set, shown with its source, and goes back to its default."""
    entity.add(**{key.replace(".", "_"): value})
    shown, synonyms = entity.described()[key]
    check_equal(key, shown, value)
    check(f":{key}={value}" in synonyms, f"{key} comes from {synonyms}")
    entity.delete(key)
    check(key not in entity.described(), f"{key} is still set")


CONFIG_SCENARIOS = {"configuration tools": config_tools}
