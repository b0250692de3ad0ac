"""The other machine on the wire: answers ARP and echo requests while busybox's ping in the guest asks."""

import struct

import hostside
import ping_host


def reply(frame, peer):
    """The answer to an echo request, with the same data."""
    length = struct.unpack(">H", frame[16:18])[0]
    request = frame[34:14 + length]
    hostside.check(ping_host.checksum(request) == 0, "the request's ICMP checksum is wrong")
    answer = b"\0\0\0\0" + request[4:]
    answer = answer[:2] + struct.pack(">H", ping_host.checksum(answer)) + answer[4:]
    header = frame[14:24] + b"\0\0" + frame[30:34] + frame[26:30]
    header = header[:10] + struct.pack(">H", ping_host.checksum(header)) + header[12:]
    return ping_host.ethernet(peer.guest_mac, ping_host.IPV4, header + answer)


def main():
    peer = ping_host.Peer()
    peer.find_guest()
    asked = 0
    while "packet loss" not in hostside.console():
        frame = peer.frame()
        if frame and frame[12:14] == struct.pack(">H", ping_host.IPV4) and frame[23] == 1 and frame[34] == 8:
            peer.send(reply(frame, peer))
            asked += 1
    hostside.check(asked >= 5, f"only {asked} requests came")


if __name__ == "__main__":
    main()
