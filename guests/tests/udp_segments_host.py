"""The other end of udp_segments: each of its datagrams comes once and in order, and none is missing where it waits for room.

A datagram of one byte ends what was sent together, and is answered. It says of the numbers before it: a: all are there;
s: some are lost, since the ring of 16 has no room for all; m: some may be lost.
"""

import struct

import hostside
import other_machine
import packets

PORT = 7008
ENDS = {b"a", b"s", b"m"}


def judge(kind, numbers, sent):
    """Checks the numbers that came of one or several sends; `sent`: all below it came or were lost before."""
    hostside.check(all(one < two for one, two in zip([sent - 1, *numbers], numbers)), f"{kind}: twice, or out of order: {numbers}")
    missing = numbers[-1] + 1 - sent - len(numbers) if numbers else 0
    hostside.check(kind != "a" or not missing, f"{missing} datagrams are missing: {numbers}")
    hostside.check(kind != "s" or len(numbers) < 100, "a ring of 16 entries took 100 datagrams at once: nothing waits")


def main():
    peer = other_machine.Peer()
    numbers, sent, counted = [], 0, {}
    while "udp_segments: " not in hostside.console():
        datagram = peer.receive(packets.UDP)
        if not datagram or struct.unpack(">H", datagram[2:4])[0] != PORT:
            continue
        data = datagram[8:]
        if data in ENDS:
            kind = data.decode()
            judge(kind, numbers, sent)
            counted[kind] = counted.get(kind, 0) + len(numbers)
            sent = numbers[-1] + 1 if numbers else sent
            numbers = []
            peer.send(packets.UDP, packets.udp(PORT, struct.unpack(">H", datagram[:2])[0], b"k"))
        else:
            hostside.check(len(data) == 8, f"a datagram of {len(data)} bytes")
            numbers.append(struct.unpack(">Q", data)[0])
    print("datagrams that came:", counted)
    hostside.check(counted.get("a") == 600, "600 were sent")
    hostside.check("m" in counted, "nothing was interrupted")


if __name__ == "__main__":
    main()
