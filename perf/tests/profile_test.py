#!/usr/bin/python3
"""Profiles: what is made of the plugin's answers, of symbols, and the flame graph's page."""

import collections
import html.parser
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path[:0] = [os.path.abspath("perf"), os.path.abspath("tools")]
import flamegraph  # noqa: E402
import hotspots  # noqa: E402
import kallsyms  # noqa: E402
import symbols  # noqa: E402
from model import Counters, MeasurementError  # noqa: E402

PROGRAM = os.path.abspath("perf/tests/counted.elf")

ADDR2LINE = """0x0000000080200000
leaf.constprop.0
/sandbox/9/execroot/hartloop/../../proc/self/cwd/./core/leaf.h:12
middle
/proc/self/cwd/core/a.c:34 (discriminator 2)
middle
/proc/self/cwd/core/a.c:30
outer.isra.0
/proc/self/cwd/core/a.c:56
0x0000000080200004
outer.isra.0
??:?
0x000000008020000c
memcpy
<artificial>:0
0x0000000080200008
symbol_table
/sandbox/9/execroot/hartloop/symbols.S:7
"""


class Page(html.parser.HTMLParser):
    """The frames of a flame graph's page: (name, title, style), and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.frames, self.loaded, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.loaded += [value for name, value in attributes.items() if name in ("src", "href")]
        if tag == "div" and "title" in attributes:
            self.frames.append(["", attributes["title"], attributes["style"]])
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.frames and self.open and self.open[-1] == "div":
            self.frames[-1][0] += data.strip()

    def frame(self, name):
        """The one frame of a name."""
        [found] = [frame for frame in self.frames if frame[0] == name]
        return found

    def percent(self, name, side):
        """A frame's left or width."""
        return float(re.search(side + r":([\d.]+)%", self.frame(name)[2]).group(1))


class FlameGraphTest(unittest.TestCase):
    """Its page."""

    stacks = {("kernel", "a", "b"): 600, ("kernel", "a"): 200, ("kernel", "c"): 200, ("user",): 3000, ("firmware",): 0}

    def page(self, **arguments):
        """The page of the stacks."""
        return Page(flamegraph.page(self.stacks, "A <title>", "instructions per request", 10, **arguments))

    def test_widths_are_shares(self):
        page = self.page()
        self.assertEqual([page.percent(name, "width") for name in ("all", "user", "kernel", "a", "b", "c")], [100, 75, 25, 20, 15, 5])
        self.assertEqual(page.percent("a", "left"), 75)
        self.assertEqual(page.percent("c", "left"), 95)

    def test_focus_fills_the_page(self):
        page = self.page(focus="kernel")
        self.assertEqual([page.percent(name, "width") for name in ("all", "kernel", "a", "b", "c")], [100, 100, 80, 60, 20])
        self.assertIn("display:none", page.frame("user")[2])

    def test_titles_tell_the_figures(self):
        self.assertEqual(self.page(files={"a": "core/a.c"}).frame("a")[1],
                         "a: 80.0 instructions per request, 20.0% of all, 80.0% of kernel; 20.0 of its own (core/a.c)")

    def test_names_are_escaped(self):
        page = Page(flamegraph.page({("<b>&\"x",): 1}, "t"))
        self.assertTrue(page.frame("<b>&\"x"))

    def test_nothing_is_loaded(self):
        self.assertEqual(self.page().loaded, [])

    def test_narrow_frames_are_left_out(self):
        page = Page(flamegraph.page({("wide",): 1000000, ("narrow",): 1}, "t"))
        self.assertEqual([frame[0] for frame in page.frames], ["all", "wide"])

    def test_folded_form(self):
        self.assertEqual(flamegraph.parse_folded(["a;b c 3\n", "\n", "a 4\n", "a 1\n"], "f"), {("a", "b c"): 3, ("a",): 5})
        for lines in (["a;b\n"], ["a;b x\n"], ["5\n"], ["a -3\n"]):
            with self.assertRaisesRegex(flamegraph.FoldedError, "f, line 1"):
                flamegraph.parse_folded(lines, "f")
        with self.assertRaisesRegex(flamegraph.FoldedError, "no stacks"):
            flamegraph.parse_folded([], "f")

    def test_command(self):
        with tempfile.TemporaryDirectory() as directory:
            folded, output = os.path.join(directory, "in"), os.path.join(directory, "out.html")
            with open(folded, "w", encoding="utf-8") as file:
                file.write("a;b 3\na 1\n")
            subprocess.run([sys.executable, "perf/flamegraph.py", folded, output], check=True)
            with open(output, encoding="utf-8") as file:
                self.assertEqual(Page(file.read()).percent("b", "width"), 75)
            failed = subprocess.run([sys.executable, "perf/flamegraph.py", directory + "/none", output], capture_output=True, text=True,
                                    check=False)
            self.assertEqual(failed.returncode, 1)
            self.assertIn("No such file", failed.stderr)


