"""Control groups of a life's own, beside the one that the driver is in: v2's freezer, and the limits of pids and
memory from v2 or from v1, whichever has them. Nothing is enabled that is not there."""
import contextlib
import ctypes
import os
import pathlib
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
LIMITS = {"pids": ("pids.max", "pids.max"), "memory": ("memory.max", "memory.limit_in_bytes")}


def mounts():
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            if kind.startswith("cgroup") and os.access(before.split()[4], os.W_OK):
                yield kind, pathlib.Path(before.split()[4]), options.split(",")


@contextlib.contextmanager
def places():
    """Where each kind of group can be made: {"freeze": folder, "pids": …, "memory": …}, without those that cannot."""
    found, own = {}, None
    for kind, folder, options in mounts():
        if kind == "cgroup2":
            if not os.statvfs(folder).f_flag & os.ST_RDONLY:
                found["freeze"] = folder
                for name in (folder / "cgroup.subtree_control").read_text().split():
                    found[name] = folder
        else:
            for name in options:
                found.setdefault(name, folder)
    if "freeze" not in found:
        # Nobody has mounted it: here, for this process and its children alone.
        own = tempfile.mkdtemp(prefix="ebb-cgroup-")
        if (_libc.unshare(CLONE_NEWNS) == 0 and _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
                and _libc.mount(b"cgroup2", own.encode(), b"cgroup2", 0, None) == 0):
            found["freeze"] = pathlib.Path(own)
    try:
        yield {name: folder for name, folder in found.items() if name in ("freeze", *LIMITS)}
    finally:
        if own:
            _libc.umount2(own.encode(), 0)
            os.rmdir(own)


class Group:
    """One group; OSError where it cannot be made."""

    def __init__(self, folder, limits=()):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name, value in limits:
            file = next(self.folder / file for file in LIMITS[name] if (self.folder / file).exists())
            file.write_text(str(value))

    def enter(self, pid=0):
        """Moves a process into it, or the one that calls."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def freeze(self, frozen=True):
        (self.folder / "cgroup.freeze").write_text("1" if frozen else "0")

    def end(self):
        """Ends what is in it, where it can, and takes it away."""
        kill = self.folder / "cgroup.kill"
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                if kill.exists():
                    kill.write_text("1")
                self.folder.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


def sweep(places, prefix):
    """What lives have left behind that were interrupted."""
    for folder in set(places.values()):
        for left in folder.glob(prefix + "*"):
            Group(left).end()
