"""What the guests' stops come to, in a table, and the cells that broke a promise."""
import datetime

# The matrix judges the time that a stop takes as well; here it is only told.
UNJUDGED = "the stop took"
HEADS = (
    "kernel", "round trip", "stops", "requests", "in progress", "seen as busy", "undecided", "failed",
    "report agrees", "longest wait with all answered")


def faults(stop):
    if stop["broken"]:
        return [f"says nothing: {stop['broken']}"]
    return [fault for fault in stop["faults"] if not fault.startswith(UNJUDGED)]


def total(stops, field):
    return sum(stop.get(field) or 0 for stop in stops)


def row(guest):
    whole = [stop for stop in guest.stops if not stop["broken"]]
    held = max((stop["held"] for stop in whole), default=None)
    return [
        guest.kernel.version, f"{guest.rtt:g} ms", len(guest.stops),
        *(total(whole, field) for field in ("runs", "in_progress", "seen_busy", "undecided", "failed")),
        f"{total(whole, 'agrees')} of {len(guest.stops)}", "–" if held is None else f"{held:.2f} s"]


def table(heads, lines):
    text = "| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads) + "\n"
    return text + "".join("| " + " | ".join(str(each).replace("|", "/") for each in line) + " |\n" for line in lines)


def failing(guests):
    return [(guest, stop) for guest in guests for stop in guest.stops if faults(stop)]


def figures(guest, stop):
    """What the kernel told of the connections as TERM was sent."""
    lines = [f"{guest.name}: {stop['name']}, TERM {stop['moment'] * 1000:.0f} ms after the requests began"]
    lines += [f"  {fault}" for fault in stop["faults"]]
    lines += [f"  {failure}" for failure in dict.fromkeys(stop["failures"])]
    lines += [f"  {stop['began'].get('message')}", f"  {stop['report'].get('message')}"]
    seen = stop.get("seen") or {}
    for one in seen.get("proc", []):
        lines.append("  /proc/net/tcp: " + ", ".join(f"{name} {value}" for name, value in one.items()))
    lines += [f"  ss: {line.strip()}" for line in seen.get("ss", [])]
    return "\n".join(lines)


def cells(stops, tell):
    """A line a cell: where it was so, and what is told of it."""
    found = {}
    for guest, stop in stops:
        found.setdefault((stop["name"], stop.get("connections", "")), []).append(f"{guest.name}: {tell(stop)}")
    return [(*cell, "; ".join(told)) for cell, told in found.items()]


def section(title, lines, what):
    heads = ("cell", "connections", what)
    return f"\n## {title}\n\n" + (table(heads, lines) if lines else "None.\n")


def excused(guests):
    """Cut off, where ebb said that it could not tell, and had waited for as long as it says."""
    return [(guest, stop) for guest in guests for stop in guest.stops if not faults(stop) and stop["failed"]]


def slow(guests):
    return [
        (guest, stop) for guest in guests for stop in guest.stops
        if any(fault.startswith(UNJUDGED) for fault in stop.get("faults") or [])]


def markdown(guests, settings):
    connections, single = settings["connections"], settings["single"]
    text = (
        "# Requests in progress on other kernels\n\n"
        "Written by `Tests/Kernels/run`, which says how it is done. Of each cell a stop with "
        f"{connections} connections and {single} with one, seed {settings['seed']}, {datetime.date.today()}, "
        f"in Debian's kernels under QEMU{', stopped when all was answered' if settings['control'] else ''}.\n"
        "`seen as busy` is what ebb could tell at once; `undecided` it could not tell to the end, and gave 3 s.\n\n")
    text += table(HEADS, [row(guest) for guest in guests])
    bad = failing(guests)
    text += section("Broken promises", cells(bad, lambda stop: "; ".join(faults(stop))), "what")
    text += section("Cut off, said to be undecided", cells(excused(guests), lambda stop: (
        f"{stop['failed']} of {stop['runs']}, TERM after {stop['moment'] * 1000:.0f} ms")), "requests")
    text += section("Stops that took longer than the matrix allows (not judged)", cells(slow(guests), lambda stop: (
        f"{stop['held']:.2f} s with all answered")), "time")
    for guest in guests:
        if guest.complaint():
            text += f"\n{guest.name}: {guest.complaint()}\n"
    detailed = [figures(guest, stop) for guest, stop in bad if not stop["broken"]]
    if detailed:
        text += "\n## What the kernel told\n\n```\n" + "\n\n".join(detailed) + "\n```\n"
    text += "\n## All cells\n\n" + "".join(f"- {name}\n" for name in settings["cells"])
    return text
