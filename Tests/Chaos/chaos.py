#!/usr/bin/env python3
"""Random lives of the release binary, each in namespaces of its own, and what has to hold after each.

    swift build -c release && sudo Tests/Chaos/chaos.py --lives 1000 --seed 1

A life is drawn from its seed and number alone, so `--seed S --only N` lives it again. Its moments are those of a
real machine: what is checked holds whichever of two things comes first.

The clock is left alone: a time namespace has no CLOCK_REALTIME of its own, and the machine's is not ours to set.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import resource
import select
import signal
import socket
import struct
import sys
import tempfile
import time

import stage

PORT, PAGES = 8080, 8081
TERM, INT, KILL, STOP, CONT = (int(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGSTOP,
                                                signal.SIGCONT))
# What a process that does nothing about it survives, signal(7).
HARMLESS = {int(s) for s in (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGTSTP,
                             signal.SIGTTIN, signal.SIGTTOU, signal.SIGSTOP)}
STORM = [1, 10, 12, 14, 16, 17, 18, 23, 28, 29, *range(34, 65)]
INITS = ["tini", "dumb-init", "catatonit"]
MEMORY_LIMIT = 4096  # kB, resident at the most: the binary alone is a quarter of that.
DESCRIPTOR_LIMIT = 80
LONGEST = 40  # Seconds, of any life.


# MARK: - The script of a life

def draw(seed, number):
    """The life of this number: plain data, that a violation prints."""
    chance = random.Random(f"{seed}/{number}")
    one_in = lambda n: chance.randrange(n) == 0
    life = {"number": number, "init": None, "pid1": not one_in(4), "options": [], "environment": {}, "user": 0,
            "limits": [], "errors": "read", "grace": None, "linger": 5.0, "counted": None, "program": "service"}
    ms = lambda low, high: f"{chance.randrange(low, high)}ms"
    options = life["options"]
    counted = one_in(8)

    # Who it is, and what it is told.
    if not counted and one_in(8):
        life["init"] = chance.choice(INITS)
        if one_in(2):
            # One of ebb's variables brings ebb's stop under that name too.
            life["environment"]["EBB_PORTS"] = str(PORT)
        if life["init"] == "dumb-init" and one_in(2):
            options += ["--rewrite", "1:0"]
        elif life["init"] != "dumb-init" and one_in(2):
            options.append("-g")
    life["stops"] = not life["init"] or bool(life["environment"])
    variables = life["environment"] if life["init"] else None

    def option(name, value=None):
        if variables is not None:
            if life["stops"]:
                variables["EBB_" + name.upper().replace("-", "_")] = "1" if value is None else value
        else:
            options.extend([f"--{name}"] if value is None else [f"--{name}", value])

    if life["stops"]:
        if not one_in(3):
            life["grace"] = chance.randrange(200, 2500) / 1000
            option("grace", f"{int(life['grace'] * 1000)}ms")
        life["linger"] = chance.randrange(0, 400) / 1000 if not one_in(6) else 5.0
        if life["linger"] < 5:
            option("linger-max", f"{int(life['linger'] * 1000)}ms")
        option("busy-max", ms(0, 300) if not counted else ms(0, 60))
        if not counted and not one_in(3):
            option("lame-duck", chance.choice(["auto", ms(0, 300)]))
        if not counted and one_in(2):
            option("lame-duck-max", ms(0, 600))
    if not life["init"]:
        if one_in(3):
            option("group")
        if not counted and one_in(4):
            option("rewrite", chance.choice(["1:0", "HUP:USR1", "RTMIN+3:TERM", "WINCH:URG,USR2:0", "INT:QUIT"]))
        if not counted and one_in(4):
            words = chance.choice(["other exit 0", "other wait 60 exit 1", "other hang", "other wait 20 crash 11"])
            option("on-drain", chance.choice([f"@service@ {words}", "/no/such/command"]))
        if one_in(3):
            option("http", chance.choice([f"127.0.0.1:{PAGES}", str(PAGES)]))
            if one_in(2):
                option("http-drain")
        if one_in(2):
            option("ready-when", chance.choice(["listen", f"tcp:{PORT}", f"http:{PORT}/", "unix:/no/such", "notify",
                                                "exec:@service@ other exit 0", "exec:@service@ other hang"]))
        option("control", "@chaos") if one_in(2) else option("control", "off") if one_in(12) else None
        if counted or one_in(3):
            option("ports", str(PORT))
        if one_in(6):
            option("warn-on-reap")
        if one_in(6):
            option("map-exit", chance.choice(["143=0", "7=8", "0=3"]))
        if one_in(8):
            option("no-subreaper")
        if one_in(12):
            option("stop-signal", chance.choice(["QUIT", "USR1", "RTMIN+3"]))
        if not counted:
            life["verbosity"] = chance.choice([None, None, "verbose", "quiet"])
            if life["verbosity"]:
                option(life["verbosity"])
            if one_in(4):
                option("log", "json")
            life["errors"] = chance.choice(["read"] * 8 + ["full", "closed"])
            if one_in(8):
                life["user"] = 61000 + number % 1000
            if one_in(10):
                life["limits"].append(["NOFILE", chance.randrange(6, 40)])
            if one_in(10):
                life["limits"].append(["SIGPENDING", chance.randrange(0, 8)])
            if one_in(40):
                life["program"] = chance.choice(["/no/such/program", "/etc/passwd"])

    # The service.
    verbs = life["service"] = []
    life["handled"] = handled = []
    code = lambda: chance.choice([0, 0, 1, 3, 7, 42, 100, 143, 255])
    if counted or not one_in(4):
        verbs += ["listen", str(PORT), "delay", str(chance.randrange(0, 200))]
    if counted or one_in(10):
        verbs.append("unread")
    if counted or not one_in(3):
        for number_ in (TERM, INT, 3, 10, 37):
            verbs += ["end", str(number_), str(code()), str(0 if counted else chance.choice([0, 0, 5, 50, 400]))]
            handled.append(number_)
    elif one_in(2):
        for number_ in (TERM, INT, 3, 10, 37):
            verbs += ["ignore", str(number_)]
            handled.append(number_)
    if counted or not one_in(3):
        for number_ in STORM:
            if number_ not in handled and number_ not in (CONT, 17):
                verbs += ["catch", str(number_)]
                handled.append(number_)
    for _ in range(chance.randrange(0, 4)):
        kind = chance.choice(["sleeping", "zombie", "session", "stubborn", "stopped", "deep", "orphan", "stranded",
                              "brief", "brief", "growing"])
        verbs += ["fork", kind, str(1 if kind in ("deep", "growing") else chance.randrange(1, 6))]
    if not counted:
        if one_in(8):
            verbs.append("fds")
        if one_in(25):
            verbs += ["memory", "48"]
        if one_in(25):
            verbs += ["processes", str(30000 + number % 20000)]
        if one_in(12):
            verbs += ["pelt", str(chance.randrange(1, 2000))]
        if one_in(6):
            verbs += ["notify", chance.choice(["READY=1", "STATUS=\x01\u00ff" + "x" * 300, "MAINPID=1", "MAINPID=-1",
                                               "MAINPID=99999999999999999999", "READY=1\nSTOPPING=1\n=\n\n"])]
        if one_in(12):
            verbs += ["orphans", str(chance.randrange(1, 400))]
    verbs.append("up")
    if counted:
        verbs.append("serve")
    else:
        verbs += chance.choice([
            ["serve"], ["serve"], ["serve"], ["hang"], ["stopself", "serve"],
            ["wait", str(chance.randrange(0, 800)), "exit", str(code())],
            ["wait", str(chance.randrange(0, 800)), "crash", str(chance.choice([4, 6, 8, 9, 11, 15]))]])
    life["waits"] = counted or not one_in(6)  # for the service to be up, before anything happens

    # What happens to it.
    length = chance.randrange(50, 900)
    events = []
    moment = lambda: chance.randrange(0, length + 400)
    if counted:
        clients, size = chance.randrange(1, 20), chance.randrange(1, 2000)
        life["counted"] = [clients, size]
        events += [[0, "unread", size] for _ in range(clients)]
        length += 100
    else:
        for _ in range(chance.randrange(0, 12)):
            events.append([moment(), "connect", chance.choice(["idle", "request", "stall", "reset", "half"])])
    # None that ends it before its time, where its losses are known.
    storm = STORM if not counted else [number_ for number_ in STORM if number_ not in (10, 37)]
    for _ in range(chance.randrange(0, 5)):
        events.append([moment(), "storm", [chance.choice(storm) for _ in range(chance.choice([1, 3, 30, 300]))]])
    asks = ["ready", "live", "status", "status --json"] if counted else \
        ["ready", "live", "status", "status --json", "drain", "drain --timeout 100ms", "drain --quiet"]
    for _ in range(chance.randrange(0, 5)):
        events.append([moment(), "ask", chance.choice(asks)])
    for _ in range(chance.randrange(0, 4)):
        events.append([moment(), "page", chance.choice(["get", "get", "stall", "garbage", "flood", "close"])])
    for _ in range(chance.randrange(0, 3)):
        events.append([moment(), "speak", chance.choice(["stall", "garbage", "flood", "ask"])])
    if not counted:
        if one_in(6):
            start = moment()
            events += [[start, "halt"], [start + chance.randrange(5, 300), "resume"]]
        if one_in(8):
            events.append([moment(), "strike", chance.choice([STOP, STOP, CONT, KILL, 11])])
        if one_in(8):
            start = moment()
            events.append([start, "freeze"])
            if one_in(2):
                events.append([start + chance.randrange(50, 600), "thaw"])
        if one_in(8):
            events.append([moment(), "signal", chance.choice([20, 21, 22])])
        for _ in range(chance.randrange(0, 2)):
            events.append([moment(), "signal", chance.choice([1, 2, 3, 10, 12, 15, 28, 32, 33, 37])])
    events.append([length, "signal", chance.choice([TERM, TERM, TERM, INT])])
    if one_in(5):
        events.append([length + chance.choice([5, 200, 1100, 1300]), "signal", TERM])
    life["events"] = sorted(events, key=lambda event: event[0])
    return life


# MARK: - A life

def rewritten(life, number):
    """What `--rewrite` makes of a signal, and the other names' own rules; 0: it is not forwarded."""
    words = {"HUP": 1, "USR1": 10, "RTMIN+3": 37, "TERM": 15, "WINCH": 28, "URG": 23, "USR2": 12, "INT": 2, "QUIT": 3}
    options = life["options"]
    for index, option in enumerate(options):
        if option == "--rewrite":
            for pair in options[index + 1].split(","):
                a, b = (words.get(word) or int(word) for word in pair.split(":"))
                if a == number:
                    return b
    return number


