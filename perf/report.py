#!/usr/bin/python3
"""The report of a run: an HTML page that needs nothing else, a Markdown summary, and the raw figures as JSON.

  report.py RESULTS.json [DIRECTORY]     writes the report of kept figures anew, beside them or into a folder
"""

import dataclasses
import glob
import html
import json
import os
import re
import sys
import urllib.parse

import bars
import figures
import kvm_trace
import plots
from model import SYSTEMS, Counters, Exits, Load, Results, Sample

NAMES = {"hartloop": "Hartloop", "linux": "Linux"}
PAGE_STYLE = """
:root{--soft:#f5f6f7;--good:#00664b;--bad:#a33b00}
@media screen and (prefers-color-scheme:dark){:root{--soft:#212427;--good:#4fd0a5;--bad:#ff9a5c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-bottom:1px solid var(--grid);padding-bottom:.2rem}
p{margin:.4rem 0 .8rem;max-width:52rem}
.muted,caption{color:var(--muted)}
.scroll{overflow-x:auto;margin:0 0 1rem}
table{border-collapse:collapse;font-size:.82rem;width:100%}
th,td{padding:.28rem .36rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--grid);white-space:nowrap;
font-variant-numeric:tabular-nums}
th{background:var(--soft);white-space:normal;vertical-align:bottom;font-weight:600}
.l{text-align:left;white-space:normal}
td.l:first-child{min-width:10rem}
.good{color:var(--good);font-weight:600;white-space:nowrap}
.bad{color:var(--bad);font-weight:600;white-space:nowrap}
td.detail{min-width:12rem}
.kept{white-space:nowrap}
figure{margin:1rem 0 1.4rem}
svg{width:100%;height:auto;display:block}
.narrow{display:none}
@media (max-width:640px){.wide{display:none}.narrow{display:block}body{padding:.7rem}table{font-size:.8rem}}
@media print{body{max-width:none;padding:0;font-size:10pt}table{font-size:7.5pt}.scroll{overflow:visible}th,td{padding:.12rem .25rem}
td.l:first-child,td.detail{min-width:0}tr{break-inside:avoid}h2{break-after:avoid}.wide{display:block}.narrow{display:none}}
"""
PAIR = r"\[\s+([-+.\de]+),\s+([-+.\de]+)\s+\]"  # of a histogram, as json.dumps breaks it
BESIDE = "Profiles and ablations of the same folder"
GOOD, BAD, LEFT, KEPT, DETAIL = "good", "bad", "l", "l kept", "l detail"  # KEPT: in one line


@dataclasses.dataclass
class Table:
    """A table for both pages. columns: (heading, class); a cell is text, or (text, class)."""

    title: str
    about: str
    columns: list
    rows: list
    plots: tuple = ()  # families of the plots that go with it


def cell(content, usual):
    """A cell's text and class."""
    return content if isinstance(content, tuple) else (content, usual)


# ---- the tables ----


def entries_of(results, cases):
    """The cases of which there is anything, with their figures."""
    known = [case for case in cases if any(case.name in group for group in (results.samples, results.counted, results.errors))]
    return [plots.Entry(case, *(figures.of(results, case.name, system) for system in SYSTEMS)) for case in known]


def range_text(spread):
    """Lowest to highest."""
    return f"{figures.number(spread.lowest)}–{figures.number(spread.highest)}" if spread else "–"


def reached_text(verdict):
    """What was reached, with as many digits as tell it from the limit."""
    text = figures.number(verdict.reached)
    close = verdict.reached is not None and verdict.reached != verdict.limit and text == figures.number(verdict.limit)
    return f"{verdict.reached:,.6g}" if close else text


