#!/usr/bin/python3
"""Compares the system calls that docs/FEATURES.md names with the kernel's tables, both ways.

A call counts as named when it stands in backquotes in the first column of a table whose header's first column is "call".
Exit status 1, naming each difference, when the two sets are not the same or a call is named twice.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).absolute().parent.parent  # not resolved: a test runs among its runfiles
FEATURES = "docs/FEATURES.md"
TABLES = ["files", "memory", "net", "process", "system"]


def table_calls(root):
    """The calls of syscalls/table_*.def: name -> file."""
    calls = {}
    for table in TABLES:
        path = f"syscalls/table_{table}.def"
        for name in re.findall(r"^SYSCALL\(\s*\d+,\s*(\w+),", (root / path).read_text(encoding="utf-8"), re.MULTILINE):
            calls[name] = path
    return calls


def documented_calls(text):
    """The calls that tables with a first column "call" name, in order, repetitions included."""
    calls = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        first = line.split("|")[1]
        if first.strip() == "call":
            inside = True
        elif inside:
            calls += re.findall(r"`(\w+)`", first)
    return calls


def differences(root):
    """Sentences, one per difference."""
    tables = table_calls(root)
    documented = documented_calls((root / FEATURES).read_text(encoding="utf-8"))
    names = sorted(set(documented))
    found = [f"{FEATURES} does not name {name} of {tables[name]}" for name in sorted(set(tables) - set(documented))]
    found += [f"{FEATURES} names {name}, which no table has" for name in names if name not in tables]
    found += [f"{FEATURES} names {name} more than once" for name in names if documented.count(name) > 1]
    if not tables:
        found.append("the tables name no call: is the pattern still right?")
    return found


def main():
    found = differences(ROOT)
    for sentence in found:
        print(sentence)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
