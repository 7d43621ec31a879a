"""The attacks. Each is a function that misuses the broker until its time is over.

`python attacks.py NAME BOOTSTRAP SECONDS SCALE` runs one in a process of its own, so that it takes no
time from the good client's; `SCALE` is the share of the full number of connections. At the end it
prints how much it did. Nothing here waits for a broker that is slow, and none minds being cut off.
"""

import os
import random
import selectors
import socket
import struct
import sys
import time

import group_attacks
import requests
from requests import framed, request

VICTIM = "victim"
WIDE = "wide"
WIDE_PARTITIONS = 500
SEED = 20260401


class Attack:
    """One attack under way: its connections, its end and what it has done so far."""

    def __init__(self, bootstrap, seconds, scale):
        host, port = bootstrap.rsplit(":", 1)
        self.address = (host, int(port))
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.scale = scale
        self.random = random.Random(SEED)
        self.done = {}

    def starts_now(self):
        """Where making the requests took its time: that is not part of the attack."""
        self.end = time.monotonic() + self.seconds

    def goes_on(self):
        return time.monotonic() < self.end

    def rest(self):
        time.sleep(max(0, self.end - time.monotonic()))

    def count(self, what, number=1):
        self.done[what] = self.done.get(what, 0) + number

    def connect(self):
        while self.goes_on():
            try:
                return socket.create_connection(self.address, 10)
            except OSError:
                self.count("connections refused")
                time.sleep(0.01)
        raise TimeoutError

    def many(self, full, receive_bytes=None):
        """So many connections that do not block."""
        connections = []
        for _ in range(max(1, int(full * self.scale))):
            connection = socket.socket()
            if receive_bytes:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            try:
                connection.settimeout(10)
                connection.connect(self.address)
            except OSError:
                self.count("connections refused")
                connection.close()
                continue
            connection.setblocking(False)
            connections.append(connection)
        self.count("connections", len(connections))
        self.starts_now()
        return connections

    def stream(self, make):
        """Sends what `make` gives as fast as it is taken and drops the answers; connects again when cut off."""
        while self.goes_on():
            with self.connect() as connection:
                connection.setblocking(False)
                pending = memoryview(b"")
                while self.goes_on():
                    if not pending:
                        pending = memoryview(make())
                        self.count("sends")
                    try:
                        pending = pending[connection.send(pending) :]
                    except BlockingIOError:
                        time.sleep(0.0005)
                    except OSError:
                        self.count("cut off")
                        break
                    if not self.drop_answers(connection):
                        break

    def drop_answers(self, connection):
        """False once the broker has closed the connection."""
        try:
            while self.goes_on():
                data = connection.recv(1 << 20)
                if not data:
                    self.count("cut off")
                    return False
                self.count("answer bytes", len(data))
        except BlockingIOError:
            return True
        except OSError:
            self.count("cut off")
        return False

    def send_to_all(self, connections, data, slice_bytes=1 << 20):
        """Gives each connection as much of `data` as its socket takes, in turn, until the end."""
        left = {connection: memoryview(data) for connection in connections}
        while self.goes_on() and left:
            is_stuck = True
            for connection, pending in list(left.items()):
                try:
                    sent = connection.send(pending[:slice_bytes])
                    is_stuck = False
                    self.count("bytes", sent)
                    left[connection] = pending[sent:]
                    if not left[connection]:
                        del left[connection]
                except BlockingIOError:
                    pass
                except OSError:
                    self.count("cut off")
                    del left[connection]
            if is_stuck:
                time.sleep(0.01)


def ask(address, data):
    """One request and its whole answer."""
    with socket.create_connection(address, 60) as connection, connection.makefile("rb") as answers:
        connection.sendall(data)
        return answers.read(struct.unpack(">i", answers.read(4))[0])


def prepare(bootstrap, name):
    """What the attack aims at: a partition of 32 MiB, a topic of many partitions, what its own kind needs."""
    address = Attack(bootstrap, 0, 1).address
    group_attacks.prepare(lambda data: ask(address, data), name)
    ask(address, requests.create_topics([(VICTIM, 4), (WIDE, WIDE_PARTITIONS)]))
    full = requests.produce(VICTIM, [(0, requests.batch(requests.record(bytes(900_000))))])
    for _ in range(36):
        ask(address, full)


# What is no request at all.


def random_bytes(attack):
    attack.stream(lambda: attack.random.randbytes(attack.random.randint(1, 2000)))


