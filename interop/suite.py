"""Runs client x scenario against one broker and prints the table. Started by `interop/run`."""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import pathlib
import sys
import threading
import time
import traceback

import broker
from broker_tools import BROKER_SCENARIOS
from clients import all_clients, steward
from clients.client import Unsupported
from config_tools import CONFIG_SCENARIOS
from files import check_files
from group_scenarios import GROUP_SCENARIOS
from group_tools import TOOL_SCENARIOS
from operator_tools import OPERATOR_SCENARIOS
from places import KABUKI
from scenarios import SCENARIOS as RECORD_SCENARIOS
from scenarios import Bench
from unmodified_tools import UNMODIFIED_SCENARIOS

# Clients run side by side: most of a command-line client's time is its start-up.
CLIENTS_AT_ONCE = 3
SCENARIOS = {
    **RECORD_SCENARIOS, **CONFIG_SCENARIOS, **GROUP_SCENARIOS,
    **TOOL_SCENARIOS, **OPERATOR_SCENARIOS, **BROKER_SCENARIOS, **UNMODIFIED_SCENARIOS,
}
PASSED, FAILED, EMPTY = "ok", "FAIL", "-"
FILES_ROW = "files on disk"


@dataclasses.dataclass
class Cell:
    """How one scenario went with one client."""

    verdict: str
    seconds: float
    trace: str = ""


def arguments():
    parser = argparse.ArgumentParser(prog="interop/run", description=__doc__)
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--bootstrap", metavar="HOST:PORT", help="use a broker that runs already")
    target.add_argument("--kafka", action="store_true", help="start Apache Kafka instead of Kabuki")
    target.add_argument("--binary", type=pathlib.Path, default=KABUKI, help="start this kabuki")
    parser.add_argument("--client", action="append", help="only this client; may be repeated")
    parser.add_argument("--scenario", action="append", help="only this scenario; may be repeated")
    parser.add_argument("--groups", action="store_true", help="only the scenarios of consumer groups")
    asked = parser.parse_args()
    if asked.groups:
        asked.scenario = [*(asked.scenario or []), *GROUP_SCENARIOS, *TOOL_SCENARIOS]
    return asked


def main():
    asked = arguments()
    started = time.monotonic()
    own = None
    if asked.bootstrap is None:
        own = broker.start_kafka() if asked.kafka else broker.start_kabuki(asked.binary.resolve())
        print(f"interop: {own.name} answered {own.first_answer_ms:.0f} ms after its start")
    bootstrap = asked.bootstrap or own.bootstrap
    is_passed = False
    try:
        names = chosen(asked.client, all_clients(bootstrap))
        scenarios = chosen(asked.scenario, SCENARIOS)
        table = run_clients(bootstrap, names, scenarios)
        rows = list(scenarios)
        if own is not None:
            rows.append(FILES_ROW)
            table["kafka-tools", FILES_ROW] = run_files(own)
        print_failures(table)
        print_table(table, names, rows)
        is_passed = is_green(table, names)
    finally:
        if own is not None:
            with contextlib.suppress(broker.BrokerFailed):
                own.stop()
            if is_passed:
                broker.remove_home(own)
            else:
                print(f"interop: log and data of the broker are in {own.home}")
    passed = sum(cell.verdict == PASSED for cell in table.values())
    failed = sum(cell.verdict == FAILED for cell in table.values())
    print(f"interop: {time.monotonic() - started:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 0 if is_passed else 1


def chosen(wanted, known):
    """The wanted ones of the known, in their order; a name that is not known ends the run."""
    for name in wanted or []:
        if name not in known:
            sys.exit(f"interop: '{name}' is none of {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]


def run_clients(bootstrap, client_names, scenario_names):
    table = {}
    lock = threading.Lock()
    run_id = f"{int(time.time()):x}"

    def run_client(client_name):
        client = all_clients(bootstrap)[client_name]
        with contextlib.closing(client), contextlib.closing(steward(bootstrap)) as keeper:
            bench = Bench(client_name, client, keeper, bootstrap, run_id)
            for scenario_name in scenario_names:
                cell = run_cell(lambda: SCENARIOS[scenario_name](bench))
                with lock:
                    table[client_name, scenario_name] = cell
                    print(f"{cell.verdict:4} {client_name}: {scenario_name} ({cell.seconds:.1f} s)", flush=True)

    # The slowest first, so that it does not run on alone at the end.
    order = list(reversed(client_names))
    with concurrent.futures.ThreadPoolExecutor(CLIENTS_AT_ONCE) as pool:
        for done in [pool.submit(run_client, name) for name in order]:
            done.result()
    return table


def run_cell(scenario):
    started = time.monotonic()
    verdict, trace = PASSED, ""
    try:
        scenario()
    except Unsupported:
        verdict = EMPTY
    except Exception:
        verdict, trace = FAILED, traceback.format_exc()
    return Cell(verdict, time.monotonic() - started, trace)


def run_files(own):
    """Stops the broker, and has Kafka's tool read every file it left."""

    def stop_and_check():
        own.stop()
        checked = check_files(own.data_dir)
        print(f"interop: Kafka's DumpLogSegments read {checked} files")

    return run_cell(stop_and_check)


def is_green(table, client_names):
    """True if nothing failed and every client passed something: a client that cannot run is no pass."""
    has_failed = any(cell.verdict == FAILED for cell in table.values())
    has_run = {client for (client, _), cell in table.items() if cell.verdict == PASSED}
    return not has_failed and has_run.issuperset(client_names)


def print_failures(table):
    for (client_name, scenario_name), cell in table.items():
        if cell.verdict == FAILED:
            print(f"\n--- {client_name}: {scenario_name}\n{cell.trace.rstrip()}")


def print_table(table, client_names, rows):
    width = max(len(row) for row in rows)
    print("\n" + " " * width + "".join(f"  {name:>12}" for name in client_names))
    for row in rows:
        cells = (table.get((name, row)) for name in client_names)
        verdicts = (cell.verdict if cell else EMPTY for cell in cells)
        print(f"{row:{width}}" + "".join(f"  {verdict:>12}" for verdict in verdicts))
    print()


if __name__ == "__main__":
    sys.exit(main())
