"""Requests of the classic group protocol as bytes, and what their answers say.

The last version of each that is not flexible: clients of all ages send them, and they are short to write.
"""

import struct

LATEST_GENERATION = -1

OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = (8, 7), (9, 5), (10, 1)
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP, LIST_GROUPS = (11, 5), (12, 3), (13, 3), (14, 3), (16, 2)

NOT_READY = {14, 15, 16}
REBALANCE_IN_PROGRESS = 27
MEMBER_ID_REQUIRED = 79


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def nullable(value):
    return struct.pack(">h", -1) if value is None else text(value)


def data(value):
    return struct.pack(">i", len(value)) + value


def several(parts):
    parts = list(parts)
    return struct.pack(">i", len(parts)) + b"".join(parts)


def frame(api, correlation_id, body, client=b"groups"):
    """A whole request with its length and a header of version 1."""
    key, version = api
    head = struct.pack(">hhih", key, version, correlation_id, len(client)) + client
    return struct.pack(">i", len(head) + len(body)) + head + body


def find_coordinator(group):
    return text(group) + b"\0"


def join(group, member, metadata, session_ms=45_000, rebalance_ms=60_000, protocol="range", instance=None):
    protocols = several([text(protocol) + data(metadata)])
    return (
        text(group) + struct.pack(">ii", session_ms, rebalance_ms) + text(member) + nullable(instance)
        + text("consumer") + protocols
    )


def sync(group, generation, member, assignments=(), instance=None):
    given = several(text(to) + data(assignment) for to, assignment in assignments)
    return text(group) + struct.pack(">i", generation) + text(member) + nullable(instance) + given


def heartbeat(group, generation, member, instance=None):
    return text(group) + struct.pack(">i", generation) + text(member) + nullable(instance)


def leave(group, member):
    return text(group) + several([text(member) + nullable(None)])


def commit(group, topic, offsets, generation=-1, member=""):
    """`offsets` by partition; without a generation as one that is no member."""
    entries = several(struct.pack(">iqi", index, offset, -1) + nullable("") for index, offset in offsets.items())
    return text(group) + struct.pack(">i", generation) + text(member) + nullable(None) + several([text(topic) + entries])


def fetch(group, topic, partitions):
    entries = several(struct.pack(">i", index) for index in partitions)
    return text(group) + several([text(topic) + entries])


class Answer:
    """Reads the body of an answer from its start to its end."""

    def __init__(self, body, at=0):
        self.body = body
        self.at = at

    def take(self, form):
        values = struct.unpack_from(">" + form, self.body, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def text(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.body[self.at - length : self.at].decode()

    def data(self):
        length = self.take("i")
        self.at += max(length, 0)
        return self.body[self.at - max(length, 0) : self.at]

    def several(self, read):
        return [read() for _ in range(self.take("i"))]


class Joined:
    """The answer to JoinGroup."""

    def __init__(self, body):
        answer = Answer(body)
        _, self.error, self.generation = answer.take("ihi")
        self.protocol = answer.text()
        self.leader = answer.text()
        self.member = answer.text()
        self.members = answer.several(lambda: (answer.text(), answer.text(), answer.data())[0])


def synced(body):
    """(error code, assignment) of SyncGroup."""
    answer = Answer(body)
    _, error = answer.take("ih")
    return error, answer.data()


def error_of(body):
    """The error code of Heartbeat, LeaveGroup and FindCoordinator."""
    return struct.unpack_from(">h", body, 4)[0]


def commit_errors(body):
    """{partition: error code} of an OffsetCommit of one topic."""
    answer = Answer(body, 4)
    [(_, entries)] = answer.several(lambda: (answer.text(), answer.several(lambda: answer.take("ih"))))
    return dict(entries)


def fetched(body):
    """({partition: offset}, error code) of an OffsetFetch of one topic; -1 where nothing is committed."""
    answer = Answer(body, 4)

    def partition():
        index, offset, _ = answer.take("iqi")
        answer.text()
        return index, offset, answer.take("h")

    topics = answer.several(lambda: (answer.text(), answer.several(partition)))
    error = answer.take("h")
    entries = [entry for _, found in topics for entry in found]
    worst = next((code for _, _, code in entries if code), error)
    return {index: offset for index, offset, _ in entries}, worst


def listed(body):
    """Group names of ListGroups."""
    answer = Answer(body)
    _, error = answer.take("ih")
    if error:
        raise ConnectionError(f"ListGroups answered error {error}")
    return [name for name, _ in answer.several(lambda: (answer.text(), answer.text()))]
