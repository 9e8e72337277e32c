#!/usr/bin/env python3
"""What ebb may weigh: the size of both release binaries, and the instructions of what it does most.

    swift build -c release
    swift build -c release --product ebb --scratch-path .build/musl --experimental-lto-mode full \\
        --toolset docker/musl/toolset.json
    sudo Tests/Benchmarks/budget.py [--update]

Instructions of ebb's own code (not the kernel's, nor the service's), as `valgrind --tool=callgrind` counts them:
equal on any machine, however busy, for the binary that is linked with musl, which does not look for the processor's
extensions. Of a signal and an orphan: the difference between two runs, for one.

    launch         `ebb -- COMMAND`, which ends at once, from start to exit
    ready, port    `ebb ready` of a service that is ready; `ebb port` of a port that is free
    signal         one that is handed on
    orphan         one that is reaped; those that come together are cheaper, so its budget is that of one alone

Compared with budget.csv; exit code 1 where one is more than 3 % above that. --update writes it anew. Needs root
(namespaces of its own), gcc and valgrind.
"""
import argparse
import csv
import os
import re
import signal
import subprocess
import sys
import tempfile

from measures.helpers import Helpers, in_own_namespaces

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MARGIN = 0.03
# What callgrind is run with: ebb alone, with an environment that is the same everywhere.
CALLGRIND = ["valgrind", "--tool=callgrind", "--trace-children=no", "--callgrind-out-file=/dev/null"]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Counted:
    """A program under callgrind; with `contain`, as PID 1."""

    def __init__(self, words, contain=None):
        self.is_first = contain is not None
        runtime = [contain] if contain else []
        self.process = subprocess.Popen(
            [*runtime, *CALLGRIND, *words], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True)

    def instructions(self):
        """Waits for its end. What it has forked says how many instructions that took before its exec: not these."""
        _, text = self.process.communicate(timeout=120)
        found = re.search(rb"==%d== Collected : (\d+)" % (1 if self.is_first else self.process.pid), text)
        if self.process.returncode or not found:
            sys.exit(f"{self.process.args}: exit code {self.process.returncode}\n{text.decode()}")
        return int(found[1])


def least(count, times=5):
    """Of some runs: which of two things happens first is not always the same."""
    return min(count() for _ in range(times))


def launch(ebb, helpers):
    return least(lambda: Counted([ebb, "--", helpers.serve, "exit", "0"]).instructions())


def ready(ebb, helpers):
    service = subprocess.Popen(
        [ebb, "--quiet", "--control", "@budget", "--ready-when", "exec:true", "--", helpers.serve, "signals"],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        service.stdout.read(8)
        return least(lambda: Counted([ebb, "ready", "--control", "@budget"]).instructions())
    finally:
        service.terminate()
        service.wait(timeout=30)


def port(ebb, helpers):
    return least(lambda: Counted([ebb, "port", "8080"]).instructions())


def signals(ebb, helpers, count):
    counted = Counted([ebb, "--control", "off", "--", helpers.serve, "signals", str(count)])
    # It says that it is ready, and then of each signal that it has handled it.
    counted.process.stdout.read(8)
    for index in range(count):
        counted.process.send_signal(signal.SIGHUP)
        if index < count - 1:
            os.read(counted.process.stdout.fileno(), 8)
    return counted.instructions()


def orphans(ebb, helpers, count):
    # They go to PID 1, so ebb is that.
    words = [ebb, "--control", "off", "--", helpers.serve, "orphans", str(count), "1"]
    return Counted(words, helpers.contain).instructions()


def of_one(run, few, many):
    return round((least(lambda: run(many)) - least(lambda: run(few))) / (many - few))


def measure(options, helpers):
    yield "size, musl", "bytes", os.path.getsize(options.ebb)
    yield "size, glibc", "bytes", os.path.getsize(options.glibc)
    yield "launch", "instructions", launch(options.ebb, helpers)
    yield "ready", "instructions", ready(options.ebb, helpers)
    yield "port", "instructions", port(options.ebb, helpers)
    yield "signal", "instructions", of_one(lambda n: signals(options.ebb, helpers, n), 20, 120)
    yield "orphan", "instructions", of_one(lambda n: orphans(options.ebb, helpers, n), 20, 120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/musl/release/ebb")
    parser.add_argument("--glibc", default=f"{ROOT}/.build/release/ebb")
    parser.add_argument("--kept", default=f"{HERE}/budget.csv")
    parser.add_argument("--update", action="store_true", help="write the budget anew")
    options = parser.parse_args()
    return in_own_namespaces(compare, options)


def compare(options):
    """Holds what is measured against what is kept: the exit code."""
    kept = {}
    if not options.update:
        with open(options.kept, newline="") as file:
            kept = {row["what"]: int(row["value"]) for row in csv.DictReader(file)}
    measured, above = [], 0
    with tempfile.TemporaryDirectory(prefix="budget-") as folder:
        for what, unit, value in measure(options, Helpers(folder)):
            measured.append((what, unit, value))
            budget = kept.get(what)
            if options.update:
                print(f"{what}: {value:,} {unit}")
                continue
            is_kept = budget is not None and value <= budget * (1 + MARGIN)
            above += not is_kept
            change = "no budget" if budget is None else f"{value / budget - 1:+.1%} of {budget:,}"
            print(f"{'kept  ' if is_kept else 'ABOVE '}  {what}: {value:,} {unit}, {change}", flush=True)
    if options.update:
        with open(options.kept, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("what", "unit", "value"), *measured])
    elif above:
        print(f"above the budget by more than {MARGIN:.0%}: make it less, or say why and run this with --update")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
