#!/usr/bin/python3
"""A flame graph as one HTML page that needs nothing else: `flamegraph.py FOLDED OUTPUT`, and page() for programs.

Stacks come as counts by tuple of names, outermost first; in a file in the folded form, "outer;inner;innermost COUNT" per line.
Each frame is a box as wide as its share, below the one that called it. Without scripts the page shows everything and names each
frame under the pointer; with them a click widens a frame to the page, and a text finds frames and sums their shares.
"""

import argparse
import collections
import dataclasses
import html
import json
import sys

NARROWEST = 0.0002  # share of the page below which a frame is left out
THIN = 0.006  # and below which its name is
TINY = 1e-9
ROW_PIXELS = 20
LEGEND_MOST = 9

# Light enough for dark text; neighbours in the legend differ in lightness, too.
COLOURS = ["#f6c28b", "#9ecae1", "#b8dd9a", "#f4a6b0", "#cdb9e8", "#f3e08a", "#8fd6c4", "#d9c2a4", "#c3cbd6"]
OTHER = "#e3e5e8"

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f23;--muted:#5b6570;--line:#d5d9de}
@media (prefers-color-scheme:dark){:root{--paper:#15181b;--ink:#e8eaec;--muted:#9aa4ae;--line:#3a4047}}
*{box-sizing:border-box}
body{margin:0;padding:1rem;background:var(--paper);color:var(--ink);font:15px/1.4 system-ui,sans-serif}
h1{font-size:1.25rem;margin:0 0 .2rem}
p{margin:0 0 .6rem;color:var(--muted);max-width:60rem}
.bar{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center;margin:.3rem 0 .6rem}
.bar span{white-space:nowrap}
.bar i{display:inline-block;width:.9em;height:.9em;border-radius:2px;margin-right:.35em;vertical-align:-.1em}
.bar input{font:inherit;padding:.15rem .4rem;width:14rem;max-width:100%}
#at{min-height:2.8em;font-size:13px;overflow-wrap:anywhere}
#graph{position:relative;width:100%;overflow:hidden}
#graph div{position:absolute;height:19px;padding:0 3px;border-left:1px solid var(--paper);border-radius:2px;color:#14171a;
font:12px/19px ui-monospace,monospace;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;cursor:pointer}
#graph div.thin{padding:0;border-left-width:0;text-indent:9px}
#graph div:hover{filter:brightness(.88)}
#graph div.above{opacity:.55}
#graph div.hit{outline:2px solid #b3003c;outline-offset:-2px}
.script{display:none}
"""

SCRIPT = """
const frames=[...document.querySelectorAll('#graph div')],at=document.getElementById('at'),find=document.getElementById('find'),
found=document.getElementById('found');
document.querySelectorAll('.script').forEach(e=>e.classList.remove('script'));
const box=frames.map((e,i)=>({e,x:PLACES[i][0],w:PLACES[i][1],row:PLACES[i][2],text:e.title}));
const top_=box[0];
function show(z){
 for(const b of box){
  const end=z.x+z.w,above=b.row<z.row&&b.x<=z.x+1e-9&&b.x+b.w>=end-1e-9,inside=b.row>=z.row&&b.x>=z.x-1e-9&&b.x+b.w<=end+1e-9;
  b.e.style.display=above||inside?'':'none';b.e.classList.toggle('above',above);
  if(above){b.e.style.left='0';b.e.style.width='100%'}
  else if(inside){b.e.style.left=100*(b.x-z.x)/z.w+'%';b.e.style.width=100*b.w/z.w+'%'}
  b.e.classList.toggle('thin',!above&&b.w/z.w<THIN)}}
for(const b of box){b.e.onclick=()=>show(b);b.e.onmouseenter=()=>at.textContent=b.text}
document.addEventListener('keydown',e=>{if(e.key==='Escape')show(top_)});
document.getElementById('reset').onclick=()=>show(top_);
find.oninput=()=>{const t=find.value.toLowerCase();let sum=0;const hits=[];
 for(const b of box){const hit=t&&b.e.textContent.toLowerCase().includes(t);b.e.classList.toggle('hit',!!hit);
  if(hit&&!hits.some(h=>h.row<b.row&&h.x<=b.x&&h.x+h.w>=b.x+b.w)){hits.push(b);sum+=b.w}}
 found.textContent=t?(100*sum/top_.w).toFixed(1)+' % of all':''};
"""


class FoldedError(Exception):
    """A file is not in the folded form; the text says where."""


@dataclasses.dataclass
class Node:
    """A frame under its callers. own: instructions of its own; total: with its callees'."""

    name: str
    own: float = 0
    total: float = 0
    children: dict = dataclasses.field(default_factory=dict)


def parse_folded(lines, name):
    """Stack -> count of lines in the folded form."""
    stacks = collections.Counter()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        path, _, count = line.rstrip("\n").rpartition(" ")
        if not path or not count.isdigit():
            raise FoldedError(f"{name}, line {number}: not 'FRAME;FRAME COUNT' but {line.strip()[:80]!r}")
        stacks[tuple(path.split(";"))] += int(count)
    if not sum(stacks.values()):
        raise FoldedError(f"{name}: no stacks")
    return stacks


def tree(stacks):
    """The root of all frames."""
    root = Node("all")
    for path, count in stacks.items():
        if count <= 0:
            continue
        node = root
        node.total += count
        for name in path:
            node = node.children.setdefault(name, Node(name))
            node.total += count
        node.own += count
    return root


@dataclasses.dataclass
class Box:
    """A frame's place: x and width as shares of the page, row from the top."""

    node: Node
    x: float
    width: float
    row: int
    parent: Node


def boxes(root, narrowest):
    """All frames that are wide enough, callers before what they called, the widest first."""
    found = []
    waiting = [Box(root, 0, 1, 0, root)]
    while waiting:
        here = waiting.pop()
        found.append(here)
        x = here.x
        below = []
        for child in sorted(here.node.children.values(), key=lambda node: (-node.total, node.name)):
            width = child.total / root.total
            if width >= narrowest:
                below.append(Box(child, x, width, here.row + 1, here.node))
            x += width
        waiting += reversed(below)
    return found


def category(name, files):
    """What a frame is coloured by: the folder or module of its function."""
    if name.startswith("[") or name in ("all", "kernel", "user", "firmware"):
        return "entry"
    path = files.get(name, "")
    return path.split("/")[0] if path else name.lstrip("_").partition("_")[0]


def palette(found, files):
    """Category -> colour, of those that have most instructions of their own."""
    weights = collections.Counter()
    for here in found:
        weights[category(here.node.name, files)] += here.node.own
    weights.pop("entry", None)
    return {name: COLOURS[i] for i, (name, _) in enumerate(weights.most_common(LEGEND_MOST)[:len(COLOURS)])}


def amount(count, operations):
    """A count per operation as text."""
    value = count / operations
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def place(here, focus):
    """(left, width) in a page that is as wide as the frame `focus`, or None where it is not seen."""
    start, end = here.x, here.x + here.width
    if here.row < focus.row and start <= focus.x + TINY and end >= focus.x + focus.width - TINY:
        return 0, 1
    if here.row >= focus.row and start >= focus.x - TINY and end <= focus.x + focus.width + TINY:
        return (start - focus.x) / focus.width, here.width / focus.width
    return None


def box_html(here, focus, root, unit, operations, files, colours):
    """One frame."""
    node = here.node
    text = (f"{node.name}: {amount(node.total, operations)} {unit}, {node.total / root.total:.1%} of all, "
            f"{node.total / here.parent.total:.1%} of {here.parent.name}; {amount(node.own, operations)} of its own")
    if node.name in files:
        text += f" ({files[node.name]})"
    colour = colours.get(category(node.name, files), OTHER)
    seen = place(here, focus)
    where = f"left:{seen[0]:.4%};width:{seen[1]:.4%}" if seen else "display:none"
    classes = ["above"] * (here.row < focus.row) + ["thin"] * bool(seen and seen[1] < THIN)
    return (f'<div class="{" ".join(classes)}" style="{where};top:{here.row * ROW_PIXELS}px;background:{colour}" '
            f'title="{html.escape(text)}">{html.escape(node.name)}</div>')


def page(stacks, title, unit="samples", operations=1, files=None, focus=""):
    """The page. files: name -> file that defines it; counts are divided by operations, and then in the unit.

    focus: the outermost frame that fills the page at first; all of them without it.
    """
    files = files or {}
    root = tree(stacks)
    if not root.total:
        raise FoldedError(f"{title}: nothing was counted")
    wide = root.children.get(focus, root)
    found = boxes(root, NARROWEST * wide.total / root.total)
    start = next(here for here in found if here.node is wide)
    colours = palette(found, files)
    legend = "".join(f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>' for name, colour in colours.items())
    places = json.dumps([[round(here.x, 12), round(here.width, 12), here.row] for here in found], separators=(",", ":"))
    height = (max(here.row for here in found) + 1) * ROW_PIXELS
    frames = "\n".join(box_html(here, start, root, unit, operations, files, colours) for here in found)
    parts = ", ".join(f"{child.name} {amount(child.total, operations)}" for child in root.children.values())
    about = (f"{html.escape(unit[:1].upper() + unit[1:])}: {html.escape(parts)}. Each box is a function, as wide as what it and its "
             f"callees cost; callees stand below their callers. Frames of less than {NARROWEST:.2%} are left out. Colours: the folder or "
             "module of a function, else the first word of its name.")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1><p>{about}</p>
<div class="bar">{legend}<span><i style="background:{OTHER}"></i>other</span></div>
<div class="bar script"><label>Find <input id="find" type="search"></label><span id="found"></span>
<button id="reset" type="button">Show all (Esc)</button><span>Click a box to widen it.</span></div>
<div id="at" class="script" aria-live="polite"></div>
<div id="graph" style="height:{height}px">
{frames}
</div>
<script>const PLACES={places},THIN={THIN};{SCRIPT}</script>
</body></html>
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folded", help="stacks in the folded form")
    parser.add_argument("output", help="the HTML page to write")
    parser.add_argument("--title", default="Flame graph")
    parser.add_argument("--unit", default="samples")
    parser.add_argument("--operations", type=float, default=1, help="what counts are divided by")
    options = parser.parse_args()
    if not options.operations > 0:
        raise FoldedError(f"--operations {options.operations:g}: must be above 0")
    with open(options.folded, encoding="utf-8") as file:
        stacks = parse_folded(file, options.folded)
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(page(stacks, options.title, options.unit, options.operations))


if __name__ == "__main__":
    try:
        main()
    except (FoldedError, OSError, UnicodeDecodeError) as error:
        print(f"flamegraph: {error}", file=sys.stderr)
        sys.exit(1)
