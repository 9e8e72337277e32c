#!/usr/bin/env python3
"""One ebb and very much of one thing: a million signals, orphans, control requests, ten thousand connections. Its
memory and its descriptors are at the end what they were at the start.

    swift build -c release && sudo Tests/Chaos/soak.py

What is counted is counted by both ends: as many as were sent have come out at the other one. A hundredth of each,
500 at the least, goes first, so that what is made once is there before the first look.
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time

import chaos
import stage

SIGNAL = 40  # A real-time one: each is queued, and none merged with another by whoever sends it.


class Soak:
    def __init__(self, ebb, service, verbs):
        self.stage = stage.Stage(service)
        self.service = service
        self.program = ebb
        self.stage.start([ebb, "run", "--http", str(chaos.PAGES), "--ports", str(chaos.PORT), "--control", "@chaos",
                          "--linger-max", "0", "--", service, "main", *verbs])
        self.reports = b""

    def report(self, word, seconds=1800):
        """Waits until the service has said this word; its number."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            is_over = self.stage.is_over()
            self.reports += chaos.drain(self.stage.reports)
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
            chaos.drain(self.stage.errors)
        if process.status != 0:
            sys.exit(f"{words}: {process.status}; ebb: {self.stage.is_over(), self.stage.status}")
        return process.output

    def asked(self):
        return json.loads(self.beside(self.program, "status", "--json", "--control", "@chaos"))

    def look(self):
        """Memory and descriptors once the kernel has seen all ends of what was closed."""
        self.asked()
        before = None
        while True:
            now = (self.stage.memory(self.stage.ebb, ("RssAnon", "VmData", "VmHWM", "VmRSS")),
                   self.stage.descriptors(self.stage.ebb))
            if now == before:
                return now
            before = now
            time.sleep(0.2)

    def end(self):
        os.kill(self.stage.ebb, signal.SIGTERM)
        end = time.monotonic() + 20
        while not self.stage.is_over():
            if time.monotonic() > end:
                sys.exit("did not end")
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(self.stage.status)


def signals(soak, count):
    soak.beside(soak.service, "signals", 1, count, SIGNAL)
    # Those that are queued still: the figure stands when none is.
    before = -1
    while (now := soak.asked()["signals_forwarded"]) != before:
        before = now
        time.sleep(0.05)
    return now


def orphans(soak, count):
    """The service makes them when a signal comes that it waits for."""
    os.kill(soak.stage.ebb, SIGNAL)
    soak.report("orphans")
    return soak.asked()["children_reaped"]


def requests(soak, count):
    for request in ("ready", "live", "status", "status json"):
        soak.beside(soak.service, "requests", "@chaos", count // 4, request)
    return count


def connections(soak, count):
    """Half of them to ebb's own pages, half to the service."""
    for path in ("livez", "readyz", "status", "metrics"):
        soak.beside(soak.service, "connections", chaos.PAGES, count // 8, f"GET /{path} HTTP/1.1\r\n\r\n")
    soak.beside(soak.service, "connections", chaos.PORT, count // 2, "GET\n")
    return count


def run(what, count, ebb, service):
    """One kind of load against one ebb; true where nothing has grown."""
    warm = max(500, count // 100)
    serving = ["listen", str(chaos.PORT), "up", "serve"]
    verbs = {"signals": ["count", str(SIGNAL)], "requests": serving, "connections": serving,
             "orphans": ["block", str(SIGNAL), "up", "await", str(SIGNAL), "orphans", str(warm),
                         "await", str(SIGNAL), "orphans", str(count), "hang"]}[what]
    soak = Soak(ebb, service, verbs)
    soak.report("up")
    load = {"signals": signals, "orphans": orphans, "requests": requests, "connections": connections}[what]
    first = load(soak, warm)
    before = soak.look()
    began = time.monotonic()
    done = load(soak, count)
    seconds = time.monotonic() - began
    after = soak.look()
    wrong = []
    if what == "orphans":
        # And each fifty's parent, which the service reaps itself, so not those.
        if done - first != count:
            wrong.append(f"{done - first} reaped")
    if what == "signals" and done - first != count:
        wrong.append(f"{done - first} forwarded")
    for name in ("RssAnon", "VmData"):
        if after[0][name] > before[0][name]:
            wrong.append(f"{name} grew by {after[0][name] - before[0][name]} kB")
    if after[1] > before[1]:
        wrong.append(f"{after[1] - before[1]} descriptors more")
    print(f"{count} {what} in {seconds:.1f} s: own memory {before[0]['RssAnon']} kB, then {after[0]['RssAnon']} kB; "
          f"resident {before[0]['VmRSS']} kB, then {after[0]['VmRSS']} kB, at most {after[0]['VmHWM']} kB; "
          f"descriptors {before[1]}, then {after[1]}{': ' if wrong else ''}{', '.join(wrong)}", flush=True)
    code = soak.end()
    if what == "signals":
        print(f"  the service itself counted {soak.report('count', 5)} of {count + warm}")
    if code not in (0, 143):
        wrong.append(f"exit {code}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for what, usual in (("signals", 1_000_000), ("orphans", 1_000_000), ("requests", 1_000_000),
                        ("connections", 10_000)):
        parser.add_argument(f"--{what}", type=int, default=usual, metavar="N")
    parser.add_argument("--ebb", default=str(stage.ROOT / ".build/release/ebb"))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("soak.py needs root: it makes namespaces")
    failed = []
    with tempfile.TemporaryDirectory(prefix="ebb-soak-") as folder:
        service = stage.compile_service(folder)
        for what in ("signals", "orphans", "requests", "connections"):
            count = getattr(arguments, what)
            if not count:
                continue
            # Namespaces are made once in a process.
            pid = os.fork()
            if pid == 0:
                stage.die_with_parent()
                ok = False
                try:
                    ok = run(what, count, arguments.ebb, service)
                except SystemExit as error:
                    print(f"{what}: {error}", flush=True)
                finally:
                    os._exit(0 if ok else 1)
            if os.waitpid(pid, 0)[1] != 0:
                failed.append(what)
    print("nothing has grown" if not failed else f"violations: {failed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
