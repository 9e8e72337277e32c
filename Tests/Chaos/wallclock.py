"""A wall clock of ebb's own, that can be set at any time: hours back, or into another century.

No namespace has a CLOCK_REALTIME of its own, and the machine's is not ours to set. So a filter of seccomp(2) hands
ebb's clock_gettime(CLOCK_REALTIME) to this process, which answers in the kernel's place; CLOCK_MONOTONIC stays the
machine's. What a libc asks of the kernel's own code in its memory, vdso(7), is no system call: so that code is made one
in ebb's memory, by what a debugger writes there.
"""
import ctypes
import fcntl
import mmap
import os
import platform
import select
import signal
import socket
import struct
import time

SOCKET = 10  # The descriptor on which `service clocked` hands over the filter's.
RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, PTRACE_GETREGS = 0x4206, 0x4207, 17, 12
RIP = 16  # Its place in user_regs_struct.
WALL = 0x40000000
PR_SET_PDEATHSIG = 1
CODE = bytes.fromhex("b8e4000000" "0f05" "c3")  # mov eax, 228 (clock_gettime); syscall; ret

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, data=None):
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def part_of_memory(maps):
    """Where the kernel's code is, by the text of /proc/PID/maps."""
    for line in maps.splitlines():
        if line.endswith("[vdso]"):
            first, last = line.split()[0].split("-")
            return range(int(first, 16), int(last, 16))
    raise OSError("no vdso")


def place():
    """How far into it clock_gettime is: as far as in this process. None on other machines than CODE is for."""
    if platform.machine() != "x86_64":
        return None
    function = ctypes.cast(ctypes.CDLL("linux-vdso.so.1").__vdso_clock_gettime, ctypes.c_void_p).value
    with open("/proc/self/maps") as file:
        return function - part_of_memory(file.read()).start


PLACE = place()  # Now: /proc is another one on a Stage.


class WallClock:
    """The clock of what is executed by `service clocked`, and of its children.

    A process of its own answers, and is made before the Stage: that has another process namespace for all children.
    """

    def __init__(self):
        self.mine, self.theirs = socket.socketpair()
        self.offset = mmap.mmap(-1, 8)
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.told = b""
        self.served = {}  # Every time that it has shown, in milliseconds, and what had been added to that.
        self.is_here = False  # Whether the kernel has given a filter
        self.caught = None  # From when on there is no other clock
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                self.theirs.close()
                self.answer_all()
            finally:
                os._exit(0)

    def set(self, seconds):
        """From now on it shows the time so many seconds from now."""
        self.offset[:] = struct.pack("q", seconds)

    def answer_all(self):
        """Shows the time, until the last of them has ended."""
        _, descriptors, _, _ = socket.recv_fds(self.mine, 1, 1)
        if not descriptors:
            return
        os.write(self.writing, struct.pack("qq", -1, 0))
        requests = select.poll()
        requests.register(descriptors[0], select.POLLIN)
        while not requests.poll()[0][1] & select.POLLHUP:
            try:
                self.answer(descriptors[0])
            except OSError:
                continue  # It has ended, or was stopped, and asks again.

    def answer(self, descriptor):
        request = bytearray(80)
        fcntl.ioctl(descriptor, RECEIVE, request)
        identity, pid, _, _, _, _, _, address = struct.unpack_from("QIIiIQQQ", request)
        offset, = struct.unpack("q", self.offset[:])
        now = time.clock_gettime_ns(time.CLOCK_REALTIME)
        seconds, nanoseconds = now // 1_000_000_000 + offset, now % 1_000_000_000
        os.write(self.writing, struct.pack("qq", max(0, seconds * 1000 + nanoseconds // 1_000_000), offset))
        memory = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(memory, struct.pack("qq", seconds, nanoseconds), address)
        finally:
            os.close(memory)
        fcntl.ioctl(descriptor, SEND, struct.pack("QqiI", identity, 0, 0, 0))

    def look(self):
        """Takes in what it has shown."""
        try:
            self.told += os.read(self.reading, 65536)
        except BlockingIOError:
            return
        whole = len(self.told) // 16 * 16
        for milliseconds, offset in struct.iter_unpack("qq", self.told[:whole]):
            self.is_here = True
            if milliseconds >= 0:
                self.served[milliseconds] = offset
        self.told = self.told[whole:]

    def end(self):
        """Ends it, once nobody asks any more."""
        self.look()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def catch(self, stage, pid):
        """Has the kernel's code in its memory make the system call. OSError where it has ended meanwhile."""
        if PLACE is not None:
            kernels = part_of_memory(stage.text(pid, "maps") or "")
            while self.caught is None:
                self.attach(stage, pid, kernels)

    def attach(self, stage, pid, kernels):
        ptrace(PTRACE_SEIZE, pid)
        ptrace(PTRACE_INTERRUPT, pid)
        _, status = os.waitpid(pid, WALL)
        if not os.WIFSTOPPED(status):
            stage.note_end(pid, status)
            raise OSError(f"{pid} has ended")
        # A signal that it is about to get is left to it; a stop by us is none.
        number = os.WSTOPSIG(status) if status >> 16 == 0 else 0
        registers = (ctypes.c_ulonglong * 27)()
        ptrace(PTRACE_GETREGS, pid, registers)
        # Not in the middle of what is replaced: a moment later it is elsewhere.
        if registers[RIP] not in kernels:
            memory = os.open(f"{pid}/mem", os.O_RDWR | os.O_CLOEXEC, dir_fd=stage.outer)
            os.pwrite(memory, CODE, kernels.start + PLACE)
            os.close(memory)
            self.caught = time.time()
        ptrace(PTRACE_DETACH, pid, number)
