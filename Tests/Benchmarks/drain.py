#!/usr/bin/env python3
"""What a stop costs while a load balancer has not yet heard of it: failed requests, and time.

    swift build -c release && sudo Tests/Benchmarks/drain.py

Each run is a service in a network of its own, answers that take 0.3 s, and clients that come independently of
each other (a Poisson process, seeded): 3 s of traffic, then SIGTERM to the process that a container's runtime
would send it to; the clients send on until the removal. The grid is

    nginx, tide, Python's http.server
  x 0.5, 5, 50, 500 requests a second
  x removal 0, 0.5, 2, 4, 8 s after SIGTERM (or after the preStop hook began)
  x a new connection for each request, or a keep-alive pool
  x the service alone; under tini; under dumb-init -r 15:3; under tini with `sleep 10` as its preStop hook;
    under ebb with the defaults that it has in Kubernetes (--lame-duck-max 10s)

and, for 5 and 50 a second, clients that are less tidy, in half as many runs:

    closed loop   a pool whose connections ask again at once when they have their answer, or 0.3 s after a failure
                  (2 and 15 of them, which is about as many requests a second). Those sent before the removal
                  count, as for all others: what a pool would have asked later is lost by nature
    two writes    a keep-alive pool, POST with its head and body in two writes

and, for 50 a second under ebb, new connections that all come in the first 0.2 s of every 2 s, and eight load
balancers that leave one by one until the removal;

and, for 5 and 50 a second and removal within 2 s, ebb with three minutes of traffic before: from those it knows the
rate. Then the same for 50 a second with two probers, each with a new connection every 5 s: one on the service's port, one
on another (nginx and Python, which have a second one).

No row has TLS, which `tide load` does not speak: Tests/Benchmarks/requests.py has that.

Runs go in rounds, so that whatever else the machine does hits all of them, many side by side, since they mostly
wait: as many as keep the processors below --busy. One in which the client itself was late is made again. Needs root, nginx with its echo module, tini and dumb-init.

Written to --out: drain.csv (a line a cell), drain.md (the tables), drain.svg (one stop of each kind), and to
--raw a line of JSON a run. Exit code 1: a request failed under ebb.
"""
import argparse
import collections
import csv
import ctypes
import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from measures.drawing import WIDTH, Drawing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PORT = 8080
SERVERS = ("nginx", "tide", "python")
RATES = (0.5, 5, 50, 500)
REMOVALS = (0, 0.5, 2, 4, 8)
PLAIN_MODES = ("new", "keep-alive")
UNTIDY_MODES = ("closed loop", "two writes")
MODES = (*PLAIN_MODES, "bursts", "one by one", *UNTIDY_MODES)
SETTLED, PROBED = "ebb, three minutes old", "ebb, three minutes old, probed"
WRAPPERS = ("alone", "tini", "dumb-init", "tini + sleep 10", "ebb", SETTLED, PROBED)
# Connections in the pool: more than twice of what is in progress on average.
POOL = {0.5: 4, 5: 6, 50: 40, 500: 320}
# Connections of a closed loop: so many a second, at 0.3 s each.
CLOSED_LOOP = {5: 2, 50: 15}
WARM_UP = 3
SETTLED_FOR = 180
# A scraper's.
METRICS_PORT = 9100
PROBE_INTERVAL = 5

# Measured here: processor time of a run's processes, as a part of one core.
COST_PER_REQUEST = {"nginx": 0.00015, "tide": 0.00012, "python": 0.0005}
COST_OF_RUN = {"nginx": 0.005, "tide": 0.004, "python": 0.015}

NGINX = """
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr emerg;
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c;
  uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;
  server { listen 8080 backlog=4096; listen 9100; location / { echo_read_request_body; echo_sleep 0.3; echo done; } }
}
"""

