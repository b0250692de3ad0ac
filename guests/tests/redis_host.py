"""Drives redis with redis-cli and redis-benchmark from Debian, and by its protocol for pub/sub."""

import hostside

PORT = 6379
# Commands in flight on a connection, connections, bytes of a value, requests, tests.
RUNS = [
    ("1", "50", "3", "10000", "set,get,incr,lpush,mset"),
    ("16", "50", "3", "20000", "set,get,incr,lpush,mset"),
    ("1", "300", "3", "5000", "set,get"),
    ("1", "20", "65536", "500", "set,get"),
]


def cli(*words):
    """What redis-cli prints."""
    return hostside.run("redis-cli", "-p", str(hostside.port(PORT)), *words).strip()


def expect(answer, *words):
    """redis-cli's answer must be this."""
    got = cli(*words)
    hostside.check(got == answer, f"{' '.join(words)[:60]}: {got[:100]!r} instead of {answer[:100]!r}")


def read_until(link, end):
    """Reads until the data ends so."""
    data = b""
    while not data.endswith(end):
        part = link.recv(65536)
        hostside.check(part, f"the connection closed after {data!r}")
        data += part
    return data


def publish_and_subscribe():
    """A message reaches a subscriber; a blocked pop is served by a push."""
    with hostside.connect(PORT) as listener, hostside.connect(PORT) as speaker:
        listener.sendall(b"SUBSCRIBE news\r\n")
        read_until(listener, b":1\r\n")
        speaker.sendall(b"PUBLISH news extra\r\n")
        read_until(speaker, b":1\r\n")
        read_until(listener, b"$5\r\nextra\r\n")
    with hostside.connect(PORT) as waiter, hostside.connect(PORT) as pusher:
        waiter.sendall(b"BLPOP queue 20\r\n")
        pusher.sendall(b"RPUSH queue work\r\n")
        read_until(waiter, b"$5\r\nqueue\r\n$4\r\nwork\r\n")
        waiter.sendall(b"BLPOP queue 0.2\r\n")
        read_until(waiter, b"*-1\r\n")


def main():
    hostside.wait_for_console("Ready to accept connections")
    expect("PONG", "ping")
    expect("OK", "set", "greeting", "hello")
    expect("hello", "get", "greeting")
    expect("3", "rpush", "list", "a", "b", "c")
    expect("a\nb\nc", "lrange", "list", "0", "-1")
    expect("42", "incrby", "counter", "42")
    large = "x" * 100000
    expect("OK", "set", "large", large)
    expect(large, "get", "large")
    publish_and_subscribe()
    port = str(hostside.port(PORT))
    for pipeline, clients, size, count, tests in RUNS:
        print(f"{clients} connections, pipeline of {pipeline}, values of {size} bytes, requests/s:")
        print(hostside.run("redis-benchmark", "-p", port, "-t", tests, "-c", clients, "-P", pipeline,
                           "-d", size, "-n", count, "--csv"))
    expect("PONG", "ping")


if __name__ == "__main__":
    main()
