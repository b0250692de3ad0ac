"""Speaks Ethernet to the guest: asks for its address by ARP, then pings it with several sizes."""

import os
import struct
import time

import hostside

OUR_MAC = bytes.fromhex("525400120002")
OUR_IP, GUEST_IP = bytes([10, 0, 2, 2]), bytes([10, 0, 2, 15])
BROADCAST = b"\xff" * 6
ARP, IPV4 = 0x0806, 0x0800


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(to, kind, payload):
    """A frame of at least 60 bytes."""
    return (to + OUR_MAC + struct.pack(">H", kind) + payload).ljust(60, b"\0")


def arp(operation, to_mac, to_ip):
    """An ARP packet for IPv4 over Ethernet (RFC 826)."""
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + OUR_MAC + OUR_IP + to_mac + to_ip


def echo_request(identifier, sequence, data):
    """An IPv4 packet with an ICMP echo request (RFC 792)."""
    icmp = struct.pack(">BBHHH", 8, 0, 0, identifier, sequence) + data
    icmp = icmp[:2] + struct.pack(">H", checksum(icmp)) + icmp[4:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), sequence, 0, 64, 1, 0, OUR_IP, GUEST_IP)
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return header + icmp


class Peer:
    """The other machine on the guest's wire: answers ARP for OUR_IP and gives frames to whoever waits."""

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
                self.send(ethernet(sender_mac, ARP, arp(2, sender_mac, sender_ip)))
            if sender_ip == GUEST_IP:
                self.guest_mac = sender_mac
        return data

    def send(self, frame):
        """Sends a frame; a guest that is not up yet refuses it, which is no error."""
        try:
            self.link.send(frame)
        except ConnectionRefusedError:
            pass

    def find_guest(self):
        """Asks for the guest's address until it answers."""
        while not self.guest_mac:
            hostside.check(time.monotonic() < hostside.deadline(), "the guest never answered ARP")
            self.send(ethernet(BROADCAST, ARP, arp(1, bytes(6), GUEST_IP)))
            for _ in range(4):
                if self.guest_mac or self.frame() is None:
                    break

    def ping(self, sequence, size):
        """One echo request; its answer must hold the same data."""
        data = os.urandom(size)
        request = ethernet(self.guest_mac, IPV4, echo_request(77, sequence, data))
        for _ in range(5):
            self.send(request)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                frame = self.frame()
                if frame is None or frame[12:14] != struct.pack(">H", IPV4) or frame[23] != 1:
                    continue
                length = struct.unpack(">H", frame[16:18])[0]
                icmp = frame[34:14 + length]
                if icmp[0] == 0 and icmp[4:8] == struct.pack(">HH", 77, sequence):
                    hostside.check(checksum(frame[14:34]) == 0, "the answer's IPv4 checksum is wrong")
                    hostside.check(checksum(icmp) == 0, "the answer's ICMP checksum is wrong")
                    hostside.check(icmp[8:] == data, "the answer does not hold the data that was sent")
                    hostside.check(frame[6:12] == self.guest_mac, "the answer comes from another Ethernet address")
                    return
        raise AssertionError(f"no answer to a ping with {size} bytes of data")


def main():
    peer = Peer()
    peer.find_guest()
    for sequence, size in enumerate([0, 1, 56, 555, 1400, 1472] + [56] * 50):
        peer.ping(sequence, size)


if __name__ == "__main__":
    main()
