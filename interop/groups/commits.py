"""Commits that were acknowledged, and whether they are still there."""

import contextlib
import struct
import threading
import time

import group_requests
from group_requests import FIND_COORDINATOR, OFFSET_COMMIT, OFFSET_FETCH
from wire import Connection

# What says "not now" while a coordinator is loaded, moved or started again.
PASSING = {7, 14, 15, 16}


def ask(connection, api, body):
    return connection.ask(*api, body)


def fetched(bootstrap, group, topic, partitions, deadline_s=20):
    """Committed offsets by partition, asked until the coordinator answers."""
    deadline = time.monotonic() + deadline_s
    while True:
        code = None
        with contextlib.suppress(OSError), Connection(bootstrap, timeout_s=5) as connection:
            offsets, code = group_requests.fetched(
                ask(connection, OFFSET_FETCH, group_requests.fetch(group, topic, partitions))
            )
            if code == 0:
                return offsets
        if time.monotonic() > deadline:
            raise TimeoutError(f"OffsetFetch of {group} still answers {code} after {deadline_s} s")
        time.sleep(0.02)


def await_coordinator(bootstrap, group, deadline_s=30):
    deadline = time.monotonic() + deadline_s
    with Connection(bootstrap) as connection:
        while (code := group_requests.error_of(ask(connection, FIND_COORDINATOR, group_requests.find_coordinator(group)))) != 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"FindCoordinator of {group} still answers {code} after {deadline_s} s")
            time.sleep(0.05)


class Committer:
    """Commits rising offsets for groups without members, and asks for each right after its acknowledgement."""

    def __init__(self, bootstrap, groups, topic):
        self.bootstrap = bootstrap
        self.topic = topic
        self.acked = dict.fromkeys(groups, 0)
        self.commits = 0
        self.lost = []
        self.codes = {}
        self.longest_wait_s = 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        self.thread.join()

    def _run(self):
        groups = list(self.acked)
        tries, connection, since = 0, None, time.monotonic()
        while not self.stopping.is_set():
            group = groups[tries % len(groups)]
            try:
                if connection is None:
                    connection = Connection(self.bootstrap, timeout_s=10)
                if self._commit(connection, group):
                    tries += 1
                    now = time.monotonic()
                    self.longest_wait_s = max(self.longest_wait_s, now - since)
                    since = now
            except (OSError, struct.error) as error:
                self._count(type(error).__name__)
                connection = None
                time.sleep(0.01)
            time.sleep(0.002)

    def _commit(self, connection, group):
        offset = self.acked[group] + 1
        body = group_requests.commit(group, self.topic, {0: offset})
        code = group_requests.commit_errors(ask(connection, OFFSET_COMMIT, body))[0]
        if code != 0:
            self._count(code)
            return False
        self.acked[group] = offset
        self.commits += 1
        offsets, code = group_requests.fetched(
            ask(connection, OFFSET_FETCH, group_requests.fetch(group, self.topic, [0]))
        )
        if code != 0:
            self._count(code)
        elif offsets[0] < offset:
            self.lost.append(f"{group}: {offset} was acknowledged, {offsets[0]} is there")
        return True

    def _count(self, code):
        self.codes[code] = self.codes.get(code, 0) + 1

    def check(self):
        """Every group's last acknowledged commit is there: what was in flight at the end may be, too."""
        for group, offset in self.acked.items():
            found = fetched(self.bootstrap, group, self.topic, [0])[0]
            if found not in (offset, offset + 1) and not (offset == 0 and found == -1):
                self.lost.append(f"{group}: {offset} was acknowledged, {found} is there")


class Watcher:
    """Asks again and again for the offsets of a group with members: none may be below what a member was told."""

    def __init__(self, bootstrap, crowd, partitions):
        self.bootstrap = bootstrap
        self.crowd = crowd
        self.partitions = partitions
        self.seen = {}
        self.asked = 0
        self.refused = {}
        self.lost = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def acknowledged(self):
        """The highest offset of each partition of which a member was told that it is committed."""
        floor = self.seen
        for member in list(self.crowd.members):
            start = getattr(member, "watched", 0)
            events = member.events[start:]
            member.watched = start + len(events)
            for event in events:
                if event["event"] == "committed":
                    for partition, offset in event["offsets"].items():
                        floor[partition] = max(floor.get(partition, 0), offset)
        return dict(floor)

    def _run(self):
        asked = self.crowd.asked
        while not self.stopping.wait(0.25):
            floor = self.acknowledged()
            try:
                with Connection(self.bootstrap, timeout_s=5) as connection:
                    body = group_requests.fetch(asked.group, asked.topic, range(self.partitions))
                    offsets, code = group_requests.fetched(ask(connection, OFFSET_FETCH, body))
            except OSError as error:
                code = type(error).__name__
            if code != 0:
                self.refused[code] = self.refused.get(code, 0) + 1
                continue
            self.asked += 1
            for partition, offset in floor.items():
                if offsets[partition] < offset:
                    self.lost.append(f"{asked.group}-{partition}: {offset} was acknowledged, {offsets[partition]} is there")
