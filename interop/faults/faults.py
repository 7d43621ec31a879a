"""The faults, one function a row: lay it under load, watch victim and neighbours, cure it, check every record."""

import contextlib
import dataclasses
import time

from confluent_kafka.admin import AdminClient, NewTopic

from load import Load, probe_write, read_all, read_some
from node import Node, flip

TOPIC = "stage"
PARTITIONS = range(8)
VICTIM = 3
WARM_S = 1.5
BEFORE_S = 3.0
HEAL_S = 30
SEGMENT_BYTES = 1 << 20


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


def warm(load):
    """Lets the load run evenly; the span before the fault is what the one during it is held against."""
    time.sleep(WARM_S)
    since = time.monotonic()
    time.sleep(BEFORE_S)
    return since


def first_refusal(node, partition, deadline_s):
    """Seconds until a record without retries is refused, and with what."""
    began = time.monotonic()
    while time.monotonic() < began + deadline_s:
        answer = probe_write(node.bootstrap, TOPIC, partition)
        if answer is not None:
            return time.monotonic() - began, answer
        time.sleep(0.1)
    return None, None


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


def restarts_elsewhere(node, row, victims, since_seq):
    """No actor but the victims may have crashed or restarted meanwhile."""
    for event in node.story():
        actor = event.get("actor", "")
        if event.get("seq", 0) > since_seq and actor.startswith("/replicas/") and actor not in victims:
            row.broken.append(f"{actor} reported {event.get('kind')}: {event.get('cause')}")


def directory(binary, hold_s=8, settings=(), name="directory immutable", load_settings=None):
    """One partition's directory takes no new file: its next roll fails, and nothing else does."""
    row = Row(name if binary else f"{name} (Kafka 4.3)")
    neighbours = [p for p in PARTITIONS if p != VICTIM]
    with Node(binary, settings) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS, **(load_settings or {})) as load:
            since = warm(load)
            row.before = load.seen(neighbours, since, time.monotonic())
            seq = last_seq(node)
            with node.immutable(node.partition_directory(TOPIC, VICTIM)) as cure:
                laid = time.monotonic()
                if binary is None:
                    return kafka_dies(node, row, load, neighbours, laid)
                after, answer = first_refusal(node, VICTIM, hold_s)
                got, error = read_some(node.bootstrap, TOPIC, VICTIM)
                time.sleep(max(0, laid + hold_s - time.monotonic()))
                written_s = load.last_ack(VICTIM) - laid
                leader = leader_of(node, VICTIM)
                cured = time.monotonic()
                row.during = load.seen(neighbours, laid, cured)
                cure()
            healed = load.first_ack_after(cured, VICTIM, HEAL_S)
            row.victim = f"wrote {written_s:.1f} s on, then {answer}"
            row.reads = f"served ({got})" if got and not error else f"{error or 'nothing'}"
            row.recovery = f"{healed:.2f} s" if healed else f"not within {HEAL_S} s"
            row.expect(answer in ("KAFKA_STORAGE_ERROR", "LEADER_NOT_AVAILABLE"), f"the victim answered {answer}")
            row.expect(got and not error, f"the victim's reads: {error}")
            row.expect(healed, "the victim did not heal")
            row.notes.append(f"leader in the metadata after {hold_s} s: {leader}")
            row.notes.append(f"first refusal seen after {after or 0:.1f} s; longest wait for the buffer {row.during['stall_ms']:.0f} ms")
            if settings:
                row.expect(leader == -1, f"leader {leader} was offered for a partition that refuses writes")
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
    return directory(binary, 12, ["kabuki.degraded.leader.ms=3000"], "immutable, leader -1 after 3 s")


