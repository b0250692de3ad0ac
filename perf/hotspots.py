#!/usr/bin/python3
"""Where a load's kernel instructions go, per operation: `hl perf --profile CASE`, and for a client of one's own:

  hotspots.py [--image NAME] --operations N [--against linux] [--out DIR] -- CLIENT ARGS...

`{host}` and `{port}` in the client's arguments stand for the guest's. `--operations iperf3` takes MiB out of the report of
`iperf3 --json`. For example

  hotspots.py --by line --operations 20000 -- redis-benchmark -h {host} -p {port} -t get -c 50 -n 20000 -q
  hotspots.py --image iperf3 --operations iperf3 -- iperf3 -c {host} -p {port} -t 2 --json

The plugin perf/insn_count counts every instruction of the kernel by call stack. Hartloop's debug information resolves what
was inlined; Linux's functions have the names that the guest tells.
"""

import argparse
import collections
import dataclasses
import json
import os
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import counters  # noqa: E402
import flamegraph  # noqa: E402
import kallsyms  # noqa: E402
import launch  # noqa: E402
import machine  # noqa: E402
import network  # noqa: E402
import opponents  # noqa: E402
import runner  # noqa: E402
import symbols  # noqa: E402
import wire  # noqa: E402
from model import SYSTEMS, Case, Load, MeasurementError  # noqa: E402

NAMES = {"hartloop": "Hartloop", "linux": "Linux"}
WAYS = {"function": "function", "inline": "inlined function", "line": "source line", "folder": "folder"}
FIRST_TRAP, INTERRUPT_BIT, TRAP_END = 1, 0x400, 4096  # sites of insn_count's that stand for a trap
EXCEPTIONS = {2: "illegal instruction", 3: "breakpoint", 8: "system call", 9: "call of the firmware", 12: "page fault (code)",
              13: "page fault (read)", 15: "page fault (write)"}
INTERRUPTS = {1: "software interrupt", 5: "timer interrupt", 9: "device interrupt"}


# ---- collecting ----


class StackWitness(counters.Witness):
    """A Witness under which the plugin keeps call stacks: it remembers them at each reading."""

    plugin_options = ",stacks=on"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.readings = []

    def read(self):
        """Counters since the start."""
        answer = self.ask("stacks")
        stacks = {name: answer.pop(name) for name in ("segments", "harts", "refused")}
        found = self.counters(answer)
        self.readings.append((found, stacks))
        return found

    def stacks_of(self, counted):
        """The stacks at the beginning and the end of what was counted; a machine's start is a beginning, too."""
        for after, at_end in self.readings:
            if after == counted and self.plugin_options == BootWitness.plugin_options:
                return {"segments": [], "harts": [], "refused": 0}, at_end
        for later, (after, at_end) in enumerate(self.readings):
            for before, at_start in self.readings[:later]:
                if after.minus(before) == counted:
                    return at_start, at_end
        raise MeasurementError("the case was not measured by one pair of readings: it can't be profiled")


@dataclasses.dataclass
class Profile:
    """What a load cost. stacks: (frames of the callers, chain of the function that ran) -> instructions of the kernel."""

    operations: float
    counted: counters.Counters
    stacks: collections.Counter
    refused: int

    def known(self):
        """Instructions of the kernel that stand in a stack."""
        return sum(self.stacks.values())


def trap_name(site):
    """What entered the kernel."""
    cause = site - FIRST_TRAP
    names = INTERRUPTS if cause & INTERRUPT_BIT else EXCEPTIONS
    kind = "interrupt" if cause & INTERRUPT_BIT else "exception"
    cause &= INTERRUPT_BIT - 1
    return symbols.Frame(f"[{names.get(cause, f'{kind} {cause}')}]", "", 0)


def callers_of(nodes, names):
    """For each node of a hart's tree the frames of all callers."""
    found = [()]
    for parent, site in nodes[1:]:
        found.append(found[parent] + ((trap_name(site),) if site < TRAP_END else names.chain(site)))
    return found


