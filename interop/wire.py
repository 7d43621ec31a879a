"""As much of the Kafka protocol as it takes to look at a broker without any client.

A client decompresses and hides what a broker stored, so the codec and the producer id of a stored
batch are read from the bytes of a Fetch answer. The benchmarks use this, too.
"""

import dataclasses
import socket
import struct

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
FETCH = 1
LIST_OFFSETS = 2
API_VERSIONS = 18
LATEST = -1
BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")


@dataclasses.dataclass
class StoredBatch:
    """The header of a batch as the broker gave it out."""

    base_offset: int
    last_offset: int
    codec: str
    is_transactional: bool
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    bytes: int


class Connection:
    """One connection; every answer has a deadline."""

    def __init__(self, bootstrap, timeout_s=15):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, api_key, version, body):
        """Sends a request with a header of version 1 and returns the body of the answer."""
        self.correlation_id += 1
        client = b"interop"
        header = struct.pack(">hhih", api_key, version, self.correlation_id, len(client)) + client
        frame = header + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        (length,) = struct.unpack(">i", self._take(4))
        answer = self._take(length)
        (correlation_id,) = struct.unpack_from(">i", answer)
        if correlation_id != self.correlation_id:
            raise ConnectionError(f"asked {self.correlation_id}, was answered {correlation_id}")
        return answer[4:]

    def _take(self, count):
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise ConnectionError("closed within an answer")
            parts += part
        return bytes(parts)

    def api_versions(self):
        """Asks ApiVersions v0; returns {api key: (min, max)}."""
        answer = self.ask(API_VERSIONS, 0, b"")
        error, count = struct.unpack_from(">hi", answer)
        if error != 0:
            raise ConnectionError(f"ApiVersions v0 answered error {error}")
        ranges = struct.iter_unpack(">hhh", answer[6 : 6 + 6 * count])
        return {key: (low, high) for key, low, high in ranges}

    def log_ends(self, topic, partitions):
        """Asks ListOffsets v1; returns the end of each partition, None where there is an error."""
        name = topic.encode()
        body = struct.pack(">iih", -1, 1, len(name)) + name + struct.pack(">i", len(partitions))
        body += b"".join(struct.pack(">iq", index, LATEST) for index in partitions)
        answer = self.ask(LIST_OFFSETS, 1, body)
        at = 4 + 2 + len(name)
        (count,) = struct.unpack_from(">i", answer, at)
        entry = struct.Struct(">ihqq")
        ends = {}
        for _, (index, error, _, offset) in zip(range(count), entry.iter_unpack(answer[at + 4 :])):
            ends[index] = offset if error == 0 else None
        return ends

    def fetch(self, topic, partition, offset):
        """Asks Fetch v4 for up to 4 MiB; returns (high watermark, record bytes)."""
        name = topic.encode()
        body = struct.pack(">iiiib", -1, 0, 0, 4 << 20, 0)
        body += struct.pack(">ih", 1, len(name)) + name
        body += struct.pack(">iiqi", 1, partition, offset, 4 << 20)
        answer = self.ask(FETCH, 4, body)
        at = 4 + 4 + 2 + len(name) + 4
        _, error, high_watermark, _ = struct.unpack_from(">ihqq", answer, at)
        if error != 0:
            raise ConnectionError(f"Fetch of {topic}-{partition} at {offset} answered error {error}")
        at += 22
        (aborted_count,) = struct.unpack_from(">i", answer, at)
        at += 4 + 16 * max(aborted_count, 0)
        (length,) = struct.unpack_from(">i", answer, at)
        return high_watermark, answer[at + 4 : at + 4 + max(length, 0)]


def stored_batches(bootstrap, topic, partition=0):
    """The headers of all batches of a partition, in order."""
    found = []
    offset = 0
    with Connection(bootstrap) as connection:
        while True:
            high_watermark, records = connection.fetch(topic, partition, offset)
            found += [batch for batch in headers(records) if batch.base_offset >= offset]
            next_offset = found[-1].last_offset + 1 if found else 0
            if next_offset >= high_watermark:
                return found
            if next_offset == offset:
                raise ConnectionError(f"no batch at {offset} below {high_watermark}")
            offset = next_offset


def headers(records):
    at = 0
    while at + BATCH_HEADER.size <= len(records):
        fields = BATCH_HEADER.unpack_from(records, at)
        (base_offset, length, _, magic, _, attributes, last_delta) = fields[:7]
        producer_id, producer_epoch, base_sequence, record_count = fields[9:]
        if magic != 2:
            raise ConnectionError(f"batch at {base_offset} has magic {magic}")
        at += 12 + length
        if at > len(records):
            return
        yield StoredBatch(
            base_offset=base_offset,
            last_offset=base_offset + last_delta,
            codec=CODECS[attributes & 7],
            is_transactional=bool(attributes & 16),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            record_count=record_count,
            bytes=12 + length,
        )
