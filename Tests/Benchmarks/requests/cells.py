"""The cells of the matrix: its dimensions, and the choice of cells in which every pair of values comes once."""
import collections
import itertools
import random

# (name of the dimension, its values). Times of `answer` are seconds, of `pause` milliseconds.
DIMENSIONS = {
    "server": ("python", "node", "java"),
    "way": ("direct", "nginx", "haproxy"),
    "tls": ("none", "1.2", "1.3"),
    "shape": ("get", "post-0", "post-3", "expect", "stream-0.1", "stream-0.2", "stream-0.3", "stream-1", "stream-2",
              "upload", "half-close"),
    "after": (0, 1, 2, 5, 40),
    "pause": (0, 1, 20, 100),
    "earlier": ("plain", "same"),
    "answer": (0.05, 1, 4, 8),
}
# The same for connections that are idle when the stop comes; `still` is how long they have been, in milliseconds.
IDLE = {
    "server": DIMENSIONS["server"],
    "tls": DIMENSIONS["tls"],
    "shape": ("get", "post-0", "post-3", "expect", "stream-0.1", "upload"),
    "after": DIMENSIONS["after"],
    "pause": DIMENSIONS["pause"],
    "still": (1000, 50, 125, 200),
}
# Pools of real clients. They ask short requests and then a last one, or go on with requests that are all alike.
CLIENTS = {
    "client": ("http.client", "curl", "agent", "urlconnection", "httpclient"),
    "server": DIMENSIONS["server"],
    "tls": DIMENSIONS["tls"],
    "method": ("get", "post"),
    "mode": ("last", "loop"),
    "after": (1, 5, 40),
    "answer": (0.5, 1, 4),
}

Cell = collections.namedtuple("Cell", DIMENSIONS)
Idle = collections.namedtuple("Idle", IDLE)
Pool = collections.namedtuple("Pool", CLIENTS)


def matrix(seed):
    return list(dict.fromkeys(
        [parse(words) for words in ALWAYS] + pairwise(DIMENSIONS, Cell, seed)))


def clients(seed):
    return list(dict.fromkeys(
        [parse(words, CLIENTS, Pool) for words in ALWAYS_CLIENTS] + pairwise(CLIENTS, Pool, seed)))


def idle(seed):
    """Those that have been still for a second, and those used a moment ago."""
    still = {**IDLE, "still": IDLE["still"][:1]}
    moment = {**IDLE, "after": IDLE["after"][1:], "still": IDLE["still"][1:]}
    return pairwise(still, Idle, seed) + pairwise(moment, Idle, seed)


def gap(shape):
    """The pause between the pieces of a streamed answer, in seconds; 0 where it is not streamed."""
    return float(shape.split("-")[1]) if shape.startswith("stream") else 0


def go_together(one, other):
    """Whether there is a cell with these two (dimension, value)."""
    pair = dict((one, other))
    shape = pair.get("shape")
    if shape == "half-close":
        # What follows a half-close is no request, and a proxy or TLS does not hand it on.
        return pair.get("way", "direct") == "direct" and pair.get("tls", "none") == "none" \
            and pair.get("earlier", "plain") == "plain"
    if shape and "answer" in pair:
        return gap(shape) <= pair["answer"] / 2
    if pair.get("client") == "curl":
        return pair.get("mode", "last") == "last"  # It does not stop asking when it is told.
    if "after" in pair and pair["after"] == 0:
        # There are no earlier requests.
        return pair.get("earlier", "plain") == "plain"
    return True


# What was found first, and what is to stay mended: always among the cells.
ALWAYS = (
    "python direct tls=none get after=5 pause=0 answer=4",
    "python direct tls=none post-0 after=5 pause=0 earlier=same answer=1",
    "python direct tls=1.3 get after=0 pause=0 answer=1",
    "node nginx tls=none get after=5 pause=0 answer=1",
    "java haproxy tls=1.2 get after=40 pause=0 answer=1",
    "node direct tls=none half-close after=0 answer=1",
    "java direct tls=none stream-0.3 after=5 pause=0 answer=4",
)
ALWAYS_CLIENTS = tuple(
    f"{client} {server} tls=none get loop after=5 answer=1"
    for client, server in (("http.client", "python"), ("agent", "node"), ("httpclient", "java")))


def pairwise(dimensions, kind, seed):
    """Cells in which each pair of values that go together comes at least once: greedy, the best of some tries."""
    rng = random.Random(seed)
    pairs = [
        ((a, x), (b, y)) for a, b in itertools.combinations(dimensions, 2)
        for x in dimensions[a] for y in dimensions[b] if go_together((a, x), (b, y))]
    wanted = dict.fromkeys(pairs)

    def news(cell, item):
        return sum(((other, item) in wanted) or ((item, other) in wanted) for other in cell.items())

    def fill():
        cell = dict(rng.choice(list(wanted)))
        rest = [name for name in dimensions if name not in cell]
        rng.shuffle(rest)
        for name in rest:
            values = [
                value for value in dimensions[name]
                if all(go_together(item, (name, value)) for item in cell.items())]
            rng.shuffle(values)
            cell[name] = max(values, key=lambda value: news(cell, (name, value)))
        return {name: cell[name] for name in dimensions}

    cells = []
    while wanted:
        tries = [fill() for _ in range(20)]
        best = max(tries, key=lambda cell: sum(pair in wanted for pair in itertools.combinations(cell.items(), 2)))
        for pair in itertools.combinations(best.items(), 2):
            wanted.pop(pair, None)
        cells.append(kind(**best))
    return cells


def name(cell):
    """The cell in words, each of which --only can ask for."""
    plain = ("server", "way", "shape", "client", "method", "mode")
    return " ".join(
        str(value) if field in plain else f"{field}={value}" for field, value in cell._asdict().items())


def parse(words, dimensions=None, kind=Cell):
    """The opposite of `name`; what is not said has the first of its values."""
    dimensions = dimensions or DIMENSIONS
    cell = {field: values[0] for field, values in dimensions.items()}
    for word in words.split():
        field, _, value = word.rpartition("=")
        found = [
            (one, each) for one, values in dimensions.items() for each in values
            if str(each) == value and field in ("", one)]
        if not found:
            raise SystemExit(f"no such value: {word}")
        cell[found[0][0]] = found[0][1]
    return kind(**cell)
