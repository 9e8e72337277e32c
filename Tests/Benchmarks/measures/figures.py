"""What was measured: a figure a program and measure, with how often it was taken."""
import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measure of one program in one run of the benchmark."""

    section: str
    measure: str
    program: str
    unit: str
    median: float
    p99: float = None
    runs: int = 1
    is_peer: bool = False


def of_values(section, measure, program, unit, values, is_peer=False):
    """The median, and the 99th centile where there are values enough to tell."""
    p99 = statistics.quantiles(values, n=100)[98] if len(values) >= 100 else None
    return Figure(section, measure, program, unit, statistics.median(values), p99, len(values), is_peer)


class Figures:
    """All of them, to be looked up."""

    def __init__(self, figures=()):
        self.all = list(figures)

    def add(self, figures):
        self.all += figures

    def get(self, section, measure, program):
        """The median; nothing where it was not measured."""
        for one in self.all:
            if (one.section, one.measure, one.program) == (section, measure, program):
                return one.median
        return None

    def best(self, section, measure, programs=None):
        """The least median of the peers, or of those named: (median, name); nothing where it was not measured."""
        mine = [
            (one.median, one.program) for one in self.all
            if (one.section, one.measure) == (section, measure)
            and (one.is_peer if programs is None else one.program in programs)]
        return min(mine) if mine else None
