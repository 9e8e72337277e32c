"""Corners of TCP and of the report, each with a check of its own."""
import os
import random
import signal
import socket
import subprocess
import threading
import time

from . import idle, services
from .client import Client
from .matrix import losses, verdict
from .stage import PORT, Broken, Program, Supervised, environment, until


class Asking(threading.Thread):
    """Something that a client does, and whether it failed."""

    def __init__(self, what):
        super().__init__(daemon=True)
        self.what, self.failure = what, "no end"
        self.start()

    def run(self):
        try:
            self.what()
            self.failure = None
        except Exception as error:
            self.failure = str(error) or repr(error)


def failures(asking, seconds=5):
    end = time.monotonic() + seconds
    for one in asking:
        one.join(max(0, end - time.monotonic()))
    return [one.failure for one in asking if one.failure]


def python(options, folder, more=(), env=None, address=None):
    words = services.server("python", "none", options.made) + ([address] if address else [])
    ebb = Supervised(options.ebb, words, folder, more, env=env)
    return ebb.listening()


def exchange(client, name, answer, earlier=0):
    for number in range(earlier):
        client.answer(client.ask("get", f"{name}.{number}", 0))
    return lambda: client.answer(client.ask("get", name, answer))


def lost_bytes(report):
    if "lost_bytes" in report:
        return report["lost_bytes"]
    return report.get("bytes_unread", 0) + report.get("bytes_unacknowledged", 0)


def old_requests(server):
    """Requests on kept connections that are 6 s old when TERM comes, and take 9 s."""
    def play(job, folder, options):
        words = services.server(server, "none", options.made)
        ebb = Supervised(options.ebb, words, folder, ["--busy-max", "60s", "--grace", "90s"]).listening()
        asking = [Asking(exchange(Client(PORT), f"old-{number}", 9, 5)) for number in range(30)]
        time.sleep(6)
        stop = ebb.stop()
        return verdict(30, failures(asking), stop, 9)
    return play


def download(job, folder, options):
    """10 MB, half a megabyte every half second."""
    ebb = python(options, folder, ["--busy-max", "30s"])

    def get():
        client = Client(PORT)
        client.socket.sendall(b"GET /bulk?pieces=20&gap=500&id=x HTTP/1.1\r\nHost: here\r\n\r\n")
        client.answer(b"b" * 10_000_000)
    asking = [Asking(get) for _ in range(3)]
    time.sleep(random.Random(job.seed).uniform(0.3, 6))
    stop = ebb.stop()
    return verdict(3, failures(asking), stop, 10)


def multipath(both):
    """Clients of multipath TCP, of a service that takes it too or does not: some have had their answer, some wait."""
    def play(job, folder, options):
        with open("/proc/sys/net/mptcp/enabled") as file:
            if file.read().strip() != "1":
                raise Broken("this kernel has no MPTCP")
        ebb = python(options, folder, env=environment(MPTCP="1") if both else None)

        def connect():
            client = Client(PORT)
            client.socket.close()
            client.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)  # IPPROTO_MPTCP
            client.socket.settimeout(40)
            client.socket.connect(("127.0.0.1", PORT))
            return client
        done = [connect() for _ in range(5)]
        for number, client in enumerate(done):
            exchange(client, f"done-{number}", 0)()
        done[0].socket.close()
        asking = [Asking(exchange(connect(), f"waiting-{number}", 2, number)) for number in range(5)]
        time.sleep(0.5)
        stop = ebb.stop()
        result = verdict(5, failures(asking), stop, 2)
        if not result["failed"] and stop["report"].get("resets"):
            result["faults"].append(f"nothing was lost, and the report says {losses(stop['report'])}")
        return result
    return play


def health_check(job, folder, options):
    """Connects and closes at once, while the service is suspended and accepts nothing: no reset."""
    ebb = python(options, folder)
    service = int(open(f"/proc/{ebb.pid}/task/{ebb.pid}/children").read().split()[0])
    os.kill(service, signal.SIGSTOP)
    for _ in range(3):
        socket.create_connection(("127.0.0.1", PORT)).close()
    time.sleep(0.5)
    stop = ebb.stop()
    return idle.verdict(3, stop, worst=3.2)


