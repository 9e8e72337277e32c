"""A cell of the matrix: 20 connections with a request in progress each, one stop, and what became of them."""
import math
import random
import sys
import threading
import time

from . import services
from .cells import gap, name
from .client import UPLOAD_TIME, Client
from .stage import PORT, Broken, Supervised, agrees, until

CONNECTIONS = 20  # One that is known to be busy covers up for the others, so single ones are tried as well.
# Connections that cannot be told from idle ones hold a stop for so long.
DOUBT = 3


def moment(cell, rng):
    """How long after the requests began TERM is sent: from 5 ms to 60 % of the time that they take; small times as
    often as large ones, or all alike."""
    most = 0.6 * (cell.answer + (UPLOAD_TIME if cell.shape == "upload" else 0))
    if rng.random() < 0.5:
        return rng.uniform(0.005, most)
    return math.exp(rng.uniform(math.log(0.005), math.log(most)))


class Conversation(threading.Thread):
    """A client of the cell: earlier exchanges, a pause, and the last request."""

    def __init__(self, number, cell, port, together, delay):
        super().__init__(daemon=True)
        self.delay = delay
        self.number, self.cell, self.port, self.together = number, cell, port, together
        self.begun, self.over = threading.Event(), threading.Event()
        self.broken = self.failure = self.ended = None

    def run(self):
        try:
            client = self.history()
        except Exception as error:
            self.broken = f"before the last request: {error!r}"
            self.together.abort()
            self.begun.set()
            return
        try:
            self.last(client)
        except Exception as error:
            self.failure = str(error) or repr(error)
        finally:
            self.ended = time.monotonic()
            self.begun.set()
            self.over.set()
        time.sleep(60)  # The connection stays open: it is in a pool.

    def meet(self):
        """Waits until all are as far. Then one begins after the other, so that they are not in each other's way and
        a request does come at once after the answer before it; unless answers are too short for that."""
        self.together.wait(60)
        if self.cell.answer >= 1:
            time.sleep(self.delay)

    def history(self):
        cell = self.cell
        shape = cell.shape if cell.earlier == "same" else "get"
        if not cell.after:
            self.meet()  # The pause is that after the handshake.
        client = Client(self.port, cell.tls if cell.way == "direct" else "none")
        for number in range(cell.after):
            if number == cell.after - 1:
                self.meet()
            # Short and answered at once; of a stream, three pieces.
            pieces = 0.005 if gap(shape) else 0
            client.answer(client.ask(shape, f"{self.number}.{number}", 2 * pieces, pieces))
            time.sleep(cell.pause / 1000)
        if not cell.after:
            time.sleep(cell.pause / 1000)
        return client

    def last(self, client):
        cell = self.cell
        client.answer(client.ask(
            cell.shape, f"last-{self.number}", cell.answer, gap(cell.shape), True, self.begun.set))


def play(job, folder, options):
    cell = job.cell
    sys.setswitchinterval(0.0005)  # Of threads that wait for the network, whoever is woken is to run soon.
    rng = random.Random(f"{job.seed} {job.connections} {job.number} {name(cell)}")
    ebb = Supervised(options.ebb, services.server(cell.server, cell.tls, options.made), folder, job.options)
    ebb.listening()
    port = PORT
    if cell.way != "direct":
        services.proxy(cell.way, cell.tls, folder)
        port = services.FRONT
    together = threading.Barrier(job.connections)
    clients = [
        Conversation(number, cell, port, together, rng.uniform(0, 0.004 * job.connections))
        for number in range(job.connections)]
    for client in clients:
        client.start()
    for client in clients:
        if not client.begun.wait(90):
            raise Broken("the last request is not sent")
        if client.broken:
            raise Broken(client.broken)
    if cell.way != "direct":
        # What the proxy has not yet handed on is no request of the service's.
        until(lambda: ebb.output().count("begun") == job.connections, 20, "all requests have reached the service")
    after = moment(cell, rng)
    time.sleep(after)
    stop = ebb.stop()
    return {**judge(cell, clients, ebb, stop), "moment": round(after, 4)}


def judge(cell, clients, ebb, stop):
    for client in clients:
        client.over.wait(5)
        if client.failure and client.ended and client.ended < ebb.told:
            raise Broken(f"before TERM: {client.failure}")
    failures = [client.failure or "no end" for client in clients if client.failure or not client.ended]
    answered = [client.ended for client in clients if client.ended and not client.failure]
    # How long ebb stayed after there was nothing left to wait for.
    held = round(stop["waited"] - max([0, *(ended - ebb.told for ended in answered)]), 3)
    result = verdict(len(clients), failures, stop, cell.answer, {
        "in_progress": sum(not client.ended or client.ended > ebb.told for client in clients), "held": held,
        "seen_busy": stop["began"].get("busy")})
    if held > DOUBT + 0.2:
        result["faults"].append(f"the stop took {held:.2f} s more, with all answered")
    return result


def verdict(runs, failures, stop, answer, more=None, connections=None):
    """The promises of a stop with requests in progress. ebb counts connections: where several requests share one,
    `connections` is how many of those failed."""
    report = stop["report"]
    failed, undecided = len(failures), report.get("undecided") or 0
    faults = []
    excused = undecided if answer > DOUBT else 0
    if failed > excused:
        faults.append(f"{failed} of {runs} requests cut off" + (f", {undecided} undecided" if undecided else ""))
    lost = failed if connections is None else connections
    if not agrees(lost, report):
        faults.append(f"the report does not say so: {losses(report)}, clients saw {failed}")
    return {
        "runs": runs, "failed": failed, "failures": failures, "undecided": undecided,
        "agrees": agrees(lost, report), "faults": faults, **stop, **(more or {})}


def losses(report):
    """What ebb says that was lost."""
    fields = ("cut_requests", "undecided", "resets", "lost_bytes")
    return ", ".join(f"{field} {report[field]}" for field in fields if field in report)
