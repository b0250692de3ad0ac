"""iperf3: TCP both ways by number of streams, and UDP packets both ways by size."""

import functools
import json
import re
import time

import generators
from model import Bar, Case, Load, MeasurementError

PORT = 5201
STREAMS = (1, 4, 32)
UDP_BYTES = (64, 1400)
KERNEL_PER_MIB = 330000
FIRST_PACKETS = 4000  # per second; then by STEP more, until more than LOSS of them are lost, twice: once may be the host's doing
STEP = 1.5
LOSS = 0.05
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


def udp(target, seconds, outward, size, packets=0):
    """Packets that the receiver got, when so many a second are sent; 0: as many as the sender can."""
    end = report(target, seconds, "-u", "-b", str(packets * size * 8), "-l", str(size), *(["-R"] if outward else []))["end"]
    # Not what iperf3 calls lost: packets that were sent behind the last one that arrived are not among them.
    received = end["sum_received"]["bytes"] // size
    return Load(received, end["sum_received"]["seconds"], notes={"packets_sent": end["sum_sent"]["packets"]})


def ladder(target, seconds, size):
    """More and more packets to the guest; the rate is the highest at which it got packets."""
    total, packets, best, lossy = Load(0, 0), FIRST_PACKETS, 0, 0
    while lossy < 2:
        step = udp(target, seconds / 2, False, size, int(packets))
        total.operations += step.operations
        total.seconds += step.seconds
        best = max(best, step.operations / step.seconds)
        lossy = lossy + 1 if step.operations < step.notes["packets_sent"] * (1 - LOSS) else 0
        packets *= STEP
    total.rate = best
    return total


def case(name, title, operation, unit, drive, bars=(), kvm_bars=()):
    """One case."""
    return Case(name="iperf3-" + name, title=title, group="iperf3", image="iperf3", operation=operation, unit=unit, drive=drive,
                ready="Server listening", tools=("iperf3",), bars=bars, kvm_bars=kvm_bars)


def tcp_case(outward, streams):
    """One direction and number of streams."""
    bars, kvm_bars = (Bar("ratio", ">=", 2.5),), ()
    if streams == 1:
        bars += (Bar("kernel", "<=", KERNEL_PER_MIB),)
        kvm_bars = (*(() if outward else (Bar("exits", "<=", 3),)), Bar("exits_ratio", "<=", 1), Bar("ratio", ">=", 2.5))
    return case(f"{'out' if outward else 'in'}-{streams}",
                f"iperf3 TCP, {'guest to host' if outward else 'host to guest'}, {streams} stream{'s' if streams > 1 else ''}",
                "MiB", "Mbit/s", functools.partial(tcp, outward=outward, streams=streams), bars, kvm_bars)


def udp_cases(size):
    """One size of packets."""
    ahead = (Bar("ratio", ">=", 1),)
    unit = ("packet", "packets/s")
    return (
        case(f"udp-in-{size}", f"UDP packets of {size} bytes, host to guest, the most that arrive", *unit,
             functools.partial(ladder, size=size), ahead),
        case(f"udp-flood-{size}", f"UDP packets of {size} bytes, host to guest, those that arrive of all that the host can send", *unit,
             functools.partial(udp, outward=False, size=size), ahead),
        case(f"udp-out-{size}", f"UDP packets of {size} bytes, guest to host", *unit,
             functools.partial(udp, outward=True, size=size), ahead))


CASES = (*(tcp_case(outward, streams) for outward in (False, True) for streams in STREAMS),
         *(one for size in UDP_BYTES for one in udp_cases(size)))
