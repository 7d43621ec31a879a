"""One idempotent producer over all partitions, and what it saw: acknowledgements, gaps, errors, stalls.

One producer for everything is the hard case: a partition that answers late or not at all holds up
the connection, and one that refuses for long fills the buffer that all partitions share.
"""

import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

VALUE_BYTES = 1024
# 0.3 MB/s a partition: a segment of 1 MiB rolls every three to four seconds.
RECORDS_PER_SECOND = 300
# What is refused for 50 s in four of eight partitions fits; what is refused for longer shows as a stall.
BUFFER_KBYTES = 64 * 1024
FLUSH_S = 40
READ_S = 40


class Load:
    """Writes numbered records at a fixed rate until it is stopped."""

    def __init__(self, bootstrap, topic, partitions, **settings):
        self.topic = topic
        self.partitions = partitions
        self.sent = dict.fromkeys(partitions, 0)
        self.acks = []  # (time of the answer, partition, latency in ms)
        self.errors = []  # (time, partition, name of the error)
        self.stalls = []  # (time, ms that produce() was kept waiting for room in the buffer)
        self.pid_errors = []
        self.stopping = threading.Event()
        options = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 1,
            "retry.backoff.max.ms": 250,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "queue.buffering.max.kbytes": BUFFER_KBYTES,
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 2,
            "error_cb": lambda error: self.pid_errors.append((time.monotonic(), error.name())),
        }
        self.producer = Producer({**options, **settings})
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the load; whatever is still unanswered after the deadline counts as an error."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self.thread.join(FLUSH_S)
        left = self.producer.flush(FLUSH_S)
        if left:
            self.errors.append((time.monotonic(), -1, f"{left} records without an answer"))
            self.producer.purge()
            self.producer.flush(1)

    def _run(self):
        started = time.monotonic()
        ticks = 0
        while not self.stopping.is_set():
            due = int((time.monotonic() - started) * RECORDS_PER_SECOND)
            for _ in range(min(due - ticks, RECORDS_PER_SECOND)):
                for partition in self.partitions:
                    self._produce(partition)
                ticks += 1
            # What was stalled for longer than a second is not made up for in one burst.
            ticks = max(ticks, due - RECORDS_PER_SECOND)
            self.producer.poll(0.001)

    def _produce(self, partition):
        value = b"%016d" % self.sent[partition] + b"." * (VALUE_BYTES - 16)
        began = time.monotonic()
        while not self.stopping.is_set():
            try:
                self.producer.produce(self.topic, value, partition=partition, on_delivery=self._delivered)
            except BufferError:
                self.producer.poll(0.005)
                continue
            self.sent[partition] += 1
            break
        waited_ms = (time.monotonic() - began) * 1000
        if waited_ms > 20:
            self.stalls.append((began, waited_ms))

    def _delivered(self, error, message):
        now = time.monotonic()
        if error is not None:
            self.errors.append((now, message.partition(), error.name()))
        else:
            self.acks.append((now, message.partition(), message.latency() * 1000))

    def first_ack_after(self, moment, partition, deadline_s):
        """Seconds until the partition acknowledged a record that was answered after `moment`, or None."""
        end = time.monotonic() + deadline_s
        position = 0
        while time.monotonic() < end:
            acks = self.acks
            while position < len(acks):
                at, where, _ = acks[position]
                position += 1
                if where == partition and at > moment:
                    return at - moment
            time.sleep(0.002)
        return None

    def last_ack(self, partition):
        return max((at for at, where, _ in list(self.acks) if where == partition), default=0.0)

    def seen(self, partitions, since, until):
        """Errors, longest time without an acknowledgement and p99 of some partitions in a span of time."""
        latencies, gap = [], 0.0
        last = dict.fromkeys(partitions, since)
        for at, where, latency in list(self.acks):
            if where in last and since <= at <= until:
                gap = max(gap, at - last[where])
                last[where] = at
                latencies.append(latency)
        gap = max(gap, *(until - at for at in last.values()))
        latencies.sort()
        return {
            "errors": [name for at, where, name in list(self.errors) if where in last and since <= at <= until],
            "gap_ms": gap * 1000,
            "samples": len(latencies),
            "p99_ms": latencies[int(len(latencies) * 0.99)] if latencies else None,
            "stall_ms": max((ms for at, ms in self.stalls if since <= at <= until), default=0.0),
        }


class Prober:
    """Writes single records that nobody retries to one partition, and keeps what they were answered."""

    def __init__(self, bootstrap, topic, partition, wait_s=3):
        self.topic, self.partition = topic, partition
        self.answers = []  # (time sent, time answered, None or the name of the error, retriable)
        settings = {
            "bootstrap.servers": bootstrap,
            "retries": 0,
            "linger.ms": 0,
            "message.timeout.ms": wait_s * 1000,
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 2,
        }
        self.producer = Producer(settings)

    def probe(self):
        sent = time.monotonic()

        def answered(error, _):
            name = None if error is None else error.name().lstrip("_")
            self.answers.append((sent, time.monotonic(), name, error is None or error.retriable()))

        self.producer.produce(self.topic, b"probe", partition=self.partition, on_delivery=answered)
        self.producer.poll(0)

    def run(self, until, pause_s=0.25):
        """Probes at an even pace, before a fault as under it: it is part of the load."""
        while time.monotonic() < until:
            self.probe()
            end = min(until, time.monotonic() + pause_s)
            while (left := end - time.monotonic()) > 0:
                self.producer.poll(left)

    def refused_after(self, moment):
        """Of the probes sent after `moment`: seconds until the first refusal, and all names of refusals."""
        self.producer.flush(4)
        refused = [(at, name) for sent, at, name, _ in self.answers if sent >= moment and name]
        if not refused:
            return None, []
        return min(at for at, _ in refused) - moment, sorted({name for _, name in refused})

    def longest_ms(self, since, until):
        """Longest time that a probe sent in the span waited for its answer, whatever it was."""
        waits = [at - sent for sent, at, _, _ in self.answers if since <= sent <= until]
        return max(waits, default=0.0) * 1000


def read_some(bootstrap, topic, partition, offset=0, count=50, deadline_s=5):
    """How many records a consumer gets from an offset on before the deadline, and the first error."""
    consumer = reader(bootstrap)
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        got, error, end = 0, None, time.monotonic() + deadline_s
        while got < count and error is None and time.monotonic() < end:
            for message in consumer.consume(count, 0.2):
                if message.error():
                    error = message.error().name().lstrip("_")
                    break
                got += 1
        return got, error
    finally:
        consumer.close()


def read_all(bootstrap, topic, sent):
    """What is wrong with what the partitions hold: each record has to be there once and in order."""
    consumer = reader(bootstrap)
    wrong = []
    try:
        for partition, count in sent.items():
            consumer.assign([TopicPartition(topic, partition, 0)])
            expected, end = 0, time.monotonic() + READ_S
            wrong_max = len(wrong) + 5
            while expected < count and time.monotonic() < end and len(wrong) < wrong_max:
                for message in consumer.consume(5000, 0.5):
                    if message.error():
                        wrong.append(f"{partition}: {message.error().name()}")
                        continue
                    if message.value() == b"probe":
                        continue
                    number = int(message.value()[:16])
                    if number != expected:
                        wrong.append(f"{partition}: {number} where {expected} was due")
                    expected = number + 1
            if expected < count:
                wrong.append(f"{partition}: {count - expected} of {count} records missing")
    finally:
        consumer.close()
    return wrong


def reader(bootstrap):
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "faults",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "log_level": 2,
        }
    )
