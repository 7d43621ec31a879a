"""Member of a consumer group on librdkafka through confluent-kafka."""

import time

from clients.member_loop import COMMIT_S, Member
from confluent_kafka import Consumer, KafkaException, TopicPartition

ASSIGNORS = {"cooperative": "cooperative-sticky"}


def main():
    member = Member()
    asked = member.asked
    settings = {
        "bootstrap.servers": asked["bootstrap"],
        "group.id": asked["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": asked["reset"],
        "topic.metadata.refresh.interval.ms": 2000,
        "fetch.wait.max.ms": 100,
    }
    if asked["instance"]:
        settings["group.instance.id"] = asked["instance"]
    if asked["protocol"] == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings["session.timeout.ms"] = asked["session_ms"]
        settings["heartbeat.interval.ms"] = asked["heartbeat_ms"]
        settings["partition.assignment.strategy"] = ASSIGNORS.get(asked["assignor"], asked["assignor"])
    consumer = Consumer(settings)
    # Records read and not yet told: those of a partition that is taken away are told before it goes.
    read = {}

    def flush():
        for partition, offsets in read.items():
            member.processed(partition, offsets)
        read.clear()
        if not member.uncommitted:
            return
        offsets = dict(member.uncommitted)
        places = [TopicPartition(asked["topic"], partition, offset) for partition, offset in offsets.items()]
        try:
            answers = consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            member.commit_failed(error)
            return
        refused = [place for place in answers if place.error is not None]
        if refused:
            member.commit_failed(refused[0].error)
        good = {place.partition: place.offset for place in answers if place.error is None}
        if good:
            member.committed(good)

    def on_assign(_, places):
        member.assigned([place.partition for place in places])

    def on_revoke(_, places):
        flush()
        deadline = time.monotonic() + COMMIT_S
        gone = [place.partition for place in places]
        while any(partition in member.uncommitted for partition in gone) and time.monotonic() < deadline:
            time.sleep(0.1)
            flush()
        member.given_up(gone)

    def on_lost(_, places):
        gone = [place.partition for place in places]
        for partition in gone:
            if partition in read:
                member.processed(partition, read.pop(partition))
        member.given_up(gone, "lost")

    consumer.subscribe([asked["topic"]], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)
    while not member.leaving.is_set():
        count = 0
        message = consumer.poll(0.1)
        while message is not None:
            if message.error() is not None:
                member.tell("trouble", message=str(message.error()))
            else:
                read.setdefault(message.partition(), []).append(message.offset())
            count += 1
            if count >= 200 or member.leaving.is_set():
                break
            message = consumer.poll(0)
        flush()
    # Asks on_revoke for everything that is owned, and leaves.
    consumer.close()
    member.tell("left")


if __name__ == "__main__":
    main()
