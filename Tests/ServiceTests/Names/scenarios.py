"""What an init does, as facts: `scenarios.py SCENARIO JSON` runs one scenario and prints a JSON object.

The second argument says which: {"program": PATH, "options": [...], "pid1": bool, "terminal": bool}. The same
scenario is run for the real program and for ebb under its name; the tests compare the facts. So nothing in them
may be a number of this run (a pid is told by whose it is), and nothing waits for a time: it waits for an event.
"""
import ctypes
import fcntl
import json
import os
import pty
import select
import signal
import sys
import termios
import time

REPORTS = 9  # The descriptor that the service reports on.
LAST = 64  # The signal that is sent behind another one: what comes before it has arrived by then.
SIGNALS = [n for n in list(range(1, 32)) + list(range(34, 65)) if n not in (signal.SIGKILL, signal.SIGSTOP)]
WAIT = 20  # Seconds after which a test is taken for hanging.

# A service, and a second process in its group. Both block every signal and tell each as it comes, the lowest
# number first, and whether it was the init that sent it. What is sent by the kernel (SIGCHLD) is not told.
SERVICE = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
init = os.getppid()
name = "main"
if os.fork() == 0: name = "member"
os.write(9, f"{name} ready\\n".encode())
while True:
    info = signal.sigwaitinfo(signal.valid_signals())
    if info.si_code > 0: continue
    sender = "init" if info.si_pid == init else "other"
    os.write(9, f"{name} {info.si_signo} {sender}\\n".encode())
    if info.si_signo == signal.SIGRTMAX - 1 and sender == "other": os._exit(7)
"""

# What it finds itself in.
LOOK = """
import json, os
def status(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return {line.split(":")[0]: line.split(":", 1)[1].strip() for line in lines}
def stat(pid): return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
own, init, pid, parent = stat("self"), stat(os.getppid()), str(os.getpid()), str(os.getppid())
whose = {pid: "own", parent: "init", init[2]: "init's", init[3]: "init's session", "0": "none", "-1": "none"}
facts = {key: status("self")[key] for key in ("SigBlk", "SigIgn")}
facts |= {
    "group": whose.get(own[2], "other"), "session": whose.get(own[3], "other"),
    "foreground": whose.get(own[5], "other"), "has terminal": own[4] != "0",
    "init has terminal": init[4] != "0", "init's foreground": whose.get(init[5], "other"),
    "init leads its group": init[2] == parent, "directory": os.getcwd(), "init's directory":
    os.readlink(f"/proc/{parent}/cwd"), "inherited": os.path.exists("/proc/self/fd/9"),
    "init keeps": os.path.exists(f"/proc/{parent}/fd/9"), "depth": len(status("self")["NSpid"].split()),
    "init has group": init[2] != "0", "arguments": __import__("sys").argv[1:],
}
os.write(9, json.dumps(facts).encode() + b"\\n")
"""

PYTHON = [sys.executable, "-I", "-S", "-c"]


def fields(pid):
    """The fields of /proc/PID/stat from the state on; None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def state(pid):
    found = fields(pid)
    return found[0] if found else "gone"


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def until(condition, seconds=WAIT):
    """Waits for a condition, and gives what it gives; fails after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.001)
    raise SystemExit(f"waited in vain: {condition.__doc__ or condition}")


class Init:
    """One run of the init with a command under it, in a session of its own."""

    def __init__(self, how, command, separator=("--",), environment={}, ignored=(), blocked=(), directory="/usr",
                 orphaned=False):
        self.pid1 = how.get("pid1", False)
        words = [how["program"], *how.get("options", []), *separator, *command]
        if self.pid1:
            # PID 1 leads its session, as in a container.
            leader = ["setsid", "--ctty"] if how.get("terminal") else ["setsid"]
            words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *leader, *words]
        self.reports, reports = os.pipe()
        self.errors, errors = os.pipe()
        self.output, output = os.pipe()
        self.terminal, terminal = pty.openpty() if how.get("terminal") else (-1, -1)
        self.buffer = b""
        self.status = None
        self.found = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                if terminal >= 0:
                    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
                    for number in range(3):
                        os.dup2(terminal, number)
                else:
                    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                    os.dup2(output, 1)
                    os.dup2(errors, 2)
                os.dup2(reports, REPORTS)
                os.closerange(3, REPORTS)
                os.closerange(REPORTS + 1, 100)
                os.chdir(directory)
                for number in range(1, 65):
                    try:
                        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
                    except (OSError, ValueError):
                        pass
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                if orphaned and os.fork() != 0:
                    # The init's parent, which goes when it is told to.
                    os.read(0, 1)
                    signal.pause()
                os.execvpe(words[0], words, BASE | environment)
            finally:
                os._exit(99)
        for number in (reports, errors, output, terminal):
            if number >= 0:
                os.close(number)
        self.parent = None
        if orphaned:
            self.parent, self.pid = self.pid, until(lambda: children(self.pid))[0]

    @property
    def init(self):
        """Its pid on this side."""
        if self.found is None:
            self.found = until(lambda: children(self.pid))[0] if self.pid1 else self.pid
        return self.found

    def read(self, number, wait):
        if number in select.select([number], [], [], wait)[0]:
            try:
                return os.read(number, 65536)
            except OSError:
                return b""
        return None

    def report(self, wait=0.002):
        """The next line that the service reports; None where there is none yet."""
        if b"\n" not in self.buffer:
            self.buffer += self.read(self.reports, wait) or b""
        line, found, rest = self.buffer.partition(b"\n")
        if not found:
            return None
        self.buffer = rest
        return line.decode()

    def next(self):
        def something():
            "a report"
            return self.report()
        return until(something)

    def ready(self, count=2):
        for _ in range(count):
            self.next()
        self.main = children(self.init)[0]
        self.member = (children(self.main) or [None])[0]
        return self

    def ended(self):
        """Its exit code, or minus the signal that ended it; None while it runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self):
        return until(lambda: (self.ended() is not None) and [self.ended()])[0]

    def everything(self, number):
        """All that was written, once nobody holds the other end."""
        found = b""
        while True:
            piece = self.read(number, WAIT)
            if not piece:
                return found.decode(errors="replace")
            found += piece

    def close(self):
        """Ends all of it. Whatever the init has left behind has become ours, since this is a subreaper."""
        while found := children(os.getpid()):
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            for pid in found:
                os.waitpid(pid, 0)
        for number in (self.reports, self.errors, self.output, self.terminal):
            if number >= 0:
                os.close(number)


