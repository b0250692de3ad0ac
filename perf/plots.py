"""The report's plots, as SVG text: each drawn for a wide page and for a narrow one.

Drawn with stand-in colours, which page() turns into the page's CSS variables (light, dark and print
from one drawing) and file() into plain colours. Colours are of Okabe and Ito's set, which people
with any colour vision tell apart; nothing is told by colour alone.
"""

import dataclasses
import functools
import html
import io
import itertools
import math
import re
import textwrap

import matplotlib

matplotlib.use("svg")
import matplotlib.figure  # noqa: E402
import matplotlib.patches  # noqa: E402
import matplotlib.ticker  # noqa: E402
from matplotlib.font_manager import FontProperties  # noqa: E402
from matplotlib.textpath import text_to_path  # noqa: E402

import figures  # noqa: E402

WIDE, NARROW = 10.0, 3.75  # inches
SIZE = 9  # of text, in points
SYSTEMS = ("hartloop", "linux")
NAMES = {"hartloop": "Hartloop", "linux": "Linux"}
CLASSES = ("user", "kernel", "firmware")
RATIO_TICKS = (0.1, 0.2, 0.5, 0.8, 1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
ROWS, PANELS = 20, 12  # in one plot, at most
TICK_PERCENTILES = (50, 90, 99, 99.9, 99.99)
RARITY_MOST, RARITY_STEP = 4, 0.02  # of distributions: 1 of 10 ** 4

# role: (stand-in, light, dark)
COLOURS = {
    "ink": ("#010101", "#1b1b1b", "#ececec"),
    "muted": ("#010102", "#595959", "#b0b0b0"),
    "paper": ("#010109", "#ffffff", "#16181a"),
    "grid": ("#010103", "#dddddd", "#44474a"),
    "hartloop": ("#010104", "#0072b2", "#56b4e9"),
    "linux": ("#010105", "#d55e00", "#e69f00"),
    "user": ("#010106", "#009e73", "#009e73"),
    "kernel": ("#010107", "#e69f00", "#f0c040"),
    "firmware": ("#010108", "#8a4a73", "#cc79a7"),
}
INK, MUTED, GRID, PAPER = (COLOURS[role][0] for role in ("ink", "muted", "grid", "paper"))
OVER_LINES = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}  # behind a text that lines may cross

SETTINGS = {
    "svg.fonttype": "none", "svg.hashsalt": "hartloop", "font.size": SIZE, "font.family": "DejaVu Sans",
    "text.color": INK, "axes.edgecolor": MUTED, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "grid.color": GRID, "grid.linewidth": 0.8,
    "axes.axisbelow": True, "text.parse_math": False,
}


@dataclasses.dataclass(frozen=True)
class Plot:
    """One plot. `wide` and `narrow` are SVG text with stand-in colours. Plots of a family show different cases alike."""

    family: str
    name: str
    title: str
    alt: str
    wide: str
    narrow: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """A case with its figures, as plots want it."""

    case: object
    hartloop: figures.Figures
    linux: figures.Figures

    def of(self, system):
        """The figures of a system."""
        return getattr(self, system)

    @property
    def title(self):
        """The case's name for people, of a length that fits."""
        return textwrap.shorten(self.case.title, 50, placeholder=" …")


# ---- drawing ----


def colour(role):
    """The stand-in for a role."""
    return COLOURS[role][0]


