"""As much of TCP as it takes to speak to the guest a segment at a time (RFC 9293)."""

import struct
import time

import hostside
import ping_host

TCP = 6
FIN, SYN, RST, ACK = 1, 2, 4, 16


def segment(source, ports, numbers, flags, data=b""):
    """The IPv4 packet of a segment to the guest. ports: from and to; numbers: sequence and acknowledgment."""
    tcp = struct.pack(">HHIIBBHHH", *ports, *numbers, 5 << 4, flags, 65535, 0, 0) + data
    pseudo = source + ping_host.GUEST_IP + struct.pack(">HH", TCP, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", ping_host.checksum(pseudo + tcp)) + tcp[18:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, TCP, 0, source, ping_host.GUEST_IP)
    return header[:10] + struct.pack(">H", ping_host.checksum(header)) + header[12:] + tcp


class Connection:
    """A connection to a port of the guest's; peer: a ping_host.Peer."""

    def __init__(self, peer, port, own_port):
        self.peer = peer
        self.ports = own_port, port
        self.sequence = 1000
        self.next = 0  # theirs

    def send(self, flags, data=b""):
        """One segment."""
        packet = segment(ping_host.OUR_IP, self.ports, (self.sequence, self.next), flags, data)
        self.peer.send(ping_host.ethernet(self.peer.guest_mac, ping_host.IPV4, packet))

    def receive(self, wanted):
        """The sequence number and the data of the first segment of which wanted(flags, acknowledgment, data) holds."""
        while time.monotonic() < hostside.deadline():
            frame = self.peer.frame()
            if frame is None or frame[12:14] != struct.pack(">H", ping_host.IPV4) or frame[23] != TCP:
                continue
            port, own_port, sequence, acknowledged, offset, flags = struct.unpack(">HHIIBB", frame[34:48])
            data = frame[34 + (offset >> 4) * 4:14 + struct.unpack(">H", frame[16:18])[0]]
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
