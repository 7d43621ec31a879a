"""The broker under fault with its directories, and the breaking of things, each with its cure.

Every cure is registered before the fault is laid, so that an interrupted run leaves no frozen
file system, no mount and no immutable directory behind.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from broker import Broker, start_kafka  # noqa: E402
from command import COMMAND_S, command  # noqa: E402

FORGET_S = 5


class Node:
    """A broker with one or more data directories; leaves nothing behind when it is closed."""

    def __init__(self, binary, settings=(), directories=1, volume=None):
        self.binary = binary
        self.settings = list(settings)
        self.cures = contextlib.ExitStack()
        self.broker = Broker("kabuki") if binary else None
        self.directories = []
        self.volume = volume
        if binary is not None:
            self.cures.callback(self._remove)
        try:
            if binary is None:
                self.broker = start_kafka()
                self.cures.callback(self._remove)
                self.directories = [self.broker.data_dir]
                self.cures.callback(self._end)
                return
            self.directories = [self.broker.home / f"data-{number}" for number in range(directories)]
            if volume:
                self.cures.callback(volume.remove)
                volume.mount(self.broker.home, self.directories[-1])
            self.cures.callback(self._end)
            self.start()
        except BaseException:
            self.cures.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cures.close()

    @property
    def bootstrap(self):
        return self.broker.bootstrap

    def start(self):
        overrides = [
            f"listeners=PLAINTEXT://{self.bootstrap}",
            f"log.dirs={','.join(map(str, self.directories))}",
            "kabuki.chaos.enable=true",
            *self.settings,
        ]
        words = [word for override in overrides for word in ("--override", override)]
        self.broker.start([str(self.binary), "start", *words])

    def kill(self):
        self.broker.process.send_signal(signal.SIGKILL)
        self.broker.process.wait(COMMAND_S)

    def is_alive(self):
        return self.broker.process.poll() is None

    def _end(self):
        if self.is_alive():
            self.kill()

    def _remove(self):
        """The directory stays to be looked at where INTEROP_KEEP=1 asks for it."""
        if os.environ.get("INTEROP_KEEP") != "1":
            shutil.rmtree(self.broker.home, ignore_errors=True)

    def partition_directory(self, topic, partition):
        for directory in self.directories:
            path = directory / f"{topic}-{partition}"
            if path.is_dir():
                return path
        raise RuntimeError(f"no directory of {topic}-{partition}")

    def story(self, actor="/"):
        """The events of the supervision log at and below a path, oldest first."""
        if self.binary is None:
            return []
        text = command(self.binary, "actors", "log", "--json", "--actor", actor, "--bootstrap", self.bootstrap)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def crash(self, path):
        command(self.binary, "actors", "crash", "--bootstrap", self.bootstrap, path)

    @contextlib.contextmanager
    def immutable(self, directory):
        with self._until_cured(["chattr", "+i", directory], ["chattr", "-i", directory]) as cure:
            yield cure

    @contextlib.contextmanager
    def frozen(self, directory):
        with self._until_cured(["fsfreeze", "-f", directory], ["fsfreeze", "-u", directory]) as cure:
            yield cure

    @contextlib.contextmanager
    def filled(self, directory):
        ballast = directory / "ballast"
        fill = ["sh", "-c", f"dd if=/dev/zero of={ballast} bs=1M 2>/dev/null; dd if=/dev/zero of={ballast}.rest bs=4k 2>/dev/null; true"]
        with self._until_cured(fill, ["rm", "-f", ballast, f"{ballast}.rest"]) as cure:
            yield cure

    @contextlib.contextmanager
    def failing(self, _):
        """Every write to the medium fails with EIO."""
        with self._until_cured(self.volume.limit_command(True), self.volume.limit_command(False)) as cure:
            yield cure

    @contextlib.contextmanager
    def failing_and_forgetting(self, directory):
        """As `failing`, and what is in the page cache is dropped when the partitions refuse writes, as
        when memory runs short: what could not be written is gone then."""
        with self.failing(directory) as cure:
            refusing = time.monotonic() + FORGET_S
            while time.monotonic() < refusing and not any(event["kind"] == "degraded" for event in self.story("/replicas")):
                time.sleep(0.2)
            for file in sorted(directory.glob("*-*/*")):
                with open(file, "rb") as content:
                    os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            yield cure

    @contextlib.contextmanager
    def unreadable(self, file):
        """Reading a stretch of one file fails with EIO."""
        with contextlib.ExitStack() as pending:
            self.cures.push(pending.__exit__)
            pending.callback(self.volume.damage(file))
            yield pending.close

    @contextlib.contextmanager
    def _until_cured(self, fault, cure):
        pending = contextlib.ExitStack()
        self.cures.push(pending.__exit__)
        pending.callback(command, *cure, check=False)
        try:
            command(*fault)
            yield pending.close
        finally:
            pending.close()


def flip(path, position, count=64):
    """Inverts bytes of a file in place."""
    with open(path, "r+b") as file:
        file.seek(position)
        old = file.read(count)
        file.seek(position)
        file.write(bytes(byte ^ 0xFF for byte in old))