# As its documentation has it: no graceful stop, and a queue of five.
PYTHON = """
import http.server, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"done\\n")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *words): pass
threading.Thread(target=http.server.ThreadingHTTPServer(("", 9100), Handler).serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""

HEADINGS = {
    "new": "a new connection for each request",
    "keep-alive": "keep-alive",
    "bursts": "bursts of new connections",
    "one by one": "new connections from load balancers that leave one by one",
    "closed loop": "keep-alive, each connection asks again at once",
    "two writes": "keep-alive, POST in two writes",
}

Cell = collections.namedtuple("Cell", "server rate removal mode wrapper")


def is_in_grid(cell):
    """Whether what is special about it is measured there."""
    if cell.mode in UNTIDY_MODES:
        return cell.rate in (5, 50) and cell.wrapper not in (SETTLED, PROBED)
    if cell.mode not in PLAIN_MODES:
        return cell.rate == 50 and cell.wrapper == "ebb"
    if cell.wrapper == PROBED:
        return cell.rate == 50 and cell.removal == 0.5 and cell.server != "tide"
    return cell.wrapper != SETTLED or (cell.rate in (5, 50) and cell.removal <= 2)


def runs_of(cell, options):
    runs = options.runs if cell.wrapper.startswith("ebb") else options.other_runs
    return (runs + 1) // 2 if cell.mode in UNTIDY_MODES else runs


def traffic_of(cells):
    """All that is sent, in an order in which what came later is last: its index is in the seeds."""
    return sorted({cell[:4] for cell in cells}, key=lambda one: (one[3] in UNTIDY_MODES, str(one)))


def arrivals(cell, seed):
    """The load client's options that say what it sends, and when."""
    words = ["--seed", str(seed)]
    if cell.mode == "closed loop":
        pool = ["--closed-loop", "--keep-alive", str(CLOSED_LOOP[cell.rate])]
        return words + pool + ["--ramp", "300ms", "--pause", "300ms"]
    words += ["--rate", str(cell.rate), "--poisson"]
    if cell.mode in ("keep-alive", "two writes"):
        words += ["--keep-alive", str(POOL[cell.rate])]
    if cell.mode == "two writes":
        words += ["--shape", "two-writes"]
    if cell.mode == "bursts":
        words += ["--bursts", "200ms/1800ms"]
    if cell.mode == "one by one":
        words += ["--balancers", "8"]
    return words


def service(server, folder, tide):
    if server == "nginx":
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(NGINX.replace("FOLDER", folder))
        return ["nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf"]
    if server == "tide":
        return [tide, "serve", "--listen", str(PORT)]
    with open(f"{folder}/server.py", "w") as file:
        file.write(PYTHON)
    return ["python3", "-I", "-S", f"{folder}/server.py"]


def wrapper(name, ebb, verbose):
    if name == "alone":
        return []
    if name.startswith("tini"):
        return ["tini", "--"]
    if name == "dumb-init":
        return ["dumb-init", "-r", "15:3", "--"]
    return [ebb, "--lame-duck-max", "10s", *verbose, "--"]


# A run