BASE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
        "TINI_VERBOSITY": "0"}


def deliver(run, number):
    """Sends the init a signal; what the service then gets, and in which states both are if they stop."""
    facts = []
    os.kill(run.init, number)
    os.kill(run.init, LAST)
    told_member = False
    waiting = {f"main {LAST} init"}
    end = time.monotonic() + WAIT
    lasts = 2 if number == LAST else 1
    while True:
        if time.monotonic() > end:
            return facts + ["nothing more"]
        line = run.report()
        if line == f"main {LAST} init":
            lasts -= 1
            if lasts == 0:
                # What the member got from the init it has by now; this comes behind.
                os.kill(run.member, LAST)
                while True:
                    line = run.next()
                    if line == f"member {LAST} other":
                        return sorted(facts)
                    facts += [line] if str(LAST) not in line or number == LAST else []
        elif line:
            facts += [line] if str(LAST) not in line or number == LAST else []
        elif run.ended() is not None:
            return sorted(facts) + [f"the init ends: {run.ended()}"]
        elif "T" in (state(run.init), state(run.main)):
            # What has been sent to one of them may still be on its way to change it.
            until(lambda: settled(run.main) and settled(run.init))
            stopped = [who for who, pid in (("init", run.init), ("service", run.main)) if state(pid) == "T"]
            facts.append(f"stopped: {' and '.join(stopped)}")
            os.kill(run.init, signal.SIGCONT)
            until(lambda: "T" not in (state(run.init), state(run.main)))


def settled(pid):
    """Whether a process is stopped, or sleeps with no signal pending."""
    return state(pid) == "T" or state(pid) == "S" and not any(pending(pid))


