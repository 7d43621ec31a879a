"""kcat, the command-line client on the system's librdkafka."""

import re

from clients.client import MESSAGE_TOO_LARGE, UNKNOWN_TOPIC, Client, Refused
from clients.command import CommandFailed, run
from records import Record

KEY_END = "\x1f"
RECORD_END = "\x1e"
REFUSALS = {
    "Unknown topic or partition": UNKNOWN_TOPIC,
    "Message size too large": MESSAGE_TOO_LARGE,
}
# kcat lets the broker create what it reads.
NO_CREATION = ["-X", "allow.auto.create.topics=false"]
# Lengths first, so that keys and values need no delimiter; -1 is null.
FORMAT = r"%o %T %K %S %h\n%k%s\n"


class Kcat(Client):
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def kcat(self, *arguments, stdin=None):
        code, output, errors = run(
            ["kcat", "-b", self.bootstrap, *arguments], stdin=stdin, may_fail=True
        )
        for text, refusal in REFUSALS.items():
            if text in errors or text.encode() in output:
                raise Refused(refusal, text)
        if code != 0:
            raise CommandFailed(f"kcat {arguments} ended with {code}: {errors[-2000:]}")
        return output

    def partitions(self, topic):
        output = self.kcat("-L", "-t", topic, *NO_CREATION).decode()
        found = re.search(rf'topic "{re.escape(topic)}" with (\d+) partitions', output)
        if found is None or found.group(1) == "0":
            raise Refused(UNKNOWN_TOPIC, output)
        return int(found.group(1))

    def offsets(self, topic, partition):
        found = []
        for time in (-2, -1):
            output = self.kcat("-Q", "-t", f"{topic}:{partition}:{time}").decode()
            found.append(int(re.search(r"offset (\d+)", output).group(1)))
        return tuple(found)

    def produce(self, topic, records, acks="all", compression="none", idempotent=False, bytes_max=1_000_000):
        options = [
            "-P", "-t", topic, "-p", "0", "-K", KEY_END, "-D", RECORD_END, "-z", compression,
            "-X", f"acks={acks}",
            "-X", f"enable.idempotence={str(idempotent).lower()}",
            "-X", f"message.max.bytes={bytes_max}",
            "-X", "linger.ms=50",
        ]
        for group in groups(records):
            first = group[0]
            # With -Z what is empty is null; without it, a record without the delimiter has no key.
            nulls = ["-Z"] if first.key is None or first.value is None else []
            headers = []
            for name, value in first.headers:
                headers += ["-H", name if value is None else f"{name}={value}"]
            lines = [f"{record.key or ''}{KEY_END}{record.value or ''}{RECORD_END}" for record in group]
            self.kcat(*options, *nulls, *headers, stdin="".join(lines).encode())

    def consume(self, topic, start, count):
        at, number = start
        place = {"beginning": "beginning", "offset": number, "timestamp": f"s@{number}"}[at]
        output = self.kcat(
            "-C", "-q", "-e", "-t", topic, "-p", "0", "-o", str(place), "-f", FORMAT,
            "-X", "fetch.message.max.bytes=4194304", *NO_CREATION,
        )
        records = []
        while output:
            head, output = output.split(b"\n", 1)
            offset, timestamp, key_bytes, value_bytes, headers = head.decode().split(" ", 4)
            key, output = take(output, int(key_bytes))
            value, output = take(output, int(value_bytes))
            output = output.removeprefix(b"\n")
            pairs = tuple(pair(text) for text in headers.split(",") if text)
            records.append(Record(key, value, pairs, int(offset), int(timestamp)))
        return records


def groups(records):
    """Runs of records that one call of kcat can produce: same headers, all or none with nulls."""
    run_of = []
    for record in records:
        if run_of and kind(run_of[-1]) != kind(record):
            yield run_of
            run_of = []
        run_of.append(record)
    if run_of:
        yield run_of


def kind(record):
    return record.headers, record.key is None, record.value is None


def take(output, length):
    if length < 0:
        return None, output
    return output[:length].decode(), output[length:]


def pair(text):
    name, _, value = text.partition("=")
    return name, None if value == "NULL" else value
