"""What every client has to get done as a member of consumer groups: rows of the table, as in `scenarios.py`."""

import contextlib
import threading
import time

from clients.client import NON_EMPTY_GROUP, Refused, Unsupported
from clients.members import SESSION_MS, Asked, Member
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from ownership import check_group, overlaps, processed
from records import check, check_equal

# How long members may take to agree on who owns what. Those of KIP-848 ask every five seconds.
AGREE_S = 30
# Who joins the groups of the others: clients that start quickly. The first is there first and so leads.
COMPANY = ["librdkafka", "sarama", "kafka-python"]
# kafka-go and librdkafka cannot read each other's subscriptions: each as leader gives the other nothing.
COMPANY_OF_KAFKA_GO = ["sarama", "kafkajs"]


class Group:
    """A topic, a group and its members, all ended at the end of the scenario."""

    def __init__(self, bench, word, partitions):
        self.bench = bench
        self.topic = bench.new_topic(word, partitions)
        for partition in range(partitions):
            bench.await_leader(self.topic, partition)
        self.name = f"{self.topic}.group"
        self.partitions = partitions
        self.members = []
        self.ends = dict.fromkeys(range(partitions), 0)
        self.starts = dict.fromkeys(range(partitions), 0)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        for member in self.members:
            member.close()
        if error is not None and not isinstance(error, Unsupported):
            for member in self.members:
                error.add_note(f"{member}: {member.events[-8:]}")

    def join(self, client_name=None, **asked):
        asked = Asked(self.bench.bootstrap, self.name, self.topic, **asked)
        member = Member(client_name or self.bench.client_name, asked)
        self.members.append(member)
        return member

    def produce(self, count):
        """So many records to each partition."""
        producer = Producer({"bootstrap.servers": self.bench.bootstrap, "linger.ms": 5})
        self.produce_with(producer, count)
        check_equal("records without an acknowledgement", producer.flush(20), 0)

    def produce_with(self, producer, count):
        for partition in range(self.partitions):
            for _ in range(count):
                producer.produce(self.topic, b"0123456789" * 10, partition=partition)
            self.ends[partition] += count

    @contextlib.contextmanager
    def load(self):
        """Produces 20 records a second to each partition until the block ends."""
        stopping = threading.Event()
        producer = Producer({"bootstrap.servers": self.bench.bootstrap, "linger.ms": 5})

        def run():
            while not stopping.wait(0.05):
                self.produce_with(producer, 1)
                producer.poll(0)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
            left = producer.flush(20)
        check_equal("records without an acknowledgement", left, 0)

    def until(self, what, is_done, deadline_s=AGREE_S):
        deadline = time.monotonic() + deadline_s
        while not is_done():
            ended = [member for member in self.members if member.process.poll() not in (None, 0) and not member.killed_at]
            # kcat and the tools end by the signal that asks them to leave.
            ended = [member for member in ended if not hasattr(member, "ended_at")]
            check(not ended, f"{ended} ended before {what}")
            check(time.monotonic() < deadline, f"{what} not within {deadline_s} s; {self.owned()}")
            time.sleep(0.01)

    def owned(self):
        return {repr(member): sorted(member.owns()) for member in self.members}

    def await_shared(self, *members):
        """Waits until these members own all partitions, in even parts, and none of them twice."""
        low, high = self.partitions // len(members), -(-self.partitions // len(members))

        def is_shared():
            owned = [member.owns() for member in members]
            all_owned = [partition for part in owned for partition in part]
            is_even = all(low <= len(part) <= high for part in owned)
            return is_even and sorted(all_owned) == list(range(self.partitions))

        self.until(f"{len(members)} members sharing {self.partitions} partitions", is_shared)

    def await_processed(self):
        due = {(partition, offset) for partition, end in self.ends.items() for offset in range(self.starts[partition], end)}
        self.until(f"{len(due)} records processed", lambda: due.issubset(processed(self.members)))

    def check_once(self):
        found = check_group(self.members, self.ends, self.starts)
        check(not found.missing, f"{len(found.missing)} records not processed: {found.missing[:10]}")
        check(not found.twice, f"{len(found.twice)} records processed twice: {found.twice[:10]}")
        check_equal("records processed", found.processed, sum(self.ends.values()) - sum(self.starts.values()))
        check(not found.overlaps, f"owned by two: {found.overlaps[:5]}")

    def committed(self):
        """Committed offsets by partition, as everybody can ask for them."""
        admin = AdminClient({"bootstrap.servers": self.bench.bootstrap})
        asked = ConsumerGroupTopicPartitions(self.name)
        [future] = admin.list_consumer_group_offsets([asked]).values()
        found = future.result(20).topic_partitions
        return {place.partition: place.offset for place in found if place.topic == self.topic}

    def await_committed(self):
        self.until(f"{self.ends} committed", lambda: self.committed() == self.ends, 10)


