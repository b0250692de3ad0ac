#!/usr/bin/python3
"""The report's tables and verdicts, against values reckoned by hand."""

import json
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "perf"))
os.environ.setdefault("MPLCONFIGDIR", os.environ.get("TEST_TMPDIR", ""))
import bars  # noqa: E402
import figures  # noqa: E402
import report  # noqa: E402
from model import Bar, Case, Counters, Exits, Load, Results, Sample  # noqa: E402

HOSTILE = "<script>alert('1')</script> & \"two\" | $x_y$ `z`"
WIRE_BARS = (Bar("kernel", "<=", 2000), Bar("total", "<=", 120), Bar("ratio", ">=", 3), Bar("p99_ratio", "<=", 0.5),
             Bar("rate", ">=", 400), Bar("bytes_each", "<=", 1024))


def case(name, **options):
    return Case(name, options.pop("title", name), "group", "image", "request", "requests/s", **options)


def samples(rates, p99=None, **notes):
    latency = {} if p99 is None else {"p50": p99 / 2, "p99": p99}
    return [Sample(Load(10, 1, latency, [[p99 or 1, 10]], rate, dict(notes))) for rate in rates]


def counted(*kernel):
    return [Sample(Load(100, 1), Counters(1000, 100 * one, 200, 50, 25)) for one in kernel]


def results(**options):
    return Results({"date": "today"}, options.get("samples", {}), options.get("counted", {}), options.get("errors", {}))


class FigureTest(unittest.TestCase):
    def test_medians_and_spread(self):
        made = results(samples={"a": {"hartloop": samples([30, 10, 20], 8)}}, counted={"a": {"hartloop": counted(7, 9)}})
        found = figures.of(made, "a", "hartloop")
        self.assertEqual(found.rate, figures.Spread(20, 10, 30, 3))
        self.assertEqual(found.latency_us, {"p50": 4, "p99": 8})
        self.assertEqual(found.histogram_us, [[8, 30]])
        self.assertEqual(found.per_operation, {"user": 10, "kernel": 8, "firmware": 2, "kicks": 0.5, "interrupts": 0.25})
        self.assertEqual(found.instructions, 20)

    def test_rate_by_operations_and_time(self):
        self.assertEqual(figures.rate(Load(10, 4)), 2.5)
        self.assertIsNone(figures.rate(Load(10, 0)))

    def test_what_is_missing_is_not_zero(self):
        found = figures.of(results(), "a", "linux")
        self.assertIsNone(found.rate)
        self.assertIsNone(found.instructions)
        self.assertIsNone(found.memory_peak_bytes)
        self.assertEqual(figures.number(None), "–")

    def test_advantage_turns_with_the_direction(self):
        fast, slow = (figures.Figures(rate=figures.Spread(rate, rate, rate, 1)) for rate in (6, 2))
        zero = figures.Figures(rate=figures.Spread(0, 0, 0, 1))
        self.assertEqual(figures.advantage(case("a"), fast, slow), 3)
        self.assertEqual(figures.advantage(case("a", lower_is_better=True), slow, fast), 3)
        self.assertIsNone(figures.advantage(case("a"), fast, zero))
        self.assertEqual(figures.advantage(case("a"), zero, fast), 0)

    def test_numbers(self):
        for value, text in ((0, "0"), (1234567.8, "1,234,568"), (99.96, "100"), (12.34, "12.3"), (1.5, "1.5"), (0.01234, "0.0123"),
                            (2, "2"), (10, "10")):
            self.assertEqual(figures.number(value), text)


