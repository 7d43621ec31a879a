"""What every client is asked to do."""


class Unsupported(Exception):
    """This client has no means for it; the cell of the table stays empty."""


class Refused(Exception):
    """The broker answered with an error code, or the client reported one."""

    def __init__(self, code, message):
        super().__init__(f"error {code}: {message}")
        self.code = code


UNKNOWN_TOPIC = 3
MESSAGE_TOO_LARGE = 10
NON_EMPTY_GROUP = 68

# Where to start reading: ("beginning", None), ("offset", n) or ("timestamp", milliseconds).
BEGINNING = ("beginning", None)


class Client:
    """The calls of the scenarios. A client that cannot make one leaves it as it is here."""

    # Whether the library lets a header have a null value.
    has_null_headers = True

    def create(self, topic, partitions, configs):
        """Creates a topic with replication factor 1."""
        raise Unsupported

    def delete(self, topic):
        raise Unsupported

    def partitions(self, topic):
        """How many partitions the topic has; `Refused(3)` if there is no such topic."""
        raise Unsupported

    def configs(self, topic):
        """All configs of the topic by name."""
        raise Unsupported

    def alter(self, topic, configs):
        """Sets these configs and leaves the others."""
        raise Unsupported

    def grow(self, topic, partitions):
        """Raises the number of partitions."""
        raise Unsupported

    def trim(self, topic, partition, before):
        """Deletes the records below an offset."""
        raise Unsupported

    def offsets(self, topic, partition):
        """(first offset, end offset)."""
        raise Unsupported

    def produce(self, topic, records, acks="all", compression="none", idempotent=False, bytes_max=1_000_000):
        """Produces to partition 0 in one go and waits for the acknowledgements that `acks` asks for."""
        raise Unsupported

    def consume(self, topic, start, count):
        """Reads partition 0 by assignment from `start` to its end, where `count` records are expected."""
        raise Unsupported

    def groups(self):
        """Names of all groups."""
        raise Unsupported

    def group(self, group):
        """(state, number of members) of a group."""
        raise Unsupported

    def group_offsets(self, group, topic, partitions):
        """Committed offset by partition."""
        raise Unsupported

    def set_group_offsets(self, group, topic, offsets):
        """Commits for a group without members."""
        raise Unsupported

    def delete_group(self, group):
        raise Unsupported

    def close(self):
        """Ends what the client left running."""