def resolve(before, after, names):
    """The stacks between two readings: (callers, chain) -> instructions."""
    stacks = collections.Counter()
    shares = {}
    for number, hart in enumerate(after["harts"]):
        callers = callers_of(hart["nodes"], names)
        then = {tuple(cell[:2]): cell[2] for cell in before["harts"][number]["cells"]} if number < len(before["harts"]) else {}
        for node, segment, count in hart["cells"]:
            count -= then.get((node, segment), 0)
            if not count:
                continue
            start, length = after["segments"][segment]
            if segment not in shares:
                shares[segment] = names.split(start, length)
            for chain, part in shares[segment].items():
                stacks[callers[node], chain] += count * part // length
    return stacks


class BootWitness(StackWitness):
    """For cases that boot their guests themselves."""

    plugin_options = ",stacks=boot"


def collect(bench, case, system, names, append=""):
    """One run of a case under the plugin."""
    witnesses = []

    def witness(*arguments):
        witnesses.append((BootWitness if case.standalone else StackWitness)(*arguments))
        return witnesses[-1]

    bench.witness, bench.counting = witness, True
    try:
        sample = bench.measure(case, system, append)
    finally:
        bench.witness, bench.counting = counters.Witness, False
    if not sample.counters:
        raise MeasurementError(f"{case.name} counts nothing")
    before, after = witnesses[-1].stacks_of(sample.counters)
    return Profile(sample.load.operations, sample.counters, resolve(before, after, names), after["refused"] - before["refused"])


# ---- tables ----


def key_of(chain, way):
    """What a chain is counted under."""
    inner = chain[-1]
    if way == "function":
        return chain[0].function + (f" [{chain[0].file}]" if chain[0].file and not chain[0].line else "")
    if way == "inline":
        return inner.function
    if way == "folder":
        return os.path.dirname(inner.file) or "?"
    return f"{inner.file}:{inner.line} {inner.function}"


@dataclasses.dataclass
class Row:
    """A line of a table, instructions per operation. inside: where most of it was inlined."""

    name: str
    own: float
    share: float
    running: float
    with_callees: float
    inside: str


def rows(profile, way, within=""):
    """All rows, the costliest first; within: only what runs in this function or is inlined into it."""
    own, inclusive = collections.Counter(), collections.Counter()
    hosts = collections.defaultdict(collections.Counter)
    for (callers, chain), count in profile.stacks.items():
        if within and within not in (frame.function for frame in chain):
            continue
        name = key_of(chain, way)
        own[name] += count
        hosts[name][" < ".join(dict.fromkeys(frame.function for frame in reversed(chain[:-1])))] += count
        if way in ("function", "inline"):
            for function in {frame.function for frame in callers + chain}:
                inclusive[function] += count
    total, running, found = profile.counted.kernel or 1, 0, []
    for name, count in own.most_common():
        running += count
        function = name.partition(" [")[0]
        found.append(Row(name, count / profile.operations, count / total, running / total, inclusive[function] / profile.operations,
                         hosts[name].most_common(1)[0][0] if way in ("inline", "line") else ""))
    return found


def text_table(profile, way, top, within=""):
    """The first rows as text for a terminal."""
    callees = way in ("function", "inline")
    lines = [f"{'per op':>12} {'share':>6} {'sum':>6} " + (f"{'+callees':>12}  " if callees else " ") + WAYS[way]]
    for row in rows(profile, way, within)[:top]:
        more = f"{row.with_callees:12,.1f}  " if callees else " "
        inside = f"   (most in {row.inside})" if row.inside else ""
        lines.append(f"{row.own:12,.1f} {row.share:6.1%} {row.running:6.1%} {more}{row.name}{inside}")
    return "\n".join(lines)