def foreign_protocols(attack):
    lines = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), b"SSH-2.0-x\r\n"]
    attack.stream(lambda: attack.random.choice(lines))


def mutated_requests(attack):
    seeds = [
        requests.produce(VICTIM, [(1, requests.batch(requests.record(b"value")))]),
        requests.fetch(VICTIM, [0, 1, 2, 3], 1000),
        requests.list_offsets(VICTIM, [0, 1]),
        requests.metadata([VICTIM, WIDE]),
        requests.create_topics([("made", 1)], [("retention.ms", "1000")], True),
        requests.init_producer_id(),
        requests.describe_configs([(2, VICTIM), (4, "1")]),
        requests.api_versions(),
        request(18, 3, b"\0\x08attacker\x02v\0"),
    ]

    def mutated():
        frame = bytearray(attack.random.choice(seeds)[4:])
        for _ in range(attack.random.randint(1, 4)):
            at, kind = attack.random.randrange(len(frame) + 1), attack.random.random()
            if kind < 0.5:
                frame[at : at + 1] = attack.random.randbytes(1)
            elif kind < 0.7:
                del frame[at : at + attack.random.randint(1, 8)]
            elif kind < 0.9:
                frame[at : at + 4] = struct.pack(">i", attack.random.choice([-1, 0, 2**31 - 1, -(2**31), 65536]))
            else:
                frame[at:at] = bytes(attack.random.randint(1, 100))
        return framed(bytes(frame))

    attack.stream(mutated)


def huge_lengths(attack):
    sizes = [2**31 - 1, -1, -(2**31), 104_857_601, 1 << 30]
    attack.stream(lambda: struct.pack(">i", attack.random.choice(sizes)) + bytes(100))


def truncated_frames(attack):
    whole = requests.produce(VICTIM, [(1, requests.batch(requests.record(bytes(20_000))))])
    while attack.goes_on():
        with attack.connect() as connection:
            connection.send(whole[: attack.random.randrange(1, len(whole))])
            attack.count("frames cut")


def unknown_apis(attack):
    apis = [8, 9, 11, 12, 13, 14, 17, 24, 25, 26, 28, 36, 37, 50, 60, 75, 999, -1, 32767]
    attack.stream(lambda: request(attack.random.choice(apis), attack.random.randint(-1, 20), bytes(40)))


# Clients that are slow or do nothing.


def idle_connections(attack):
    connections = attack.many(10_000)
    # A third of them has said something once.
    for connection in connections[::3]:
        connection.send(requests.api_versions())
    attack.rest()


def slow_writers(attack):
    connections = attack.many(1_000)
    frame = requests.produce(VICTIM, [(1, requests.batch(requests.record(bytes(1000))))])
    at = 0
    while attack.goes_on():
        for connection in connections:
            try:
                attack.count("bytes", connection.send(frame[at : at + 1]))
            except OSError:
                attack.count("cut off")
        at = (at + 1) % len(frame)
        time.sleep(1)


def slow_readers(attack):
    connections = attack.many(500, receive_bytes=4096)
    asked = requests.fetch(VICTIM, [0]) * 4 + requests.metadata() * 4
    for connection in connections:
        connection.send(asked)
    while attack.goes_on():
        for connection in connections:
            try:
                attack.count("bytes read", len(connection.recv(1)))
            except BlockingIOError:
                pass
            except OSError:
                attack.count("cut off")
        time.sleep(1)


def never_read(attack):
    """Big Fetch and Metadata answers that nobody takes."""
    connections = attack.many(1_000, receive_bytes=4096)
    attack.send_to_all(connections, (requests.fetch(VICTIM, [0]) + requests.metadata()) * 20)
    attack.rest()


def half_open_frames(attack):
    """A thousand frames of the largest size; each gets as far as its bytes are taken, none is ever whole."""
    connections = attack.many(1_000)
    attack.send_to_all(connections, struct.pack(">i", 100 << 20) + struct.pack(">hhih", 0, 7, 1, -1))
    attack.send_to_all(connections, bytes(64 << 20), slice_bytes=256 << 10)
    attack.rest()


def churn(attack):
    while attack.goes_on():
        with socket.socket() as connection:
            try:
                # A reset at the end, or this side runs out of ports.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.connect(attack.address)
                if attack.random.random() < 0.5:
                    connection.send(requests.api_versions())
                attack.count("connections made")
            except OSError:
                attack.count("connections refused")


