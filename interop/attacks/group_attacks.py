"""Attacks by groups: too many members, storms of rebalances, too much metadata, expressions that cost.

A hostile group is told what Kafka would tell it; a code that is not expected fails the attack. See `attacks.py`.
"""

import pathlib
import selectors
import socket
import struct
import sys
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import group_requests as group  # noqa: E402

MEMBERS = 10_000
LAST_ANSWER_S = 60
MANY_PARTITIONS, MANY_TOPICS = "many", "crowd"
PARTITIONS, TOPICS = 2_000, 2_000
CONSUMER_HEARTBEAT = 68
# A coordinator that comes on stage, a rebalance, a generation or epoch that has passed, a member that was taken out.
NOT_NOW, REBALANCES, STALE, GONE = {14, 15, 16}, {27}, {22, 110, 113}, {25}
OFFSET_METADATA_TOO_LARGE, INVALID_REQUEST, MEMBER_ID_REQUIRED, GROUP_FULL, FENCED, INVALID_REGEX = 12, 42, 79, 81, 82, 128


def prepare(ask, name):
    """Topics for the attacks that need many."""
    if name in ("consumer_crowd", "wide_members", "regexes"):
        ask(requests.create_topics([(MANY_PARTITIONS, PARTITIONS)]))
        for first in range(0, TOPICS, 500):
            ask(requests.create_topics([(f"{MANY_TOPICS}-{number}", 1) for number in range(first, first + 500)]))


class Link:
    """A connection with one request after the other under way; each answer goes to who asked."""

    def __init__(self, crowd):
        self.crowd = crowd
        self.socket = socket.socket()
        self.socket.settimeout(10)
        self.socket.connect(crowd.attack.address)
        self.socket.setblocking(False)
        self.pending = bytearray()
        self.received = bytearray()
        self.waiting = []

    def ask(self, frame, then):
        self.waiting.append(then)
        self.pending += frame
        self.flush()

    def flush(self):
        try:
            while self.pending:
                sent = self.socket.send(memoryview(self.pending)[: 1 << 20])
                del self.pending[:sent]
        except BlockingIOError:
            pass
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.pending else 0)
        self.crowd.watch(self, events)

    def read(self):
        try:
            while data := self.socket.recv(1 << 18):
                self.received += data
            raise ConnectionError("closed")
        except BlockingIOError:
            pass
        while len(self.received) >= 4:
            (length,) = struct.unpack_from(">i", self.received)
            if len(self.received) < 4 + length:
                return
            body = bytes(memoryview(self.received)[8 : 4 + length])
            del self.received[: 4 + length]
            self.waiting.pop(0)(body)


class Crowd:
    """Links under way, and the codes that they were answered with."""

    def __init__(self, attack, allowed):
        self.attack = attack
        self.allowed = {0, *NOT_NOW, *allowed}
        self.selector = selectors.DefaultSelector()
        self.watched = {}

    def links(self, full):
        made = [Link(self) for _ in range(max(1, int(full * self.attack.scale)))]
        self.attack.count("connections", len(made))
        self.attack.starts_now()
        return made

    def watch(self, link, events):
        if self.watched.get(link) != events:
            change = self.selector.modify if link in self.watched else self.selector.register
            change(link.socket, events, link)
            self.watched[link] = events

    def turn(self):
        for key, events in self.selector.select(0.1):
            try:
                if events & selectors.EVENT_WRITE:
                    key.data.flush()
                if events & selectors.EVENT_READ:
                    key.data.read()
            except (ConnectionError, TimeoutError):
                self.attack.count("cut off")
                self.selector.unregister(key.data.socket)

    def run(self):
        while self.attack.goes_on():
            self.turn()

    def ask_last(self, frame):
        """One request on a connection of its own after the time is over; its answer."""
        answers = []
        Link(self).ask(frame, answers.append)
        deadline = time.monotonic() + LAST_ANSWER_S
        while not answers:
            self.turn()
            if time.monotonic() > deadline:
                raise TimeoutError("the last request was not answered")
        return answers[0]

    def noted(self, code):
        self.attack.count(f"answers {code}")
        if code not in self.allowed:
            raise AssertionError(f"unexpected code {code}")
        return code


def frame(api, body):
    return group.frame(api, 7, body)


