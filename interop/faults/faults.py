"""The faults, one function a row: lay it under load, watch victim and neighbours, cure it, check every record."""

import dataclasses
import time

from confluent_kafka.admin import AdminClient, NewTopic

from load import Load, Prober, read_all, read_some
from node import Node, flip

TOPIC = "stage"
PARTITIONS = range(8)
VICTIM = 3
WARM_S = 2.0
# The spans before and under a fault: long enough for thousands of samples behind a p99.
SPAN_S = 15.0
KILL_SPAN_S = 3.0
HEAL_S = 30
SEGMENT_BYTES = 1 << 20
# How much the p99 of the neighbours may grow, and a difference below which it is the clock's.
P99_RATIO_MAX = 1.2
P99_NOISE_MS = 0.3


@dataclasses.dataclass
class Row:
    """What one fault did; `broken` lists the promises that it showed to be untrue."""

    fault: str
    victim: str = ""
    reads: str = ""
    before: dict | None = None
    during: dict | None = None
    recovery: str = ""
    notes: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)

    def expect(self, claim, text):
        if not claim:
            self.broken.append(text)


def create_topic(node):
    topic = NewTopic(TOPIC, len(PARTITIONS), 1, config={"segment.bytes": str(SEGMENT_BYTES)})
    # Held by name: an admin client that is dropped abandons what it was asked.
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    admin.create_topics([topic])[TOPIC].result(20)


def leader_of(node, partition):
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    return admin.list_topics(TOPIC, 5).topics[TOPIC].partitions[partition].leader


@dataclasses.dataclass
class Span:
    """A stretch of the load, and what a reader of the victim got in its middle."""

    since: float
    until: float
    got: int = 0
    error: str | None = None

    @property
    def reads(self):
        return f"served ({self.got})" if self.got and not self.error else f"{self.error or 'nothing'}"


def span(node, prober, victim, seconds, since=None):
    """One stretch of load, probes and reads, the same before a fault and under it."""
    since = since or time.monotonic()
    prober.run(since + seconds / 2)
    got, error = read_some(node.bootstrap, TOPIC, victim, deadline_s=3)
    prober.run(since + seconds)
    return Span(since, time.monotonic(), got, error)


def compare(row, load, neighbours, before, during):
    """The neighbours under the fault against the neighbours before it."""
    row.before = load.seen(neighbours, before.since, before.until)
    row.during = load.seen(neighbours, during.since, during.until)


def story_of(node, row, actor, since_seq):
    """The kinds of event since the fault, in order, without repetitions in a row."""
    if not node.is_alive():
        return
    kinds = []
    for event in node.story(actor):
        cause = str(event.get("cause") or "").replace(str(node.broker.home), "")
        kind = f"{event.get('kind')} ({cause})" if cause else str(event.get("kind"))
        if event.get("seq", 0) > since_seq and (not kinds or kinds[-1] != kind):
            kinds.append(kind)
    row.notes.append(f"supervision log of {actor}: {' > '.join(kinds) or 'nothing'}")


def last_seq(node):
    return max((event.get("seq", 0) for event in node.story()), default=0)


def finish(node, row, load, lost_ok=()):
    load.stop()
    if load.errors:
        names = sorted({name for _, _, name in load.errors})
        row.broken.append(f"{len(load.errors)} records failed: {', '.join(names)}")
    wrong = read_all(node.bootstrap, TOPIC, {p: n for p, n in load.sent.items() if p not in lost_ok})
    row.broken.extend(wrong)
    if not wrong:
        row.notes.append(f"{sum(load.sent.values())} records, each there once and in order")


def neighbours_unhurt(row):
    row.expect(not row.during["errors"], f"neighbours saw {row.during['errors'][:3]}")
    row.expect(row.during["stall_ms"] < 100, f"the producer's buffer was full for {row.during['stall_ms']:.0f} ms")
    row.expect(row.during["gap_ms"] < 1000, f"neighbours waited {row.during['gap_ms']:.0f} ms for an acknowledgement")
    before, during = row.before["p99_ms"], row.during["p99_ms"]
    allowed = max(before * P99_RATIO_MAX, before + P99_NOISE_MS)
    row.expect(during <= allowed, f"the neighbours' p99 went from {before:.2f} to {during:.2f} ms")


def restarts_elsewhere(node, row, victims, since_seq):
    """No actor but the victims may have crashed or restarted meanwhile."""
    for event in node.story():
        actor = event.get("actor", "")
        if event.get("seq", 0) > since_seq and actor.startswith("/replicas/") and actor not in victims:
            row.broken.append(f"{actor} reported {event.get('kind')}: {event.get('cause')}")