def number(value):
    """A figure in as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def markdown_table(profile, way, top):
    """The first rows as Markdown."""
    callees, inside = way in ("function", "inline"), way in ("inline", "line")
    heads = [WAYS[way], "per operation", "share", "sum of shares"] + ["with callees"] * callees + ["most of it inlined in"] * inside
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (3 + callees) + "---|" * inside]
    for row in rows(profile, way)[:top]:
        cells = [f"`{row.name}`", number(row.own), f"{row.share:.1%}", f"{row.running:.1%}"]
        cells += [number(row.with_callees)] * callees + [f"`{row.inside}`" if row.inside else ""] * inside
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def side_by_side(profiles, top):
    """The costliest functions of each system in one table."""
    columns = {system: rows(profile, "function")[:top] for system, profile in profiles.items()}
    lines = ["| | " + " | ".join(f"{NAMES[system]} | per operation | share" for system in profiles) + " |",
             "|---:|" + "---|---:|---:|" * len(profiles)]
    for rank in range(max(len(column) for column in columns.values())):
        cells = [str(rank + 1)]
        for column in columns.values():
            row = column[rank] if rank < len(column) else None
            cells += [f"`{row.name}`", number(row.own), f"{row.share:.1%}"] if row else ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def class_table(profiles, operation):
    """Instructions per operation by class."""
    lines = [f"| instructions per {operation} | kernel | user | firmware | kicks | interrupts | operations |", "|---|" + "---:|" * 6]
    for system, profile in profiles.items():
        found = profile.counted
        values = [value / profile.operations for value in (found.kernel, found.user, found.firmware)]
        events = [f"{value / profile.operations:.3f}" for value in (found.kicks, found.interrupts)]
        lines.append("| " + " | ".join([NAMES[system], *map(number, values), *events, f"{profile.operations:,.0f}"]) + " |")
    return "\n".join(lines)


def caveats(profile):
    """What the reader must know of a profile, if anything."""
    found = []
    missing = profile.counted.kernel - profile.known()
    if abs(missing) > profile.counted.kernel / 200:
        found.append(f"{abs(missing) / profile.counted.kernel:.1%} of the kernel's instructions " +
                     ("stand in no stack" if missing > 0 else "are there besides: they ran while the counters were read"))
    if profile.refused:
        found.append(f"the plugin's tables of stacks were full {profile.refused:,} times; what ran then stands at a caller or, without "
                     "callers, right below the kernel")
    return found


# ---- flame graphs ----


def folded(profile):
    """Stack, from the class down, as a tuple of names -> instructions."""
    found = collections.Counter({("user",): profile.counted.user, ("firmware",): profile.counted.firmware})
    for (callers, chain), count in profile.stacks.items():
        names = [frame.function for frame in callers + chain]
        found["kernel", *names] += count
    return found


def details(profile):
    """Function -> where it is defined, for the flame graph."""
    files = {}
    for callers, chain in profile.stacks:
        for frame in callers + chain:
            if frame.file:
                files.setdefault(frame.function, frame.file)
    return files


def write_flame_graph(profile, case, system, folder):
    """The folded stacks and the page; their paths."""
    stacks = folded(profile)
    base = os.path.join(folder, f"profile-{case.name}-{system}")
    with open(base + ".folded", "w", encoding="utf-8") as file:
        for path, count in sorted(stacks.items()):
            file.write(f"{';'.join(path)} {count}\n")
    title = f"{NAMES[system]}: {case.title}"
    unit = f"instructions per {case.operation}"
    with open(base + ".html", "w", encoding="utf-8") as file:
        file.write(flamegraph.page(stacks, title, unit, profile.operations, details(profile), "kernel"))
    return [base + ".html", base + ".folded"]


# ---- a case ----


def markdown(case, profiles, conditions, top):
    """The profile of a case as a page."""
    lines = [f"# Where the kernel's instructions go: {case.title}", "",
             "Counted by perf/insn_count, every instruction, by call stack. *Per operation* is what the function itself executes, *sum of "
             "shares* that of this row and those above it, *with callees* all that runs while it is on the stack. The guest is slower "
             "under this instrument than under `hl perf`'s own count: more of its timers expire per operation, and it finds other batches of "
             "work.", "",
             class_table(profiles, case.operation), ""]
    for system, profile in profiles.items():
        lines += [f"{NAMES[system]}: {text}." for text in caveats(profile)]
        lines.append(f"[Flame graph of {NAMES[system]}](profile-{case.name}-{system}.html)")
        lines.append("")
    lines += ["## Functions" + (", side by side" if len(profiles) > 1 else ""), "", side_by_side(profiles, top), ""]
    for system, profile in profiles.items():
        ways = WAYS if system == "hartloop" else ["function"]
        for way in ways:
            lines += [f"## {NAMES[system]} by {WAYS[way]}", "", markdown_table(profile, way, top), ""]
    lines += ["## Conditions", "", *(f"- {name}: {text}" for name, text in conditions.items()), ""]
    return "\n".join(lines)


def names_of(bench, system):
    """The symbols of a system's kernel, and what its command line must have so that they hold."""
    if system == "hartloop":
        return symbols.ElfSymbols(bench.opponents.kernel), ""
    return kallsyms.symbols_of(bench), kallsyms.OPTIONS


