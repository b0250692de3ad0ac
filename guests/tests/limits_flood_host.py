"""Fills the guest's packet memory with datagrams that nobody reads: small packets are answered all the while, large ones are dropped
until there is room again. The guest takes one packet per turn (rx_budget=1), so that each burst is more than a turn's worth."""

import struct
import time

import hostside
import other_machine
import packets

ORDERS, KEPT = 7000, 7001
BURST = 64
BURSTS_MOST = 200


class Flood:
    """The peer on the wire, with an order and pings."""

    def __init__(self):
        self.peer = other_machine.Peer()
        self.peer.find_guest()
        self.sequence = 1000

    def send(self, port, data):
        """One datagram."""
        self.peer.send(packets.UDP, packets.udp(5555, port, data))

    def drain(self):
        """Has the program read what was kept, and returns how many datagrams that were."""
        for _ in range(10):
            self.send(ORDERS, b"drain")
            until = time.monotonic() + 2
            while time.monotonic() < until:
                if answer := self.peer.receive(packets.UDP):
                    return int(answer[8:].split()[1])
        raise AssertionError("the program does not say what it read")

    def answered(self, size, count=1):
        """How many of so many echo requests at once are answered."""
        first = self.sequence
        self.sequence += count
        for i in range(count):
            self.peer.send(packets.ICMP, other_machine.echo(other_machine.ECHO_REQUEST, 78, first + i, bytes(size)))
        missing, until = set(range(first, first + count)), time.monotonic() + 2
        while missing and time.monotonic() < until:
            answer = self.peer.receive(packets.ICMP)
            if answer and answer[0] == other_machine.ECHO_REPLY:
                missing.discard(struct.unpack(">H", answer[6:8])[0])
        return count - len(missing)

    def fill(self):
        """Datagrams until a large ping is dropped. Returns how many were sent."""
        for burst in range(1, BURSTS_MOST + 1):
            for _ in range(BURST):
                self.send(KEPT, bytes(1400))
            hostside.check(self.answered(16) == 1, f"no answer to a small ping after {burst} bursts")
            if not self.answered(1400):
                return burst * BURST
        raise AssertionError("packet memory has no end")


def main():
    hostside.wait_for_console("limits: ready")
    flood = Flood()
    kept = []
    hostside.check(flood.answered(1400) == 1, "no answer to a large ping before the flood")
    for _ in range(2):
        sent = flood.fill()
        hostside.check(flood.answered(1400, 20) == 0, "a large ping is answered although packet memory is full")
        hostside.check(flood.answered(16, 10) == 10, "small pings at once are not all answered")
        kept.append(flood.drain())
        hostside.check(0 < kept[-1] <= sent, f"{kept[-1]} of {sent} datagrams were kept")
        hostside.check(flood.answered(1400, 20) == 20, "large pings are not answered after the queue was read")
    hostside.check(kept[1] > kept[0] * 7 // 8, f"at first {kept[0]} datagrams had room, then {kept[1]}")
    print(f"{kept[0]} and {kept[1]} datagrams had room")
    flood.send(ORDERS, b"end")


if __name__ == "__main__":
    main()
