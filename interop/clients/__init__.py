"""One module a client. Each makes the calls of `clients.client.Client` with that client's own means."""

import sys

from clients.driver_process import DriverProcess
from clients.kcat import Kcat
from clients.tools import Tools
from places import GO_PROGRAMS, NODE_MODULES, RUST_PROGRAM, java


def python_driver(module):
    return [sys.executable, "-m", f"clients.{module}"]


def go_driver(program):
    return [GO_PROGRAMS / program]


def node_driver(module):
    return ["env", f"NODE_PATH={NODE_MODULES}", "node", f"clients/node/{module}.js"]


def all_clients(bootstrap):
    """All clients by name, in the order of the table's columns."""
    return {
        "kcat": Kcat(bootstrap),
        "librdkafka": DriverProcess(bootstrap, python_driver("confluent_driver")),
        "kafka-python": DriverProcess(
            bootstrap, python_driver("kafka_python_driver"), has_null_headers=False
        ),
        "rdkafka": DriverProcess(bootstrap, [RUST_PROGRAM]),
        "confluent-js": DriverProcess(
            bootstrap, node_driver("confluent_driver"), has_null_headers=False
        ),
        "aiokafka": DriverProcess(bootstrap, python_driver("aiokafka_driver")),
        "java": DriverProcess(bootstrap, java("JavaDriver")),
        "sarama": DriverProcess(bootstrap, go_driver("sarama")),
        "kafka-go": DriverProcess(bootstrap, go_driver("kafkago"), has_null_headers=False),
        "kafkajs": DriverProcess(bootstrap, node_driver("kafkajs_driver")),
        "kafka-tools": Tools(bootstrap),
    }


def steward(bootstrap):
    """The client that makes topics for scenarios which are about something else."""
    return DriverProcess(bootstrap, python_driver("confluent_driver"))


