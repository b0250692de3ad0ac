"""redis-server under redis-benchmark: SET and GET, by number of connections and requests per pipeline."""

import functools
import re

import generators
from model import PERCENTILES, Bar, Case, Load, MeasurementError

PORT = 6379
CONNECTIONS = (1, 50, 500)
PIPELINES = (1, 16)
FIRST_REQUESTS = 2000  # tells how many make up the time that is wanted
FEWEST_REQUESTS = 6000  # and so many for each connection, so that making connections hardly counts
REQUESTS_PER_CONNECTION = 100

RATE = re.compile(r"throughput summary: ([\d.]+) requests per second")
DISTRIBUTION = re.compile(r"^([\d.]+)% <= ([\d.]+) milliseconds \(cumulative count (\d+)\)", re.M)


def percentile(steps, wanted):
    """Microseconds below which `wanted` percent lie; steps: (percent, microseconds), ascending, between which lies a straight line."""
    percent_before, value_before = steps[0]
    for percent, value in steps:
        if percent >= wanted:
            if percent == percent_before:
                return value
            return value_before + (value - value_before) * (wanted - percent_before) / (percent - percent_before)
        percent_before, value_before = percent, value
    return value_before


def parse(output):
    """(requests/s, latencies by percentile, histogram) of redis-benchmark's report."""
    rate = RATE.search(output)
    first, _, second = output.partition("Cumulative distribution of latencies:")
    steps = [(float(percent), float(value) * 1000) for percent, value, _ in DISTRIBUTION.findall(first)]
    if not rate or not steps:
        raise MeasurementError(f"redis-benchmark's report is not understood: {output[-300:]}")
    latency = {name: percentile(steps, float(name[1:])) for name in PERCENTILES}
    histogram, before = [], 0
    for _, value, count in DISTRIBUTION.findall(second):
        if int(count) > before:
            histogram.append([float(value) * 1000, int(count) - before])
            before = int(count)
    return float(rate.group(1)), latency, histogram


def drive(target, seconds, command, connections, pipeline):
    """A short run that tells the rate, then one that takes about `seconds`."""
    def benchmark(requests):
        return parse(generators.run(
            "redis-benchmark", "-h", target.host, "-p", str(target.ports[PORT]), "-t", command, "-c", str(connections),
            "-P", str(pipeline), "-n", str(requests)))

    first = FIRST_REQUESTS * pipeline
    rate, _, _ = benchmark(first)
    requests = int(max(rate * seconds, FEWEST_REQUESTS * pipeline, connections * REQUESTS_PER_CONNECTION))
    rate, latency, histogram = benchmark(requests)
    return Load(first + requests, requests / rate, latency, histogram, rate)


def bars(command, connections, pipeline):
    """What is to be reached."""
    found = [Bar("ratio", ">=", 3 if pipeline == 1 else 1.3), Bar("p99_ratio", "<=", 1)]
    if command == "get" and connections == 50:
        found.append(Bar("kernel", "<=", 2000 if pipeline == 1 else 250))
    return tuple(found)


def kvm_bars(command, connections, pipeline):
    """Under KVM: few exits, too."""
    if command != "get" or connections == 500 or (connections, pipeline) == (1, 16):
        return ()
    exits = {(50, 1): (Bar("exits", "<=", 0.2),), (1, 1): (Bar("exits", "<=", 2.2),)}.get((connections, pipeline), ())
    ahead = 1 if connections == 1 else 3 if pipeline == 1 else 1.3
    return (*exits, Bar("exits_ratio", "<=", 1), Bar("ratio", ">=", ahead))


def case(command, connections, pipeline):
    """One case."""
    plural = "s" if connections > 1 else ""
    return Case(
        name=f"redis-{command}-{connections}" + (f"-p{pipeline}" if pipeline > 1 else ""),
        title=f"redis {command.upper()}, {connections} connection{plural}" + (f", pipeline of {pipeline}" if pipeline > 1 else ""),
        group="redis", image="redis", operation="request", unit="requests/s", ready="Ready to accept", tools=("redis-benchmark",),
        drive=functools.partial(drive, command=command, connections=connections, pipeline=pipeline),
        bars=bars(command, connections, pipeline), kvm_bars=kvm_bars(command, connections, pipeline))


CASES = tuple(case(command, connections, pipeline)
              for pipeline in PIPELINES for command in ("get", "set") for connections in CONNECTIONS)
