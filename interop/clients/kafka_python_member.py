"""Member of a consumer group on kafka-python."""

import time

from clients.member_loop import COMMIT_S, Member
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

# kafka-python 3.0 forgets its assignment when the time of a poll is over between the answer to its SyncGroup and the next
# step of its own: a poll has to be longer than a join, and longer than the 100 ms after which it knows a topic's partitions
# and joins once more. It returns with the first record all the same.
POLL_MS = 1_000

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "cooperative": CooperativeStickyAssignor,
}


class Listener(ConsumerRebalanceListener):
    def __init__(self, member, commit):
        self.member = member
        self.commit = commit

    def on_partitions_assigned(self, assigned):
        self.member.assigned([place.partition for place in assigned])

    def on_partitions_revoked(self, revoked):
        gone = [place.partition for place in revoked]
        deadline = time.monotonic() + COMMIT_S
        while any(partition in self.member.uncommitted for partition in gone) and time.monotonic() < deadline:
            self.commit()
            time.sleep(0.05)
        self.member.given_up(gone)

    def on_partitions_lost(self, lost):
        self.member.given_up([place.partition for place in lost], "lost")


def main():
    member = Member()
    asked = member.asked
    consumer = KafkaConsumer(
        bootstrap_servers=asked["bootstrap"],
        group_id=asked["group"],
        group_instance_id=asked["instance"],
        enable_auto_commit=False,
        auto_offset_reset=asked["reset"],
        session_timeout_ms=asked["session_ms"],
        heartbeat_interval_ms=asked["heartbeat_ms"],
        partition_assignment_strategy=[ASSIGNORS[asked["assignor"]]],
        fetch_max_wait_ms=100,
        max_poll_records=500,
    )

    def commit():
        if not member.uncommitted:
            return
        offsets = dict(member.uncommitted)
        places = {
            TopicPartition(asked["topic"], partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }
        try:
            consumer.commit(places)
        except KafkaError as error:
            member.commit_failed(error)
        else:
            member.committed(offsets)

    consumer.subscribe([asked["topic"]], listener=Listener(member, commit))
    while not member.leaving.is_set():
        for place, messages in consumer.poll(POLL_MS).items():
            member.processed(place.partition, [message.offset for message in messages])
        commit()
    member.given_up(set(member.owned))
    consumer.close()
    member.tell("left")


if __name__ == "__main__":
    main()
