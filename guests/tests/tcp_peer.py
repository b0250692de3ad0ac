"""As much of TCP as it takes to speak to the guest a segment at a time (RFC 9293)."""

import struct
import time

import hostside
import packets

FIN, SYN, RST, ACK = 1, 2, 4, 16


class Connection:
    """A connection to a port of the guest's; peer: an other_machine.Peer."""

    def __init__(self, peer, port, own_port):
        self.peer = peer
        self.ports = own_port, port
        self.sequence = 1000
        self.next = 0  # theirs

    def send(self, flags, data=b""):
        """One segment."""
        self.peer.send(packets.TCP, packets.tcp(self.ports, (self.sequence, self.next), flags, data))

    def receive(self, wanted):
        """The sequence number and the data of the first segment of which wanted(flags, acknowledgment, data) holds."""
        while time.monotonic() < hostside.deadline():
            segment = self.peer.receive(packets.TCP)
            if segment is None:
                continue
            port, own_port, sequence, acknowledged, offset, flags = struct.unpack(">HHIIBB", segment[:14])
            data = segment[(offset >> 4) * 4:]
            if (own_port, port) == self.ports and wanted(flags, acknowledged, data):
                return sequence, data
        raise AssertionError("the guest never sent what was waited for")

    def answer(self, flags, acknowledges):
        """Waits for a segment with these of SYN, RST and ACK that acknowledges so far; its sequence number."""
        return self.receive(lambda found, acknowledged, data:
                            found & (SYN | RST | ACK) == flags and acknowledged == acknowledges)[0]

    def knock(self):
        """The handshake but for its last segment."""
        self.send(SYN)
        self.sequence += 1
        self.next = self.answer(SYN | ACK, self.sequence) + 1

    def open(self):
        """The handshake."""
        self.knock()
        self.send(ACK)
