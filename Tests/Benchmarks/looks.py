#!/usr/bin/env python3
"""What ebb's looks at traffic cost while a service serves, in Kubernetes, where the lame duck wants them.

    swift build -c release && sudo Tests/Benchmarks/looks.py

Each case has a network of its own, all run at once: how often ebb was woken in a minute, once the first looks are over,
and the processor time that it used. Nobody asks ebb anything. Written to results/looks.md. Exit code 1: it was woken more
than 0.2 times a second, or at all where there is no traffic.
"""
import argparse
import os
import subprocess
import sys
import time

from measures import rest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PORT = "8080"
BEFORE, SECONDS = 30, 60
CASES = {
    "no traffic": None,
    "50 new connections a second": ["--rate", "50", "--poisson"],
    "500 new connections a second": ["--rate", "500", "--poisson"],
    "50 requests a second on 20 kept connections": ["--rate", "50", "--poisson", "--keep-alive", "20"],
    "500 requests a second on 2,000 kept connections": ["--rate", "500", "--poisson", "--keep-alive", "2000"],
}


def look(process):
    """How often a process has been woken, and how long it has run, in nanoseconds."""
    with open(f"/proc/{process}/schedstat") as file:
        return rest.switches([process]), int(file.read().split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/release/ebb")
    parser.add_argument("--tide", default=f"{ROOT}/.build/release/tide")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("it needs root")
    started, watched = [], {}
    try:
        for name, load in CASES.items():
            script = 'ip link set lo up && exec "$@"'
            # With its first process all of it ends.
            words = ["unshare", "--net", "--pid", "--kill-child", "--mount-proc", "--fork", "sh", "-c", script, "sh", options.ebb, "--control", "off", "--",
                     options.tide, "serve", "--listen", PORT]
            environment = {"PATH": os.environ["PATH"], "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
            ebb = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=environment)
            started.append(ebb)
            ebb.stdout.readline()
            watched[name] = rest.children(ebb.pid)[0]
            if load:
                started.append(subprocess.Popen(
                    ["nsenter", f"--target={watched[name]}", "--net", options.tide, "load", PORT, *load, "--duration", "300s"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(BEFORE)
        before = {name: look(process) for name, process in watched.items()}
        time.sleep(SECONDS)
        after = {name: look(process) for name, process in watched.items()}
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
    lines, broken = [], []
    for name in CASES:
        woken = after[name][0] - before[name][0]
        used = (after[name][1] - before[name][1]) / 1e6
        lines.append(f"| {name} | {woken / SECONDS:.2f} | {used:.1f} ms | {used / SECONDS / 10:.4f} % |")
        # One at the edge of the minute.
        if woken > (SECONDS / 5 + 1 if CASES[name] else 0):
            broken.append(name)
    text = (
        "# What the looks at traffic cost\n\nWritten by `Tests/Benchmarks/looks.py`, which says how it is done.\n\n"
        "| traffic | wake-ups a second | processor time in a minute | of one processor |\n| --- | ---: | ---: | ---: |\n"
        + "\n".join(lines) + "\n")
    with open(f"{ROOT}/Tests/Benchmarks/results/looks.md", "w") as file:
        file.write(text)
    print(text, *[f"woken too often: {name}" for name in broken], sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
