"""The other end of udp_segments: each of its datagrams comes once and in order, and none is missing where it waits for room.

A datagram of one byte ends what was sent together, and is answered. It says of the numbers before it: a: all are there;
s: some are lost, since the ring of 16 has no room for all; m: some may be lost.
"""

import struct

import hostside
import ping_host

PORT = 7008
UDP = 17
ENDS = {b"a", b"s", b"m"}


def payload(frame):
    """The bytes of a UDP datagram to our port, and the port that it is from; or None."""
    if frame is None or frame[12:14] != struct.pack(">H", ping_host.IPV4) or frame[23] != UDP:
        return None
    source, to, length = struct.unpack(">HHH", frame[34:40])
    return (frame[42:34 + length], source) if to == PORT else None


def answer(peer, to):
    """A datagram of one byte back, without a checksum."""
    datagram = struct.pack(">HHHH", PORT, to, 9, 0) + b"k"
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, UDP, 0, ping_host.OUR_IP, ping_host.GUEST_IP)
    header = header[:10] + struct.pack(">H", ping_host.checksum(header)) + header[12:]
    peer.send(ping_host.ethernet(peer.guest_mac, ping_host.IPV4, header + datagram))


def judge(kind, numbers, sent):
    """Checks the numbers that came of one or several sends; `sent`: all below it came or were lost before."""
    hostside.check(all(one < two for one, two in zip([sent - 1, *numbers], numbers)), f"{kind}: twice, or out of order: {numbers}")
    missing = numbers[-1] + 1 - sent - len(numbers) if numbers else 0
    hostside.check(kind != "a" or not missing, f"{missing} datagrams are missing: {numbers}")
    hostside.check(kind != "s" or len(numbers) < 100, "a ring of 16 entries took 100 datagrams at once: nothing waits")


def main():
    peer = ping_host.Peer()
    numbers, sent, counted = [], 0, {}
    while "udp_segments: " not in hostside.console():
        found = payload(peer.frame())
        if not found:
            continue
        data, source = found
        if data in ENDS:
            kind = data.decode()
            judge(kind, numbers, sent)
            counted[kind] = counted.get(kind, 0) + len(numbers)
            sent = numbers[-1] + 1 if numbers else sent
            numbers = []
            answer(peer, source)
        else:
            hostside.check(len(data) == 8, f"a datagram of {len(data)} bytes")
            numbers.append(struct.unpack(">Q", data)[0])
    print("datagrams that came:", counted)
    hostside.check(counted.get("a") == 600, "600 were sent")
    hostside.check("m" in counted, "nothing was interrupted")


if __name__ == "__main__":
    main()
