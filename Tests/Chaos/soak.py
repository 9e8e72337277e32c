#!/usr/bin/env python3
"""One ebb and very much of one thing: a million signals, orphans, control requests, ten thousand connections. Its
memory and its descriptors are at the end what they were at the start.

    swift build -c release && sudo Tests/Chaos/soak.py
    sudo EBB_BINARY=.build/musl/release/ebb Tests/Chaos/soak.py --results

What is counted is counted by both ends: as many as were sent have come out at the other one. A hundredth of each,
2,000 at the least, goes first, so that what is made once is there before the first look; and there is one half way.
"""
import argparse
import collections
import json
import os
import re
import signal
import sys
import tempfile
import time

import results
import stage

KINDS = ("Pss", "Private", "RssAnon", "VmData", "VmRSS")
OWN = ("RssAnon", "VmData", "descriptors")
PAGE = 4  # kB
QUEUE = 20_000  # RLIMIT_SIGPENDING is more than that nearly everywhere.
SIGNAL = 40  # A real-time one: each is queued, and none merged with another by whoever sends it.


class Soak:
    def __init__(self, ebb, service, verbs):
        self.stage = stage.Stage(service)
        self.service = service
        self.program = ebb
        self.stage.start([ebb, "run", "--http", str(stage.PAGES), "--ports", str(stage.PORT), "--control", "@chaos",
                          "--linger-max", "0", "--", service, "main", *verbs])
        self.reports = b""

    def report(self, word, seconds=1800):
        """Waits until the service has said this word; its number."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            is_over = self.stage.is_over()
            self.reports += stage.drain(self.stage.reports)
            lines = self.reports.decode().splitlines()
            for index, line in enumerate(lines):
                if line.startswith(word + " "):
                    self.reports = "".join(f"{rest}\n" for rest in lines[index + 1:]).encode()
                    return int(line.split()[1])
            if is_over:
                break
            time.sleep(0.005)
        sys.exit(f"waited in vain for {word!r} of the service; ebb: {self.stage.status}")

    def beside(self, *words):
        """Runs something beside the service to its end; what it printed."""
        process = stage.Exec(self.stage, [str(word) for word in words])
        while process.poll() is None:
            time.sleep(0.005)
            stage.drain(self.stage.errors)
            self.reports += stage.drain(self.stage.reports)
        if process.status != 0:
            sys.exit(f"{words}: {process.status}; ebb: {self.stage.is_over(), self.stage.status}")
        return process.output

    def asked(self):
        return json.loads(self.beside(self.program, "status", "--json", "--control", "@chaos"))

    def look(self):
        """Memory in kB and descriptors, once the kernel has seen all ends of what was closed."""
        self.asked()
        before = None
        while True:
            now = {**self.stage.memory(self.stage.ebb, KINDS[2:]), **self.rollup(),
                   "descriptors": self.stage.descriptors(self.stage.ebb)}
            if now == before:
                return now
            before = now
            time.sleep(0.2)

    def rollup(self):
        """Its share of memory (PSS), and what is its own alone."""
        sizes = collections.Counter()
        for line in self.stage.text(self.stage.ebb, "smaps_rollup").splitlines()[1:]:
            name, size = line.split()[:2]
            sizes[name.rstrip(":")] = int(size)
        return {"Pss": sizes["Pss"], "Private": sizes["Private_Clean"] + sizes["Private_Dirty"]}

    def end(self):
        os.kill(self.stage.ebb, signal.SIGTERM)
        end = time.monotonic() + 20
        while not self.stage.is_over():
            if time.monotonic() > end:
                sys.exit("did not end")
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(self.stage.status)


def settled(soak, name):
    """A counter of ebb's, once it stands: some may be under way still."""
    before = -1
    while (now := soak.asked()[name]) != before:
        before = now
        time.sleep(0.1)
    return now


def signals(soak, count):
    """In parts that fit into the queue of the service, beyond whose limit the kernel merges them."""
    service = soak.stage.children(soak.stage.ebb)[0]
    while count > 0:
        part = min(count, QUEUE)
        soak.beside(soak.service, "signals", 1, part, SIGNAL)
        count -= part
        forwarded = settled(soak, "signals_forwarded")
        while int(re.search(r"ShdPnd:\s*(\w+)", soak.stage.text(service, "status"))[1], 16) >> (SIGNAL - 1) & 1:
            time.sleep(0.005)
    return forwarded


def orphans(soak, count):
    """The service makes them when a signal comes that it waits for."""
    os.kill(soak.stage.ebb, SIGNAL)
    soak.report("orphans")
    return settled(soak, "children_reaped")


