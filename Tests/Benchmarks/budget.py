#!/usr/bin/env python3
"""What ebb may weigh and take, on any machine: size, memory, and the instructions of what it does most.

    swift build -c release --product ebb --scratch-path .build/musl --experimental-lto-mode full \\
        --toolset docker/musl/toolset.json
    sudo Tests/Benchmarks/budget.py [--update]

Two limits, of measures/limits.py:

    size             of the file: half of tini-static's, as it is installed here
    Private_Dirty    as PID 1 with a service that rests, /proc/PID/smaps_rollup: 64 kB, at rest, and at rest again after
                     1,000 signals handed on, 1,000 orphans reaped, and 1,000 times `ebb ready`

And a budget, budget.csv, so that what becomes dearer is noticed: more than 10 % above it fails, and --update writes it
anew. Instructions of ebb's own code (not the kernel's, nor the service's), as `valgrind --tool=callgrind` counts them:
equal on any machine, however busy, for the binary that is linked with musl, which does not look for the processor's
extensions. Of a signal and an orphan: the difference between two runs, for one.

    launch         `ebb -- COMMAND`, which ends at once, from start to exit
    ready, port    `ebb ready` of a service that is ready; `ebb port` of a port that is free
    signal         one that is handed on
    orphan         one that is reaped, alone

Exit code 1: a limit or the budget is exceeded. Needs root (namespaces of its own), gcc, valgrind and tini.
"""
import argparse
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from measures import limits, programs, rest
from measures.helpers import Helpers, in_own_namespaces

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MARGIN = 0.1
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


def one_of(count, which=min, times=5):
    """Of some runs: which of two things happens first is not always the same."""
    return which(count() for _ in range(times))


def launch(ebb, helpers):
    return one_of(lambda: Counted([ebb, "--", helpers.serve, "exit", "0"]).instructions())


def ready(ebb, helpers):
    service = subprocess.Popen(
        [ebb, "--quiet", "--control", "@budget", "--ready-when", "exec:true", "--", helpers.serve, "signals"],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        service.stdout.read(8)
        return one_of(lambda: Counted([ebb, "ready", "--control", "@budget"]).instructions())
    finally:
        service.terminate()
        service.wait(timeout=30)


def port(ebb, helpers):
    return one_of(lambda: Counted([ebb, "port", "8080"]).instructions())


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


def of_one(run, few, many, which=min):
    return round((one_of(lambda: run(many), which) - one_of(lambda: run(few), which)) / (many - few))


def instructions(ebb, helpers):
    yield "launch", launch(ebb, helpers)
    yield "ready", ready(ebb, helpers)
    yield "port", port(ebb, helpers)
    yield "signal", of_one(lambda n: signals(ebb, helpers, n), 20, 120)
    # The most, since those that come together on a busy machine are cheaper.
    yield "orphan", of_one(lambda n: orphans(ebb, helpers, n), 20, 120, max)


class Judge:
    """Says of each figure whether it is kept, and remembers whether all are."""

    def __init__(self):
        self.are_kept = True

    def at_most(self, what, value, most, unit, why):
        is_kept = value <= most
        self.are_kept &= is_kept
        print(f"{'kept  ' if is_kept else 'ABOVE '}  {what}: {value:,} {unit}, at most {most:,.0f} ({why})", flush=True)


def judge_limits(judge, ebb, helpers, folder):
    peer = shutil.which("tini-static") or sys.exit("tini-static is not there: Debian's package tini")
    judge.at_most(
        "size", os.path.getsize(ebb), os.path.getsize(peer) * limits.SIZE_TO_TINI, "bytes", "half of tini-static")
    before, after = rest.before_and_after_work(helpers, programs.ebb(ebb), folder)
    for when, memory in (("at rest", before), ("after the work", after)):
        judge.at_most(f"Private_Dirty {when}", memory["Private_Dirty"], limits.PRIVATE_DIRTY, "kB", "a limit")


def judge_instructions(judge, measured, kept):
    for what, value in measured:
        budget = kept.get(what) or sys.exit(f"{what} has no budget: --update")
        judge.at_most(what, value, budget * (1 + MARGIN), "instructions", f"{value / budget - 1:+.1%} of {budget:,}")


def read(path):
    with open(path, newline="") as file:
        return {row["what"]: int(row["instructions"]) for row in csv.DictReader(file)}


def write(path, measured):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("what", "instructions"), *measured])


def run(options):
    """Measures all, and judges it: the exit code."""
    judge = Judge()
    with tempfile.TemporaryDirectory(prefix="budget-") as folder:
        helpers = Helpers(folder)
        judge_limits(judge, options.ebb, helpers, folder)
        measured = list(instructions(options.ebb, helpers))
    if options.update:
        write(options.kept, measured)
    judge_instructions(judge, measured, read(options.kept))
    if not judge.are_kept:
        print("make it less; what is above the budget alone may have a reason: say it, and run this with --update")
    return 0 if judge.are_kept else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/musl/release/ebb")
    parser.add_argument("--kept", default=f"{HERE}/budget.csv")
    parser.add_argument("--update", action="store_true", help="write the budget anew")
    options = parser.parse_args()
    options.ebb = os.path.abspath(options.ebb)
    if not os.access(options.ebb, os.X_OK):
        parser.error(f"{options.ebb} is not there: see the top of this file for how it is built")
    return in_own_namespaces(run, options)


if __name__ == "__main__":
    sys.exit(main())
