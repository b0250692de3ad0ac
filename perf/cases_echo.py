"""The smallest server there is, guests/programs/tcp_echo.c, driven by perf/load.

Ping-pong by message size, connections made and closed, and the cost of one busy connection's requests
beside thousands of idle ones, with the memory that each of these takes.
"""

import dataclasses
import functools

import load_program
from model import Bar, Case

PORT = 7007
MESSAGE_BYTES = (64, 512, 4096, 16384, 65536)
IDLE = (0, 1000, 10000, 50000)
USER_MOST = 1000  # connections over user networking, which takes descriptors and ports of the host for each
IDLE_BYTES = 1024
NOT_BEHIND = Bar("ratio", ">=", 1)


def pingpong(target, seconds, size=64):
    """One connection, one message under way."""
    return load_program.run(target, PORT, "pingpong", seconds=seconds, size=size)


def connect(target, seconds):
    """Connect, one exchange, close."""
    return load_program.run(target, PORT, "connect", seconds=seconds)


def case(name, title, group, operation, unit, **more):
    """A case of this server."""
    return Case(name=name, title=title, group=group, image="tcp-echo", operation=operation, unit=unit, ready="listening on port",
                **more)


def pingpong_case(size):
    """One size of messages."""
    text = f"{size} bytes" if size < 1024 else f"{size // 1024} KiB"
    return case(f"pingpong-{size}", f"ping-pong of {text}, 1 connection", "pingpong", "exchange", "exchanges/s",
                drive=functools.partial(pingpong, size=size), bars=(NOT_BEHIND,), curve=("message bytes", "ping-pong", size))


def beside_idle(plain, connections, bench, system):
    """A machine of its own: ping-pong while so many other connections are open; what each of them took of memory.

    Memory is told apart only in counted runs, in which the host backs single pages.
    """
    with bench.boot(plain, system) as guest:
        connect(guest.target, 0.5)  # what the first connections leave behind is not the idle ones'
        before = guest.memory_peak()
        with load_program.idle(guest.target, PORT, connections):
            after = guest.memory_peak()
            sample = bench.drive(plain, guest)
        if bench.counting and connections:
            sample.load.notes["bytes_per_idle_connection"] = (after - before) / connections
    return sample


def idle_case(connections):
    """One number of idle connections."""
    plain = case(f"idle-{connections}", f"ping-pong of 64 bytes beside {connections:,} idle connections", "idle", "exchange",
                 "exchanges/s", drive=pingpong, memory="1G", tap_only=connections > USER_MOST,
                 bars=(NOT_BEHIND, Bar("bytes_per_idle_connection", "<=", IDLE_BYTES)) if connections == IDLE[-1] else (NOT_BEHIND,),
                 curve=("idle connections", "ping-pong", connections))
    return dataclasses.replace(plain, standalone=functools.partial(beside_idle, plain, connections))


CASES = (
    *(pingpong_case(size) for size in MESSAGE_BYTES),
    case("connect-rate", "connect, exchange of 64 bytes, close, 16 at once", "connect", "connection", "connections/s", drive=connect,
         bars=(NOT_BEHIND,)),
    *(idle_case(connections) for connections in IDLE),
)
