"""Kafka's own checks of a broker from the client's side, and its tools for the cluster. Rows of the column kafka-tools."""

import json
import re
import subprocess
import threading

from clients.client import Unsupported
from clients.command import COMMAND_S, CommandFailed, run
from clients.tools import TOOLS
from places import java
from records import check, check_equal, sample
from scenarios import until
from wire import Connection

DESCRIBE_ACLS = 29
GROUP_VERSION = "group.version"


def of_tools(scenario):
    """A scenario about Kafka's own tools: the other clients leave it out."""

    def row(bench):
        if bench.client_name != "kafka-tools":
            raise Unsupported("about Kafka's own tools")
        scenario(bench)

    return row


@of_tools
def compatibility(bench):
    """ClientCompatibilityTest finds every feature of a broker that it is told of, and none that it is not."""
    with Connection(bench.bootstrap) as connection:
        has_acls = DESCRIBE_ACLS in connection.api_versions()
    expected = {
        "offsets-for-times-supported": True,
        "cluster-id-supported": True,
        "expect-record-too-large-exception": False,
        "create-topics-supported": True,
        "describe-acls-supported": has_acls,
        "describe-configs-supported": True,
        "idempotent-producer-supported": True,
    }
    options = [part for name, value in expected.items() for part in (f"--{name}", str(value).lower())]
    topic = bench.new_topic("compatibility")
    text = bench.client.tool("ClientCompatibilityTest", "--topic", topic, "--num-cluster-nodes", "1", *options)
    check("SUCCESS" in text, f"no success in: {text}")


@of_tools
def verifiable_producer(bench):
    """VerifiableProducer is told the offset of each record it sent."""
    topic = bench.new_topic("verifiable")
    text = bench.client.tool("VerifiableProducer", "--topic", topic, "--max-messages", "100")
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    sent = [event for event in events if event["name"] == "producer_send_success"]
    check_equal("offsets", [event["offset"] for event in sent], list(range(100)))
    check_equal("values", [event["value"] for event in sent], [str(number) for number in range(100)])
    check_equal("acknowledged", events[-1]["acked"], 100)
    check_equal("end", bench.client.offsets(topic, 0), (0, 100))


@of_tools
def measuring_tools(bench):
    """ProducerPerformance and EndToEndLatency get all their records through."""
    topic = bench.new_topic("measured")
    sizes = ["--num-records", "1000", "--record-size", "100"]
    text = bench.client.tool("ProducerPerformance", "--topic", topic, "--throughput", "-1", *sizes)
    check("1000 records sent" in text, f"no figures in: {text}")
    check_equal("end", bench.client.offsets(topic, 0), (0, 1000))

    topic = bench.new_topic("latency")
    options = ["--num-records", "50", "--record-size", "100", "--producer-acks", "all"]
    # The tool commits when it closes; the coordinator may still be reading its part of the log then.
    tolerated = ("Offset commit failed",)
    text = bench.client.tool("EndToEndLatency", "--topic", topic, *options, tolerated=tolerated)
    check("Percentiles" in text, f"no figures in: {text}")
    check_equal("end", bench.client.offsets(topic, 0), (0, 50))


