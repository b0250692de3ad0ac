"""Sends to a program that reads and then computes: the ACK that is held for its answer must leave while it does.

Delayed ACKs would come after 40 ms of the guest's time, a held one after 0.5 ms. A busy host delays single ones, and
some turn of the guest's may hasten others, so the median counts.
"""

import statistics
import time

import hostside
import other_machine
import tcp_peer

PORT, OUR_PORT = 7007, 40000
PIECES = 15
COMPUTES = 0.1  # seconds, of the program behind each piece
MOST = 0.035


def time_of_ack(connection, data):
    """Seconds until data is acknowledged."""
    started = time.monotonic()
    connection.send(tcp_peer.ACK, data)
    connection.sequence += len(data)
    connection.answer(tcp_peer.ACK, connection.sequence)
    return time.monotonic() - started


def main():
    hostside.wait_for_console("listening on port")
    peer = other_machine.Peer()
    peer.find_guest()
    connection = tcp_peer.Connection(peer, PORT, OUR_PORT)
    connection.open()
    times = []
    for _ in range(PIECES):
        time.sleep(2 * COMPUTES)  # it waits for the next piece by then
        times.append(time_of_ack(connection, b"x" * 100))
    connection.send(tcp_peer.FIN | tcp_peer.ACK)
    print("milliseconds to the ACK:", *(f"{1000 * each:.1f}" for each in times))
    hostside.check(statistics.median(times) < MOST, f"the median ACK took {1000 * statistics.median(times):.1f} ms")


if __name__ == "__main__":
    main()
