"""Who is measured: ebb, under its own name and others', and the inits that people use."""
import dataclasses
import os
import shutil
import struct


@dataclasses.dataclass(frozen=True)
class Program:
    """An init, and how it is started."""

    name: str
    # The words before the service's own; empty: the service alone.
    words: tuple = ()
    # What has to be there for it, as files.
    files: tuple = ()
    is_peer: bool = False
    # Whether it runs a command and ends with it; s6-svscan supervises services that others name.
    runs_command: bool = True
    # The words that ask it, from within its container, whether its service is ready; empty: it cannot be asked.
    probe: tuple = ()

    @property
    def is_static_peer(self):
        """Whether it is another's, and stands alone as ebb does: whom ebb's limits are held against."""
        return self.is_peer and all(is_static(file) for file in self.files)


def is_static(file):
    """Whether an ELF file names no dynamic linker (PT_INTERP): 64 bits, little-endian, elf(5)."""
    with open(file, "rb") as opened:
        start, size, count = struct.unpack("<32xQ14xHH", opened.read(58))
        opened.seek(start)
        headers = opened.read(size * count)
    return all(struct.unpack_from("<I", headers, size * index)[0] != 3 for index in range(count))


BARE = Program("the command alone")
NAMES = ("tini", "dumb-init", "catatonit")


def ebb(file, name="ebb"):
    return Program(name, (file, "--"), (file,), probe=(file, "ready"))


def all_programs(options, folder):
    """ebb's forms, and the peers that are installed."""
    programs = [ebb(options.ebb)]
    if os.path.exists(options.glibc):
        programs.append(ebb(options.glibc, "ebb, glibc"))
    os.mkdir(f"{folder}/names")
    for name in NAMES:
        link = f"{folder}/names/{name}"
        os.symlink(options.ebb, link)
        words = (link, "-s", "--") if name == "tini" else (link, "--")
        programs.append(Program(f"ebb as {name}", words, (options.ebb,)))
    for name in ("tini", "tini-static", "dumb-init", "catatonit"):
        if path := shutil.which(name):
            # -s: a subreaper, as the others are; and without it tini has a warning to write.
            words = (path, "-s", "--") if name.startswith("tini") else (path, "--")
            programs.append(Program(name, words, (path,), is_peer=True))
    scan, supervise = shutil.which("s6-svscan"), shutil.which("s6-supervise")
    if scan and supervise:
        programs.append(Program("s6", (scan,), (scan, supervise), is_peer=True, runs_command=False))
    return programs


def started(program, service, folder):
    """The words that start it with this service. For s6 that is a folder with a service in it."""
    if program.runs_command:
        return [*program.words, *service]
    place = os.path.join(folder, f"s6-{len(os.listdir(folder))}")
    os.makedirs(f"{place}/service")
    with open(f"{place}/service/run", "w") as file:
        file.write("#!/bin/sh\nexec " + " ".join(service) + "\n")
    os.chmod(f"{place}/service/run", 0o755)
    return [*program.words, place]
