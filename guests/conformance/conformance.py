#!/usr/bin/python3
"""hl conformance: runs the conformance programs on Linux and on Hartloop and compares what they print.

The same binary and image run under the same QEMU: see README.md. Without --only, the two systems are compared
with each other; with it, one system with what was recorded of Linux.
"""

import argparse
import os
import re
import socket
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), "tools")]
import compare  # noqa: E402
import debian  # noqa: E402
import guest_test  # noqa: E402
import launch  # noqa: E402
import linux_guest  # noqa: E402
import machine  # noqa: E402
import mkimage  # noqa: E402
import network  # noqa: E402
import setup  # noqa: E402
import wire_peer  # noqa: E402

# The tree itself, also where Bazel runs this among links to it.
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
NAMES = {"linux": "Linux", "hartloop": "Hartloop"}
MEMORY = "256M"  # as in BUILD


class Failure(Exception):
    """What can't be had; the text says why."""


def built(path):
    """What Bazel built: among the files of a test, or below bazel-bin."""
    beside = os.path.join(os.path.dirname(os.path.dirname(HERE)), path)
    return beside if os.path.exists(beside) else os.path.join(TREE, "bazel-bin", path)


def linux_output(console):
    """What the program printed, from the console of Linux' init; the status that it ended with."""
    match = re.search(r"^linux-init: ready\n(.*)^linux-init: exit (\d+)$", console, re.M | re.S)
    if not match:
        raise Failure("Linux: the program did not end; the console:\n" + console)
    return match.group(1), int(match.group(2))


def hartloop_output(console, outcome):
    """What the program printed, without the kernel's own lines; the status that it ended with."""
    if outcome.kind != "exit":
        raise Failure(f"Hartloop: {outcome.detail}; the console:\n{console}")
    return guest_test.KERNEL_LINE.sub("", guest_test.kernel_output(console)), outcome.status


class Wire:
    """A network on which the machines of wire_peer.py are, for as long as it is entered."""

    def __init__(self):
        own, guest = network.free_port(), network.free_port()
        self.kind = (f"dgram:remote.type=inet,remote.host=127.0.0.1,remote.port={own},"
                     f"local.type=inet,local.host=127.0.0.1,local.port={guest}")
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.bind(("127.0.0.1", own))
        self.link.connect(("127.0.0.1", guest))
        self.peer = wire_peer.Peer(self.link)
        self.thread = threading.Thread(target=self.peer.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *what):
        self.peer.stop = True
        self.thread.join()
        self.link.close()


def run(system, group, words, seconds, directory):
    """Boots a system with a group's program: the lines of the cases, as compare.parse returns them."""
    wires = compare.table("WIRES")
    if group not in wires:
        return run_on(system, group, words, seconds, directory, counted_clock=True)
    with Wire() as wire:
        return run_on(system, group, words, seconds, directory, net=wire.kind, ip=wires[group])


def run_on(system, group, words, seconds, directory, **more):
    """The same; more: other options of the machine."""
    options = machine.Options(
        kernel=built("hartloop.elf"), image=built(f"guests/conformance/{group}_image.cpio"), program=["/bin/" + group, *words],
        environment=["GATEWAY=" + network.GATEWAY], memory=MEMORY, quiet=True, **more,
        log=os.path.join(directory, f"{group}-{system}.log"))
    if system == "linux":
        options = linux_guest.same_machine(options, directory)
    with machine.Machine(options, lambda text: print("hl: " + text, file=sys.stderr)) as running:
        outcome = running.wait(seconds)
        console = running.console()
        if outcome is None:
            raise Failure(f"{NAMES[system]}: still running after {seconds} s; the console:\n{console}")
    output, status = linux_output(console) if system == "linux" else hartloop_output(console, outcome)
    if status != 0:
        raise Failure(f"{NAMES[system]}: the program's exit status is {status}; the console:\n{console}")
    return compare.parse(output, NAMES[system])


