"""Runs one command of a command-line client, with a deadline."""

import subprocess

COMMAND_S = 40


class CommandFailed(Exception):
    """The command ended with an exit code other than 0, or not at all."""


def run(command, stdin=None, may_fail=False):
    """Returns (exit code, standard output as bytes, standard error as text)."""
    try:
        done = subprocess.run(command, input=stdin or b"", capture_output=True, timeout=COMMAND_S)
    except subprocess.TimeoutExpired as expired:
        raise CommandFailed(f"{command[0]} did not end within {COMMAND_S} s: {command}") from expired
    errors = done.stderr.decode(errors="replace")
    if done.returncode != 0 and not may_fail:
        raise CommandFailed(f"exit code {done.returncode} of {command}:\n{errors[-2000:]}")
    return done.returncode, done.stdout, errors
