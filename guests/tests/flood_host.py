"""Clients of redis are slow to end their handshakes, and more SYNs come from nobody meanwhile than the stack keeps half-open."""

import struct

import hostside
import other_machine
import packets
import tcp_peer

PORT = 6379
SYNS = 9000  # half-open connections are 8192 at most
AT_ONCE = 64  # no more than the card's ring holds


def flood(peer, network):
    """SYNs from 198.18.0.0/15; returns when the guest has dealt with all of them."""
    for number in range(SYNS):
        source = struct.pack(">I", (198 << 24) + (18 + network << 16) + number)
        peer.send(packets.TCP, packets.tcp((1024 + number, PORT), (number, 0), tcp_peer.SYN), source)
        if number % AT_ONCE == 0:
            peer.ping(number, 0)
    peer.ping(SYNS, 0)


def serve(client):
    """The end of the handshake, and a request."""
    request = b"PING\r\n"
    client.send(tcp_peer.ACK)
    client.send(tcp_peer.ACK, request)
    client.sequence += len(request)
    _, answer = client.receive(lambda flags, acknowledged, data: data or flags & tcp_peer.RST)
    hostside.check(answer == b"+PONG\r\n", f"the answer is {answer}")


def main():
    hostside.wait_for_console("Ready to accept connections")
    peer = other_machine.Peer()
    peer.find_guest()
    before, during = (tcp_peer.Connection(peer, PORT, 40000 + number) for number in range(2))
    before.knock()
    flood(peer, 0)
    during.knock()
    flood(peer, 1)
    serve(before)
    serve(during)


if __name__ == "__main__":
    main()
