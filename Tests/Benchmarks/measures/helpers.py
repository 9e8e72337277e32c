"""The C programs of this folder, compiled; and what runs them."""
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Helpers:
    """Each program of this folder, by name."""

    def __init__(self, folder):
        for file in sorted(os.listdir(HERE)):
            if file.endswith(".c"):
                program = f"{folder}/{file[:-2]}"
                subprocess.check_call(["gcc", "-O2", "-static", "-w", "-o", program, f"{HERE}/{file}"])
                setattr(self, file[:-2], program)


def in_turns(program, numbers, commands, pinned=False):
    """Runs one of the C programs that let commands take turns: the lines that it prints, as numbers. Pinned: with all
    that it starts on one processor, the last."""
    words = [program, *map(str, numbers)]
    for command in commands:
        words += [*command, "+"]
    ours = os.sched_getaffinity(0)
    if pinned:
        os.sched_setaffinity(0, {max(ours)})
    try:
        result = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=600)
    finally:
        os.sched_setaffinity(0, ours)
    if result.returncode:
        sys.exit(f"{os.path.basename(program)}: exit code {result.returncode}")
    return [line.split() for line in result.stdout.splitlines()]


def unshare(flags):
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        sys.exit(f"no namespaces of its own ({os.strerror(ctypes.get_errno())}): it needs root")


def raise_loopback():
    with socket.socket() as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def in_own_namespaces(function, *arguments):
    """Runs it as PID 1 of network, process and mount namespaces of its own, with their /proc: its exit code."""
    unshare(0x40000000 | 0x20000000 | 0x00020000)  # CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWNS
    inside = os.fork()
    if inside:
        return os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1])
    subprocess.check_call(["mount", "--make-rprivate", "/"])
    subprocess.check_call(["mount", "-t", "proc", "proc", "/proc"])
    raise_loopback()
    return function(*arguments)


def in_own_network(function):
    """What a function returns that runs in a process and a network of its own."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            unshare(0x40000000)  # CLONE_NEWNET
            raise_loopback()
            result = function()
            with os.fdopen(theirs, "w") as file:
                json.dump(result, file)
            code = 0
        except BaseException as error:  # Nothing of the parent's may run here.
            print(f"{getattr(function, '__name__', function)}: {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours) as file:
        text = file.read()
    if os.waitpid(child, 0)[1]:
        sys.exit("a measure failed, see above")
    return json.loads(text)
