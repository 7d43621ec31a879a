"""Member of a consumer group on aiokafka."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from clients.member_loop import COMMIT_S, Member

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}


class Listener(ConsumerRebalanceListener):
    """The library rebalances beside the application: a lock keeps records from being processed meanwhile."""

    def __init__(self, member, lock, commit):
        self.member = member
        self.lock = lock
        self.commit = commit
        self.generation = 0

    async def on_partitions_assigned(self, assigned):
        self.member.assigned([place.partition for place in assigned])

    async def on_partitions_revoked(self, revoked):
        async with self.lock:
            self.generation += 1
            deadline = time.monotonic() + COMMIT_S
            gone = [place.partition for place in revoked]
            while any(partition in self.member.uncommitted for partition in gone) and time.monotonic() < deadline:
                await self.commit()
            self.member.given_up(gone)


async def main():
    member = Member()
    asked = member.asked
    consumer = AIOKafkaConsumer(
        bootstrap_servers=asked["bootstrap"],
        group_id=asked["group"],
        group_instance_id=asked["instance"],
        enable_auto_commit=False,
        auto_offset_reset=asked["reset"],
        session_timeout_ms=asked["session_ms"],
        heartbeat_interval_ms=asked["heartbeat_ms"],
        partition_assignment_strategy=[ASSIGNORS[asked["assignor"]]],
        fetch_max_wait_ms=100,
    )
    lock = asyncio.Lock()

    async def commit():
        if not member.uncommitted:
            return
        offsets = dict(member.uncommitted)
        places = {TopicPartition(asked["topic"], partition): offset for partition, offset in offsets.items()}
        try:
            await consumer.commit(places)
        except KafkaError as error:
            member.commit_failed(error)
            await asyncio.sleep(0.05)
        else:
            member.committed(offsets)

    listener = Listener(member, lock, commit)
    consumer.subscribe([asked["topic"]], listener=listener)
    # Returns with the first assignment, which a rebalance of others can hold up.
    starting = asyncio.create_task(consumer.start())
    while not starting.done() and not member.leaving.is_set():
        await asyncio.wait([starting], timeout=0.1)
    if starting.done():
        starting.result()
    else:
        starting.cancel()
    while not member.leaving.is_set():
        generation = listener.generation
        batches = await consumer.getmany(timeout_ms=100, max_records=500)
        async with lock:
            if generation == listener.generation:
                for place, messages in batches.items():
                    member.processed(place.partition, [message.offset for message in messages])
            else:
                # Nobody can tell whether this was read before the rebalance or after it.
                for place, messages in batches.items():
                    if place.partition in member.owned:
                        consumer.seek(place, await consumer.committed(place) or messages[0].offset)
            await commit()
    async with lock:
        member.given_up(set(member.owned))
    await consumer.stop()
    member.tell("left")


if __name__ == "__main__":
    asyncio.run(main())
