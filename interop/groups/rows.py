"""One line of the table a group, and what has to hold for it."""

import dataclasses

from ownership import check_group, processors

SHOWN_MAX = 5


@dataclasses.dataclass
class Row:
    """What became of one group; `broken` lists the promises that it showed to be untrue."""

    group: str
    members: str = "-"
    rebalances: object = "-"
    records: object = "-"
    twice: object = "-"
    missing: object = "-"
    two_owners: object = "-"
    commits: object = "-"
    commits_lost: object = "-"
    notes: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)

    def expect(self, is_so, claim):
        if not is_so:
            self.broken.append(claim)


def crowd_row(crowd, ends, watcher, is_once):
    """Holds a group with members against the ends of its partitions. `is_once`: exactly, not at least."""
    found = check_group(crowd.members, ends)
    lost = found.lost_commits + watcher.lost
    row = Row(
        crowd.asked.group,
        members=f"{crowd.joins} joined, {crowd.leaves} left",
        rebalances=found.rebalances,
        records=found.processed,
        twice=len(found.twice),
        missing=len(found.missing),
        two_owners=len(found.overlaps),
        commits=sum(len(member.told("committed")) for member in crowd.members),
        commits_lost=len(lost),
    )
    row.expect(not found.missing, f"{len(found.missing)} records not processed: {found.missing[:SHOWN_MAX]}")
    row.expect(not found.overlaps, f"a partition was owned by two: {found.overlaps[:SHOWN_MAX]}")
    row.expect(not lost, f"commits were lost: {lost[:SHOWN_MAX]}")
    if is_once:
        by_whom = [(place, processors(crowd.members, place)) for place in found.twice[:SHOWN_MAX]]
        row.expect(not found.twice, f"{len(found.twice)} records processed twice: {by_whom}")
    row.expect(not crowd.troubles, f"members in trouble: {crowd.troubles[:SHOWN_MAX]}")
    if found.lost:
        row.notes.append(f"members were told {found.lost} times that they had lost their partitions")
    failures = [f"{member.client_name}: {event['error']}" for member in crowd.members for event in member.told("commit_failed")]
    if failures:
        row.notes.append(f"{len(failures)} commits failed and were tried again, the first as {failures[0]}")
    if watcher.refused:
        row.notes.append(f"questions for its offsets refused with {watcher.refused}, answered {watcher.asked} times")
    return row


def committer_row(name, committer):
    row = Row(name, commits=committer.commits, commits_lost=len(committer.lost))
    row.expect(not committer.lost, f"commits were lost: {committer.lost[:SHOWN_MAX]}")
    row.expect(committer.commits > 0, "no commit was acknowledged")
    row.notes.append(
        f"refused {committer.codes or 'never'}, longest time between two acknowledgements {committer.longest_wait_s * 1000:.0f} ms"
    )
    return row
