"""Good groups: each has one member that sends a heartbeat and commits an offset, again and again."""

import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import group_requests as group  # noqa: E402
from wire import Connection  # noqa: E402

GROUPS = 3
PAUSE_S = 0.01
ANSWER_S = 60
# The longest session: a member that is taken out all the same was not heard because of the attack.
SESSION_MS = 10_000


class GoodGroups(threading.Thread):
    """What its members saw: `rows` are (sent, answered), `errors` are (sent, what)."""

    def __init__(self, bootstrap, topic, stopping):
        super().__init__()
        self.bootstrap = bootstrap
        self.topic = topic
        self.stopping = stopping
        self.ready = threading.Event()
        self.rows = []
        self.errors = []

    def run(self):
        try:
            with Connection(self.bootstrap, ANSWER_S) as connection:
                members = [self._join(connection, f"good-{number}") for number in range(GROUPS)]
                self.ready.set()
                offset = 0
                while not self.stopping.wait(PAUSE_S):
                    for member in members:
                        self._live(connection, *member, offset)
                    offset += 1
        except OSError as error:
            self.errors.append((time.time(), f"good group: {error}"))
            self.ready.set()

    def _join(self, connection, name):
        while group.error_of(connection.ask(*group.FIND_COORDINATOR, group.find_coordinator(name))):
            time.sleep(0.02)
        member, joined = "", None
        while joined is None or joined.error:
            joined = group.Joined(connection.ask(*group.JOIN_GROUP, group.join(name, member, b"", SESSION_MS)))
            member = joined.member
        body = group.sync(name, joined.generation, member, [(member, b"")])
        while group.synced(connection.ask(*group.SYNC_GROUP, body))[0]:
            time.sleep(0.02)
        return name, member, joined.generation

    def _live(self, connection, name, member, generation, offset):
        sent = time.time()
        code = group.error_of(connection.ask(*group.HEARTBEAT, group.heartbeat(name, generation, member)))
        self._note(sent, "Heartbeat", code)
        sent = time.time()
        body = group.commit(name, self.topic, {0: offset}, generation, member)
        self._note(sent, "OffsetCommit", group.commit_errors(connection.ask(*group.OFFSET_COMMIT, body))[0])

    def _note(self, sent, what, code):
        self.rows.append((sent, time.time()))
        if code:
            self.errors.append((sent, f"{what} of a good group answered {code}"))
