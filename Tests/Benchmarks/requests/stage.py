"""Where one stop is played: namespaces of its own, processes that end with it, ebb, and ebb's report."""
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
PORT = 8080
OPTIONS = {"--ports": str(PORT), "--busy-max": "20s", "--grace": "40s"}


class Broken(Exception):
    """The run says nothing of ebb: a service did not start, or an earlier request failed."""


def checked(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter():
    """Into a network, a mount and (for children) a pid namespace of one's own, with loopback up.

    REQUESTS_DELAY: milliseconds that a packet takes there, half of a round trip (needs sch_netem)."""
    checked(libc.unshare(0x40000000 | 0x00020000))  # CLONE_NEWNET, CLONE_NEWNS
    checked(libc.mount(None, b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE
    with socket.socket() as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
    if delay := os.environ.get("REQUESTS_DELAY"):
        subprocess.run(
            ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", f"{delay}ms", "limit", "10000"], check=True)
    # The last: the first child becomes that namespace's first process.
    checked(libc.unshare(0x20000000))  # CLONE_NEWPID


def die_with_parent():
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def isolated(job, path, seconds):
    """Runs job(folder) as the first process of a pid namespace, so that whatever it started ends with it, and
    writes what it returns to the file. To be called in a process for it alone; returns its exit code."""
    die_with_parent()
    enter()
    folder = f"{path}.d"
    os.mkdir(folder, 0o755)
    process = os.fork()
    if not process:
        code = 1
        try:
            die_with_parent()
            # Its only children are its own, but orphans come to it as well: they end with it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            checked(libc.mount(b"proc", b"/proc", b"proc", 0, None))
            result = job(folder)
            with open(f"{path}.new", "w") as file:
                json.dump(result, file)
            os.rename(f"{path}.new", path)
            code = 0
        except BaseException as error:  # Nothing of the parent's may run here.
            if not isinstance(error, Broken):
                import traceback
                traceback.print_exc()
            with open(f"{path}.error", "w") as file:
                file.write(f"{type(error).__name__}: {error}")
        finally:
            os._exit(code)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(process, signal.SIGKILL))
    signal.alarm(seconds)
    _, status = os.waitpid(process, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status)


def environment(**more):
    """That of a container which is not in Kubernetes."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/tmp", **more}


def until(condition, seconds, what):
    """Waits for it, looking often."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise Broken(f"{what}: not within {seconds} s")
        time.sleep(0.002)
    return found


def listens(port, address=None):
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as file:
            for line in file:
                words = line.split()
                if words[1].endswith(f":{port:04X}") and words[3] == "0A":
                    return True
    return False


def group_name(folder):
    """The folder of a cgroup (v2) for this stage, or None where there is none to be had."""
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, place, kind = line.split()[:3]
            if kind == "cgroup2" and os.access(place, os.W_OK):
                return f"{place}/{os.path.basename(os.path.dirname(folder))}-{os.path.basename(folder)}"
    return None


def leave_groups(folder):
    group = group_name(folder)
    if group and os.path.isdir(group):
        until(lambda: not open(f"{group}/cgroup.procs").read(), 5, "the cgroup is empty")
        os.rmdir(group)


class Program:
    """A process of the stage, whose output goes to files."""

    def __init__(self, name, words, folder, stdin=subprocess.DEVNULL, env=None, **more):
        self.name = name
        self.out, self.errors = f"{folder}/{name}.out", f"{folder}/{name}.err"
        with open(self.out, "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                words, stdin=stdin, stdout=out, stderr=errors, cwd=folder, start_new_session=True,
                env=env or environment(), **more)
        self.pid = self.process.pid

    def output(self):
        with open(self.out, errors="replace") as file:
            return file.read()

    def complaints(self):
        with open(self.errors, errors="replace") as file:
            return file.read()

    def until_listening(self, path, seconds=30):
        """Waits until somebody answers at a unix socket."""
        def ready():
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended: {self.complaints()[-500:]}")
            with socket.socket(socket.AF_UNIX) as one:
                return one.connect_ex(path) == 0
        until(ready, seconds, f"{self.name} listens at {path}")
        return self

    def listening(self, port=PORT, seconds=30):
        """Waits until something listens there."""
        def ready():
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended: {self.complaints()[-500:]}")
            return listens(port)
        until(ready, seconds, f"{self.name} listens at {port}")
        return self

    def wait(self, seconds):
        """Its exit code, and when it ended; it is killed where that takes too long."""
        clock = threading.Timer(seconds, self.process.kill)
        clock.start()
        _, status = os.waitpid(self.pid, 0)  # Popen.wait with a time-out looks only now and then.
        ended = time.monotonic()
        clock.cancel()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode, ended


class Supervised(Program):
    """A service under ebb."""

    # Seconds before TERM in which whatever is in progress ends: to see that it would, were there no stop.
    respite = 0

    def __init__(self, ebb, words, folder, options=(), env=None, own_group=False):
        """`own_group`: in a cgroup of its own, as in a container, and no ports are given: ebb finds them."""
        plain, before = [], []
        for option, value in OPTIONS.items():
            if option not in options and not (own_group and option == "--ports"):
                plain += [option, value]
        words_of_ebb = [ebb, "--verbose", "--log", "json", *plain, *options, "--"]
        if own_group:
            group = group_name(folder)
            if not group:
                raise Broken("no cgroup to be had")
            os.mkdir(group)
            before = ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh"]
        super().__init__("ebb", before + words_of_ebb + words, folder, env=env)

    def stop(self):
        """Sends TERM, waits for the end, and returns ebb's report with the time that the stop took, and that
        without what the service itself took after the stop signal."""
        time.sleep(self.respite)
        began = self.tell()
        code, ended = self.wait(60)
        events = self.events()
        if "released" not in events:
            raise Broken(f"no report: {self.complaints()[-500:]}")
        own = events.get("stopped", {}).get("seconds", 0)
        return {"report": events["released"], "exit": code, "stop": round(ended - began, 3),
                "began": events.get("draining", {}),
                "waited": round(ended - began - own, 3)}

    def tell(self):
        self.told = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        return self.told

    def events(self):
        """The last line of JSON of each event."""
        found = {}
        for line in self.complaints().splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if isinstance(fields, dict):
                found[fields.get("event")] = fields
        return found


def agrees(failed, report):
    """Whether the report says what clients saw. Nothing that it says was not measured can be wrong."""
    if "cut_requests" not in report:  # An ebb that does not count them: its resets have to tell.
        return failed == 0 or report.get("resets") != 0
    cut, undecided = report["cut_requests"], report.get("undecided") or 0
    return cut is None or 0 <= failed - cut <= undecided


def run_all(jobs, play, folder, side, told=print):
    """Plays (name, weight, ...) side by side, each in a process of its own, as many as their weights permit, and
    yields (job, result or None, what was wrong). One that broke is played once more."""
    waiting = [(job, 0) for job in jobs]
    running, number, done, total = {}, 0, 0, len(jobs)
    try:
        while waiting or running:
            load = sum(job.weight for job, _, _ in running.values())
            while waiting and (not running or load + waiting[0][0].weight <= side):
                job, tries = waiting.pop(0)
                number += 1
                path = f"{folder}/run-{number}"
                sys.stdout.flush()
                process = os.fork()
                if not process:
                    code = 1
                    try:
                        code = isolated(lambda place: play(job, place), path, job.seconds)
                    except BaseException as error:
                        print(f"{job.name}: {error!r}", file=sys.stderr, flush=True)
                    finally:
                        os._exit(code & 255)
                running[process] = (job, tries, path)
                load += job.weight
            process, _ = os.waitpid(-1, 0)
            if process not in running:
                continue
            job, tries, path = running.pop(process)
            if os.path.exists(path):
                with open(path) as file:
                    result = json.load(file)
                done += 1
                yield job, result, None
            else:
                why = "it took too long or was killed"
                if os.path.exists(f"{path}.error"):
                    with open(f"{path}.error") as file:
                        why = file.read()
                if tries < 1:
                    told(f"once more: {job.name}: {why}")
                    waiting.append((job, tries + 1))
                else:
                    done += 1
                    yield job, None, why
            leave(path)
    finally:
        for process in running:
            os.kill(process, signal.SIGKILL)
        for process in running:
            os.waitpid(process, 0)
        for _, _, path in running.values():
            leave(path)


def leave(path):
    """Takes away what a stage has left, once all of its processes have ended."""
    leave_groups(f"{path}.d")
    shutil.rmtree(f"{path}.d", ignore_errors=True)
