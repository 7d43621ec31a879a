"""One idempotent producer over all partitions, and what it saw: acknowledgements, gaps, errors, stalls.

One producer for everything is the hard case: a partition that answers late or not at all holds up
the connection, and one that refuses for long fills the buffer that all partitions share.
"""

import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

VALUE_BYTES = 4096
# 1.2 MB/s a partition: a segment of 1 MiB rolls about once a second.
RECORDS_PER_SECOND = 300
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
            "retry.backoff.ms": 5,
            "retry.backoff.max.ms": 100,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "queue.buffering.max.kbytes": 32 * 1024,
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
        for partition in partitions:
            last = since
            for at, where, latency in list(self.acks):
                if where == partition and since <= at <= until:
                    gap = max(gap, at - last)
                    last = at
                    latencies.append(latency)
            gap = max(gap, until - last)
        latencies.sort()
        return {
            "errors": [name for at, where, name in self.errors if where in partitions and since <= at <= until],
            "gap_ms": gap * 1000,
            "p99_ms": latencies[int(len(latencies) * 0.99)] if latencies else None,
            "stall_ms": max((ms for at, ms in self.stalls if since <= at <= until), default=0.0),
        }


def probe_write(bootstrap, topic, partition, deadline_s=3):
    """The answer to one record that is not retried: None, or the error with its name and whether to try again."""
    answers = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "retries": 0,
            "message.timeout.ms": int(deadline_s * 1000),
            "log_level": 2,
        }
    )
    producer.produce(topic, b"probe", partition=partition, on_delivery=lambda error, _: answers.append(error))
    producer.flush(deadline_s + 1)
    if not answers:
        return "no answer"
    error = answers[0]
    return None if error is None else error.name().lstrip("_")


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
            while expected < count and time.monotonic() < end and len(wrong) < 5:
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
