"""What the samples of a case come to: medians, spread, and figures per operation.

A figure that nobody measured is None, never 0.
"""

import dataclasses
import math
import statistics

COUNTED = ("user", "kernel", "firmware", "kicks", "interrupts")
EXITS = ("exits", "user_exits", "wfi_exits", "mmio_exits")
PERCENTILES = ("p50", "p99", "p99.9")


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure over the runs."""

    median: float
    lowest: float
    highest: float
    runs: int


@dataclasses.dataclass(frozen=True)
class Figures:
    """One case on one system."""

    rate: Spread = None  # in the case's unit
    latency_us: dict = dataclasses.field(default_factory=dict)  # of PERCENTILES those that are known: medians
    histogram_us: list = dataclasses.field(default_factory=list)  # [upper bound, count] of all runs together
    per_operation: dict = dataclasses.field(default_factory=dict)  # of COUNTED: medians; empty when nothing was counted
    exits: dict = dataclasses.field(default_factory=dict)  # of EXITS per operation: medians; empty without KVM
    causes: dict = dataclasses.field(default_factory=dict)  # exits per operation by kind: medians; empty where none were traced
    counted_runs: int = 0
    memory_peak_bytes: float = None
    notes: dict = dataclasses.field(default_factory=dict)  # medians of the numbers among the loads' notes

    @property
    def instructions(self):
        """User, kernel and firmware together per operation, or None."""
        return sum(self.per_operation[kind] for kind in ("user", "kernel", "firmware")) if self.per_operation else None


def is_number(value):
    """True for what can be compared with a limit."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def median(values):
    """The median of the numbers among values, or None."""
    numbers = [value for value in values if is_number(value)]
    return statistics.median(numbers) if numbers else None


def rate(load):
    """A load's rate in the case's unit, or None."""
    if load.rate:
        return load.rate
    return load.operations / load.seconds if load.seconds else None


def spread(values):
    """Median, lowest and highest of the numbers among values; None without any."""
    numbers = [value for value in values if is_number(value)]
    return Spread(statistics.median(numbers), min(numbers), max(numbers), len(numbers)) if numbers else None


def merged_histogram(loads):
    """The histograms of several runs as one, by rising bound."""
    counts = {}
    for load in loads:
        for bound, count in load.histogram_us:
            counts[bound] = counts.get(bound, 0) + count
    return [[bound, counts[bound]] for bound in sorted(counts)]


def per_operation(samples, field="counters", kinds=COUNTED):
    """Medians of what was counted per operation, over the samples that were counted, and the number of these."""
    counted = [(getattr(sample, field), sample.load.operations) for sample in samples if getattr(sample, field) and sample.load.operations]
    if not counted:
        return {}, 0
    return {kind: statistics.median(getattr(counts, kind) / operations for counts, operations in counted) for kind in kinds}, len(counted)


def medians_of(dictionaries):
    """Of dictionaries with the same names, the medians by name."""
    return {name: statistics.median(each[name] for each in dictionaries) for name in (dictionaries[0] if dictionaries else ())}


def of(results, name, system):
    """The figures of a case on a system. A run under the counting plugin is slow: its times are not used where others are."""
    timed = results.samples.get(name, {}).get(system, [])
    counted = results.counted.get(name, {}).get(system, [])
    loads = [sample.load for sample in timed]
    counters, runs = per_operation(counted)
    if not runs:
        counters, runs = per_operation(timed)
    notes = {}
    for group in ([sample.load for sample in counted], loads):  # a note of a timed run takes the place of a counted one's
        for note in {key for load in group for key in load.notes}:
            value = median(load.notes.get(note) for load in group)
            if value is not None:
                notes[note] = value
    latency = {name: median(load.latency_us.get(name) for load in loads) for name in PERCENTILES}
    return Figures(
        rate=spread(rate(load) for load in loads),
        latency_us={name: value for name, value in latency.items() if value is not None},
        histogram_us=merged_histogram(loads),
        per_operation=counters, counted_runs=runs, exits=per_operation(timed, "exits", EXITS)[0],
        causes=medians_of([sample.causes for sample in timed if sample.causes]),
        memory_peak_bytes=median(sample.memory_peak_bytes or None for sample in [*timed, *counted]),
        notes=notes)


def advantage(case, hartloop, linux):
    """How many times better Hartloop's rate is than Linux's (above 1: ahead), or None."""
    if not hartloop.rate or not linux.rate:
        return None
    better, worse = (linux, hartloop) if case.lower_is_better else (hartloop, linux)
    return better.rate.median / worse.rate.median if worse.rate.median else None


def number(value):
    """A figure as people read it: three digits, or all that stand before the point."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(size)))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
