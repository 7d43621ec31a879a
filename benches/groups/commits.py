"""Commits of many groups over some connections, many of them in flight: encoded once, sent over and over."""

import resource
import selectors
import socket
import struct
import time

import group_requests
from group_requests import OFFSET_COMMIT

CHUNK_REQUESTS = 64
READ_BYTES = 1 << 18
# FindCoordinator says that a coordinator is there a moment before it takes commits.
READY_S = 20


class Refused(Exception):
    """A commit was answered with an error."""


class Lane:
    """One connection with its groups: a chunk of requests, one a group, and how many are not answered."""

    def __init__(self, port, topic, groups, partitions, window):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        offsets = dict.fromkeys(range(partitions), 1)
        requests = [group_requests.frame(OFFSET_COMMIT, 1, group_requests.commit(group, topic, offsets)) for group in groups]
        self.chunk = b"".join(requests)
        self.chunk_requests = len(requests)
        self.window = window
        self.pending = memoryview(b"")
        self.in_flight = 0
        self.position = 0
        self.answer = self.first_answers(requests)
        # Answers have all the same bytes, so that what comes is compared and not read.
        self.pattern = self.answer * (READ_BYTES // len(self.answer) + 2)
        self.socket.setblocking(False)

    def first_answers(self, requests):
        """Commits once for each group, which makes the group; returns the bytes of an answer without an error."""
        for request in requests:
            deadline = time.monotonic() + READY_S
            while True:
                self.socket.sendall(request)
                head = self.socket.recv(4, socket.MSG_WAITALL)
                (length,) = struct.unpack(">i", head)
                body = self.socket.recv(length, socket.MSG_WAITALL)
                errors = set(group_requests.commit_errors(body[4:]).values())
                if errors == {0}:
                    break
                if time.monotonic() > deadline:
                    raise Refused(f"OffsetCommit answered {errors}")
                time.sleep(0.02)
        return head + body

    def send(self):
        """Sends as much as the window and the socket take."""
        while True:
            if not self.pending:
                if self.in_flight + self.chunk_requests > self.window:
                    return
                self.pending = memoryview(self.chunk)
                self.in_flight += self.chunk_requests
            try:
                sent = self.socket.send(self.pending)
            except BlockingIOError:
                return
            self.pending = self.pending[sent:]

    def receive(self):
        """How many answers came; a partial one is counted when its last byte is there."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            raise Refused("the broker closed the connection")
        start = self.position % len(self.answer)
        if data != self.pattern[start : start + len(data)]:
            raise Refused("a commit was answered with an error")
        whole = (start + len(data)) // len(self.answer)
        self.position = start + len(data)
        self.in_flight -= whole
        return whole


def measure(broker, topic, seconds, connections, window, partitions=1):
    """Commits for so long; returns commits and offsets per second with the CPU of both sides."""
    lanes = [
        Lane(broker.port, topic, [f"commits-{lane}-{group}" for group in range(CHUNK_REQUESTS)], partitions, window)
        for lane in range(connections)
    ]
    with selectors.DefaultSelector() as selector:
        for lane in lanes:
            selector.register(lane.socket, selectors.EVENT_READ, lane)
            lane.send()
        commits, began, cpu_before, own_before = 0, time.monotonic(), broker.cpu_s(), own_cpu_s()
        while time.monotonic() < began + seconds:
            for key, _ in selector.select(1):
                commits += key.data.receive()
                key.data.send()
        took = time.monotonic() - began
        broker_cpu_s, own_s = broker.cpu_s() - cpu_before, own_cpu_s() - own_before
    for lane in lanes:
        lane.socket.close()
    return {
        "commits/s": commits / took,
        "offsets/s": commits * partitions / took,
        "us CPU/commit": broker_cpu_s / max(commits, 1) * 1e6,
        "generator, cores": own_s / took,
        "broker, cores": broker_cpu_s / took,
    }


def own_cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