def own_network():
    """Moves this process into a network of its own, whose loopback interface is up."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "no network of its own: it needs root")
    with socket.socket() as one:
        flags = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
        fcntl.ioctl(one, 0x8914, flags)  # SIOCSIFFLAGS


def listens():
    for name in ("tcp", "tcp6"):
        with open(f"/proc/self/net/{name}") as table:
            for line in table:
                words = line.split()
                if words[1].endswith(f":{PORT:04X}") and words[3] == "0A":
                    return True
    return False


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]


def end_all():
    """Ends what this run has left behind: its processes come to us, prctl(2)."""
    end = time.monotonic() + 10
    while left := children():
        for process in left:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        if time.monotonic() > end:
            break


def warm_up_of(wrapper):
    return SETTLED_FOR if wrapper in (SETTLED, PROBED) else WARM_UP


def probe(seed):
    """Starts two probers, children of this run: one asks the service, one a port of its metrics, each at times of its
    own."""
    for port in (PORT, METRICS_PORT):
        if os.fork():
            continue
        try:
            time.sleep(random.Random(seed + port).uniform(0.5, PROBE_INTERVAL))
            while True:
                with socket.create_connection(("127.0.0.1", port), timeout=2) as asking:
                    asking.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    while asking.recv(4096):
                        pass
                time.sleep(PROBE_INTERVAL)
        finally:
            os._exit(0)


def run(cell, seed, options, series=False):
    """One stop, in a process that is for it alone: what its clients saw."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    own_network()
    with tempfile.TemporaryDirectory(prefix="drain-") as folder:
        os.chmod(folder, 0o755)
        verbose = ["--verbose", "--log", "json"]
        words = wrapper(cell.wrapper, options.ebb, verbose) + service(cell.server, folder, options.tide)
        with open(f"{folder}/stderr", "w+") as errors:
            try:
                main = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, cwd=folder,
                    start_new_session=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
                end = time.monotonic() + 20
                while not listens():
                    if time.monotonic() > end or main.poll() is not None:
                        errors.seek(0)
                        raise OSError(f"{cell}: it does not listen: {errors.read()}")
                    time.sleep(0.01)
                warm_up = warm_up_of(cell.wrapper)
                if cell.wrapper == PROBED:
                    probe(seed)
                load = [
                    options.tide, "load", str(PORT), "--path", "/slow?ms=300", *arrivals(cell, seed),
                    "--stop", str(main.pid), "--stop-after", f"{warm_up}s",
                    "--remove-after", f"{cell.removal}s", "--series" if series else "--json"]
                if cell.wrapper == "tini + sleep 10":
                    load += ["--hook", "10s"]
                loading = subprocess.Popen(
                    load, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]})
                told, _ = loading.communicate(timeout=200)
                result = json.loads(told)
                result["exit"] = main.wait(timeout=5) if result["ended"] is not None else None
                errors.seek(0)
                text = errors.read()
                if cell.wrapper.startswith("ebb"):
                    result["log"] = [line for line in text.splitlines() if line.startswith("{")]
            finally:
                end_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result["cpu"] = round(used.ru_utime + used.ru_stime, 3)
    return {**cell._asdict(), "seed": seed, **result}