def shared(bench):
    """Two members of the same client share the partitions; each record is processed once and committed."""
    with Group(bench, "group", 4) as group:
        first = group.join()
        group.until("the first member owns all", lambda: len(first.owns()) == 4)
        second = group.join()
        group.await_shared(first, second)
        group.produce(50)
        group.await_processed()
        group.await_committed()
        second.leave()
        group.await_shared(first)
        first.leave()
        group.check_once()


def resumed(bench):
    """A member that comes after another reads on where that one has committed."""
    with Group(bench, "group-resumed", 1) as group:
        group.produce(100)
        first = group.join()
        group.await_processed()
        first.leave()
        check_equal("committed", group.committed(), {0: 100})
        group.produce(50)
        second = group.join()
        group.await_processed()
        second.leave()
        check_equal("committed", group.committed(), {0: 150})
        group.check_once()


def company_of(client_name):
    return COMPANY_OF_KAFKA_GO if client_name == "kafka-go" else COMPANY


def mixed(bench):
    """Members of three client libraries share a topic under load while one leaves and joins again."""
    if bench.client_name == "kcat":
        raise Unsupported("commits what it has received, and prints less of it when it is told to end")
    others = [name for name in company_of(bench.client_name) if name != bench.client_name][:2]
    with Group(bench, "group-mixed", 6) as group:
        with group.load():
            # One of them leads the group: not every library can assign to members of every other.
            company = [group.join(others[0])]
            group.await_shared(*company)
            company.append(group.join(others[1]))
            member = group.join()
            group.await_shared(member, *company)
            member.leave()
            group.await_shared(*company)
            again = group.join()
            group.await_shared(again, *company)
            company[1].leave()
            group.await_shared(again, company[0])
        group.await_processed()
        again.leave()
        company[0].leave()
        group.check_once()


def killed(bench):
    """The partitions of a member that was killed move when its session is over, not before."""
    with Group(bench, "group-killed", 4) as group:
        survivor = group.join(company_of(bench.client_name)[0])
        group.await_shared(survivor)
        victim = group.join()
        group.await_shared(survivor, victim)
        group.produce(10)
        group.await_processed()
        group.await_committed()
        victim.kill()
        group.produce(10)
        group.await_shared(survivor)
        took_s = time.time() - victim.killed_at
        check(took_s > SESSION_MS / 1000 - 1, f"moved after {took_s:.1f} s, within the session")
        group.await_processed()
        survivor.leave()
        check(not overlaps(group.members), f"owned by two: {overlaps(group.members)}")


def static(bench):
    """A static member that comes back within its session has its partitions, and nobody else notices."""
    with Group(bench, "group-static", 4) as group:
        company = group.join("librdkafka", instance=f"{group.name}-2", session_ms=30_000)
        group.await_shared(company)
        first = group.join(instance=f"{group.name}-1", session_ms=30_000)
        group.await_shared(first, company)
        owned = first.owns()
        group.produce(10)
        group.await_processed()
        group.await_committed()
        seen = len(company.told("assigned", "revoked", "lost"))
        first.kill()
        group.produce(10)
        again = group.join(instance=f"{group.name}-1", session_ms=30_000)
        group.until("the member is back", lambda: again.owns() == owned)
        group.await_processed()
        check_equal("rebalances of the other", len(company.told("assigned", "revoked", "lost")), seen)
        again.leave()
        company.leave()
        group.check_once()


