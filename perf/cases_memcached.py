"""memcached over 50 connections, driven by perf/load: get and set of the text protocol, values checked."""

import load_program
from model import Bar, Case

PORT = 11211
CONNECTIONS = 50
KEYS = 10000
VALUE_BYTES = 64


def drive(mode):
    """A case's drive."""
    def run(target, seconds):
        return load_program.run(target, PORT, mode, seconds=seconds, connections=CONNECTIONS, keys=KEYS, size=VALUE_BYTES)
    return run


def store(target):
    """Every key once, so that each get finds its value."""
    load_program.run(target, PORT, "memcached-set", connections=1, keys=KEYS, size=VALUE_BYTES, operations=KEYS, seconds=60)


def case(name, title, bars):
    """A case; both share a boot."""
    return Case(
        name=f"memcached-{name}-{CONNECTIONS}", title=f"memcached {title} of {VALUE_BYTES} bytes, {CONNECTIONS} connections",
        group="memcached", image="memcached", operation="request", unit="requests/s", drive=drive("memcached-" + name), prepare=store,
        hello=b"version\r\n", bars=bars)


CASES = (
    case("get", "GET", (Bar("kernel", "<=", 2200), Bar("ratio", ">=", 3))),
    case("set", "SET", (Bar("ratio", ">=", 3),)),
)
