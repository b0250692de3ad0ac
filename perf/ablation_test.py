#!/usr/bin/python3
"""The ablation's order of work and its table, with a bench that is played."""

import os
import sys
import tempfile
import unittest

sys.path[:0] = [os.path.join(os.getcwd(), "perf"), os.path.join(os.getcwd(), "tools")]
os.environ.setdefault("MPLCONFIGDIR", os.environ.get("TEST_TMPDIR", ""))
import ablation  # noqa: E402
import switches  # noqa: E402
from model import Case, Counters, Load, MeasurementError, Sample  # noqa: E402

CASE = Case("one", "one case", "group", "image", "request", "requests/s")
SETTINGS = (switches.Setting(switches.USUAL, ""), switches.Setting("without it", "it=0"), switches.Setting("broken", "broken=1"))
KERNEL = {"": 1000, "it=0": 1500}
RATE = {"": 200, "it=0": 100}


class Bench:
    """Notes what is measured; one setting fails."""

    def __init__(self):
        self.counting = False
        self.seen = []

    def measure(self, _case, system, arguments):
        self.seen.append((system, arguments, self.counting))
        if arguments == "broken=1":
            raise MeasurementError("no answer")
        load = Load(10, 1, rate=RATE[arguments])
        return Sample(load, Counters(50, 10 * KERNEL[arguments], 0, 20, 5) if self.counting else None)


class AblationTest(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.outcomes = ablation.measure(self.bench, CASE, 2, SETTINGS)

    def test_rounds_visit_every_setting(self):
        once = [setting.arguments for setting in SETTINGS]
        self.assertEqual([arguments for _, arguments, _ in self.bench.seen], once * 4)
        self.assertEqual([counting for _, _, counting in self.bench.seen], [False] * 6 + [True] * 6)
        self.assertEqual({system for system, _, _ in self.bench.seen}, {"hartloop"})
        self.assertFalse(self.bench.counting)

    def test_counts_once_without_rates(self):
        bench = Bench()
        ablation.measure(bench, CASE, 0, SETTINGS)
        self.assertEqual([counting for _, _, counting in bench.seen], [True] * 3)

    def test_table(self):
        rows = ablation.table(CASE, self.outcomes).rows
        self.assertEqual(rows[0][:8], ["as usual", "1,000", "–", "2", "0.5", "5", "200", "–"])
        self.assertEqual(rows[1][:9], ["without it", "1,500", "+500 (+50 %)", "2", "0.5", "5", "100", "−100 (−50 %)", "it=0"])
        self.assertEqual(rows[2], ["broken", *["–"] * 7, "broken=1", "counted: no answer"])

    def test_worth(self):
        self.assertEqual(ablation.worth(self.outcomes, "kernel"), [("without it", 1.5, None)])
        self.assertEqual(ablation.worth(self.outcomes, "rate"), [("without it", 2, None)])

    def test_change(self):
        self.assertEqual(ablation.change(None, 1), "–")
        self.assertEqual(ablation.change(3, 0), "+3")
        self.assertEqual(ablation.change(95, 100), "−5 (−5 %)")

    def test_files(self):
        with tempfile.TemporaryDirectory() as directory:
            paths = ablation.write(CASE, self.outcomes, {"date": "today"}, directory)
            names = [os.path.relpath(path, directory) for path in paths]
            with open(paths[1], encoding="utf-8") as file:
                self.assertIn("| without it | 1,500 | +500 (+50 %) |", file.read())
        self.assertEqual(names, ["ablation-one/" + name for name in ("report.html", "report.md", "results.json", "kernel.svg", "rate.svg")])

    def test_every_setting_says_what_it_is(self):
        usual = [setting for setting in switches.SETTINGS if not setting.arguments]
        self.assertEqual([setting.without for setting in usual], [switches.USUAL, switches.AGAIN])
        self.assertIs(switches.SETTINGS[0], usual[0])
        self.assertEqual(len({setting.without for setting in switches.SETTINGS}), len(switches.SETTINGS))


if __name__ == "__main__":
    unittest.main()
