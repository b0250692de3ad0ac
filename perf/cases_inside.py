"""What is measured inside the guest, by perf/guest/bench.c: system calls, waiting, memory, loopback.

The same static program runs on both systems and times itself; the host says what to do over TCP,
reads the counters before and after, and so counts the few packets of a request with it. Each case's
title says what an operation is and what is counted with it.
"""

import json
import socket

import model

PORT = 5002
ANSWER_SECONDS = 60


def ask(target, command, operations):
    """The program's answer to one request, as a dictionary."""
    address = (target.host, target.ports[PORT])
    try:
        with socket.create_connection(address, ANSWER_SECONDS) as connection, connection.makefile("rw") as stream:
            stream.write(f"{command} {operations}\n")
            stream.flush()
            line = stream.readline()
    except OSError as error:
        raise model.MeasurementError(f"bench: no connection to {address[0]}:{address[1]} ({error})") from error
    answer = json.loads(line or '{"error": "the connection ended"}')
    if "error" in answer:
        raise model.MeasurementError(f"bench: {command} {operations}: {answer['error']}")
    return answer


def merge_latency(load, answer):
    """Adds one answer's histogram to the load's, and takes the percentiles of all."""
    counts = dict(map(tuple, load.histogram_us))
    for bound, count in answer.get("histogram_ns", []):
        counts[bound / 1000] = counts.get(bound / 1000, 0) + count
    load.histogram_us = [list(pair) for pair in sorted(counts.items())]
    total = sum(counts.values())
    for name in model.PERCENTILES if total else ():
        seen, wanted = 0, total * float(name[1:]) / 100
        for bound, count in load.histogram_us:
            seen += count
            if seen >= wanted:
                load.latency_us[name] = bound
                break


def run(target, command, first, seconds):
    """Batches until about `seconds` are over: `first` operations, then what is left, at the pace so far."""
    load = model.Load(operations=0, seconds=0)
    batch = first
    while batch:
        answer = ask(target, command, batch)
        load.operations += answer["operations"]
        load.seconds += answer["nanoseconds"] / 1e9
        merge_latency(load, answer)
        left = seconds - load.seconds
        pace = load.operations / max(load.seconds, 1e-9)
        batch = int(pace * left) if left > seconds / 20 else 0
    return load


def case(name, command, first, title, operation, unit, bars=(), **more):
    """A case whose set-up is done by one operation beforehand."""
    more.setdefault("prepare", lambda target: ask(target, command, 1))
    more.setdefault("drive", lambda target, seconds: run(target, command, first, seconds))
    return model.Case(name="inside-" + name, title=title, group="inside", image="bench", operation=operation, unit=unit,
                      ready="bench: serving", bars=bars, **more)


EPOLL_FEW, EPOLL_MANY, EPOLL_COUNTED = "epoll 10", "epoll 10000", 20000
TO_FEW = "kernel_instructions_to_those_with_10_watched"
kernel_of_few = {}  # QEMU's pid -> kernel instructions per call with few descriptors, for the case with many


def kernel_per_call(target, command):
    """Kernel instructions of one epoll_wait, with its set ready."""
    ask(target, command, 1)
    before = target.read_counters()
    ask(target, command, EPOLL_COUNTED)
    return target.read_counters().minus(before).kernel / EPOLL_COUNTED


def prepare_epoll_many(target):
    """In counted runs the case with few descriptors is measured first, for the comparison."""
    if target.read_counters:
        kernel_of_few[target.pid] = kernel_per_call(target, EPOLL_FEW)
    ask(target, EPOLL_MANY, 1)


def drive_epoll_many(target, seconds):
    """Notes TO_FEW: kernel instructions relative to those with 10 watched descriptors."""
    before = target.read_counters() if target.read_counters else None
    load = run(target, EPOLL_MANY, EPOLL_COUNTED, seconds)
    if before:
        kernel = target.read_counters().minus(before).kernel / load.operations
        load.notes[TO_FEW] = kernel / kernel_of_few.pop(target.pid)
    return load


CASES = (
    case("getppid", "getppid", 50000, "the cheapest system call: getppid", "call", "calls/s",
         bars=(model.Bar("kernel", "<=", 120),)),
    case("clock-gettime", "clock_gettime", 200000, "clock_gettime(CLOCK_MONOTONIC), through the vDSO", "call", "calls/s"),
    case("open-close", "open-close", 5000, "open and close a file in /tmp", "open and close", "pairs/s"),
    case("fstat", "fstat", 20000, "fstat of an open file", "call", "calls/s"),
    case("read-4k", "read-4k", 5000, "pread of 4 KiB of a file in memory", "call", "calls/s"),
    case("mmap-munmap", "mmap-munmap", 2000, "mmap and munmap of 64 KiB that are never touched", "pair", "pairs/s"),
    case("page-fault", "page-fault", 4096,
         "first write to a 4 KiB page of anonymous memory; a share of 1/1024 of mmap and munmap of 4 MiB is counted with it",
         "page", "pages/s"),
    case("pipe", "pipe", 1000, "one byte to another process and back over two pipes: two context switches", "round trip",
         "round trips/s"),
    case("futex", "futex", 1000, "to another thread and back with futex wake and wait: two context switches", "round trip",
         "round trips/s"),
    case("thread", "thread", 500, "pthread_create and pthread_join", "thread", "threads/s"),
    case("epoll-10", EPOLL_FEW, EPOLL_COUNTED, "epoll_wait, 10 eventfds watched, 1 ready", "call", "calls/s"),
    case("epoll-10000", EPOLL_MANY, EPOLL_COUNTED, "epoll_wait, 10,000 eventfds watched, 1 ready", "call", "calls/s",
         prepare=prepare_epoll_many, drive=drive_epoll_many, bars=(model.Bar(TO_FEW, "<=", 1.1),)),
    case("loopback-throughput", "loopback-throughput", 32,
         "bulk over 127.0.0.1 between two processes, 128 KiB per write, every byte verified by its receiver", "MiB", "MiB/s"),
    case("loopback-latency", "loopback-latency", 500, "64 bytes over 127.0.0.1 to another process and back", "round trip",
         "round trips/s"),
)
