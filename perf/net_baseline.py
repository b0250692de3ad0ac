#!/usr/bin/python3
"""The network's baseline: ping, loopback, tcp_echo, udp_echo, redis and iperf3 in sequence, and a report of one page.

Every step boots Hartloop over user networking and drives it as the tests of guests/tests do. The report, report.md,
names what took part with versions, and says of each step whether it passed and with which figures; the logs lie beside it.
The exit status is 1 when a step failed.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "perf"), os.path.join(ROOT, "tools")]
import debian  # noqa: E402
import launch  # noqa: E402
import machine  # noqa: E402
import opponents  # noqa: E402
import setup  # noqa: E402

RUNNER = os.path.join(ROOT, "tools/guest_test.py")
STOP_SECONDS = 15  # for a step that is told to stop
# What tools/guest_test.py wants to know of a machine, beyond what Guest says.
USUAL = {
    "override_args": True, "env": [], "expect_stdout_file": "", "net": "user", "ip": "", "ports": [], "harts": 1, "memory": "256M",
    "transport": "mmio", "accel": "tcg", "aia": "plic", "vhost": True, "cpu": "", "counted_clock": False, "append": "", "device_tree": "",
    "check_script": "", "check_args": [], "gdb": False,
}


@dataclasses.dataclass(frozen=True)
class Guest:
    """One machine of a step: it ends with status 0 and has shown `shows`, or a script drives it."""

    image: str
    args: list = None  # None: the image's own
    script: str = ""
    shows: tuple = ()


@dataclasses.dataclass(frozen=True)
class Step:
    """What is run, and which lines of its output are figures (a pattern; its groups are what the report shows)."""

    guests: tuple
    figures: str
    tools: tuple = ()


STEPS = {
    "ping": Step((Guest("busybox", ["ping", "-c", "20", "-i", "0.1", "127.0.0.1"], shows=(" 0% packet loss",)),),
                 r"^(\d+ packets transmitted.*|round-trip.*)$"),
    "loopback": Step((Guest("bench", script="perf/loopback_host.py"),), r"^(loopback.*)$"),
    "tcp_echo": Step((Guest("tcp-echo", ["--check"], shows=(" 0 failed",)), Guest("tcp-echo", script="guests/tests/tcp_echo_host.py")),
                     r"^(tcp_echo: .* failed|from the host: .*)$"),
    "udp_echo": Step((Guest("udp-echo", ["--check"], shows=(" 0 failed",)), Guest("udp-echo", script="guests/tests/udp_echo_host.py")),
                     r"^(udp_echo: .* failed|from the host: .*)$"),
    "redis": Step((Guest("redis", script="guests/tests/redis_host.py"),), r'^(\d+ connections, .*:)$|^"([A-Z]\w+[^"]*)","(\d[^"]*)"',
                  ("redis-cli", "redis-benchmark")),
    "iperf3": Step((Guest("iperf3", script="guests/tests/iperf3_host.py"),), r"^(.+: [\d.]+ MB, [\d.]+ Mbit/s)$", ("iperf3",)),
}


@dataclasses.dataclass
class Result:
    """How a step ended; problem: why it failed, else empty."""

    seconds: float
    problem: str
    figures: list


def parser():
    """The command line."""
    found = launch.Parser(prog="net_baseline", description=__doc__, allow_abbrev=False)
    found.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; default: all, in this order")
    found.add_argument("--out", metavar="DIR", help="folder of report and logs; default: a new one in perf-results/ of the repository")
    found.add_argument("--vm-seconds", type=float, default=300, metavar="S",
                       help="limit of a machine's life, from its start to its end; default: 300")
    found.add_argument("--io-seconds", type=float, default=240, metavar="S",
                       help="limit of what is sent and received in it: of the host's clients, or of the guest's program; default: 240")
    return found


def check(options):
    """Refuses what argparse lets through."""
    for name in options.steps:
        if name not in STEPS:
            raise launch.UsageError(f"unknown step '{name}'; the valid ones are {' '.join(STEPS)}")
    for name in ("vm_seconds", "io_seconds"):
        if not 1 <= getattr(options, name) <= 86400:
            raise launch.UsageError(f"--{name.replace('_', '-')} {getattr(options, name):g}: 1 to 86400 are valid")


def make_folder(path):
    """Where report and logs go."""
    path = os.path.abspath(path or os.path.join(ROOT, "perf-results", time.strftime("net-baseline-%Y%m%d-%H%M%S")))
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise launch.UsageError(f"--out {path}: {error.strerror}") from error
    return path


def spec(guest, io_seconds):
    """The machine as tools/guest_test.py wants it described."""
    below = os.path.join(ROOT, "bazel-bin")
    image = os.path.join(below, "guests/images", guest.image)
    return {
        **USUAL, "name": guest.image, "kernel": os.path.join(below, "hartloop.elf"), "image": image + ".cpio", "manifest": image + ".json",
        "program": "", "args": guest.args or [], "override_args": guest.args is not None, "seconds": io_seconds,
        "host_script": guest.script and os.path.join(ROOT, guest.script), "expect_exit": "" if guest.script else "0",
        "expect_stdout": list(guest.shows),
    }


def stop(child):
    """Lets a step end its machine, as Ctrl-C would."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)  # what is left of its clients
    except ProcessLookupError:
        pass
    child.wait()


