"""What an init costs its service: to start and end, to hand on a signal, to notice the end, to reap orphans."""
import struct
import subprocess

from measures.figures import Figure, of_values
from measures.helpers import in_turns
from measures.programs import BARE, started


def commands(context, service, bare=False):
    programs = [BARE] if bare else []
    programs += [one for one in context.programs if one.runs_command]
    return programs, [[*one.words, context.helpers.serve, *service] for one in programs]


def start(context):
    """From the start of the init to its end, with a service that ends at once."""
    programs, words = commands(context, ["exit", "0"], bare=True)
    lines = in_turns(context.helpers.launch, [context.rounds(1000)], words)
    figures, bare = [], {}
    for index, program in enumerate(programs):
        mine = [[int(word) / 1000 for word in line[1:]] for line in lines if int(line[0]) == index]
        for column, measure in ((2, "start and end"), (0, "start of the service"), (3, "CPU")):
            one = of_values("start", measure, program.name, "µs", [line[column] for line in mine], program.is_peer)
            if program is BARE:
                bare[measure] = one.median
            else:
                over = Figure(
                    "start", f"{measure}, over the command alone", program.name, "µs", one.median - bare[measure],
                    None, one.runs, program.is_peer)
                figures.append(over)
            figures.append(one)
    return figures


# How the two below are taken: as the scheduler has it, and on one processor, where nobody waits for another one that
# sleeps to be woken. Which of them the scheduler chooses for the init is another matter in each run, and more than what
# the inits differ by.
WHERE = (("", False), (", on one processor", True))


def end(context):
    """From the end of the service to that of the init."""
    programs, words = commands(context, ["exit", "4000"])
    figures = []
    for where, pinned in WHERE:
        lines = in_turns(context.helpers.launch, [context.rounds(1000)], words, pinned)
        figures += [
            of_values("exit", f"child's exit to exit{where}", program.name, "µs",
                      [int(line[2]) / 1000 for line in lines if int(line[0]) == index], program.is_peer)
            for index, program in enumerate(programs)]
    return figures


def signals(context):
    """From kill(2) to the handler of the service."""
    programs, words = commands(context, ["signals"])
    figures = []
    for where, pinned in WHERE:
        lines = in_turns(context.helpers.signals, [context.rounds(4000), 1000], words, pinned)
        for index, program in enumerate(programs):
            mine = [line for line in lines if int(line[0]) == index]
            times = [int(line[1]) / 1000 for line in mine if line[1] != "cpu"]
            figures.append(
                of_values("signal", f"signal to handler{where}", program.name, "µs", times, program.is_peer))
            cpu = next(int(line[2]) / 1000 for line in mine if line[1] == "cpu")
            figures.append(Figure(
                "signal", f"the init's CPU{where}", program.name, "µs", cpu, None, len(times), program.is_peer))
    return figures


def reap(context):
    """20,000 orphans, 50 at a time, each of which ends by itself; as PID 1."""
    orphans, together = context.orphans, 50
    taken = {program: [] for program in context.programs}
    for _ in range(context.rounds(3)):
        for program in context.programs:
            words = started(program, [context.helpers.serve, "orphans", str(orphans), str(together)], context.folder)
            with subprocess.Popen(
                    [context.helpers.contain, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL) as running:
                told = running.stdout.read(16)
                running.kill()
            taken[program].append(struct.unpack("qq", told))
    figures = []
    for program, pairs in taken.items():
        for column, measure in ((0, "the init's CPU"), (1, "time")):
            figures.append(of_values(
                "reap", measure, program.name, "ms", [pair[column] / 1e6 for pair in pairs], program.is_peer))
    return figures
