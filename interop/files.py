"""Has Kafka's own tool read the files of a stopped broker."""

from clients.command import run
from places import java
from records import check

DUMP = "org.apache.kafka.tools.DumpLogSegments"
SUFFIXES = [".log", ".index", ".timeindex", ".snapshot"]
COMPLAINTS = [
    "Mismatches in",
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "Index timestamp",
    "non-consecutive offsets",
    "isvalid: false",
    "Could not",
    "Exception",
    "ERROR",
]


def check_files(data_dir):
    """Dumps all files of all partitions in one call; returns how many there were."""
    directories = [path for path in data_dir.iterdir() if path.is_dir() and path.name.startswith("interop.")]
    # Deleted partitions keep their files for a while under another name, which the tool cannot read.
    directories = [path for path in directories if not path.name.endswith("-delete")]
    files = sorted(path for place in directories for path in place.iterdir() if path.suffix in SUFFIXES)
    check(any(path.suffix == ".log" for path in files), f"no .log in {data_dir}")
    _, output, errors = run(java(DUMP, "--deep-iteration", "--files", ",".join(map(str, files))))
    text = output.decode(errors="replace") + errors
    found = [line for line in text.splitlines() if is_complaint(line)]
    check(not found, f"DumpLogSegments of {data_dir}:\n" + "\n".join(found[:20]))
    check("isvalid: true" in text, "DumpLogSegments saw no valid batch")
    return len(files)


def is_complaint(line):
    # Kafka 4.3 says this of every file whose base offset is not 0, its own included.
    if "-1 is followed by" in line:
        return False
    return any(complaint in line for complaint in COMPLAINTS)
