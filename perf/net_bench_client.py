#!/usr/bin/python3
"""The host's side of guests/programs/net_bench.c: sends or receives bytes, verified at both ends.

  net_bench_client.py [--host ADDRESS] [--port PORT] [--reverse] [--stop] SIZE...

SIZE is a count of bytes such as 8M, 16M or 1G. Prints one line a run, with the rate that this end
saw and the one that the guest saw. --stop ends the guest's program after the last run. The exit
status is the number of runs that went wrong.
"""

import argparse
import array
import re
import socket
import struct
import sys
import time

CHUNK = 1 << 20
MASK = (1 << 64) - 1
REVERSE = 1 << 63
BLOCK = 4096
FACTOR = 0x9E3779B97F4A7C15
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Checksum:
    """The payload's checksum as guests/programs/net_bench.c defines it."""

    def __init__(self):
        self.total = 0
        self.rest = b""
        self.known = {}

    @staticmethod
    def _blocks(data):
        """(checksum, FACTOR^blocks) of whole blocks, or of a payload's end."""
        data += bytes(-len(data) % 8)
        words = array.array("Q", data)
        if sys.byteorder == "big":
            words.byteswap()
        total, power = 0, 1
        for start in range(0, len(words), BLOCK // 8):
            total = (total * FACTOR + sum(words[start:start + BLOCK // 8])) & MASK
            power = power * FACTOR & MASK
        return total, power

    def add(self, data, key=None):
        """Adds data; whole blocks with the same key are summed only once."""
        data = self.rest + data if self.rest else data
        whole = len(data) // BLOCK * BLOCK
        self.rest = bytes(data[whole:])
        if whole == 0:
            return
        if whole != len(data):
            key, data = None, data[:whole]
        pair = self.known.get(key) or self._blocks(data)
        if key is not None:
            self.known[key] = pair
        self.total = (self.total * pair[1] + pair[0]) & MASK

    def value(self):
        """The checksum of all that was added."""
        if not self.rest:
            return self.total
        total, power = self._blocks(self.rest)
        return (self.total * power + total) & MASK


def parse_size(text):
    """8M, 1G, 1000 as bytes."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match or int(match.group(1)) == 0:
        raise argparse.ArgumentTypeError(f"{text}: a count of bytes such as 8M is wanted")
    return int(match.group(1)) * UNITS[match.group(2)]


def read_exactly(link, count):
    """Reads count bytes or raises ConnectionError."""
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            raise ConnectionError("the guest closed the connection")
        data += part
    return data


def send(link, count):
    """Sends a payload; returns (own checksum, the guest's checksum, the guest's nanoseconds)."""
    pattern = b"".join(struct.pack("<Q", (i * 0x9E3779B97F4A7C15 + 12345) & MASK) for i in range(CHUNK // 8))
    checksum = Checksum()
    left = count
    while left:
        part = pattern if left >= CHUNK else pattern[:left]
        link.sendall(part)
        checksum.add(part, key=len(part))
        left -= len(part)
    link.sendall(struct.pack(">Q", checksum.value()))
    theirs, ns = struct.unpack(">QQ", read_exactly(link, 16))
    return checksum.value(), theirs, ns


def receive(link, count):
    """Receives a payload; returns (own checksum, the guest's checksum, the guest's nanoseconds)."""
    checksum = Checksum()
    left = count
    while left:
        part = link.recv(min(left, CHUNK))
        if not part:
            raise ConnectionError(f"the guest closed the connection with {left} bytes to come")
        checksum.add(part)
        left -= len(part)
    theirs, ns = struct.unpack(">QQ", read_exactly(link, 16))
    link.sendall(struct.pack(">Q", checksum.value()))
    return checksum.value(), theirs, ns


def exchange(host, port, count, reverse):
    """One run. Returns (own checksum, the guest's, the guest's nanoseconds, seconds here)."""
    with socket.create_connection((host, port), timeout=60) as link:
        link.settimeout(300)
        started = time.monotonic()
        link.sendall(struct.pack(">Q", count | (REVERSE if reverse else 0)))
        return *(receive if reverse else send)(link, count), time.monotonic() - started


def transfer(host, port, count, reverse):
    """One run. Returns (good, one line of text)."""
    ours, theirs, ns, seconds = exchange(host, port, count, reverse)
    good = ours == theirs
    direction = "guest to host" if reverse else "host to guest"
    rate, guest_rate = count * 8 / seconds / 1e6, count * 8e3 / max(ns, 1)
    return good, (f"{direction}: {count} bytes in {seconds:.3f} s, {rate:.1f} Mbit/s here, {guest_rate:.1f} Mbit/s in the guest, "
                  f"checksum {theirs:016x} {'good' if good else f'WRONG, here {ours:016x}'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--reverse", action="store_true", help="the guest sends")
    parser.add_argument("--stop", action="store_true", help="end the guest's program afterwards")
    parser.add_argument("sizes", nargs="+", type=parse_size, metavar="SIZE")
    arguments = parser.parse_args()
    wrong = 0
    for count in arguments.sizes:
        try:
            good, text = transfer(arguments.host, arguments.port, count, arguments.reverse)
        except OSError as error:
            good, text = False, f"{count} bytes: {error}"
        print(text, flush=True)
        wrong += not good
    if arguments.stop:
        with socket.create_connection((arguments.host, arguments.port), timeout=60) as link:
            link.sendall(bytes(8))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
