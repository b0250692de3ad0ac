#!/usr/bin/python3
"""compare.py's functions, and the lists: recordings well formed, accepted differences the same as in docs/FEATURES.md."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "guests/conformance"))
import compare  # noqa: E402

SECTION = "Differences to Linux in the conformance programs"


def section():
    """The text of the section in docs/FEATURES.md."""
    with open("docs/FEATURES.md", encoding="utf-8") as file:
        return re.search(rf"^#+ {SECTION}\n(.*?)(?=^#|\Z)", file.read(), re.M | re.S).group(1)


def documented():
    """Its rows `group` | `case` | reason."""
    return [((group, case), reason) for group, case, reason in
            re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+?) \|$", section(), re.M)]


class Lists(unittest.TestCase):
    """The files in the tree."""

    def test_differences_are_those_of_features(self):
        rows = documented()
        self.assertEqual(dict(rows), compare.accepted())
        self.assertEqual(len(rows), len(dict(rows)))

    def test_features_counts_the_cases(self):
        groups = compare.table("GROUPS")
        cases = sum(len(compare.recording(group)) for group in groups)
        self.assertIn(f"{cases} cases in {len(groups)} groups, {cases - len(compare.accepted())} equal", section())

    def test_every_listed_case_is_recorded(self):
        for group, case in compare.accepted():
            self.assertIn(case, compare.recording(group))

    def test_every_group_and_no_other_is_recorded(self):
        groups = sorted(compare.table("GROUPS"))
        recorded = sorted(name.removesuffix(".txt") for name in os.listdir(os.path.join(compare.HERE, "linux")))
        self.assertEqual(groups, recorded)
        for group in groups:
            self.assertTrue(compare.recording(group))


class Parse(unittest.TestCase):
    """The outputs' form."""

    def test_lines(self):
        self.assertEqual(compare.parse("# head\none: a=1 b=-1 EAGAIN\ntwo:\ntwo (run 2): a=1\n2 cases\n", "Linux"),
                         {"one": "a=1 b=-1 EAGAIN", "two": "", "two (run 2)": "a=1"})

    def test_what_is_refused(self):
        for output, why in [("one: a=1\n", "the last line"), ("", "the last line"), ("one: a\none: a\n2 cases\n", "two lines"),
                            ("stray\n0 cases\n", "no case's"), ("one: a\n2 cases\n", "1 lines, but it counts 2")]:
            with self.assertRaisesRegex(compare.OutputError, why):
                compare.parse(output, "Linux")

    def test_accepted(self):
        self.assertEqual(compare.accepted("# head\n\na b | why so\n"), {("a", "b"): "why so"})
        for text in ("a b why\n", "a b |\n", "a b | x\na b | y\n"):
            with self.assertRaises(compare.OutputError):
                compare.accepted(text)


class Compare(unittest.TestCase):
    """The verdict."""

    def verdict(self, left, right, listed):
        return compare.compare("g", left, right, ("Linux", "Hartloop"), listed)

    def test_counts(self):
        verdict = self.verdict({"a": "x=1", "b": "x=1", "c": "x=1"}, {"a": "x=1", "b": "x=2", "c": "x=2"}, {("g", "b"): "why"})
        self.assertEqual(verdict.summary(), "3 cases, 1 equal, 1 different, 1 listed")
        self.assertFalse(verdict.good)
        self.assertIn("g c:\n  Linux     x=1\n  Hartloop  x=2\n  diff      [-x=1-] {+x=2+}\n", verdict.text)

    def test_only_listed_differences_are_good(self):
        self.assertTrue(self.verdict({"a": "x=1"}, {"a": "x=2"}, {("g", "a"): "why"}).good)

    def test_a_listed_case_has_to_differ(self):
        verdict = self.verdict({"a": "x=1"}, {"a": "x=1"}, {("g", "a"): "why"})
        self.assertFalse(verdict.good)
        self.assertIn("does not differ", verdict.text)

    def test_a_missing_case_differs(self):
        self.assertEqual(self.verdict({"a": "x=1"}, {}, {}).different, 1)
        self.assertEqual(self.verdict({}, {"a": "x=1"}, {}).different, 1)

    def test_words(self):
        self.assertEqual(compare.word_diff("a b c d e f=1 g", "a b c d e f=-1 EAGAIN g"), "... c d e [-f=1-] {+f=-1 EAGAIN+} g")
        self.assertEqual(compare.word_diff("a", "a b"), "a {+b+}")


if __name__ == "__main__":
    unittest.main()