class ClassicMember:
    """A member that joins, syncs and joins again with other metadata, as fast as the others let it."""

    def __init__(self, crowd, link, name, assignment, instance=None):
        # `assignment` is what each member gets when this one leads.
        self.crowd, self.link, self.name, self.assignment = crowd, link, name, assignment
        self.instance = instance
        self.metadata = None
        self.member = ""
        self.generation = 0
        self.joins = 0

    def join(self):
        self.joins += 1
        changing = struct.pack(">hi", 0, 1) + group.text("wide") + group.data(struct.pack(">i", self.joins))
        body = group.join(self.name, self.member, self.metadata or changing, 30_000, 30_000, instance=self.instance)
        self.link.ask(frame(group.JOIN_GROUP, body), self.joined)

    def joined(self, body):
        (code,) = struct.unpack_from(">h", body, 4)
        self.crowd.noted(code)
        if code in (0, MEMBER_ID_REQUIRED):
            answer = group.Joined(body)
            self.member, self.generation = answer.member, answer.generation
        elif code in GONE:
            self.member = ""
        if code:
            return self.join()
        shares = []
        if answer.leader == answer.member:
            self.crowd.attack.count("rebalances")
            shares = [(member, self.assignment) for member in answer.members]
        body = group.sync(self.name, self.generation, self.member, shares, self.instance)
        self.link.ask(frame(group.SYNC_GROUP, body), self.synced)

    def synced(self, body):
        (code,) = struct.unpack_from(">h", body, 4)
        if self.crowd.noted(code) in GONE:
            self.member = ""
        self.join()


def classic_crowd(attack):
    """Ten thousand members that rebalance without end; at last one request takes all of them out."""
    crowd = Crowd(attack, {*REBALANCES, *STALE, *GONE, MEMBER_ID_REQUIRED, GROUP_FULL})
    members = [ClassicMember(crowd, link, "hostile", bytes(100)) for link in crowd.links(MEMBERS)]
    for member in members:
        member.join()
    crowd.run()
    named = group.several(group.text(member.member) + group.nullable(None) for member in members)
    crowd.noted(group.error_of(crowd.ask_last(frame(group.LEAVE_GROUP, group.text("hostile") + named))))


def static_crowd(attack):
    """Static members that come back again and again under new ids: each time the group's record changes."""
    crowd = Crowd(attack, {*REBALANCES, *STALE, *GONE, FENCED})
    links = crowd.links(1_000)
    members = [ClassicMember(crowd, link, "hostile", bytes(5_000), f"i-{at}") for at, link in enumerate(links)]

    def synced(member, body):
        # Once the group is stable they only come back, each as somebody new.
        again = member.join if crowd.noted(struct.unpack_from(">h", body, 4)[0]) else lambda: come_back(member)
        again()

    def come_back(member):
        body = group.join(member.name, "", b"same", 30_000, 30_000, instance=member.instance)
        member.link.ask(frame(group.JOIN_GROUP, body), lambda body: returned(member, body))

    def returned(member, body):
        crowd.noted(struct.unpack_from(">h", body, 4)[0])
        come_back(member)

    for member in members:
        member.synced = lambda body, member=member: synced(member, body)
        member.metadata = b"same"
        member.join()
    crowd.run()


def short(value):
    """A text as flexible versions write it, None as null."""
    if value is None:
        return b"\0"
    data = value.encode()
    return length(len(data)) + data


def length(count):
    count += 1
    out = bytearray()
    while count > 0x7F:
        out.append(count & 0x7F | 0x80)
        count >>= 7
    out.append(count)
    return bytes(out)


def consumer_heartbeat(name, member, epoch, names=None, regex=None, assignor=None, timeout_ms=-1):
    """ConsumerGroupHeartbeat v1."""
    listed = b"\0" if names is None else length(len(names)) + b"".join(short(topic) for topic in names)
    owned = length(0) if epoch == 0 else b"\0"
    body = short(name) + short(member) + struct.pack(">i", epoch) + b"\0\0" + struct.pack(">i", timeout_ms)
    body += listed + short(regex) + short(assignor) + owned + b"\0"
    client = b"attacker"
    head = struct.pack(">hhih", CONSUMER_HEARTBEAT, 1, 7, len(client)) + client + b"\0"
    return requests.framed(head + body)


class ConsumerMember:
    """A member of the new protocol whose every heartbeat says something else; `change` gives what."""

    def __init__(self, crowd, link, name, member, change):
        self.crowd, self.link, self.name, self.member, self.change = crowd, link, name, member, change
        self.epoch = 0
        self.beats = 0

    def beat(self):
        self.beats += 1
        said = self.change(self)
        timeout_ms = 30_000 if self.epoch == 0 else -1
        frame = consumer_heartbeat(self.name, self.member, self.epoch, timeout_ms=timeout_ms, **said)
        self.link.ask(frame, self.answered)

    def answered(self, body):
        # Behind the correlation id: no tags, throttle time, code, message, member id, epoch.
        (code,) = struct.unpack_from(">h", body, 5)
        self.crowd.noted(code)
        if code == 0:
            at = 7
            at += 1 + max(0, body[at] - 1)
            at += 1 + max(0, body[at] - 1)
            (self.epoch,) = struct.unpack_from(">i", body, at)
        elif code in STALE | GONE:
            self.epoch = 0
        self.beat()


