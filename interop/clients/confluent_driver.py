"""Driver of librdkafka through confluent-kafka."""

import sys
import time

from clients.driver_loop import BrokerError, encoded, record_json, serve
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

WAIT_S = 20
# Kafka's names for the states that scenarios ask for.
STATES = {"STABLE": "Stable", "EMPTY": "Empty", "DEAD": "Dead"}


def raised(error):
    return BrokerError(error.code(), error.str())


def result_of(future):
    try:
        return future.result(WAIT_S)
    except KafkaException as exception:
        raise raised(exception.args[0]) from exception


class Calls:
    def __init__(self, bootstrap):
        self.common = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.common)

    def create(self, topic, partitions, configs):
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=configs)
        result_of(self.admin.create_topics([new])[topic])

    def delete(self, topic):
        result_of(self.admin.delete_topics([topic])[topic])

    def partitions(self, topic):
        # Asked by a consumer, which does not create the topic by asking.
        with self.consumer() as consumer:
            metadata = consumer.list_topics(topic, timeout=WAIT_S).topics[topic]
        if metadata.error is not None:
            raise raised(metadata.error)
        return len(metadata.partitions)

    def configs(self, topic):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        entries = result_of(self.admin.describe_configs([resource])[resource])
        return {name: entry.value for name, entry in entries.items()}

    def alter(self, topic, configs):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        for name, value in configs.items():
            resource.add_incremental_config(
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            )
        result_of(self.admin.incremental_alter_configs([resource])[resource])

    def grow(self, topic, partitions):
        result_of(self.admin.create_partitions([NewPartitions(topic, partitions)])[topic])

    def trim(self, topic, partition, before):
        target = TopicPartition(topic, partition, before)
        for future in self.admin.delete_records([target]).values():
            result_of(future)

    def offsets(self, topic, partition):
        with self.consumer() as consumer:
            try:
                return consumer.get_watermark_offsets(TopicPartition(topic, partition), WAIT_S)
            except KafkaException as exception:
                raise raised(exception.args[0]) from exception

    def groups(self, topic):
        found = self.admin.list_consumer_groups().result(WAIT_S)
        return [group.group_id for group in found.valid]

    def group(self, topic, group):
        found = result_of(self.admin.describe_consumer_groups([group])[group])
        return STATES[found.state.name], len(found.members)

    def group_offsets(self, group, topic, partitions):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, index) for index in range(partitions)])
        found = result_of(self.admin.list_consumer_group_offsets([asked])[group])
        return {place.partition: max(place.offset, -1) for place in found.topic_partitions}

    def set_group_offsets(self, group, topic, offsets):
        places = [TopicPartition(topic, int(partition), offset) for partition, offset in offsets.items()]
        asked = ConsumerGroupTopicPartitions(group, places)
        for place in result_of(self.admin.alter_consumer_group_offsets([asked])[group]).topic_partitions:
            if place.error is not None:
                raise raised(place.error)

    def delete_group(self, topic, group):
        result_of(self.admin.delete_consumer_groups([group])[group])

    def produce(self, topic, records, acks, compression, idempotent, bytes_max):
        producer = Producer({
            **self.common,
            "acks": acks,
            "compression.type": compression,
            "enable.idempotence": idempotent,
            "message.max.bytes": bytes_max,
            "linger.ms": 50,
            "message.timeout.ms": WAIT_S * 1000,
        })
        errors = []

        def delivered(error, _message):
            if error is not None:
                errors.append(error)

        for record in records:
            headers = [(name, encoded(value)) for name, value in record["headers"]]
            producer.produce(
                topic,
                partition=0,
                key=encoded(record["key"]),
                value=encoded(record["value"]),
                headers=headers,
                on_delivery=delivered,
            )
        if producer.flush(WAIT_S) > 0:
            raise TimeoutError("records were neither delivered nor refused")
        if errors:
            raise raised(errors[0])

    def consumer(self):
        return ClosingConsumer({
            **self.common,
            # Required by the library; no group is joined where partitions are assigned by hand.
            "group.id": "interop",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.message.max.bytes": 4 << 20,
        })

    def consume(self, topic, start):
        with self.consumer() as consumer:
            # An assigned partition of an unknown topic would be waited for, not refused.
            self.partitions(topic)
            at, number = start
            offset = number if at == "offset" else OFFSET_BEGINNING
            if at == "timestamp":
                asked = TopicPartition(topic, 0, number)
                offset = consumer.offsets_for_times([asked], WAIT_S)[0].offset
            consumer.assign([TopicPartition(topic, 0, offset)])
            records = []
            deadline = time.monotonic() + WAIT_S
            while time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is None:
                    continue
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return records
                if error is not None:
                    raise raised(error)
                record = record_json(
                    message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers()
                )
                records.append(record)
            raise TimeoutError(f"end not reached, {len(records)} records read")


class ClosingConsumer(Consumer):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    serve(Calls(sys.argv[1]))