def verdict_table(verdicts):
    """The bars and whether they are met."""
    classes = {bars.MET: f"{LEFT} {GOOD}", bars.NOT_MET: f"{LEFT} {BAD}"}
    signs = {"<=": "≤", ">=": "≥"}
    rows = [[verdict.title, (verdict.verdict, classes.get(verdict.verdict, LEFT)), reached_text(verdict),
             f"{signs.get(verdict.relation, verdict.relation)} {figures.number(verdict.limit)}", verdict.figure, verdict.detail]
            for verdict in verdicts]
    columns = [("case or rule", LEFT), ("verdict", LEFT), ("reached", ""), ("bar", ""), ("figure", KEPT), ("remark", DETAIL)]
    return Table("Bars", "What each figure must reach. The last two hold for all cases at once.", columns, rows)


def rate_table(entries):
    """Rates with their spread and the ratio."""
    rows = []
    for entry in entries:
        if not entry.hartloop.rate and not entry.linux.rate:
            continue
        ratio = figures.advantage(entry.case, entry.hartloop, entry.linux)
        row = [entry.case.title, "–" if ratio is None else (f"{figures.number(ratio)}×", GOOD if ratio >= 1 else BAD),
               entry.case.unit + (" (less is better)" if entry.case.lower_is_better else "")]
        for system in SYSTEMS:
            rate = entry.of(system).rate
            row += [figures.number(rate.median if rate else None), range_text(rate)]
        runs = {entry.of(system).rate.runs for system in SYSTEMS if entry.of(system).rate}
        row += [" and ".join(str(number) for number in sorted(runs)), (entry.case.name, KEPT)]
        rows.append(row)
    columns = [("case", LEFT), ("times better", ""), ("unit", LEFT)]
    for system in SYSTEMS:
        columns += [(NAMES[system], ""), ("lowest to highest", "")]
    about = "Medians over the runs, with the lowest and the highest. Times better: above 1 Hartloop is ahead of Linux."
    return Table("Rate", about, [*columns, ("runs", ""), ("name for hl perf", LEFT)], rows, ("ratios", "sizes"))


def latency_table(entries):
    """Percentiles."""
    rows = []
    for entry in entries:
        if not entry.hartloop.latency_us and not entry.linux.latency_us:
            continue
        ratio = bars.latency_ratio(entry.hartloop, entry.linux, "p99")
        row = [entry.case.title, "–" if ratio is None else (figures.number(ratio), GOOD if ratio < 1 else BAD)]
        for system in SYSTEMS:
            row += [figures.number(entry.of(system).latency_us.get(name)) for name in figures.PERCENTILES]
        rows.append(row)
    columns = [("case", LEFT), ("p99, ratio", ""), *((f"{NAMES[system]} {name}", "") for system in SYSTEMS for name in figures.PERCENTILES)]
    about = "Microseconds as the load generator saw them, medians over the runs. The ratio is Hartloop's to Linux's: below 1 is better."
    return Table("Latency", about, columns, rows, ("latencies", "distributions"))


def instruction_table(entries):
    """Counted instructions."""
    rows = []
    for entry in entries:
        if not entry.hartloop.per_operation and not entry.linux.per_operation:
            continue
        row = [entry.case.title, entry.case.operation]
        for system in SYSTEMS:
            row += [figures.number(entry.of(system).per_operation.get(kind)) for kind in ("user", "kernel", "firmware")]
        ours, theirs = (entry.of(system).per_operation.get("kernel") for system in SYSTEMS)
        rows.append(row + [figures.number(theirs / ours) if ours and theirs is not None else "–"])
    columns = [("case", LEFT), ("per", LEFT)]
    columns += [(f"{NAMES[system]} {kind}", "") for system in SYSTEMS for kind in ("user", "kernel", "firmware")]
    about = "Retired guest instructions, counted in runs of their own. Last column: Linux's kernel instructions to Hartloop's."
    return Table("Instructions per operation", about, [*columns, ("kernel, ratio", "")], rows, ("instructions", "idle"))


