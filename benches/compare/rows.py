"""The work that both brokers are given, one function a row. Each returns figures by metric name."""

import dataclasses
import json
import os
import subprocess
import time

from brokers import CLOCK_TICKS
from places import WORK

MANY_PARTITIONS = 3000
RETAINED_BYTES_MAX = 2_000_000_000
PRETOUCH_BYTES = 2_400_000_000
DELETED_WITHIN_S = 30
SMALL_BYTES = 200_000_000


@dataclasses.dataclass
class Metric:
    """A figure of a row: its unit, which way is better, and what is to be shown against Kafka."""

    unit: str
    higher_is_better: bool
    goal: float | None = None


class LoadFailed(Exception):
    """The load generator ended with an error."""


class Session:
    """One broker under work: the load generator, and CPU taken from the broker's process alone."""

    def __init__(self, broker, binary, seconds):
        self.broker = broker
        self.binary = binary
        self.seconds = seconds
        self.topics = 0
        self.client_is_limit = False

    def kabuki(self, *arguments, timeout_s=300):
        command = [str(self.binary), *map(str, arguments), "--bootstrap", self.broker.bootstrap]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        if done.returncode != 0:
            raise LoadFailed(f"{' '.join(command)}\n{done.stderr}{self.broker.log_tail()}")
        return done.stdout

    def bench(self, *arguments):
        """Runs a measurement; returns its result with the CPU seconds of the broker meanwhile."""
        before = self.broker.cpu_s()
        result = json.loads(self.kabuki("bench", *arguments, "--json"))
        result["broker_cpu_s"] = self.broker.cpu_s() - before
        self.client_is_limit |= result["client_cpu_seconds"] > 0.85 * result["seconds"]
        return result

    def new_topic(self, partitions=1, **config):
        """A topic of its own for each row, as old data would be part of the figure."""
        self.topics += 1
        name = f"row-{self.topics}"
        configs = [part for key, value in config.items() for part in ("--config", f"{key.replace('_', '.')}={value}")]
        self.kabuki("topics", "create", name, "--partitions", partitions, *configs)
        return name

    def drop(self, topic):
        """Deletes a topic and waits until its bytes are gone."""
        self.kabuki("topics", "delete", topic)
        deadline = time.monotonic() + DELETED_WITHIN_S
        while directory_bytes(self.broker.data_dir) > SMALL_BYTES:
            if time.monotonic() > deadline:
                raise LoadFailed(f"{self.broker.name} keeps the data of {topic}")
            time.sleep(0.05)

    def produce(self, *, record_bytes=100, partitions=1, topic=None, seconds=None, before_drop=None, **options):
        """Writes for the given time, but never more than may be retained.

        `before_drop` is given the result while the topic is still there.
        """
        pretouch()
        name = topic or self.new_topic(partitions)
        flags = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", value)]
        result = self.bench(
            "produce", "--topic", name, "--record-bytes", record_bytes,
            "--records", RETAINED_BYTES_MAX // (record_bytes + 12),
            "--seconds", seconds or self.seconds, *flags,
        )
        if before_drop:
            before_drop(result)
        self.drop(name)
        return result