@functools.lru_cache(maxsize=None)
def text_inches(text, size=SIZE):
    """How wide a text is drawn."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0] / 72


def fitting(text, inches, size=SIZE):
    """A text, cut to a width."""
    while text_inches(text, size) > inches and len(text) > 8:
        text = text[:-3].rstrip(" …,") + " …"
    return text


class Canvas:
    """A figure of a given width with a title over axes that are placed in inches from the top left."""

    def __init__(self, width, title, body_height):
        self.width = width
        self.narrow = width < 6
        self.title = textwrap.wrap(title, 48 if self.narrow else 110)
        self.top = 0.12 + 0.19 * len(self.title) + 0.06
        self.height = self.top + body_height
        self.figure = matplotlib.figure.Figure(figsize=(width, self.height))
        self.figure.text(0.05 / width, 1 - 0.12 / self.height, "\n".join(self.title), va="top", weight="bold", size=SIZE + 0.5,
                         linespacing=1.35)

    def axes(self, left, right, top, bottom):
        """Axes by their margins: left and right of the figure, top and bottom from under the title."""
        height = bottom - top
        return self.figure.add_axes((left / self.width, 1 - (self.top + bottom) / self.height,
                                     (self.width - left - right) / self.width, height / self.height))

    def svg(self):
        """The figure as an SVG element without whatever names the world outside."""
        out = io.StringIO()
        self.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        text = out.getvalue()
        text = text[text.index("<svg"):]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
        return text.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")


def draw(family, number, title, alt, drawer, *args):
    """A Plot by drawer(width, title, *args) -> Canvas; the number-th of its family."""
    with matplotlib.rc_context(SETTINGS):
        drawings = (drawer(width, title, *args).svg() for width in (WIDE, NARROW))
        return Plot(family, family if number == 1 else f"{family}-{number}", title, alt, *drawings)


def parts(entries, most):
    """Entries in parts that fit a page: of whole groups, where a group is not larger than that. Yields (number, title's end, entries)."""
    found = []
    for _, group in itertools.groupby(entries, lambda entry: entry.case.group):
        group = list(group)
        for start in range(0, len(group), most):
            piece = group[start:start + most]
            if found and len(found[-1]) + len(piece) <= most:
                found[-1] += piece
            else:
                found.append(piece)
    for number, part in enumerate(found, 1):
        groups = ", ".join(dict.fromkeys(entry.case.group for entry in part))
        yield number, f" ({groups})" if len(found) > 1 else "", part


def rows_canvas(width, title, labels, row_height, right, head=0.0):
    """A canvas and axes with a row per label, counted downwards. Labels stand left of the rows, on narrow pages over them.
    `head` inches between the title and the rows stay empty."""
    narrow = width < 6
    left = 0.12 if narrow else max(text_inches(label) for label in labels) + 0.2
    row = row_height + (0.2 if narrow else 0)
    canvas = Canvas(width, title, head + len(labels) * row + 0.62)
    axes = canvas.axes(left, right, head + 0.05, head + 0.05 + len(labels) * row)
    axes.set_ylim(len(labels) * row, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    centres = []
    for index, label in enumerate(labels):
        centres.append(index * row + (0.22 if narrow else 0.02) + (row_height - 0.04) / 2)
        if narrow:
            axes.text(0, index * row + 0.11, fitting(label, width - left - 0.1, SIZE - 0.5), transform=axes.get_yaxis_transform(),
                      va="center", size=SIZE - 0.5, bbox=OVER_LINES)
        else:
            axes.text(-0.08 / (width - left - right), centres[-1], label, transform=axes.get_yaxis_transform(), ha="right", va="center")
    return canvas, axes, centres


def plain_log_axis(axis, text=figures.number):
    """Ticks of a logarithmic axis as plain numbers, few enough to be read."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(10, subs=(1.0,), numticks=8))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


# ---- throughput beside Linux ----


def draw_ratios(width, title, rows, axis):
    narrow = width < 6
    canvas, axes, centres = rows_canvas(width, title, [label for label, _, _ in rows], 0.24, 0.55)
    values = [value for _, value, _ in rows] + [limit for _, _, limit in rows if limit]
    low, high = min(0.8, min(values) * 0.9), max(2, max(values) * 1.15)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for (_, value, limit), y in zip(rows, centres):
        axes.barh(y, value - 1, left=1, height=0.16, color=colour("hartloop" if value >= 1 else "linux"))
        if limit:
            axes.plot([limit, limit], [y - 0.11, y + 0.11], color=INK, linewidth=1.6, solid_capstyle="butt")
        edge = max(value, limit or 0, 1)
        axes.annotate(f"{figures.number(value)}×", (edge, y), xytext=(4, 0), textcoords="offset points", va="center")
    axes.axvline(1, color=INK, linewidth=1.2)
    ticks = [tick for tick in RATIO_TICKS if low <= tick <= high]
    if high / low > 5:
        ticks = [tick for tick in ticks if tick not in (0.8, 1.2, 1.5)]
    if narrow and len(ticks) > 6:
        ticks = [tick for tick in ticks if tick in (0.1, 1, 10, 100, 1000)]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x")
    axes.set_xlabel(axis)
    return canvas


def bars_at_one(family, number, title, rows, axis):
    """Bars to the right of 1 where a figure is better and to the left where it is worse. rows: (label, figure, stroke or None)."""
    rows = [(textwrap.shorten(label, 50, placeholder=" …"), value, stroke) for label, value, stroke in rows if value > 0]
    if not rows:
        return None
    alt = f"{axis}: " + "; ".join(f"{label} {figures.number(value)}" for label, value, _ in rows)
    return draw(family, number, title, alt, draw_ratios, rows, axis)


def ratios(entries):
    """How many times better than Linux each case is."""
    there = [entry for entry in entries if figures.advantage(entry.case, entry.hartloop, entry.linux)]
    for number, end, part in parts(there, ROWS):
        rows = []
        for entry in part:
            limits = [bar.limit for bar in entry.case.bars if bar.figure == "ratio" and bar.relation == ">="]
            rows.append((entry.title, figures.advantage(entry.case, entry.hartloop, entry.linux), limits[0] if limits else None))
        title = f"Hartloop's rate beside Linux's{end}: further right is better; 1× is equal"
        if any(limit for _, _, limit in rows):
            title += "; a stroke is the bar set for the case"
        yield bars_at_one("ratios", number, title, rows, "times better than Linux (logarithmic)")


# ---- where the instructions are ----


def draw_split(width, title, entries):
    labels = {(entry.case.name, system): f"{NAMES[system]} {figures.number(entry.of(system).instructions)}"
              for entry in entries for system in SYSTEMS if entry.of(system).instructions}
    right = max(text_inches(label) for label in labels.values()) + 0.15
    titles = [f"{entry.title}, per {entry.case.operation}" for entry in entries]
    canvas, axes, centres = rows_canvas(width, title, titles, 0.42, right, 0.22)
    longest = 1.0
    for entry, y in zip(entries, centres):
        whole = entry.linux.instructions or entry.hartloop.instructions
        for system, offset in zip(SYSTEMS, (-0.085, 0.085)):
            shares, left = entry.of(system).per_operation, 0
            if not entry.of(system).instructions:
                continue
            for kind in CLASSES:
                axes.barh(y + offset, shares[kind] / whole, left=left, height=0.15, color=colour(kind))
                left += shares[kind] / whole
            longest = max(longest, left)
            axes.annotate(labels[entry.case.name, system], (left, y + offset), xytext=(4, 0), textcoords="offset points", va="center",
                          size=SIZE - 0.5, annotation_clip=False)
    axes.set_xlim(0, longest)
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    axes.grid(axis="x")
    axes.set_xlabel("of Linux's instructions" if any(entry.linux.instructions for entry in entries) else "of all instructions")
    handles = [matplotlib.patches.Patch(color=colour(kind), label=kind) for kind in CLASSES]
    canvas.figure.legend(handles=handles, loc="center left", ncol=3, frameon=False, fontsize=SIZE, handlelength=1, borderaxespad=0,
                         borderpad=0, bbox_to_anchor=(axes.get_position().x0, 1 - (canvas.top + 0.1) / canvas.height))
    return canvas


def instruction_split(entries):
    """User, kernel and firmware instructions of both systems as stacked bars."""
    there = [entry for entry in entries if entry.hartloop.instructions or entry.linux.instructions]
    for number, end, part in parts(there, ROWS):
        title = f"Instructions per operation{end}, split into user, kernel and firmware: shorter is better; figures are totals"
        alt = "Instructions per operation: " + "; ".join(
            f"{entry.title}: " + ", ".join(
                f"{NAMES[system]} " + " ".join(f"{kind} {figures.number(entry.of(system).per_operation[kind])}" for kind in CLASSES)
                for system in SYSTEMS if entry.of(system).per_operation)
            for entry in part)
        yield draw("instructions", number, title, alt, draw_split, part)


# ---- latency ----


def microseconds(value):
    """A time in the unit that people read best."""
    if value >= 1e6:
        return f"{figures.number(value / 1e6)} s"
    return f"{figures.number(value / 1000)} ms" if value >= 1000 else f"{figures.number(value)} µs"


def draw_latencies(width, title, entries):
    labels = {(entry.case.name, system): f"{NAMES[system]} {microseconds(entry.of(system).latency_us['p99'])}"
              for entry in entries for system in SYSTEMS if "p99" in entry.of(system).latency_us}
    right = max([text_inches(label) for label in labels.values()] + [0.3]) + 0.2
    canvas, axes, centres = rows_canvas(width, title, [entry.title for entry in entries], 0.4, right)
    axes.set_xscale("log")
    for entry, y in zip(entries, centres):
        for system, offset in zip(SYSTEMS, (-0.08, 0.08)):
            latency = entry.of(system).latency_us
            known = [(latency[name], marker) for name, marker in zip(figures.PERCENTILES, "oDs") if latency.get(name)]
            if not known:
                continue
            axes.plot([value for value, _ in known], [y + offset] * len(known), color=colour(system), linewidth=2)
            for value, marker in known:
                axes.plot(value, y + offset, marker=marker, markersize=5 if marker == "o" else 4.5, color=colour(system))
            if (entry.case.name, system) in labels:
                axes.annotate(labels[entry.case.name, system], (1, y + offset), xycoords=axes.get_yaxis_transform(), xytext=(6, 0),
                              textcoords="offset points", va="center", color=colour(system), size=SIZE - 0.5, annotation_clip=False)
    plain_log_axis(axes.xaxis, microseconds)
    axes.grid(axis="x")
    axes.set_xlabel("latency (logarithmic)")
    return canvas


def latencies(entries):
    """p50, p99 and p99.9 of every case that tells them."""
    there = [entry for entry in entries if any(value > 0 for system in SYSTEMS for value in entry.of(system).latency_us.values())]
    for number, end, part in parts(there, ROWS):
        title = f"Latency{end}: further left is better. Dot p50, diamond p99, square p99.9; figures are p99"
        alt = "Latency in microseconds: " + "; ".join(
            f"{entry.title}: " + ", ".join(
                f"{NAMES[system]} " + " ".join(f"{name} {figures.number(value)}" for name, value in entry.of(system).latency_us.items())
                for system in SYSTEMS if entry.of(system).latency_us)
            for entry in part)
        yield draw("latencies", number, title, alt, draw_latencies, part)


def distribution(histogram):
    """A histogram as points of a line: (how rare: -log10 of the share that is not faster, bound), no more than the eye tells apart."""
    total, seen, points = sum(count for _, count in histogram), 0, []
    for bound, count in histogram:
        if count:
            rarity = -math.log10((total - seen) / total)
            if not points or rarity - points[-1][0] >= RARITY_STEP:
                points.append((rarity, bound))
            seen += count
            slowest = bound
    return points + [(min(RARITY_MOST, math.log10(total)), slowest)] if points else []


def panels(width, title, count, height):
    """A canvas and axes for small panels: three in a line on wide pages, one on narrow ones."""
    columns = 1 if width < 6 else min(3, count)
    lines = -(-count // columns)
    canvas = Canvas(width, title, lines * height)
    each = (width - 0.1) / columns
    axes = []
    for index in range(count):
        column, line = index % columns, index // columns
        axes.append(canvas.axes(column * each + 0.65, width - (column + 1) * each + 0.62, line * height + 0.34, (line + 1) * height - 0.52))
    return canvas, axes


def end_labels(axes, ends):
    """The systems' names at the ends of their lines, apart from each other. ends: [(system, y as a share of the axes)]."""
    ends = sorted(ends, key=lambda end: end[1])
    places = [place for _, place in ends]
    if len(places) == 2 and places[1] - places[0] < 0.13:
        middle = min(0.93, max(0.07, sum(places) / 2))
        places = [middle - 0.065, middle + 0.065]
    for (system, _), place in zip(ends, places):
        axes.annotate(NAMES[system], (1, place), xycoords="axes fraction", xytext=(3, 0), textcoords="offset points", va="center",
                      color=colour(system), size=SIZE - 0.5, annotation_clip=False)


def panel_title(axes, text, inches):
    """A panel's name, cut to its width."""
    axes.annotate(fitting(text, inches), (0, 1), xycoords="axes fraction", xytext=(-38, 7), textcoords="offset points", size=SIZE,
                  annotation_clip=False)


def draw_distributions(width, title, entries):
    canvas, all_axes = panels(width, title, len(entries), 2.3)
    for entry, axes in zip(entries, all_axes):
        ends = []
        axes.set_yscale("log")
        axes.set_xlim(0, RARITY_MOST)
        for system in SYSTEMS:
            points = [point for point in distribution(entry.of(system).histogram_us) if point[0] <= RARITY_MOST]
            if not points:
                continue
            xs, ys = zip(*points)
            axes.plot(xs, ys, color=colour(system), linewidth=1.8, drawstyle="steps-post", linestyle="-" if system == "hartloop" else "--")
            ends.append((system, max(ys)))
        axes.set_xticks([-math.log10(1 - percentile / 100) for percentile in TICK_PERCENTILES],
                        [f"{percentile:g} %" for percentile in TICK_PERCENTILES], size=SIZE - 1.5)
        axes.grid(True)
        plain_log_axis(axes.yaxis, microseconds)
        low, high = (math.log10(limit) for limit in axes.get_ylim())
        end_labels(axes, [(system, (math.log10(value) - low) / (high - low)) for system, value in ends])
        panel_title(axes, entry.title, min(width, 3.3) - 0.4)
    return canvas


def distributions(entries):
    """Latency by percentile where the load generator tells a histogram."""
    there = [entry for entry in entries if any(count for system in SYSTEMS for _, count in entry.of(system).histogram_us)]
    for number, end, part in parts(there, PANELS):
        title = f"Latency that so many of the requests stay under{end}: lower is better (both axes stretched towards the slowest)"
        alt = "Latency distributions of " + ", ".join(entry.title for entry in part) + "; the table has the percentiles."
        yield draw("distributions", number, title, alt, draw_distributions, part)


# ---- curves over a size or a number ----


def draw_curves(width, title, axis, curves):
    canvas, all_axes = panels(width, title, len(curves), 2.45)
    for (name, (unit, points)), axes in zip(curves.items(), all_axes):
        xs = sorted({x for values in points.values() for x in values})
        every = [y for values in points.values() for y in values.values()]
        logarithmic = min(every) > 0 and max(every) / min(every) > 20
        if logarithmic:
            axes.set_yscale("log")
            plain_log_axis(axes.yaxis)
        else:
            axes.set_ylim(0, max(every) * 1.25 or 1)
            axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: figures.number(value)))
            axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
        axes.set_xlim(-0.35, len(xs) - 0.65)
        ends = []
        for system, values in points.items():
            places = [xs.index(x) for x in sorted(values)]
            ys = [values[x] for x in sorted(values)]
            if not ys:
                continue
            axes.plot(places, ys, color=colour(system), marker="o" if system == "hartloop" else "s", markersize=4.5, linewidth=1.8,
                      linestyle="-" if system == "hartloop" else "--")
            ends.append((system, ys[-1]))
            other = points.get("linux" if system == "hartloop" else "hartloop", {})
            for place, x, y in zip(places, sorted(values), ys):
                above = y >= other.get(x, 0)
                axes.annotate(figures.number(y), (place, y), xytext=(0, 5 if above else -11), textcoords="offset points", ha="center",
                              size=SIZE - 1.5, bbox=OVER_LINES)
        axes.set_xticks(range(len(xs)), [f"{x:,}" for x in xs], size=SIZE - 1.5)
        axes.set_xlabel(axis, labelpad=2)
        axes.grid(axis="y")
        low, high = axes.get_ylim()
        scale = math.log10 if logarithmic else float
        end_labels(axes, [(system, (scale(y) - scale(low)) / (scale(high) - scale(low))) for system, y in ends])
        panel_title(axes, f"{name}, {unit}", min(width, 3.3) - 0.2)
    return canvas


