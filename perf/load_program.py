"""perf/load from Python: one run as a model.Load, and idle connections that stay while others work."""

import contextlib
import json
import select
import subprocess

import generators
import opponents
import wire
from model import Load, MeasurementError

# A user may have few descriptors, so many connections are several processes'.
CONNECTIONS_PER_PROCESS = 12500
OPENING_SECONDS = 180


def command(target, port, mode, sources, options):
    """The command line; options are named as the program's, without their dashes."""
    words = [opponents.built("perf/load/load"), mode, target.host, str(target.ports[port])]
    if sources:
        words += ["--sources", sources]
    for name, value in options.items():
        words += ["--" + name, str(value)]
    return words


def load_of(line):
    """What the program printed."""
    found = json.loads(line)
    return Load(found["operations"], found["seconds"], {name: found["latency_us"][name] for name in ("p50", "p99", "p99.9")},
                found["histogram_us"])


def run(target, port, mode, **options):
    """One run: every reply was right, or MeasurementError."""
    return load_of(generators.run(*command(target, port, mode, wire.own_addresses(target.host), options)))


def wait_open(process):
    """Waits until all connections of a process are open."""
    if select.select([process.stdout], [], [], OPENING_SECONDS)[0]:
        if process.stdout.readline():
            return
    else:
        process.kill()
    raise MeasurementError("idle connections: " + (process.communicate()[1].strip() or f"not open after {OPENING_SECONDS} s"))


@contextlib.contextmanager
def idle(target, port, connections):
    """So many connections stay open; each made one exchange. One that breaks meanwhile is an error at the end."""
    sources = wire.own_addresses(target.host)
    processes = []
    try:
        while connections:
            share = min(connections, CONNECTIONS_PER_PROCESS)
            process = subprocess.Popen(command(target, port, "idle", sources, {"connections": share}), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            processes.append(process)
            wait_open(process)
            connections -= share
        yield
        for process in processes:
            error = process.communicate()[1]
            if process.returncode != 0:
                raise MeasurementError("idle connections: " + error.strip())
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
