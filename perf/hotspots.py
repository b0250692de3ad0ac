#!/usr/bin/python3
"""Where a load's kernel instructions go: counted per operation by function, inlined function or line.

  hotspots.py [--by function|inline|line] [--within FUNCTION] [--top N] [--image NAME] --operations N -- CLIENT ARGS...

Boots Hartloop with the image under the plugin perf/insn_count, runs the client (`{host}` and `{port}` in its arguments stand
for the guest's), and prints the instructions counted meanwhile, divided by N. `--operations iperf3` takes MiB out of the
report of `iperf3 --json`. As root it works in a network namespace and on a tap interface of its own. For example

  hotspots.py --by inline --operations 20000 -- redis-benchmark -h {host} -p {port} -t get -c 50 -n 20000 -q
  hotspots.py --image iperf3 --operations iperf3 -- iperf3 -c {host} -p {port} -t 2 --json
"""

import argparse
import collections
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))
sys.path.insert(0, os.path.join(REPOSITORY, "perf"))
import compare  # noqa: E402
import launch  # noqa: E402
import machine  # noqa: E402
import network  # noqa: E402
import symbols  # noqa: E402

KERNEL = os.path.join(REPOSITORY, "bazel-bin/hartloop.elf")
CLASSES = ("user", "kernel", "firmware")


def row_name(chain, by):
    """What a chain is counted under."""
    if by == "function":
        return chain[0].function
    inner = chain[-1]
    if by == "inline":
        return inner.function
    return f"{inner.file}:{inner.line} {inner.function}"


def rows(counted, by, within=""):
    """[(name, instructions, where most of them are inlined)], most first. counted: chain -> instructions."""
    sums = collections.Counter()
    hosts = collections.defaultdict(collections.Counter)
    for chain, count in counted.items():
        if within and not any(frame.function == within for frame in chain):
            continue
        name = row_name(chain, by)
        sums[name] += count
        hosts[name][" < ".join(dict.fromkeys(frame.function for frame in reversed(chain[:-1])))] += count
    return [(name, count, hosts[name].most_common(1)[0][0] if by != "function" else "") for name, count in sums.most_common()]


def table(counted, operations, total, by, top, within=""):
    """The rows as text."""
    lines = [f"{'per op':>12} {'share':>6} {'sum':>6}  {by}"]
    running = 0
    for name, count, host in rows(counted, by, within)[:top]:
        running += count
        inlined = f"   (most in {host})" if host else ""
        lines.append(f"{count / operations:12,.1f} {count / total:6.1%} {running / total:6.1%}  {name}{inlined}")
    return "\n".join(lines)


def write_map(kernel, path):
    """The plugin's map: one range per chain, named by its number."""
    with open(path, "w", encoding="ascii") as file:
        for number, here in enumerate(kernel.ranges):
            file.write(f"{here.start:x} {here.end:x} {number}\n")


def run_client(words, target):
    """Runs the client; returns its output."""
    words = [word.format(host=target[0], port=target[1]) for word in words]
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    if result.returncode != 0:
        raise compare.MeasurementError(f"{shlex.join(words)}: {result.stdout.strip()[-300:]}")
    return result.stdout


def operations_of(text, output):
    """How many operations the client did."""
    if text != "iperf3":
        return float(text)
    return json.loads(output)["end"]["sum_received"]["bytes"] / 2**20


def measure(options, directory):
    """Boots, runs the client; returns (operations, instructions by class, chain -> instructions)."""
    kernel = symbols.Symbols(KERNEL)
    named = launch.named_images()[options.image]
    counter = compare.InstructionCounter(directory)
    map_path = os.path.join(directory, "map")
    write_map(kernel, map_path)
    os.environ["HL_QEMU_ARGS"] = f"{os.environ.get('HL_QEMU_ARGS', '')} {counter.arguments},map={map_path}"
    port = named["ports"][0]
    forwards = [] if options.net == "tap" else [(network.free_port(), port)]
    guest = machine.Options(
        kernel=KERNEL, image=os.path.join(REPOSITORY, f"bazel-bin/guests/images/{options.image}.cpio"),
        program=[named["program"], *named["args"]], environment=named["env"], memory=compare.MEMORY,
        net="tap:" + compare.TAP if options.net == "tap" else "user", forwards=forwards, append=options.append, quiet=True,
        log=os.path.join(directory, "log"))
    with machine.Machine(guest, print) as running:
        time.sleep(options.settle)
        if not running.running():
            raise compare.MeasurementError(f"the guest ended:\n{running.console()[-1000:]}")
        before = counter.read()
        output = run_client(options.client, ("127.0.0.1", forwards[0][0]) if forwards else (network.GUEST_ADDRESS, port))
        after = counter.read()
    used = {name: count - before.get(name, 0) for name, count in after.items()}
    counted = collections.Counter()
    for name, count in used.items():
        if name not in CLASSES and count:
            counted[kernel.ranges[int(name)].chain] += count
    classes = {name: used[name] for name in CLASSES}
    classes["kernel"] += sum(counted.values())
    return operations_of(options.operations, output), classes, counted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by", choices=["function", "inline", "line"], action="append", help="repeatable (default: function, inline)")
    parser.add_argument("--within", default="", help="only what this function does, with what is inlined into it")
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--image", default="redis")
    parser.add_argument("--operations", required=True, help="how many the client does, or iperf3")
    parser.add_argument("--net", choices=["tap", "user"], default="tap" if os.geteuid() == 0 else "user")
    parser.add_argument("--append", default="", help="more options on the kernel's command line")
    parser.add_argument("--settle", type=float, default=3, help="seconds from start to load")
    parser.add_argument("client", nargs="+")
    options = parser.parse_args()
    if "HARTLOOP_NAMESPACE" not in os.environ:
        launch.bazel_build("//:hartloop", "//guests/images:" + options.image, "//perf/insn_count")
        if options.net == "tap":
            compare.enter_namespace()
    else:
        compare.make_tap()
    with tempfile.TemporaryDirectory(prefix="hl-hotspots-") as directory:
        operations, classes, counted = measure(options, directory)
    print(", ".join(f"{name} {count / operations:,.1f}" for name, count in classes.items()) + f" instructions per operation, {operations:,.0f} operations")
    for by in options.by or ["function", "inline"]:
        print("\n" + table(counted, operations, classes["kernel"], by, options.top, options.within))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (compare.MeasurementError, launch.BuildError, machine.MachineError, network.NetworkError, symbols.SymbolError) as error:
        print(f"hotspots: {error}", file=sys.stderr)
        sys.exit(1)