# Requests that are right in form.


def wrong_crc(attack):
    bad = requests.batch(requests.record(bytes(1000)), crc=1)
    wrong = requests.produce(VICTIM, [(1, bad), (2, bad), (3, bad)]) * 20
    attack.stream(lambda: wrong)


def lying_counts(attack):
    one = requests.record(b"value")
    batches = [
        requests.batch(one, count=2**31 - 1),
        requests.batch(one, count=-1),
        requests.batch(one, count=0),
        requests.batch(one, count=2),
        requests.batch(one, count=1, last_delta=2**31 - 1),
        requests.batch(b"\xfe\xff\xff\xff\x0f" + one[1:]),
        requests.batch(one[:-1] + requests.varint(2**31 - 1)),
    ]
    lies = [requests.produce(VICTIM, [(1, batch)]) for batch in batches]
    many = struct.pack(">i", 2**31 - 1)
    header = struct.pack(">hhi", -1, -1, 1000)
    lies += [
        request(requests.PRODUCE, 7, header + many),
        request(requests.PRODUCE, 7, header + struct.pack(">i", 1) + requests.text("x") + many),
        request(requests.PRODUCE, 7, header + struct.pack(">ih", 1, 32767) + b"x"),
        request(requests.METADATA, 4, many),
        request(requests.METADATA, 4, struct.pack(">i", 999_999) + bytes(100)),
        request(requests.FETCH, 11, struct.pack(">iiiibii", -1, 0, 0, 0, 0, 0, -1) + many),
        request(requests.CREATE_TOPICS, 4, many),
    ]
    attack.stream(lambda: attack.random.choice(lies))


def bombs(attack):
    """Batches of kilobytes that say gigabytes, several in a request, and one of millions of records."""
    frames = []
    for codec, pack, most in requests.BOMBS:
        for value_bytes in (min(most, 200 << 20), most):
            packed = requests.batch(pack(value_bytes), codec=codec)
            frames.append(requests.produce(VICTIM, [(partition, packed) for partition in (1, 2, 3)]))
    counted = requests.batch(requests.count_bomb(1_000_000), count=1_000_000, codec=1)
    frames.append(requests.produce(VICTIM, [(1, counted)]))
    connections = attack.many(20)
    while attack.goes_on():
        frame = attack.random.choice(frames)
        attack.send_to_all(connections, frame)
        attack.count("rounds")
        for connection in connections:
            attack.drop_answers(connection)


def stored_bombs(attack):
    """A bomb that is in bounds and stored, and searches by time that have to unpack it."""
    packed = requests.batch(requests.zstd_bomb(250 << 20), codec=4)
    ask(attack.address, requests.produce(VICTIM, [(3, packed)]))
    connections = attack.many(50)
    attack.send_to_all(connections, requests.list_offsets(VICTIM, [3], timestamp=1) * 200)
    attack.rest()


def init_producer_ids(attack):
    asked = requests.init_producer_id() * 50
    attack.stream(lambda: asked)


def producer_ids(attack):
    """Each batch by another producer, on one partition."""
    body = requests.record(b"v")
    numbers = iter(range(1_000_000, 2**31))

    def flood():
        batches = (requests.batch(body, producer=(next(numbers), 0, 0)) for _ in range(50))
        return b"".join(requests.produce(VICTIM, [(1, batch)], acks=1) for batch in batches)

    # Made before the time runs: a checksum is slow in Python.
    ready = iter([flood() for _ in range(600)])
    attack.starts_now()

    def one():
        attack.count("producers", 50)
        return next(ready, None) or flood()

    attack.stream(one)


def pipelining(attack):
    """A hundred thousand tiny requests at a time; one connection in two reads its answers."""
    burst = memoryview(requests.api_versions() * 100_000)
    connections = attack.many(20)
    pending = dict.fromkeys(connections, burst)
    selector = selectors.DefaultSelector()
    for number, connection in enumerate(connections):
        selector.register(connection, selectors.EVENT_WRITE | (selectors.EVENT_READ if number % 2 else 0))
    while attack.goes_on() and selector.get_map():
        for key, events in selector.select(0.1):
            connection = key.fileobj
            try:
                if events & selectors.EVENT_WRITE:
                    sent = connection.send(pending[connection][: 1 << 18])
                    attack.count("bytes", sent)
                    pending[connection] = pending[connection][sent:] or burst
                if events & selectors.EVENT_READ and not attack.drop_answers(connection):
                    selector.unregister(connection)
            except BlockingIOError:
                pass
            except OSError:
                attack.count("cut off")
                selector.unregister(connection)


