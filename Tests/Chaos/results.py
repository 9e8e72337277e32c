"""results.md: what the two scripts of this folder found, each in a section of its own."""
import hashlib
import os
import pathlib
import platform
import subprocess
import time

import stage

FILE = pathlib.Path(__file__).with_name("results.md")
HEAD = """# What chaos and soak found

Written by `chaos.py --results` and `soak.py --results`, each its own section; what is checked is said at the head of
each script. `chaos.py --seed S --only N` lives life N of a seed again.
"""


def subject(binary):
    """The binary, the sources beside it, the machine: a sentence."""
    data = pathlib.Path(binary).read_bytes()
    commit = subprocess.run(["git", "-C", stage.ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    kind = "glibc" if b"GLIBC_TUNABLES" in data else "musl"
    return (f"{time.strftime('%Y-%m-%d')}, the {kind} binary of {len(data):,} bytes (SHA-256 "
            f"{hashlib.sha256(data).hexdigest()[:16]}), sources at {commit.stdout.strip() or 'no commit'}, "
            f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} processors.")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def write(title, text):
    """Puts this under its title, in the place of what was there."""
    parts = FILE.read_text().split("\n## ")[1:] if FILE.exists() else []
    sections = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in parts}
    sections[title] = text.strip()
    FILE.write_text(HEAD + "".join(f"\n## {name}\n\n{sections[name]}\n" for name in sorted(sections)))
