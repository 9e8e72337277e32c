"""Where a life is lived: namespaces of its own (pid, network, mounts) with ebb in them, as PID 1 or beside one.

The process that makes a Stage is not in its pid namespace, but each of its children is, with no parent there: like
what `docker exec` starts. Nothing here is ended by name, and nothing outlives its Stage.
"""
import ctypes
import fcntl
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess

import wallclock

PORT, PAGES = 8080, 8081  # The service's, and ebb's own.
ROOT = pathlib.Path(__file__).resolve().parents[2]
REPORTS = 9  # The descriptor that service.c writes to.
_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def binary():
    """The ebb that is tested, where nothing else is said."""
    return os.environ.get("EBB_BINARY") or str(ROOT / ".build/release/ebb")


def drain(descriptor):
    """What there is to read now."""
    taken = b""
    try:
        while some := os.read(descriptor, 65536):
            taken += some
    except BlockingIOError:
        pass
    return taken


def compile_service(folder):
    """service.c, static and so quick to start; its path."""
    program = os.path.join(folder, "service")
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-static", "-Wall", "-o", program,
                    str(pathlib.Path(__file__).with_name("service.c"))], check=True)
    return program


class Exec:
    """A process that somebody starts beside the service: a probe, a hook, a client."""

    def __init__(self, stage, words, inside=None):
        self.words = words
        self.status = None
        self.output = b""
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                die_with_parent()
                os.dup2(stage.null, 0)
                os.dup2(writing, 1)
                os.dup2(stage.null if inside is None else inside, 2)
                give(stage.reports_writing, REPORTS)
                reset_signals()
                os.execv(words[0], words)
            finally:
                os._exit(94)
        os.close(writing)
        os.set_blocking(reading, False)
        self.descriptor = reading

    def poll(self):
        """Its wait status once it has ended, with all that it printed in `output`."""
        while True:
            try:
                some = os.read(self.descriptor, 65536)
            except BlockingIOError:
                break
            if not some:
                break
            self.output += some
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                return self.poll()
        return self.status

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            _, self.status = os.waitpid(self.pid, 0)


def give(descriptor, place):
    """Leaves a descriptor to what is executed next, in its place, which it may have already."""
    os.dup2(descriptor, place)
    os.set_inheritable(place, True)


