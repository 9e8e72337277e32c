"""A wall clock of one process alone, that can be set at any time: hours back, or into another century.

No namespace has a CLOCK_REALTIME of its own, and the machine's is not ours to set. But a program asks libc, libc asks
the kernel's own code in its memory (vdso(7)), and a page of that which a debugger writes to is from then on this
process's alone. So the code of clock_gettime(2) there is replaced once by one that makes the real system call and
adds a number of seconds, for CLOCK_REALTIME only; what is added is changed by writing that number. CLOCK_MONOTONIC
stays the machine's. Children are executed anew and have the clock of all others.
"""
import ctypes
import os
import platform
import struct

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, PTRACE_GETREGS = 0x4206, 0x4207, 17, 12
RIP = 16  # Its place in user_regs_struct.
WALL = 0x40000000
# x86-64. Where it is long enough for the kernel's own code to hold it, and on 8 bytes at its end.
CODE = bytes.fromhex(
    "b8e4000000"      # mov eax, 228 (clock_gettime)
    "0f05"            # syscall
    "85ff" "750e"     # not CLOCK_REALTIME: return
    "85c0" "750a"     # an error: return
    "488b150a000000"  # mov rdx, [the seconds]
    "480116"          # add [rsi], rdx
    "c3"
).ljust(32, b"\x90")
SECONDS = len(CODE)

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
    """How far into it clock_gettime is: as far as in this process. None on other machines than this code is for."""
    if platform.machine() != "x86_64":
        return None
    function = ctypes.cast(ctypes.CDLL("linux-vdso.so.1").__vdso_clock_gettime, ctypes.c_void_p).value
    with open("/proc/self/maps") as file:
        return function - part_of_memory(file.read()).start


PLACE = place()  # Now: /proc is another one on a Stage.


class WallClock:
    """The clock of a process that has been executed already. OSError where it has ended meanwhile."""

    def __init__(self, stage, pid):
        kernels = part_of_memory(stage.text(pid, "maps") or "")
        self.address = kernels.start + PLACE
        ptrace(PTRACE_SEIZE, pid)
        ptrace(PTRACE_INTERRUPT, pid)
        while True:
            _, status = os.waitpid(pid, WALL)
            if not os.WIFSTOPPED(status):
                stage.note_end(pid, status)
                raise OSError(f"{pid} has ended")
            # A signal that it is about to get is left to it; a stop by us is none.
            number = os.WSTOPSIG(status) if status >> 16 == 0 else 0
            registers = (ctypes.c_ulonglong * 27)()
            ptrace(PTRACE_GETREGS, pid, registers)
            is_there = registers[RIP] in kernels
            if not is_there:
                self.memory = os.open(f"{pid}/mem", os.O_RDWR | os.O_CLOEXEC, dir_fd=stage.outer)
                os.pwrite(self.memory, CODE + bytes(8), self.address)
            ptrace(PTRACE_DETACH, pid, number)
            if not is_there:
                break
            # In the middle of what would be replaced: a moment later it is not.
            ptrace(PTRACE_SEIZE, pid)
            ptrace(PTRACE_INTERRUPT, pid)

    def set(self, seconds):
        """From now on it shows the time so many seconds from now."""
        os.pwrite(self.memory, struct.pack("q", seconds), self.address + SECONDS)