def reset(bench):
    """Without a committed offset, or with one out of range, a member starts where its reset says."""
    with Group(bench, "group-reset", 1) as group:
        group.produce(100)
        bench.steward.trim(group.topic, 0, 30)
        group.starts[0] = 30
        commit(group, 10)
        member = group.join(reset="earliest")
        group.await_processed()
        member.leave()
        group.check_once()
    with Group(bench, "group-latest", 1) as group:
        group.produce(100)
        member = group.join(reset="latest")
        group.until("assignment", lambda: member.owns() == {0})

        def is_read():
            group.produce(1)
            time.sleep(0.1)
            return bool(processed([member]))

        group.until("a record after the end", is_read)
        first = min(offset for _, offset in processed([member]))
        check(first >= 100, f"started at {first}, before the end")
        member.leave()


def commit(group, offset):
    """Commits an offset of partition 0 as one that is no member."""
    consumer = Consumer({"bootstrap.servers": group.bench.bootstrap, "group.id": group.name})
    try:
        consumer.commit(offsets=[TopicPartition(group.topic, 0, offset)], asynchronous=False)
    finally:
        consumer.close()


def cooperative(bench):
    """Under the cooperative assignor a member keeps what it has while another joins."""
    from clients.members import KINDS

    if "cooperative" not in KINDS[bench.client_name].can:
        raise Unsupported("no cooperative assignor")
    with Group(bench, "group-cooperative", 4) as group:
        with group.load():
            first = group.join(assignor="cooperative")
            group.until("the first member owns all", lambda: len(first.owns()) == 4)
            second = group.join(assignor="cooperative")
            group.await_shared(first, second)
            revoked = {partition for event in first.told("revoked") for partition in event["partitions"]}
            check_equal("taken from the first", revoked, second.owns())
        group.await_processed()
        second.leave()
        group.await_shared(first)
        first.leave()
        group.check_once()


def consumer_protocol(bench):
    """The same under group.protocol=consumer, where the broker decides who owns what."""
    with Group(bench, "group-consumer", 4) as group:
        with group.load():
            first = group.join(protocol="consumer")
            group.until("the first member owns all", lambda: len(first.owns()) == 4)
            second = group.join(protocol="consumer")
            group.await_shared(first, second)
        group.await_processed()
        second.leave()
        group.await_shared(first)
        first.leave()
        group.await_committed()
        group.check_once()


def administration(bench):
    """A group is listed and described, its offsets are read and set; with members it is not deleted, without it is."""
    client = bench.client
    with Group(bench, "group-admin", 2) as group:
        member = group.join("librdkafka")
        group.await_shared(member)
        group.produce(30)
        group.await_processed()
        group.await_committed()
        check(group.name in client.groups(), "the group is not listed")
        check_equal("state and members", client.group(group.name), ("Stable", 1))
        check_equal("committed", client.group_offsets(group.name, group.topic, 2), {0: 30, 1: 30})
        try:
            client.delete_group(group.name)
        except Refused as refused:
            check_equal("error of deleting a group with members", refused.code, NON_EMPTY_GROUP)
        else:
            check(False, "a group with members was deleted")
        member.leave()
        check_equal("state and members", client.group(group.name), ("Empty", 0))
        client.set_group_offsets(group.name, group.topic, {0: 7, 1: 9})
        check_equal("committed", client.group_offsets(group.name, group.topic, 2), {0: 7, 1: 9})
        client.delete_group(group.name)
        check(group.name not in client.groups(), "the deleted group is listed")


GROUP_SCENARIOS = {
    "group shared": shared,
    "group resumed": resumed,
    "group mixed": mixed,
    "group killed": killed,
    "group static": static,
    "group reset": reset,
    "group cooperative": cooperative,
    "group consumer": consumer_protocol,
    "group administration": administration,
}