def forked(cell, seed, options, path, series=False):
    """Starts a run in a process of its own, which writes its result to a file."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        result = run(cell, seed, options, series)
        with open(f"{path}.new", "w") as file:
            json.dump(result, file)
        os.rename(f"{path}.new", path)
        code = 0
    except BaseException as error:  # Nothing of the parent's may run here.
        print(f"{cell}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


class Processors:
    """How busy the machine is, as a part of all of its processors."""

    def __init__(self):
        self.last = self.look()
        self.busy = 0.0

    @staticmethod
    def look():
        with open("/proc/stat") as file:
            numbers = [int(word) for word in file.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    def update(self):
        now = self.look()
        total, idle = now[0] - self.last[0], now[1] - self.last[1]
        if total > 50:
            self.busy = 1 - idle / total
            self.last = now
        return self.busy


def weight(cell):
    return COST_OF_RUN[cell.server] + cell.rate * COST_PER_REQUEST[cell.server]


def run_all(jobs, options):
    """Runs (cell, seed) side by side, and yields each result."""
    folder = tempfile.mkdtemp(prefix="drain-results-")
    processors = Processors()
    room = options.busy * os.cpu_count()
    running = {}
    waiting = list(jobs)
    total, done, number = len(waiting), 0, 0
    deadline = time.monotonic() + options.minutes * 60
    told = time.monotonic()
    try:
        while running or waiting:
            busy = processors.update()
            if waiting and time.monotonic() > deadline:
                print(f"time is up: {len(waiting)} of {total} runs are left out", flush=True)
                waiting.clear()
            while waiting and len(running) < options.most:
                # Where others use the machine as well, half of that.
                left = room / (2 if busy > options.busy + 0.1 else 1)
                left -= sum(weight(cell) for cell, _, _ in running.values())
                # The first that there is room for: the heavy ones of a round must not hold up the others.
                fits = (index for index, job in enumerate(waiting[:200]) if not running or weight(job[0]) <= left)
                index = next(fits, None)
                if index is None:
                    break
                cell, seed = waiting.pop(index)
                number += 1
                path = f"{folder}/{number}"
                running[forked(cell, seed, options, path)] = (cell, seed, path)
            if time.monotonic() > told + 30:
                told = time.monotonic()
                print(f"{done} of {total} runs, {len(running)} under way, {busy:.0%} busy", flush=True)
            try:
                process, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                process = 0
            if not process:
                time.sleep(0.05)
                continue
            cell, seed, path = running.pop(process)
            done += 1
            result = None
            if os.path.exists(path):
                with open(path) as file:
                    result = json.load(file)
                os.unlink(path)
            if result and not is_disturbed(result):
                yield result
            elif time.monotonic() < deadline:
                print(f"disturbed, and so once more: {cell}, seed {seed}", flush=True)
                total += 1
                waiting.append((cell, seed))
    finally:
        for process in running:
            os.kill(process, signal.SIGTERM)
        for process in running:
            os.waitpid(process, 0)
        shutil.rmtree(folder, ignore_errors=True)


def is_disturbed(result):
    """Whether the client itself was late, by more than 0.25 s, or requests failed before the stop began: then the
    machine had no time for them, and the run is made again."""
    hook = 10 if result["wrapper"] == "tini + sleep 10" else 0
    warm_up = warm_up_of(result["wrapper"])
    times = [(-result["began"], warm_up), (result["removed"], result["removal"]), (result["signalled"], hook)]
    late = any(actual is None or abs(actual - wanted) > 0.25 for actual, wanted in times)
    return late or any(one["at"] < 0 for one in result["failures"])


# The results


def key(result):
    return Cell(*(result[name] for name in Cell._fields))


def spread(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def sum_up(results):
    """A row a cell, of all of its runs."""
    cells = collections.defaultdict(list)
    for result in results:
        cells[key(result)].append(result)
    rows = []
    for cell, runs in sorted(cells.items(), key=lambda item: tuple(map(str, item[0]))):
        row = cell._asdict()
        row["runs"] = len(runs)
        row["requests"] = sum(one["requests"] for one in runs)
        row["failed"] = sum(one["failed"] for one in runs)
        row["runs_with_failures"] = sum(one["failed"] > 0 for one in runs)
        for kind in ("refused", "reset", "unanswered", "short", "timed_out", "error", "bad"):
            row[kind] = sum(one[kind] for one in runs)
        row["stop_median_s"] = spread(one["ended"] for one in runs)
        row["stop_max_s"] = max((one["ended"] for one in runs if one["ended"] is not None), default=None)
        row["after_last_answer_median_s"] = spread(
            one["ended"] - max(one["last_answer"], 0) for one in runs
            if one["ended"] is not None and one["last_answer"] is not None)
        rows.append(row)
    return rows


def write_csv(rows, path):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            writer.writerow({
                name: f"{value:.3f}" if isinstance(value, float) and name.endswith("_s") else value
                for name, value in row.items()})


def select(rows, **wanted):
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def figure(rows):
    """Failed of all requests, and the median of the cells' medians of the time to stop."""
    if not rows:
        return "–"
    failed, requests = sum(row["failed"] for row in rows), sum(row["requests"] for row in rows)
    times = [row["stop_median_s"] for row in rows if row["stop_median_s"] is not None]
    share = "0" if failed == 0 else f"{failed:,} of {requests:,}"
    return f"{share}, {statistics.median(times):.1f} s" if times else share


def per_stop(rows):
    """Failed requests of one stop, on average, and the median of its times."""
    if not rows:
        return "–"
    failed = sum(row["failed"] for row in rows) / sum(row["runs"] for row in rows)
    times = statistics.median(row["stop_median_s"] for row in rows if row["stop_median_s"] is not None)
    return f"{failed:.0f}, {times:.1f} s" if failed == 0 or failed >= 1 else f"{failed:.1f}, {times:.1f} s"


def table(heads, lines):
    text = "| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads) + "\n"
    return text + "".join("| " + " | ".join(line) + " |\n" for line in lines)


