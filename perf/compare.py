#!/usr/bin/python3
"""Hartloop beside Debian's Linux kernel: the same programs, the same QEMU line, in one run.

  compare.py [--rounds N] [--seconds S] [--requests N] [--net tap|user] [--only NAME[,NAME]] [--count] [--json FILE]

Each round boots either kernel for each measurement, in turn, so that both see the same machine.
The table gives medians over the rounds with their spread, and Hartloop's ratio to Linux. With
--net tap (the default for root) everything runs in a network namespace of its own. With --count
each measurement is made once more under a plugin that counts the guest's instructions: these hardly
depend on how busy the host is.
"""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))
import debian  # noqa: E402
import launch  # noqa: E402
import linux_guest  # noqa: E402
import machine  # noqa: E402
import network  # noqa: E402
import setup  # noqa: E402

MEMORY = "512M"
TAP = "tap0"
READY_SECONDS = 90
LINUX_OPTIONS = "console=ttyS0 quiet rdinit=/linux/init"
SYSTEMS = ("hartloop", "linux")


class MeasurementError(Exception):
    """A guest or a client did not do its work; the text says which."""


def client(*command):
    """Runs a client; returns its output."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    if result.returncode != 0:
        raise MeasurementError(f"{' '.join(command)}: {result.stdout.strip()[-300:]}")
    return result.stdout


def redis_rate(host, port, test, pipeline, requests):
    """Requests a second by redis-benchmark's own account, and how many there were."""
    output = client("redis-benchmark", "-h", host, "-p", str(port), "-t", test, "-c", "50", "-P", str(pipeline),
                    "-n", str(requests), "--csv")
    return float(re.search(rf'"{test.upper()}[^"]*","([\d.]+)"', output).group(1)), requests


def iperf3_rate(host, port, seconds, *options):
    """Mbit/s that the receiver saw, and the MiB that it got."""
    command = ("iperf3", "-c", host, "-p", str(port), "-t", str(seconds), "--json", *options)
    error = ""
    for _ in range(20):
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 60, check=False)
        report = json.loads(result.stdout or '{"error": "no output"}')
        error = report.get("error", "")
        if not error:
            received = report["end"]["sum_received"]
            return received["bits_per_second"] / 1e6, received["bytes"] / 2**20
        if not re.search("busy|reset|closed|refused", error):
            break
        time.sleep(0.5)  # the server still ends the run before
    raise MeasurementError("iperf3: " + error)


