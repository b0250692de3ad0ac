"""The bars: what each case's figures must reach, and whether they do."""

import dataclasses

import figures

MET, NOT_MET, NOT_MEASURED = "met", "not met", "not measured"
PER_OPERATION = ("user", "kernel", "firmware", "kicks", "interrupts")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A bar beside what was reached. `case` is the case's name, "" for a rule over all cases."""

    case: str
    title: str
    figure: str  # what is compared, in words
    relation: str
    limit: float
    reached: float  # None: not measured
    verdict: str
    detail: str = ""


def figure_text(bar, case):
    """What a bar compares, in words."""
    if bar.figure in PER_OPERATION:
        return f"{bar.figure}{' instructions' if bar.figure in ('user', 'kernel', 'firmware') else ''} per {case.operation}"
    return {
        "total": f"user and kernel instructions per {case.operation}",
        "rate": f"{case.unit} per {case.operation}" if case.lower_is_better else f"rate, {case.unit}",
        "ratio": "rate, Hartloop to Linux",
        "p99_ratio": "p99 latency, Hartloop to Linux",
        "exits": f"exits per {case.operation}",
        "exits_ratio": "exits, Hartloop to Linux",
    }.get(bar.figure, bar.figure.replace("_", " "))


def latency_ratio(hartloop, linux, percentile):
    """Hartloop's latency to Linux's at a percentile, or None."""
    ours, theirs = hartloop.latency_us.get(percentile), linux.latency_us.get(percentile)
    return ours / theirs if ours is not None and theirs else None


def reached(bar, hartloop, linux):
    """The figure that a bar is about, or None."""
    if bar.figure in PER_OPERATION:
        return hartloop.per_operation.get(bar.figure)
    if bar.figure == "exits":
        return hartloop.exits.get("exits")
    if bar.figure == "exits_ratio":
        return hartloop.exits["exits"] / linux.exits["exits"] if hartloop.exits and linux.exits.get("exits") else None
    if bar.figure == "total":
        return hartloop.per_operation["user"] + hartloop.per_operation["kernel"] if hartloop.per_operation else None
    if bar.figure == "rate":
        return hartloop.rate.median if hartloop.rate else None
    if bar.figure == "ratio":
        return hartloop.rate.median / linux.rate.median if hartloop.rate and linux.rate and linux.rate.median else None
    if bar.figure == "p99_ratio":
        return latency_ratio(hartloop, linux, "p99")
    return hartloop.notes.get(bar.figure)


def compare(value, relation, limit):
    """The verdict for a figure."""
    if value is None:
        return NOT_MEASURED
    if relation not in ("<=", ">="):
        raise ValueError(f"a bar's relation is '<=' or '>=', not '{relation}'")
    return MET if (value <= limit if relation == "<=" else value >= limit) else NOT_MET


def case_verdicts(case, results):
    """Each bar of one case."""
    hartloop, linux = (figures.of(results, case.name, system) for system in ("hartloop", "linux"))
    failed = "; ".join(f"{system}: {text}" for system, text in sorted(results.errors.get(case.name, {}).items()))
    for bar in case.bars:
        value = reached(bar, hartloop, linux)
        yield Verdict(case.name, case.title, figure_text(bar, case), bar.relation, bar.limit, value,
                      compare(value, bar.relation, bar.limit), failed if value is None else "")


def rule(results, cases, title, figure, relation, value_of, expected):
    """A rule over all cases. value_of(case, hartloop, linux) is compared with 1; the worst case is what is reached."""
    values, missing = {}, []
    for case in cases:
        hartloop, linux = (figures.of(results, case.name, system) for system in ("hartloop", "linux"))
        value = value_of(case, hartloop, linux)
        if value is not None:
            values[case.name] = value
        elif expected(case, hartloop, linux):
            missing.append(case.name)
    if not values:
        return Verdict("", title, figure, relation, 1, None, NOT_MEASURED)
    wrong = sorted((name for name, value in values.items() if not (value < 1 if relation == "<" else value >= 1)),
                   key=lambda name: values[name], reverse=relation == "<")
    worst = max(values, key=values.get) if relation == "<" else min(values, key=values.get)
    said = [f"{len(values) - len(wrong)} of {len(values)} compared cases"]
    said.append("not in " + ", ".join(f"{name} ({figures.number(values[name])})" for name in wrong) if wrong else f"closest: {worst}")
    if missing:
        said.append("not compared: " + ", ".join(missing))
    return Verdict("", title, figure, relation, 1, values[worst], NOT_MET if wrong else MET, "; ".join(said))


def general_verdicts(results, cases):
    """The two rules that hold for every case."""
    yield rule(results, cases, "Linux is ahead in no case", "least advantage in rate", ">=",
               figures.advantage, lambda case, hartloop, linux: True)
    yield rule(results, cases, "p99 latency is lower than Linux's in every case", "greatest p99 latency, Hartloop to Linux", "<",
               lambda case, hartloop, linux: latency_ratio(hartloop, linux, "p99"),
               lambda case, hartloop, linux: bool(hartloop.latency_us or linux.latency_us))


def verdicts(results, cases):
    """All bars: the cases' own in their order, then the general rules."""
    return [verdict for case in cases for verdict in case_verdicts(case, results)] + list(general_verdicts(results, cases))
