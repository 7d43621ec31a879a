"""Runs the programs that break and mend things."""

import subprocess

COMMAND_S = 20
KEEP_OUTPUT = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def command(*words, check=True):
    done = subprocess.run([str(word) for word in words], timeout=COMMAND_S, **KEEP_OUTPUT)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stdout.strip()}")
    return done.stdout
