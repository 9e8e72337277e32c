#!/usr/bin/env python3
"""What `ebb port` and `ebb sockets` cost, beside the tools that people ask the same of, and whether they keep
their promises.

    swift build -c release && sudo Tests/Benchmarks/ports.py

In one run, in network and process namespaces of its own, as in a container: 200, 20,000 and 100,000 TCP
sockets, half of them on one port, held by a few processes. (On a host, each process of it costs whoever names
owners some microseconds more: ebb, ss -p, lsof and fuser.) Each figure is the median of some runs of the CPU
time (user and system) of one process from its exec to its end; the commands take turns, in another order each
time, so that whatever else the machine does hits all of them, and none always comes behind the same. `receive`
is a C program that receives the same dump and looks at none of it. Memory is the peak of what was resident
(VmHWM). Needs root, gcc, ss; lsof, fuser and netstat where they are there. Exit code 1: a promise is broken.
"""
import argparse
import ctypes
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

PORT = 8080
# How people count by state.
COUNT = "awk '/^tcp/ {++S[$NF]} END {for (s in S) print s, S[s]}'"
# Whose peak of memory is looked at.
MEASURED = ("ebb", "ebb --quiet --listening", "ebb sockets")

# The request that ebb sends for one port: every state, both families.
RECEIVE = r"""
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
int main(int count, char **words) {
  struct { struct nlmsghdr header; struct inet_diag_req body; } request = {
      {.nlmsg_len = sizeof request, .nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      {.idiag_states = 0x1fff, .id.idiag_sport = htons(atoi(words[1]))}};
  static char buffer[32768];
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (send(fd, &request, sizeof request, 0) < 0) return 2;
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return 2;
    // The last message stands alone, or behind rows of one size: only its type is looked for.
    for (struct nlmsghdr *one = (void *)buffer; NLMSG_OK(one, got); one = NLMSG_NEXT(one, got))
      if (one->nlmsg_type == NLMSG_DONE) return 0;
  }
}
"""