class Life:
    """One life as it is lived, and what was seen of it."""

    def __init__(self, life, service, names):
        self.life = life
        self.stage = stage.Stage(service)
        self.service = service
        self.names = names
        self.violations = []
        self.asks, self.sockets, self.others = [], [], []
        self.errors = b""
        self.reports = b""
        self.words = []  # what was reported, in order
        self.main = None
        self.main_ended = None
        self.first_signal = self.last_signal = None
        self.sent = set()  # signals that the service may have got from anybody
        self.early = set()  # those of them that came before it was up
        self.is_up = False
        self.halted = 0.0  # seconds for which ebb stood still
        self.halted_since = None
        self.late = 0.0
        self.killed_main = False
        self.frozen = None
        self.was_frozen = False
        self.accepted = 0
        self.peak = collections.Counter()

    def wrong(self, text):
        if text not in self.violations:
            self.violations.append(text)

    # What happens.

    def launch(self):
        life = self.life
        fill = lambda word: word.replace("@service@", self.service)
        program = [self.service, "main", *life["service"]] if life["program"] == "service" else [life["program"]]
        ebb = self.names[life["init"] or "ebb"]
        words = [ebb, *(["run"] if not life["init"] else []), *map(fill, life["options"]), "--", *program]
        if life["errors"] == "full":
            os.set_blocking(self.stage.errors_writing, False)
            try:
                while True:
                    os.write(self.stage.errors_writing, b"." * 4096)
            except BlockingIOError:
                pass
            os.set_blocking(self.stage.errors_writing, True)
        limits = [(getattr(resource, f"RLIMIT_{name}") if name != "SIGPENDING" else 11, limit)
                  for name, limit in life["limits"]]
        self.began = time.monotonic()
        self.stage.start(words, life["pid1"], life["environment"], limits, life["user"], life["errors"])

    def stand(self):
        """A stranger stands by from when /proc is there, that is as soon as PID 1 has been executed."""
        try:
            self.bystander = stage.Exec(self.stage, [self.service, "bystander"])
            self.others.append(self.bystander)
        except OSError:
            self.bystander = None  # PID 1 has ended already.

    def do(self, event):
        name, arguments = event[1], event[2:]
        getattr(self, "do_" + name)(*arguments)

    def send(self, number):
        """Sends ebb a signal."""
        ebb = self.stage.find_ebb()
        if ebb is None or self.stage.is_over():
            return
        try:
            os.kill(ebb, number)
        except ProcessLookupError:
            return
        forwarded = rewritten(self.life, number)
        if forwarded:
            (self.sent if self.is_up else self.early).add(forwarded)
        if number in (TERM, INT) and self.life["stops"]:
            now = time.monotonic()
            self.first_signal = self.first_signal or now
            self.last_signal = now

    def do_signal(self, number):
        self.send(number)

    def do_storm(self, numbers):
        for number in numbers:
            self.send(number)

    def do_halt(self):
        ebb = self.stage.find_ebb()
        if ebb and not self.stage.is_over() and self.halted_since is None:
            try:
                os.kill(ebb, STOP)
                self.halted_since = time.monotonic()
            except ProcessLookupError:
                pass

    def wake(self):
        try:
            os.kill(self.stage.find_ebb() or 0x3fffffff, CONT)
        except ProcessLookupError:
            pass  # It has just ended.

    def do_resume(self):
        if not self.stage.is_over():
            self.wake()
        if self.halted_since:
            self.halted += time.monotonic() - self.halted_since
            self.halted_since = None

    def do_strike(self, number):
        """The main process itself gets it, from a stranger."""
        if self.main and self.main_ended is None:
            try:
                os.kill(self.main, number)
            except ProcessLookupError:
                return
            self.sent.add(number)
            self.early.add(number)

    def do_freeze(self):
        if not UNIFIED or not self.main or self.main_ended is not None or self.frozen:
            return
        folder = UNIFIED / f"ebb-chaos-{os.getpid()}"
        try:
            folder.mkdir()
            self.frozen = folder
            (folder / "cgroup.procs").write_text(str(self.main))
            (folder / "cgroup.freeze").write_text("1")
            self.was_frozen = True
        except OSError:
            pass

    def do_thaw(self):
        if self.frozen:
            (self.frozen / "cgroup.freeze").write_text("0")

    def do_ask(self, words):
        control = self.life["options"]
        more = []
        if "--control" in control:
            name = control[control.index("--control") + 1]
            if name != "off":
                more = ["--control", name]
        try:
            ask = stage.Exec(self.stage, [self.names["ebb"], *words.split(), *more])
        except OSError:
            return  # Into a namespace whose PID 1 is ending nobody gets, fork(2) ENOMEM.
        ask.verb = words.split()[0]
        self.asks.append(ask)

    def open(self, family, kind, address, text=b""):
        client = socket.socket(family, kind)
        client.setblocking(False)
        self.sockets.append(client)
        try:
            client.connect(address)
        except BlockingIOError:
            # To the loopback it takes no time worth the name.
            select.select([], [client], [], 0.05)
        except OSError:
            return None
        try:
            if text:
                client.send(text)
        except OSError:
            pass
        return client

    def do_connect(self, how):
        texts = {"idle": b"", "request": b"GET\n", "stall": b"G", "reset": b"GET\n", "half": b"GET\n"}
        client = self.open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT), texts[how])
        if not client:
            return
        try:
            if how == "half":
                client.shutdown(socket.SHUT_WR)
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
        except OSError:
            pass

    def do_unread(self, size):
        self.open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT), b"x" * size)

    def do_page(self, how):
        chance = random.Random(self.life["number"])
        path = chance.choice(["livez", "readyz", "status", "metrics", "nothing"])
        text = {"get": f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "stall": b"GET /li", "close": b"",
                "garbage": chance.randbytes(3000), "flood": b"GET /status HTTP/1.0\r\n\r\n"}[how]
        for _ in range(40 if how == "flood" else 1):
            client = self.open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PAGES), text)
            if client and how == "close":
                client.close()

    def do_speak(self, how):
        """Says something to the control socket itself, and does not wait for the answer."""
        chance = random.Random(self.life["number"])
        text = {"stall": b"", "garbage": chance.randbytes(chance.choice([1, 20, 5000])), "flood": b"status json",
                "ask": b"ready"}[how]
        for _ in range(40 if how == "flood" else 1):
            self.open(socket.AF_UNIX, socket.SOCK_SEQPACKET, b"\0chaos", text)

    # What is seen.

    def read(self):
        if self.life["errors"] != "full":
            self.errors += drain(self.stage.errors)
        self.reports += drain(self.stage.reports)
        *lines, self.reports = self.reports.split(b"\n")
        for line in lines:
            word, number = line.decode().split()
            number = int(number)
            if word == "up":
                self.is_up = True
            elif word == "accepted":
                self.accepted += 1
            elif word == "struck":
                self.wrong(f"a stranger got signal {number}")
            elif word == "ended":
                self.stage.status = number
            elif word in ("exit", "crash"):
                self.words.append((word, number))
                self.main_ended = self.main_ended or time.monotonic()

    def look(self):
        """Looks at ebb: what it takes, and whether it stands still."""
        self.read()
        if self.stage.is_over():
            return
        ebb = self.stage.find_ebb()
        if not ebb or self.stage.link(ebb) != self.names["ebb"]:
            return  # Not executed yet, or gone.
        if self.main is None:
            children = self.stage.children(ebb)
            if children:
                self.main = children[0]
        elif self.main_ended is None:
            fields = self.stage.fields(self.main)
            if fields is None or fields[0] in "ZX":
                self.main_ended = time.monotonic()
        memory = self.stage.memory(ebb)
        if memory:
            self.peak["memory"] = max(self.peak["memory"], memory["VmHWM"])
            self.peak["descriptors"] = max(self.peak["descriptors"], self.stage.descriptors(ebb) or 0)
            self.peak["cpu"] = max(self.peak["cpu"], self.stage.ticks(ebb) or 0)
        fields = self.stage.fields(ebb)
        if fields and fields[0] == "T" and self.halted_since is None:
            # It suspended itself along with its service, as a shell's job does: a shell's `fg` now.
            self.halted += 0.1
            self.wake()

    def ask_ended(self, ask):
        if ask.poll() is None:
            return False
        code = os.waitstatus_to_exitcode(ask.status)
        if code == -9 and self.life["pid1"] and self.stage.is_over():
            return True  # The end of PID 1 was its end too.
        if code not in (0, 1, 3):
            if code == -9:
                self.doubtful = (ask, time.monotonic())
                return False
            self.wrong(f"ebb {' '.join(ask.words[1:])} ended with {code}")
        if code == 0 and "--json" in ask.words:
            try:
                json.loads(ask.output)
            except ValueError:
                self.wrong(f"status --json printed {ask.output[:300]!r}")
        return True

    def is_ending(self):
        """PID 1 has exited, so has no memory and no program any more, and the kernel is ending its namespace."""
        return self.life["pid1"] and self.stage.link(self.stage.ebb) is None

    def bound(self):
        """The moment by which ebb has to have ended, by what is known; None where nothing says so."""
        moments = []
        life = self.life
        if life["grace"] and self.first_signal:
            moments.append(max(self.first_signal + life["grace"], self.last_signal + 2))
        if self.main_ended:
            if not life["stops"]:
                moments.append(self.main_ended)
            elif (self.first_signal or "--http-drain" in life["options"]
                  or any(ask.verb == "drain" for ask in self.asks)):
                moments.append(self.main_ended + 6 + life["linger"])
            else:
                moments.append(self.main_ended + 2 + min(1, life["linger"]))
        return min(moments) if moments else None

    def slack(self):
        return 1.5 + 3 * self.late + self.halted

    def live(self):
        self.launch()
        life = self.life
        while self.stage.find_ebb() is None and time.monotonic() < self.began + 5:
            self.look()
            if self.stage.is_over():
                break
            time.sleep(0.001)
        self.stand()
        self.doubtful = None
        end = time.monotonic() + 3
        while life["waits"] and not self.is_up and time.monotonic() < end and not self.stage.is_over():
            self.look()
            time.sleep(0.002)
        start = time.monotonic()
        events = list(life["events"])
        last = start + events[-1][0] / 1000
        if life["counted"]:
            # All at once, and seen by the service, before anything else.
            while events[0][1] == "unread":
                self.do(events.pop(0))
            end = time.monotonic() + 10
            while self.accepted < life["counted"][0] and time.monotonic() < end:
                self.look()
                time.sleep(0.002)
            start = time.monotonic()
        while True:
            now = time.monotonic()
            while events and now >= start + events[0][0] / 1000:
                self.do(events.pop(0))
            self.look()
            self.asks = [ask for ask in self.asks if not self.ask_ended(ask)] if self.asks else []
            # (PID 1 ends only when all in its namespace have been reaped, these by us.)
            if self.bystander and self.bystander.poll() is not None and not self.doubtful:
                self.doubtful = (self.bystander, now)
            if self.stage.is_over():
                break
            if self.doubtful and now > self.doubtful[1] + 0.5 + 3 * self.late and not self.is_ending():
                self.wrong(f"{self.doubtful[0].words[1:]} was killed while ebb lived on")
            bound = self.bound()
            # Its own part is over when it exits: how long the kernel takes for a whole namespace is not ebb's.
            if bound and now > bound + self.slack() + (10 if self.is_ending() else 0):
                fields = self.stage.fields(self.stage.ebb or 0) or ["gone"]
                self.wrong(f"did not end in time: {now - bound:.1f} s after its bound (state {fields[0]}, "
                           f"late {self.late:.2f}, {self.stage.text(self.stage.ebb, 'wchan')})")
                break
            if now > last + 0.5 and not events:
                if self.halted_since:
                    self.do_resume()
                # Nothing but the end of its service ends it now.
                if bound is None and not self.killed_main and self.main and now > last + 1:
                    self.killed_main = True
                    self.do_strike(KILL)
            if now > self.began + LONGEST:
                self.wrong(f"did not end within {LONGEST} s")
                break
            # 3 ms where something is about to happen.
            before = time.monotonic()
            pause = 0.02 if not events else max(0.001, min(0.02, start + events[0][0] / 1000 - before))
            select.select([self.stage.reports], [], [], pause)
            self.late = max(self.late, time.monotonic() - before - pause)
        self.over = time.monotonic()
        self.finish()

    # What has to hold.

    def finish(self):
        life = self.life
        self.read()
        if self.bystander and self.bystander.poll() is not None and not life["pid1"]:
            self.wrong(f"a stranger was ended: {self.bystander.status}")
        if self.stage.is_over() and not life["pid1"]:
            self.check_asks()
            self.check_orphans()
        if self.stage.is_over():
            self.check_code()
            self.check_report()
        if self.peak["memory"] > MEMORY_LIMIT:
            self.wrong(f"took {self.peak['memory']} kB")
        if self.peak["descriptors"] > DESCRIPTOR_LIMIT:
            self.wrong(f"held {self.peak['descriptors']} descriptors")
        if self.peak["cpu"] > 1.5:
            self.wrong(f"used {self.peak['cpu']:.2f} s of CPU")
        for client in self.sockets:
            client.close()
        for ask in [*self.asks, *self.others]:
            ask.kill()
        self.stage.end()
        if self.frozen:
            try:
                (self.frozen / "cgroup.kill").write_text("1")
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    try:
                        self.frozen.rmdir()
                        break
                    except OSError:
                        time.sleep(0.01)
            except OSError:
                pass

    def check_asks(self):
        end = time.monotonic() + 3 + self.slack()
        while self.asks and time.monotonic() < end:
            self.asks = [ask for ask in self.asks if not self.ask_ended(ask)]
            time.sleep(0.005)
        for ask in self.asks:
            self.wrong(f"ebb {' '.join(ask.words[1:])} goes on after its supervisor has ended")

    def check_orphans(self):
        if not self.life["stops"] or "--no-subreaper" in self.life["options"]:
            return
        if any(name == "NOFILE" and limit < 20 for name, limit in self.life["limits"]):
            return  # Without a descriptor for /proc only the group of the service can be ended.
        if self.life["init"]:
            return  # What is left behind is treated as that program does.
        end = time.monotonic() + 1 + self.slack()
        while True:
            left = [pid for pid in self.stage.descendants(self.stage.first)[1:]
                    if (self.stage.fields(pid) or "Z")[0] not in "ZX"]
            if not left:
                return
            if time.monotonic() > end:
                break
            time.sleep(0.01)
        states = [(self.stage.fields(pid) or ["?"])[0] for pid in left]
        self.wrong(f"left {len(left)} processes behind, in the states {states[:5]}")

    def code(self):
        """ebb's exit code; None where a signal ended it."""
        code = os.waitstatus_to_exitcode(self.stage.status)
        return code if code >= 0 else None

    def check_code(self):
        life = self.life
        code = self.code()
        if code is None:
            return self.wrong(f"was ended by signal {os.WTERMSIG(self.stage.status)}")
        known = set(self.early) | {number for number in self.sent if number not in life["handled"]}
        if life["stops"] and self.first_signal:
            # The signal that stops it, should that be another than the one that came.
            options = life["options"]
            named = options[options.index("--stop-signal") + 1] if "--stop-signal" in options else None
            stop = {"QUIT": 3, "USR1": 10, "RTMIN+3": 37}.get(named, 15)
            if stop not in life["handled"] or not self.is_up:
                known.add(stop)
            if life["grace"]:
                known.add(KILL)
        if "pelt" in life["service"]:
            known |= set(range(39, 59)) - set(life["handled"])
        if "processes" in life["service"] or "memory" in life["service"]:
            known.add(KILL)
        allowed = {128 + number for number in known if number not in HARMLESS}
        if self.words:
            word, number = self.words[-1]
            # KILL may come between the word and the deed, and nothing else may.
            allowed = ({number} if word == "exit" else {128 + number}) | (allowed & {128 + KILL})
        if life["program"] != "service":
            failure = {"/no/such/program": 127, "/etc/passwd": 126}[life["program"]]
            allowed = {failure} | ({128 + TERM, 128 + KILL} & allowed)
        if any(name == "NOFILE" for name, _ in life["limits"]) and self.main is None:
            allowed |= {125}
        options = life["options"]
        if "--map-exit" in options:
            a, b = (int(word) for word in options[options.index("--map-exit") + 1].split("="))
            allowed = {b if known_code == a else known_code for known_code in allowed}
        if code not in allowed:
            self.wrong(f"exit {code}, where {sorted(allowed)} would have been right; the service said {self.words}")

    def check_report(self):
        life = self.life
        if life["errors"] != "read":
            return
        lines = self.errors.decode(errors="replace").splitlines()
        is_json = "json" in life["options"]
        for line in lines:
            if is_json:
                try:
                    json.loads(line)
                except ValueError:
                    self.wrong(f"no JSON: {line[:200]}")
            elif not life["init"] and not line.startswith("ebb: "):
                self.wrong(f"a line that is not ebb's: {line[:200]}")
        if is_json:
            found = [event for event in map(json.loads, lines) if event.get("event") == "released"] \
                if not self.violations else []
            code = found[-1].get("exit") if found else None
        else:
            found = [line for line in lines if re.search(r"; exit \d+$", line)]
            code = int(found[-1].rsplit(" ", 1)[1]) if found else None
        if len(found) > 1:
            self.wrong(f"{len(found)} reports")
        if found and code != self.code():
            self.wrong(f"exit {self.code()}, and the report says {code}")
        if life["counted"]:
            clients, size = life["counted"]
            if not found:
                return self.wrong("no report of a stop")
            seen = re.search(r"(\d+) connections? reset, (\d+) bytes? lost", found[-1])
            if "not measured" in found[-1]:
                self.peak["unmeasured"] += 1
            elif not seen or (int(seen[1]), int(seen[2])) != (clients, clients * size):
                self.wrong(f"{clients} connections with {size} unread bytes each, and the report: {found[-1]}")