def reset_signals():
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Stage:
    """Makes the namespaces, once in a process, and runs ebb in them."""

    def __init__(self, service):
        self.service = service
        # What this process's own /proc says of those in the namespace, by the numbers that it knows them by.
        self.outer = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        self.null = os.open("/dev/null", os.O_RDWR)
        check(_libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID))
        check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1 | 0x40))  # SIOCSIFFLAGS: UP, RUNNING
        self.errors, self.errors_writing = os.pipe()
        self.reports, self.reports_writing = os.pipe()
        for descriptor in (self.errors, self.reports):
            os.set_blocking(descriptor, False)
        self.first = None  # PID 1, by our number of it
        self.ebb = None
        self.status = None  # How ebb ended
        self.is_init = True
        self.waited = 0  # For a processor, in its whole life, in seconds

    def start(self, words, is_init=True, environment=None, limits=(), user=0, errors="read", groups=(), space=None,
              clock=None):
        """Starts PID 1: ebb with these words, or a small init that starts ebb as its child; in these control
        groups, and ebb with so many kB of address space and this wall clock."""
        self.is_init = is_init
        self.program = os.path.realpath(words[0])
        command = words
        if space is not None:
            command = [self.service, "within", str(space), *command]
        if clock:
            command = [self.service, "clocked", str(wallclock.SOCKET), *command]
        if not is_init:
            command = [self.service, "init", *command]
        environment = {"PATH": "/usr/bin:/bin", **(environment or {})}
        self.first = os.fork()
        if self.first == 0:
            try:
                os.setsid()
                die_with_parent()
                check(_libc.mount(b"proc", b"/proc", b"proc", 0, None))
                os.chdir("/")
                os.dup2(self.null, 0)
                os.dup2(self.null, 1)
                os.dup2(self.errors_writing, 2)
                give(self.reports_writing, REPORTS)
                if clock:
                    give(clock.theirs.fileno(), wallclock.SOCKET)
                if errors == "closed":
                    os.close(2)
                reset_signals()
                for group in groups:
                    group.enter()
                if user:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                    die_with_parent()
                for which, limit in limits:
                    resource.setrlimit(which, (limit, limit))
                os.execve(command[0], command, environment)
            finally:
                os._exit(93)
        if clock:
            clock.theirs.close()
        self.ebb = self.first if is_init else None  # else: found once it is executed

    def find_ebb(self):
        """ebb's number, where it is not PID 1: the first of PID 1's children, the others are orphans."""
        if self.ebb is None:
            for child in self.children(self.first):
                # Until its exec it is a copy of the init.
                if self.link(child) == self.program:
                    self.ebb = child
        return self.ebb

    def link(self, pid):
        try:
            return os.readlink(f"{pid}/exe", dir_fd=self.outer)
        except OSError:
            return None

    def text(self, pid, name):
        """A file of /proc/PID; None where that is gone."""
        try:
            descriptor = os.open(f"{pid}/{name}", os.O_RDONLY, dir_fd=self.outer)
        except OSError:
            return None
        try:
            return os.read(descriptor, 65536).decode(errors="replace")
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def children(self, pid):
        return [int(word) for word in (self.text(pid, f"task/{pid}/children") or "").split()]

    def descriptors(self, pid):
        try:
            folder = os.open(f"{pid}/fd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.outer)
        except OSError:
            return None
        try:
            return len(os.listdir(folder))
        except OSError:
            return None
        finally:
            os.close(folder)

    def memory(self, pid, which=("VmHWM",)):
        """Sizes in kB from /proc/PID/status; None for a process that is gone."""
        found = {}
        for line in (self.text(pid, "status") or "").splitlines():
            name, _, value = line.partition(":")
            if name in which:
                found[name] = int(value.split()[0])
        return found if len(found) == len(which) else None

    def fields(self, pid):
        """/proc/PID/stat from the state on; None for a process that is gone."""
        text = self.text(pid, "stat")
        return text.rsplit(")", 1)[1].split() if text else None

    def ticks(self, pid):
        """The CPU time that it has used, in seconds."""
        fields = self.fields(pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else None

    def crowd(self):
        """How many would run now, for each processor."""
        with open("loadavg", opener=lambda name, flags: os.open(name, flags, dir_fd=self.outer)) as file:
            return int(file.read().split()[3].split("/")[0]) / (os.cpu_count() or 1)

    def delay(self, pid):
        """The time for which it could have run and did not, for want of a processor, in seconds."""
        text = self.text(pid, "schedstat")
        return int(text.split()[1]) / 1e9 if text else None

    def is_over(self):
        """Whether ebb has ended, its status then in `status`. (Where it is not PID 1 that is told in a report.)"""
        if self.is_init and self.status is None:
            # While nobody has waited for it, what it waited for can be read.
            if os.waitid(os.P_PID, self.first, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self.waited = self.delay(self.first) or 0
                _, self.status = os.waitpid(self.first, 0)
        return self.status is not None

    def has_lost_its_init(self):
        """Whether PID 1, where it is not ebb, is gone, and all with it: nothing is known of ebb then."""
        return not self.is_init and os.waitid(os.P_PID, self.first, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def note_end(self, pid, status):
        """Somebody else has waited for it."""
        if self.is_init and pid == self.first:
            self.status = status

    def descendants(self, pid):
        found, new = [], [pid]
        while new:
            found += new
            new = [child for parent in new for child in self.children(parent)]
        return found

    def end(self):
        """Ends what is left: with its PID 1 the whole namespace goes."""
        if self.first and (self.status is None or not self.is_init):
            try:
                os.kill(self.first, signal.SIGKILL)
                os.waitpid(self.first, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
