"""The figures as a table for people, and one for programs."""
import csv
import datetime
import os
import platform
import re
import subprocess

TITLES = {
    "size": "Size",
    "rest": "At rest: memory, and wake-ups",
    "start": "Start and end, with a service that ends at once",
    "signal": "A signal, from kill(2) to the service's handler",
    "exit": "The end of the service, to that of the init",
    "reap": "Reaping 20,000 orphans (with --quick 2,000), as PID 1",
    "probe": "A probe",
    "sockets": "Socket tables: CPU of one question about one port, or all of them",
    "drain": "A stop with 10,000 open connections",
}
NOTES = {
    "size": "tini, dumb-init and s6 want a C library beside them (Debian's: 1.9 MB); the others, ebb among them, "
            "stand alone.",
    "rest": "Of the init, as PID 1 of a container, and not of its service, which listens. s6 is s6-svscan and "
            "s6-supervise together.\nPrivate_Dirty (/proc/PID/smaps_rollup): what no other process can share, nor the "
            "kernel let go of. PSS: what is shared is\nsplit among those who share it, pages of the program's file "
            "too; one dynamic program alone shares the C library with the\nrest of the machine. The work: 1,000 "
            "signals handed on, 1,000 orphans reaped, and for ebb 1,000 times `ebb ready`.",
    "start": "A static program as the service. Wall time, but for CPU, which is that of init and service together.",
    "signal": "dumb-init's service has a session of its own, which the scheduler wakes sooner (autogroup); so has "
              "ebb's, but under the names\ntini and catatonit.",
    "exit": "The service has run for 4 ms.",
    "reap": "Each ends by itself, 50 at a time; the time is mostly that of forking them.",
    "probe": "A service under ebb, which answers.",
    "sockets": "Half of the sockets are on the port. Written by the parts of `ports.py`, which says how.",
    "drain": "A service that ends at once when it is told to, and 500 requests that take another 0.2 s.",
}

# Where a ratio would compare what is not alike: questions of different kinds; a stop that waits, and one that does not.
WITHOUT_RATIO = ("sockets", "drain")


def machine():
    """The processor, how many, the kernel, and the day."""
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    name = re.sub(r"\((R|TM)\)", "", found[1]) if found else platform.machine()
    load = os.getloadavg()[0]
    return (f"{name}, {os.cpu_count()} processors, Linux {platform.release().split('-')[0]}, "
            f"{datetime.date.today().isoformat()}; load when it began {load:.1f}")


def versions(programs):
    """Debian's versions of the peers, in words."""
    files = {file: program.name for program in programs if program.is_peer for file in program.files[:1]}
    told = {}
    for file, name in files.items():
        owner = subprocess.run(["dpkg", "--search", file], capture_output=True, text=True).stdout.split(":")[0]
        asked = subprocess.run(
            ["dpkg-query", "--show", "--showformat", "${Version}", owner or "none"], capture_output=True, text=True)
        if owner and not asked.returncode:
            told[f"{owner} {asked.stdout}"] = None
    return ", ".join(told)


def number(value):
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def table(heads, lines):
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    text = "| " + " | ".join(heads) + " |\n|" + " --- |" + " ---: |" * (len(heads) - 1) + "\n"
    return text + "".join("| " + " | ".join(line) + " |\n" for line in lines)


def section_table(figures, section):
    mine = [one for one in figures.all if one.section == section]
    measures = list(dict.fromkeys(one.measure for one in mine))
    programs = list(dict.fromkeys(one.program for one in mine))
    units = {one.measure: one.unit for one in mine}
    values = {(one.program, one.measure): one for one in mine}
    heads, columns = [""], []
    for measure in measures:
        heads.append(f"{measure}, {units[measure]}")
        columns.append((measure, "median"))
        if any(one.measure == measure and one.p99 is not None for one in mine):
            heads.append("p99")
            columns.append((measure, "p99"))
        best = figures.best(section, measure)
        if best and best[0] > 0 and section not in WITHOUT_RATIO:
            heads.append("to the best peer")
            columns.append((measure, "ratio"))
    lines = []
    for program in programs:
        line = [f"**{program}**" if program.startswith("ebb") else program]
        for measure, what in columns:
            one = values.get((program, measure))
            if one is None:
                line.append("–")
            elif what == "ratio":
                line.append(f"{one.median / figures.best(section, measure)[0]:.2f}")
            else:
                line.append(number(getattr(one, what)))
        lines.append(line)
    return table(heads, lines)


def markdown(figures, limits, about):
    text = (
        "# ebb beside the others\n\nWritten by `sudo Tests/Benchmarks/peers.py`, which says how it is done: all "
        "in one run, in which the programs\ntake turns. Medians; p99 where there are a hundred and more of them; "
        f"the ratio to the best of the others.\n\n{about}\n")
    for section, title in TITLES.items():
        mine = [one for one in figures.all if one.section == section]
        if mine:
            counts = sorted({one.runs for one in mine if one.p99 is not None or section in ("reap", "drain")})
            runs = f" {', '.join(f'{count:,}' for count in counts)} of each." if counts else ""
            text += f"\n## {title}\n\n{NOTES.get(section, '')}{runs}".rstrip() + "\n\n"
            text += section_table(figures, section)
    text += "\n## Limits\n\nOf the other inits, against the best of those that stand alone as ebb does: " + (
        f"{' and '.join(limits.static_peers) or 'none is installed'}.\n\n") + table(
        ["", "value", "at most", ""],
        [[what, f"{value:.3f}", f"{limit:.3f}", "kept" if value <= limit else "**broken**"]
         for what, value, limit in limits.all])
    return text


def write_csv(figures, path):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["section", "measure", "program", "unit", "median", "p99", "runs", "to_best_peer"])
        for one in figures.all:
            best = figures.best(one.section, one.measure)
            ratio = f"{one.median / best[0]:.3f}" if best and best[0] > 0 else ""
            p99 = "" if one.p99 is None else f"{one.p99:.3f}"
            writer.writerow(
                [one.section, one.measure, one.program, one.unit, f"{one.median:.3f}", p99, one.runs, ratio])
