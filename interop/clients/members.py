"""Members of consumer groups: one process each, which tells what it owns and what it has processed.

What the events say is written in `member_loop.py`. kcat and Kafka's VerifiableConsumer tell it in
their own words, which are translated here.
"""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from clients.client import Unsupported
from places import GO_PROGRAMS, INTEROP, NODE_MODULES, RUST_PROGRAM, WORK, java
from records import check

# How long a member may take to end after it was told to leave.
LEAVE_S = 15
# The shortest that brokers allow where nothing else is said.
SESSION_MS = 6000
HEARTBEAT_MS = 300


@dataclasses.dataclass
class Asked:
    """What a member is told at its start."""

    bootstrap: str
    group: str
    topic: str
    reset: str = "earliest"
    # "range", "roundrobin" or "cooperative"; means nothing under the protocol "consumer".
    assignor: str = "range"
    # "classic" or "consumer" (KIP-848).
    protocol: str = "classic"
    instance: str | None = None
    session_ms: int = SESSION_MS
    heartbeat_ms: int = HEARTBEAT_MS

    def json(self):
        return json.dumps(dataclasses.asdict(self))


def own_program(*command):
    """A member that takes what is asked as JSON and tells events as JSON lines."""
    return lambda asked: ([*command, asked.json()], Translation(asked))


def kcat(asked):
    options = {
        "auto.offset.reset": asked.reset,
        "session.timeout.ms": asked.session_ms,
        "heartbeat.interval.ms": asked.heartbeat_ms,
        "auto.commit.interval.ms": 100,
        "fetch.wait.max.ms": 100,
        "partition.assignment.strategy": {"cooperative": "cooperative-sticky"}.get(asked.assignor, asked.assignor),
    }
    if asked.instance:
        options["group.instance.id"] = asked.instance
    settings = [word for name, value in options.items() for word in ("-X", f"{name}={value}")]
    command = ["kcat", "-b", asked.bootstrap, "-G", asked.group, "-u", "-f", r"%p %o\n", *settings, asked.topic]
    return command, KcatTranslation(asked)


def verifiable_consumer(asked):
    configs = tempfile.NamedTemporaryFile("w", suffix=".properties")
    configs.write(f"fetch.max.wait.ms=100\nauto.offset.reset={asked.reset}\n")
    if asked.protocol == "classic":
        configs.write(f"heartbeat.interval.ms={asked.heartbeat_ms}\n")
    configs.flush()
    options = ["--bootstrap-server", asked.bootstrap, "--topic", asked.topic, "--group-id", asked.group]
    options += ["--group-protocol", asked.protocol, "--reset-policy", asked.reset]
    options += ["--command-config", configs.name]
    if asked.protocol == "classic":
        assignor = {"range": "Range", "roundrobin": "RoundRobin", "cooperative": "CooperativeSticky"}[asked.assignor]
        options += ["--session-timeout", str(asked.session_ms)]
        options += ["--assignment-strategy", f"org.apache.kafka.clients.consumer.{assignor}Assignor"]
    if asked.instance:
        options += ["--group-instance-id", asked.instance]
    translation = VerifiableTranslation(asked)
    translation.configs = configs
    return java("org.apache.kafka.tools.VerifiableConsumer", *options), translation


def go_member(program):
    return own_program(GO_PROGRAMS / program, "member")


def node_member(module):
    return own_program("env", f"NODE_PATH={NODE_MODULES}", "node", f"clients/node/{module}.js")


def python_member(module):
    return own_program(sys.executable, "-m", f"clients.{module}")


@dataclasses.dataclass
class Kind:
    """How a client's members are started, and what they can do besides consuming."""

    start: object
    can: frozenset


def kind(start, *can):
    return Kind(start, frozenset(can))


KINDS = {
    "kcat": kind(kcat, "static", "cooperative"),
    "librdkafka": kind(python_member("confluent_member"), "static", "cooperative", "consumer"),
    "kafka-python": kind(python_member("kafka_python_member"), "static", "cooperative"),
    "rdkafka": kind(own_program(RUST_PROGRAM, "member"), "static", "cooperative", "consumer"),
    "confluent-js": kind(node_member("confluent_member"), "static", "cooperative", "consumer"),
    "aiokafka": kind(python_member("aiokafka_member"), "static"),
    "java": kind(lambda asked: (java("JavaMember", asked.json()), Translation(asked)), "static", "cooperative", "consumer"),
    "sarama": kind(go_member("sarama"), "static"),
    "kafka-go": kind(go_member("kafkago")),
    "kafkajs": kind(node_member("kafkajs_member")),
    "kafka-tools": kind(verifiable_consumer, "static", "cooperative", "consumer"),
}