def markdown(rows):
    total = sum(row["requests"] for row in rows)
    runs = {name: {row["runs"] for row in select(rows, wrapper=name)} for name in WRAPPERS}
    counts = ", ".join(
        f"{name}: {min(some)}" + (f" to {max(some)}" if len(some) > 1 else "")
        for name, some in runs.items() if some)
    text = (
        "# What a stop costs\n\n"
        "Written by `Tests/Benchmarks/drain.py`, which says how it is done. Each figure: failed of all requests, "
        "and the median time\nfrom SIGTERM (or from the beginning of the preStop hook) to the end of the "
        f"process that was signalled. {total:,} requests. Runs of each cell:\n{counts}.\n\n"
        "## In short\n\nFailed requests of one stop, on average, and the median time of it, at 50 requests a "
        "second: all servers,\nnew connections and keep-alive together.\n\n")
    heads = ["removal after"] + [f"{one:g} s" for one in REMOVALS]
    plain = [row for row in rows if row["mode"] in PLAIN_MODES]
    text += table(heads, [
        [name] + [per_stop(select(plain, wrapper=name, removal=one, rate=50)) for one in REMOVALS]
        for name in WRAPPERS if select(plain, wrapper=name, rate=50)])
    text += "\n## By removal\n\nAll servers, rates, new connections and keep-alive together.\n\n"
    text += table(heads, [
        [name] + [figure(select(plain, wrapper=name, removal=one)) for one in REMOVALS] for name in WRAPPERS
        if select(plain, wrapper=name)])
    text += "\n## What is sent\n\nAll servers, at 50 requests a second.\n\n"
    text += table(["requests"] + heads, [
        [HEADINGS[mode], name]
        + [per_stop(select(rows, wrapper=name, mode=mode, removal=one, rate=50)) for one in REMOVALS]
        for mode in MODES for name in WRAPPERS if select(rows, wrapper=name, mode=mode, rate=50)])
    for server in SERVERS:
        for mode in MODES:
            if not select(rows, server=server, mode=mode):
                continue
            text += f"\n## {server}, {HEADINGS[mode]}\n\n"
            lines = []
            for rate in RATES:
                for name in WRAPPERS:
                    if not select(rows, server=server, mode=mode, rate=rate, wrapper=name):
                        continue
                    some = [
                        figure(select(rows, server=server, mode=mode, rate=rate, wrapper=name, removal=one))
                        for one in REMOVALS]
                    lines.append([f"{rate:g} a second", name] + some)
            text += table(["rate"] + heads, lines)
    mine = select(plain, wrapper="ebb")
    text += "\n## The silence\n\nUnder ebb: the median time from the last answer (or SIGTERM) to the end.\n\n"
    text += table(heads, [
        [f"{rate:g} a second"] + [
            f"{spread(row['after_last_answer_median_s'] for row in some):.1f} s"
            if (some := select(mine, rate=rate, removal=one)) else "–" for one in REMOVALS]
        for rate in RATES])
    return text


# The picture

PICTURED = [Cell("nginx", 50, 2, "new", name) for name in ("tini", "tini + sleep 10", "ebb")]
CAPTIONS = {
    "tini": "tini: the service is told at once, while requests still come",
    "tini + sleep 10": "tini, with sleep 10 as its preStop hook: ten seconds, whatever happens",
    "ebb": "ebb: the service is told when the traffic has left",
}
LEFT, RIGHT, TOP, HEIGHT, GAP = 56, 16, 58, 112, 44
FIRST, LAST = -2.0, 12.0


class Timeline(Drawing):
    """One with the seconds of a stop from left to right."""

    @staticmethod
    def x(seconds):
        share = (min(max(seconds, FIRST), LAST) - FIRST) / (LAST - FIRST)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def bars(self, bars, color):
        """Of (from, to, y, height)."""
        self.shapes(
            [[(self.x(start), y), (self.x(end) - 0.6, y), (self.x(end) - 0.6, y + height), (self.x(start), y + height)]
             for start, end, y, height in bars if height > 0], color)

    def curve(self, points, color):
        self.path([(self.x(x), y) for x, y in points], color, 1.5)


def grouped(values, size):
    return [sum(values[index:index + size]) for index in range(0, len(values), size)]


def phases(result):
    """What ebb's own log says of the stop: (name, from, to), in seconds after SIGTERM."""
    times = {}
    for line in result.get("log", []):
        fields = json.loads(line)
        times.setdefault(fields["event"], fields["time"])
    if "draining" not in times:
        return []
    zero = times["draining"]
    ends = [("lame duck", "quiet"), ("busy", "stopping"), ("stopping", "stopped"), ("lingering", "released")]
    found, before = [], 0.0
    for name, event in ends:
        if event in times:
            found.append((name, before, times[event] - zero))
            before = times[event] - zero
    return found


