"""Faults of the disk under a data directory; the neighbours are the partitions of another directory."""

import json
import pathlib
import subprocess
import time

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from faults import (
    HEAL_S,
    PARTITIONS,
    SPAN_S,
    TOPIC,
    WARM_S,
    Row,
    compare,
    create_topic,
    finish,
    last_seq,
    neighbours_unhurt,
    restarts_elsewhere,
    span,
    story_of,
)
from load import Load, Prober, read_all, read_some
from node import Node
from places import LIBS
from volumes import Checksummed, Loop, Zram

JAVA_LOAD = pathlib.Path(__file__).resolve().parent / "JavaLoad.java"

# What a producer may see while a directory does not serve: all of them are tried again by every client.
RETRIABLE = {
    "KAFKA_STORAGE_ERROR",
    "REQUEST_TIMED_OUT",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_OR_FOLLOWER",
    "NOT_LEADER_FOR_PARTITION",
    "MSG_TIMED_OUT",
}


def sides(node):
    """The partitions of the directory that is broken, and those of the other."""
    broken = node.directories[-1]
    victims = [p for p in PARTITIONS if node.partition_directory(TOPIC, p).parent == broken]
    return victims, [p for p in PARTITIONS if p not in victims]


def disk(binary, name, volume, lay, hold_s, serves_reads, prepare=None):
    """A fault of one data directory under one producer over the partitions of both."""
    row = Row(name)
    with Node(binary, directories=2, volume=volume) as node:
        create_topic(node)
        victims, neighbours = sides(node)
        row.expect(victims and neighbours, f"all partitions lie in one directory: {victims}")
        if prepare:
            prepare(node)
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            prober = Prober(node.bootstrap, TOPIC, victims[0])
            time.sleep(WARM_S)
            before = span(node, prober, victims[0], hold_s)
            seq, laid = last_seq(node), time.monotonic()
            with lay(node, node.directories[-1]) as cure:
                during = span(node, prober, victims[0], hold_s, laid)
                cured = time.monotonic()
                cure()
            healed = [load.first_ack_after(cured, victim, HEAL_S) for victim in victims]
            compare(row, load, neighbours, before, during)
            after, answers = prober.refused_after(laid)
            longest = prober.longest_ms(during.since, during.until)
            row.victim = f"{len(victims)} partitions: {', '.join(answers) or 'nothing refused'} after {after or 0:.1f} s"
            row.reads = during.reads
            row.recovery = f"{max(healed):.2f} s" if all(healed) else f"not within {HEAL_S} s"
            row.expect(answers and set(answers) <= RETRIABLE, f"the victims answered {answers}")
            row.expect(all(healed), f"not all victims healed: {healed}")
            if serves_reads:
                row.expect(during.got and not during.error, f"the victim's reads: {during.reads}")
            row.notes.append(f"longest wait of a refused record {longest:.0f} ms; of the producer for its buffer {row.during['stall_ms']:.0f} ms")
            actors = [f"/replicas/{TOPIC}-{victim}" for victim in victims]
            story_of(node, row, actors[0], seq)
            story_of(node, row, "/replicas/dirs/1", seq)
            restarts_elsewhere(node, row, [*actors, "/replicas/dirs/1"], seq)
            told = [event for event in node.story() if event.get("seq", 0) > seq]
            row.notes.append(f"{len(told)} events in the supervision log of the node")
            row.expect(0 < len(told) <= 20 * len(victims), f"{len(told)} events in the supervision log")
            neighbours_unhurt(row)
            finish(node, row, load)
    return row


def full(binary):
    return disk(binary, "disk full", Loop(512), Node.filled, SPAN_S, serves_reads=True)


def frozen(binary):
    # The one request that meets the frozen disk holds up what is behind it until the hang is noticed,
    # 0.2 to 0.3 s: less than one percent of this span, or it shows in the p99.
    return disk(binary, "file system frozen", Loop(512), Node.frozen, 40, serves_reads=False)


def synced(node):
    """Each write is synced before it is acknowledged, so that what the medium says is heard at once."""
    entry = ConfigEntry("flush.messages", "1", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, TOPIC, incremental_configs=[entry])
    # Kept, as a client that is dropped gives up what it was asked.
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(20)


def io_error(binary):
    return disk(binary, "EIO on write and sync", Zram(512), Node.failing, SPAN_S, serves_reads=False, prepare=synced)