def drain(descriptor):
    taken = b""
    try:
        while some := os.read(descriptor, 65536):
            taken += some
    except BlockingIOError:
        pass
    return taken


def unified():
    """Where cgroup v2 is mounted and may be written; None elsewhere."""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.split()[0] == "cgroup2" and os.access(fields.split()[4], os.W_OK):
                return pathlib.Path(fields.split()[4])
    return None


UNIFIED = unified()


# MARK: - Many lives

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
        lived = Life(life, service, names)
        try:
            lived.live()
        except BaseException as error:  # The driver's own mistakes are to be seen too.
            import traceback
            lived.wrong(f"the driver: {error!r}: {traceback.format_exc()[-900:]}")
            for ask in [*lived.asks, *lived.others]:
                ask.kill()
            lived.stage.end()
        result = {"violations": lived.violations, "peak": lived.peak, "errors": lived.errors.decode(errors="replace"),
                  "sent": len(lived.sent), "code": lived.stage.status, "frozen": lived.was_frozen,
                  "late": lived.late, "counted": bool(life["counted"])}
        with os.fdopen(writing, "w") as file:
            json.dump(result, file)
    finally:
        os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="live this one alone, and show its script and its lines")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=4, help="lives at a time")
    parser.add_argument("--ebb", default=str(stage.ROOT / ".build/release/ebb"))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("chaos.py needs root: it makes namespaces")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ebb-chaos-") as folder:
        os.chmod(folder, 0o755)  # Some lives are another user's.
        service = stage.compile_service(folder)
        names = {"ebb": os.path.join(folder, "ebb")}
        pathlib.Path(names["ebb"]).write_bytes(pathlib.Path(arguments.ebb).read_bytes())
        os.chmod(names["ebb"], 0o755)
        for name in INITS:
            names[name] = os.path.join(folder, name)
            os.symlink("ebb", names[name])
        wanted = [arguments.only] if arguments.only is not None else \
            list(range(arguments.first, arguments.first + arguments.lives))
        running, tally, codes, bad = {}, collections.Counter(), collections.Counter(), []
        peak = collections.Counter()
        # A run that is interrupted says what it has seen, and ends those that it has begun.
        signal.signal(signal.SIGTERM, lambda *_: wanted.clear())
        signal.signal(signal.SIGINT, lambda *_: wanted.clear())
        while wanted or running:
            while wanted and len(running) < arguments.jobs:
                life = draw(arguments.seed, wanted.pop(0))
                pid, reading = begin(life, service, names)
                running[reading] = (pid, life)
            for reading in select.select(list(running), [], [])[0]:
                pid, life = running.pop(reading)
                with os.fdopen(reading) as file:
                    text = file.read()
                os.waitpid(pid, 0)
                result = json.loads(text) if text else \
                    {"violations": ["the driver was ended"], "peak": {}, "code": None}
                tally["lives"] += 1
                for fact in ("frozen", "counted"):
                    tally[fact] += bool(result.get(fact))
                tally["PID 1"] += life["pid1"]
                tally["named"] += bool(life["init"])
                tally["unmeasured"] += result["peak"].pop("unmeasured", 0)
                for name, value in result["peak"].items():
                    peak[name] = max(peak[name], value)
                if result["code"] is not None:
                    codes[os.waitstatus_to_exitcode(result["code"])] += 1
                if result["violations"] or arguments.only is not None:
                    print(f"--seed {arguments.seed} --only {life['number']}: "
                          f"{result['violations'] or 'as it should be'}\n  {json.dumps(life)}", flush=True)
                    for line in result.get("errors", "").splitlines()[-12 if arguments.only is None else 0:]:
                        print(f"  | {line[:240]}")
                if result["violations"]:
                    bad.append(life["number"])
        print(f"seed {arguments.seed}: {tally['lives']} lives in {time.monotonic() - began:.0f} s, "
              f"{tally['PID 1']} as PID 1, {tally['named']} under another init's "
              f"name, {tally['frozen']} frozen, {tally['counted']} with known losses "
              f"({tally['unmeasured']} said not measured)")
        print(f"exit codes: {dict(sorted(codes.items()))}")
        print(f"at most {peak['memory']} kB, {peak['descriptors']} descriptors, {peak['cpu']:.2f} s of CPU")
        print(f"{len(bad)} violations" + (f": {bad}" if bad else ""))
        sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
