"""Starts, watches and ends the two brokers. Each start is on a fresh directory unless it is a restart."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from places import COMPARE, LIBS, WORK
from wire import Connection

READY_S = 180
STOP_S = 60
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

# Deleted segments give their memory back at once, so that the rows that follow find warm pages.
DELETE_DELAY_MS = 100

# What Kafka's own start script gives the JVM, with the heap of its default.
JVM_OPTIONS = [
    "-server",
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
]


class BrokerFailed(Exception):
    """The broker did not start, or did not stop when it was asked to."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker process and what the system says about it."""

    name = None

    def __init__(self, **settings):
        # Beside those that every broker has; the names come with underscores.
        self.settings = {name.replace("_", "."): value for name, value in settings.items()}
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.home = WORK / self.name
        self.data_dir = self.home / "data"
        self.log_path = self.home / "broker.log"
        self.process = None
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.prepare()

    def prepare(self):
        """What has to be done once before the first start."""

    def command(self):
        raise NotImplementedError

    def start(self, ready=None):
        """Starts the process; returns the milliseconds to its first answer, or until `ready` holds."""
        ready = ready or Connection.api_versions
        started = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home
            )
        while time.monotonic() < started + READY_S:
            if self.process.poll() is not None:
                raise BrokerFailed(f"{self.name} ended at start:\n{self.log_tail()}")
            with contextlib.suppress(OSError):
                with Connection(self.bootstrap) as connection:
                    if ready(connection) is not False:
                        return (time.monotonic() - started) * 1000
            time.sleep(0.002)
        self.kill()
        raise BrokerFailed(f"{self.name} was not ready within {READY_S} s:\n{self.log_tail()}")

    def stop(self):
        """Ends the process and removes its data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def kill(self):
        """Ends the process as a power cut of the process would; the page cache survives."""
        self.process.kill()
        self.process.wait()

    def cpu_s(self):
        """CPU time that this process has used, all threads, user and system."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def rss_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def log_tail(self, lines=30):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


class Kabuki(Broker):
    name = "kabuki"

    def __init__(self, binary, **settings):
        self.binary = binary
        super().__init__(**settings)

    def command(self):
        overrides = [
            f"listeners=PLAINTEXT://{self.bootstrap}",
            f"log.dirs={self.data_dir}",
            f"log.segment.delete.delay.ms={DELETE_DELAY_MS}",
            "kabuki.log.level=error",
            *(f"{name}={value}" for name, value in self.settings.items()),
        ]
        arguments = [part for override in overrides for part in ("--override", override)]
        return [str(self.binary), "start", *arguments]


class Kafka(Broker):
    name = "kafka"

    def prepare(self):
        self.properties = self.home / "server.properties"
        controller_port = free_port()
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data_dir),
            "log.segment.delete.delay.ms": str(DELETE_DELAY_MS),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **self.settings,
        }
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        cluster_id = "AAAAAAAAAAAAAAAAAAAAAQ"
        format_command = self.java("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", self.properties)
        subprocess.run(format_command, check=True, timeout=READY_S, stdout=subprocess.DEVNULL)

    def command(self):
        return self.java("kafka.Kafka", self.properties)

    @staticmethod
    def java(main, *arguments):
        return [
            "java",
            *JVM_OPTIONS,
            f"-Dlog4j2.configurationFile={COMPARE / 'log4j2.properties'}",
            "-cp",
            f"{LIBS}/*",
            main,
            *map(str, arguments),
        ]
