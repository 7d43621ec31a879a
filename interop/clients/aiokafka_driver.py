"""Driver of aiokafka."""

import asyncio
import contextlib
import functools
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, for_code
from clients.driver_loop import BrokerError, encoded, no_means, record_json, serve

WAIT_S = 20


def synchronous(call):
    """Runs a call to its end in a loop of its own; broker errors become `BrokerError`."""

    @functools.wraps(call)
    def wrapped(*arguments, **keywords):
        try:
            return asyncio.run(asyncio.wait_for(call(*arguments, **keywords), 1.5 * WAIT_S))
        except BrokerResponseError as error:
            raise BrokerError(error.errno, str(error)) from error

    return wrapped


def refuse(code, message):
    if code != 0:
        raise for_code(code)(message)


class Calls:
    def __init__(self, bootstrap):
        self.common = {"bootstrap_servers": bootstrap, "request_timeout_ms": WAIT_S * 500}

    @contextlib.asynccontextmanager
    async def admin(self):
        admin = AIOKafkaAdminClient(**self.common)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    @contextlib.asynccontextmanager
    async def consumer(self):
        consumer = AIOKafkaConsumer(
            **self.common,
            group_id=None,
            auto_offset_reset="none",
            max_partition_fetch_bytes=4 << 20,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    @synchronous
    async def create(self, topic, partitions, configs):
        new = NewTopic(topic, partitions, 1, topic_configs=configs)
        async with self.admin() as admin:
            answer = await admin.create_topics([new])
        for _, code, message in answer.topic_errors:
            refuse(code, message)

    @synchronous
    async def delete(self, topic):
        async with self.admin() as admin:
            answer = await admin.delete_topics([topic])
        for name, code in answer.topic_error_codes:
            refuse(code, name)

    @synchronous
    async def partitions(self, topic):
        return await self.partition_count(topic)

    async def partition_count(self, topic):
        # All topics are asked for: the library creates the one it asks for.
        async with self.admin() as admin:
            for found in await admin.describe_topics():
                if found["topic"] == topic:
                    refuse(found["error_code"], topic)
                    return len(found["partitions"])
        raise for_code(3)(topic)

    @synchronous
    async def configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        async with self.admin() as admin:
            [answer] = await admin.describe_configs([resource])
        [(code, message, _, _, entries)] = answer.resources
        refuse(code, message)
        return {name: value for name, value, *_ in entries}

    def alter(self, topic, configs):
        # It only knows the request that resets every config it does not name.
        no_means("no incremental change of configs")

    @synchronous
    async def grow(self, topic, partitions):
        async with self.admin() as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})

    @synchronous
    async def trim(self, topic, partition, before):
        async with self.admin() as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})

    @synchronous
    async def offsets(self, topic, partition):
        place = TopicPartition(topic, partition)
        async with self.consumer() as consumer:
            first = await consumer.beginning_offsets([place])
            end = await consumer.end_offsets([place])
        return first[place], end[place]

    @synchronous
    async def produce(self, topic, records, acks, compression, idempotent, bytes_max):
        producer = AIOKafkaProducer(
            **self.common,
            acks="all" if acks == "all" else int(acks),
            compression_type=None if compression == "none" else compression,
            enable_idempotence=idempotent,
            max_request_size=bytes_max,
            # Large enough that the records of a scenario become one batch.
            max_batch_size=64 * 1024,
            linger_ms=50,
        )
        await producer.start()
        try:
            deliveries = []
            for record in records:
                delivery = await producer.send(
                    topic,
                    partition=0,
                    key=encoded(record["key"]),
                    value=encoded(record["value"]),
                    headers=[(name, encoded(value)) for name, value in record["headers"]],
                )
                deliveries.append(delivery)
            await asyncio.gather(*deliveries)
        finally:
            await producer.stop()

    @synchronous
    async def consume(self, topic, start):
        await self.partition_count(topic)
        place = TopicPartition(topic, 0)
        async with self.consumer() as consumer:
            end = (await consumer.end_offsets([place]))[place]
            consumer.assign([place])
            at, number = start
            if at == "beginning":
                number = (await consumer.beginning_offsets([place]))[place]
            elif at == "timestamp":
                number = (await consumer.offsets_for_times({place: number}))[place].offset
            consumer.seek(place, number)
            records = []
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(place, timeout_ms=500)).get(place, []):
                    record = record_json(
                        message.offset, message.timestamp, message.key, message.value, message.headers
                    )
                    records.append(record)
            return records


if __name__ == "__main__":
    serve(Calls(sys.argv[1]))
