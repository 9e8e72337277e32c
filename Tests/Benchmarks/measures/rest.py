"""A container with a small service that listens and rests: its init's memory, and how often that wakes up; and its
memory once more, after signals, orphans and probes."""
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time

from measures.figures import Figure
from measures.programs import started

SECONDS = 10
COPIES = 10
# The work; those that have no probes do without.
SIGNALS = ORPHANS = PROBES = 1000
PORT = 8080
PROBE = 'for probe in $(seq "$1"); do "$2" "$3" || exit 1; done'
# The fields of /proc/PID/smaps_rollup, proc(5), that are told, and their names here.
FIELDS = {"Private_Dirty": "Private_Dirty", "Pss": "PSS"}


def children(process):
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(word) for word in file.read().split()]


class Container:
    """A program as PID 1, once its service is ready."""

    def __init__(self, helpers, program, folder):
        self.program = program
        for file in program.files:
            write_back(file)
        service = [helpers.serve, "work", str(PORT), str(SIGNALS), str(ORPHANS)]
        self.runtime = subprocess.Popen(
            [helpers.contain, *started(program, service, folder)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.hear(8)

    def hear(self, size):
        """Waits until the service has said so many bytes."""
        output = self.runtime.stdout.fileno()
        while size > 0:
            told = os.read(output, size) if select.select([output], [], [], 60)[0] else b""
            if not told:
                sys.exit(f"{self.program.name}: nothing is heard of its service")
            size -= len(told)

    def processes(self):
        """The init, and what else it consists of; not its service."""
        chain = []
        process = self.runtime.pid
        for _ in self.program.files:
            process = children(process)[0]
            chain.append(process)
        return chain

    def work(self):
        """Signals, each handed on before the next; orphans, until all are reaped; probes, of which each says yes."""
        init = self.processes()[0]
        for _ in range(SIGNALS):
            os.kill(init, signal.SIGHUP)
            self.hear(8)
        self.hear(16)
        if self.program.probe:
            subprocess.check_call(
                ["nsenter", f"--target={init}", "--pid", "--net", "--mount", "--",
                 "sh", "-c", PROBE, "sh", str(PROBES), *self.program.probe], stdin=subprocess.DEVNULL)

    def end(self):
        with contextlib.suppress(IndexError, ProcessLookupError):
            os.kill(children(self.runtime.pid)[0], signal.SIGKILL)
        self.runtime.kill()
        self.runtime.wait()
        self.runtime.stdout.close()


def write_back(file):
    """Has the disk take the whole file: what of a new one is in memory alone counts as dirty for who maps it."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def memory(processes):
    """What they hold, in kB, all together."""
    sums = dict.fromkeys(FIELDS.values(), 0)
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup") as file:
            for name, size in re.findall(r"^(\w+): +(\d+) kB", file.read(), re.MULTILINE):
                if name in FIELDS:
                    sums[FIELDS[name]] += int(size)
    return sums


def memory_at_rest(processes):
    """The same, once what is theirs alone has stayed as it is for a second; PSS changes with what others map."""
    last, since, end = None, 0, time.monotonic() + 30
    while time.monotonic() < end:
        now = memory(processes)
        if now["Private_Dirty"] != last:
            last, since = now["Private_Dirty"], time.monotonic()
        if time.monotonic() - since > 1:
            return now
        time.sleep(0.05)
    sys.exit("its memory does not come to rest")


def before_and_after_work(helpers, program, folder):
    """What its init holds at rest, and at rest again after the work; nothing for that where it runs no command."""
    container = Container(helpers, program, folder)
    try:
        before = memory_at_rest(container.processes())
        if not program.runs_command:
            return before, None
        container.work()
        return before, memory_at_rest(container.processes())
    finally:
        container.end()


def switches(processes):
    """How often they have gone to sleep, and so been woken: voluntary_ctxt_switches."""
    count = 0
    for process in processes:
        with open(f"/proc/{process}/status") as file:
            count += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.MULTILINE)[1])
    return count


def measure(context):
    figures = []
    programs = [one for one in context.programs if not one.name.startswith("ebb as")]

    def add(program, measure, unit, value, runs):
        figures.append(Figure("rest", measure, program.name, unit, value, None, runs, program.is_peer))

    for program in programs:
        before, after = before_and_after_work(context.helpers, program, context.folder)
        for kind, size in before.items():
            add(program, kind, "kB", size, 1)
            if after:
                add(program, f"{kind} after the work", "kB", after[kind], 1)
    running = {
        program: [Container(context.helpers, program, context.folder) for _ in range(COPIES)] for program in programs}
    processes = {program: [process for one in some for process in one.processes()] for program, some in running.items()}
    for program in programs:
        add(program, f"PSS, each of {COPIES}", "kB", memory_at_rest(processes[program])["PSS"] / COPIES, COPIES)
    before = {program: switches(processes[program]) for program in programs}
    began = time.monotonic()
    time.sleep(SECONDS)
    took = time.monotonic() - began
    for program in programs:
        woken = switches(processes[program]) - before[program]
        add(program, "wake-ups", "a second", woken / COPIES / took, COPIES)
    for some in running.values():
        for container in some:
            container.end()
    return figures
