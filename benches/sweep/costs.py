"""What one more of a thing costs a node that is otherwise idle. `costs` beside it prepares all."""

import argparse
import contextlib
import os
import pathlib
import resource
import struct
import time

import table
import tool
from brokers import Kabuki
from places import KABUKI, WORK
from rows import LoadFailed, Session, directory_bytes
from wire import Connection

CONNECTIONS = [1_000, 10_000]
PARTITIONS = [1_000, 3_000, 10_000]
# A partition remembers 4,096.
PRODUCER_IDS, PRODUCER_PARTITIONS = 4_000, 10
SESSIONS, SESSION_PARTITIONS = 1_000, 100

PRODUCE, FETCH = 0, 1
TOPIC = "costs"


def main():
    parser = argparse.ArgumentParser(prog="benches/sweep/costs", description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, default=KABUKI, help="the kabuki to run")
    binary = parser.parse_args().binary.resolve()
    WORK.mkdir(parents=True, exist_ok=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("| what | RSS MB | KB each | open files | threads | disk MB |\n|---|--:|--:|--:|--:|--:|")
    for measure in (connections, partitions, producer_ids, fetch_sessions):
        broker = Kabuki(binary)
        try:
            broker.start()
            measure(broker, Session(broker, binary, 1))
        finally:
            broker.stop()
    return 0


def line(broker, what, count=0, before_mb=0.0):
    """Prints what the broker holds now; returns its memory."""
    time.sleep(1)
    rss_mb = broker.rss_mb()
    pid = broker.process.pid
    files, threads = (len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))
    each = f"{(rss_mb - before_mb) * 1e3 / count:.2f}" if count else ""
    disk_mb = directory_bytes(broker.data_dir) / 1e6
    print(f"| {what} | {table.number(rss_mb)} | {each} | {files:,} | {threads} | {table.number(disk_mb)} |", flush=True)
    return rss_mb


def connections(broker, _session):
    """Connections that asked once and then say nothing."""
    empty = line(broker, "a node with nothing")
    for count in CONNECTIONS:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(Connection(broker.bootstrap)).api_versions()
            line(broker, f"{count:,} idle connections", count, empty)


def partitions(broker, session):
    empty = line(broker, "a node with nothing")
    for at, count in enumerate(PARTITIONS):
        topic = f"{TOPIC}-{at}"
        session.kabuki("topics", "create", topic, "--partitions", count)
        line(broker, f"{count:,} partitions, created", count, empty)
        session.bench("produce", "--topic", topic, "--records", 3 * count, "--batch-bytes", 1, "--in-flight", 16)
        line(broker, f"{count:,} partitions, all written to", count, empty)
        broker.kill()
        broker.start()
        with Connection(broker.bootstrap) as connection:
            ends = {}
            while len(ends) < count:
                asked = [index for index in range(count) if index not in ends][:100]
                found = connection.log_ends(topic, asked)
                ends.update((index, end) for index, end in found.items() if end is not None)
        line(broker, f"{count:,} partitions, after a restart", count, empty)
        session.kabuki("topics", "delete", topic)
        broker.kill()
        broker.start()


def producer_ids(broker, session):
    session.kabuki("topics", "create", TOPIC, "--partitions", PRODUCER_PARTITIONS)
    with Connection(broker.bootstrap) as connection:
        for partition in range(PRODUCER_PARTITIONS):
            produce(connection, partition, 0)
        empty = line(broker, f"{PRODUCER_PARTITIONS} partitions, one producer")
        for partition in range(PRODUCER_PARTITIONS):
            for producer_id in range(1, PRODUCER_IDS):
                produce(connection, partition, producer_id)
    count = PRODUCER_PARTITIONS * PRODUCER_IDS
    line(broker, f"{PRODUCER_IDS:,} idempotent producers in each", count, empty)


def fetch_sessions(broker, session):
    session.kabuki("topics", "create", TOPIC, "--partitions", SESSION_PARTITIONS)
    empty = line(broker, f"{SESSION_PARTITIONS} partitions")
    with Connection(broker.bootstrap) as connection:
        for _ in range(SESSIONS):
            open_session(connection)
    line(broker, f"{SESSIONS:,} fetch sessions of {SESSION_PARTITIONS} partitions", SESSIONS, empty)


def produce(connection, partition, producer_id):
    """One record of a producer of its own, its first."""
    # No attributes, deltas of 0, no key, one byte of value, no headers.
    record = bytes([0, 0, 0, 1, 2, 65, 0])
    record = bytes([len(record) * 2]) + record
    now_ms = int(time.time() * 1000)
    covered = struct.pack(">hiqqqhii", 0, 0, now_ms, now_ms, producer_id, 0, 0, 1) + record
    batch = struct.pack(">ibI", -1, 2, crc32c(covered)) + covered
    batch = struct.pack(">qi", 0, len(batch)) + batch
    name = TOPIC.encode()
    body = struct.pack(">hhiih", -1, -1, 30_000, 1, len(name)) + name
    body += struct.pack(">iii", 1, partition, len(batch)) + batch
    answer = connection.ask(PRODUCE, 7, body)
    (error,) = struct.unpack_from(">h", answer, 4 + 2 + len(name) + 4 + 4)
    if error != 0:
        raise LoadFailed(f"Produce answered {error}")


def open_session(connection):
    """A Fetch that names all partitions and asks for a session; nothing is there to read."""
    name = TOPIC.encode()
    body = struct.pack(">iiiibii", -1, 0, 0, 1 << 20, 0, 0, 0)
    body += struct.pack(">ih", 1, len(name)) + name + struct.pack(">i", SESSION_PARTITIONS)
    for index in range(SESSION_PARTITIONS):
        body += struct.pack(">iiqqi", index, -1, 0, -1, 1 << 20)
    body += struct.pack(">ih", 0, 0)
    error, session_id = struct.unpack_from(">hi", connection.ask(FETCH, 11, body), 4)
    if error != 0 or session_id == 0:
        raise LoadFailed(f"Fetch answered {error}, session {session_id}")


def crc_table():
    entries = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        entries.append(value)
    return entries


CRC_TABLE = crc_table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


if __name__ == "__main__":
    tool.run("costs", main)
