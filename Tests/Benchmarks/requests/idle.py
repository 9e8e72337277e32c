"""Connections that are not in use when TERM comes: how long does the stop take?"""
import random
import threading
import time

from . import services
from .cells import gap, name
from .client import Client
from .stage import PORT, Broken, Program, Supervised, agrees, until
from .matrix import DOUBT, losses

# Seconds from TERM to ebb's end, without those that the service takes to end once it is told (a JVM's 0.3 s).
STILL = 0.3  # idle for a second and more, the median
USED = 1.2  # used a moment ago, at worst
PROTOCOL = 2  # another protocol than HTTP/1.1, at worst
# Earlier requests of several writes or segments: the kernel's figures need not tell these from busy ones.
NOT_TOLD = ("post-0", "post-3", "expect", "stream-0.1", "upload")


class Used(threading.Thread):
    """A client that has had all its answers, and keeps the connection."""

    def __init__(self, number, cell, together):
        super().__init__(daemon=True)
        self.number, self.cell, self.together = number, cell, together
        self.done = threading.Event()
        self.broken = None

    def run(self):
        try:
            self.talk()
        except Exception as error:
            self.broken = repr(error)
            self.together.abort()
        self.done.set()
        time.sleep(120)

    def talk(self):
        cell = self.cell
        self.client = Client(PORT, cell.tls)
        pieces = 0.005 if gap(cell.shape) else 0
        for number in range(cell.after):
            if number == cell.after - 1 and cell.still < 1000:
                self.together.wait(60)
            self.client.answer(self.client.ask(cell.shape, f"{self.number}.{number}", 2 * pieces, pieces))
            if number < cell.after - 1:
                time.sleep(cell.pause / 1000)


def play(job, folder, options):
    cell = job.cell
    rng = random.Random(f"{job.seed} {name(cell)}")
    ebb = Supervised(options.ebb, services.server(cell.server, cell.tls, options.made), folder).listening()
    # All of them at once, where they have to have been used within the same moment.
    count = 200 if cell.still >= 1000 and cell.shape != "upload" else 20
    together = threading.Barrier(count)
    clients = [Used(number, cell, together) for number in range(count)]
    for client in clients:
        client.start()
    for client in clients:
        if not client.done.wait(90) or client.broken:
            raise Broken(client.broken or "the exchanges take too long")
    time.sleep(cell.still / 1000 + (rng.uniform(0, 0.5) if cell.still >= 1000 else 0))
    stop = ebb.stop()
    # Nor can it be told of a young connection with TLS, which may still be at the end of its handshake; nor, as seen, of
    # half of Node's with TLS 1.2, where more than one bare acknowledgement belongs to the handshake.
    if cell.shape in NOT_TOLD or (cell.tls != "none" and cell.after <= 2) or (cell.tls == "1.2" and cell.server == "node"):
        return verdict(count, stop, worst=DOUBT + 0.2)
    return verdict(count, stop, median=STILL) if cell.still >= 1000 else verdict(count, stop, worst=USED)


def verdict(runs, stop, worst=None, median=None):
    """The promises of a stop with nothing in progress; that of a median is for all stops of a row."""
    report, faults = stop["report"], []
    if worst and stop["waited"] > worst:
        faults.append(f"the stop took {stop['waited']:.2f} s, at most {worst:g} s are promised")
    if not agrees(0, report) or report.get("resets"):
        faults.append(f"the report tells of losses: {losses(report)}")
    return {
        "runs": runs, "failed": 0, "undecided": report.get("undecided") or 0, "agrees": agrees(0, report),
        "faults": faults, "median": median, **stop}


def http2(tls, requests, busy=0):
    """A connection of Node's http2 client, idle after some requests; or with one in progress that takes so long."""
    def play(job, folder, options):
        words = ["node", f"{services.PROGRAMS}/http2.js"]
        ebb = Supervised(options.ebb, [*words, "serve", str(PORT), tls, options.made], folder).listening()
        client = Program("client", [*words, "ask", str(PORT), tls, str(requests), str(busy)], folder)
        until(lambda: "ready" in client.output(), 20, "the client's requests are answered")
        time.sleep(random.Random(job.seed).uniform(0.05, 0.5) if busy else 1.2)
        stop = ebb.stop()
        if not busy:
            return verdict(1, stop, worst=PROTOCOL)
        try:
            until(lambda: "answered" in client.output(), 1, "answered")
        except Broken:
            return in_progress(1, ["not answered"], stop, busy / 1000)
        return in_progress(1, [], stop, busy / 1000)
    return play


def in_progress(*words):
    from .matrix import verdict as judge
    return judge(*words)


def scraper(server):
    """A kept connection that asks for one page now and then."""
    def play(job, folder, options):
        ebb = Supervised(options.ebb, services.server(server, "none", options.made), folder).listening()
        client = Client(PORT)
        for number in range(3):
            client.answer(client.ask("get", f"scrape-{number}", 0.02))
            time.sleep(3 if number < 2 else random.Random(job.seed).uniform(0.3, 2.7))
        return verdict(1, ebb.stop(), worst=PROTOCOL)
    return play


def websocket(options_of_ebb, worst):
    """A connection on which the service pings every second, and the client answers."""
    def play(job, folder, options):
        command = [services.PYTHON, f"{services.PROGRAMS}/pings.py", str(PORT)]
        ebb = Supervised(options.ebb, command, folder, options_of_ebb).listening()
        client = Client(PORT)
        client.socket.sendall(b"GET /chat HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        status, _ = client.head()
        if status != 101:
            raise Broken(f"status {status}")

        def pong():
            try:
                while client.socket.recv(100):
                    client.socket.sendall(b"\x8a\x80abcd")
            except OSError:
                pass
        threading.Thread(target=pong, daemon=True).start()
        time.sleep(3 + random.Random(job.seed).uniform(0, 1))
        return verdict(1, ebb.stop(), worst=worst)
    return play


OTHERS = {
    **{f"http2 idle tls={tls} after={count}": http2(tls, count) for tls in ("none", "1.3") for count in (1, 5)},
    **{f"http2 busy tls={tls} after={count}": http2(tls, count, 2000) for tls in ("none", "1.3") for count in (0, 5)},
    **{f"scraper {server}": scraper(server) for server in ("python", "node", "java")},
    "websocket with pings, busy-max 4s": websocket(["--busy-max", "4s"], 4.3),
    "websocket with pings, lame-duck 5s": websocket(["--lame-duck", "5s"], 7),
}
