"""What a guest costs that does nothing while connections to it are open: per second of rest."""

import contextlib
import dataclasses
import functools
import socket
import time

from model import Bar, Case, Load, MeasurementError

CONNECTIONS = 50
SECONDS = 10
SETTLE_SECONDS = 2
NO_WORSE = Bar("exits_ratio", "<=", 1)


def ask(links, hello):
    """Every connection is answered."""
    for link in links:
        link.sendall(hello)
        if not link.recv(100):
            raise MeasurementError("the server closed a connection at rest")


@contextlib.contextmanager
def connections(target, port, hello):
    """Connections at rest, that serve before and afterwards."""
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(socket.create_connection((target.host, target.ports[port]), timeout=10)) for _ in range(CONNECTIONS)]
        ask(links, hello)
        yield
        ask(links, hello)


def rest(_target, _seconds):
    """A time in which nothing is asked of the guest."""
    time.sleep(SECONDS)
    return Load(SECONDS, SECONDS)


def at_rest(plain, port, hello, bench, system):
    """A machine of its own."""
    with bench.boot(plain, system) as guest, connections(guest.target, port, hello):
        time.sleep(SETTLE_SECONDS)
        return bench.drive(plain, guest)


def case(name, title, image, ready, port, hello, kvm_bars):
    """One server at rest."""
    plain = Case(name="quiet-" + name, title=f"{title} at rest, {CONNECTIONS} connections open", group="quiet", image=image, ready=ready,
                 operation="second", unit="seconds/s", drive=rest, kvm_bars=kvm_bars)
    return dataclasses.replace(plain, standalone=functools.partial(at_rest, plain, port, hello))


CASES = (
    case("echo", "a server without timers", "tcp-echo", "listening on port", 7007, b"hello", (Bar("exits", "<=", 2), NO_WORSE)),
    # Its clock ticks ten times a second, which wakes any guest.
    case("redis", "redis", "redis", "Ready to accept", 6379, b"PING\r\n", (NO_WORSE,)),
)