def directory(binary, hold_s=SPAN_S, settings=(), name="directory immutable", is_offered=True):
    """One partition's directory takes no new file: its next roll fails, and nothing else does."""
    row = Row(name if binary else f"{name} (Kafka 4.3)")
    neighbours = [p for p in PARTITIONS if p != VICTIM]
    with Node(binary, settings) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            prober = Prober(node.bootstrap, TOPIC, VICTIM)
            time.sleep(WARM_S)
            before = span(node, prober, VICTIM, hold_s)
            seq = last_seq(node)
            with node.immutable(node.partition_directory(TOPIC, VICTIM)) as cure:
                laid = time.monotonic()
                if binary is None:
                    row.before = load.seen(neighbours, before.since, before.until)
                    return kafka_dies(node, row, load, neighbours, laid)
                during = span(node, prober, VICTIM, hold_s, laid)
                written_s = load.last_ack(VICTIM) - laid
                leader = leader_of(node, VICTIM)
                cured = time.monotonic()
                cure()
            healed = load.first_ack_after(cured, VICTIM, HEAL_S)
            compare(row, load, neighbours, before, during)
            after, answers = prober.refused_after(laid)
            row.victim = f"wrote {written_s:.1f} s on, then {', '.join(answers) or 'nothing was refused'}"
            row.reads = during.reads
            row.recovery = f"{healed:.2f} s" if healed else f"not within {HEAL_S} s"
            refused = set(answers) <= {"KAFKA_STORAGE_ERROR", "LEADER_NOT_AVAILABLE", "MSG_TIMED_OUT"}
            row.expect(answers and refused, f"the victim answered {answers}")
            # A reader that begins while no leader is offered has nobody to ask.
            served = during.got and not during.error
            row.expect(served or not is_offered, f"the victim's reads: {during.error}")
            row.expect(healed, "the victim did not heal")
            row.notes.append(f"leader in the metadata after {hold_s:.0f} s: {leader}")
            row.notes.append(f"first refusal seen after {after or 0:.1f} s; longest wait for the buffer {row.during['stall_ms']:.0f} ms")
            if not is_offered:
                row.expect(leader == -1, f"leader {leader} was offered for a partition that refuses writes")
                row.victim += f"; leader {leader} offered"
            story_of(node, row, f"/replicas/{TOPIC}-{VICTIM}", seq)
            restarts_elsewhere(node, row, [f"/replicas/{TOPIC}-{VICTIM}"], seq)
            neighbours_unhurt(row)
            finish(node, row, load)
    return row


def kafka_dies(node, row, load, neighbours, laid):
    end = time.monotonic() + 30
    while node.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    died = time.monotonic() - laid
    time.sleep(2)
    row.during = load.seen(neighbours, laid, time.monotonic())
    alive = node.is_alive()
    row.victim = "still there" if alive else f"whole broker ended after {died:.1f} s, code {node.broker.process.returncode}"
    row.reads = "served" if alive else "none"
    row.recovery = "-" if alive else "never: the process is gone"
    load.stopping.set()
    load.producer.purge()
    return row


def degraded_for_long(binary):
    """Refusing outlasts `kabuki.degraded.leader.ms`: leader -1 is offered, so that clients choose another partition."""
    settings = ["kabuki.degraded.leader.ms=3000"]
    return directory(binary, 12, settings, "immutable, leader -1 after 3 s", is_offered=False)


def degraded_by_default(binary):
    """The same with the time that a node has by itself, 30 s."""
    return directory(binary, 40, (), "immutable, leader -1 by default", is_offered=False)


def panic(binary):
    """The actor of one partition panics under load, four times."""
    row = Row("actor panic x 4")
    neighbours = [p for p in PARTITIONS if p != VICTIM]
    with Node(binary) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            prober = Prober(node.bootstrap, TOPIC, VICTIM)
            time.sleep(WARM_S)
            before = span(node, prober, VICTIM, SPAN_S)
            seq, laid, waits = last_seq(node), time.monotonic(), []
            for _ in range(4):
                node.crash(f"/replicas/{TOPIC}-{VICTIM}")
                waits.append(load.first_ack_after(time.monotonic(), VICTIM, HEAL_S))
                prober.run(time.monotonic() + 0.7)
            during = span(node, prober, VICTIM, SPAN_S, laid)
            compare(row, load, neighbours, before, during)
            victim = load.seen([VICTIM], during.since, during.until)
            row.victim = f"longest gap {victim['gap_ms']:.0f} ms, {len(victim['errors'])} errors"
            row.reads = during.reads
            row.recovery = f"{victim['gap_ms'] / 1000:.2f} s"
            row.expect(all(waits), f"not back after a panic: {waits}")
            story_of(node, row, f"/replicas/{TOPIC}-{VICTIM}", seq)
            restarts_elsewhere(node, row, [f"/replicas/{TOPIC}-{VICTIM}"], seq)
            neighbours_unhurt(row)
            finish(node, row, load)
    return row