def picture(results):
    drawing = Timeline(TOP + len(results) * (HEIGHT + GAP) + 16)
    cell = key(results[0])
    drawing.text(LEFT, 20, f"A stop of {cell.server}: {cell.rate:g} requests a second, 0.3 s each, "
                 f"for another {cell.removal:g} s", weight="bold", size=14)
    legend = [("#4c9a6a", "answered"), ("#d0433b", "failed"), ("#2f5d9b", "open connections")]
    for index, (color, name) in enumerate(legend):
        drawing.bar(LEFT + 130 * index, 33, 10, 10, color, round=0)
        drawing.text(LEFT + 15 + 130 * index, 42, name)
    drawing.text(WIDTH - RIGHT, 42, "requests in each 0.2 s", anchor="end")
    most = 1.1 * max(max(
        max(a + f for a, f in zip(grouped(one["series"]["answered"], 2), grouped(one["series"]["failed"], 2))),
        max(one["series"]["open"])) for one in results)
    for number, result in enumerate(results):
        top = TOP + number * (HEIGHT + GAP) + 18
        bottom = top + HEIGHT
        series = result["series"]
        answered, failed = (grouped(series[name], 2) for name in ("answered", "failed"))
        scale = HEIGHT / most
        name = result["wrapper"]
        times = [result["began"] + 0.2 * index for index in range(len(answered) + 1)]
        shades = {"lame duck": "#eef4fb", "busy": "#fdf3dc", "stopping": "#f7e2e0", "lingering": "#e9e3f3"}
        for phase, start, end in phases(result):
            drawing.bar(drawing.x(start), top, drawing.x(end) - drawing.x(start), HEIGHT, shades[phase], round=0)
            if end - start > 0.8:
                drawing.text(drawing.x(start) + 4, top + 13, phase, color="#777", size=11)
        shown = [i for i in range(len(answered)) if times[i] >= FIRST - 0.01 and times[i + 1] <= LAST + 0.01]
        drawing.bars(
            [(times[i], times[i + 1], bottom - scale * answered[i], scale * answered[i]) for i in shown], "#4c9a6a")
        drawing.bars(
            [(times[i], times[i + 1], bottom - scale * (answered[i] + failed[i]), scale * failed[i])
             for i in shown], "#d0433b")
        points = [
            (result["began"] + 0.1 * (index + 1), bottom - scale * value) for index, value in enumerate(series["open"])]
        drawing.curve([point for point in points if FIRST <= point[0] <= min(LAST, result["ended"])], "#2f5d9b")
        drawing.path([(LEFT, bottom), (WIDTH - RIGHT, bottom)], "#999")
        for value in (0, 10, 20, 30):
            if value < most:
                drawing.text(LEFT - 6, round(bottom - scale * value + 4, 1), str(value), color="#777", anchor="end", size=11)
        drawing.path([(drawing.x(0), top - 2), (drawing.x(0), bottom)], "#333", dash="3 3")
        drawing.path([(drawing.x(cell.removal), top - 2), (drawing.x(cell.removal), bottom)], "#333", dash="3 3")
        drawing.path([(drawing.x(result["ended"]), top - 2), (drawing.x(result["ended"]), bottom)], "#333")
        # Beside the line, or where no bar is in its way.
        place = result["ended"] if result["ended"] > cell.removal else cell.removal + 0.3
        drawing.text(
            drawing.x(place) + 5, bottom - 6, f"ended after {result['ended']:.1f} s", size=11, color="#333")
        failures = f"{result['failed']} of {result['requests']} requests failed"
        drawing.text(LEFT, top - 6, CAPTIONS[name], weight="bold")
        drawing.text(
            WIDTH - RIGHT, top - 6, failures, anchor="end", weight="bold",
            color="#d0433b" if result["failed"] else "#4c9a6a")
        if number == len(results) - 1:
            for second in range(int(FIRST), int(LAST) + 1, 1):
                drawing.text(drawing.x(second), bottom + 15, f"{second} s", color="#777", anchor="middle", size=11)
            drawing.text(drawing.x(0), bottom + 30, "the stop begins", anchor="middle", size=11)
            drawing.text(drawing.x(cell.removal), bottom + 30, "no new requests", anchor="middle", size=11)
    return drawing.whole()