class Translation:
    """Takes lines of events as they are."""

    # What tells the process to leave besides a line on its standard input.
    leave_signal = None

    def __init__(self, asked):
        self.asked = asked

    def events(self, line):
        yield json.loads(line)


class KcatTranslation(Translation):
    leave_signal = signal.SIGTERM

    def events(self, line):
        if found := re.fullmatch(r"(\d+) (\d+)", line):
            partition, offset = map(int, found.groups())
            yield {"event": "records", "partition": partition, "offsets": [[offset, offset]]}
        elif found := re.search(r"rebalanced.*?: (assigned|revoked|incremental assign|incremental)", line):
            partitions = [int(number) for number in re.findall(r"\[(\d+)\]", line)]
            event = "assigned" if "assign" in found.group(1) else "revoked"
            yield {"event": event, "partitions": partitions}


class VerifiableTranslation(Translation):
    leave_signal = signal.SIGTERM

    def events(self, line):
        if not line.startswith("{"):
            return
        told = json.loads(line)
        name = told["name"]
        at = told["timestamp"] / 1000
        if name in ("partitions_assigned", "partitions_revoked"):
            partitions = [place["partition"] for place in told["partitions"]]
            if partitions or name == "partitions_assigned":
                yield {"at": at, "event": name.removeprefix("partitions_"), "partitions": partitions}
        elif name == "records_consumed":
            for place in told["partitions"]:
                span = [place["minOffset"], place["maxOffset"]]
                yield {"at": at, "event": "records", "partition": place["partition"], "offsets": [span]}
        elif name == "offsets_committed":
            if told["success"]:
                offsets = {place["partition"]: place["offset"] for place in told["offsets"]}
                yield {"at": at, "event": "committed", "offsets": offsets}
            else:
                yield {"at": at, "event": "commit_failed", "error": told.get("error")}
        elif name == "shutdown_complete":
            yield {"at": at, "event": "left"}


class Member:
    """A running member and all that it has told."""

    def __init__(self, client_name, asked):
        if asked.instance and "static" not in KINDS[client_name].can:
            raise Unsupported(f"{client_name} has no static members")
        if asked.protocol == "consumer" and "consumer" not in KINDS[client_name].can:
            raise Unsupported(f"{client_name} does not speak the protocol consumer")
        self.client_name = client_name
        self.asked = asked
        command, self.translation = KINDS[client_name].start(asked)
        self.events = []
        self.owned = set()
        self.changed = threading.Condition()
        self.started_at = time.time()
        self.killed_at = None
        self.log = open(WORK / "members.log", "ab")
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if client_name == "kcat" else self.log,
            cwd=INTEROP,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __repr__(self):
        return f"{self.client_name} (pid {self.process.pid})"

    def _read(self):
        for line in self.process.stdout:
            now = time.time()
            try:
                told = list(self.translation.events(line.rstrip("\n")))
            except ValueError:
                told = [{"event": "trouble", "message": line}]
            with self.changed:
                for event in told:
                    self._take({"at": now, **event})
                self.changed.notify_all()

    def _take(self, event):
        event["offsets"] = numbered(event.get("offsets"))
        if event["event"] == "assigned":
            self.owned.update(event["partitions"])
        elif event["event"] in ("revoked", "lost"):
            self.owned.difference_update(event["partitions"])
        self.events.append(event)

    def told(self, *names):
        with self.changed:
            return [event for event in self.events if event["event"] in names]

    def owns(self):
        with self.changed:
            return set(self.owned)

    def troubles(self):
        return [event for event in self.told("trouble", "commit_failed")]

    def leave(self):
        """Leaves the group as the client does it when it is closed."""
        self.tell_to_leave()
        self.await_end()

    def tell_to_leave(self):
        if self.translation.leave_signal is not None:
            self.process.send_signal(self.translation.leave_signal)
        else:
            try:
                self.process.stdin.write("leave\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass

    def await_end(self):
        try:
            code = self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self} did not leave within {LEAVE_S} s, last: {self.events[-3:]}")
        self.reader.join(5)
        # A process that is ended by a signal it was sent has the signal for its code.
        check(code in (0, 143, -15, -2), f"{self} ended with code {code}, last: {self.events[-3:]}")
        self.ended_at = time.time()

    def kill(self):
        """Ends the process at once: nobody leaves the group."""
        self.process.kill()
        self.killed_at = time.time()
        self.process.wait()
        self.reader.join(5)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.log):
            try:
                stream.close()
            except OSError:
                pass


def numbered(offsets):
    """JSON has text for keys: partitions become numbers again."""
    if isinstance(offsets, dict):
        return {int(partition): offset for partition, offset in offsets.items()}
    return offsets
