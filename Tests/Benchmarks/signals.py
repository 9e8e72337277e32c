#!/usr/bin/env python3
"""What floods of broken clients do to the time that a signal takes through ebb.

    swift build -c release && sudo Tests/Benchmarks/signals.py

A service that waits for signals runs under ebb, in a network namespace of its own; a real-time signal is sent to
ebb every few milliseconds, and the service writes down when each arrives. First alone, then while four clients
that are broken in every way they can be (silent ones, garbage, half messages, floods, readers who never read)
come by the thousand to the control socket and the HTTP pages, of ebb's own user and of another one. The floods
run at nice 19: what is asked is whether they can hold ebb up by what they do, not whether busy processes slow a
machine down. Exit code 1: a signal was lost, or the median more than doubled.
"""
import argparse
import ctypes
import os
import re
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

SERVICE = r"""
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {40, signal.SIGTERM})
print("ready", flush=True)
while signal.sigwait({40, signal.SIGTERM}) == 40: print(time.monotonic_ns(), flush=True)
"""


def flood_program():
    """The broken clients of the tests."""
    with open(f"{ROOT}/Tests/ServiceTests/HostileTests.swift") as file:
        text = re.search(r'flood = #"""\n(.*?)\n    """#', file.read(), re.S).group(1)
    return re.sub(r"(?m)^    ", "", text)


def measure(service, ebb, count):
    """The microseconds that each of so many signals took from kill(2) to the service's sigwait(3)."""
    times = []
    for _ in range(count):
        sent = time.monotonic_ns()
        os.kill(ebb, 40)
        times.append((int(service.stdout.readline()) - sent) / 1000)
        time.sleep(0.002)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/release/ebb")
    parser.add_argument("--signals", type=int, default=1000)
    options = parser.parse_args()
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
        sys.exit("no network namespace of its own: it needs root")
    subprocess.check_call(["ip", "link", "set", "lo", "up"])
    service = subprocess.Popen(
        [options.ebb, "--control", "@flooded", "--http", "9100", "--ready-when", "notify", "--", sys.executable, "-c", SERVICE],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert service.stdout.readline() == b"ready\n"
    alone = measure(service, service.pid, options.signals)
    program = flood_program()
    floods = [
        subprocess.Popen(["nice", "-n", "19", *user, sys.executable, "-c", program, place, "1000000", "200"],
                         stdout=subprocess.DEVNULL)
        for place in ("control", "http")
        for user in ([], ["setpriv", "--reuid=64126", "--regid=64126", "--clear-groups", "--"])]
    time.sleep(1)
    try:
        flooded = measure(service, service.pid, options.signals)
    finally:
        for flood in floods:
            flood.kill()
            flood.wait()
    service.send_signal(signal.SIGTERM)
    service.wait(timeout=30)

    def line(name, times):
        centiles = statistics.quantiles(times, n=100)
        print(f"{name:22}{statistics.median(times):10.0f}{centiles[98]:10.0f}{max(times):10.0f}")

    print(f"{'signal, µs':22}{'median':>10}{'p99':>10}{'longest':>10}")
    line("alone", alone)
    line("with four floods", flooded)
    ratio = statistics.median(flooded) / statistics.median(alone)
    print(f"median with floods to alone: {ratio:.2f}; {2 * options.signals} signals sent, none lost")
    return 0 if ratio <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
