"""What the Python members of consumer groups share: events as JSON lines out, the word to leave in.

A member tells what it owns and what it has processed, in the order in which it happened, with the
time of this machine's clock: `assigned` as early as it may process, `revoked` once it has done its
last for these partitions, `records` when they are processed, `committed` when the broker has said so.
"""

import json
import os
import sys
import threading
import time

# How long a commit is tried again before partitions are given up.
COMMIT_S = 5


class Member:
    """Ownership, progress and the way out of one member."""

    def __init__(self):
        self.asked = json.loads(sys.argv[1])
        # What libraries print must not end up between the events.
        self.events = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self.owned = set()
        # Next offset of each partition whose last records were not committed yet.
        self.uncommitted = {}
        self.leaving = threading.Event()
        threading.Thread(target=self._await_word, daemon=True).start()

    def _await_word(self):
        sys.stdin.readline()
        self.leaving.set()

    def tell(self, event, **fields):
        line = json.dumps({"at": time.time(), "event": event, **fields})
        self.events.write(line + "\n")
        self.events.flush()

    def assigned(self, partitions):
        fresh = sorted(set(partitions) - self.owned)
        self.owned.update(fresh)
        # An empty assignment is one, too: the member is in the group.
        self.tell("assigned", partitions=fresh)

    def given_up(self, partitions, event="revoked"):
        gone = sorted(self.owned.intersection(partitions))
        self.owned.difference_update(gone)
        for partition in gone:
            self.uncommitted.pop(partition, None)
        if gone:
            self.tell(event, partitions=gone)

    def processed(self, partition, offsets):
        """Records of one partition, in order."""
        self.uncommitted[partition] = offsets[-1] + 1
        self.tell("records", partition=partition, offsets=spans(offsets))

    def committed(self, offsets):
        for partition, offset in offsets.items():
            if self.uncommitted.get(partition) == offset:
                del self.uncommitted[partition]
        self.tell("committed", offsets=offsets)

    def commit_failed(self, error):
        self.tell("commit_failed", error=str(error))


def spans(offsets):
    """Offsets as [first, last] of every run without a hole."""
    found = []
    for offset in offsets:
        if found and offset == found[-1][1] + 1:
            found[-1][1] = offset
        else:
            found.append([offset, offset])
    return found