def curves(entries, axis, value_of, unit_of, family, title):
    """The cases with a place on an axis, as lines. value_of(figures) -> y or None."""
    lines = {}
    for entry in entries:
        if len(entry.case.curve) != 3 or entry.case.curve[0] != axis:
            continue
        _, line, x = entry.case.curve
        for system in SYSTEMS:
            y = value_of(entry.of(system))
            if y is not None:
                lines.setdefault(line, (unit_of(entry.case), {system: {} for system in SYSTEMS}))[1][system][x] = y
    lines = {line: found for line, found in lines.items() if len({x for values in found[1].values() for x in values}) > 1}
    if not lines:
        return
    alt = f"By {axis}: " + "; ".join(
        f"{line}, {unit}: " + ", ".join(
            NAMES[system] + " " + " ".join(f"at {x:,} {figures.number(y)}" for x, y in sorted(values.items()))
            for system, values in points.items() if values)
        for line, (unit, points) in lines.items())
    yield draw(family, 1, title, alt, draw_curves, axis, lines)


def all_plots(entries):
    """Every plot for which there are figures, by name."""
    plots = [
        *ratios(entries),
        *instruction_split(entries),
        *latencies(entries),
        *distributions(entries),
        *curves(entries, "message bytes", lambda one: one.rate.median if one.rate else None, lambda case: case.unit,
                "sizes", "Rate by message size: higher is better"),
        *curves(entries, "idle connections", lambda one: one.per_operation.get("kernel"),
                lambda case: f"kernel instructions per {case.operation}",
                "idle", "Cost of a request beside idle connections: lower is better, and flat is best"),
    ]
    return {plot.name: plot for plot in plots}


