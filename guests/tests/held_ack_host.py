"""Sends to a program that reads and then computes: the ACK that is held for its answer must leave while it does.

Delayed ACKs would come after 40 ms of the guest's time, a held one after 0.5 ms. A busy host delays single ones, and
some turn of the guest's may hasten others, so the median counts.
"""

import statistics
import struct
import time

import hostside
import ping_host

PORT, OUR_PORT = 7007, 40000
TCP = 6
FIN, SYN, ACK = 1, 2, 16
PIECES = 15
COMPUTES = 0.1  # seconds, of the program behind each piece
MOST = 0.035


class Connection:
    """As much of TCP as it takes to send a few bytes (RFC 9293)."""

    def __init__(self, peer):
        self.peer = peer
        self.sequence = 1000
        self.next = 0  # theirs

    def send(self, flags, data=b""):
        """One segment."""
        segment = struct.pack(">HHIIBBHHH", OUR_PORT, PORT, self.sequence, self.next, 5 << 4, flags, 65535, 0, 0) + data
        pseudo = ping_host.OUR_IP + ping_host.GUEST_IP + struct.pack(">HH", TCP, len(segment))
        segment = segment[:16] + struct.pack(">H", ping_host.checksum(pseudo + segment)) + segment[18:]
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, TCP, 0, ping_host.OUR_IP, ping_host.GUEST_IP)
        header = header[:10] + struct.pack(">H", ping_host.checksum(header)) + header[12:]
        self.peer.send(ping_host.ethernet(self.peer.guest_mac, ping_host.IPV4, header + segment))

    def answer(self, flags, acknowledges):
        """Waits for a segment with these flags that acknowledges so far; its sequence number."""
        while time.monotonic() < hostside.deadline():
            frame = self.peer.frame()
            if frame is None or frame[12:14] != struct.pack(">H", ping_host.IPV4) or frame[23] != TCP:
                continue
            _, to, sequence, acknowledged, _, found = struct.unpack(">HHIIBB", frame[34:48])
            if to == OUR_PORT and found & (SYN | ACK) == flags and acknowledged == acknowledges:
                return sequence
        raise AssertionError(f"the guest never acknowledged {acknowledges}")

    def open(self):
        """The handshake."""
        self.send(SYN)
        self.sequence += 1
        self.next = self.answer(SYN | ACK, self.sequence) + 1
        self.send(ACK)

    def time_of_ack(self, data):
        """Seconds until data is acknowledged."""
        started = time.monotonic()
        self.send(ACK, data)
        self.sequence += len(data)
        self.answer(ACK, self.sequence)
        return time.monotonic() - started


def main():
    hostside.wait_for_console("listening on port")
    peer = ping_host.Peer()
    peer.find_guest()
    connection = Connection(peer)
    connection.open()
    times = []
    for _ in range(PIECES):
        time.sleep(2 * COMPUTES)  # it waits for the next piece by then
        times.append(connection.time_of_ack(b"x" * 100))
    connection.send(FIN | ACK)
    print("milliseconds to the ACK:", *(f"{1000 * each:.1f}" for each in times))
    hostside.check(statistics.median(times) < MOST, f"the median ACK took {1000 * statistics.median(times):.1f} ms")


if __name__ == "__main__":
    main()