def pretouch():
    """Makes the system hold warm pages for what is about to be written.

    A guest's memory that was not used lately is ten times slower at first touch, whoever writes.
    """
    path = WORK / "pretouch"
    block = bytes(4 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(PRETOUCH_BYTES // len(block)):
            file.write(block)
    os.unlink(path)


def directory_bytes(path):
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                # Blocks, not length: indexes are as long as they may become.
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def throughput(result):
    figures = {
        "records/s": result["records_per_second"],
        "cpu/record": result["broker_cpu_s"] / result["records"] * 1e6,
    }
    if "ack_ms" in result:
        figures["ack p50"] = result["ack_ms"]["p50"]
        figures["ack p99"] = result["ack_ms"]["p99"]
    return figures


def produce_16k(session):
    return throughput(session.produce())


def produce_16k_4(session):
    return throughput(session.produce(partitions=12, connections=4))


def produce_900k(session):
    return throughput(session.produce(batch_bytes=900_000))


def produce_one(session):
    return throughput(session.produce(batch_bytes=1, in_flight=64))


def produce_one_4(session):
    return throughput(session.produce(batch_bytes=1, in_flight=64, connections=4, partitions=12))


def produce_acks0(session):
    return throughput(session.produce(acks=0))


def produce_1k(session):
    return throughput(session.produce(record_bytes=1024))


def consume(session):
    pretouch()
    topic = session.new_topic()
    session.bench("produce", "--topic", topic, "--records", 9_000_000, "--batch-bytes", 900_000)
    result = session.bench("consume", "--topic", topic, "--seconds", session.seconds)
    session.drop(topic)
    gigabytes = result["bytes"] / 1e9
    return {"GB/s": gigabytes / result["seconds"], "cpu/GB": result["broker_cpu_s"] / gigabytes}


def latency(session):
    topic = session.new_topic()
    result = session.bench("latency", "--topic", topic, "--rate", 1000, "--seconds", session.seconds)
    session.drop(topic)
    return {
        "delivery p50": result["delivery_ms"]["p50"],
        "delivery p99": result["delivery_ms"]["p99"],
        "ack p50": result["ack_ms"]["p50"],
        "ack p99": result["ack_ms"]["p99"],
        "cpu/record": result["broker_cpu_s"] / result["records"] * 1e6,
    }


def flush(session):
    topic = session.new_topic(flush_messages=1)
    return throughput(session.produce(topic=topic))


def flush_4(session):
    topic = session.new_topic(12, flush_messages=1)
    return throughput(session.produce(topic=topic, connections=4))


def flush_steady(session):
    topic = session.new_topic(flush_messages=1)
    result = session.bench(
        "latency", "--topic", topic, "--rate", 200, "--seconds", session.seconds, "--no-consumer"
    )
    session.drop(topic)
    return {"ack p50": result["ack_ms"]["p50"], "ack p99": result["ack_ms"]["p99"]}


def many_partitions(session):
    """Idle CPU with thousands of partitions, then kill -9, then the time until all of them answer."""
    topic = session.new_topic(MANY_PARTITIONS)
    session.bench(
        "produce", "--topic", topic, "--records", 3 * MANY_PARTITIONS,
        "--batch-bytes", 1, "--in-flight", 16,
    )
    broker = session.broker
    # What the creation left to do in the background is no idle work.
    time.sleep(session.seconds)
    before, since = broker.cpu_s(), time.monotonic()
    time.sleep(2 * session.seconds)
    # Nothing used and one tick used look the same.
    used_s = max(broker.cpu_s() - before, 1 / CLOCK_TICKS)
    idle_percent = used_s / (time.monotonic() - since) * 100
    rss_mb = broker.rss_mb()
    broker.kill()
    restart_ms = broker.start(all_served(topic, MANY_PARTITIONS, 3))
    return {"idle": idle_percent, "restart": restart_ms, "rss": rss_mb}


def all_served(topic, partitions, end):
    """A question that is true once every partition has answered with its end.

    Each is asked until it has answered once, and few at a time: the questions shall not be the load.
    """
    waiting = set(range(partitions))

    def ask(connection):
        while waiting:
            asked = sorted(waiting)[:100]
            found = connection.log_ends(topic, asked)
            waiting.difference_update(index for index in asked if found.get(index) == end)
            if not waiting.isdisjoint(asked):
                return False
        return True

    return ask


PER_RECORD = Metric("us CPU/record", False)

# Row, the work, and its metrics. Goals are what Kabuki promises against Kafka on the same machine.
ROWS = {
    "produce 16 KiB": (produce_16k, {
        "records/s": Metric("records/s", True, 5),
        "cpu/record": Metric("us CPU/record", False, 6),
        "ack p50": Metric("ms", False),
        "ack p99": Metric("ms", False),
    }),
    "produce 16 KiB, 4 connections, 12 partitions": (produce_16k_4, {
        "records/s": Metric("records/s", True, 4),
        "cpu/record": Metric("us CPU/record", False, 6),
        "ack p50": Metric("ms", False),
        "ack p99": Metric("ms", False),
    }),
    "produce 900 KB": (produce_900k, {
        "records/s": Metric("records/s", True),
        "cpu/record": PER_RECORD,
    }),
    "produce one record a request": (produce_one, {
        "records/s": Metric("requests/s", True, 15),
        "cpu/record": PER_RECORD,
    }),
    "produce one record a request, 4 connections": (produce_one_4, {
        "records/s": Metric("requests/s", True),
        "cpu/record": PER_RECORD,
    }),
    "produce 16 KiB, acks=0": (produce_acks0, {
        "records/s": Metric("records/s", True),
        "cpu/record": PER_RECORD,
    }),
    "produce 1 KiB records": (produce_1k, {
        "records/s": Metric("records/s", True),
        "cpu/record": PER_RECORD,
    }),
    "consume": (consume, {
        "GB/s": Metric("GB/s", True, 1.5),
        "cpu/GB": Metric("s CPU/GB", False, 2),
    }),
    "latency at 1,000/s": (latency, {
        "delivery p50": Metric("ms", False, 2),
        "delivery p99": Metric("ms", False, 8),
        "ack p50": Metric("ms", False),
        "ack p99": Metric("ms", False),
        "cpu/record": PER_RECORD,
    }),
    "flush.messages=1": (flush, {
        "records/s": Metric("records/s", True, 3),
        "ack p50": Metric("ms", False),
    }),
    "flush.messages=1, 4 connections, 12 partitions": (flush_4, {
        "records/s": Metric("records/s", True),
        "ack p50": Metric("ms", False),
    }),
    "flush.messages=1 at 200/s": (flush_steady, {
        "ack p50": Metric("ms", False, 2),
        "ack p99": Metric("ms", False),
    }),
    "memory after the load": (lambda session: {"rss": session.broker.rss_mb()}, {
        "rss": Metric("MB", False, 20),
    }),
    "3,000 partitions": (many_partitions, {
        "idle": Metric("% of a core", False),
        "restart": Metric("ms after kill -9", False, 27),
        "rss": Metric("MB", False),
    }),
}

# Measured at each start, so part of every run.
START = "start"
START_METRICS = {"first answer": Metric("ms", False, 20)}
