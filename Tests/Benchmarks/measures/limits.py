"""What ebb promises beside the others. Each is a name, a value, and the most that it may be."""


def size(figures, limits):
    limits.ratio("the musl binary to tini-static", figures.get("size", "size", "ebb"),
                 figures.get("size", "size", "tini-static"), 1 / 3)


def rest(figures, limits):
    for how in ("one", "each of 10"):
        measure = f"proportional, {how}"
        limits.ratio(f"PSS at rest, {how}, to tini-static", figures.get("rest", measure, "ebb"),
                     figures.get("rest", measure, "tini-static"), 1 / 4)
    limits.at_most("wake-ups a second at rest", figures.get("rest", "wake-ups", "ebb"), 0)


def start(figures, limits):
    measure = "start and end, over the command alone"
    limits.to_best("start and end over the command alone", figures, "start", measure, "ebb", None, 1 / 2)


# Whom each form of ebb is like: the service has a session of its own, or not.
ALIKE = {
    "ebb": ("dumb-init",),
    "ebb as dumb-init": ("dumb-init",),
    "ebb as tini": ("tini", "tini-static"),
    "ebb as catatonit": ("catatonit",),
}


def signal(figures, limits):
    for name, peers in ALIKE.items():
        measure = "signal to handler, on one processor"
        limits.to_best(f"{measure}, {name}", figures, "signal", measure, name, peers, 1)


def exit_(figures, limits):
    for name, peers in ALIKE.items():
        measure = "child's exit to exit, on one processor"
        limits.to_best(f"{measure}, {name}", figures, "exit", measure, name, peers, 1)


def reap(figures, limits):
    for name in ALIKE:
        limits.to_best(
            f"CPU of reaping, {name}", figures, "reap", "the init's CPU", name, ("tini", "tini-static"), 1)


def probe(figures, limits):
    limits.ratio("ebb ready to a static C program that only connects", figures.get("probe", "time", "ebb ready"),
                 figures.get("probe", "time", "connect, a static C program"), 1.1)


def drain(figures, limits):
    got = figures.get("drain", "answered of 500 in progress", "ebb")
    limits.at_most("requests lost of 500 in progress", None if got is None else 500 - got, 0)


class Limits:
    """Those whose figures there are."""

    def __init__(self, figures, port_promises):
        self.all = []
        for section in (size, rest, start, signal, exit_, reap, probe, drain):
            section(figures, self)
        for what, value, limit in port_promises:
            self.at_most(f"ports: {what}", value, limit)

    def at_most(self, what, value, limit):
        if value is not None:
            self.all.append((what, value, limit))

    def ratio(self, what, value, other, limit):
        if value is not None and other:
            self.all.append((what, value / other, limit))

    def to_best(self, what, figures, section, measure, program, peers, limit):
        best = figures.best(section, measure, peers)
        if best:
            self.ratio(f"{what}, to {best[1]}", figures.get(section, measure, program), best[0], limit)

    @property
    def are_kept(self):
        return all(value <= limit for _, value, limit in self.all)

    def lines(self):
        return [
            f"{'kept  ' if value <= limit else 'BROKEN'}  {what}: {value:.3f}, at most {limit:.3f}"
            for what, value, limit in self.all]
