#!/usr/bin/env python3
"""Is any request in progress cut off by a stop, and does an idle connection hold one up?

    swift build -c release && sudo Tests/Benchmarks/requests.py

Services without a graceful stop of their own, which SIGTERM kills at once (Python's http.server, Node's http and
https, the JDK's HttpServer), each under ebb in a network namespace of its own. Parts, all of them by default:

    --matrix   20 connections, or one, with a request in progress each when TERM comes. Cells in which each pair of
               values of the dimensions comes at least once: server, proxy, TLS, shape of the request, what the
               connection did before, pauses, how long the answer takes. --rounds makes more cells, each round with
               other ones.
    --clients  the same with pools of real clients that ask again at once: curl, Python's http.client, Node's Agent,
               Java's HttpURLConnection and HttpClient
    --idle     connections that are not in use: how long does a stop take?
    --special  other protocols and corners, each with a check of its own

No request in progress may be cut off, except where ebb says of the connection that it could not tell
(`undecided`) and the answer takes longer than the 3 s that ebb waits for those; and the report has to say what
clients saw. --only takes words that a name must have: `--only "python direct get"`; --cell a cell that need not be
among those chosen; --list shows them.

--control stops each service only when all is answered: what fails then is this program's own fault.

Written to --out: requests.csv and requests.md. Exit code 1: a promise is broken. Needs root and what `.ci/install`
installs.
"""
import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import types

from requests import cells, idle, matrix, pools, protocols, results, services, special, stage

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTS = ("matrix", "clients", "idle", "special")


def job(part, name, weight=1, seconds=120, **more):
    """A run: `weight` is its share of --side, `seconds` its limit."""
    return types.SimpleNamespace(part=part, name=name, weight=weight, seconds=seconds, options=(), **more)


def busy_jobs(part, play, connections, singles, choose, options):
    """Stops with requests in progress: of each cell one with many connections, and some with one alone."""
    jobs = []
    for seed in range(options.seed, options.seed + options.rounds):
        for cell in choose(seed):
            for count in [connections] + singles * [1]:
                jobs.append(job(
                    part, cells.name(cell), cell=cell, seed=seed, play=play, connections=count, number=len(jobs)))
    return jobs


def matrix_jobs(options):
    given = [cells.parse(words) for words in options.cell]
    return busy_jobs(
        "matrix", matrix.play, matrix.CONNECTIONS, options.single, lambda seed: given or cells.matrix(seed), options)


def client_jobs(options):
    return busy_jobs("clients", pools.play, pools.CONNECTIONS, options.single // 2, cells.clients, options)


def idle_jobs(options):
    jobs = []
    for seed in range(options.seed, options.seed + options.stops):
        # Hundreds of connections each: no more than three at once, so that they do not slow each other down.
        for cell in cells.idle(options.seed):
            jobs.append(job("idle", cells.name(cell), options.side / 3, cell=cell, seed=seed, play=idle.play))
        for name, play in idle.OTHERS.items():
            jobs.append(job("idle", name, seed=seed, play=play))
    return jobs


def all_jobs(options):
    jobs = []
    if "matrix" in options.parts:
        jobs += matrix_jobs(options)
    if "clients" in options.parts:
        jobs += client_jobs(options)
    if "idle" in options.parts:
        jobs += idle_jobs(options)
    if "special" in options.parts:
        jobs += [
            job("special", name, seed=options.seed, play=play)
            for name, play in {**special.ALL, **protocols.ALL}.items()]
    words = options.only.split()
    jobs = [one for one in jobs if all(word in {each.strip(":,") for each in one.name.split()} for word in words)]
    names = list(dict.fromkeys(one.name for one in jobs))[:options.cells or len(jobs)]
    return [one for one in jobs if one.name in names]


def show(one, result, broken):
    if broken:
        print(f"broken   {one.name}: {broken}", flush=True)
        return
    word = "FAULT" if result["faults"] else "ok"
    print(f"{word:8} {one.name}: {result['failed']} of {result['runs']} failed, stop {result['stop']:.2f} s"
          + "".join(f"; {fault}" for fault in result["faults"]), flush=True)


def run(jobs, options):
    """All results, shown and written to --raw as they come."""
    found = []
    raw = open(options.raw, "a") if options.raw else None
    folder = tempfile.mkdtemp(prefix="requests-")
    os.chmod(folder, 0o755)
    try:
        options.made = f"{folder}/made"
        os.mkdir(options.made)
        services.prepare(options.made)
        for one, result, broken in stage.run_all(
                jobs, lambda one, place: one.play(one, place, options), folder, options.side):
            if options.untimed and result:
                result["faults"] = [each for each in result["faults"] if not each.startswith("the stop took")]
            show(one, result, broken)
            fields = one.cell._asdict() if hasattr(one, "cell") else {}
            line = {"part": one.part, "name": one.name, **fields, "broken": broken, **(result or {})}
            found.append(line)
            if raw:
                raw.write(json.dumps(line) + "\n")
                raw.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/release/ebb")
    parser.add_argument("--out", default=f"{ROOT}/Tests/Benchmarks/results")
    parser.add_argument("--raw", help="a line of JSON a run is added to this file")
    parser.add_argument("--only", default="", metavar="WORDS", help="runs whose name has all these words")
    parser.add_argument("--cell", action="append", default=[], metavar="WORDS", help="this cell of the matrix")
    parser.add_argument("--cells", type=int, default=0, metavar="N", help="the first N of them")
    parser.add_argument("--rounds", type=int, default=1, help="of the matrix, each with other cells")
    parser.add_argument("--single", type=int, default=4, help="stops of each cell with one connection alone")
    parser.add_argument("--stops", type=int, default=3, help="of idle connections, of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", type=int, default=8, help="stops side by side")
    parser.add_argument("--list", action="store_true", help="run nothing: show what would be run")
    parser.add_argument("--untimed", action="store_true", help="judge no time: for a machine that has other work")
    parser.add_argument("--control", action="store_true",
                        help="stop 10 s later, when all requests are answered: nothing may fail")
    for part in PARTS:
        parser.add_argument(f"--{part}", dest="parts", action="append_const", const=part)
    options = parser.parse_args()
    options.parts = options.parts or (["matrix"] if options.cell else PARTS)
    options.ebb = os.path.abspath(options.ebb)
    jobs = all_jobs(options)
    if options.list:
        print("\n".join(f"{one.part:8} {one.name}" for one in jobs))
        return 0
    if os.geteuid():
        sys.exit("it needs root")
    if options.control:
        stage.Supervised.respite = 10
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.default_int_handler)
    began = time.monotonic()
    found = run(jobs, options)
    os.makedirs(options.out, exist_ok=True)
    rows = results.write(found, options.out, options.seed)
    faulty, broken = sum(bool(row["faults"]) for row in rows), sum(row["broken"] for row in rows)
    print(f"{len(found)} stops of {len(rows)} kinds, {time.monotonic() - began:.0f} s: "
          f"{faulty} kinds with faults, {broken} stops that say nothing")
    for part in options.parts:
        mine = [row for row in rows if row["part"] == part]
        print(f"{part}: {sum(row['failed'] for row in mine)} of {sum(row['runs'] for row in mine)} failed, "
              f"{sum(bool(row['faults']) for row in mine)} of {len(mine)} kinds with faults")
    return 1 if faulty or not rows else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
