"""How a tool of the benches ends: in order, whatever ended it, and with one line that says why."""

import signal
import sys

from brokers import BrokerFailed
from rows import LoadFailed


def run(name, main):
    """Runs `main` and ends the process with its exit code; a broker that it started ends with it."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        sys.exit(main())
    except (BrokerFailed, LoadFailed) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: ended from outside, nothing is saved", file=sys.stderr)
        sys.exit(130)


def _interrupted(*_):
    raise KeyboardInterrupt
