"""Size: the bytes of the program files."""
import os

from measures.figures import Figure


def measure(context):
    return [
        Figure("size", "size", program.name, "bytes", sum(os.path.getsize(file) for file in program.files),
               is_peer=program.is_peer)
        for program in context.programs if not program.name.startswith("ebb as")]
