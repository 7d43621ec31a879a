"""What every client has to get done. Each scenario is one row of the table.

A scenario takes a `Bench`, makes its own topics and raises when something is not as it should be:
`Mismatch`, or whatever the client raised. `Unsupported` leaves the cell empty.
"""

import contextlib
import dataclasses
import time

from clients.client import BEGINNING, MESSAGE_TOO_LARGE, UNKNOWN_TOPIC, Client, Refused, Unsupported
from records import Record, check, check_equal, check_records, sample
from wire import stored_batches

# How long the broker may take until something it answered can be seen by everyone.
SEEN_S = 15


@dataclasses.dataclass
class Bench:
    """One client in front of one broker."""

    client_name: str
    client: Client
    steward: Client
    bootstrap: str
    run_id: str
    topic_count: int = 0

    def topic(self, word):
        """A name that no other scenario and no earlier run uses."""
        self.topic_count += 1
        return f"interop.{self.run_id}.{self.client_name}.{word}.{self.topic_count}"

    def new_topic(self, word, partitions=1, **configs):
        """A topic made by the steward. Config names come with underscores."""
        topic = self.topic(word)
        named = {name.replace("_", "."): value for name, value in configs.items()}
        self.steward.create(topic, partitions, named)
        self.await_leader(topic)
        return topic

    def await_leader(self, topic, partition=0):
        """Waits until the new topic can be read: neither Kafka nor Kabuki answers only then."""

        def can_be_read():
            with contextlib.suppress(ConnectionError):
                return self.stored(topic, partition) == []

        until(f"{topic}-{partition} readable", can_be_read)

    def stored(self, topic, partition=0):
        return stored_batches(self.bootstrap, topic, partition)


def until(what, is_done):
    """Asks until it is so; a Mismatch after the deadline."""
    deadline = time.monotonic() + SEEN_S
    while not is_done():
        check(time.monotonic() < deadline, f"{what} not within {SEEN_S} s")
        time.sleep(0.05)


def is_unknown(client, topic):
    try:
        client.partitions(topic)
    except Refused as refused:
        check_equal("error of an unknown topic", refused.code, UNKNOWN_TOPIC)
        return True
    return False


def has_partitions(client, topic, count):
    return not is_unknown(client, topic) and client.partitions(topic) == count


def create(bench):
    """A topic is created with its partitions and configs, or by the first record if the client has no other way."""
    topic = bench.topic("create")
    check(is_unknown(bench.client, topic), f"{topic} is known before it is created")
    try:
        bench.client.create(topic, 3, {"retention.ms": "3600000"})
    except Unsupported:
        bench.client.produce(topic, sample(1))
        until("auto-created topic", lambda: has_partitions(bench.client, topic, 1))
        check_records(bench.client.consume(topic, BEGINNING, 1), sample(1))
        return
    until("3 partitions", lambda: has_partitions(bench.client, topic, 3))
    try:
        configs = bench.client.configs(topic)
    except Unsupported:
        configs = bench.steward.configs(topic)
    check_equal("retention.ms", configs["retention.ms"], "3600000")


def produce_and_consume(bench, word, records, **options):
    topic = bench.new_topic(word)
    bench.client.produce(topic, records, **options)
    until(f"{len(records)} records", lambda: stored_count(bench, topic) >= len(records))
    check_records(bench.client.consume(topic, BEGINNING, len(records)), records)
    return topic


def stored_count(bench, topic):
    return sum(batch.record_count for batch in bench.stored(topic))


def acks_0(bench):
    """Records sent without asking for an answer arrive."""
    produce_and_consume(bench, "acks-0", sample(100), acks="0")


def acks_1(bench):
    produce_and_consume(bench, "acks-1", sample(100), acks="1")


def acks_all(bench):
    produce_and_consume(bench, "acks-all", sample(100), acks="all")


def compression(codec):
    """The stored batches have the codec that the client was told to use."""

    def scenario(bench):
        topic = produce_and_consume(bench, codec, sample(100), compression=codec)
        check_equal("codecs of stored batches", {batch.codec for batch in bench.stored(topic)}, {codec})

    return scenario


def recompression(bench):
    """A topic's own codec replaces the client's, and nothing of the records is lost."""
    topic = bench.new_topic("recompression", compression_type="zstd")
    bench.client.produce(topic, sample(100), compression="gzip")
    check_equal("codecs of stored batches", {batch.codec for batch in bench.stored(topic)}, {"zstd"})
    check_records(bench.client.consume(topic, BEGINNING, 100), sample(100))


def idempotent(bench):
    """Stored batches carry one producer id and sequences without a gap."""
    topic = produce_and_consume(bench, "idempotent", sample(100), idempotent=True)
    batches = bench.stored(topic)
    check(all(batch.producer_id >= 0 for batch in batches), f"no producer id in {batches}")
    expected = {}
    for batch in batches:
        check_equal("base sequence", batch.base_sequence, expected.get(batch.producer_id, 0))
        expected[batch.producer_id] = batch.base_sequence + batch.record_count


def from_beginning(bench):
    """Consuming from the beginning starts at the log start, also after records were deleted."""
    topic = bench.new_topic("beginning")
    bench.client.produce(topic, sample(100))
    bench.steward.trim(topic, 0, 30)
    found = bench.client.consume(topic, BEGINNING, 70)
    check_records(found, sample(70, start=30), first_offset=30)


