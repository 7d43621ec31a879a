"""The good client: writes and reads one partition through librdkafka at a fixed rate, in a process of its own.

`python good.py BOOTSTRAP TOPIC` runs until standard input ends, then prints what it saw as JSON: for
each record when it was sent, acknowledged and read, and all errors. Beside it good groups live, for whose
requests it prints when they were sent and answered.
"""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from good_groups import GoodGroups

RECORDS_PER_SECOND = 100
FLUSH_S = 60


def main():
    bootstrap, topic = sys.argv[1:]
    stopping, done = threading.Event(), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
    sent, acks, reads, errors = {}, {}, {}, []

    def failed(error):
        errors.append((time.time(), error.name() if hasattr(error, "name") else str(error)))

    def delivered(error, message):
        if error is not None:
            failed(error)
        else:
            acks[int(message.value())] = time.time()

    options = {"bootstrap.servers": bootstrap, "log_level": 2, "error_cb": failed}
    producer = Producer({**options, "linger.ms": 0, "enable.idempotence": True})
    consumer = Consumer(
        {
            **options,
            "group.id": "good",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
            "check.crcs": True,
        }
    )

    def consume():
        consumer.assign([TopicPartition(topic, 0, 0)])
        while not done.is_set():
            # One at a time: for more it would wait until they are there, or until its time is over.
            for message in consumer.consume(1, 0.05):
                if message.error():
                    failed(message.error())
                else:
                    reads[int(message.value())] = time.time()

    reader = threading.Thread(target=consume)
    reader.start()
    groups = GoodGroups(bootstrap, topic, stopping)
    groups.start()
    groups.ready.wait()
    print("ready", flush=True)
    began, number = time.time(), 0
    while not stopping.is_set():
        due = int((time.time() - began) * RECORDS_PER_SECOND)
        while number < due:
            sent[number] = time.time()
            producer.produce(topic, str(number).encode(), partition=0, on_delivery=delivered)
            number += 1
        producer.poll(0.002)
    groups.join()
    left = producer.flush(FLUSH_S)
    if left:
        errors.append((time.time(), f"{left} records without an answer"))
    end = time.time() + FLUSH_S
    while len(reads) < len(acks) and time.time() < end:
        time.sleep(0.01)
    done.set()
    reader.join()
    consumer.close()
    rows = [(at, acks.get(number), reads.get(number)) for number, at in sent.items()]
    json.dump({"rows": rows, "groups": groups.rows, "errors": errors + groups.errors}, sys.stdout)


if __name__ == "__main__":
    main()
