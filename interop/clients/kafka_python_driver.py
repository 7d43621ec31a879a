"""Driver of kafka-python."""

import contextlib
import functools
import sys
import time

import kafka.errors
from clients.driver_loop import BrokerError, encoded, record_json, serve
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import BrokerResponseError, for_code
from kafka.structs import OffsetAndMetadata

WAIT_S = 20


def codes(call):
    """Turns the library's exceptions for broker errors into `BrokerError`."""

    @functools.wraps(call)
    def wrapped(*arguments, **keywords):
        try:
            return call(*arguments, **keywords)
        except BrokerResponseError as error:
            raise BrokerError(error.errno, str(error)) from error

    return wrapped


class Calls:
    def __init__(self, bootstrap):
        self.common = {"bootstrap_servers": bootstrap}
        self.opened_admin = None

    @property
    def admin(self):
        if self.opened_admin is None:
            self.opened_admin = KafkaAdminClient(**self.common)
        return self.opened_admin

    @codes
    def create(self, topic, partitions, configs):
        spec = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        self.admin.create_topics({topic: spec})

    @codes
    def delete(self, topic):
        self.admin.delete_topics([topic])

    @codes
    def partitions(self, topic):
        [found] = self.admin.describe_topics([topic])
        if found["error_code"] != 0:
            raise for_code(found["error_code"])(topic)
        return len(found["partitions"])

    @codes
    def configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        found = self.admin.describe_configs([resource], config_filter="all")
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    @codes
    def alter(self, topic, configs):
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])

    @codes
    def grow(self, topic, partitions):
        self.admin.create_partitions({topic: partitions})

    @codes
    def trim(self, topic, partition, before):
        self.admin.delete_records({TopicPartition(topic, partition): before})

    @codes
    def offsets(self, topic, partition):
        place = TopicPartition(topic, partition)
        with self.consumer() as consumer:
            return consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]

    @codes
    def groups(self, topic):
        return [group["group_id"] for group in self.admin.list_groups()]

    @codes
    def group(self, topic, group):
        found = self.admin.describe_groups([group])[group]
        return str(found["group_state"]), len(found["members"])

    @codes
    def group_offsets(self, group, topic, partitions):
        places = [TopicPartition(topic, index) for index in range(partitions)]
        found = self.admin.list_group_offsets({group: places})[group]
        return {place.partition: found[place].offset for place in places}

    @codes
    def set_group_offsets(self, group, topic, offsets):
        places = {
            TopicPartition(topic, int(partition)): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }
        for error in self.admin.alter_group_offsets(group, places).values():
            if error.errno != 0:
                raise error

    @codes
    def delete_group(self, topic, group):
        found = self.admin.delete_groups([group])[group]
        if found != "OK":
            raise getattr(kafka.errors, found)(group)

    @codes
    def produce(self, topic, records, acks, compression, idempotent, bytes_max):
        producer = KafkaProducer(
            **self.common,
            acks="all" if acks == "all" else int(acks),
            compression_type=None if compression == "none" else compression,
            enable_idempotence=idempotent,
            max_request_size=bytes_max,
            # Large enough that the records of a scenario become one batch.
            batch_size=64 * 1024,
            linger_ms=50,
            delivery_timeout_ms=WAIT_S * 1000,
            request_timeout_ms=WAIT_S * 500,
        )
        futures = []
        for record in records:
            headers = [(name, encoded(value)) for name, value in record["headers"]]
            future = producer.send(
                topic,
                partition=0,
                key=encoded(record["key"]),
                value=encoded(record["value"]),
                headers=headers,
            )
            futures.append(future)
        producer.flush(timeout=WAIT_S)
        for future in futures:
            future.get(timeout=WAIT_S)
        producer.close()

    def consumer(self):
        consumer = KafkaConsumer(
            **self.common,
            group_id=None,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=4 << 20,
        )
        return contextlib.closing(consumer)

    @codes
    def consume(self, topic, start):
        place = TopicPartition(topic, 0)
        with self.consumer() as consumer:
            if not consumer.partitions_for_topic(topic):
                raise BrokerError(3, f"no metadata of {topic}")
            end = consumer.end_offsets([place])[place]
            consumer.assign([place])
            at, number = start
            if at == "beginning":
                consumer.seek_to_beginning(place)
            elif at == "offset":
                consumer.seek(place, number)
            else:
                consumer.seek(place, consumer.offsets_for_times({place: number})[place].offset)
            records = []
            deadline = time.monotonic() + WAIT_S
            while consumer.position(place) < end:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"end {end} not reached, {len(records)} records read")
                for message in consumer.poll(500).get(place, []):
                    record = record_json(
                        message.offset, message.timestamp, message.key, message.value, message.headers
                    )
                    records.append(record)
            return records


if __name__ == "__main__":
    serve(Calls(sys.argv[1]))