def device_table(entries):
    """Kicks, interrupts and memory."""
    rows = []
    for entry in entries:
        counted = [figures.number(entry.of(system).per_operation.get(kind)) for kind in ("kicks", "interrupts") for system in SYSTEMS]
        peaks = [entry.of(system).memory_peak_bytes for system in SYSTEMS]
        if any(text != "–" for text in counted) or any(peaks):
            rows.append([entry.case.title, entry.case.operation, *counted,
                         *(figures.number(peak / 2**20 if peak else None) for peak in peaks)])
    columns = [("case", LEFT), ("operation", LEFT)]
    columns += [(f"{what}, {NAMES[system]}", "") for what in ("kicks", "interrupts", "peak MiB") for system in SYSTEMS]
    about = "Doorbells and interrupts of virtqueues per operation, and the most guest memory that was ever touched, as the host sees it."
    return Table("Kicks, interrupts, memory", about, columns, rows)


def exit_table(entries):
    """What KVM left the guests for."""
    rows = []
    for entry in entries:
        if entry.hartloop.exits or entry.linux.exits:
            ours, theirs = (entry.of(system).exits.get("exits") for system in SYSTEMS)
            rows.append([entry.case.title, entry.case.operation,
                         *(figures.number(entry.of(system).exits.get(kind)) for kind in figures.EXITS for system in SYSTEMS),
                         figures.number(theirs / ours) if ours and theirs is not None else "–"])
    headings = {"exits": "all", "user_exits": "to the VMM", "wfi_exits": "WFI", "mmio_exits": "device memory"}
    columns = [("case", LEFT), ("per", LEFT)]
    columns += [(f"{headings[kind]}, {NAMES[system]}", "") for kind in figures.EXITS for system in SYSTEMS]
    about = ("Exits of the guest as KVM counted them, per operation, in the runs of which the rates are. "
             "Last column: all of Linux's to all of Hartloop's.")
    return Table("KVM exits per operation", about, [*columns, ("ratio", "")], rows)


def cause_table(entries):
    """Why KVM left the guests."""
    rows = [[entry.case.title, entry.case.operation,
             *(figures.number(entry.of(system).causes.get(kind)) for kind in kvm_trace.KINDS for system in SYSTEMS)]
            for entry in entries if entry.hartloop.causes or entry.linux.causes]
    headings = {"interrupt": "the host's interrupts", "instruction": "WFI, CSR", "device": "device memory", "memory": "first touches of memory",
                "firmware": "firmware", "other": "other"}
    columns = [("case", LEFT), ("per", LEFT)]
    columns += [(f"{headings[kind]}, {NAMES[system]}", "") for kind in kvm_trace.KINDS for system in SYSTEMS]
    about = "The same by cause, per operation, of one more run of the load each, in which the nested host's kernel traced every exit."
    return Table("KVM exits by cause", about, columns, rows)


def note_table(entries):
    """Figures that only some cases have."""
    rows = []
    for entry in entries:
        for name in sorted({*entry.hartloop.notes, *entry.linux.notes}):
            values = [figures.number(entry.of(system).notes.get(name)) for system in SYSTEMS]
            rows.append([entry.case.title, name.replace("_", " "), *values])
    columns = [("case", LEFT), ("figure", LEFT), *((NAMES[system], "") for system in SYSTEMS)]
    return Table("Further figures", "What single cases measure besides, medians over the runs.", columns, rows)


def error_table(results, cases):
    """What failed."""
    titles = {case.name: case.title for case in cases}
    rows = [[titles.get(name, name), NAMES.get(system, system), text] for name, failed in results.errors.items()
            for system, text in failed.items()]
    return Table("Not measured", "These cases failed; what is said of the others does not include them.",
                 [("case", LEFT), ("system", LEFT), ("what happened", DETAIL)], rows)


def condition_table(results):
    """Versions and settings."""
    return Table("Conditions", "Both systems ran on the same machine line, in turn, in the same run.", [("what", LEFT), ("", DETAIL)],
                 [[name, text] for name, text in results.conditions.items()])