class VerdictTest(unittest.TestCase):
    def of(self, made, *cases):
        return [(verdict.reached, verdict.verdict) for verdict in bars.verdicts(made, cases)]

    def test_each_kind_of_figure(self):
        made = results(
            samples={"a": {"hartloop": samples([290, 300, 310], 10, bytes_each=1025), "linux": samples([100], 40)}},
            counted={"a": {"hartloop": counted(1999, 2000, 2001)}})
        self.assertEqual(self.of(made, case("a", bars=WIRE_BARS)), [
            (2000, bars.MET), (2010, bars.NOT_MET), (3, bars.MET), (0.25, bars.MET), (300, bars.NOT_MET), (1025, bars.NOT_MET),
            (3, bars.MET), (0.25, bars.MET)])

    def test_nothing_measured(self):
        made = results(errors={"a": {"hartloop": "broke"}})
        verdicts = bars.verdicts(made, [case("a", bars=WIRE_BARS)])
        self.assertEqual({(verdict.reached, verdict.verdict) for verdict in verdicts}, {(None, bars.NOT_MEASURED)})
        self.assertEqual(verdicts[0].detail, "hartloop: broke")

    def test_without_linux(self):
        made = results(samples={"a": {"hartloop": samples([300], 10)}})
        self.assertEqual(self.of(made, case("a", bars=WIRE_BARS))[2:5], [(None, bars.NOT_MEASURED)] * 2 + [(300, bars.NOT_MET)])

    def test_zero_is_a_figure(self):
        made = results(samples={"a": {"hartloop": samples([1], bytes_each=0)}}, counted={"a": {"hartloop": counted(0)}})
        self.assertEqual([one for one in self.of(made, case("a", bars=WIRE_BARS)) if one[0] == 0], [(0, bars.MET)] * 2)

    def test_general_rules_name_the_cases(self):
        made = results(samples={
            "ahead": {"hartloop": samples([3], 10), "linux": samples([1], 20)},
            "behind": {"hartloop": samples([1], 20), "linux": samples([2], 20)},
            "cost": {"hartloop": samples([1]), "linux": samples([4])},
            "alone": {"hartloop": samples([1], 5)}})
        cases = [case("ahead"), case("behind"), case("cost", lower_is_better=True), case("alone")]
        rate, latency = bars.verdicts(made, cases)
        self.assertEqual((rate.reached, rate.verdict), (0.5, bars.NOT_MET))
        self.assertEqual(rate.detail, "2 of 3 compared cases; not in behind (0.5); not compared: alone")
        self.assertEqual((latency.reached, latency.verdict), (1, bars.NOT_MET))  # equal is not lower
        self.assertEqual(latency.detail, "1 of 2 compared cases; not in behind (1); not compared: alone")

    def test_a_wrong_relation_is_refused(self):
        with self.assertRaisesRegex(ValueError, "'<=' or '>='"):
            bars.compare(1, "<", 2)


def whole_run():
    """Three cases, one of a hostile name; an error."""
    sizes = {"a": 1, "b": 64, "c": 1024}
    made = results(
        samples={name: {"hartloop": samples([300, 310, 320], 10), "linux": samples([100, 110, 120], 40)} for name in sizes},
        counted={name: {"hartloop": counted(2000), "linux": counted(20000)} for name in sizes},
        errors={"c": {"linux": HOSTILE + "\nsecond line"}})
    cases = [case(name, title=HOSTILE if name == "a" else name, bars=WIRE_BARS, curve=("message bytes", "ping-pong " + HOSTILE, size))
             for name, size in sizes.items()]
    return made, cases


