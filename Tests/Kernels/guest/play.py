"""play.py SETTINGS: plays cells of the matrix of requests in the guest; a line of JSON a stop on standard output."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/Benchmarks")
from requests import cells, matrix, services, stage  # noqa: E402


def put(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)


def jobs(settings):
    """Of each cell a stop with several connections, and some with one alone, which no other covers up for."""
    found = []
    for words in settings["cells"]:
        cell = cells.parse(words)
        for count in [settings["connections"]] + settings["single"] * [1]:
            found.append(types.SimpleNamespace(
                name=words, cell=cell, seed=settings["seed"], connections=count, number=len(found), weight=1,
                seconds=settings["seconds"], options=()))
    return found


def delay(milliseconds):
    """Every packet takes that long; a request is no request of the service's before it has arrived there."""
    os.environ["REQUESTS_DELAY"] = str(milliseconds)
    moment = matrix.moment
    matrix.moment = lambda cell, rng: moment(cell, rng) + milliseconds / 1000


def table(name):
    try:
        with open(f"/proc/net/{name}") as file:
            return [line.split() for line in file]
    except OSError:
        return []


def connections():
    """Of each of the service's connections what /proc/net tells: its peer, both queues, the timer, and the field
    after `ato`, whose lowest bit is pingpong."""
    return [
        {"peer": int(words[2].rpartition(":")[2], 16), "state": words[3], "queues": words[4], "timer": words[5],
         "ato": int(words[13]), "quick": int(words[14])}
        for name in ("tcp", "tcp6") for words in table(name)
        if words[1].endswith(f":{stage.PORT:04X}") and words[3] not in ("0A", "06") and len(words) > 14]


class Watched(stage.Supervised):
    """A service under ebb that is looked at as TERM is sent: what ebb could see."""

    full = False
    seen = None

    def tell(self):
        Watched.seen = {"proc": connections()}
        told = super().tell()
        if self.full:
            # After TERM, so that it comes at the same moment: `ss` takes longer than the shortest of them.
            Watched.seen["ss"] = subprocess.run(
                ["ss", "-tinOH", f"sport = :{stage.PORT}"], capture_output=True, text=True).stdout.splitlines()
        return told


def play(job, folder, options):
    """The matrix' own, with what was seen."""
    result = matrix.play(job, folder, options)
    return {**result, "seen": Watched.seen, "number": job.number, "connections": job.connections}


def main():
    with open(sys.argv[1]) as file:
        settings = json.load(file)
    if settings["delay"]:
        delay(settings["delay"])
    if settings["control"]:
        stage.Supervised.respite = 10
    Watched.full = settings["figures"]
    matrix.Supervised = Watched
    folder = tempfile.mkdtemp(prefix="requests-")
    os.chmod(folder, 0o755)
    options = types.SimpleNamespace(ebb=settings["ebb"], made=f"{folder}/made")
    os.mkdir(options.made)
    services.prepare(options.made)
    put("begun", kernel=os.uname().release, stops=len(jobs(settings)))

    def note(text):
        put("note", text=text)
    for job, result, broken in stage.run_all(
            jobs(settings), lambda job, place: play(job, place, options), folder, settings["side"], note):
        put("stop", name=job.name, broken=broken, **(result or {}))
    shutil.rmtree(folder, ignore_errors=True)
    put("done")


main()