def draw(options):
    """A run of each kind that is pictured, on its own, and its picture."""
    results = []
    with tempfile.TemporaryDirectory(prefix="drain-") as folder:
        for cell in PICTURED:
            path = f"{folder}/result"
            os.waitpid(forked(cell, options.seed, options, path, series=True), 0)
            with open(path) as file:
                results.append(json.load(file))
    with open(f"{options.out}/drain.svg", "w") as file:
        file.write(picture(results))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/release/ebb")
    parser.add_argument("--tide", default=f"{ROOT}/.build/release/tide")
    parser.add_argument("--out", default=f"{ROOT}/Tests/Benchmarks/results")
    parser.add_argument("--raw", help="a line of JSON a run is added to this file; those that it has are not run")
    parser.add_argument("--picture", action="store_true", help="nothing but the picture")
    parser.add_argument("--again", action="store_true", help="run nothing: sum up what --raw has")
    parser.add_argument("--runs", type=int, default=20, help="of each cell under ebb (20)")
    parser.add_argument("--other-runs", type=int, default=3, help="of each other cell (3)")
    parser.add_argument(
        "--only", default="",
        help="an expression for cells such as 'python 50 2 new ebb'; the ways of sending are " + ", ".join(MODES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--busy", type=float, default=0.7, help="how busy the processors may be (0.7)")
    parser.add_argument("--most", type=int, default=60, help="runs side by side")
    parser.add_argument("--minutes", type=float, default=1000, help="begin no new run after so long")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.geteuid() != 0 and not options.again:
        sys.exit("it needs root")

    os.makedirs(options.out, exist_ok=True)
    if options.picture:
        return draw(options)
    cells = [
        cell for cell in (
            Cell(s, r, d, m, w) for s in SERVERS for r in RATES for d in REMOVALS for m in MODES for w in WRAPPERS)
        if is_in_grid(cell)]
    wanted = [
        cell for cell in cells
        if re.search(options.only, f"{cell.server} {cell.rate:g} {cell.removal:g} {cell.mode} {cell.wrapper}")]
    traffic = traffic_of(cells)
    rng = random.Random(options.seed)
    jobs = []
    for number in range(max(options.runs, options.other_runs)):
        round_ = [cell for cell in wanted if number < runs_of(cell, options)]
        rng.shuffle(round_)
        # The same arrivals for every wrapper.
        jobs += [(cell, 1000 * (options.seed * 1000 + traffic.index(cell[:4])) + number) for cell in round_]

    raw = open(options.raw, "a+") if options.raw else None
    results = []
    if raw:
        raw.seek(0)
        results = [one for one in map(json.loads, raw) if not is_disturbed(one)]
        there = {(key(one), one["seed"]) for one in results}
        jobs = [job for job in jobs if job not in there]
    if not options.again:
        began = time.monotonic()
        for result in run_all(jobs, options):
            results.append(result)
            if raw:
                raw.write(json.dumps(result) + "\n")
                raw.flush()
            if result["wrapper"].startswith("ebb") and result["failed"]:
                kinds = {one["failure"] for one in result["failures"]}
                print(f"failed under ebb: {key(result)}, seed {result['seed']}: {result['failed']} {kinds}", flush=True)
        print(f"{len(results)} runs, {time.monotonic() - began:.0f} s", flush=True)
    for one in results:
        one.pop("log", None)
    rows = sum_up(results)
    write_csv(rows, f"{options.out}/drain.csv")
    text = markdown(rows)
    with open(f"{options.out}/drain.md", "w") as file:
        file.write(text)
    if not options.again:
        draw(options)
    print(text.split("\n## ")[1])
    for name in WRAPPERS:
        mine = select(rows, wrapper=name)
        if mine:
            runs, failed = sum(row["runs"] for row in mine), sum(row["failed"] for row in mine)
            print(f"{name}: {runs:,} stops, {sum(row['requests'] for row in mine):,} requests, {failed:,} failed")
    return 1 if any(row["failed"] for row in rows if row["wrapper"].startswith("ebb")) else 0


if __name__ == "__main__":
    sys.exit(main())
