"""How quiet the machine is: what else uses its cores, and how long its disk takes to sync."""

import os
import statistics
import time

from places import WORK

WATCHED_S = 2
SYNCS = 40
BLOCK = bytes(16 << 10)


def busy_percent():
    """Share of all cores that is in use while nothing of ours runs."""
    before = cpu_times()
    time.sleep(WATCHED_S)
    used, total = (now - then for now, then in zip(cpu_times(), before))
    return used / max(total, 1) * 100


def cpu_times():
    with open("/proc/stat") as stat:
        times = [int(field) for field in stat.readline().split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)


def sync_ms():
    """Median of appending 16 KiB and fdatasync, which is the floor of an acknowledgement on disk."""
    path = WORK / "sync"
    taken = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(BLOCK)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    os.unlink(path)
    return statistics.median(taken)