# ---- into a page, into a file ----


def described(svg, plot, prefix):
    """The SVG with its text for those who do not see it, and identifiers of its own."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    head = svg.index(">") + 1
    opening = re.sub(r'\s(?:width|height|version)="[^"]*"', "", svg[:head - 1])
    return (f'{opening} role="img" aria-label="{html.escape(plot.title)}"><title>{html.escape(plot.title)}</title>'
            f"<desc>{html.escape(plot.alt)}</desc>{svg[head:]}")


def page(plot):
    """The plot for an HTML page whose style defines the colours: both drawings, of which the style shows one."""
    drawings = []
    for kind, svg in (("wide", plot.wide), ("narrow", plot.narrow)):
        svg = described(svg, plot, f"{plot.name}-{kind}")
        for role, (stand_in, _, _) in COLOURS.items():
            svg = svg.replace(stand_in, f"var(--{role})")
        drawings.append(f'<div class="{kind}">{svg}</div>')
    return "".join(drawings)


def file(plot):
    """The plot as a file of its own, on white."""
    svg = described(plot.wide, plot, plot.name)
    for stand_in, light, _ in COLOURS.values():
        svg = svg.replace(stand_in, light)
    head = svg.index(">") + 1
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg[:head - 1] + ' style="background:#fff">' + svg[head:]


def style():
    """The colours as CSS variables, light and dark."""
    light, dark = ("".join(f"--{role}:{values[index]};" for role, values in COLOURS.items()) for index in (1, 2))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
