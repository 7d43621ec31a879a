"""What the members of a group told, checked: each record processed once, no partition owned by two.

Times are those of the members, all by the clock of this machine. A partition is owned from the
call that gives it to the member to the end of the call that takes it away; with a member that was
killed, to its end.
"""

import collections
import dataclasses


@dataclasses.dataclass
class Span:
    """One partition in the hands of one member."""

    partition: int
    member: str
    since: float
    until: float
    # False where the member was told that it had lost the partition: others had it by then, rightly.
    is_held: bool = True


@dataclasses.dataclass
class Findings:
    """Counts over all members, and what is wrong, in words."""

    processed: int
    twice: list
    missing: list
    overlaps: list
    lost_commits: list
    rebalances: int
    lost: int
    commit_failures: int


def spans_of(member):
    """What a member owned and when; open ends at the end of the process, or now."""
    open_since, found = {}, []
    events = member.told("assigned", "revoked", "lost", "left")
    for event in events:
        if event["event"] == "assigned":
            for partition in event["partitions"]:
                open_since.setdefault(partition, event["at"])
        elif event["event"] in ("revoked", "lost"):
            for partition in event["partitions"]:
                since = open_since.pop(partition, None)
                if since is not None:
                    is_held = event["event"] == "revoked"
                    found.append(Span(partition, repr(member), since, event["at"], is_held))
    end = member.killed_at or (events[-1]["at"] if events else member.started_at)
    still = [Span(partition, repr(member), since, max(end, since)) for partition, since in open_since.items()]
    return found + still


# Some members tell the time in whole milliseconds.
TOLERANCE_S = 0.002
# What kcat says is given the time at which it was read from the pipe.
TOLERANCE_OF_KCAT_S = 0.5


def overlaps(members):
    """Pairs of spans in which two members owned one partition."""
    by_partition = collections.defaultdict(list)
    for member in members:
        for span in spans_of(member):
            by_partition[span.partition].append(span)
    found = []
    for spans in by_partition.values():
        spans.sort(key=lambda span: span.since)
        for earlier, later in zip(spans, spans[1:]):
            is_read_late = "kcat" in earlier.member or "kcat" in later.member
            tolerance_s = TOLERANCE_OF_KCAT_S if is_read_late else TOLERANCE_S
            if earlier.is_held and later.since < earlier.until - tolerance_s and earlier.member != later.member:
                found.append(
                    f"partition {earlier.partition}: {later.member} owned it {earlier.until - later.since:.3f} s"
                    f" before {earlier.member} gave it up"
                )
    return found


def processed(members):
    """How often each (partition, offset) was processed."""
    counts = collections.Counter()
    for member in members:
        for event in member.told("records"):
            for first, last in event["offsets"]:
                for offset in range(first, last + 1):
                    counts[event["partition"], offset] += 1
    return counts


def refused(members):
    """Every (partition, offset) whose processor was refused its commit and had none acknowledged afterwards."""
    found = set()
    for member in members:
        open_places, refused_places = set(), set()
        for event in member.told("records", "committed", "commit_failed"):
            if event["event"] == "records":
                partition = event["partition"]
                for first, last in event["offsets"]:
                    open_places.update((partition, offset) for offset in range(first, last + 1))
            elif event["event"] == "commit_failed":
                refused_places |= open_places
            else:
                covered = {
                    place
                    for place in open_places
                    for end in [event["offsets"].get(place[0])]
                    if end is not None and place[1] < end
                }
                open_places -= covered
                refused_places -= covered
        found |= refused_places
    return found


def lost_commits(members):
    """Where a member started below an offset whose commit another had been told of before."""
    events = sorted(
        ((event["at"], number, event) for number, member in enumerate(members) for event in member.told(
            "assigned", "records", "committed"
        )),
        key=lambda entry: entry[0],
    )
    acknowledged, floors, found = {}, {}, []
    for _, number, event in events:
        if event["event"] == "committed":
            for partition, offset in event["offsets"].items():
                acknowledged[partition] = max(acknowledged.get(partition, 0), offset)
        elif event["event"] == "assigned":
            for partition in event["partitions"]:
                floors[number, partition] = acknowledged.get(partition, 0)
        else:
            partition, first = event["partition"], event["offsets"][0][0]
            floor = floors.pop((number, partition), 0)
            if first < floor:
                found.append(f"partition {partition}: {floor} was committed, {members[number]} started at {first}")
    return found


def processors(members, place):
    """Who processed a record, and when."""
    partition, offset = place
    return [
        f"{member} at {event['at']:.3f}"
        for member in members
        for event in member.told("records")
        if event["partition"] == partition and any(first <= offset <= last for first, last in event["offsets"])
    ]


def check_group(members, ends, starts=None):
    """Holds what members told against the ends of the partitions: {partition: end offset}."""
    counts = processed(members)
    starts = starts or dict.fromkeys(ends, 0)
    due = {(partition, offset) for partition, end in ends.items() for offset in range(starts[partition], end)}
    repeated = {place for place, count in counts.items() if count > 1}
    # The last offset that was committed is where the next owner starts: without an acknowledgement it starts before.
    twice = sorted(repeated - refused(members))
    return Findings(
        processed=len(counts),
        twice=twice,
        missing=sorted(due - set(counts)),
        overlaps=overlaps(members),
        lost_commits=lost_commits(members),
        rebalances=sum(len(member.told("assigned")) for member in members),
        lost=sum(len(member.told("lost")) for member in members),
        commit_failures=sum(len(member.told("commit_failed")) for member in members),
    )
