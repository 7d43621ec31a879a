"""Members of many client libraries that come and go, and the load that they work on."""

import random
import threading
import time

from clients.members import Asked, Member
from confluent_kafka import Producer

# kafka-go is left out: as leader it gives members on librdkafka nothing, and they it. So is kcat, which commits what
# it has received: what it has not printed when it is told to end is lost.
CLASSIC = ["librdkafka", "sarama", "kafka-python", "aiokafka", "rdkafka", "confluent-js", "kafkajs", "java"]
CONSUMER = ["librdkafka", "rdkafka", "confluent-js", "java"]
CLIENTS = {"classic": CLASSIC, "consumer": CONSUMER}

MEMBERS_MIN, MEMBERS_MAX = 2, 5
# A joining member needs a second of a core where it is a virtual machine for Java.
PAUSE_S = (2.0, 5.0)


class Load:
    """Produces to all partitions at a steady rate, and knows the end of each."""

    def __init__(self, bootstrap, topic, partitions, per_second):
        self.topic = topic
        self.ends = dict.fromkeys(range(partitions), 0)
        self.per_second = per_second
        self.refused = []
        self.stopping = threading.Event()
        self.producer = Producer({
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            # A node that is killed and started again gets every record once.
            "enable.idempotence": True,
            "reconnect.backoff.max.ms": 200,
            "log_level": 2,
        })
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        due_at = time.monotonic()
        while not self.stopping.is_set():
            for partition in self.ends:
                self.producer.produce(self.topic, b"0123456789" * 10, partition=partition, on_delivery=self._delivered)
            due_at = max(due_at + 1 / self.per_second, time.monotonic() - 1)
            while (left := due_at - time.monotonic()) > 0:
                self.producer.poll(left)

    def _delivered(self, error, message):
        if error is not None:
            self.refused.append(error.name())
        else:
            partition = message.partition()
            self.ends[partition] = max(self.ends[partition], message.offset() + 1)

    def stop(self):
        if not self.stopping.is_set():
            self.stopping.set()
            self.thread.join()
            left = self.producer.flush(60)
            if left:
                self.refused.append(f"{left} records without an answer")


class Crowd:
    """One group; its members join and leave at random until they are told to settle."""

    def __init__(self, bootstrap, group, topic, protocol, seed, clients=None):
        # The shortest session: who left while its coordinator was crashed is waited for until its session is over,
        # and each crash begins all sessions of the group anew.
        self.asked = Asked(bootstrap, group, topic, protocol=protocol, heartbeat_ms=500)
        self.clients = clients or CLIENTS[protocol]
        self.random = random.Random(f"{seed} {group}")
        self.members = []
        self.present = []
        self.joins = 0
        self.leaves = 0
        self.troubles = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def _run(self):
        # Each library in its turn, in an order of its own each time.
        turn = []
        while not self.stopping.is_set():
            is_join = len(self.present) < MEMBERS_MIN or (
                len(self.present) < MEMBERS_MAX and self.random.random() < 0.55
            )
            if is_join:
                if not turn:
                    turn = self.random.sample(self.clients, len(self.clients))
                self.join(turn.pop())
            else:
                self._leave(self.present.pop(self.random.randrange(len(self.present))))
            for member in [member for member in self.present if member.process.poll() is not None]:
                self.present.remove(member)
                self.troubles.append(f"{member} ended by itself: {member.events[-2:]}")
            pause = self.random.uniform(*PAUSE_S) if len(self.present) >= MEMBERS_MIN else 0.2
            self.stopping.wait(pause)

    def join(self, client_name):
        member = Member(client_name, self.asked)
        self.members.append(member)
        self.present.append(member)
        self.joins += 1

    def _leave(self, member):
        try:
            member.leave()
        except Exception as error:
            self.troubles.append(f"{member}: {error}")
        self.leaves += 1

    def settle(self):
        """Ends coming and going; who is there stays."""
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join()

    def disband(self):
        for member in self.present:
            member.tell_to_leave()
        for member in self.present:
            try:
                member.await_end()
            except Exception as error:
                self.troubles.append(f"{member}: {error}")
        self.present = []

    def close(self):
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join()
        for member in self.members:
            member.close()
