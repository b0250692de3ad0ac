#!/usr/bin/python3
"""The short form of hl perf, as a test: does the machinery work, and has no counted figure become worse?

  smoke.py        (bazel test //perf:smoke) Hartloop only, user networking, no root, about a minute

Instructions and doorbells per operation are compared with perf/baseline.json, never times: a figure that is more
than 5 % above its baseline fails the test. What the host's timing adds to some of them (interrupts that otherwise
coalesce) it never takes away: so the least of a few runs counts, and one that is good enough is enough. Where it both
adds and takes away, the figure is one that does not depend on it (`per_frame`), or it is not checked.
`hl perf --baseline` writes the baseline anew, on the same machine line.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import cases  # noqa: E402
import counters  # noqa: E402
import machine  # noqa: E402
import network  # noqa: E402
import opponents  # noqa: E402
import runner  # noqa: E402
import symbols  # noqa: E402
import wire  # noqa: E402
from model import Counters, MeasurementError  # noqa: E402

BASELINE = os.path.join(HERE, "baseline.json")
SECONDS = 0.3  # of load in each run
RUNS = 2  # of each case in a boot: the first one finds pools and windows small
BOOTS = 5  # at most
BASELINE_BOOTS = 3
MOST_SECONDS = 120  # no further boot after that, on a machine that is too busy
TOLERANCE = 0.05

# What is checked: figures whose least differs by less than 2 % between tests, on a busy machine, too. Not the
# instructions of unpipelined requests over the wire: their number depends on how many acknowledgements the host sends
# on their own, by up to 10 %. Nor those of bytes sent over it (1.57 to 1.77 million per MiB: 98 to 240 acknowledgements
# came for the same 718 segments), but `per_frame`: instructions per frame, in which an acknowledgement counts as the
# part of a sent segment that it costs.
CHECKED = {
    "memory-before-program": ("rate",),
    "redis-get-1": ("kicks",),
    "redis-get-50-p16": ("kernel",),
    "bulk-in": ("kernel",),
    "bulk-out": ("per_frame",),
    "inside-getppid": ("kernel", "user"),
    "inside-fstat": ("kernel",),
    "inside-read-4k": ("kernel",),
    "inside-open-close": ("kernel",),
    "inside-mmap-munmap": ("kernel",),
    "inside-page-fault": ("kernel",),
    "inside-pipe": ("kernel",),
    "inside-futex": ("kernel",),
    "inside-thread": ("kernel",),
    "inside-epoll-10": ("kernel",),
    "inside-epoll-10000": ("kernel",),
    "inside-loopback-throughput": ("kernel",),
    "inside-loopback-latency": ("kernel",),
}

RECEIVED_WEIGHT = 0.45  # fitted to 15 runs, which then lie within 1 % of each other

# The functions that each frame passes once, on its way in and out.
FRAME_FUNCTIONS = {"tcp_input": "received", "device_transmit": "sent"}


@dataclasses.dataclass
class FrameCounters(Counters):
    """Counters, and the frames that the guest received and sent."""

    received: int = 0
    sent: int = 0

    @property
    def per_frame(self):
        """Kernel instructions per sent frame, of a load that sends more than it receives."""
        return self.kernel / (self.sent + RECEIVED_WEIGHT * self.received)


def frame_map(kernel, path):
    """Writes a map for the plugin: the first instruction of each of FRAME_FUNCTIONS. Returns its path."""
    found = []
    for line in symbols.run([symbols.tool("nm"), kernel]).splitlines():
        *address, kind, name = line.split()
        what = FRAME_FUNCTIONS.get(name.partition(".")[0])  # what follows a dot is the compiler's
        if what and kind in "tT":
            found.append((int(address[0], 16), what))
    if sorted(what for _, what in found) != sorted(FRAME_FUNCTIONS.values()):
        raise MeasurementError(f"{kernel} does not have each of {' '.join(FRAME_FUNCTIONS)} once: smoke.py counts frames there")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{address:x} {address + 1:x} {what}\n" for address, what in sorted(found))
    return path


class FrameWitness(counters.Witness):
    """A Witness that counts frames, too."""

    def __init__(self, plugin, directory, _ranges=""):
        super().__init__(plugin, directory, frame_map(opponents.built("hartloop.elf"), os.path.join(directory, "frames")))

    def counters(self, counts):
        """FrameCounters of an answer."""
        plain = dataclasses.astuple(super().counters(counts))
        return FrameCounters(*plain, *(counts.get(what, 0) for what in FRAME_FUNCTIONS.values()))


def figure_of(sample, name):
    """One figure of a run."""
    if name == "rate":
        return sample.load.rate
    if name == "per_frame":
        return sample.counters.per_frame
    return getattr(sample.counters, name) / sample.load.operations


def run_of(bench, case, guest):
    """One run: what was counted per operation, by figure; `rate` is for cases in which it is no matter of time."""
    sample = bench.drive(case, guest) if guest else case.standalone(bench, "hartloop")
    return {name: figure_of(sample, name) for name in CHECKED[case.name]}


def counted(bench, chosen, runs):
    """Yields (case, its figures in so many runs) for cases, booting once for those that share a boot."""
    for _, together in itertools.groupby(sorted(chosen, key=runner.boot_key), runner.boot_key):
        together = list(together)
        if together[0].standalone:
            yield together[0], [run_of(bench, together[0], None) for _ in range(runs)]
            continue
        with bench.boot(together[0], "hartloop") as guest:
            for case in together:
                yield case, [run_of(bench, case, guest) for _ in range(runs)]


def keeps(least, limits):
    """Whether all figures of a case are within their limits."""
    return all(value <= limits[name] for name, value in least.items())


def least_of(bench, limits):
    """case -> the least of each of its figures. Cases that do not keep their limits are tried again, in another boot."""
    least, left = {}, cases.select(list(CHECKED))
    until = time.monotonic() + MOST_SECONDS
    for _ in range(BOOTS):
        for case, runs in counted(bench, left, RUNS):
            runs += [least[case.name]] if case.name in least else []
            least[case.name] = {name: min(run[name] for run in runs) for name in CHECKED[case.name]}
        left = [case for case in left if not keeps(least[case.name], limits[case.name])]
        if not left or time.monotonic() > until:
            break
    return least


def typical_of(bench):
    """case -> the median of each of its figures, over the better half of the runs."""
    runs = {name: [] for name in CHECKED}
    for _ in range(BASELINE_BOOTS):
        for case, more in counted(bench, cases.select(list(CHECKED)), RUNS):
            runs[case.name] += more
    half = BASELINE_BOOTS * RUNS // 2
    return {case: {name: statistics.median(sorted(run[name] for run in runs[case])[:half]) for name in names}
            for case, names in CHECKED.items()}


@contextlib.contextmanager
def bench_of(logs):
    """What the smoke test and its baseline are counted with."""
    with runner.scratch() as directory:
        both = opponents.Opponents(("hartloop",), opponents.Machine(), directory)
        bench = runner.Bench(both, wire.Wire("user"), runner.Cores(1, wanted=False), logs, SECONDS)
        bench.counting = True
        bench.witness = FrameWitness
        yield bench


def rounded(value):
    """Four digits, or all that stand before the point."""
    return round(value) if value >= 1000 else float(f"{value:.4g}")


def write_baseline(logs):
    """Counts all figures and makes them the baseline; returns it."""
    with bench_of(logs) as bench:
        typical = typical_of(bench)
    found = {case: {name: rounded(value) for name, value in figures.items()} for case, figures in typical.items()}
    with open(BASELINE, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    return found


def load_baseline():
    """case -> figure -> count."""
    with open(BASELINE, encoding="utf-8") as file:
        baseline = json.load(file)
    wrong = [name for name in CHECKED if set(baseline.get(name, {})) != set(CHECKED[name])]
    if wrong or set(baseline) - set(CHECKED):
        raise MeasurementError(f"{BASELINE} does not hold the figures of smoke.py ({' '.join(wrong) or 'it holds others'}); "
                               "hl perf --baseline writes it anew")
    return baseline


def verdict(case, figure, value, before):
    """One line about a figure; its first word is WORSE, better or good."""
    change = value / before - 1
    word = "WORSE" if change > TOLERANCE else "better" if change < -TOLERANCE else "good"
    return f"{word:7} {case:28} {figure:9} {value:14,.2f}, baseline {before:12,g} ({change:+.1%})"


def compare(logs):
    """Counts all figures; the number that are worse than the baseline allows."""
    baseline = load_baseline()
    limits = {case: {name: value * (1 + TOLERANCE) for name, value in figures.items()} for case, figures in baseline.items()}
    with bench_of(logs) as bench:
        least = least_of(bench, limits)
    lines = [verdict(case, name, least[case][name], before) for case, figures in baseline.items() for name, before in figures.items()]
    print("\n".join(lines))
    failed, better = (sum(line.startswith(word) for line in lines) for word in ("WORSE", "better"))
    if failed:
        print(f"{failed} counted figures are more than {TOLERANCE:.0%} worse than perf/baseline.json. "
              "`./hl perf CASE --profile` shows where the instructions are")
    if better:
        print(f"{better} figures are better by more than {TOLERANCE:.0%}: `./hl perf --baseline` keeps that")
    return failed


def interrupt(_number, _frame):
    """A test that is stopped ends its machine."""
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupt)
    logs = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or os.environ.get("TEST_TMPDIR") or "."
    try:
        return 1 if compare(logs) else 0
    except (MeasurementError, machine.MachineError, network.NetworkError, symbols.SymbolError) as error:
        print(f"FAILED: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
