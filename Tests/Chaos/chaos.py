#!/usr/bin/env python3
"""Random lives of the release binary, each in namespaces of its own, and what has to hold after each.

    swift build -c release && sudo Tests/Chaos/chaos.py --lives 1000 --seed 1
    sudo EBB_BINARY=.build/musl/release/ebb Tests/Chaos/chaos.py --lives 1000 --seed 101..105 --results

A life is drawn from its seed and number alone (lives.py), so `--seed S --only N` lives it again. Its moments are those
of a real machine: what is checked (life.py) holds whichever of two things comes first, and time is judged by what
passed for the driver, and by how long the kernel says that ebb could not run.

After each life: ebb has ended, by its grace where it has one, with the right exit code, and by no signal; no process
is left; a stranger in its namespace has got no signal; its lines and its report agree with what the driver knows; it
has not taken much memory, many descriptors, or much CPU time.
"""
import argparse
import collections
import json
import os
import pathlib
import select
import signal
import sys
import tempfile
import time

import groups
import life as lived_life
import lives
import results
import stage


def begin(life, service, names):
    """Lives it in a process of its own; that process, and the pipe on which it tells what came of it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        os.close(reading)
        stage.die_with_parent()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.alarm(6 * lives.LONGEST)  # It is the driver's own fault that takes so long.
        lived = lived_life.Life(life, service, names)
        try:
            lived.live()
        except BaseException as error:  # The driver's own mistakes are to be seen too.
            import traceback
            lived.wrong(f"the driver: {error!r}: {traceback.format_exc()[-900:]}")
            for ask in [*lived.asks, *lived.others]:
                ask.kill()
            lived.stage.end()
            for group in lived.groups:
                group.end()
        result = {"violations": lived.violations, "peak": lived.peak, "errors": lived.errors.decode(errors="replace"),
                  "seen": +lived.seen, "code": lived.stage.status, "late": lived.late,
                  "after": lived.after, "crowd": lived.crowd}
        with os.fdopen(writing, "w") as file:
            json.dump(result, file)
    finally:
        os._exit(0)


class Tally:
    """What came of the lives of one seed, or of all."""

    def __init__(self):
        self.lives = 0
        self.violations = []
        self.after = []
        self.kinds, self.seen, self.codes, self.peak = (collections.Counter() for _ in range(4))

    def add(self, life, result):
        self.lives += 1
        self.kinds.update(lives.kinds(life))
        self.seen.update(result.get("seen", {}))
        for name, value in result["peak"].items():
            self.peak[name] = max(self.peak[name], value)
        for name in ("late", "crowd"):
            self.peak[name] = max(self.peak[name], result.get(name, 0))
        if result.get("after") is not None:
            self.after.append(result["after"])
        if result["code"] is not None:
            self.codes[os.waitstatus_to_exitcode(result["code"])] += 1
        if result["violations"]:
            self.violations.append(life["number"])


def live_all(wanted, jobs, stops, shows, service, names, note):
    """Lives the (seed, number)s, so many at a time; `note` is told of each."""
    running = {}
    # A run that is interrupted says what it has seen, and ends those that it has begun.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wanted.clear())
    while wanted or running:
        while wanted and len(running) < jobs:
            seed, number = wanted.pop(0)
            life = lives.draw(seed, number)
            pid, reading = begin(life, service, names)
            running[reading] = (pid, seed, life)
        for reading in select.select(list(running), [], [])[0]:
            pid, seed, life = running.pop(reading)
            with os.fdopen(reading) as file:
                text = file.read()
            os.waitpid(pid, 0)
            result = json.loads(text) if text else {"violations": ["the driver was ended"], "peak": {}, "code": None}
            note(seed, life, result)
            if result["violations"] or shows:
                print(f"--seed {seed} --only {life['number']}: {result['violations'] or 'as it should be'}\n"
                      f"  {json.dumps(life)}", flush=True)
                for line in result.get("errors", "").splitlines()[0 if shows else -12:]:
                    print(f"  | {line[:240]}")
            if result["violations"] and stops:
                wanted.clear()


def tell(seed, tally, seconds):
    print(f"seed {seed}: {tally.lives} lives in {seconds:.0f} s, {len(tally.violations)} violations"
          + (f": {tally.violations}" if tally.violations else ""), flush=True)


def delays(total):
    """How those that had a moment by which to have ended kept to it: their grace, or the end of their service."""
    after = sorted(total.after)
    if not after:
        return "None had a moment by which to have ended."
    late = [seconds for seconds in after if seconds > 0]
    part = lambda share: f"{max(0, after[min(len(after) - 1, int(len(after) * share))]):.2f} s"
    return (f"{len(after)} had a moment by which to have ended; {len(after) - len(late)} had ended before it, 99 % not "
            f"more than {part(0.99)} after it, 99.9 % not more than {part(0.999)}, all not more than {part(1)}. The "
            f"machine was shared: up to {total.peak['crowd']:.1f} would run at a time on each processor (an average over half "
            f"a second), and the driver "
            f"woke up to {total.peak['late']:.2f} s late.")


def text_of(total, tallies, seconds, subject, jobs):
    """The section of results.md."""
    rows = [(seed, tally.lives, len(tally.violations)) for seed, tally in tallies.items()]
    rows.append(("all", total.lives, len(total.violations)))
    seen = [(what, f"{total.seen[what]:,}") for what in sorted(total.seen)]
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(total.codes.items()))
    return "\n\n".join([
        subject + f" {jobs} lives at a time, {seconds / 60:.1f} minutes.",
        results.table(("seed", "lives", "violations"), rows),
        "A life is of several kinds at once:",
        results.table(("kind of life", "lives"), sorted(total.kinds.items(), key=lambda kind: -kind[1])),
        "What happened in them:",
        results.table(("what", "how often"), seen),
        f"ebb took at most {total.peak['memory']} kB of memory (resident, its program included), "
        f"{total.peak['descriptors']} descriptors and {total.peak['cpu']:.2f} s of CPU time in any of them.",
        delays(total),
        f"Exit codes (negative: the number of a signal): {codes}."])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=int, default=1000, help="of each seed")
    parser.add_argument("--seed", default="1", help="S, or A..B for several")
    parser.add_argument("--only", type=int, help="live this one alone, and show its script and its lines")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=4 * (os.cpu_count() or 1), help="lives at a time")
    parser.add_argument("--stop", action="store_true", help="at the first violation")
    parser.add_argument("--results", action="store_true", help="write the section of results.md")
    parser.add_argument("--ebb", default=stage.binary(), help="else $EBB_BINARY, else the release build")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("chaos.py needs root: it makes namespaces")
    first, _, last = arguments.seed.partition("..")
    seeds = [str(seed) for seed in range(int(first), int(last) + 1)] if last else [first]
    numbers = [arguments.only] if arguments.only is not None else \
        range(arguments.first, arguments.first + arguments.lives)
    wanted = [(seed, number) for seed in seeds for number in numbers]
    tallies, total = {seed: Tally() for seed in seeds}, Tally()
    began = time.monotonic()

    def note(seed, life, result):
        tallies[seed].add(life, result)
        total.add(life, result)
        if tallies[seed].lives == len(numbers):
            tell(seed, tallies[seed], time.monotonic() - began)

    places = lived_life.PLACES
    with tempfile.TemporaryDirectory(prefix="ebb-chaos-") as folder:
        os.chmod(folder, 0o755)  # Some lives are another user's.
        service = stage.compile_service(folder)
        names = {"ebb": os.path.join(folder, "ebb")}
        pathlib.Path(names["ebb"]).write_bytes(pathlib.Path(arguments.ebb).read_bytes())
        os.chmod(names["ebb"], 0o755)
        for name in lives.INITS:
            names[name] = os.path.join(folder, name)
            os.symlink("ebb", names[name])
        subject = results.subject(arguments.ebb)
        with groups.places() as found:
            places.update(found)
            try:
                live_all(wanted, arguments.jobs, arguments.stop, arguments.only is not None, service, names, note)
            finally:
                groups.sweep(places, f"ebb-chaos-{os.getpid()}-")
    for seed, tally in tallies.items():
        if tally.lives < len(numbers):
            tell(seed, tally, time.monotonic() - began)
    if missing := [name for name in ("freeze", *groups.LIMITS) if name not in places]:
        print(f"not here, so not tried: control groups for {', '.join(missing)}")
    section = text_of(total, tallies, time.monotonic() - began, subject, arguments.jobs)
    if arguments.results:
        results.write("Lives", section)
    elif arguments.only is None:
        print(section)
    sys.exit(1 if total.violations else 0)


if __name__ == "__main__":
    main()
