"""Starts and stops the broker under test: Kabuki, or Apache Kafka to compare with."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from places import WORK, java
from wire import Connection

READY_S = 60
STOP_S = 30


class BrokerFailed(Exception):
    """The broker did not start, or did not stop when it was asked to."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker process with a fresh directory, its log file, and the time to its first answer."""

    def __init__(self, name):
        self.name = name
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.home = WORK / f"{name}-{self.port}"
        self.data_dir = self.home / "data"
        self.log_path = self.home / "broker.log"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.process = None
        self.command = None
        self.started_at = None
        self.first_answer_ms = None

    def start(self, command):
        self.command = command
        started = self.started_at = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home
            )
        while time.monotonic() < started + READY_S:
            if self.process.poll() is not None:
                raise BrokerFailed(f"{self.name} ended at start:\n{self.log_tail()}")
            with contextlib.suppress(OSError, ConnectionError):
                with Connection(self.bootstrap, timeout_s=5) as connection:
                    connection.api_versions()
                    self.first_answer_ms = (time.monotonic() - started) * 1000
                    return self
            time.sleep(0.005)
        self.stop()
        raise BrokerFailed(f"{self.name} did not answer within {READY_S} s:\n{self.log_tail()}")

    def stop(self):
        """Asks for a clean stop; says in the exception if the process had to be killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BrokerFailed(f"{self.name} did not stop within {STOP_S} s of SIGTERM")

    def kill(self):
        """Ends the process as a power cut of the process would; the page cache survives."""
        self.process.kill()
        self.process.wait(STOP_S)

    def restart(self):
        """Starts a process that ended again, on what it left behind."""
        return self.start(self.command)

    def log_tail(self, lines=30):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


def start_kabuki(binary, *settings):
    broker = Broker("kabuki")
    overrides = [
        f"listeners=PLAINTEXT://{broker.bootstrap}",
        f"log.dirs={broker.data_dir}",
        "group.initial.rebalance.delay.ms=0",
        *settings,
    ]
    arguments = [part for override in overrides for part in ("--override", override)]
    return broker.start([str(binary), "start", *arguments])


def start_kafka():
    broker = Broker("kafka")
    controller_port = free_port()
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://{broker.bootstrap},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{broker.bootstrap}",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(broker.data_dir),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    path = broker.home / "server.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    format_command = java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(path))
    subprocess.run(format_command, check=True, timeout=READY_S, stdout=subprocess.DEVNULL)
    return broker.start(java("kafka.Kafka", str(path), heap="1g"))


def remove_home(broker):
    """Deletes the directory of a broker whose run passed; a failed one is kept to look at."""
    if os.environ.get("INTEROP_KEEP") != "1":
        shutil.rmtree(broker.home, ignore_errors=True)
