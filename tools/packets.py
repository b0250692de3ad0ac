"""Packets as bytes, for those who play another machine on a guest's wire. Addresses are four bytes."""

import struct

ICMP, TCP, UDP = 1, 6, 17
CHECKSUM_AT = {ICMP: 2, TCP: 16, UDP: 6}


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def with_checksum(data, at, before=b""):
    """Data with the checksum of itself and of what stands before it put in, where it has zeros."""
    return data[:at] + struct.pack(">H", checksum(before + data)) + data[at + 2:]


def ipv4(source, destination, protocol, payload):
    """An IPv4 packet; the checksums of the header and of what is in the packet are put in."""
    pseudo = b"" if protocol == ICMP else source + destination + struct.pack(">BBH", 0, protocol, len(payload))
    payload = with_checksum(payload, CHECKSUM_AT[protocol], pseudo)
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, source, destination)
    return with_checksum(header, 10) + payload


def udp(source_port, port, data):
    """A UDP datagram, without its checksum."""
    return struct.pack(">HHHH", source_port, port, 8 + len(data), 0) + data


def tcp(ports, numbers, flags, data=b"", options=b""):
    """A TCP segment, without its checksum. ports: from and to; numbers: sequence and acknowledgment."""
    offset = (20 + len(options)) << 2
    return struct.pack(">HHIIBBHHH", *ports, *numbers, offset, flags, 65535, 0, 0) + options + data
