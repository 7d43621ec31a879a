"""Members of classic groups without anything behind them: they join, sync and heartbeat, each on a connection of its own."""

import asyncio
import struct
import time

import group_requests
from group_requests import FIND_COORDINATOR, HEARTBEAT, JOIN_GROUP, MEMBER_ID_REQUIRED, NOT_READY, SYNC_GROUP

CONNECT_S = 30
ANSWER_S = 60


class Refused(Exception):
    """The coordinator answered with an error that no member expects here."""


class Channel(asyncio.Protocol):
    """One connection; answers come in the order of the requests."""

    def __init__(self):
        self.waiting = []
        self.received = bytearray()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        while len(self.received) >= 4:
            (length,) = struct.unpack_from(">i", self.received)
            if len(self.received) < 4 + length:
                return
            body = bytes(self.received[8 : 4 + length])
            del self.received[: 4 + length]
            answer = self.waiting.pop(0)
            if not answer.done():
                answer.set_result(body)

    def connection_lost(self, error):
        for answer in self.waiting:
            if not answer.done():
                answer.set_exception(ConnectionError("closed by the broker"))

    async def ask(self, api, body):
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        self.transport.write(group_requests.frame(api, 0, body))
        return await answer


async def channel(port):
    loop = asyncio.get_running_loop()
    connected = loop.create_connection(Channel, "127.0.0.1", port)
    return (await asyncio.wait_for(connected, CONNECT_S))[1]


async def await_coordinator(port, group):
    """Asks until the group has a coordinator, which creates the topic of offsets."""
    link = await channel(port)
    deadline = time.monotonic() + ANSWER_S
    while group_requests.error_of(await link.ask(FIND_COORDINATOR, group_requests.find_coordinator(group))) != 0:
        if time.monotonic() > deadline:
            raise Refused(f"no coordinator for {group} within {ANSWER_S} s")
        await asyncio.sleep(0.05)
    link.transport.close()


def subscription(topic):
    return struct.pack(">h", 0) + group_requests.several([group_requests.text(topic)]) + struct.pack(">i", -1)


def assignment(topic, partition):
    places = group_requests.several([struct.pack(">i", partition)])
    return struct.pack(">h", 0) + group_requests.several([group_requests.text(topic) + places]) + struct.pack(">i", -1)


class Member:
    """One member; `latencies` takes the seconds that each heartbeat waited for its answer."""

    def __init__(self, port, group, topic, latencies):
        self.port = port
        self.group = group
        self.topic = topic
        self.latencies = latencies
        self.id = ""
        self.generation = -1
        self.joins = 0
        self.synced_at = None
        self.link = None
        self.errors = []

    async def join(self):
        """Joins and syncs until the group is stable with this member in it."""
        if self.link is None:
            self.link = await channel(self.port)
        while True:
            body = group_requests.join(self.group, self.id, subscription(self.topic))
            joined = group_requests.Joined(await self.link.ask(JOIN_GROUP, body))
            if joined.error == MEMBER_ID_REQUIRED:
                self.id = joined.member
                continue
            if joined.error in NOT_READY:
                await asyncio.sleep(0.1)
                continue
            if joined.error:
                raise Refused(f"JoinGroup of {self.group} answered {joined.error}")
            self.id, self.generation = joined.member, joined.generation
            given = []
            if joined.leader == joined.member:
                given = [(member, assignment(self.topic, 0)) for member in joined.members]
            body = group_requests.sync(self.group, self.generation, self.id, given)
            error, _ = group_requests.synced(await self.link.ask(SYNC_GROUP, body))
            if error == group_requests.REBALANCE_IN_PROGRESS or error in NOT_READY:
                continue
            if error:
                raise Refused(f"SyncGroup of {self.group} answered {error}")
            self.joins += 1
            self.synced_at = time.monotonic()
            return

    async def heartbeat(self):
        """One heartbeat; joins again where the answer asks for it. True if it did."""
        began = time.monotonic()
        body = group_requests.heartbeat(self.group, self.generation, self.id)
        error = group_requests.error_of(await self.link.ask(HEARTBEAT, body))
        self.latencies.append(time.monotonic() - began)
        if error == group_requests.REBALANCE_IN_PROGRESS:
            await self.join()
            return True
        if error:
            self.errors.append(error)
        return False

    async def live(self, interval_s, first_s):
        """Heartbeats at an even pace until it is cancelled."""
        due = time.monotonic() + first_s
        while True:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            await self.heartbeat()
            due += interval_s

    def close(self):
        if self.link is not None:
            self.link.transport.close()
