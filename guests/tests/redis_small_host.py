"""Redis in little memory: what was stored comes back, also to several clients."""

import hostside

PORT = 6379
CLIENTS = 20
KEYS = 200


def line(stream):
    """One line of an answer, without its end."""
    return stream.readline().rstrip(b"\r\n")


def main():
    hostside.wait_for_console("Ready to accept connections")
    links = [hostside.connect(PORT) for _ in range(CLIENTS)]
    streams = [link.makefile("rwb") for link in links]
    for key in range(KEYS):
        stream = streams[key % CLIENTS]
        stream.write(b"SET key:%d %s\r\n" % (key, b"v%d" % key * 50))
        stream.flush()
        hostside.check(line(stream) == b"+OK", f"SET of key {key} failed")
    for key in range(KEYS):
        stream = streams[(key + 1) % CLIENTS]
        stream.write(b"GET key:%d\r\n" % key)
        stream.flush()
        wanted = b"v%d" % key * 50
        hostside.check(line(stream) == b"$%d" % len(wanted) and line(stream) == wanted, f"GET of key {key} answers another value")


if __name__ == "__main__":
    main()
