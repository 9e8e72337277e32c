"""The script of a life, drawn from its seed and number alone."""
import random
import signal

from stage import PAGES, PORT

TERM, INT, KILL, STOP, CONT = (int(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGSTOP,
                                                signal.SIGCONT))
# What a process that does nothing about it survives, signal(7).
HARMLESS = {int(s) for s in (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGTSTP,
                             signal.SIGTTIN, signal.SIGTTOU, signal.SIGSTOP)}
STORM = [1, 10, 12, 14, 16, 17, 18, 23, 28, 29, *range(34, 65)]
INITS = ["tini", "dumb-init", "catatonit"]
MEMORY_LIMIT = 4096  # kB, resident at the most: the binary alone is a quarter of that.
DESCRIPTOR_LIMIT = 80
LONGEST = 40  # Seconds, of any life.


def draw(seed, number):
    """The life of this number: plain data, that a violation prints."""
    chance = random.Random(f"{seed}/{number}")
    one_in = lambda n: chance.randrange(n) == 0
    life = {"number": number, "init": None, "pid1": not one_in(4), "options": [], "environment": {}, "user": 0,
            "limits": [], "errors": "read", "grace": None, "linger": 5.0, "counted": None, "program": "service",
            "group": False, "pids": None, "memory": None, "space": None, "clock": False}
    ms = lambda low, high: f"{chance.randrange(low, high)}ms"
    options = life["options"]
    counted = one_in(8)

    # Who it is, and what it is told.
    if not counted and one_in(8):
        life["init"] = chance.choice(INITS)
        if one_in(2):
            # One of ebb's variables brings ebb's stop under that name too.
            life["environment"]["EBB_PORTS"] = str(PORT)
        if life["init"] == "dumb-init" and one_in(2):
            options += ["--rewrite", "1:0"]
        elif life["init"] != "dumb-init" and one_in(2):
            options.append("-g")
    life["stops"] = not life["init"] or bool(life["environment"])
    variables = life["environment"] if life["init"] else None

    def option(name, value=None):
        if variables is not None:
            if life["stops"]:
                variables["EBB_" + name.upper().replace("-", "_")] = "1" if value is None else value
        else:
            options.extend([f"--{name}"] if value is None else [f"--{name}", value])

    if life["stops"]:
        if not one_in(3):
            life["grace"] = chance.randrange(200, 2500) / 1000
            option("grace", f"{int(life['grace'] * 1000)}ms")
        life["linger"] = chance.randrange(0, 400) / 1000 if not one_in(6) else 5.0
        if life["linger"] < 5:
            option("linger-max", f"{int(life['linger'] * 1000)}ms")
        option("busy-max", ms(0, 300) if not counted else ms(0, 60))
        if not counted and not one_in(3):
            option("lame-duck", chance.choice(["auto", ms(0, 300)]))
        if not counted and one_in(2):
            option("lame-duck-max", ms(0, 600))
    if not life["init"]:
        if one_in(3):
            option("group")
        if not counted and one_in(4):
            option("rewrite", chance.choice(["1:0", "HUP:USR1", "RTMIN+3:TERM", "WINCH:URG,USR2:0", "INT:QUIT"]))
        if not counted and one_in(4):
            words = chance.choice(["other exit 0", "other wait 60 exit 1", "other hang", "other wait 20 crash 11"])
            option("on-drain", chance.choice([f"@service@ {words}", "/no/such/command"]))
        if one_in(3):
            option("http", chance.choice([f"127.0.0.1:{PAGES}", str(PAGES)]))
            if one_in(2):
                option("http-drain")
        if one_in(2):
            option("ready-when", chance.choice(["listen", f"tcp:{PORT}", f"http:{PORT}/", "unix:/no/such", "notify",
                                                "exec:@service@ other exit 0", "exec:@service@ other hang"]))
        option("control", "@chaos") if one_in(2) else option("control", "off") if one_in(12) else None
        if counted or one_in(3):
            option("ports", str(PORT))
        if one_in(6):
            option("warn-on-reap")
        if one_in(6):
            option("map-exit", chance.choice(["143=0", "7=8", "0=3"]))
        if one_in(8):
            option("no-subreaper")
        if one_in(12):
            option("stop-signal", chance.choice(["QUIT", "USR1", "RTMIN+3"]))
        if not counted:
            life["verbosity"] = chance.choice([None, None, "verbose", "quiet"])
            if life["verbosity"]:
                option(life["verbosity"])
            if one_in(4):
                option("log", "json")
            life["errors"] = chance.choice(["read"] * 8 + ["full", "closed"])
            if one_in(8):
                life["user"] = 61000 + number % 1000
            if one_in(10):
                life["limits"].append(["NOFILE", chance.randrange(6, 40)])
            if one_in(10):
                life["limits"].append(["SIGPENDING", chance.randrange(0, 8)])
            if one_in(16):
                life["space"] = chance.randrange(4, 24) << 10
            if one_in(40):
                life["program"] = chance.choice(["/no/such/program", "/etc/passwd"])

    # Where it is: a control group, with limits or without. (ebb and its init are two of so many processes.)
    life["group"] = one_in(3)
    if not counted:
        if one_in(12):
            life["pids"] = chance.randrange(3, 40)
        if one_in(16):
            life["memory"] = chance.randrange(8, 32)
    if life["stops"] and one_in(6):
        # Its lines carry the time, and there have to be some.
        life["clock"] = True
        if "json" not in options:
            option("log", "json")
        if life.get("verbosity") == "quiet":
            options.remove("--quiet")
        if life.get("verbosity") != "verbose":
            option("verbose")
        life["verbosity"] = "verbose"

    # The service.
    verbs = life["service"] = []
    life["handled"] = handled = []
    code = lambda: chance.choice([0, 0, 1, 3, 7, 42, 100, 143, 255])
    if counted or not one_in(4):
        verbs += ["listen", str(PORT), "delay", str(chance.randrange(0, 200))]
    if counted or one_in(10):
        verbs.append("unread")
    if one_in(4):
        verbs += ["answer", str(chance.choice([1000, 60_000, 1 << 20]))]
    if counted or not one_in(3):
        for number_ in (TERM, INT, 3, 10, 37):
            verbs += ["end", str(number_), str(code()), str(0 if counted else chance.choice([0, 0, 5, 50, 400]))]
            handled.append(number_)
    elif one_in(2):
        for number_ in (TERM, INT, 3, 10, 37):
            verbs += ["ignore", str(number_)]
            handled.append(number_)
    if counted or not one_in(3):
        for number_ in STORM:
            if number_ not in handled and number_ not in (CONT, 17):
                verbs += ["catch", str(number_)]
                handled.append(number_)
    for _ in range(chance.randrange(0, 4)):
        kind = chance.choice(["sleeping", "zombie", "session", "stubborn", "stopped", "deep", "orphan", "stranded",
                              "brief", "brief", "growing"])
        verbs += ["fork", kind, str(1 if kind in ("deep", "growing") else chance.randrange(1, 6))]
    if not counted:
        if one_in(8):
            verbs += ["fds", str(chance.choice([64, 1000, 4000, 20_000]))]
        if life["memory"] and not one_in(3):
            # More than its group may have: the kernel ends the largest.
            verbs += ["memory", "500"]
        elif one_in(25):
            verbs += ["memory", "48"]
        if life["pids"] and one_in(2):
            verbs += ["fork", chance.choice(["sleeping", "stubborn", "stopped"]), "40"]
        if one_in(25):
            verbs += ["processes", str(30000 + number % 20000)]
        if one_in(12):
            verbs += ["pelt", str(chance.randrange(1, 2000))]
        if one_in(6):
            verbs += ["notify", chance.choice(["READY=1", "STATUS=\x01\u00ff" + "x" * 300, "MAINPID=1", "MAINPID=-1",
                                               "MAINPID=99999999999999999999", "READY=1\nSTOPPING=1\n=\n\n"])]
        if one_in(12):
            verbs += ["orphans", str(chance.randrange(1, 400))]
    verbs.append("up")
    if counted:
        verbs.append("serve")
    else:
        verbs += chance.choice([
            ["serve"], ["serve"], ["serve"], ["hang"], ["stopself", "serve"],
            ["wait", str(chance.randrange(0, 800)), "exit", str(code())],
            ["wait", str(chance.randrange(0, 800)), "crash", str(chance.choice([4, 6, 8, 9, 11, 15]))]])
    life["waits"] = counted or not one_in(6)  # for the service to be up, before anything happens

    # What happens to it.
    length = chance.randrange(50, 900)
    events = []
    moment = lambda: chance.randrange(0, length + 400)
    if counted:
        clients, size = chance.randrange(1, 20), chance.randrange(1, 2000)
        life["counted"] = [clients, size]
        events += [[0, "unread", size] for _ in range(clients)]
        length += 100
    else:
        for _ in range(chance.randrange(0, 12)):
            events.append([moment(), "connect", chance.choice(["idle", "request", "stall", "reset", "half",
                                                                 "slow"])])
    # None that ends it before its time, where its losses are known.
    storm = STORM if not counted else [number_ for number_ in STORM if number_ not in (10, 37)]
    for _ in range(chance.randrange(0, 5)):
        events.append([moment(), "storm", [chance.choice(storm) for _ in range(chance.choice([1, 3, 30, 300]))]])
    asks = ["ready", "live", "status", "status --json"] if counted else \
        ["ready", "live", "status", "status --json", "drain", "drain --timeout 100ms", "drain --quiet"]
    for _ in range(chance.randrange(0, 5)):
        events.append([moment(), "ask", chance.choice(asks)])
    for _ in range(chance.randrange(0, 4)):
        events.append([moment(), "page", chance.choice(["get", "get", "stall", "garbage", "flood", "close"])])
    for _ in range(chance.randrange(0, 3)):
        events.append([moment(), "speak", chance.choice(["stall", "garbage", "flood", "ask"])])
    if life["clock"]:
        hours = lambda: chance.choice([-1, 1]) * chance.randrange(1, 72 * 3600)
        for at in [0, *(moment() for _ in range(chance.randrange(1, 8)))]:
            # Some seconds, some hours, 1969 and before, the year 2216.
            events.append([at, "clock", chance.choice([hours(), hours(), chance.randrange(-90, 90), -2_000_000_000,
                                                       6_000_000_000])])
    if not counted:
        if life["group"] and one_in(4):
            start = moment()
            events += [[start, "pause"], [start + chance.randrange(5, 500), "resume"]]
        elif one_in(6):
            start = moment()
            events += [[start, "halt"], [start + chance.randrange(5, 300), "resume"]]
        if one_in(8):
            events.append([moment(), "strike", chance.choice([STOP, STOP, CONT, KILL, 11])])
        if one_in(8):
            start = moment()
            events.append([start, "freeze"])
            if one_in(2):
                events.append([start + chance.randrange(50, 600), "thaw"])
        if one_in(8):
            events.append([moment(), "signal", chance.choice([20, 21, 22])])
        for _ in range(chance.randrange(0, 2)):
            events.append([moment(), "signal", chance.choice([1, 2, 3, 10, 12, 15, 28, 32, 33, 37])])
    events.append([length, "signal", chance.choice([TERM, TERM, TERM, INT])])
    if one_in(5):
        events.append([length + chance.choice([5, 200, 1100, 1300]), "signal", TERM])
    life["events"] = sorted(events, key=lambda event: event[0])
    return life