def api_versions(attack):
    burst = requests.api_versions() * 200
    attack.stream(lambda: burst)


def fetch_sessions(attack):
    """New sessions again and again, with partitions that nobody has and with all that are there."""
    bogus = requests.fetch("x" * 200, range(5_000), session=(0, 0))
    real = requests.fetch(WIDE, range(WIDE_PARTITIONS), max_bytes=1, session=(0, 0))
    attack.stream(lambda: attack.random.choice([bogus, real]))


def names_and_configs(attack):
    """Names, keys and values of 32 KiB, keys that nobody knows, topics that are only looked at."""
    long = "n" * 32_000
    frames = [
        requests.create_topics([(long, 1)]),
        requests.create_topics([("checked", 2**31 - 1)], validate_only=True),
        requests.create_topics([(f"t{number}", 1) for number in range(1000)], [("retention.ms", "1")], validate_only=True),
        requests.create_topics([("configured", 1)], [(long, long)] * 20),
        requests.create_topics([("configured", 1)], [(f"key.{number}", "1") for number in range(1000)]),
    ]
    numbers = iter(range(2**31))

    def one():
        if attack.random.random() < 0.5:
            return attack.random.choice(frames)
        kind, name = attack.random.choice([(2, VICTIM), (4, "1"), (4, "")])
        return requests.alter_config(kind, name, f"unknown.{next(numbers)}." + "k" * 20_000, "v" * 20_000)

    attack.stream(one)


def repeated_topics(attack):
    """One topic named so often that its answer would be gigabytes; the same for partitions and resources."""
    frames = [
        requests.metadata([WIDE] * 50_000),
        requests.describe_configs([(2, WIDE)] * 20_000),
        requests.describe_configs([(4, "1")] * 20_000),
        requests.list_offsets(WIDE, [0] * 50_000),
        requests.fetch(WIDE, [0] * 20_000),
    ]
    attack.stream(lambda: attack.random.choice(frames))


def many_elements(attack):
    """Frames of a megabyte that are many times as large once they are read, on a hundred connections."""
    count = 100_000
    rows = [(1_000_000 + number, b"") for number in range(count)]
    produce = requests.produce(WIDE, rows)
    fetch = requests.fetch(WIDE, range(1_000_000, 1_000_000 + count), wait_ms=60_000, min_bytes=1)
    connections = attack.many(100, receive_bytes=4096)
    both = produce + fetch
    attack.send_to_all(connections, both * 4)
    attack.rest()


ATTACKS = {
    function.__name__: (function, text)
    for function, text in [
        (random_bytes, "random bytes"),
        (foreign_protocols, "HTTP, TLS and SSH"),
        (mutated_requests, "mutated requests"),
        (huge_lengths, "huge and negative lengths"),
        (truncated_frames, "truncated frames"),
        (unknown_apis, "APIs that are not served"),
        (idle_connections, "10,000 idle connections"),
        (slow_writers, "1,000 write a byte a second"),
        (slow_readers, "500 read a byte a second"),
        (never_read, "1,000 never read"),
        (half_open_frames, "1,000 half-open frames"),
        (churn, "connect and reset"),
        (wrong_crc, "wrong checksums"),
        (lying_counts, "counts that lie"),
        (bombs, "decompression bombs"),
        (stored_bombs, "searches in a stored bomb"),
        (init_producer_ids, "InitProducerId flood"),
        (producer_ids, "a producer id a batch"),
        (pipelining, "100,000 requests at a time"),
        (api_versions, "ApiVersions flood"),
        (fetch_sessions, "fetch session flood"),
        (names_and_configs, "huge names and configs"),
        (repeated_topics, "one topic 50,000 times"),
        (many_elements, "requests that grow when read"),
        *group_attacks.GROUP_ATTACKS,
    ]
}


def main():
    name, bootstrap, seconds, scale = sys.argv[1:]
    attack = Attack(bootstrap, float(seconds), float(scale))
    try:
        ATTACKS[name][0](attack)
    except TimeoutError:
        pass
    print(", ".join(f"{number} {what}" for what, number in attack.done.items()), flush=True)
    # Sockets are closed by the system at once, without another word to anybody.
    os._exit(0)


if __name__ == "__main__":
    main()
