"""Fills the guest's packet memory with datagrams that nobody reads: small packets are answered all the while, large ones are dropped
until there is room again. The guest takes one packet per turn (rx_budget=1), so that each burst is more than a turn's worth."""

import struct
import time

import hostside
import ping_host

ORDERS, KEPT = 7000, 7001
BURST = 64
BURSTS_MOST = 200


def datagram(port, data):
    """An IPv4 packet with a UDP datagram, without a UDP checksum (RFC 768)."""
    udp = struct.pack(">HHHH", 5555, port, 8 + len(data), 0) + data
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, ping_host.OUR_IP, ping_host.GUEST_IP)
    return header[:10] + struct.pack(">H", ping_host.checksum(header)) + header[12:] + udp


class Flood:
    """The peer on the wire, with an order and pings."""

    def __init__(self):
        self.peer = ping_host.Peer()
        self.peer.find_guest()
        self.sequence = 1000

    def send(self, packet):
        """One IPv4 packet."""
        self.peer.send(ping_host.ethernet(self.peer.guest_mac, ping_host.IPV4, packet))

    def drain(self):
        """Has the program read what was kept, and returns how many datagrams that were."""
        for _ in range(10):
            self.send(datagram(ORDERS, b"drain"))
            until = time.monotonic() + 2
            while time.monotonic() < until:
                frame = self.peer.frame()
                if frame and frame[12:14] == struct.pack(">H", ping_host.IPV4) and frame[23] == 17:
                    length = struct.unpack(">H", frame[38:40])[0]
                    return int(frame[42:34 + length].split()[1])
        raise AssertionError("the program does not say what it read")

    def answered(self, size, count=1):
        """How many of so many echo requests at once are answered."""
        first = self.sequence
        self.sequence += count
        for i in range(count):
            self.send(ping_host.echo_request(78, first + i, bytes(size)))
        missing, until = set(range(first, first + count)), time.monotonic() + 2
        while missing and time.monotonic() < until:
            frame = self.peer.frame()
            if frame and frame[12:14] == struct.pack(">H", ping_host.IPV4) and frame[23] == 1 and frame[34] == 0:
                missing.discard(struct.unpack(">H", frame[40:42])[0])
        return count - len(missing)

    def fill(self):
        """Datagrams until a large ping is dropped. Returns how many were sent."""
        for burst in range(1, BURSTS_MOST + 1):
            for _ in range(BURST):
                self.send(datagram(KEPT, bytes(1400)))
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
    flood.send(datagram(ORDERS, b"end"))


if __name__ == "__main__":
    main()
