"""Figures of several runs as a table of ratios, and the file that keeps them."""

import datetime
import json
import platform
import statistics
import subprocess
import sys

from places import REPO, RESULTS
from rows import ROWS, START, START_METRICS

HEADINGS = ["work", "figure", "Kabuki", "Kafka", "times better", "promised", ""]


def number(value):
    """Three digits that matter, or whole numbers in groups."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values):
    """The median, and the range where there are several runs."""
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))} to {number(max(values))})"


def ratios(ours, theirs, higher_is_better):
    """How many times better we are, run by run."""
    pairs = zip(ours, theirs) if higher_is_better else zip(theirs, ours)
    return [upper / max(lower, 1e-9) for upper, lower in pairs]


def lines(figures):
    for row, metrics in [(START, START_METRICS)] + [(row, ROWS[row][1]) for row in ROWS]:
        for name, metric in metrics.items():
            found = figures.get((row, name))
            if not found:
                continue
            ours, theirs = found.get("kabuki", []), found.get("kafka", [])
            line = [row, f"{name}, {metric.unit}" if name != metric.unit else name]
            line += [spread(values) if values else "" for values in (ours, theirs)]
            if ours and theirs:
                better = ratios(ours, theirs, metric.higher_is_better)
                line.append(spread(better))
                line.append(f"{metric.goal:g}" if metric.goal else "")
                missed = metric.goal and statistics.median(better) < metric.goal
                line.append("missed" if missed else "")
            else:
                line += ["", "", ""]
            yield line


def render(figures):
    """The table as Markdown."""
    rows = [HEADINGS, *lines(figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]
    text = []
    for at, row in enumerate(rows):
        text.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if at == 0:
            text.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def machine():
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    with open("/proc/meminfo") as info:
        gigabytes = int(info.readline().split()[1]) / 1e6
    return f"{len(names)} x {names[0]}, {gigabytes:.0f} GB, {platform.system()} {platform.release()}"


def commit():
    try:
        command = ["git", "-C", str(REPO), "describe", "--always", "--dirty", "--abbrev=10"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def save(text, figures, surroundings, options):
    """Writes table and raw figures side by side; returns the path of the table."""
    now = datetime.datetime.now(datetime.timezone.utc)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M}-compare.md"
    head = [
        "# Kabuki and Apache Kafka 4.3.0 on one node",
        "",
        f"- date: {now:%Y-%m-%d %H:%M} UTC",
        f"- machine: {machine()}; both brokers and the load generator share it",
        f"- kabuki: {commit()}",
        f"- command: `benches/compare/run {' '.join(sys.argv[1:])}`",
        f"- runs: {options.runs}, rows of up to {options.seconds} s, warm-up {options.warmup} s",
        f"- before each start: others used {spread([busy for busy, _ in surroundings])} % of the cores, "
        f"16 KiB and fdatasync took {spread([sync for _, sync in surroundings])} ms",
        "- median (lowest to highest) of the runs; \"times better\" is taken run by run; CPU is that of the broker's process alone",
        "",
    ]
    path.write_text("\n".join(head) + text + "\n")
    raw = [{"row": row, "metric": metric, **values} for (row, metric), values in figures.items()]
    path.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    return path.relative_to(REPO)