class InstructionCounter:
    """The plugin perf/insn_count in the next machine: its counters, read over a UNIX socket."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "instructions")
        plugin = os.path.join(REPOSITORY, "bazel-bin/perf/insn_count/insn_count.so")
        self.arguments = f"-plugin {shlex.quote(plugin)},socket={shlex.quote(self.path)}"

    def read(self):
        """Instructions since the start, by class."""
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as stream:
            connection.connect(self.path)
            stream.write("\n")
            stream.flush()
            return json.loads(stream.readline())


# name: (image, text of the console that says ready, unit, measure(host, port, options))
MEASUREMENTS = {
    "redis GET, 50 connections": ("redis", "Ready to accept", "requests/s",
                                  lambda h, p, o: redis_rate(h, p, "get", 1, o.requests)),
    "redis SET, 50 connections": ("redis", "Ready to accept", "requests/s",
                                  lambda h, p, o: redis_rate(h, p, "set", 1, o.requests)),
    "redis GET, 50 connections, -P 16": ("redis", "Ready to accept", "requests/s",
                                         lambda h, p, o: redis_rate(h, p, "get", 16, o.requests * 8)),
    "redis SET, 50 connections, -P 16": ("redis", "Ready to accept", "requests/s",
                                         lambda h, p, o: redis_rate(h, p, "set", 16, o.requests * 8)),
    "iperf3, host to guest": ("iperf3", "Server listening", "Mbit/s",
                              lambda h, p, o: iperf3_rate(h, p, o.seconds)),
    "iperf3, guest to host": ("iperf3", "Server listening", "Mbit/s",
                              lambda h, p, o: iperf3_rate(h, p, o.seconds, "-R")),
}


class Bench:
    """What all measurements share: kernels, images, the network, results."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.images = launch.named_images()
        self.linux_kernel, self.linux_archive, self.linux_release = linux_guest.prepare()
        self.results = {name: {system: [] for system in SYSTEMS} for name in MEASUREMENTS}
        self.instructions = {name: {} for name in MEASUREMENTS}

    def machine_options(self, system, image):
        """The same machine for either kernel."""
        named = self.images[image]
        archive = os.path.join(REPOSITORY, f"bazel-bin/guests/images/{image}.cpio")
        kernel, append = os.path.join(REPOSITORY, "bazel-bin/hartloop.elf"), ""
        if system == "linux":
            combined = os.path.join(self.directory, image + "-linux.cpio")
            if not os.path.exists(combined):
                linux_guest.combine(archive, self.linux_archive, combined)
            kernel, archive, append = self.linux_kernel, combined, LINUX_OPTIONS
        port = named["ports"][0]
        net, forwards = "user", [(network.free_port(), port)]
        if self.options.net == "tap":
            net, forwards = "tap:" + TAP, []
        return machine.Options(
            kernel=kernel, image=archive, program=[named["program"], *named["args"]], environment=named["env"],
            memory=MEMORY, net=net, forwards=forwards, append=append, quiet=True,
            log=os.path.join(self.directory, f"{system}-{image}.log"))

    def measure(self, system, names, counter=None):
        """Boots a kernel once and takes the measurements of one image: rates, or instructions."""
        image, ready = MEASUREMENTS[names[0]][:2]
        options = self.machine_options(system, image)
        with machine.Machine(options, print) as running:
            started = time.monotonic()
            while ready not in running.console():
                if not running.running() or time.monotonic() - started > READY_SECONDS:
                    raise MeasurementError(f"{system} never served {image}:\n{running.console()[-1000:]}")
                time.sleep(0.1)
            time.sleep(1)
            host, port = network.GUEST_ADDRESS, self.images[image]["ports"][0]
            if options.forwards:
                host, port = "127.0.0.1", options.forwards[0][0]
            for name in names:
                before = counter.read() if counter else None
                value, operations = MEASUREMENTS[name][3](host, port, self.options)
                if counter:
                    after = counter.read()
                    used = {kind: (after[kind] - before[kind]) / operations for kind in after}
                    self.instructions[name][system] = used
                    print(f"{system:9} {name:34} {used['kernel']:12,.0f} kernel instructions", file=sys.stderr, flush=True)
                    continue
                self.results[name][system].append(value)
                print(f"{system:9} {name:34} {value:12.1f} {MEASUREMENTS[name][2]}", file=sys.stderr, flush=True)

    def run(self, chosen):
        """All rounds."""
        images = list(dict.fromkeys(MEASUREMENTS[name][0] for name in chosen))
        for number in range(self.options.rounds):
            order = SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]
            for image in images:
                names = [name for name in chosen if MEASUREMENTS[name][0] == image]
                for system in order:
                    self.measure(system, names)

    def count(self, chosen):
        """One more round under the plugin."""
        counter = InstructionCounter(self.directory)
        os.environ["HL_QEMU_ARGS"] = f"{os.environ.get('HL_QEMU_ARGS', '')} {counter.arguments}"
        for image in dict.fromkeys(MEASUREMENTS[name][0] for name in chosen):
            for system in SYSTEMS:
                self.measure(system, [name for name in chosen if MEASUREMENTS[name][0] == image], counter)

    def instruction_table(self, chosen):
        """The counted instructions as Markdown."""
        lines = ["| instructions | Linux user | Linux kernel | Hartloop user | Hartloop kernel | kernel, Linux to Hartloop |",
                 "|---|---|---|---|---|---|"]
        for name in chosen:
            linux, hartloop = (self.instructions[name][system] for system in ("linux", "hartloop"))
            unit = "request" if "request" in MEASUREMENTS[name][2] else "MiB"
            lines.append(f"| {name}, per {unit} | {linux['user']:,.0f} | {linux['kernel']:,.0f} | {hartloop['user']:,.0f} | "
                         f"{hartloop['kernel']:,.0f} | {linux['kernel'] / hartloop['kernel']:.1f} |")
        return "\n".join(lines)

    def table(self, chosen):
        """The results as Markdown."""
        lines = ["| measurement | Linux | Hartloop | ratio |", "|---|---|---|---|"]
        for name in chosen:
            cells = []
            for system in ("linux", "hartloop"):
                values = self.results[name][system]
                cells.append(f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})")
            ratio = statistics.median(self.results[name]["hartloop"]) / statistics.median(self.results[name]["linux"])
            lines.append(f"| {name}, {MEASUREMENTS[name][2]} | {cells[0]} | {cells[1]} | {ratio:.2f} |")
        return "\n".join(lines)

    def conditions(self):
        """Where and with what the figures were made."""
        version = subprocess.run([machine.qemu_binary(), "--version"], capture_output=True, text=True, check=True).stdout
        commit = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        return (f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip()}; QEMU {re.search(r'version ([0-9.]+)', version).group(1)} TCG, "
                f"one hart, {MEMORY}, virtio-mmio, --net {self.options.net}; Linux {self.linux_release}; host {platform.machine()}, "
                f"{os.cpu_count()} cores, Linux {platform.release()}; median of {self.options.rounds} rounds (lowest to highest)")


