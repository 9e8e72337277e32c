"""At rest, as PID 1 of a container with a small service: memory, and how often it wakes up."""
import contextlib
import os
import re
import signal
import subprocess
import time

from measures.figures import Figure
from measures.programs import started

SECONDS = 10
COPIES = 10


def children(process):
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(word) for word in file.read().split()]


class Container:
    """A program as PID 1."""

    def __init__(self, context, program):
        words = started(program, [context.helpers.serve, "rest"], context.folder)
        self.count = len(program.files)
        self.runtime = subprocess.Popen(
            [context.helpers.contain, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def processes(self):
        """The init, and what else it consists of; not its service."""
        chain = []
        process = self.runtime.pid
        for _ in range(self.count):
            process = children(process)[0]
            chain.append(process)
        return chain

    def end(self):
        with contextlib.suppress(IndexError, ProcessLookupError):
            os.kill(children(self.runtime.pid)[0], signal.SIGKILL)
        self.runtime.kill()
        self.runtime.wait()


def memory(processes):
    """Resident, private and proportional, in kB: /proc/PID/smaps_rollup, proc(5)."""
    sums = {"resident": 0, "private": 0, "proportional": 0}
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup") as file:
            for name, size in re.findall(r"^(\w+): +(\d+) kB", file.read(), re.MULTILINE):
                kind = {"Rss": "resident", "Pss": "proportional", "Private_Clean": "private", "Private_Dirty": "private"}
                if name in kind:
                    sums[kind[name]] += int(size)
    return sums


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

    def add(program, copies, sums):
        how = "one" if copies == 1 else f"each of {copies}"
        for kind, size in sums.items():
            figures.append(
                Figure("rest", f"{kind}, {how}", program.name, "kB", size / copies, None, copies, program.is_peer))

    for program in programs:
        container = Container(context, program)
        time.sleep(0.7)
        add(program, 1, memory(container.processes()))
        container.end()
    running = {program: [Container(context, program) for _ in range(COPIES)] for program in programs}
    time.sleep(3)
    before = {program: switches([p for one in some for p in one.processes()]) for program, some in running.items()}
    began = time.monotonic()
    time.sleep(SECONDS)
    took = time.monotonic() - began
    for program, some in running.items():
        processes = [process for one in some for process in one.processes()]
        woken = (switches(processes) - before[program]) / COPIES / took
        add(program, COPIES, memory(processes))
        figures.append(Figure("rest", "wake-ups", program.name, "a second", woken, None, COPIES, program.is_peer))
    for some in running.values():
        for container in some:
            container.end()
    return figures