def disk(binary, name, lay, hold_s, producers=2):
    """A fault of one log directory; neighbours are the partitions of the other."""
    row = Row(name)
    with Node(binary, directories=2, loop_mib=512) as node:
        create_topic(node)
        broken = node.directories[-1]
        victims = [p for p in PARTITIONS if node.partition_directory(TOPIC, p).parent == broken]
        neighbours = [p for p in PARTITIONS if p not in victims]
        row.expect(victims and neighbours, f"all partitions lie in one directory: {victims}")
        # A producer for each directory: answers of one connection come in order, so requests to a
        # disk that hangs would hold up what is behind them, whatever the broker does.
        groups = [victims, neighbours] if producers == 2 else [[*victims, *neighbours]]
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(Load(node.bootstrap, TOPIC, group)) for group in groups]
            hurt, load = loads[0], loads[-1]
            since = warm(load)
            row.before = load.seen(neighbours, since, time.monotonic())
            seq = last_seq(node)
            laid = time.monotonic()
            with lay(node, broken) as cure:
                after, answer = first_refusal(node, victims[0], hold_s)
                got, error = read_some(node.bootstrap, TOPIC, victims[0])
                time.sleep(max(0, laid + hold_s - time.monotonic()))
                cured = time.monotonic()
                row.during = load.seen(neighbours, laid, cured)
                cure()
            healed = [hurt.first_ack_after(cured, victim, HEAL_S) for victim in victims]
            row.victim = f"{len(victims)} partitions: {answer} after {after or 0:.1f} s"
            row.reads = f"served ({got})" if got and not error else f"{error or 'nothing'}"
            row.recovery = f"{max(healed):.2f} s" if all(healed) else f"not within {HEAL_S} s"
            row.expect(all(healed), f"not all victims healed: {healed}")
            story_of(node, row, f"/replicas/{TOPIC}-{victims[0]}", seq)
            story_of(node, row, "/replicas/dirs/1", seq)
            if producers == 2:
                neighbours_unhurt(row)
            for each in loads:
                finish(node, row, each)
    return row


def disk_full(binary):
    return disk(binary, "disk full", Node.filled, 6)


def frozen(binary):
    return disk(binary, "file system frozen", Node.frozen, 8)


def frozen_one_producer(binary):
    """The same with one producer for both directories: shows what the order of answers on a connection costs."""
    return disk(binary, "frozen, one producer", Node.frozen, 8, producers=1)


def panic(binary):
    """The actor of one partition panics under load, four times."""
    row = Row("actor panic x 4")
    neighbours = [p for p in PARTITIONS if p != VICTIM]
    with Node(binary) as node:
        create_topic(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            since = warm(load)
            row.before = load.seen(neighbours, since, time.monotonic())
            seq, laid, waits = last_seq(node), time.monotonic(), []
            for _ in range(4):
                node.crash(f"/replicas/{TOPIC}-{VICTIM}")
                crashed = time.monotonic()
                waits.append(load.first_ack_after(crashed, VICTIM, HEAL_S))
                time.sleep(0.7)
            until = time.monotonic()
            row.during = load.seen(neighbours, laid, until)
            victim = load.seen([VICTIM], laid, until)
            got, error = read_some(node.bootstrap, TOPIC, VICTIM)
            row.victim = f"longest gap {victim['gap_ms']:.0f} ms, {len(victim['errors'])} errors"
            row.reads = f"served ({got})" if got and not error else f"{error or 'nothing'}"
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
            since = warm(load)
            row.before = load.seen(neighbours, since, time.monotonic())
            seq, laid = last_seq(node), time.monotonic()
            segments = sorted(node.partition_directory(TOPIC, VICTIM).glob("*.log"))
            bad, good = segments[1], segments[2]
            flip(bad, 0)
            got_bad, error_bad = read_some(node.bootstrap, TOPIC, VICTIM, int(bad.stem), deadline_s=3)
            got, error = read_some(node.bootstrap, TOPIC, VICTIM, int(good.stem))
            answer = probe_write(node.bootstrap, TOPIC, VICTIM)
            time.sleep(2)
            row.during = load.seen(neighbours, laid, time.monotonic())
            victim = load.seen([VICTIM], laid, time.monotonic())
            row.victim = f"writes {answer or 'taken'}, gap {victim['gap_ms']:.0f} ms"
            row.reads = f"at it {error_bad or got_bad}; past it {error or f'served ({got})'}"
            row.recovery = "-"
            row.expect(node.is_alive(), "the node died")
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
            time.sleep(WARM_S + BEFORE_S)
        sent = dict(load.sent)
        node.kill()
        newest = sorted(node.partition_directory(TOPIC, VICTIM).glob("*.log"))[-1]
        size = newest.stat().st_size
        flip(newest, max(0, size - 2000))
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
            since = warm(load)
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


FAULTS = {
    "directory": directory,
    "degraded": degraded_for_long,
    "full": disk_full,
    "frozen": frozen,
    "frozen-shared": frozen_one_producer,
    "sealed": sealed_segment,
    "tail": corrupt_tail,
    "panic": panic,
    "kill": killed,
}
