"""What the runs come to: requests.csv, a line a row, and requests.md, what is broken first."""
import collections
import csv
import statistics

from .cells import CLIENTS, DIMENSIONS, IDLE

PARTS = {
    "matrix": "Requests in progress",
    "clients": "Real clients",
    "idle": "Idle connections",
    "special": "Other protocols and corners",
}


def sum_up(results):
    """A row for all stops of the same name."""
    rows = collections.defaultdict(list)
    for result in results:
        rows[result["part"], result["name"]].append(result)
    return [row(part, name, stops) for (part, name), stops in rows.items()]


def row(part, name, stops):
    whole = [stop for stop in stops if not stop["broken"]]
    times = [stop["waited"] for stop in whole]
    reports = [stop["report"] for stop in whole]
    return {
        "part": part, "name": name,
        **{field: stops[0].get(field) for field in {**DIMENSIONS, **IDLE, **CLIENTS}},
        "stops": len(stops), "broken": len(stops) - len(whole),
        **{field: sum(stop[field] for stop in whole) for field in ("runs", "failed", "undecided")},
        "in_progress": sum(stop.get("in_progress") or 0 for stop in whole),
        "seen_busy": sum(stop.get("seen_busy") or 0 for stop in whole),
        "cut_requests": total(reports, "cut_requests"),
        "resets": total(reports, "resets"),
        "agrees": sum(stop["agrees"] for stop in whole),
        "stop_median_s": round(statistics.median(times), 3) if times else None,
        "stop_max_s": max(times, default=None),
        "with_service_max_s": max((stop["stop"] for stop in whole), default=None),
        "held_max_s": max((stop["held"] for stop in whole if "held" in stop), default=None),
        "faults": "; ".join(dict.fromkeys(faults(stops))),
    }


def faults(stops):
    for stop in stops:
        yield from stop.get("faults") or ([f"says nothing: {stop['broken']}"] if stop["broken"] else [])
    bound = stops[0].get("median")
    times = [stop["waited"] for stop in stops if "waited" in stop]
    if bound and times and statistics.median(times) > bound:
        yield f"a stop takes {statistics.median(times):.2f} s, {bound:g} s are promised"


def total(reports, field):
    """None where one of them did not measure it."""
    values = [report.get(field) for report in reports]
    return None if None in values else sum(values)


def write_csv(rows, path):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def table(heads, lines):
    text = "| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads) + "\n"
    return text + "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def seconds(value):
    return "–" if value is None else f"{value:.2f} s"


def counts(rows):
    """The figures of some rows, in words."""
    stops, agree = sum(row["stops"] for row in rows), sum(row["agrees"] for row in rows)
    times = [row["stop_median_s"] for row in rows if row["stop_median_s"] is not None]
    busy = [f"{sum(row['seen_busy'] for row in rows)} of {sum(row['in_progress'] for row in rows)}"]
    return [
        *(busy if rows[0]["part"] == "matrix" else []),
        f"{sum(row['failed'] for row in rows)} of {sum(row['runs'] for row in rows)}",
        sum(row["undecided"] for row in rows), f"{agree} of {stops}",
        seconds(statistics.median(times) if times else None),
        seconds(max((row["stop_max_s"] for row in rows if row["stop_max_s"] is not None), default=None))]


HEADS = ["failed", "undecided", "report agrees", "stop, median", "stop, longest"]
# How many of the requests in progress ebb took for such as the stop began.
MATRIX_HEADS = ["seen as busy", *HEADS]


def markdown(rows, seed):
    bad = [row for row in rows if row["faults"]]
    text = (
        "# Requests in progress, and idle connections\n\n"
        "Written by `Tests/Benchmarks/requests.py`, which says how it is done. "
        f"{sum(row['stops'] for row in rows):,} stops of {len(rows)} kinds, seed {seed}; "
        f"{sum(row['runs'] for row in rows):,} connections.\nA stop lasts from TERM to the end of ebb, less what the "
        "service takes to end once it is told (a JVM's 0.3 s).\n\n## What is broken\n\n")
    text += table(["", "failed", "stop", "what"], [
        [row["name"], f"{row['failed']} of {row['runs']}", seconds(row["stop_max_s"]), row["faults"].replace("|", "/")]
        for row in bad]) if bad else "Nothing.\n"
    for part, title in PARTS.items():
        mine = [row for row in rows if row["part"] == part]
        if not mine:
            continue
        heads = MATRIX_HEADS if part == "matrix" else HEADS
        text += f"\n## {title}\n\n" + table(["", *heads], [["all of them", *counts(mine)]])
        for field, values in ({"matrix": DIMENSIONS, "idle": IDLE, "clients": CLIENTS}.get(part) or {}).items():
            lines = [
                [value, *counts(some)] for value in values if (some := [row for row in mine if row[field] == value])]
            text += f"\n### By {field}\n\n" + table([field, *heads], lines)
        text += "\n### Each\n\n" + table(["", *heads], [[row["name"], *counts([row])] for row in mine])
    return text


def write(results, folder, seed):
    rows = sum_up(results)
    if rows:
        write_csv(rows, f"{folder}/requests.csv")
        with open(f"{folder}/requests.md", "w") as file:
            file.write(markdown(rows, seed))
    return rows
