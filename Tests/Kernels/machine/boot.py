"""A guest: one kernel, one round trip, and what it says on its second serial port, a line of JSON a stop."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from . import image

# An emulated CPU is some ten times slower, and as slow as what else the host does. So the guest's clock counts
# instructions, a nanosecond each, and where all sleep it goes on at once: time there is as on a machine of its own,
# and seconds of waiting cost none.
CLOCK = ("-icount", "shift=0,sleep=off", "-rtc", "clock=vm")
# Emulated AVX and five levels of page tables would take half as long again. Without RDRAND a boot waits for entropy.
CPU = "Nehalem,+rdrand"
MEMORY = 1024  # MB
# A kernel that panics or that ends its first process reboots at once, which ends QEMU.
WORDS = "console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on"
# Seconds of the host's time that a boot and a stop may take.
TO_BOOT, TO_STOP = 120, 30


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Guest:
    def __init__(self, kernel, rtt, settings, options, base, cache):
        self.kernel, self.rtt, self.settings = kernel, rtt, settings
        self.options, self.base = options, base
        self.logs = f"{cache}/logs/{kernel.name}-{rtt:g}"
        self.name = f"{kernel.name}, {rtt:g} ms"
        self.stops, self.finished, self.read = [], False, 0

    def play(self, tests, show, stopping):
        """Boots it, shows what it says as it comes, and waits for its end, or ends it."""
        os.makedirs(self.logs, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="kernels-")
        try:
            path = f"{folder}/image"
            image.boot_image(
                self.kernel, self.base, self.options.ebb, tests, json.dumps(self.settings), f"{folder}/tree", path)
            self.run(path, show, stopping)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self

    def command(self, path):
        return [
            "qemu-system-x86_64", "-machine", "q35", "-cpu", CPU, "-accel", "tcg", *CLOCK, "-smp", "1",
            "-m", str(MEMORY), "-kernel", self.kernel.image, "-initrd", path, "-append", WORDS,
            "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
            "-serial", f"file:{self.logs}/console", "-serial", f"file:{self.logs}/stops.jsonl"]

    def run(self, path, show, stopping):
        for name in ("console", "stops.jsonl"):
            open(f"{self.logs}/{name}", "w").close()
        count = len(self.settings["cells"]) * (1 + self.settings["single"])
        end = time.monotonic() + (self.options.limit or TO_BOOT + TO_STOP * count)
        process = subprocess.Popen(
            self.command(path), stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, start_new_session=True)
        try:
            while process.poll() is None and time.monotonic() < end and not stopping.is_set():
                self.hear(show)
                time.sleep(1)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.hear(show)

    def hear(self, show):
        """What it has said since."""
        with open(f"{self.logs}/stops.jsonl", errors="replace") as file:
            file.seek(self.read)
            new = file.read()
            whole = new[:new.rfind("\n") + 1]
            self.read += len(whole.encode())
        for line in whole.splitlines():
            said = json.loads(line)
            if said["kind"] == "stop":
                self.stops.append(said)
            self.finished = self.finished or said["kind"] == "done"
            show(self, said)

    def complaint(self):
        """Why it has not finished, or None."""
        if self.finished:
            return None
        with open(f"{self.logs}/console", errors="replace") as file:
            return f"it did not finish; its console ends: {file.read()[-600:]!r}"
