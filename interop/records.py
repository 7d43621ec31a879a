"""The records that scenarios produce, and how what came back is compared with them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Record:
    """A record as text; `None` is null. Offset and timestamp are known of consumed ones only."""

    key: str | None
    value: str | None
    headers: tuple = ()
    offset: int | None = None
    timestamp: int | None = None

    def to_json(self):
        return {"key": self.key, "value": self.value, "headers": [list(h) for h in self.headers]}

    @staticmethod
    def from_json(fields):
        return Record(
            key=fields["key"],
            value=fields["value"],
            headers=tuple((name, value) for name, value in fields["headers"]),
            offset=fields["offset"],
            timestamp=fields["timestamp"],
        )


class Mismatch(Exception):
    """What a broker stored or gave out is not what the scenario asks for."""


def sample(count, start=0):
    """Records of 200 bytes that compress well, each different."""
    return [Record(f"key-{n}", f"value-{n:06}-" + "abcdefgh" * 23) for n in range(start, start + count)]


def check(is_right, message):
    if not is_right:
        raise Mismatch(message)


def check_equal(what, found, expected):
    check(found == expected, f"{what}: found {shortened(found)}, expected {shortened(expected)}")


def check_records(found, sent, first_offset=0):
    """Every record once, in order, with its content."""
    check_equal("records", len(found), len(sent))
    offsets = [record.offset for record in found]
    check_equal("offsets", offsets, list(range(first_offset, first_offset + len(sent))))
    for got, expected in zip(found, sent):
        content = dataclasses.replace(got, offset=None, timestamp=None)
        check_equal(f"record at {got.offset}", content, expected)


def shortened(value, limit=300):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