def profile(bench, case, folder, top=40):
    """Profiles a case on the bench's systems, writes the pages into the folder; the exit status."""
    profiles = {}
    for system in bench.opponents.systems:
        runner.say(f"{case.name} {system} profile")
        names, append = names_of(bench, system)
        profiles[system] = collect(bench, case, system, names, append)
        counted = profiles[system].counted
        print(f"\n{NAMES[system]}, per {case.operation}: kernel {number(counted.kernel / profiles[system].operations)}, "
              f"user {number(counted.user / profiles[system].operations)} instructions\n")
        print(text_table(profiles[system], "function", 15))
    written = [os.path.join(folder, f"profile-{case.name}.md")]
    with open(written[0], "w", encoding="utf-8") as file:
        file.write(markdown(case, profiles, bench.opponents.conditions([case]), top))
    for system, found in profiles.items():
        written += write_flame_graph(found, case, system, folder)
    print("\nwritten: " + " ".join(written))
    return 0


# ---- a client of one's own ----


def manual_case(options):
    """A Case that runs the client of the command line."""

    def drive(target, _seconds):
        port = next(iter(target.ports.values()))
        words = [word.replace("{host}", target.host).replace("{port}", str(port)) for word in options.client]
        result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
        if result.returncode != 0:
            raise MeasurementError(f"{shlex.join(words)}: {result.stdout.strip()[-300:]}")
        if options.operations == "iperf3":
            return Load(json.loads(result.stdout)["end"]["sum_received"]["bytes"] / 2**20, 1)
        return Load(float(options.operations), 1)

    return Case(name="manual", title=shlex.join(options.client), group="manual", image=options.image, drive=drive,
                operation="MiB" if options.operations == "iperf3" else "operation", unit="")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by", choices=list(WAYS), action="append", help="a table to print (repeatable; default: function, inline)")
    parser.add_argument("--within", default="", help="only what runs in this function, with what is inlined into it")
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--image", default="redis")
    parser.add_argument("--operations", required=True, help="how many the client does, or iperf3")
    parser.add_argument("--against", choices=["linux", "none"], default="none")
    parser.add_argument("--net", choices=wire.KINDS, default=wire.default_kind())
    parser.add_argument("--append", default="", help="more options on the kernel's command line")
    parser.add_argument("--out", help="folder for the same pages as those of hl perf --profile")
    parser.add_argument("client", nargs="+")
    return parser.parse_args()


def main():
    options = parse()
    if wire.INSIDE not in os.environ:
        launch.bazel_build("//:hartloop", "//guests/images:" + options.image, "//perf/insn_count")
        if options.net == "tap":
            wire.enter_namespace()
    case = manual_case(options)
    systems = SYSTEMS if options.against == "linux" else SYSTEMS[:1]
    with runner.scratch() as directory:
        both = opponents.Opponents(systems, opponents.Machine(), directory)
        bench = runner.Bench(both, wire.Wire(options.net), runner.Cores(1), os.path.join(options.out or directory, "logs"), 0)
        if options.out:
            return profile(bench, case, options.out, options.top)
        for system in systems:
            names, append = names_of(bench, system)
            found = collect(bench, case, system, names, f"{append} {options.append}".strip())
            print(f"\n{class_table({system: found}, case.operation)}")
            for way in options.by or ["function", "inline"]:
                print("\n" + text_table(found, way, options.top, options.within))
            print("".join(f"\nNote: {text}." for text in caveats(found)), end="")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MeasurementError, launch.BuildError, machine.MachineError, network.NetworkError, symbols.SymbolError) as error:
        print(f"hotspots: {error}", file=sys.stderr)
        sys.exit(1)
