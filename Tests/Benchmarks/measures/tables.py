"""Socket tables: ports.py, with the binary that is released."""
import resource

import ports

from measures.figures import Figure
from measures.helpers import in_own_network


def measure(context):
    def run():
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
            file.write("10000 65000")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        medians, peaks = ports.measure(context.options.ebb, context.sizes, context.rounds(11), context.rounds(3))
        return [[*key, value] for key, value in medians.items()], [[*key, value] for key, value in peaks.items()]

    medians, peaks = in_own_network(run)
    if not context.options.quick:
        context.port_promises = ports.promises(
            {(name, size): value for name, size, value in medians},
            {(name, size): value for name, size, value in peaks}, context.sizes)
    figures = [
        Figure("sockets", f"{size:,} sockets", name, "ms", value, None, 1, not name.startswith(("ebb", "receive")))
        for name, size, value in medians]
    return figures + [
        Figure("sockets", f"{size:,} sockets, peak memory", name, "kB", value, None, 1) for name, size, value in peaks]
