"""File systems of their own for one data directory, each able to fail in a way that a real disk does.

The kernel of small machines has no device mapper. A zram disk whose memory limit is below what it
holds answers every write with EIO; btrfs answers EIO for bytes that do not match their checksum.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

from command import command

# Prints where in a file the bytes of the standard input are, two places at most.
FIND = """
import json, mmap, sys
wanted = sys.stdin.buffer.read()
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
    places = [content.find(wanted)]
    places.append(content.find(wanted, places[0] + 1))
print(json.dumps([place for place in places if place >= 0]))
"""

ZRAM = pathlib.Path("/sys/class/zram-control")


class Loop:
    """A file as a disk."""

    def __init__(self, mib, make=("mkfs.ext4", "-q", "-F", "-m", "0")):
        self.mib, self.make = mib, make
        self.image = self.directory = None

    def mount(self, home, directory):
        self.image, self.directory = home / "loop.img", directory
        directory.mkdir(parents=True)
        command("truncate", "-s", f"{self.mib}M", self.image)
        command(*self.make, self.image)
        command("mount", "-o", "loop", self.image, directory)

    def remove(self):
        if self.directory:
            command("umount", "-l", self.directory, check=False)


class Checksummed(Loop):
    """A disk that notices damage: reading it fails as it does where a sector cannot be read."""

    def __init__(self, mib):
        super().__init__(mib, ("mkfs.btrfs", "-q", "-f"))

    def damage(self, file):
        """Damages 64 bytes in the middle of a file on the disk; returns what undoes it."""
        middle = file.stat().st_size // 2 // 4096 * 4096
        with open(file, "rb") as content:
            os.fsync(content.fileno())
            content.seek(middle)
            wanted = content.read(4096)
        command("sync", "-f", self.directory)
        # In a process of its own: the search holds the interpreter for a second, and with it the
        # producer whose waiting is measured here.
        found = subprocess.run([sys.executable, "-c", FIND, self.image], input=wanted, capture_output=True, check=True)
        places = json.loads(found.stdout)
        if len(places) != 1:
            raise RuntimeError(f"{file} is found {len(places)} times in {self.image}")

        def flip():
            with open(self.image, "r+b") as image:
                image.seek(places[0])
                old = image.read(64)
                image.seek(places[0])
                image.write(bytes(byte ^ 0xFF for byte in old))
                os.fsync(image.fileno())

        flip()
        with open(file, "rb") as content:
            os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return flip


class Zram:
    """A disk in memory, which fails writes once its memory is limited."""

    def __init__(self, mib):
        self.mib = mib
        self.number = self.directory = None

    def mount(self, _home, directory):
        self.directory = directory
        directory.mkdir(parents=True)
        self.number = int((ZRAM / "hot_add").read_text())
        (self.control / "disksize").write_text(f"{self.mib}M")
        # Without a journal: one that is aborted makes the file system read-only for ever.
        command("mkfs.ext2", "-q", "-m", "0", self.disk)
        command("mount", self.disk, directory)

    @property
    def control(self):
        return pathlib.Path(f"/sys/block/zram{self.number}")

    @property
    def disk(self):
        return f"/dev/zram{self.number}"

    def limit_command(self, is_limited):
        limit = "1M" if is_limited else "0"
        return ["sh", "-c", f"echo {limit} > {self.control}/mem_limit"]

    def remove(self):
        if self.number is None:
            return
        command("umount", self.directory, check=False)
        with contextlib.suppress(OSError):
            (self.control / "reset").write_text("1")
            (ZRAM / "hot_remove").write_text(str(self.number))
