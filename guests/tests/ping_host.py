"""Asks for the guest's address by ARP, then pings it with several sizes."""

import other_machine


def main():
    peer = other_machine.Peer()
    peer.find_guest()
    for sequence, size in enumerate([0, 1, 56, 555, 1400, 1472] + [56] * 50):
        peer.ping(sequence, size)


if __name__ == "__main__":
    main()
