#!/usr/bin/python3
"""A profile of a running Hartloop: system calls in a loop are found where they are, and nothing is lost."""

import os
import sys
import tempfile
import unittest

sys.path[:0] = [os.path.abspath("perf"), os.path.abspath("tools")]
import cases  # noqa: E402
import hotspots  # noqa: E402
import opponents  # noqa: E402
import runner  # noqa: E402
import symbols  # noqa: E402
import wire  # noqa: E402

SECONDS = 0.3


class ProfileTest(unittest.TestCase):
    """One case; see setUpClass."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="hl-")
        cls.addClassCleanup(cls.folder.cleanup)
        both = opponents.Opponents(("hartloop",), opponents.Machine(), cls.folder.name)
        bench = runner.Bench(both, wire.Wire("user"), runner.Cores(1, wanted=False), os.path.join(cls.folder.name, "logs"), SECONDS)
        [cls.case] = cases.select(["inside-getppid"])
        cls.profile = hotspots.collect(bench, cls.case, "hartloop", symbols.ElfSymbols(both.kernel))

    def test_every_instruction_stands_in_a_stack(self):
        self.assertEqual(self.profile.refused, 0)
        self.assertAlmostEqual(self.profile.known() / self.profile.counted.kernel, 1, delta=0.005)

    def test_the_call_is_found(self):
        own = {row.name: row.own for row in hotspots.rows(self.profile, "function")}
        self.assertGreater(own["trap_entry"], 20)
        shares = {path: count for path, count in hotspots.folded(self.profile).items() if path[-1] == "sys_getppid"}
        self.assertGreater(max(shares.values()), self.profile.operations)
        path = max(shares, key=shares.get)
        self.assertEqual(path[:2], ("kernel", "[system call]"))
        self.assertIn("trap_entry", path)

    def test_pages(self):
        written = hotspots.write_flame_graph(self.profile, self.case, "hartloop", self.folder.name)
        for path in written:
            with open(path, encoding="utf-8") as file:
                self.assertIn("sys_getppid", file.read())
        page = hotspots.markdown(self.case, {"hartloop": self.profile}, {"host": "any"}, 10)
        self.assertIn("| `sys_getppid` |", page)


if __name__ == "__main__":
    unittest.main()