def tables_of(results, cases, verdicts):
    """All tables that have rows, in the order of the page."""
    entries = entries_of(results, cases)
    chosen = {case.name for case in cases}
    shown = [verdict for verdict in verdicts if verdict.case in chosen or not verdict.case]
    tables = [verdict_table(shown), rate_table(entries), latency_table(entries), instruction_table(entries), device_table(entries),
              exit_table(entries), cause_table(entries), note_table(entries), error_table(results, cases), condition_table(results)]
    return [table for table in tables if table.rows], entries


# ---- the summary ----


def summary(entries, verdicts):
    """The run in a few sentences."""
    if not entries:
        return ["Nothing was measured."]
    advantages = {entry.case.title: figures.advantage(entry.case, entry.hartloop, entry.linux) for entry in entries}
    advantages = {title: value for title, value in advantages.items() if value}
    sentences = []
    if advantages:
        ahead = sum(value > 1 for value in advantages.values())
        least, most = min(advantages, key=advantages.get), max(advantages, key=advantages.get)
        sentences.append(f"Hartloop's rate is ahead of Linux's in {ahead} of {len(advantages)} cases: from "
                         f"{figures.number(advantages[least])}× ({least}) to {figures.number(advantages[most])}× ({most}).")
    else:
        sentences.append("Linux was not measured: there are no ratios.")
    counts = [sum(verdict.verdict == kind for verdict in verdicts) for kind in (bars.MET, bars.NOT_MET, bars.NOT_MEASURED)]
    if any(counts):
        sentences.append(f"Of {sum(counts)} bars {counts[0]} are met, {counts[1]} are not met and {counts[2]} are not measured.")
    return sentences


def plots_of(table, drawn):
    """The plots that go with a table, of those that were drawn."""
    return [plot for family in table.plots for plot in drawn.values() if plot.family == family]


# ---- HTML ----


def html_table(table):
    """A table as HTML."""
    out = [f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(table.title)}"><table><thead><tr>']
    out += [f'<th scope="col"{f" class={chr(34)}{style}{chr(34)}" if style else ""}>{html.escape(heading)}</th>'
            for heading, style in table.columns]
    out.append("</tr></thead><tbody>")
    for row in table.rows:
        cells = []
        for content, (_, usual) in zip(row, table.columns):
            text, style = cell(content, usual)
            cells.append(f'<td class="{style}">{html.escape(str(text))}</td>' if style else f"<td>{html.escape(str(text))}</td>")
        out.append("<tr>" + "".join(cells) + "</tr>")
    out.append("</tbody></table></div>")
    return "".join(out)


def html_page(title, sentences, tables, drawn, beside):
    """The whole page. beside: paths of files that it points to."""
    parts = ["<!doctype html><html lang=en><head><meta charset=utf-8>"
             '<meta name=viewport content="width=device-width,initial-scale=1"><meta name=color-scheme content="light dark">',
             f"<title>{html.escape(title)}</title><style>{plots.style()}{PAGE_STYLE}</style></head>"
             f"<body><main><h1>{html.escape(title)}</h1>"]
    parts += [f"<p>{html.escape(sentence)}</p>" for sentence in sentences]
    for table in tables:
        parts.append(f"<section><h2>{html.escape(table.title)}</h2>")
        parts += [f"<p class=muted>{html.escape(table.about)}</p>"] if table.about else []
        parts += [f"<figure>{plots.page(plot)}</figure>" for plot in plots_of(table, drawn)]
        parts.append(html_table(table) + "</section>")
    if beside:
        links = "".join(f'<li><a href="{html.escape(urllib.parse.quote(path))}">{html.escape(path)}</a>' for path in beside)
        parts.append(f"<section><h2>{BESIDE}</h2><ul>{links}</ul></section>")
    return "\n".join(parts) + "</main></body></html>\n"


# ---- Markdown ----


def markdown_text(text):
    """Text that Markdown shows as it is, within one cell."""
    text = re.sub(r"\s*\n\s*", " ", str(text))
    return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", text)


