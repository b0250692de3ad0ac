#!/usr/bin/python3
"""Compares the outputs of a conformance program on two systems.

  compare.py GROUP <OUTPUT      Hartloop's output with linux/GROUP.txt; the check_script of the groups' tests

Exit status 1 when a case differs that differences.txt does not list, or when a listed one does not differ.
"""

import ast
import dataclasses
import difflib
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CASE_LINE = re.compile(r"(\w+(?: \(run \d+\))?):(?: (.*))?")
LAST_LINE = re.compile(r"(\d+) cases")
CONTEXT_WORDS = 3
MISSING = "(no such case)"


class OutputError(Exception):
    """An output or a list that is not well formed; the text says where."""


def read(*path):
    """The text of a file beside this one."""
    with open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return file.read()


def table(name):
    """A table of groups.bzl."""
    return next(ast.literal_eval(node.value) for node in ast.parse(read("groups.bzl")).body
                if isinstance(node, ast.Assign) and node.targets[0].id == name)


def parse(output, system):
    """The lines of an output: name of the case -> what it observed."""
    cases = {}
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("#")]
    last = LAST_LINE.fullmatch(lines.pop()) if lines else None
    if not last:
        raise OutputError(f"{system}: the last line is not 'N cases'; the output ends with\n" + "\n".join(output.splitlines()[-5:]))
    for line in lines:
        match = CASE_LINE.fullmatch(line)
        if not match:
            raise OutputError(f"{system}: this line is no case's: {line!r}")
        if match.group(1) in cases:
            raise OutputError(f"{system}: two lines of {match.group(1)}")
        cases[match.group(1)] = match.group(2) or ""
    named = sum("(" not in name for name in cases)
    if named != int(last.group(1)):
        raise OutputError(f"{system}: {named} lines, but it counts {last.group(1)} cases")
    return cases


def recording(group):
    """Linux's output as recorded."""
    try:
        return parse(read("linux", group + ".txt"), "the recording")
    except FileNotFoundError as error:
        raise OutputError(f"linux/{group}.txt is not there; ./hl conformance {group} --record makes it") from error


def accepted(text=None):
    """The listed differences: (group, case) -> reason."""
    listed = {}
    for line in (read("differences.txt") if text is None else text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\w+) (\w+) \| (\S.*)", line)
        if not match:
            raise OutputError(f"differences.txt: not 'group case | reason': {line}")
        if match.groups()[:2] in listed:
            raise OutputError(f"differences.txt: {match.group(1)} {match.group(2)} is there twice")
        listed[match.groups()[:2]] = match.group(3)
    return listed


def word_diff(old, new):
    """The words of both lines; [-only in old-] {+only in new+}, and long equal stretches as `...`."""
    old, new = old.split(), new.split()
    parts = []
    operations = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for number, (kind, one, two, three, four) in enumerate(operations):
        if kind == "equal":
            same = old[one:two]
            head = CONTEXT_WORDS if number > 0 else 0
            tail = CONTEXT_WORDS if number < len(operations) - 1 else 0
            if len(same) > head + tail + 1:
                same = same[:head] + ["..."] + same[len(same) - tail:]
            parts += same
            continue
        if one < two:
            parts.append("[-" + " ".join(old[one:two]) + "-]")
        if three < four:
            parts.append("{+" + " ".join(new[three:four]) + "+}")
    return " ".join(parts)


@dataclasses.dataclass
class Verdict:
    """What the comparison of a group, or of several, came to."""

    cases: int = 0
    equal: int = 0
    different: int = 0
    listed: int = 0
    stale: int = 0  # listed, but equal
    text: str = ""

    def add(self, other):
        """Adds another group's."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def good(self):
        """Whether there is no difference but those listed, and each of those."""
        return not self.different and not self.stale

    def summary(self):
        """The last line of a comparison."""
        stale = f", {self.stale} listed but equal" if self.stale else ""
        return f"{self.cases} cases, {self.equal} equal, {self.different} different, {self.listed} listed{stale}"


def compare(group, left, right, names, listed):
    """Compares two outputs, each as parse returns it; names: what to call the two systems."""
    verdict = Verdict()
    width = max(len(name) for name in names)
    for case in [*left, *(name for name in right if name not in left)]:
        one, other = left.get(case, MISSING), right.get(case, MISSING)
        reason = listed.get((group, case))
        verdict.cases += 1
        if one == other:
            verdict.equal += 1
            if reason:
                verdict.stale += 1
                verdict.text += f"{group} {case}: is listed in differences.txt and does not differ; remove it\n"
            continue
        if reason:
            verdict.listed += 1
        else:
            verdict.different += 1
        verdict.text += f"{group} {case}:" + (f" listed: {reason}" if reason else "") + "\n"
        verdict.text += f"  {names[0]:{width}}  {one}\n  {names[1]:{width}}  {other}\n  {'diff':{width}}  {word_diff(one, other)}\n"
    return verdict


def main():
    group = sys.argv[1]
    try:
        listed = accepted()
        linux, hartloop = recording(group), parse(sys.stdin.read(), "Hartloop")
        verdict = compare(group, linux, hartloop, ("Linux", "Hartloop"), listed)
        for name, case in sorted(listed):
            if name == group and case not in {**linux, **hartloop}:
                raise OutputError(f"differences.txt: {group} has no case {case}")
    except OutputError as error:
        print(error)
        return 1
    print(verdict.text + verdict.summary())
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