def from_offset(bench):
    topic = bench.new_topic("offset")
    bench.client.produce(topic, sample(100))
    found = bench.client.consume(topic, ("offset", 57), 43)
    check_records(found, sample(43, start=57), first_offset=57)


def from_timestamp(bench):
    """The first record at or after a time is found."""
    topic = bench.new_topic("timestamp")
    bench.client.produce(topic, sample(40))
    middle_ms = clock_past(bench.client.consume(topic, ("offset", 39), 1)[0].timestamp)
    bench.client.produce(topic, sample(60, start=40))
    found = bench.client.consume(topic, ("timestamp", middle_ms), 60)
    check_records(found, sample(60, start=40), first_offset=40)
    check(all(record.timestamp >= middle_ms for record in found), "a record is older than asked for")


def clock_past(timestamp_ms):
    """Waits until the clock is past the timestamp, and returns the clock."""
    while time.time() * 1000 <= timestamp_ms + 1:
        time.sleep(0.001)
    return int(time.time() * 1000)


def headers(bench):
    """Headers keep their order, their duplicates and the difference between empty and null."""
    pairs = [("trace", "1"), ("other", ""), ("trace", "2"), ("trace", "1")]
    if bench.client.has_null_headers:
        pairs.append(("nothing", None))
    produce_and_consume(bench, "headers", [Record("k", "v", tuple(pairs)), Record("k", "w", (("a", "b"),))])


def empty_and_null(bench):
    """Empty is not null, for keys and for values."""
    records = [Record("k", "v"), Record(None, "v"), Record("k", None), Record("", "v"), Record("k", ""), Record("", "")]
    produce_and_consume(bench, "empty", records)


def large(bench):
    """A record of 1 MiB is taken where the topic allows it, and refused as too large where not."""
    record = Record("large", "0123456789abcdef" * 65_536)
    topic = bench.new_topic("large", max_message_bytes="2097152")
    bench.client.produce(topic, [record, record], bytes_max=3_000_000)
    check_records(bench.client.consume(topic, BEGINNING, 2), [record, record])

    topic = bench.new_topic("too-large")
    try:
        bench.client.produce(topic, [record], bytes_max=3_000_000)
    except Refused as refused:
        check_equal("error of a record that is too large", refused.code, MESSAGE_TOO_LARGE)
    else:
        check(False, "a record over max.message.bytes was taken")
    check_equal("stored batches", bench.stored(topic), [])


def deleted_topic(bench):
    """A deleted topic is unknown; one created anew under its name starts empty at offset 0."""
    topic = bench.new_topic("deleted")
    bench.client.produce(topic, sample(20))
    try:
        bench.client.delete(topic)
    except Unsupported:
        bench.steward.delete(topic)
    until("the topic gone", lambda: is_unknown(bench.client, topic))
    try:
        check_equal("records of a deleted topic", bench.client.consume(topic, BEGINNING, 0), [])
    except Refused as refused:
        check_equal("error of a deleted topic", refused.code, UNKNOWN_TOPIC)
    check(is_unknown(bench.steward, topic), "consuming created the topic again")

    bench.steward.create(topic, 1, {})
    bench.await_leader(topic)
    until("the new topic", lambda: has_partitions(bench.client, topic, 1))
    bench.client.produce(topic, sample(5, start=900))
    check_records(bench.client.consume(topic, BEGINNING, 5), sample(5, start=900))


def offsets(bench):
    """First and end offset are told, before and after records were deleted."""
    topic = bench.new_topic("offsets")
    check_equal("offsets of an empty topic", bench.client.offsets(topic, 0), (0, 0))
    bench.client.produce(topic, sample(100))
    check_equal("offsets", bench.client.offsets(topic, 0), (0, 100))
    bench.steward.trim(topic, 0, 30)
    check_equal("offsets after deletion", bench.client.offsets(topic, 0), (30, 100))


def administration(bench):
    """Partitions grow, configs change one by one, records are deleted up to an offset."""
    topic = bench.new_topic("admin", retention_ms="3600000")
    bench.client.grow(topic, 4)
    until("4 partitions", lambda: has_partitions(bench.client, topic, 4))
    bench.client.alter(topic, {"max.message.bytes": "123456"})
    until("a changed config", lambda: bench.client.configs(topic)["max.message.bytes"] == "123456")
    check_equal("the other config", bench.client.configs(topic)["retention.ms"], "3600000")
    bench.steward.produce(topic, sample(100))
    bench.client.trim(topic, 0, 60)
    check_equal("offsets after deletion", bench.steward.offsets(topic, 0), (60, 100))


SCENARIOS = {
    "create": create,
    "acks 0": acks_0,
    "acks 1": acks_1,
    "acks all": acks_all,
    "uncompressed": compression("none"),
    "gzip": compression("gzip"),
    "snappy": compression("snappy"),
    "lz4": compression("lz4"),
    "zstd": compression("zstd"),
    "recompression": recompression,
    "idempotent": idempotent,
    "from beginning": from_beginning,
    "from offset": from_offset,
    "from timestamp": from_timestamp,
    "headers": headers,
    "empty and null": empty_and_null,
    "1 MiB records": large,
    "deleted topic": deleted_topic,
    "offsets": offsets,
    "administration": administration,
}