def markdown_table(table):
    """A table as Markdown."""
    lines = ["| " + " | ".join(markdown_text(heading) for heading, _ in table.columns) + " |",
             "|" + "|".join("---" if LEFT in style.split() else "--:" for _, style in table.columns) + "|"]
    for row in table.rows:
        texts = [markdown_text(cell(content, "")[0]) for content in row]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def markdown_page(title, sentences, tables, drawn, names, beside):
    """The whole summary. names: the plots' files; beside: paths of further ones that it points to."""
    parts = [f"# {markdown_text(title)}", *(markdown_text(sentence) for sentence in sentences)]
    for table in tables:
        parts += [f"## {markdown_text(table.title)}", *([markdown_text(table.about)] if table.about else [])]
        parts += [f"![{markdown_text(plot.title)}]({names[plot.name]})" for plot in plots_of(table, drawn)]
        parts.append(markdown_table(table))
    if beside:
        parts += [f"## {BESIDE}", "\n".join(f"- [{markdown_text(path)}]({urllib.parse.quote(path)})" for path in beside)]
    return "\n\n".join(parts) + "\n"


# ---- files ----


def plain(value):
    """What JSON cannot hold as text."""
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def files_beside(directory):
    """What ablations and profiles left in the folder of a report."""
    found = [path for pattern in ("ablation-*/report.html", "profile-*.md", "profile-*.html")
             for path in glob.glob(pattern, root_dir=directory)]
    return sorted(found)


def write_files(directory, title, sentences, tables, drawn, raw):
    """The page, the summary, the plots and the figures; returns the paths, the page's first."""
    os.makedirs(directory, exist_ok=True)
    names = {name: f"{name}.svg" for name in drawn}
    beside = files_beside(directory)
    files = {"report.html": html_page(title, sentences, tables, drawn, beside),
             "report.md": markdown_page(title, sentences, tables, drawn, names, beside),
             "results.json": re.sub(PAIR, r"[\1, \2]", json.dumps(raw, indent=1, default=plain)) + "\n"}
    files.update({names[name]: plots.file(plot) for name, plot in drawn.items()})
    for name, text in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    return [os.path.join(directory, name) for name in files]


def write(results, cases, directory):
    """Writes the report of a run; returns the paths of its files, the HTML page first."""
    verdicts = bars.verdicts(results, cases)
    tables, entries = tables_of(results, cases, verdicts)
    date = results.conditions.get("date", "")
    title = "Hartloop beside Linux" if any(entry.linux.rate or entry.linux.per_operation for entry in entries) else "Hartloop"
    return write_files(directory, f"{title}: measurements{', ' + date if date else ''}", summary(entries, verdicts), tables,
                       plots.all_plots(entries), dataclasses.asdict(results))


def read(path):
    """Results that were kept as JSON."""
    with open(path, encoding="utf-8") as file:
        raw = json.load(file)

    def sample(one):
        counted = Counters(**one["counters"]) if one["counters"] else None
        return Sample(Load(**one["load"]), counted, one["memory_peak_bytes"], Exits(**one["exits"]) if one.get("exits") else None,
                      one.get("causes", {}))

    def samples(group):
        return {case: {system: [sample(one) for one in found] for system, found in systems.items()} for case, systems in group.items()}

    return Results(raw["conditions"], samples(raw["samples"]), samples(raw["counted"]), raw["errors"])


def main():
    sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))
    import cases  # pylint: disable=import-outside-toplevel  # the report itself knows of no case
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    path = sys.argv[1]
    try:
        results = read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"report: {path}: {error}")
    known = [case for case in cases.CASES if any(case.name in group for group in (results.samples, results.counted, results.errors))]
    print("\n".join(write(results, known, sys.argv[2] if len(sys.argv) == 3 else os.path.dirname(os.path.abspath(path)))))


if __name__ == "__main__":
    main()
