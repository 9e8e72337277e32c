"""Real clients, each with a pool of connections that ask again at once."""
import random
import subprocess
import time

from . import services
from .cells import name
from .matrix import verdict
from .stage import PORT, Broken, Program, Supervised, until

CONNECTIONS = 10


def words(cell, count, made):
    """The client of the cell, and what it is told."""
    told = [str(PORT), cell.tls, cell.method, cell.mode, str(cell.after), f"{cell.answer * 1000:g}", str(count)]
    if cell.client == "http.client":
        return [services.PYTHON, f"{services.PROGRAMS}/pool.py", *told]
    if cell.client == "agent":
        return ["node", f"{services.PROGRAMS}/pool.js", *told]
    kind = "client" if cell.client == "httpclient" else "connection"
    return [*services.JAVA, "-cp", made, "Pool", kind, *told]


class Curls:
    """As many processes of curl, each with one connection: short requests, and the last one."""

    def __init__(self, cell, count, folder):
        self.cell = cell
        self.all = []
        scheme = "http" if cell.tls == "none" else "https"
        for number in range(count):
            urls = [f"{scheme}://127.0.0.1:{PORT}/work?ms=0&id={number}.{turn}" for turn in range(cell.after)]
            urls.append(f"{scheme}://127.0.0.1:{PORT}/work?ms={cell.answer * 1000:g}&id=last-{number}")
            told = ["-d", "name=value&" * 30] if cell.method == "post" else []
            if cell.tls != "none":
                told += ["--insecure", f"--tlsv{cell.tls}", "--tls-max", cell.tls]
            self.all.append(Program(f"curl-{number}", ["curl", "-sS", "-N", "-m", "60", *told, *urls], folder))

    def wait_for_last(self):
        for one in self.all:
            until(lambda: one.output().count("\n") >= self.cell.after, 60, "the short requests are answered")
        # From here on curl has told nobody that the next one is on its way.
        time.sleep(0.1)

    def failures(self):
        failures = []
        size = 330 if self.cell.method == "post" else 0
        for number, one in enumerate(self.all):
            code = one.process.wait(10)
            if code or not one.output().endswith(f"answer last-{number} after {size} bytes\n"):
                failures.append(one.complaints().strip() or "another answer")
        return failures


class Pool:
    """One process with all the connections."""

    def __init__(self, cell, count, folder, made):
        self.cell, self.count = cell, count
        self.program = Program("pool", words(cell, count, made), folder, stdin=subprocess.PIPE)

    def wait_for_last(self):
        if self.cell.mode == "last":
            until(lambda: self.said("sent") + self.said("failed") == self.count, 60, "all last requests are sent")
        else:
            time.sleep(1.5 + 2 * self.cell.answer)
        if self.said("failed"):
            raise Broken(f"before TERM: {self.program.output()[-300:]}")

    def let_go(self):
        """No more requests than those in progress."""
        self.program.process.stdin.write(b"stop\n")
        self.program.process.stdin.flush()
        until(lambda: self.said("stopping"), 5, "the client asks no more")
        time.sleep(0.005)

    def said(self, word):
        return sum(line.split()[:1] == [word] for line in self.program.output().splitlines())

    def failures(self):
        try:
            until(lambda: self.said("ok") + self.said("failed") == self.count, 5, "all have their end")
        except Broken:
            pass
        lines = self.program.output().splitlines()
        failures = [line for line in lines if line.startswith("failed")]
        return failures + ["no end"] * (self.count - self.said("ok") - len(failures))


def play(job, folder, options):
    cell = job.cell
    count = job.connections
    rng = random.Random(f"{job.seed} {count} {job.number} {name(cell)}")
    ebb = Supervised(options.ebb, services.server(cell.server, cell.tls, options.made), folder).listening()
    pool = Curls(cell, count, folder) if cell.client == "curl" else Pool(cell, count, folder, options.made)
    pool.wait_for_last()
    if cell.mode == "loop":
        time.sleep(rng.uniform(0, cell.answer))
        pool.let_go()
    else:
        time.sleep(rng.uniform(0, 0.5 * cell.answer))
    stop = ebb.stop()
    return verdict(count, pool.failures(), stop, cell.answer)
