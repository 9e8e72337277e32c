"""The figures as pictures: bars of the inits, a panel a measure; curves of the socket tables."""
import math

from measures.drawing import TEXT, WIDTH, Drawing

OURS, THEIRS, FAINT = "#2f7d6b", "#b9c2c9", "#777"
# (section, measure, what the panel says, of which unit)
PANELS = (
    ("size", "size", "size of the program", "kB", 1000),
    ("rest", "wake-ups", "wake-ups at rest", "a second", 1),
    ("rest", "Private_Dirty", "memory at rest (Private_Dirty)", "kB", 1),
    ("rest", "Private_Dirty after the work", "the same after signals, orphans, probes", "kB", 1),
    ("rest", "PSS", "memory at rest (PSS)", "kB", 1),
    ("rest", "PSS after the work", "the same after signals, orphans, probes", "kB", 1),
    ("start", "start and end, over the command alone", "start and end, over the command alone", "µs", 1),
    ("signal", "signal to handler", "signal to the service's handler", "µs", 1),
    ("exit", "child's exit to exit", "end of the service to end of the init", "µs", 1),
    ("reap", "the init's CPU", "CPU to reap 20,000 orphans", "ms", 1),
    ("probe", "time", "a probe", "µs", 1),
)
# Sections whose programs are the inits themselves, in this order.
SHOWN = ("ebb", "tini-static", "tini", "dumb-init", "catatonit", "s6")
# Those that need a C library beside them.
DYNAMIC = ("tini", "dumb-init", "s6")
PROBES = ("ebb ready", "ebb live", "connect, a static C program", "nc -z", "ss -Htln | grep", "curl, the service")
ROW, HEAD, COLUMNS, MARGIN, NAME, VALUE = 19, 40, 2, 16, 92, 62


def number(value):
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def panel_rows(figures, section, measure):
    names = PROBES if section == "probe" else SHOWN
    rows = [(name, figures.get(section, measure, name)) for name in names]
    return [(name, value) for name, value in rows if value is not None]


def bars(figures, about):
    """The inits side by side; nothing where too little was measured."""
    panels = [(*panel, rows) for panel in PANELS if len(rows := panel_rows(figures, *panel[:2])) > 1]
    if not panels:
        return None
    wide = (WIDTH - MARGIN * (COLUMNS + 1)) / COLUMNS
    lines = [panels[index:index + COLUMNS] for index in range(0, len(panels), COLUMNS)]
    heights = [HEAD + ROW * max(len(panel[-1]) for panel in line) + 10 for line in lines]
    drawing = Drawing(44 + sum(heights) + 8)
    drawing.text(MARGIN, 24, "ebb beside the inits that people use: less is better", weight="bold", size=15)
    drawing.text(MARGIN, 42, about, FAINT, size=11)
    top = 44
    for line, height in zip(lines, heights):
        for column, (section, _, title, unit, divisor, rows) in enumerate(line):
            left = MARGIN + column * (wide + MARGIN)
            name_width = 176 if section == "probe" else NAME
            drawing.text(left, top + 28, f"{title}, {unit}", weight="bold")
            most = max(value for _, value in rows) or 1
            room = wide - name_width - VALUE
            for index, (name, value) in enumerate(rows):
                y = top + HEAD + index * ROW
                ours = name.startswith("ebb")
                drawing.text(left + name_width - 8, y + 11, name, anchor="end", weight="bold" if ours else "normal")
                drawing.bar(left + name_width, y, room * value / most, 14, OURS if ours else THEIRS)
                library = " + C library" if section == "size" and name in DYNAMIC else ""
                drawing.text(
                    left + name_width + max(room * value / most, 1) + 6, y + 11, number(value / divisor) + library,
                    TEXT if ours else FAINT, size=11)
        top += height
    return drawing.whole()


def curves(figures, sizes, about):
    """CPU of a question by the number of sockets, both axes logarithmic."""
    names = [name for name in (
        "ebb", "ebb --quiet --listening", "ebb sockets", "ss -Htan", "netstat | awk", "ss -Htanp", "lsof", "fuser")
        if figures.get("sockets", f"{sizes[-1]:,} sockets", name) is not None]
    if not names or len(sizes) < 2:
        return None
    height, left, right, top, bottom = 400, 64, 230, 60, 44
    drawing = Drawing(height)
    drawing.text(MARGIN, 24, "Who holds the port? CPU of one question, by the number of sockets", weight="bold", size=15)
    drawing.text(MARGIN, 42, about, FAINT, size=11)
    values = {name: [figures.get("sockets", f"{size:,} sockets", name) for size in sizes] for name in names}
    low = math.floor(math.log10(min(min(some) for some in values.values())))
    high = math.ceil(math.log10(max(max(some) for some in values.values())))

    def x(size):
        share = math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])
        return left + share * (WIDTH - left - right)

    def y(value):
        return height - bottom - (math.log10(value) - low) / (high - low) * (height - bottom - top)

    for power in range(low, high + 1):
        drawing.path([(left, y(10 ** power)), (WIDTH - right, y(10 ** power))], "#e4e7ea")
        label = f"{10 ** power:,} ms" if power >= 0 else f"{10 ** power:.{-power}f} ms"
        drawing.text(left - 8, y(10 ** power) + 4, label, FAINT, "end", size=11)
    for size in sizes:
        drawing.text(x(size), height - bottom + 18, f"{size:,}", FAINT, "middle", size=11)
    drawing.text((left + WIDTH - right) / 2, height - 8, "TCP sockets in the network namespace", FAINT, "middle", size=11)
    # The names stand beside the last points, and not upon each other.
    place = None
    for name in sorted(names, key=lambda name: values[name][-1]):
        ours = name.startswith("ebb")
        color = OURS if ours else "#8a949c"
        points = [(x(size), y(value)) for size, value in zip(sizes, values[name])]
        drawing.path(points, color, 2 if ours else 1.3)
        for point in points:
            drawing.dot(*point, color)
        place = points[-1][1] if place is None else min(points[-1][1], place - 16)
        said = "ebb port" if name == "ebb" else "ebb port --listening" if "--listening" in name else name
        drawing.text(
            points[-1][0] + 12, place + 4, f"{said}: {number(values[name][-1])} ms", OURS if ours else TEXT,
            weight="bold" if ours else "normal")
    return drawing.whole()