def half_closed(job, folder, options):
    """A client that sent 100 bytes and its FIN, which the service never reads: 100 bytes are lost, not 101."""
    words = [services.PYTHON, "-c", "import socket, time\n"
             f"listener = socket.create_server(('', {PORT}))\nkept = listener.accept()\ntime.sleep(100)"]
    ebb = Supervised(options.ebb, words, folder, ["--busy-max", "1s"]).listening()
    client = socket.create_connection(("127.0.0.1", PORT))
    client.sendall(b"x" * 100)
    client.shutdown(socket.SHUT_WR)
    time.sleep(0.5)
    stop = ebb.stop()
    result = verdict(1, ["never read"], stop, 100)
    # Nobody could have answered that one: it is cut off rightly, but it has to be said.
    result["faults"] = [] if result["agrees"] else [f"the report does not say so: {losses(stop['report'])}"]
    if lost_bytes(stop["report"]) != 100:
        result["faults"].append(f"{lost_bytes(stop['report'])} bytes lost, says the report: 100 were")
    return result


def another_address(job, folder, options):
    """A service of somebody else's at the same port of another address, with busy connections and resets: it does
    not hold the stop, and is not in the report."""
    other = Program(
        "other", services.server("python", "none", options.made) + ["127.0.0.2"], folder).listening()
    ebb = Supervised(
        options.ebb, services.server("python", "none", options.made) + ["127.0.0.1"], folder)
    until(lambda: "serving" in ebb.complaints(), 20, "the service listens")
    foreign = [Asking(exchange(Client(PORT, address="127.0.0.2"), f"other-{number}", 20, 2)) for number in range(5)]
    asking = [Asking(exchange(Client(PORT), f"ours-{number}", 1.5, 2)) for number in range(5)]
    time.sleep(0.7)

    def reset():
        # Unread bytes at its end make the kernel send resets.
        time.sleep(0.2)
        os.kill(other.pid, signal.SIGSTOP)
        socket.create_connection(("127.0.0.2", PORT)).sendall(b"x" * 1000)
        os.kill(other.pid, signal.SIGKILL)
    killing = Asking(reset)
    stop = ebb.stop()
    result = verdict(5, failures(asking), stop, 1.5)
    if failures([killing]) or len(failures(foreign)) != 5:
        raise Broken("the other service did not reset its connections")
    if stop["report"].get("resets") or lost_bytes(stop["report"]):
        result["faults"].append(f"the other service's losses are in the report: {losses(stop['report'])}")
    if stop["waited"] > 2:
        result["faults"].append(f"the other service held the stop for {stop['waited']:.2f} s")
    return result


def idle_other_address(job, folder, options):
    """The same, and the supervised service has nothing to do."""
    Program("other", services.server("python", "none", options.made) + ["127.0.0.2"], folder).listening()
    ebb = Supervised(
        options.ebb, services.server("python", "none", options.made) + ["127.0.0.1"], folder)
    until(lambda: "serving" in ebb.complaints(), 20, "the service listens")
    for number in range(5):
        Asking(exchange(Client(PORT, address="127.0.0.2"), f"other-{number}", 20))
    time.sleep(0.7)
    return idle.verdict(5, ebb.stop(), worst=0.5)


def sidecar(job, folder, options):
    """Clients at another address, from the ports that ebb's own probes had: counted as any client."""
    ebb = python(options, folder, ["--ready-when", f"tcp:{PORT}"], environment(PEERS="1"))
    for _ in range(130):
        subprocess.run([options.ebb, "ready"], env=environment(), check=True)
    ports = [int(line.split()[1]) for line in ebb.output().splitlines() if line.startswith("peer")]
    clients = []
    for port in reversed(ports):
        client = Client(PORT)
        client.socket.close()
        client.socket = socket.socket()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.socket.settimeout(40)
        try:
            client.socket.bind(("127.0.0.6", port))
            client.socket.connect(("127.0.0.1", PORT))
        except OSError:
            continue  # That port is taken.
        clients.append(client)
        if len(clients) == 20:
            break
    if not clients:
        raise Broken("ebb's probes had no ports")
    asking = [Asking(exchange(client, f"sidecar-{number}", 2)) for number, client in enumerate(clients)]
    time.sleep(0.6)
    stop = ebb.stop()
    return verdict(len(clients), failures(asking), stop, 2)


ALL = {
    **{f"requests of 9 s, 6 s old: {server}": old_requests(server) for server in ("python", "node", "java")},
    "download of 10 MB in 10 s": download,
    "mptcp client": multipath(False),
    "mptcp client and service": multipath(True),
    "health check of a suspended service": health_check,
    "half-closed client, never read": half_closed,
    "service at another address, with resets": another_address,
    "service at another address, ours idle": idle_other_address,
    "sidecar from ports of probes": sidecar,
}