def sealed_segment(binary):
    """Bytes of a sealed segment change on disk while the node runs."""
    row = Row("sealed segment corrupt")
    neighbours = [p for p in PARTITIONS if p != VICTIM]
    with Node(binary) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            prober = Prober(node.bootstrap, TOPIC, VICTIM)
            time.sleep(WARM_S)
            before = span(node, prober, VICTIM, SPAN_S)
            seq, laid = last_seq(node), time.monotonic()
            segments = sorted(node.partition_directory(TOPIC, VICTIM).glob("*.log"))
            bad, good = segments[1], segments[2]
            flip(bad, 0)
            got_bad, error_bad = read_some(node.bootstrap, TOPIC, VICTIM, int(bad.stem), deadline_s=3)
            got, error = read_some(node.bootstrap, TOPIC, VICTIM, int(good.stem))
            during = span(node, prober, VICTIM, SPAN_S, laid)
            compare(row, load, neighbours, before, during)
            _, answers = prober.refused_after(laid)
            victim = load.seen([VICTIM], during.since, during.until)
            row.victim = f"writes {', '.join(answers) or 'taken'}, gap {victim['gap_ms']:.0f} ms"
            row.reads = f"at it {error_bad or got_bad}; past it {error or f'served ({got})'}"
            row.recovery = "-"
            row.expect(node.is_alive(), "the node died")
            row.expect(not answers, f"writes were refused with {answers}")
            row.expect(got and not error, f"reads past the bad segment: {error or 'nothing'}")
            row.expect(not got_bad, "a corrupt batch was read as a good one")
            row.expect(error_bad, "a reader of the corrupt batch was told nothing")
            row.expect(
                any(bad.name in str(event.get("cause")) for event in node.story(f"/replicas/{TOPIC}-{VICTIM}")),
                "the supervision log does not name the corrupt segment",
            )
            before_bad, _ = read_some(node.bootstrap, TOPIC, VICTIM, int(bad.stem) - 20, 20)
            row.expect(before_bad >= 20, f"only {before_bad} of 20 records before the corrupt segment were read")
            story_of(node, row, f"/replicas/{TOPIC}-{VICTIM}", seq)
            restarts_elsewhere(node, row, [f"/replicas/{TOPIC}-{VICTIM}"], seq)
            neighbours_unhurt(row)
            finish(node, row, load, lost_ok=[VICTIM])
    return row


def corrupt_tail(binary):
    """kill -9, then bytes of the newest segment change; the start after it cuts there."""
    row = Row("tail corrupt, restart")
    with Node(binary) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            time.sleep(WARM_S + KILL_SPAN_S)
        sent = dict(load.sent)
        node.kill()
        newest = sorted(node.partition_directory(TOPIC, VICTIM).glob("*.log"))[-1]
        size = newest.stat().st_size
        # Within the last batch: valid ones behind it would be a reason not to cut.
        flip(newest, max(0, size - 10))
        began = time.monotonic()
        node.start()
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            # The number of a record tells the two loads apart from what the first one left.
            back = [load.first_ack_after(began, p, HEAL_S) for p in PARTITIONS]
            got, error = read_some(node.bootstrap, TOPIC, VICTIM)
            row.reads = f"served ({got})" if got and not error else f"{error or 'nothing'}"
        row.expect(all(back), f"not all partitions came back: {back}")
        row.victim = f"cut at the flipped batch, writes after {back[VICTIM] or 0:.2f} s"
        row.recovery = f"{max(filter(None, back), default=0):.2f} s from start"
        story_of(node, row, f"/replicas/{TOPIC}-{VICTIM}", 0)
        told = [str(event.get("cause")) for event in node.story(f"/replicas/{TOPIC}-{VICTIM}")]
        row.expect(any(cause.startswith("cut ") for cause in told), "the supervision log does not tell what was cut")
        row.expect(got and not error, f"the victim's reads: {error}")
        row.expect(not load.errors, f"errors after the restart: {load.errors[:3]}")
        row.notes.append(f"{sum(sent.values())} records before the restart")
    return row


def killed(binary):
    """kill -9 of the whole node and a start at once; the producer rides over it."""
    row = Row("kill -9, restart")
    with Node(binary) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            time.sleep(WARM_S)
            since = time.monotonic()
            time.sleep(KILL_SPAN_S)
            row.before = load.seen(PARTITIONS, since, time.monotonic())
            laid = time.monotonic()
            node.kill()
            began = time.monotonic()
            node.start()
            back = [load.first_ack_after(began, p, HEAL_S) for p in PARTITIONS]
            time.sleep(1)
            row.during = load.seen(PARTITIONS, laid, time.monotonic())
            row.victim = f"all 8; first answer {node.broker.first_answer_ms:.0f} ms after start"
            row.reads = "served"
            row.recovery = f"{max(filter(None, back), default=0):.2f} s from start"
            row.expect(all(back), f"not all partitions came back: {back}")
            finish(node, row, load)
    return row
