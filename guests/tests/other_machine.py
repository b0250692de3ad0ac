"""The other machine on the guest's wire: answers ARP, and sends and receives what it is told to."""

import os
import struct
import time

import hostside
import packets

OUR_MAC = bytes.fromhex("525400120002")
OUR_IP, GUEST_IP = bytes([10, 0, 2, 2]), bytes([10, 0, 2, 15])
BROADCAST = b"\xff" * 6
ARP, IPV4 = 0x0806, 0x0800
ECHO_REQUEST, ECHO_REPLY = 8, 0


def ethernet(to, kind, payload):
    """A frame of at least 60 bytes."""
    return (to + OUR_MAC + struct.pack(">H", kind) + payload).ljust(60, b"\0")


def arp(operation, to_mac, to_ip):
    """An ARP packet for IPv4 over Ethernet (RFC 826)."""
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + OUR_MAC + OUR_IP + to_mac + to_ip


def echo(kind, identifier, sequence, data):
    """An ICMP echo message (RFC 792), without its checksum."""
    return struct.pack(">BBHHH", kind, 0, 0, identifier, sequence) + data


class Peer:
    """The machine OUR_IP; find_guest comes first."""

    def __init__(self):
        self.link = hostside.peer_socket()
        self.link.settimeout(0.25)
        self.guest_mac = None

    def frame(self):
        """The next frame, or None after a moment."""
        try:
            data = self.link.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return None
        if data[12:14] == struct.pack(">H", ARP):
            sender_mac, sender_ip, target_ip = data[22:28], data[28:32], data[38:42]
            if data[20:22] == b"\0\1" and target_ip == OUR_IP:
                self.send_frame(ethernet(sender_mac, ARP, arp(2, sender_mac, sender_ip)))
            if sender_ip == GUEST_IP:
                self.guest_mac = sender_mac
        return data

    def receive(self, protocol):
        """What the next packet holds if it is of this protocol; else, and after a moment, None. Its checksums must be right."""
        frame = self.frame()
        if frame is None or frame[12:14] != struct.pack(">H", IPV4) or frame[23] != protocol:
            return None
        payload = frame[34:14 + struct.unpack(">H", frame[16:18])[0]]
        hostside.check(frame[6:12] == self.guest_mac, "a packet comes from another Ethernet address")
        hostside.check(packets.checksum(frame[14:34]) == 0, "a packet's IPv4 checksum is wrong")
        if protocol == packets.ICMP:
            hostside.check(packets.checksum(payload) == 0, "a packet's ICMP checksum is wrong")
        return payload

    def send_frame(self, frame):
        """Sends a frame; a guest that is not up yet refuses it, which is no error."""
        try:
            self.link.send(frame)
        except ConnectionRefusedError:
            pass

    def send(self, protocol, payload, source=OUR_IP):
        """Sends the guest an IPv4 packet, with its checksums."""
        self.send_frame(ethernet(self.guest_mac, IPV4, packets.ipv4(source, GUEST_IP, protocol, payload)))

    def find_guest(self):
        """Asks for the guest's address until it answers."""
        while not self.guest_mac:
            hostside.check(time.monotonic() < hostside.deadline(), "the guest never answered ARP")
            self.send_frame(ethernet(BROADCAST, ARP, arp(1, bytes(6), GUEST_IP)))
            for _ in range(4):
                if self.guest_mac or self.frame() is None:
                    break

    def ping(self, sequence, size):
        """One echo request; its answer must hold the same data."""
        data = os.urandom(size)
        for _ in range(5):
            self.send(packets.ICMP, echo(ECHO_REQUEST, 77, sequence, data))
            until = time.monotonic() + 2
            while time.monotonic() < until:
                answer = self.receive(packets.ICMP)
                if answer and answer[0] == ECHO_REPLY and answer[4:8] == struct.pack(">HH", 77, sequence):
                    hostside.check(answer[8:] == data, "the answer does not hold the data that was sent")
                    return
        raise AssertionError(f"no answer to a ping with {size} bytes of data")
