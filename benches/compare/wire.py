"""As much of the Kafka protocol as it takes to see that a broker answers, and that all partitions of
a topic do."""

import socket
import struct

LIST_OFFSETS = 2
API_VERSIONS = 18
LATEST = -1


class Connection:
    """One connection; every answer has a deadline."""

    def __init__(self, port, timeout_s=15):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, api_key, version, body):
        """Sends a request with a header of version 1 and returns the body of the answer."""
        self.correlation_id += 1
        client = b"compare"
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
        """Asks ApiVersions v0: the first thing that any client asks."""
        (error,) = struct.unpack_from(">h", self.ask(API_VERSIONS, 0, b""))
        if error != 0:
            raise ConnectionError(f"ApiVersions answered error {error}")

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