class SymbolsTest(unittest.TestCase):
    """Names of addresses."""

    def test_inlined_chains(self):
        chains = symbols.parse_chains(ADDR2LINE)
        self.assertEqual(chains[0x80200000], (("outer", "core/a.c", 56), ("middle", "core/a.c", 34), ("leaf", "core/leaf.h", 12)))
        self.assertEqual(chains[0x80200004], (("outer", "", 0),))
        self.assertEqual(chains[0x8020000c], (("memcpy", "", 0),))
        self.assertEqual(chains[0x80200008], (("symbol_table", "symbols.S", 7),))

    def test_elf_without_debug_information(self):
        with self.assertRaisesRegex(symbols.SymbolError, "no debug information"):
            symbols.ElfSymbols(PROGRAM)

    def test_no_elf(self):
        with self.assertRaisesRegex(symbols.SymbolError, "/none"):
            symbols.ElfSymbols("/none")

    def test_kallsyms(self):
        names = symbols.NameSymbols("ffffffff80000000 T _start\nffffffff80000100 t first\nffffffff80000180 d data\n"
                                    "ffffffff01000000 t poll\t[virtio_net]\nffffffff80000200 W second\n")
        self.assertEqual(names.chain(0xffffffff800001ff), (("first", "", 0),))
        self.assertEqual(names.chain(0xffffffff01000008), (("poll", "virtio_net", 0),))
        self.assertEqual(names.chain(0x80200204), (("second", "", 0),))
        self.assertEqual(names.chain(0xffffffff00000000), (symbols.UNKNOWN,))
        self.assertEqual(hotspots.key_of(names.chain(0xffffffff01000008), "function"), "poll [virtio_net]")

    def test_kallsyms_that_tell_nothing(self):
        with self.assertRaises(symbols.SymbolError):
            symbols.NameSymbols("0000000000000000 r data\n")

    def test_console(self):
        with self.assertRaisesRegex(MeasurementError, "printed no symbols"):
            kallsyms.read_console("linux-init: ready\n")
        with self.assertRaisesRegex(MeasurementError, "damaged"):
            kallsyms.read_console(f"x\n{kallsyms.BEGIN}\nAAAA\n{kallsyms.END}\n")


class Names:
    """Symbols of a kernel in which a function of 100 bytes begins at each multiple of 100, half of it inlined."""

    @staticmethod
    def chain(address):
        """Of one address."""
        outer = symbols.Frame(f"f{address // 100}", "core/f.c", address)
        return (outer, symbols.Frame("inlined", "core/i.h", 1)) if address % 100 >= 50 else (outer,)

    def split(self, address, count):
        """Instructions of 2 bytes."""
        return collections.Counter(self.chain(address + 2 * i) for i in range(count))


class ProfileTest(unittest.TestCase):
    """From answers of the plugin to tables."""

    before = {"segments": [[10000, 5]], "harts": [{"nodes": [[0, 0]], "cells": [[0, 0, 50]]}], "refused": 0}
    after = {"segments": [[10000, 5], [10148, 2]], "refused": 0, "harts": [
        {"nodes": [[0, 0], [0, 9], [1, 10000], [1, 10099]], "cells": [[0, 0, 50], [2, 0, 500], [3, 1, 20], [1, 1, 40]]},
        {"nodes": [[0, 0]], "cells": [[0, 0, 5]]}]}

    def profile(self):
        """The profile between the answers."""
        stacks = hotspots.resolve(self.before, self.after, Names())
        return hotspots.Profile(10, Counters(user=100, kernel=565, firmware=1), stacks, 0)

    def test_only_what_ran_in_between(self):
        self.assertEqual(self.profile().known(), 565)

    def test_folded_stacks_sum_to_the_classes(self):
        folded = hotspots.folded(self.profile())
        sums = collections.Counter()
        for path, count in folded.items():
            sums[path[0]] += count
        self.assertEqual(sums, {"user": 100, "kernel": 565, "firmware": 1})
        self.assertEqual(folded["kernel", "[system call]", "f100", "f100"], 500)
        self.assertEqual(folded["kernel", "[system call]", "f100", "inlined", "f101"], 10)
        self.assertEqual(folded["kernel", "[system call]", "f101", "inlined"], 20)

    def test_rows(self):
        by_function = {row.name: row for row in hotspots.rows(self.profile(), "function")}
        self.assertEqual((by_function["f100"].own, by_function["f101"].own), (50.5, 6))
        self.assertEqual(by_function["f100"].with_callees, 52.5)
        self.assertAlmostEqual(by_function["f101"].running, 1)
        inlined = {row.name: row for row in hotspots.rows(self.profile(), "inline")}
        self.assertEqual((inlined["inlined"].own, inlined["inlined"].inside), (3, "f101"))
        self.assertEqual([row.name for row in hotspots.rows(self.profile(), "folder")], ["core"])
        self.assertEqual(hotspots.rows(self.profile(), "line")[0].name, "core/f.c:10000 f100")
        self.assertEqual([row.own for row in hotspots.rows(self.profile(), "function", within="inlined")], [3])

    def test_names_of_traps(self):
        self.assertEqual([hotspots.trap_name(site).function for site in (9, 14, 0x406, 0x40a, 0x40b, 25)],
                         ["[system call]", "[page fault (read)]", "[timer interrupt]", "[device interrupt]", "[interrupt 10]",
                          "[exception 24]"])

    def test_what_is_missing_is_said(self):
        profile = self.profile()
        self.assertEqual(hotspots.caveats(profile), [])
        profile.counted.kernel += 100
        profile.refused = 3
        self.assertEqual(len(hotspots.caveats(profile)), 2)


if __name__ == "__main__":
    unittest.main()