# Runs a command and prints its VmHWM: what wait4(2) tells (ru_maxrss) counts the parent's memory before exec.
PEAK = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words) {
  int status;
  pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    freopen("/dev/null", "w", stdout);
    execvp(words[1], words + 1);
    _exit(127);
  }
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT);
  for (int number = 0;;) {
    ptrace(PTRACE_CONT, child, 0, (long)number);
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) return 1;
    number = status >> 16 == PTRACE_EVENT_EXIT || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    if (status >> 16 == PTRACE_EVENT_EXIT) break;
  }
  char name[64], line[256];
  snprintf(name, sizeof name, "/proc/%d/status", child);
  FILE *file = fopen(name, "r");
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, "VmHWM:", 6)) printf("%d\n", atoi(line + 6));
  ptrace(PTRACE_CONT, child, 0, 0);
  waitpid(child, &status, 0);
  return 0;
}
"""


class Sockets:
    """So many TCP sockets in this network namespace, half of them on PORT, in processes of their own."""

    # Below the usual limit of open files.
    pairs_each = 8000

    def __init__(self, count):
        self.processes = []
        pairs = count // 2
        index = 0
        while pairs > 0:
            index += 1
            share = min(pairs, self.pairs_each)
            pairs -= share
            self.add(f"127.0.1.{index}", share)

    def add(self, address, pairs):
        ready, tell = os.pipe()
        server, client = os.pipe()
        listening = os.fork()
        if listening == 0:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, PORT))
            listener.listen(1024)
            os.write(client, b"l")
            held = [listener] + [listener.accept()[0] for _ in range(pairs)]
            os.write(tell, b"s")
            signal.pause()
            del held
        os.read(server, 1)
        connecting = os.fork()
        if connecting == 0:
            held = []
            for _ in range(pairs):
                one = socket.socket()
                one.connect((address, PORT))
                held.append(one)
            os.write(tell, b"c")
            signal.pause()
        self.processes += [listening, connecting]
        left = 2
        while left:
            left -= len(os.read(ready, 2))
        for end in (ready, tell, server, client):
            os.close(end)

    def end(self):
        for process in self.processes:
            os.kill(process, signal.SIGKILL)
        for process in self.processes:
            os.waitpid(process, 0)


def cost(words):
    """The CPU time of one run, in milliseconds."""
    quiet = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)]
    process = os.posix_spawnp(words[0], words, {"PATH": os.environ["PATH"], "LC_ALL": "C"}, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{' '.join(words)}: exit code {os.waitstatus_to_exitcode(status)}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


def compile_c(folder, name, text):
    with open(f"{folder}/{name}.c", "w") as file:
        file.write(text)
    subprocess.check_call(["gcc", "-O2", "-static", "-w", "-o", f"{folder}/{name}", f"{folder}/{name}.c"])
    return f"{folder}/{name}"


def measure(ebb, sizes, runs, slow_runs):
    """The medians of CPU ms, and the peaks of kB, by (command, number of sockets), in the network namespace that
    this process is in."""
    medians, peaks = {}, {}
    turns = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        peak = compile_c(folder, "peak", PEAK)
        quick = {
            "ebb": [ebb, "port", str(PORT)],
            "ebb --quiet --listening": [ebb, "port", str(PORT), "--quiet", "--listening"],
            "receive": [compile_c(folder, "receive", RECEIVE), str(PORT)],
            "ss -Htan": ["ss", "-Htan", f"sport = :{PORT}"],
            "ebb sockets": [ebb, "sockets"],
        }
        slow = {
            "ss -Htanp": ["ss", "-Htanp", f"sport = :{PORT}"],
            "lsof": ["lsof", f"-iTCP:{PORT}"],
            "fuser": ["fuser", f"{PORT}/tcp"],
            # The time of the shell, which is that of those it waits for.
            "netstat | awk": ["sh", "-c", f"netstat -tan | {COUNT}"],
        }
        needed = {name: name.split()[0] for name in slow}
        slow = {name: words for name, words in slow.items() if shutil.which(needed[name])}
        for size in sizes:
            sockets = Sockets(size)
            try:
                for group, count in ((quick, runs), (slow, slow_runs)):
                    times = {name: [] for name in group}
                    for _ in range(count):
                        # In another order each time, so that none always comes behind the same.
                        for name in turns.sample(list(group), len(group)):
                            times[name].append(cost(group[name]))
                    for name in group:
                        medians[name, size] = statistics.median(times[name])
                for name in MEASURED:
                    peaks[name, size] = int(subprocess.check_output([peak] + quick[name]))
            finally:
                sockets.end()
    return medians, peaks


def promises(medians, peaks, sizes):
    """What ebb promises of them: (what, value, limit)."""
    least, most = sizes[0], sizes[-1]
    found = [
        ("ebb to ss -Htan", medians["ebb", most] / medians["ss -Htan", most], 0.45),
        ("ebb to receive", medians["ebb", most] / medians["receive", most], 1.1),
    ]
    for name, limit in (("ss -Htanp", 1 / 20), ("lsof", 1 / 20), ("fuser", 1 / 40)):
        if (name, most) in medians:
            found.append((f"ebb to {name}", medians["ebb", most] / medians[name, most], limit))
    if ("netstat | awk", most) in medians:
        found.append(
            ("ebb sockets to netstat | awk", medians["ebb sockets", most] / medians["netstat | awk", most], 1 / 3))
    quiet = "ebb --quiet --listening"
    return found + [
        (f"{quiet}: ms more than with {least:,}", medians[quiet, most] - medians[quiet, least], 1),
        (f"ebb: kB more than with {least:,}", peaks["ebb", most] - peaks["ebb", least], 16),
        (f"ebb sockets: kB more than with {least:,}", peaks["ebb sockets", most] - peaks["ebb sockets", least], 16),
    ]


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{root}/.build/release/ebb")
    parser.add_argument("--sizes", default="200,20000,100000")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]

    # CLONE_NEWNET, CLONE_NEWPID and CLONE_NEWNS
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000 | 0x20000000 | 0x00020000):
        sys.exit("no namespaces of its own: it needs root")
    inside = os.fork()
    if inside:
        return os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1])
    subprocess.check_call(["mount", "--make-rprivate", "/"])
    subprocess.check_call(["mount", "-t", "proc", "proc", "/proc"])
    subprocess.check_call(["ip", "link", "set", "lo", "up"])
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("10000 65000")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    medians, peaks = measure(options.ebb, sizes, options.runs, 3)
    print(f"{'CPU ms, median':26}" + "".join(f"{size:>12,}" for size in sizes))
    for name in dict.fromkeys(name for name, _ in medians):
        print(f"{name:26}" + "".join(f"{medians[name, size]:12.2f}" for size in sizes))
    for name in MEASURED:
        print(f"{name + ', kB':26}" + "".join(f"{peaks[name, size]:12,}" for size in sizes))
    print()

    kept = promises(medians, peaks, sizes)
    for what, value, limit in kept:
        print(f"{'kept  ' if value <= limit else 'BROKEN'}  {what}: {value:.3f}, at most {limit:.3f}")
    return 0 if all(value <= limit for _, value, limit in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
