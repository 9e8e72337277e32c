#!/usr/bin/env python3
"""ebb beside tini, dumb-init, catatonit and s6, and beside ss, lsof, fuser, netstat and curl: what each costs.

    swift build -c release
    swift build -c release --product ebb --scratch-path .build/musl --experimental-lto-mode full \\
        --toolset docker/musl/toolset.json
    sudo Tests/Benchmarks/peers.py

All in one run, in which the programs take turns, so that whatever else the machine does hits all of them; in
network and process namespaces of its own. `ebb` is the one linked with musl, which is released. Sections (--only):

    size      the bytes of the programs
    rest      as PID 1 with a service that rests: memory, at rest and after 1,000 signals, orphans and probes; wake-ups
              (voluntary switches) in 10 s
    start     from the start of the init to its end, with a service that ends at once
    signal    from kill(2) to the handler of the service; and the init's CPU for it
    exit      from the end of the service to that of the init
    reap      20,000 orphans: the init's CPU, and time
    probe     `ebb ready` and others, beside a static C program that only connects
    sockets   200, 20,000 and 100,000 sockets (the parts of ports.py)
    drain     a stop with 10,000 open connections

The programs that take the times are in C (measures/). Needs root, gcc, and the peers: Debian's tini, dumb-init,
catatonit, s6, iproute2, lsof, psmisc, net-tools, netcat-openbsd, curl; what is not there is left out. Some eight
minutes, with --quick one or two; `--only size,rest,start,signal,exit` has what is held against other inits.

Written to --out: peers.csv, peers.md, peers.svg, sockets.svg. Exit code 1: a limit is broken, each is named.
"""
import argparse
import os
import sys
import tempfile
import time

from measures import connections, life, limits, picture, probes, programs, report, rest, size, tables
from measures.figures import Figures
from measures.helpers import Helpers, in_own_namespaces

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECTIONS = {
    "size": size.measure,
    "rest": rest.measure,
    "start": life.start,
    "signal": life.signals,
    "exit": life.end,
    "reap": life.reap,
    "probe": probes.measure,
    "sockets": tables.measure,
    "drain": connections.measure,
}


class Context:
    """What every section is given."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.helpers = Helpers(folder)
        self.programs = programs.all_programs(options, folder)
        self.orphans = 2000 if options.quick else 20000
        self.sizes = [200, 5000] if options.quick else [200, 20000, 100000]
        self.port_promises = []

    def rounds(self, count):
        """So many, or a tenth of them."""
        return max(1, count // 10) if self.options.quick else count


def run(options):
    about = report.machine()
    figures, promises = Figures(), []
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        os.chmod(folder, 0o755)
        context = Context(options, folder)
        peers = report.versions(context.programs)
        for name in options.only:
            began = time.monotonic()
            figures.add(SECTIONS[name](context))
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        promises = context.port_promises
        sizes = context.sizes
        static_peers = [one.name for one in context.programs if one.is_static_peer]
    kept = limits.Limits(figures, static_peers, promises)
    text = report.markdown(figures, kept, f"{about}.\nPeers: {peers}.")
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        report.write_csv(figures, f"{options.out}/peers.csv")
        drawings = {
            "peers.md": text,
            "peers.svg": picture.bars(figures, about),
            "sockets.svg": picture.curves(figures, sizes, about),
        }
        for name, written in drawings.items():
            if written:
                with open(f"{options.out}/{name}", "w") as file:
                    file.write(written)
    print("\n".join(["", text.split("\n## Limits")[0], *kept.lines()]))
    return 0 if kept.are_kept else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebb", default=f"{ROOT}/.build/musl/release/ebb", help="the one that is released")
    parser.add_argument("--glibc", default=f"{ROOT}/.build/release/ebb", help="the plain build")
    parser.add_argument("--tide", default=f"{ROOT}/.build/release/tide", help="the service of probe and drain")
    parser.add_argument("--out", help="where to write (Tests/Benchmarks/results; with --only or --quick nowhere)")
    parser.add_argument("--only", help="sections, such as start,signal")
    parser.add_argument("--quick", action="store_true", help="few rounds and few sockets: to try it, not to cite it")
    options = parser.parse_args()
    if not options.out and not options.only and not options.quick:
        options.out = f"{ROOT}/Tests/Benchmarks/results"
    options.only = options.only.split(",") if options.only else list(SECTIONS)
    for name in options.only:
        if name not in SECTIONS:
            parser.error(f"no section {name}: {', '.join(SECTIONS)}")
    # The plain build and tide are compared, and serve, in some sections alone.
    needed = [options.ebb]
    if not {"probe", "drain"}.isdisjoint(options.only):
        needed += [options.glibc, options.tide]
    for file in needed:
        if not os.access(file, os.X_OK):
            parser.error(f"{file} is not there: see the top of this file for how it is built")
    options.ebb, options.glibc, options.tide = map(os.path.abspath, (options.ebb, options.glibc, options.tide))

    return in_own_namespaces(run, options)


if __name__ == "__main__":
    sys.exit(main())
