"""A life as it is lived, what is seen of it, and what has to hold after it."""
import collections
import json
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import time

import groups
import stage
import wallclock
from lives import CONT, DESCRIPTOR_LIMIT, HARMLESS, INT, KILL, LONGEST, MEMORY_LIMIT, STOP, TERM
from stage import PAGES, PORT, drain

PLACES = {}  # Where control groups can be made: the driver finds out before it makes lives.


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
        self.clock = wallclock.WallClock() if life["clock"] else None
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
        self.starved = 0.0  # and for which it waited for a processor
        self.heard = None  # The first TERM or INT that it cannot but have heard
        self.drained = None  # The first of what may have begun its stop
        self.alive = 0.0  # When the main process was last seen alive
        self.ending = None
        self.opened = 0
        self.after = None  # How long after its bound it has ended, in seconds; before: less than 0
        self.seen = collections.Counter()
        self.groups, self.group = [], None
        self.late = 0.0
        self.crowd, self.crowd_now, self.crowd_at = 0.0, 0.0, time.monotonic()
        self.killed_main = False
        self.frozen = None
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
        self.enter_groups()
        self.began = time.monotonic()
        self.began_on_the_wall = time.time()
        self.stage.start(words, life["pid1"], life["environment"], limits, life["user"], life["errors"], self.groups,
                         life["space"], self.clock)

    def make_group(self, kind, limits=(), more=""):
        """A control group of this life's own; None where there can be none."""
        if kind not in PLACES:
            return None
        try:
            group = groups.Group(PLACES[kind] / f"ebb-chaos-{os.getppid()}-{os.getpid()}{more}", limits)
        except OSError:
            return None
        self.groups.append(group)
        return group

    def enter_groups(self):
        life = self.life
        for kind, what in (("pids", "pids.max, ebb included"), ("memory", "a memory limit, ebb included")):
            value = life[kind]
            if value and not self.make_group(kind, [(kind, value << 20 if kind == "memory" else value)]):
                self.seen[f"no group for: {what}"] += 1
                life[kind] = None
        if life["group"]:
            self.group = self.make_group("freeze")

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
        now = time.monotonic()
        try:
            os.kill(ebb, number)
        except ProcessLookupError:
            return
        self.seen["signals sent to ebb"] += 1
        forwarded = rewritten(self.life, number)
        if forwarded:
            (self.sent if self.is_up else self.early).add(forwarded)
        if number in (TERM, INT) and self.life["stops"]:
            self.first_signal = self.first_signal or now
            self.last_signal = now
            self.drained = self.drained or now
            # Before it has a child, it may be too young for any signal.
            if self.main:
                self.heard = self.heard or now

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
                self.seen["ebb was stopped and continued"] = 1
            except ProcessLookupError:
                pass

    def do_pause(self):
        """Its whole control group is frozen, as by `docker pause`."""
        if self.group and not self.stage.is_over() and self.halted_since is None:
            self.group.freeze()
            self.halted_since = time.monotonic()
            self.seen["ebb and all its service were frozen and thawed (cgroup.freeze)"] = 1

    def wake(self):
        try:
            os.kill(self.stage.find_ebb() or 0x3fffffff, CONT)
        except ProcessLookupError:
            pass  # It has just ended.

    def do_resume(self):
        if self.group:
            self.group.freeze(False)
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
        """The service's main process alone is frozen: it takes no signal but KILL."""
        if not self.main or self.main_ended is not None or self.frozen:
            return
        self.frozen = self.make_group("freeze", more="-main")
        if self.frozen:
            try:
                self.frozen.enter(self.main)
                self.frozen.freeze()
                self.seen["the main process was frozen (cgroup.freeze)"] = 1
            except OSError:
                pass  # It has just ended.

    def do_thaw(self):
        if self.frozen:
            self.frozen.freeze(False)

    def do_clock(self, offset):
        """Sets ebb's wall clock."""
        ebb = self.stage.find_ebb()
        if ebb is None or self.halted_since or self.stage.is_over() or self.stage.link(ebb) != self.names["ebb"]:
            return
        try:
            if self.clock.caught is None:
                self.clock.catch(self.stage, ebb)
        except OSError:
            return  # It has just ended.
        self.clock.set(offset)
        self.seen["the wall clock was set"] += 1

    def do_ask(self, words):
        control = self.life["options"]
        more = []
        if "--control" in control:
            name = control[control.index("--control") + 1]
            if name != "off":
                more = ["--control", name]
        began = time.monotonic()
        try:
            ask = stage.Exec(self.stage, [self.names["ebb"], *words.split(), *more])
        except OSError:
            return  # Into a namespace whose PID 1 is ending nobody gets, fork(2) ENOMEM.
        ask.verb = words.split()[0]
        if ask.verb == "drain":
            self.drained = self.drained or began
        self.seen["commands beside ebb"] += 1
        self.asks.append(ask)

    def open(self, family, kind, address, text=b"", window=None):
        client = socket.socket(family, kind)
        client.setblocking(False)
        if window:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.seen["connections opened"] += 1
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
        texts = {"idle": b"", "request": b"GET\n", "stall": b"G", "reset": b"GET\n", "half": b"GET\n",
                 "slow": b"GET\n"}
        client = self.open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT), texts[how],
                           1 if how == "slow" else None)
        self.opened += 1
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
        self.opened += 1

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
            elif word == "waited":
                self.stage.waited = number / 1000
            elif word == "ended":
                self.stage.status = number
            elif word in ("exit", "crash"):
                self.words.append((word, number))
                self.main_ended = self.main_ended or time.monotonic()

    def look(self):
        """Looks at ebb: what it takes, and whether it stands still."""
        self.read()
        # As an average over half a second, and the highest of those.
        now, crowd = time.monotonic(), self.stage.crowd()
        part = min(1, (now - self.crowd_at) / 0.5)
        self.crowd_now += (crowd - self.crowd_now) * part
        self.crowd, self.crowd_at = max(self.crowd, self.crowd_now), now
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
            now = time.monotonic()
            fields = self.stage.fields(self.main)
            if fields is None or fields[0] in "ZX":
                self.main_ended = time.monotonic()
            else:
                self.alive = now
        self.starved = max(self.starved, self.stage.delay(ebb) or 0)
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
        if self.ending is None and self.life["pid1"] and self.stage.link(self.stage.ebb) is None:
            self.ending = time.monotonic()
        return self.ending is not None

    def look_until(self, is_so, seconds):
        """Looks at ebb until this is so, for so long at most; ends when ebb does: its namespace waits for this driver."""
        end = time.monotonic() + seconds
        while not is_so() and time.monotonic() < end and not self.stage.is_over() and not self.is_ending():
            self.look()
            time.sleep(0.002)

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
        """What it may be late by: the time for which it could not run, and what a busy machine takes."""
        standing = time.monotonic() - self.halted_since if self.halted_since else 0
        starved = max(self.starved, self.stage.waited)
        return 1.5 * max(1, self.crowd) + 3 * self.late + starved + self.halted + standing

    def live(self):
        self.launch()
        life = self.life
        while self.stage.find_ebb() is None and time.monotonic() < self.began + 5:
            self.look()
            if self.stage.is_over():
                break
            time.sleep(0.001)
        self.stand()
        self.is_lost = False
        self.doubtful = None
        if life["waits"]:
            self.look_until(lambda: self.is_up, 30 if life["counted"] else 3)
        start = time.monotonic()
        events = list(life["events"])
        last = start + events[-1][0] / 1000
        if life["counted"]:
            # All at once, and seen by the service, before anything else.
            while events[0][1] == "unread":
                self.do(events.pop(0))
            self.look_until(lambda: self.accepted >= life["counted"][0], 10)
            if self.accepted < life["counted"][0]:
                # A machine so busy that the service did not listen yet.
                self.seen["known losses that did not come about"] += 1
                life["counted"] = None
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
            if life["memory"] and self.stage.has_lost_its_init():
                # The kernel ends what it finds in the group that is out of memory: here the life's own init.
                self.seen["lives that lost their init where memory ran out"] += 1
                self.is_lost = True
                break
            if self.doubtful and now > self.doubtful[1] + 0.5 + 3 * self.late and not self.is_ending():
                self.wrong(f"{self.doubtful[0].words[1:]} was killed while ebb lived on")
            bound = self.bound()
            # Its own part is over when it exits: how long the kernel takes for a whole namespace is not ebb's.
            if bound and (self.ending if self.is_ending() else now) > bound + self.slack():
                fields = self.stage.fields(self.stage.ebb or 0) or ["gone"]
                self.wrong(f"did not end in time: {now - bound:.1f} s after its bound (state {fields[0]}, "
                           f"late {self.late:.2f}, starved {self.starved:.2f}, crowd {self.crowd:.0f}, {self.stage.text(self.stage.ebb, 'wchan')})")
                break
            if now > last + 0.5 and not events:
                if self.halted_since:
                    self.do_resume()
                # Nothing but the end of its service ends it now.
                if bound is None and not self.killed_main and self.main and now > last + 1:
                    self.killed_main = True
                    self.do_strike(KILL)
            if now > self.began + LONGEST + self.slack():
                self.wrong(f"did not end within {LONGEST} s")
                break
            # 3 ms where something is about to happen.
            before = time.monotonic()
            pause = 0.02 if not events else max(0.001, min(0.02, start + events[0][0] / 1000 - before))
            select.select([self.stage.reports], [], [], pause)
            self.late = max(self.late, time.monotonic() - before - pause)
        self.over = time.monotonic()
        if bound := self.bound():
            self.after = (self.ending or self.over) - bound - self.halted
        self.finish()

    # What has to hold.

    def finish(self):
        life = self.life
        self.read()
        if self.clock:
            self.clock.look()
            self.seen["no wall clock of its own could be made"] += not self.clock.is_here
        if self.bystander and self.bystander.poll() is not None and not life["pid1"] and not self.is_lost:
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
        if self.clock:
            self.clock.end()
        for group in self.groups:
            group.end()

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
        if "processes" in life["service"] or "memory" in life["service"] or life["memory"]:
            known.add(KILL)
        allowed = {128 + number for number in known if number not in HARMLESS}
        if self.words:
            word, number = self.words[-1]
            # KILL may come between the word and the deed, and nothing else may.
            allowed = ({number} if word == "exit" else {128 + number}) | (allowed & {128 + KILL})
        if life["program"] != "service":
            failure = {"/no/such/program": 127, "/etc/passwd": 126}[life["program"]]
            # Between its fork and its exec it is a process that handles nothing: what is handed on then ends it.
            handed_on = {128 + number for number in self.sent if number not in HARMLESS}
            allowed = {failure} | ({128 + TERM, 128 + KILL} & allowed) | handed_on
        if (any(name == "NOFILE" for name, _ in life["limits"]) or life["pids"]) and self.main is None:
            allowed |= {125}
        options = life["options"]
        if "--map-exit" in options:
            a, b = (int(word) for word in options[options.index("--map-exit") + 1].split("="))
            allowed = {b if known_code == a else known_code for known_code in allowed}
        if code not in allowed:
            self.wrong(f"exit {code}, where {sorted(allowed)} would have been right; the service said {self.words}")

    def lines(self):
        """ebb's lines, each as its message and its fields; a line that is none is told."""
        life = self.life
        is_json = "json" in life["options"] or life["environment"].get("EBB_LOG") == "json"
        for text in self.errors.decode(errors="replace").splitlines():
            if is_json:
                try:
                    fields = json.loads(text)
                    yield fields["message"], fields
                except (ValueError, KeyError):
                    self.wrong(f"no JSON: {text[:200]}")
            else:
                if not life["init"] and not text.startswith("ebb: "):
                    self.wrong(f"a line that is not ebb's: {text[:200]}")
                yield text, {}

    def check_time(self, at):
        """The time of a line is one that ebb's clock has shown, if it had that clock already."""
        if not self.clock or not self.clock.is_here:
            return
        offset = self.clock.served.get(round(at * 1000))
        if offset is None and not self.began_on_the_wall - 1 <= at <= (self.clock.caught or time.time()) + 0.01:
            self.wrong(f"the time {at} is none of its clock's")
        self.seen["lines with a wall clock that had been set"] += bool(offset)

    def check_report(self):
        life = self.life
        if life["errors"] != "read":
            return
        found = []
        for message, fields in self.lines():
            if fields:
                self.check_time(fields["time"])
            if re.search(r"; exit \d+$", message):
                found.append((message, fields))
        if len(found) > 1:
            self.wrong(f"{len(found)} reports")
        if not found:
            # It is told unless nobody wanted to hear it, or the service had ended by itself before.
            if (life["stops"] and self.heard and self.alive > self.heard + self.slack()
                    and life.get("verbosity") != "quiet" and self.code() is not None):
                self.wrong("no report of a stop")
            return
        message, fields = found[-1]
        if fields and fields["exit"] != int(message.rsplit(" ", 1)[1]):
            self.wrong(f"{message!r} has other fields: {fields}")
        if int(message.rsplit(" ", 1)[1]) != self.code():
            self.wrong(f"exit {self.code()}, and the report: {message}")
        self.seen["reports of a stop"] += 1
        if took := re.search(r"stopped in ([\d.]+)s", message):
            self.check_duration(float(took[1]))
        if "not measured" in message:
            self.seen["reports that said not measured"] += 1
            return
        seen = re.search(r"(\d+) connections? reset", message)
        if seen and int(seen[1]) > self.opened:
            self.wrong(f"{self.opened} connections were opened, and the report: {message}")
        if life["counted"]:
            clients, size = life["counted"]
            seen = re.search(r"(\d+) connections? reset, (\d+) bytes? lost", message)
            if not seen or (int(seen[1]), int(seen[2])) != (clients, clients * size):
                self.wrong(f"{clients} connections with {size} unread bytes each, and the report: {message}")

    def check_duration(self, seconds):
        """No longer than since what began it, and no shorter than since what it cannot but have heard."""
        if "--http-drain" not in self.life["options"] and self.drained:
            most = self.over - self.drained
            if seconds > most + 0.02:
                self.wrong(f"reports {seconds} s for a stop, where {most:.2f} had passed")
        if self.heard:
            least = (self.ending or self.over) - self.heard - self.slack()
            if seconds < least:
                self.wrong(f"reports {seconds} s for a stop, where {least:.2f} and more had passed")
