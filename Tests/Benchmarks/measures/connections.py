"""A stop with 10,000 open connections, some of which have a request in progress, of a service that ends at once
when it is told to (as Node's and Python's http servers do): how many get their answer, and what it takes."""
import os
import resource
import select
import signal
import socket
import subprocess
import time

import drain

from measures.figures import Figure, of_values
from measures.helpers import in_own_network
from measures.life import BARE

CONNECTIONS, BUSY = 10000, 500
REQUEST = b"GET %s HTTP/1.1\r\nHost: ebb\r\n\r\n"


def answers(connections, seconds):
    """How many of them have an answer within that time."""
    poll = select.epoll()
    waiting = {one.fileno(): one for one in connections}
    for number in waiting:
        poll.register(number, select.EPOLLIN)
    count, end = 0, time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for number, _ in poll.poll(max(0, end - time.monotonic())):
            try:
                text = waiting[number].recv(4096)
            except OSError:
                text = b""
            count += text.startswith(b"HTTP/1.1 200")
            poll.unregister(number)
            del waiting[number]
    poll.close()
    return count


def one_stop(context, program):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    words = [*program.words, context.options.tide, "serve", "--listen", str(drain.PORT), "--on-term", "exit"]
    main = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True)
    try:
        end = time.monotonic() + 20
        while not drain.listens():
            if time.monotonic() > end:
                raise TimeoutError(f"{program.name}: the service does not listen")
            time.sleep(0.01)
        connections = []
        while len(connections) < CONNECTIONS:
            some = [socket.create_connection(("127.0.0.1", drain.PORT)) for _ in range(200)]
            for one in some:
                one.sendall(REQUEST % b"/")
            if answers(some, 20) != len(some):
                raise TimeoutError(f"{program.name}: the service does not answer")
            connections += some
        busy = connections[::CONNECTIONS // BUSY]
        for one in busy:
            one.sendall(REQUEST % b"/slow?ms=300")
        time.sleep(0.1)
        cpu = cpu_time(main.pid)
        began = time.monotonic()
        os.kill(main.pid, signal.SIGTERM)
        answered = answers(busy, 15)
        # Not reaped yet, so what it has used can still be read.
        os.waitid(os.P_PID, main.pid, os.WEXITED | os.WNOWAIT)
        took = time.monotonic() - began
        return answered, took, (cpu_time(main.pid) - cpu) / 1e6
    finally:
        main.kill()
        main.wait()


def cpu_time(process):
    with open(f"/proc/{process}/schedstat") as file:
        return int(file.read().split()[0])


def measure(context):
    taken = {}
    programs = [BARE] + [
        one for one in context.programs if one.name in ("ebb", "ebb, glibc", "tini", "dumb-init", "catatonit")]
    for _ in range(context.rounds(3)):
        for program in programs:
            taken.setdefault(program, []).append(in_own_network(lambda: one_stop(context, program)))
    figures = []
    for program, runs in taken.items():
        figures.append(Figure(
            "drain", f"answered of {BUSY} in progress", program.name, "requests", min(run[0] for run in runs), None,
            len(runs), program.is_peer))
        figures.append(of_values("drain", "time", program.name, "s", [run[1] for run in runs], program.is_peer))
        if program is not BARE:
            figures.append(
                of_values("drain", "the init's CPU", program.name, "ms", [run[2] for run in runs], program.is_peer))
    return figures
