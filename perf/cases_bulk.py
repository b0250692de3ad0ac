"""Bulk transfers in which both ends compute a checksum of every byte: guests/programs/net_bench.c and net_bench_client.py.

The checksums take longer than the transfer, on either system. What counts here are the kernel's instructions, and that
no byte is wrong.
"""

import functools

import net_bench_client
from model import Bar, Case, Load, MeasurementError

PORT = 5001
FIRST_MIB = 8  # tells how much makes up the time that is wanted
MOST_MIB = 4096


def move(target, mib, outward):
    """Moves so many MiB; returns the seconds it took."""
    ours, theirs, _, seconds = net_bench_client.exchange(target.host, target.ports[PORT], mib << 20, outward)
    if ours != theirs:
        raise MeasurementError(f"bulk: wrong bytes: the checksum is {ours:016x} here and {theirs:016x} in the guest")
    return seconds


def drive(target, seconds, outward):
    """A short run that tells the rate, then one that takes about `seconds`."""
    taken = move(target, FIRST_MIB, outward)
    mib = min(MOST_MIB, max(FIRST_MIB, int(FIRST_MIB / taken * seconds)))
    taken += move(target, mib, outward)
    return Load(FIRST_MIB + mib, taken, rate=(FIRST_MIB + mib) * 8 * 1.048576 / taken)


CASES = tuple(
    Case(name="bulk-" + name, title=f"verified bytes, {title}", group="bulk", image="net-bench", operation="MiB", unit="Mbit/s",
         ready="net_bench: listening",
         drive=functools.partial(drive, outward=outward), bars=(Bar("ratio", ">=", 1),))
    for name, title, outward in (("in", "host to guest", False), ("out", "guest to host", True)))
