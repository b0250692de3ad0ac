"""The other machine on the wire: answers ARP and echo requests while busybox's ping in the guest asks."""

import hostside
import other_machine
import packets


def main():
    peer = other_machine.Peer()
    peer.find_guest()
    asked = 0
    while "packet loss" not in hostside.console():
        request = peer.receive(packets.ICMP)
        if request and request[0] == other_machine.ECHO_REQUEST:
            peer.send(packets.ICMP, bytes([other_machine.ECHO_REPLY, 0, 0, 0]) + request[4:])
            asked += 1
    hostside.check(asked >= 5, f"only {asked} requests came")


if __name__ == "__main__":
    main()