def run_guest(guest, folder, options):
    """Runs one machine with its logs in a folder; (problem or "", all that it and its clients printed)."""
    os.makedirs(folder, exist_ok=True)
    description, log = os.path.join(folder, "spec.json"), os.path.join(folder, "run.log")
    with open(description, "w", encoding="utf-8") as file:
        json.dump(spec(guest, options.io_seconds), file, indent=1)
    problem = ""
    with open(log, "wb") as file:
        # A session of its own: Ctrl-C comes here first, and is passed on once.
        child = subprocess.Popen([sys.executable, "-B", "-u", RUNNER, description], stdin=subprocess.DEVNULL, stdout=file,
                                 stderr=subprocess.STDOUT, start_new_session=True, env=dict(os.environ, TEST_UNDECLARED_OUTPUTS_DIR=folder))
        try:
            child.wait(options.vm_seconds)
        except subprocess.TimeoutExpired:
            problem = f"the machine still ran after {options.vm_seconds:g} s (--vm-seconds)"
        finally:
            stop(child)
    text = "".join(read(path) for path in (log, os.path.join(folder, "console.log")))
    if not problem and child.returncode != 0:
        reasons = re.findall(r"^(?:FAILED|AssertionError): (.*)$", text, re.M)
        problem = "; ".join(reasons) or f"the runner ended with status {child.returncode}, see its run.log"
        if "still runs after" in problem:
            problem += " (--io-seconds)"
    return problem, text


def read(path):
    """A log's text, empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().replace("\r\n", "\n")
    except FileNotFoundError:
        return ""


def find_figures(pattern, text):
    """The lines of a step's output that the report shows; those under a line that ends in a colon join it."""
    found, heading = [], False
    for match in re.finditer(pattern, text, re.M):
        line = " ".join(group for group in match.groups() if group)
        if line.endswith(":") or not heading:
            found.append(line)
        else:
            found[-1] += ("" if found[-1].endswith(":") else ",") + " " + line
        heading = heading or line.endswith(":")
    return found


def run_step(name, folder, options):
    """Runs a step's machines until one fails."""
    started = time.monotonic()
    step = STEPS[name]
    problem, figures = "", []
    for number, guest in enumerate(step.guests, 1):
        problem, text = run_guest(guest, os.path.join(folder, name if len(step.guests) == 1 else f"{name}-{number}"), options)
        figures += find_figures(step.figures, text)
        if problem:
            break
    if not problem and not figures:
        problem = "it printed no figures"
    return Result(time.monotonic() - started, problem, figures)


def conditions(names):
    """What took part, by name, with versions."""
    images = sorted({guest.image for name in names for guest in STEPS[name].guests})
    tools = sorted({tool for name in names for tool in STEPS[name].tools})
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "kernel": "Hartloop, " + opponents.commit(),
        "QEMU": opponents.qemu_version() + ", tcg, 1 hart, 256 MiB, virtio-mmio",
        "firmware": "OpenSBI " + opponents.package_version("opensbi"),
        "network": "user: passt " + opponents.package_version("passt"),
        "packages in the guest": ", ".join(opponents.guest_packages(images)) or "none",
        "clients on the host": ", ".join(map(opponents.tool_version, tools)) or "the project's own",
        "host": f"{opponents.cpu_model()}, {os.cpu_count()} cores; load average before it {os.getloadavg()[0]:.1f}",
    }


def report(facts, names, results):
    """The page; a step without a result was not run."""
    failed = [name for name in names if name in results and results[name].problem]
    passed = [name for name in names if name in results and not results[name].problem]
    lines = [f"# Network baseline, {facts['date']}", "",
             f"{len(passed)} passed, {len(failed)} failed, {len(names) - len(passed) - len(failed)} not run.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {cell(text)} |" for name, text in facts.items()]
    lines += ["", "| step | result | seconds | figures |", "|---|---|--:|---|"]
    for name in names:
        if name not in results:
            lines.append(f"| {name} | not run | – | |")
            continue
        result = results[name]
        verdict = f"FAILED: {cell(result.problem)}" if result.problem else "passed"
        lines.append(f"| {name} | {verdict} | {result.seconds:.1f} | {'<br>'.join(map(cell, result.figures))} |")
    lines += ["", "Rates depend on the host and what else it does. Each step's folder here holds `run.log` (clients) and `console.log` (guest)."]
    return "\n".join(lines) + "\n"


def cell(text):
    """Text as a table holds it."""
    return text.replace("|", "\\|").replace("\n", " ")


def prepare(names):
    """Installs, fetches and builds what is missing."""
    setup.ensure(quiet=True)
    launch.bazel_build("//:hartloop", *sorted({"//guests/images:" + guest.image for name in names for guest in STEPS[name].guests}))


def run(names, folder, options, facts, runner=run_step):
    """Runs steps and writes the report after each, so that one is there whatever happens; the exit status."""
    results = {}
    path = os.path.join(folder, "report.md")
    interrupted = False
    try:
        for name in names:
            results[name] = runner(name, folder, options)
            launch.say(f"{name}: {results[name].problem and 'FAILED: ' + results[name].problem or 'passed'}, {results[name].seconds:.1f} s")
    except KeyboardInterrupt:
        interrupted = True
        launch.say("interrupted: the report says what there is")
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(report(facts, names, results))
    print(path)
    if interrupted:
        return machine.STATUS_INTERRUPTED
    return 1 if any(result.problem for result in results.values()) else 0


def main(words):
    """The command; its exit status."""
    options = parser().parse_args(words)
    check(options)
    folder = make_folder(options.out)
    names = [name for name in STEPS if not options.steps or name in options.steps]
    prepare(names)
    launch.say(f"report and logs go to {folder}")
    return run(names, folder, options, conditions(names))


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, launch.interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except launch.UsageError as problem:
        launch.say(f"error: {problem}")
        sys.exit(machine.STATUS_USAGE)
    except (launch.BuildError, debian.SetupError) as problem:
        launch.say(f"error: {problem}")
        sys.exit(machine.STATUS_DEAD)
    except KeyboardInterrupt:
        sys.exit(machine.STATUS_INTERRUPTED)
