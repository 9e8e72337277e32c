"""What ebb promises beside the others. Each is a name, a value, and the most that it may be.

Of others, those that stand alone as ebb does, without a C library beside them: Debian's tini-static and catatonit.
"""

# These two hold on any machine, so budget.py judges them too.
SIZE_TO_TINI = 1 / 2
PRIVATE_DIRTY = 64


def size(figures, limits):
    limits.ratio("the musl binary to tini-static", figures.get("size", "size", "ebb"),
                 figures.get("size", "size", "tini-static"), SIZE_TO_TINI)


def rest(figures, limits):
    for when in ("", " after the work"):
        measure, name = f"Private_Dirty{when}", f"Private_Dirty{when or ' at rest'}"
        limits.at_most(f"{name}, kB", figures.get("rest", measure, "ebb"), PRIVATE_DIRTY)
        limits.to_best(name, "rest", measure, 1)
    limits.at_most("wake-ups a second at rest", figures.get("rest", "wake-ups", "ebb"), 0)


def start(figures, limits):
    measure = "start and end, over the command alone"
    limits.to_best(measure, "start", measure, 0.6)


# These two on one processor alone: where there are more, it is the scheduler that differs from run to run, by more than
# a tenth.
def signal(figures, limits):
    measure = "signal to handler, on one processor"
    limits.to_best(measure, "signal", measure, 1.1)


def exit_(figures, limits):
    measure = "child's exit to exit, on one processor"
    limits.to_best(measure, "exit", measure, 1.1)


def probe(figures, limits):
    limits.ratio("ebb ready to a static C program that only connects", figures.get("probe", "time", "ebb ready"),
                 figures.get("probe", "time", "connect, a static C program"), 1.1)


def drain(figures, limits):
    got = figures.get("drain", "answered of 500 in progress", "ebb")
    limits.at_most("requests lost of 500 in progress", None if got is None else 500 - got, 0)


class Limits:
    """Those whose figures there are."""

    def __init__(self, figures, static_peers, port_promises):
        self.figures = figures
        self.static_peers = static_peers
        self.all = []
        for section in (size, rest, start, signal, exit_, probe, drain):
            section(figures, self)
        for what, value, limit in port_promises:
            self.at_most(f"ports: {what}", value, limit)

    def at_most(self, what, value, limit):
        if value is not None:
            self.all.append((what, value, limit))

    def ratio(self, what, value, other, limit):
        if value is not None and other:
            self.all.append((what, value / other, limit))

    def to_best(self, what, section, measure, limit):
        """ebb to the best of the static peers."""
        best = self.figures.best(section, measure, self.static_peers)
        if best:
            self.ratio(f"{what}, to {best[1]}", self.figures.get(section, measure, "ebb"), best[0], limit)

    @property
    def are_kept(self):
        return all(value <= limit for _, value, limit in self.all)

    def lines(self):
        return [
            f"{'kept  ' if value <= limit else 'BROKEN'}  {what}: {value:.3f}, at most {limit:.3f}"
            for what, value, limit in self.all]
