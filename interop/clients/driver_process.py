"""A client library behind a driver process that is asked in JSON lines."""

import json
import selectors
import subprocess

from clients.client import Client, Refused, Unsupported
from places import INTEROP
from records import Record

ANSWER_S = 40


class DriverFailed(Exception):
    """The driver ended, hung or raised something that is no error code."""


class DriverProcess(Client):
    """Starts the driver with its first call, and anew after it hung or ended."""

    def __init__(self, bootstrap, command, has_null_headers=True):
        self.bootstrap = bootstrap
        self.has_null_headers = has_null_headers
        self.command = command
        self.process = None

    def call(self, name, **arguments):
        if self.process is None:
            self.process = subprocess.Popen(
                [*self.command, self.bootstrap],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=INTEROP,
                text=True,
            )
        try:
            self.process.stdin.write(json.dumps({"call": name, **arguments}) + "\n")
            self.process.stdin.flush()
            answer = self._answer(name)
        except (OSError, DriverFailed):
            self.close()
            raise
        if "error" in answer:
            raise Refused(answer["error"], answer["message"])
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "failed" in answer:
            raise DriverFailed(answer["failed"])
        return answer["result"]

    def _answer(self, name):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(ANSWER_S):
                raise DriverFailed(f"no answer to {name} within {ANSWER_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise DriverFailed(f"the driver ended in {name} with code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def create(self, topic, partitions, configs):
        self.call("create", topic=topic, partitions=partitions, configs=configs)

    def delete(self, topic):
        self.call("delete", topic=topic)

    def partitions(self, topic):
        return self.call("partitions", topic=topic)

    def configs(self, topic):
        return self.call("configs", topic=topic)

    def alter(self, topic, configs):
        self.call("alter", topic=topic, configs=configs)

    def grow(self, topic, partitions):
        self.call("grow", topic=topic, partitions=partitions)

    def trim(self, topic, partition, before):
        self.call("trim", topic=topic, partition=partition, before=before)

    def offsets(self, topic, partition):
        return tuple(self.call("offsets", topic=topic, partition=partition))

    def groups(self):
        return self.call("groups", topic="")

    def group(self, group):
        return tuple(self.call("group", topic="", group=group))

    def group_offsets(self, group, topic, partitions):
        found = self.call("group_offsets", group=group, topic=topic, partitions=partitions)
        return {int(partition): offset for partition, offset in found.items()}

    def set_group_offsets(self, group, topic, offsets):
        self.call("set_group_offsets", group=group, topic=topic, offsets=offsets)

    def delete_group(self, group):
        self.call("delete_group", topic="", group=group)

    def produce(self, topic, records, acks="all", compression="none", idempotent=False, bytes_max=1_000_000):
        self.call(
            "produce",
            topic=topic,
            records=[record.to_json() for record in records],
            acks=acks,
            compression=compression,
            idempotent=idempotent,
            bytes_max=bytes_max,
        )

    def consume(self, topic, start, count):
        records = self.call("consume", topic=topic, start=list(start))
        return [Record.from_json(fields) for fields in records]