def write(made, cases):
    """The report's files: name -> text."""
    with tempfile.TemporaryDirectory() as directory:
        texts = {}
        for path in report.write(made, cases, directory):
            with open(path, encoding="utf-8") as file:
                texts[os.path.basename(path)] = file.read()
    return texts


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = write(*whole_run())

    def test_hostile_names_stay_text(self):
        for name, text in self.texts.items():
            if name.endswith((".html", ".svg", ".md")):
                self.assertNotRegex(text, r"(?<!\\)<script", name)
        self.assertIn("&lt;script&gt;", self.texts["report.html"])
        self.assertRegex(self.texts["report.md"], r"(?m)^\| c \| Linux \| (?:[^|\n]|\\\|)*second line \|$")

    def test_nothing_from_outside(self):
        page = self.texts["report.html"]
        self.assertEqual(re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#)|@import', page), [])
        identifiers = re.findall(r'\bid="([^"]+)"', page)
        self.assertEqual(len(identifiers), len(set(identifiers)))

    def test_figures_in_the_tables(self):
        summary = self.texts["report.md"]
        self.assertIn("| b | 2.82× | requests/s | 310 | 300–320 | 110 | 100–120 | 3 | b |", summary)
        self.assertIn("| b | 0.25 | 5 | 10 | – | 20 | 40 | – |", summary)
        self.assertIn("| b | request | 10 | 2,000 | 2 | 10 | 20,000 | 2 | 10 |", summary)
        self.assertIn("| b | request | 0.5 | 0.5 | 0.25 | 0.25 | – | – |", summary)
        self.assertIn("| b | not met | 2.82 | ≥ 3 | rate, Hartloop to Linux |  |", summary)

    def test_every_plot_says_what_is_better(self):
        plots = {name: text for name, text in self.texts.items() if name.endswith(".svg")}
        self.assertEqual(set(plots), {"ratios.svg", "instructions.svg", "latencies.svg", "distributions.svg", "sizes.svg"})
        for name, text in plots.items():
            self.assertRegex(text, "<title>[^<]*better", name)
            self.assertRegex(text, "<desc>[^<]+</desc>", name)

    def test_raw_figures_come_back(self):
        raw = json.loads(self.texts["results.json"])
        self.assertEqual(raw["samples"]["a"]["linux"][1]["load"]["rate"], 110)
        self.assertEqual(raw["counted"]["b"]["hartloop"][0]["counters"]["kernel"], 200000)
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "results.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(raw, file)
            self.assertEqual(report.read(path), whole_run()[0])

    def test_exits(self):
        def sample(interrupts):
            return Sample(Load(10, 1, rate=1), exits=Exits(40, 1, 10, 20),
                          causes={"interrupt": interrupts, "instruction": 1, "device": 2, "memory": 0, "firmware": 0, "other": 0.25})

        made = results(samples={"a": {"hartloop": [sample(0.5), sample(0.7)], "linux": samples([1])}})
        texts = write(made, [case("a")])
        self.assertIn("| a | request | 4 | – | 0.1 | – | 1 | – | 2 | – | – |", texts["report.md"])
        self.assertIn("| a | request | 0.6 | – | 1 | – | 2 | – | 0 | – | 0 | – | 0.25 | – |", texts["report.md"])
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "results.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write(texts["results.json"])
            self.assertEqual(report.read(path), made)

    def test_without_linux(self):
        made, cases = whole_run()
        for group in (made.samples, made.counted):
            for systems in group.values():
                del systems["linux"]
        texts = write(made, cases)
        self.assertIn("Linux was not measured", texts["report.html"])
        self.assertNotIn("ratios.svg", texts)

    def test_nothing_at_all(self):
        self.assertIn("Nothing was measured", write(results(), [])["report.html"])

    def test_points_to_what_lies_beside_it(self):
        with tempfile.TemporaryDirectory() as directory:
            name = "profile-a b&c.md"
            with open(os.path.join(directory, name), "w", encoding="utf-8"):
                pass
            paths = report.write(results(), [], directory)
            with open(paths[0], encoding="utf-8") as page, open(paths[1], encoding="utf-8") as summary:
                self.assertIn('<a href="profile-a%20b%26c.md">profile-a b&amp;c.md</a>', page.read())
                self.assertIn("](profile-a%20b%26c.md)", summary.read())

    def test_zeros(self):
        made = results(samples={"a": {"hartloop": [Sample(Load(0, 0))], "linux": samples([0], 0)}},
                       counted={"a": {"linux": [Sample(Load(0, 1), Counters())]}})
        self.assertIn("not measured", write(made, [case("a", bars=WIRE_BARS)])["report.md"])


if __name__ == "__main__":
    unittest.main()