def consumer_members(attack, crowd, full, change):
    """Members that share a hundred connections, each of them in the same place of its queue again."""
    links = crowd.links(100)
    count = max(1, int(full * attack.scale))
    attack.count("members", count)
    members = [ConsumerMember(crowd, links[at % len(links)], "hostile", f"member-{at}", change) for at in range(count)]
    for member in members:
        member.beat()
    return members


def consumer_crowd(attack):
    """Ten thousand members of the new protocol that change their topics with every heartbeat."""
    crowd = Crowd(attack, {*STALE, *GONE, GROUP_FULL})

    def change(member):
        some = [f"{MANY_TOPICS}-{attack.random.randrange(TOPICS)}" for _ in range(20)]
        return {"names": [MANY_PARTITIONS, *some], "assignor": attack.random.choice(["uniform", "range"])}

    consumer_members(attack, crowd, MEMBERS, change)
    crowd.run()


def wide_members(attack):
    """Five hundred members of the new protocol that stay and own little, but read very many topics."""
    crowd = Crowd(attack, {*STALE, *GONE, GROUP_FULL})
    names = [f"{MANY_TOPICS}-{number}" for number in range(TOPICS)]

    def change(member):
        # Said once; then small heartbeats, of which one in a thousand changes a little.
        says = member.epoch == 0 or member.beats % 1000 == 0
        return {"names": names[: -1 - member.beats % 2] if says else None}

    consumer_members(attack, crowd, 500, change)
    crowd.run()


EXPRESSIONS = [
    "(" * 90 + "a" + ")" * 90,
    r"(\w{1,30}){1,30}",
    r"(?i)(\pL|\pN|\pS){1,20}",
    r"(.*.*.*.*.*.*.*.*x){1,9}",
    "|".join(f"(.*{letter}.*){{1,9}}" for letter in "abcdefghijklmnop"),
    r"\w" * 4_000,
    r"(?i)[\x{0}-\x{10ffff}]" * 400,
    "((((a{1,100}){1,100}){1,100}){1,100}){1,100}",
    "[" * 8_000,
    "(a|" * 4_000,
]


def regexes(attack):
    """Members that bring another expression with every heartbeat, some costly, among thousands of topics."""
    crowd = Crowd(attack, {*STALE, *GONE, GROUP_FULL, INVALID_REGEX})

    def change(member):
        choice = attack.random.random()
        if choice < 0.3:
            return {"regex": attack.random.choice(EXPRESSIONS)}
        if choice < 0.6:
            return {"regex": f"{attack.random.choice(EXPRESSIONS[:5])}|{attack.random.random()}"}
        return {"regex": f"{MANY_TOPICS}.*|{attack.random.random()}"}

    consumer_members(attack, crowd, 1_000, change)
    crowd.run()


def oversized_groups(attack):
    """Metadata and assignments of the largest sizes that a request may have, and texts beside commits."""
    refusals = {OFFSET_METADATA_TOO_LARGE, INVALID_REQUEST, MEMBER_ID_REQUIRED, GROUP_FULL}
    crowd = Crowd(attack, {*REBALANCES, *STALE, *GONE, *refusals})
    sizes = [900_000, 8 << 20, 90 << 20]

    class Large(ClassicMember):
        def join(self):
            self.joins += 1
            size = sizes[0] if self.joins % 4 else attack.random.choice(sizes)
            body = group.join(self.name, self.member, bytes(size), 30_000, 30_000, instance=self.instance)
            self.link.ask(frame(group.JOIN_GROUP, body), self.joined)

    class Committer:
        def __init__(self, link):
            self.link = link

        def commit(self):
            size = attack.random.choice([4_096, 4_097, 32_000])
            entries = group.several(struct.pack(">iqi", at, 1, -1) + group.text("m" * size) for at in range(200))
            body = group.text("texts") + struct.pack(">i", -1) + group.text("") + group.nullable(None)
            body += group.several([group.text("wide") + entries])
            self.link.ask(frame(group.OFFSET_COMMIT, body), self.committed)

        def committed(self, body):
            for code in set(group.commit_errors(body).values()):
                crowd.noted(code)
            self.commit()

    links = crowd.links(60)
    for at, link in enumerate(links):
        if at % 3 == 0:
            Committer(link).commit()
        else:
            Large(crowd, link, f"hostile-{at % 2}", bytes(900_000)).join()
    crowd.run()


GROUP_ATTACKS = [
    (classic_crowd, "a group of 10,000, rebalancing"),
    (static_crowd, "1,000 static members returning"),
    (consumer_crowd, "10,000 consumers changing topics"),
    (wide_members, "500 consumers of 2,000 topics"),
    (regexes, "expressions that cost"),
    (oversized_groups, "metadata of all sizes"),
]