@of_tools
def cluster_tools(bench):
    """The cluster, its APIs and its metadata quorum are described."""
    tool = bench.client.tool
    _, output, _ = run(java(f"{TOOLS}.ClusterTool", "cluster-id", "--bootstrap-server", bench.bootstrap))
    [cluster] = re.findall(r"^Cluster ID: (\S{22})$", output.decode(), re.MULTILINE)
    apis = tool("BrokerApiVersionsCommand")
    check(f"{bench.bootstrap} (id: " in apis, f"the broker is not named: {apis}")
    check(re.search(r"Produce\(0\): 0 to 13 \[usable: 13\]", apis), f"Produce is not usable: {apis}")

    status = dict(re.findall(r"^(\w+):\s+(.*)$", tool("MetadataQuorumCommand", "describe", "--status"), re.MULTILINE))
    check_equal("cluster", status["ClusterId"], cluster)
    check_equal("lag", (status["MaxFollowerLag"], status["MaxFollowerLagTimeMs"]), ("0", "0"))
    [voter] = json.loads(status["CurrentVoters"])
    check_equal("voter", str(voter["id"]), status["LeaderId"])
    check(len(voter["endpoints"]) > 0, f"nobody reaches the voter: {voter}")
    check_equal("observers", status["CurrentObservers"], "[]")
    check(int(status["LeaderEpoch"]) > 0 and int(status["HighWatermark"]) > 0, f"status: {status}")
    text = tool("MetadataQuorumCommand", "describe", "--replication")
    [row] = [line.split() for line in text.splitlines() if not line.startswith("NodeId") and line.strip()]
    check_equal("voter", (row[0], row[3], row[-1]), (status["LeaderId"], "0", "Leader"))
    check(int(row[2]) >= int(status["HighWatermark"]), f"the log ends before what is committed: {row}")


@of_tools
def replica_verification(bench):
    """ReplicaVerificationTool, a replica of its own in the broker's eyes, reads all that is there."""
    topic = bench.new_topic("verified")
    bench.client.produce(topic, sample(20))
    options = ["--topics-include", re.escape(topic), "--time", "-2", "--report-interval-ms", "200"]
    command = java(f"{TOOLS}.ReplicaVerificationTool", "--broker-list", bench.bootstrap, *options)
    # It goes on for ever, so it is ended once it has read everything.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    watchdog = threading.Timer(COMMAND_S, process.kill)
    watchdog.start()
    try:
        reports = []
        for line in process.stdout:
            reports.append(line)
            if re.search(r"max lag is 0 for partition \S+ at offset [1-9]\d* among 1 partitions", line):
                return
        check(False, f"not verified within {COMMAND_S} s: {reports[-5:]}")
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


@of_tools
def features(bench):
    """The level of a feature is described; what cannot be is refused, for all features of a request."""
    described = feature_levels(bench)
    check_equal("group.version", described[GROUP_VERSION], ("0", "1", "1"))
    change = feature_change(bench)
    for arguments in [
        ("upgrade", "--feature", "nobody.version=1"),
        ("upgrade", "--feature", f"{GROUP_VERSION}=2"),
        ("upgrade", "--feature", f"{GROUP_VERSION}=1", "--feature", "nobody.version=1"),
        ("downgrade", "--feature", "metadata.version=8"),
    ]:
        try:
            change(*arguments)
        except CommandFailed as failed:
            check("operation(s) failed" in str(failed), f"{arguments}: {failed}")
        else:
            check(False, f"{arguments} was not refused")
    check(f"{GROUP_VERSION} was upgraded to 1" in change("upgrade", "--feature", f"{GROUP_VERSION}=1"), "no upgrade")
    # A trial only: members of other rows speak the protocol that it would switch off.
    text = change("downgrade", "--feature", f"{GROUP_VERSION}=0", "--dry-run")
    check(f"{GROUP_VERSION} can be downgraded to 0" in text, f"no trial: {text}")
    until("the levels are as before", lambda: feature_levels(bench) == described)


def feature_change(bench):
    return lambda *arguments: bench.client.tool("FeatureCommand", *arguments)


def feature_levels(bench):
    """Lowest, highest and present level of each feature, as texts."""
    text = bench.client.tool("FeatureCommand", "describe")
    row = r"Feature: (\S+)\s+SupportedMinVersion: (\S+)\s+SupportedMaxVersion: (\S+)\s+FinalizedVersionLevel: (\S+)"
    return {name: tuple(levels) for name, *levels in (match.groups() for match in re.finditer(row, text))}


BROKER_SCENARIOS = {
    "compatibility test": compatibility,
    "verifiable producer": verifiable_producer,
    "measuring tools": measuring_tools,
    "cluster tools": cluster_tools,
    "replica verification": replica_verification,
    "features": features,
}
