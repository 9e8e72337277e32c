#!/usr/bin/env python3
"""What floods of broken clients do to the time that a signal takes through ebb.

    swift build -c release && sudo Tests/Benchmarks/signals.py

A service that waits for signals runs under ebb, in a network namespace of its own; a real-time signal is sent to
ebb every few milliseconds, and the service writes down when each arrives. First alone; then while four processes
at nice 19 are busy with themselves; then while four at nice 19 are clients that are broken in every way they can be
(silent ones, garbage, half messages, floods, readers who never read) and come by the thousand to the control socket
and the HTTP pages, of ebb's own user and of another one. What is asked is whether they hold ebb up by what they do,
and not by being busy: exit code 1 when a signal was lost, or when the median with floods is more than a quarter of a
millisecond above that with busy processes.
"""
import argparse
import ctypes
import os
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The broken clients of the tests, as text: another user may not be able to read the file.
with open(f"{ROOT}/Tests/ServiceTests/Network/flood.py") as file:
    FLOOD = file.read()

SERVICE = r"""
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {40, signal.SIGTERM})
print("ready", flush=True)
while signal.sigwait({40, signal.SIGTERM}) == 40: print(time.monotonic_ns(), flush=True)
"""


def measure(service, ebb, count):
    """The microseconds that each of so many signals took from kill(2) to the service's sigwait(3)."""
    times = []
    for _ in range(count):
        sent = time.monotonic_ns()
        os.kill(ebb, 40)
        times.append((int(service.stdout.readline()) - sent) / 1000)
        time.sleep(0.002)
    return times


def run_beside(service, count, programs):
    """The same while Python runs these beside, two of four as another user."""
    others = []
    for index, words in enumerate(programs):
        user = ["setpriv", "--reuid=64126", "--regid=64126", "--clear-groups", "--"] if index >= 2 else []
        others.append(subprocess.Popen(["nice", "-n", "19", *user, sys.executable, *words], stdout=subprocess.DEVNULL))
    time.sleep(1)
    try:
        return measure(service, service.pid, count)
    finally:
        for other in others:
            other.kill()
            other.wait()


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
    busy = run_beside(service, options.signals, [["-c", "while True: pass"]] * 4)
    flooded = run_beside(service, options.signals, [
        ["-c", FLOOD, place, "1000000", "200"] for place in ("control", "http")] * 2)
    service.send_signal(signal.SIGTERM)
    service.wait(timeout=30)

    def line(name, times):
        centiles = statistics.quantiles(times, n=100)
        print(f"{name:22}{statistics.median(times):10.0f}{centiles[98]:10.0f}{max(times):10.0f}")

    print(f"{'signal, µs':22}{'median':>10}{'p99':>10}{'longest':>10}")
    line("alone", alone)
    line("beside busy processes", busy)
    line("with floods", flooded)
    more = statistics.median(flooded) - statistics.median(busy)
    print(f"{3 * options.signals} signals sent, none lost; the floods make {more:.0f} µs in the median")
    return 0 if more <= 250 else 1


if __name__ == "__main__":
    sys.exit(main())