def enter_namespace():
    """Starts this program again in a network namespace of its own."""
    command = ["unshare", "--net", sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]]
    os.execvpe(command[0], command, dict(os.environ, HARTLOOP_NAMESPACE="1"))


def make_tap():
    """The tap interface and lo of the new namespace."""
    for command in (["link", "set", "lo", "up"], ["tuntap", "add", TAP, "mode", "tap"],
                    ["addr", "add", f"{network.GATEWAY}/{network.PREFIX_LENGTH}", "dev", TAP], ["link", "set", TAP, "up"]):
        subprocess.run(["ip", *command], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of an iperf3 run")
    parser.add_argument("--requests", type=int, default=50000, help="of a redis-benchmark run; eight times as many with -P 16")
    parser.add_argument("--net", choices=["tap", "user"], default="tap" if os.geteuid() == 0 else "user")
    parser.add_argument("--only", default="", help="parts of measurements' names, separated by commas")
    parser.add_argument("--count", action="store_true", help="count instructions, too")
    parser.add_argument("--json", help="write every figure here")
    options = parser.parse_args()
    parts = [part for part in options.only.split(",") if part]
    chosen = [name for name in MEASUREMENTS if not parts or any(part in name for part in parts)]
    if not chosen:
        parser.error(f"no measurement matches; they are: {'; '.join(MEASUREMENTS)}")
    if "HARTLOOP_NAMESPACE" not in os.environ:
        setup.ensure(linux=True, quiet=True)
        launch.bazel_build("//:hartloop", *{"//guests/images:" + MEASUREMENTS[name][0] for name in chosen},
                           *(["//perf/insn_count"] if options.count else []))
        if options.net == "tap":
            enter_namespace()
    else:
        make_tap()
    directory = tempfile.mkdtemp(prefix="hl-compare-")
    try:
        bench = Bench(options, directory)
        bench.run(chosen)
        print(bench.table(chosen))
        if options.count:
            bench.count(chosen)
            print("\n" + bench.instruction_table(chosen))
        print("\n" + bench.conditions())
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"conditions": bench.conditions(), "results": bench.results,
                           "instructions": bench.instructions}, file, indent=1)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MeasurementError, debian.SetupError, launch.BuildError, launch.UsageError, machine.MachineError, network.NetworkError) as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