def pending(pid):
    with open(f"/proc/{pid}/status") as file:
        return [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd"))]


def signals(how):
    """Every signal that can be caught: who gets what."""
    facts = {}
    run = None
    for number in SIGNALS:
        if run is None:
            run = Init(how, PYTHON + [SERVICE]).ready()
        got = deliver(run, number)
        facts[signal_name(number)] = got
        if run.status is not None or "nothing more" in got:
            run.close()
            run = None
    if run:
        run.close()
    return facts


def signal_name(number):
    return signal.Signals(number).name[3:] if number < 32 else f"RTMIN+{number - 34}"


def look(how):
    """What the service is started with: mask, dispositions, session, group, terminal, directory, descriptors."""
    environment = how.get("environment", {})
    run = Init(how, PYTHON + [LOOK, "a", "--", "-b"], environment=environment,
               ignored=(signal.SIGHUP, signal.SIGUSR1, 40), blocked=(signal.SIGUSR2, signal.SIGWINCH, 37))
    facts = json.loads(run.next())
    facts["exit"] = run.wait()
    run.close()
    return facts


def codes(how):
    """All 256 exit codes, and every signal that ends the service."""
    facts = {}
    for code in range(256):
        run = Init(how, ["sh", "-c", f"exit {code}"])
        facts[str(code)] = run.wait()
        run.close()
    for number in SIGNALS + [signal.SIGKILL]:
        if number in (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGTSTP,
                      signal.SIGTTIN, signal.SIGTTOU):
            continue
        run = Init(how, ["sh", "-c", f"ulimit -c 0; kill -{number} $$"])
        facts[signal_name(number)] = run.wait()
        run.close()
    return facts


def leftovers(how):
    """The main process ends: what the other member of its group gets."""
    run = Init(how, PYTHON + [SERVICE]).ready()
    os.kill(run.main, LAST - 1)
    facts = {"exit": run.wait(), "member": []}
    os.kill(run.member, LAST)
    while (line := run.next()) != f"member {LAST} other":
        facts["member"] += [line] if line.startswith("member") else []
    run.close()
    return facts


def orphans(how):
    """Orphans: whose they become, and whether any stays a zombie."""
    script = """
import os, signal, time
for n in range(40):
    if os.fork() == 0:
        # A middle process that goes at once; what it leaves is an orphan.
        middle = os.getpid()
        if os.fork() == 0:
            while os.getppid() == middle: time.sleep(0.001)
            os.write(9, b"init\\n" if os.getppid() == int(os.environ.get("INIT", "0")) else b"other\\n")
        os._exit(0)
for n in range(40): os.wait()
os.write(9, b"done\\n")
signal.pause()
"""
    wrapper = "import os, sys; os.environ['INIT'] = str(os.getppid()); exec(sys.argv[1])"
    run = Init(how, PYTHON + [wrapper, script], environment=how.get("environment", {}))
    lines = [run.next() for _ in range(41)]
    init = run.init
    facts = {"become": sorted(set(lines) - {"done"})}
    if facts["become"] == ["init"]:
        until(lambda: len(children(init)) == 1)
        facts["left"] = len(children(init))
    run.close()
    return facts


def parent(how):
    """The init's own parent dies: what the service gets by -p."""
    run = Init(how, PYTHON + [SERVICE], orphaned=True)
    run.ready()
    # A first one is forwarded by now, so whatever the init had to do to itself is done.
    deliver_first(run)
    os.kill(run.parent, signal.SIGKILL)
    os.waitpid(run.parent, 0)
    run.parent = None
    facts = {"service": []}
    expected = how["expect"]
    if expected:
        facts["service"].append(run.next())
        os.kill(run.init, LAST)
        while (line := run.next()) != f"main {LAST} init":
            facts["service"].append(line)
    else:
        until(lambda: state(run.pid) in ("gone", "Z"))
        os.kill(run.main, LAST)
        while (line := run.next()) != f"main {LAST} other":
            facts["service"].append(line)
    facts["init"] = "there" if state(run.pid) not in ("gone", "Z") else "gone"
    run.close()
    return facts


def deliver_first(run):
    os.kill(run.init, LAST)
    while run.next() != f"main {LAST} init":
        pass


def terminal(how):
    """The terminal is handed over: what the service hears of it, and of the same signals when they are meant."""
    run = Init(how | {"terminal": True}, PYTHON + [SERVICE]).ready()
    facts = {"hand-over": []}
    os.kill(run.init, LAST)
    while (line := run.next()) != f"main {LAST} init":
        facts["hand-over"] += [line] if str(LAST) not in line else []
    facts["HUP"] = deliver(run, signal.SIGHUP)
    facts["CONT"] = deliver(run, signal.SIGCONT)
    run.close()
    return facts


def reserved(how):
    """The two signals that the C library keeps for itself, which the service leaves to their default action."""
    facts = {}
    for number in (32, 33):
        run = Init(how, PYTHON + [SERVICE]).ready()
        os.kill(run.init, number)
        facts[str(number)] = run.wait()
        run.close()
    return facts


def background(how):
    """Started in the background of a terminal, by a shell that is in the foreground: who has it then and at the end."""
    shell = "import os, sys\nif os.fork() == 0:\n os.setpgid(0, 0)\n os.execv(sys.argv[1], sys.argv[1:])\nos.wait()\n" \
        "os.write(9, b'over\\n')\nimport signal; signal.pause()"
    words = [how["program"], *how["options"], "--", *PYTHON, SERVICE]
    run = Init({"program": PYTHON[0], "options": PYTHON[1:], "terminal": True}, [shell, *words], separator=())
    for _ in range(2):
        run.next()
    service = children(children(run.pid)[0])[0]
    names = {run.pid: "shell", service: "service"}
    facts = {"while it runs": names.get(os.tcgetpgrp(run.terminal), "other")}
    os.kill(service, LAST - 1)
    run.next()
    facts["at the end"] = names.get(os.tcgetpgrp(run.terminal), "other")
    run.close()
    return facts


def variables(how):
    """Who is signalled, where the environment says so."""
    run = Init(how, PYTHON + [SERVICE], environment=how["environment"]).ready()
    facts = {signal_name(number): deliver(run, number) for number in (signal.SIGTERM, signal.SIGTSTP)}
    run.close()
    return facts


def usage(how):
    """Command lines: the exit code, and which of its two streams it writes to. The program's own output is "ran"."""
    facts = {}
    for line in how["lines"]:
        environment = {word.split("=")[0]: word.split("=")[1] for word in line if is_variable(word)}
        words = [word for word in line if not is_variable(word)]
        run = Init(how, words, separator=(), environment=environment)
        code = run.wait()
        # The pipes of its descendants are closed with it.
        output, errors = run.everything(run.output), run.everything(run.errors)
        streams = []
        if output:
            streams.append(output if output.startswith("ran") else "output")
        if errors:
            streams.append("errors")
        facts[json.dumps(line)] = [code, *streams]
        run.close()
    return facts


def is_variable(word):
    return "=" in word and word.split("=")[0].isupper() and word[0] != "-"


def pause(how):
    """catatonit -P: what ends it, and that it reaps."""
    facts = {}
    for end in (signal.SIGTERM, signal.SIGINT):
        run = Init(how, [], separator=())
        init = run.init
        until(lambda: (fields(init) or "?")[0] == "S" and awaits_signals(init))
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTSTP, signal.SIGWINCH, 34):
            os.kill(init, number)
        os.kill(init, end)
        facts[signal_name(end)] = run.wait()
        run.close()
    return facts


def awaits_signals(pid):
    """It has them blocked, or waits for them, which has them unblocked meanwhile: rt_sigtimedwait(2)."""
    with open(f"/proc/{pid}/status") as file:
        if any(line.startswith("SigBlk") and not line.rstrip().endswith("\t0000000000000000") for line in file):
            return True
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0] in ("128", "137")


if __name__ == "__main__":
    # PR_SET_CHILD_SUBREAPER: orphans that the init does not take come here, to be ended.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    found = globals()[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps(found, sort_keys=True))
