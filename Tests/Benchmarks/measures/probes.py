"""What a probe costs that runs every few seconds in every pod, against a service that answers."""
import shutil
import subprocess
import time

from measures.figures import Figure, of_values
from measures.helpers import in_own_network, in_turns

PORT, PAGES = 8080, 9100
LEAST = "connect, a static C program"


def measure(context):
    commands = {
        LEAST: [context.helpers.connect, str(PORT)],
        "ebb ready": [context.options.ebb, "ready"],
        "ebb live": [context.options.ebb, "live"],
        "ebb port --listening": [context.options.ebb, "port", str(PORT), "--listening", "--quiet"],
        "ebb ready, glibc": [context.options.glibc, "ready"],
    }
    others = {
        "curl, the service": ["curl", "-fsS", f"http://127.0.0.1:{PORT}/"],
        "curl, ebb's /readyz": ["curl", "-fsS", f"http://127.0.0.1:{PAGES}/readyz"],
        "nc -z": ["nc", "-z", "127.0.0.1", str(PORT)],
        "ss -Htln | grep": ["sh", "-c", f"ss -Htln 'sport = :{PORT}' | grep -q ."],
    }
    peers = []
    for name, words in others.items():
        if path := shutil.which(words[0]):
            commands[name] = [path, *words[1:]]
            peers.append(name)

    def run():
        service = subprocess.Popen(
            [context.options.ebb, "--quiet", "--http", str(PAGES), "--", context.options.tide, "serve", "--listen", str(PORT)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            end = time.monotonic() + 20
            while subprocess.run(commands["ebb ready"], stderr=subprocess.DEVNULL).returncode:
                if time.monotonic() > end:
                    raise TimeoutError("the service is not ready")
                time.sleep(0.05)
            return in_turns(context.helpers.spend, [context.rounds(400)], commands.values())
        finally:
            service.terminate()
            service.wait(timeout=20)

    lines = in_own_network(run)
    figures = []
    for index, name in enumerate(commands):
        mine = [[int(word) / 1000 for word in line[1:]] for line in lines if int(line[0]) == index]
        for column, what in ((0, "time"), (1, "CPU")):
            figures.append(of_values("probe", what, name, "µs", [line[column] for line in mine], name in peers))
    return figures
