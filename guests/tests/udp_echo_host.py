"""Drives udp_echo: datagrams of all sizes up to one segment (passt takes no fragments), with retries."""

import os
import socket
import time

import hostside

PORT = 7007
SIZES = [1, 2, 17, 100, 1000, 1472] + [200] * 100


def main():
    hostside.wait_for_console("listening")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(("127.0.0.1", hostside.port(PORT)))
        link.settimeout(1)
        started, tries = time.monotonic(), 0
        for size in SIZES:
            data = os.urandom(size)
            for _ in range(10):
                tries += 1
                link.send(data)
                try:
                    back = link.recv(65536)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                if back == data:
                    break
            else:
                raise AssertionError(f"a datagram of {size} bytes never came back")
        print(f"from the host: {len(SIZES)} datagrams back after {tries} tries, {len(SIZES) / (time.monotonic() - started):,.0f}/s")


if __name__ == "__main__":
    main()