def io_error_forgotten(binary):
    name = "EIO, and the page cache dropped"
    return disk(binary, name, Zram(512), Node.failing_and_forgetting, SPAN_S, serves_reads=False, prepare=synced)


def unreadable(binary):
    """A stretch of a sealed segment cannot be read; everything else of the partition can."""
    row = Row("sealed segment unreadable")
    with Node(binary, directories=2, volume=Checksummed(512)) as node:
        create_topic(node)
        victims, neighbours = sides(node)
        victim = victims[0]
        with Load(node.bootstrap, TOPIC, PARTITIONS) as load:
            prober = Prober(node.bootstrap, TOPIC, victim)
            time.sleep(WARM_S)
            before = span(node, prober, victim, SPAN_S)
            segments = sorted(node.partition_directory(TOPIC, victim).glob("*.log"))
            bad, good = segments[1], segments[2]
            seq, laid = last_seq(node), time.monotonic()
            with node.unreadable(bad) as cure:
                count = int(good.stem) - int(bad.stem)
                got_bad, error_bad = read_some(node.bootstrap, TOPIC, victim, int(bad.stem), count, deadline_s=3)
                got, error = read_some(node.bootstrap, TOPIC, victim, int(good.stem))
                during = span(node, prober, victim, SPAN_S, laid)
                cure()
            cured = time.monotonic()
            whole, _ = read_some(node.bootstrap, TOPIC, victim, int(bad.stem), count)
            read_s = time.monotonic() - cured
            compare(row, load, neighbours, before, during)
            _, answers = prober.refused_after(laid)
            hurt = load.seen([victim], during.since, during.until)
            row.victim = f"writes {', '.join(answers) or 'taken'}, gap {hurt['gap_ms']:.0f} ms"
            row.reads = f"{got_bad} of {count} before the bad stretch{f', {error_bad}' if error_bad else ''}; past the segment {error or f'served ({got})'}"
            row.recovery = f"{read_s:.2f} s"
            row.expect(not answers, f"writes were refused with {answers}")
            row.expect(0 < got_bad < count, f"{got_bad} of {count} records of the unreadable segment were read")
            row.expect(got and not error, f"reads past the bad segment: {error or 'nothing'}")
            row.expect(whole >= count, f"only {whole} of {count} records are read after the cure")
            row.expect(
                any(bad.name in str(event.get("cause")) for event in node.story(f"/replicas/{TOPIC}-{victim}")),
                "the supervision log does not name the unreadable segment",
            )
            story_of(node, row, f"/replicas/{TOPIC}-{victim}", seq)
            restarts_elsewhere(node, row, [f"/replicas/{TOPIC}-{victim}"], seq)
            neighbours_unhurt(row)
            finish(node, row, load)
    return row


def frozen_java(binary, before_s=5, hold_s=10, after_s=5):
    """The frozen file system under the Java client as it comes."""
    row = Row("file system frozen, Java client")
    with Node(binary, directories=2, volume=Loop(512)) as node:
        create_topic(node)
        victims, neighbours = sides(node)
        seconds = before_s + hold_s + after_s
        load = [JAVA_LOAD, node.bootstrap, TOPIC, len(PARTITIONS), 200, seconds]
        words = ["java", "-Xmx256m", "-cp", f"{LIBS}/*", *map(str, load)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            time.sleep(before_s)
            with node.frozen(node.directories[-1]) as cure:
                time.sleep(hold_s)
                cure()
            text, _ = process.communicate(timeout=seconds + 120)
        seen = json.loads(text.splitlines()[-1])
        longest = seen["longest_ms"]
        row.victim = f"longest wait {max(longest[p] for p in victims)} ms, errors {seen['errors'] or 'none'}"
        row.recovery = "-"
        row.notes.append(f"the neighbours' longest wait {max(longest[p] for p in neighbours)} ms, for the buffer {seen['stall_ms']} ms")
        row.expect(not seen["errors"], f"the application saw {seen['errors']}")
        row.expect(max(longest[p] for p in neighbours) < 1500, "the neighbours waited for the frozen disk")
        wrong = read_all(node.bootstrap, TOPIC, dict.fromkeys(PARTITIONS, seen["rounds"]))
        row.broken.extend(wrong)
        if not wrong:
            row.notes.append(f"{seen['rounds'] * len(PARTITIONS)} records, each there once and in order")
    return row
