"""iperf3: TCP both ways by number of streams, and UDP packets both ways by size."""

import functools
import json
import re
import time

import generators
from model import Bar, Case, Load, MeasurementError, MeasurementError

PORT = 5201
STREAMS = (1, 4, 32)
UDP_BYTES = (64, 1400)
KERNEL_PER_MIB = 330000
TRIES = 20


def report(target, seconds, *options):
    """iperf3's report, as it is in JSON; waits for a server that still ends the run before."""
    command = ("iperf3", "-c", target.host, "-p", str(target.ports[PORT]), "-t", str(max(1, round(seconds))), "--json", *options)
    for _ in range(TRIES):
        try:
            found = json.loads(generators.run(*command, seconds=seconds + 60))
            if "error" not in found:
                return found
            reason = found["error"]
        except MeasurementError as error:
            reason = str(error)
        if not re.search("busy|reset|closed|refused", reason):
            break
        time.sleep(0.5)
    raise MeasurementError("iperf3: " + reason)


def tcp(target, seconds, outward, streams):
    """Bytes that the receiver got."""
    end = report(target, seconds, "-P", str(streams), *(["-R"] if outward else []))["end"]
    received = end["sum_received"]
    return Load(received["bytes"] / 2**20, received["seconds"], rate=received["bits_per_second"] / 1e6,
                notes={"retransmits": end["sum_sent"].get("retransmits", 0)})


def udp(target, seconds, outward, size):
    """Packets that the receiver got, sent as fast as the sender can."""
    end = report(target, seconds, "-u", "-b", "0", "-l", str(size), *(["-R"] if outward else []))["end"]
    # Not what iperf3 calls lost: packets that were sent behind the last one that arrived are not among them.
    received = end["sum_received"]["bytes"] // size
    if received <= 0:
        raise MeasurementError(f"iperf3: none of {end['sum_sent']['packets']} packets arrived")
    return Load(received, end["sum_received"]["seconds"], notes={"packets_sent": end["sum_sent"]["packets"]})


def case(name, title, operation, unit, drive, bars=()):
    """One case."""
    return Case(name="iperf3-" + name, title=title, group="iperf3", image="iperf3", operation=operation, unit=unit, drive=drive,
                ready="Server listening", tools=("iperf3",), bars=bars)


def tcp_case(outward, streams):
    """One direction and number of streams."""
    bars = (Bar("ratio", ">=", 2.5),)
    if streams == 1:
        bars += (Bar("kernel", "<=", KERNEL_PER_MIB),)
    return case(f"{'out' if outward else 'in'}-{streams}",
                f"iperf3 TCP, {'guest to host' if outward else 'host to guest'}, {streams} stream{'s' if streams > 1 else ''}",
                "MiB", "Mbit/s", functools.partial(tcp, outward=outward, streams=streams), bars)


def udp_case(outward, size):
    """One direction and size."""
    return case(f"udp-{'out' if outward else 'in'}-{size}",
                f"UDP packets of {size} bytes, {'guest to host' if outward else 'host to guest'}", "packet", "packets/s",
                functools.partial(udp, outward=outward, size=size), (Bar("ratio", ">=", 1),))


CASES = (*(tcp_case(outward, streams) for outward in (False, True) for streams in STREAMS),
         *(udp_case(outward, size) for outward in (False, True) for size in UDP_BYTES))