def requests(soak, count):
    for request in ("ready", "live", "status", "status json"):
        soak.beside(soak.service, "requests", "@chaos", count // 4, request)
    return count


def connections(soak, count):
    """Half of them to ebb's own pages, half to the service."""
    for path in ("livez", "readyz", "status", "metrics"):
        soak.beside(soak.service, "connections", stage.PAGES, count // 8, f"GET /{path} HTTP/1.1\r\n\r\n")
    soak.beside(soak.service, "connections", stage.PORT, count // 2, "GET\n")
    return count


def halves_of(count):
    """The two halves that are looked at."""
    return count // 2, count - count // 2


def run(what, count, ebb, service):
    """One kind of load against one ebb; its rows of the table, and whether nothing has grown."""
    warm = max(2000, count // 100)
    halves = halves_of(count)
    serving = ["listen", str(stage.PORT), "up", "serve"]
    verbs = {"signals": ["count", str(SIGNAL)], "requests": serving, "connections": serving,
             "orphans": ["block", str(SIGNAL), "up"]
             + [word for part in (warm, *halves) for word in ("await", str(SIGNAL), "orphans", str(part))]
             + ["hang"]}[what]
    soak = Soak(ebb, service, verbs)
    soak.report("up")
    load = {"signals": signals, "orphans": orphans, "requests": requests, "connections": connections}[what]
    first = load(soak, warm)
    looks = [soak.look()]
    began = time.monotonic()
    for half in halves:
        done = load(soak, half)
        looks.append(soak.look())
    seconds = time.monotonic() - began
    highest = soak.stage.memory(soak.stage.ebb)["VmHWM"]
    wrong = []
    if what in ("orphans", "signals") and done - first != count:
        wrong.append(f"{done - first} of {count} have come out")
    # What is resident of its file comes and goes, since ebb unmaps its own code when it rests: judged is what is its
    # own. A page that is first touched late may be one more half way; nothing may be after that.
    for name in OWN:
        start, half, end = (look[name] for look in looks)
        if end > half or half > start + (PAGE if name == "RssAnon" else 0):
            wrong.append(f"{name} has grown from {start} to {half} to {end}")
    code = soak.end()
    if what == "signals" and (counted := soak.report("count", 5)) != count + warm:
        wrong.append(f"the service itself has counted {counted} of {count + warm}")
    if code not in (0, 143):
        wrong.append(f"exit {code}")
    names = {"Pss": "PSS, kB", "Private": "private, kB", "RssAnon": "anonymous, kB", "descriptors": "descriptors"}
    rows = [[f"{count:,} {what}" if name == "Pss" else "", title, *(look[name] for look in looks),
             f"{looks[-1][name] - looks[0][name]:+d}".replace("+0", "0"), f"{seconds:.0f} s" if name == "Pss" else ""]
            for name, title in names.items()]
    told = ", ".join(f"{name} {looks[0][name]}, {looks[1][name]}, {looks[2][name]}" for name in (*KINDS, "descriptors"))
    print(f"{count:,} {what} in {seconds:.1f} s: {told}; at most {highest} kB resident"
          + (": " + ", ".join(wrong) if wrong else ""), flush=True)
    return rows, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for what, usual in (("signals", 1_000_000), ("orphans", 1_000_000), ("requests", 1_000_000),
                        ("connections", 10_000)):
        parser.add_argument(f"--{what}", type=int, default=usual, metavar="N")
    parser.add_argument("--results", action="store_true", help="write the section of results.md")
    parser.add_argument("--ebb", default=stage.binary(), help="else $EBB_BINARY, else the release build")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("soak.py needs root: it makes namespaces")
    rows, failures = [], []
    ebb = os.path.abspath(arguments.ebb)
    subject = results.subject(ebb)
    with tempfile.TemporaryDirectory(prefix="ebb-soak-") as folder:
        service = stage.compile_service(folder)
        for what in ("signals", "orphans", "requests", "connections"):
            count = getattr(arguments, what)
            if not count:
                continue
            # Namespaces are made once in a process.
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                stage.die_with_parent()
                outcome = [], ["the driver failed"]
                try:
                    outcome = run(what, count, ebb, service)
                except SystemExit as error:
                    outcome = [], [str(error)]
                finally:
                    with os.fdopen(writing, "w") as file:
                        json.dump(outcome, file)
                    os._exit(0)
            os.close(writing)
            with os.fdopen(reading) as file:
                more, wrong = json.load(file)
            os.waitpid(pid, 0)
            rows += more
            failures += [f"{what}: {text}" for text in wrong]
    verdict = "Nothing has grown." if not failures else f"Violations: {'; '.join(failures)}."
    print(verdict)
    if arguments.results:
        results.write("Soak", "\n\n".join([
            subject,
            results.table(("one ebb and", "of ebb", "before", "half way", "after", "growth", "time"), rows),
            verdict]))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
