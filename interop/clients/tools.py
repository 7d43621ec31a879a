"""Kafka's own command-line tools. Every call is a process of its own, as an operator would start it."""

import json
import re
import tempfile

from clients.client import MESSAGE_TOO_LARGE, UNKNOWN_TOPIC, Client, Refused
from clients.command import CommandFailed, run
from places import java
from records import Record

TOOLS = "org.apache.kafka.tools"
REFUSALS = {
    "RecordTooLargeException": MESSAGE_TOO_LARGE,
    "UnknownTopicOrPartitionException": UNKNOWN_TOPIC,
    "UNKNOWN_TOPIC_OR_PARTITION": UNKNOWN_TOPIC,
    "does not exist as expected": UNKNOWN_TOPIC,
}
NULL = "NULL"
NO_HEADERS = "NO_HEADERS"


class Tools(Client):
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def tool(self, name, *arguments, stdin=None, main=None, tolerated=()):
        """Runs a tool; returns what it printed.

        Many tools end with 0 after an error, so their standard error is read as well.
        """
        command = java(main or f"{TOOLS}.{name}", "--bootstrap-server", self.bootstrap, *arguments)
        code, output, errors = run(command, stdin=stdin, may_fail=True)
        text = output.decode()
        for marker, refusal in REFUSALS.items():
            if marker in errors or (code != 0 and marker in text):
                raise Refused(refusal, errors[-300:])
        is_failed = code != 0 or "ERROR" in errors
        if is_failed and not any(word in errors for word in tolerated):
            raise CommandFailed(f"{name} {arguments} ended with {code}:\n{text[-1000:]}{errors[-2000:]}")
        return text

    def create(self, topic, partitions, configs):
        options = [part for name, value in configs.items() for part in ("--config", f"{name}={value}")]
        sizes = ["--partitions", str(partitions), "--replication-factor", "1"]
        self.tool("TopicCommand", "--create", "--topic", topic, *sizes, *options)

    def delete(self, topic):
        self.tool("TopicCommand", "--delete", "--topic", topic)

    def partitions(self, topic):
        text = self.tool("TopicCommand", "--describe", "--topic", topic)
        return int(re.search(r"PartitionCount: (\d+)", text).group(1))

    def configs(self, topic):
        text = self.config_command("--describe", "--all", topic)
        return dict(re.findall(r"^\s+(\S+?)=(\S*) sensitive=", text, re.MULTILINE))

    def alter(self, topic, configs):
        pairs = ",".join(f"{name}={value}" for name, value in configs.items())
        self.config_command("--alter", f"--add-config={pairs}", topic)

    def config_command(self, action, option, topic):
        entity = ["--entity-type", "topics", "--entity-name", topic]
        return self.tool("ConfigCommand", *entity, action, option, main="kafka.admin.ConfigCommand")

    def grow(self, topic, partitions):
        self.tool("TopicCommand", "--alter", "--topic", topic, "--partitions", str(partitions))

    def trim(self, topic, partition, before):
        wish = {"version": 1, "partitions": [{"topic": topic, "partition": partition, "offset": before}]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(wish, file)
            file.flush()
            text = self.tool("DeleteRecordsCommand", "--offset-json-file", file.name)
        if f"low_watermark: {before}" not in text:
            raise CommandFailed(f"DeleteRecordsCommand: {text}")

    def offsets(self, topic, partition):
        return self.offset_at(topic, partition, -2), self.offset_at(topic, partition, -1)

    def offset_at(self, topic, partition, time):
        text = self.tool("GetOffsetShell", "--topic-partitions", f"{topic}:{partition}", "--time", str(time))
        return int(text.strip().rsplit(":", 1)[1])

    def produce(self, topic, records, acks="all", compression="none", idempotent=False, bytes_max=1_000_000):
        has_headers = any(record.headers for record in records)
        options = [
            "--topic", topic,
            "--request-required-acks", acks,
            "--compression-codec", compression,
            "--request-timeout-ms", "10000",
            "--max-block-ms", "20000",
            # Large enough that the records of a scenario become one batch.
            "--batch-size", "65536",
            "--command-property", f"enable.idempotence={str(idempotent).lower()}",
            "--command-property", f"max.request.size={bytes_max}",
            "--reader-property", "parse.key=true",
            "--reader-property", f"null.marker={NULL}",
            "--reader-property", f"parse.headers={str(has_headers).lower()}",
        ]
        lines = []
        for record in records:
            fields = [marked(record.key), marked(record.value)]
            if has_headers:
                fields.insert(0, ",".join(f"{name}:{marked(value)}" for name, value in record.headers) or NULL)
            lines.append("\t".join(fields) + "\n")
        self.tool("ConsoleProducer", *options, stdin="".join(lines).encode())

    def consume(self, topic, start, count):
        at, number = start
        if at == "timestamp":
            number = self.offset_at(topic, 0, number)
        # One record more than expected is asked for where none is, so that a stray one is seen.
        limits = ["--max-messages", str(max(count, 1)), "--timeout-ms", "20000" if count else "3000"]
        prints = ["timestamp", "offset", "headers", "key", "value"]
        properties = [f"print.{name}=true" for name in prints] + [f"null.literal={NULL}"]
        text = self.tool(
            "consumer.ConsoleConsumer",
            "--topic", topic,
            "--partition", "0",
            "--offset", "earliest" if at == "beginning" else str(number),
            "--command-property", "allow.auto.create.topics=false",
            *limits,
            *[part for item in properties for part in ("--formatter-property", item)],
            # How the tool says that nothing came, which is right where nothing is expected.
            tolerated=() if count else ("TimeoutException",),
        )
        return [parse(line) for line in text.splitlines()]


def marked(text):
    return NULL if text is None else text


def unmarked(text):
    return None if text == NULL else text


def parse(line):
    """Reads `CreateTime:17<tab>Offset:0<tab>a:1,b:2<tab>key<tab>value`."""
    timestamp, offset, headers, key, value = line.split("\t")
    pairs = ()
    if headers != NO_HEADERS:
        split = (pair.split(":", 1) for pair in headers.split(","))
        pairs = tuple((name, unmarked(value)) for name, value in split)
    offset = int(offset.removeprefix("Offset:"))
    timestamp = int(timestamp.split(":", 1)[1])
    return Record(unmarked(key), unmarked(value), pairs, offset, timestamp)