def kinds(life):
    """What is special about it, in words: what the tally counts."""
    verbs, events = life["service"], {event[1] for event in life["events"]}
    details = {(event[1], event[2]) for event in life["events"] if len(event) > 2 and isinstance(event[2], str)}
    limits = {name for name, _ in life["limits"]}
    yes = {
        "ebb is PID 1": life["pid1"],
        "ebb under another init's name": life["init"],
        "another user's": life["user"],
        "the service ends unasked, with a code": "exit" in verbs,
        "the service ends unasked, by a signal": "crash" in verbs,
        "the service hangs": "hang" in verbs,
        "the service ignores the signals that would end it": "ignore" in verbs,
        "the service stops itself": "stopself" in verbs,
        "the service forks": "fork" in verbs or "orphans" in verbs,
        "the service sends ebb signals": "pelt" in verbs,
        "the service cannot be executed": life["program"] != "service",
        "the service takes all its descriptors": "fds" in verbs,
        "the service takes all its processes (RLIMIT_NPROC)": "processes" in verbs,
        "the service takes all its memory (RLIMIT_AS)": "memory" in verbs and not life["memory"],
        "the main process is struck by a stranger": "strike" in events,
        "pids.max, ebb included": life["pids"],
        "a memory limit, ebb included": life["memory"],
        "a memory limit that the service exceeds": life["memory"] and "memory" in verbs,
        "RLIMIT_NOFILE, ebb included": "NOFILE" in limits,
        "RLIMIT_AS, ebb included": life["space"],
        "RLIMIT_SIGPENDING, ebb included": "SIGPENDING" in limits,
        "signals in storms": "storm" in events,
        "clients that stall": details & {("connect", "stall"), ("connect", "half"), ("connect", "slow"),
                                         ("page", "stall"), ("speak", "stall")},
        "garbage or a flood at ebb's own sockets": details & {("page", "garbage"), ("page", "flood"),
                                                              ("speak", "garbage"), ("speak", "flood")},
        "`ebb drain` meanwhile": any(event[1] == "ask" and event[2].startswith("drain") for event in life["events"]),
        "`ebb status` meanwhile": any(event[1] == "ask" and event[2].startswith("status") for event in life["events"]),
        "`ebb ready` or `live` meanwhile": details & {("ask", "ready"), ("ask", "live")},
        "losses that the driver knows to the byte": life["counted"],
        "stderr that nobody reads, or closed": life["errors"] != "read",
    }
    return [name for name, is_so in yes.items() if is_so]