def repeated(system, group, options, directory):
    """The lines of --repeat boots; one that is not that of the first boot stands behind `CASE (run K)`, too.

    The program's own --repeat would meet ports in TIME_WAIT.
    """
    first = run(system, group, options.case, options.seconds, directory)
    lines = dict(first)
    for number in range(2, options.repeat + 1):
        again = run(system, group, options.case, options.seconds, directory)
        lines.update({f"{case} (run {number})": text for case, text in again.items() if text != first[case]})
    return lines


def record(group, seconds, directory):
    """Writes what Linux prints, when it prints the same twice."""
    first, second = (run("linux", group, [], seconds, directory) for _ in range(2))
    verdict = compare.compare(group, first, second, ("first", "second"), {})
    if not verdict.good:
        print(verdict.text, end="")
        raise Failure(f"{group}: two runs on Linux differ, so the cases above are not deterministic; nothing is recorded")
    release = linux_guest.prepare()[2]
    path = os.path.join(TREE, "guests/conformance/linux", group + ".txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# What Linux {release} prints; ./hl conformance {group} --record writes it.\n")
        file.writelines(f"{case}: {text}\n" for case, text in first.items())
        file.write(f"{len(first)} cases\n")
    print(f"{group}: {len(first)} cases recorded in {os.path.relpath(path)}")


def comparison(group, options, listed, directory):
    """The verdict on a group."""
    if not options.only:
        outputs = [repeated(system, group, options, directory) for system in ("linux", "hartloop")]
        return compare.compare(group, *outputs, ("Linux", "Hartloop"), listed)
    output, recorded = repeated(options.only, group, options, directory), compare.recording(group)
    if options.case:
        recorded = {case: text for case, text in recorded.items() if case in output}
    return compare.compare(group, recorded, output, ("recorded", NAMES[options.only]), listed if options.only == "hartloop" else {})


def parse_options():
    groups = compare.table("GROUPS")
    parser = argparse.ArgumentParser(prog="hl conformance", description=__doc__.split("\n", 1)[0], allow_abbrev=False)
    parser.add_argument("group", nargs="*", metavar="GROUP", help="the programs to run: " + ", ".join(groups) + " (default: all)")
    parser.add_argument("--case", action="append", default=[], metavar="PATTERN", help="only cases with such names (repeatable)")
    parser.add_argument("--only", choices=list(NAMES), help="boot that one only and compare with what is recorded")
    parser.add_argument("--record", action="store_true", help="run Linux twice and write what it prints to linux/GROUP.txt")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="boot N times: is it the same every time?")
    parser.add_argument("--seconds", type=float, default=300, help="the time a program has on a system (default 300)")
    parser.add_argument("--no-build", action="store_true", help="boot what was built before")
    options = parser.parse_args()
    for group in options.group:
        if group not in groups:
            parser.error(f"there is no group '{group}'; there are {', '.join(groups)}")
    if options.record and (options.case or options.only):
        parser.error("--record goes with neither --case nor --only: it writes whole groups, as Linux prints them")
    return options


def main():
    options = parse_options()
    chosen = options.group or list(compare.table("GROUPS"))
    os.environ.setdefault("HL_CACHE", os.path.join(TREE, ".hl"))
    total = compare.Verdict()
    try:
        if not options.no_build:
            setup.ensure(linux=options.only != "hartloop", quiet=True)
            launch.bazel_build("//:hartloop", *(f"//guests/conformance:{group}_image" for group in chosen))
        listed = compare.accepted()
        with tempfile.TemporaryDirectory(prefix="hl-conformance-") as directory:
            for group in chosen:
                if options.record:
                    record(group, options.seconds, directory)
                else:
                    verdict = comparison(group, options, listed, directory)
                    print(verdict.text + f"{group}: {verdict.summary()}", flush=True)
                    total.add(verdict)
    except (Failure, compare.OutputError, machine.MachineError, network.NetworkError, mkimage.ImageError, debian.SetupError,
            launch.BuildError) as error:
        print(f"hl conformance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hl conformance: interrupted", file=sys.stderr)
        return machine.STATUS_INTERRUPTED
    if len(chosen) > 1 and not options.record:
        print(total.summary())
    return 0 if total.good else 1


if __name__ == "__main__":
    sys.exit(main())
