"""hl perf --ablate: what each mechanism is worth, by measuring a case with each switched off in turn.

Each of switches.SETTINGS is measured on Hartloop alone: rates without instruments, in rounds in which
every setting is booted once, then rounds of boots that count. The usual settings stand first and once
more last: how far the two lie apart is how far chance goes.
"""

import dataclasses
import os

import figures
import plots
import report
import runner
import switches
from model import MeasurementError, Sample

SYSTEM = "hartloop"


@dataclasses.dataclass
class Outcome:
    """What came of a setting."""

    setting: switches.Setting
    rates: list = dataclasses.field(default_factory=list)
    counted: list = dataclasses.field(default_factory=list)  # of Sample
    error: str = ""

    @property
    def rate(self):
        """The median, or None."""
        return figures.median(self.rates)

    @property
    def per_operation(self):
        """Counted per operation, by kind: medians; empty when there is none."""
        return figures.per_operation(self.counted)[0]


# ---- measuring ----


def measure_once(bench, case, outcome, counting):
    """One boot of a setting."""
    bench.counting = counting
    try:
        sample = bench.measure(case, SYSTEM, outcome.setting.arguments)
        if counting:
            outcome.counted.append(sample)
        else:
            outcome.rates.append(sample.load.rate)
    except runner.FAILURES as error:
        outcome.error = f"{'counted' if counting else 'rate'}: {error}"
        runner.say(f"    {case.name} {outcome.setting.arguments} FAILED: {outcome.error}")
    finally:
        bench.counting = False


def measure(bench, case, reps, settings=switches.SETTINGS):
    """All settings: the outcomes in their order. reps: rounds of rates, and as many that count, but one at least."""
    outcomes = [Outcome(setting) for setting in settings]
    rounds = [(False, f"rate {number}/{reps}") for number in range(1, reps + 1)]
    rounds += [(True, f"counted {number}/{max(1, reps)}") for number in range(1, max(1, reps) + 1)]
    progress = runner.Progress(len(outcomes) * len(rounds))
    for counting, text in rounds:
        for outcome in outcomes:
            progress.step(f"{case.name} {outcome.setting.arguments or outcome.setting.without} {text}")
            measure_once(bench, case, outcome, counting)
    return outcomes


# ---- reporting ----


def change(value, usual):
    """A figure beside the usual one, as a sum and as a share."""
    if value is None or usual is None:
        return "–"
    difference = value - usual
    sign = "+" if difference >= 0 else "−"
    share = f" ({sign}{abs(difference) / usual * 100:.0f} %)" if usual else ""
    return f"{sign}{figures.number(abs(difference))}{share}"


def value_of(outcome, kind):
    """A figure of an outcome by its name, or None."""
    return outcome.rate if kind == "rate" else outcome.per_operation.get(kind)


def table(case, outcomes):
    """What the settings come to, each beside the usual ones."""
    kinds = ("kernel", "user", "kicks", "interrupts", "rate")
    usual = {kind: value_of(outcomes[0], kind) for kind in kinds}
    rows = []
    for outcome in outcomes:
        found = {kind: value_of(outcome, kind) for kind in kinds}
        rows.append([outcome.setting.without, figures.number(found["kernel"]),
                     "–" if outcome is outcomes[0] else change(found["kernel"], usual["kernel"]), figures.number(found["kicks"]),
                     figures.number(found["interrupts"]), figures.number(found["user"]), figures.number(found["rate"]),
                     "–" if outcome is outcomes[0] else change(found["rate"], usual["rate"]), outcome.setting.arguments, outcome.error])
    columns = [("setting", report.LEFT), ("kernel instructions", ""), ("change", ""), ("kicks", ""), ("interrupts", ""),
               ("user instructions", ""), (f"rate, {case.unit}", ""), ("change", ""), ("boot arguments", report.LEFT)]
    if any(outcome.error for outcome in outcomes):
        columns.append(("failed", report.DETAIL))
    about = (f"{case.title}: figures per {case.operation}. A mechanism is worth the change that its absence makes. The usual settings were "
             "measured twice, first and last: what lies within their difference is chance.")
    return report.Table("What each mechanism is worth", about, columns, [row[:len(columns)] for row in rows], ("kernel", "rate"))


def worth(outcomes, kind):
    """How many times better the usual settings are than each other one: rows for a plot."""
    usual, rows = value_of(outcomes[0], kind), []
    for outcome in outcomes[1:]:
        value = value_of(outcome, kind)
        if value and usual:
            rows.append((outcome.setting.without, usual / value if kind == "rate" else value / usual, None))
    return rows


def drawings(case, outcomes):
    """The plots that there are figures for, by name."""
    found = [
        plots.bars_at_one("kernel", 1, f"{case.title}: kernel instructions per {case.operation} without a mechanism. "
                          "Right of the line it saves instructions: the further, the better to have it",
                          worth(outcomes, "kernel"), "times those of the usual settings (logarithmic)"),
        plots.bars_at_one("rate", 1, f"{case.title}: how much faster the usual settings are than those without a mechanism. "
                          "Right of the line it makes things faster: the further, the better to have it",
                          worth(outcomes, "rate"), "times faster with it (logarithmic)"),
    ]
    return {plot.name: plot for plot in found if plot}


def text_table(made):
    """The table for a terminal."""
    lines = [[heading for heading, _ in made.columns]] + [[str(report.cell(content, "")[0]) for content in row] for row in made.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(made.columns))]
    left = [report.LEFT in style.split() for _, style in made.columns]
    return "\n".join("  ".join(text.ljust(width) if to_left else text.rjust(width)
                               for text, width, to_left in zip(line, widths, left)).rstrip() for line in lines)


def write(case, outcomes, conditions, folder):
    """Files ablation-CASE.*; returns their paths."""
    made = table(case, outcomes)
    condition_rows = [[name, text] for name, text in conditions.items()]
    conditions_table = report.Table("Conditions", "", [("what", report.LEFT), ("", report.DETAIL)], condition_rows)
    raw = {"case": case.name, "conditions": conditions, "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes]}
    return report.write_files(os.path.join(folder, f"ablation-{case.name}"), f"Hartloop, {case.title}: mechanisms switched off in turn", [],
                              [made] + ([conditions_table] if condition_rows else []), drawings(case, outcomes), raw)


def run(bench, case, folder, reps, conditions):
    """Measures a case with each setting, prints and files the table; the exit status."""
    if case.standalone:
        raise MeasurementError(f"{case.name} boots machines of its own, without other boot arguments; --ablate takes any other case")
    outcomes = measure(bench, case, reps)
    print(f"{case.title}: figures per {case.operation}\n{text_table(table(case, outcomes))}")
    print("written: " + " ".join(write(case, outcomes, conditions, folder)))
    return 1 if any(outcome.error for outcome in outcomes) else 0
