"""Drives tcp_echo: single bytes, large streams both ways at once, many clients at once, and clients that go away.

What the guest itself can check, over its loopback, is guests/programs/tcp_echo_check.c.
"""

import os
import socket
import struct
import threading
import time

import hostside

PORT = 7007
LARGE = 4 << 20
EXCHANGES = 500


def read_exactly(link, count):
    """Reads count bytes."""
    data = bytearray()
    while len(data) < count:
        part = link.recv(count - len(data))
        hostside.check(part, f"the guest closed after {len(data)} of {count} bytes")
        data += part
    return bytes(data)


def echo(size, link):
    """Sends `size` random bytes while reading them back."""
    data = os.urandom(size)
    sender = threading.Thread(target=link.sendall, args=(data,))
    sender.start()
    back = read_exactly(link, size)
    sender.join()
    hostside.check(back == data, f"{size} bytes came back changed")


def exchange(link):
    """64 bytes to and fro, one after the other."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    started = time.monotonic()
    for number in range(EXCHANGES):
        data = number.to_bytes(64, "little")
        link.sendall(data)
        hostside.check(read_exactly(link, 64) == data, f"exchange {number} came back changed")
    print(f"from the host: {EXCHANGES / (time.monotonic() - started):,.0f} exchanges/s of 64 bytes")


def half_close(size):
    """All that was sent comes back after the end of it was sent."""
    with hostside.connect(PORT) as link:
        data = os.urandom(size)
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        hostside.check(read_exactly(link, size) == data, f"{size} bytes came back changed after a half-close")
        hostside.check(link.recv(1) == b"", "the guest sent more than it was given")


def reset():
    """A client that leaves with a RST disturbs nobody."""
    link = hostside.connect(PORT)
    link.sendall(b"x" * 1000)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def main():
    with hostside.connect(PORT, wait_for="listening") as link:
        for size in [1, 2, 1459, 1460, 1461, 65536, 1]:
            echo(size, link)
        started = time.monotonic()
        echo(LARGE, link)
        seconds = time.monotonic() - started
        print(f"from the host: {LARGE >> 20} MiB and back at {(LARGE >> 20) / seconds:.1f} MiB/s")
        exchange(link)
        link.shutdown(1)
        hostside.check(link.recv(1) == b"", "the guest sent more than it was given")
    links = [hostside.connect(PORT) for _ in range(50)]
    threads = [threading.Thread(target=echo, args=(20000, link)) for link in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for link in links:
        echo(100, link)
        link.close()
    for size in [1, 1000, 50000]:
        half_close(size)
    for _ in range(20):
        reset()
        with hostside.connect(PORT) as link:
            echo(100, link)


if __name__ == "__main__":
    main()
