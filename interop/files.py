"""Has Kafka's own tool read the files of a stopped broker."""

from clients.command import run
from places import java
from records import check

DUMP = "org.apache.kafka.tools.DumpLogSegments"
# An argument of a command may have 128 KiB.
FILES_AT_ONCE = 400
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
    """Dumps all files of all partitions; returns how many there were."""
    directories = [path for path in data_dir.iterdir() if path.is_dir() and path.name.startswith("interop.")]
    # Deleted partitions keep their files for a while under another name, which the tool cannot read.
    directories = [path for path in directories if not path.name.endswith("-delete")]
    files = files_of(directories)
    check(any(path.suffix == ".log" for path in files), f"no .log in {data_dir}")
    for start in range(0, len(files), FILES_AT_ONCE):
        check("isvalid: true" in dump(files[start : start + FILES_AT_ONCE]), "DumpLogSegments saw no valid batch")
    return len(files) + check_group_files(data_dir)


def check_group_files(data_dir):
    """Has the records of groups decoded: each has to have a key that the tool can read."""
    files = files_of(data_dir.glob("__consumer_offsets-*"))
    if not files:
        return 0
    text = dump(files, "--offsets-decoder")
    records = [line for line in text.splitlines() if line.startswith("| offset:")]
    unread = [line for line in records if ' key: {"type":' not in line]
    check(not unread, "--offsets-decoder cannot read:\n" + "\n".join(unread[:20]))
    return len(files)


def files_of(directories):
    return sorted(path for place in directories for path in place.iterdir() if path.suffix in SUFFIXES)


def dump(files, *options):
    """What the tool says of these files, which has to be without a complaint."""
    _, output, errors = run(java(DUMP, "--deep-iteration", *options, "--files", ",".join(map(str, files))))
    text = output.decode(errors="replace") + errors
    found = [line for line in text.splitlines() if is_complaint(line)]
    check(not found, f"DumpLogSegments of {files[0].parent.name} and others:\n" + "\n".join(found[:20]))
    return text


def is_complaint(line):
    # Kafka 4.3 says this of every file whose base offset is not 0, its own included.
    if "-1 is followed by" in line:
        return False
    return any(complaint in line for complaint in COMPLAINTS)
