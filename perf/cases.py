"""All cases, in the order in which they are run, and how the command line names them."""

import fnmatch

import cases_boot
import cases_bulk
import cases_echo
import cases_inside
import cases_iperf3
import cases_memcached
import cases_nginx
import cases_quiet
import cases_redis

CASES = (*cases_redis.CASES, *cases_memcached.CASES, *cases_nginx.CASES, *cases_iperf3.CASES, *cases_bulk.CASES,
         *cases_echo.CASES, *cases_quiet.CASES, *cases_inside.CASES, *cases_boot.CASES)


class UnknownCase(Exception):
    """No case has that name; the text names the valid ones."""


def select(words):
    """The cases that words name: names, groups, or patterns with * and ?; all without words."""
    chosen = []
    for word in words:
        found = [case for case in CASES if word == case.group or fnmatch.fnmatchcase(case.name, word)]
        if not found:
            groups = sorted({case.group for case in CASES})
            raise UnknownCase(f"unknown case '{word}'; the valid ones are {' '.join(case.name for case in CASES)}; "
                                   f"groups: {' '.join(groups)}; patterns such as 'redis-get-*'")
        chosen += found
    return [case for case in CASES if not words or case in chosen]


def table():
    """The cases as text."""
    width = max(len(case.name) for case in CASES)
    return "\n".join(f"{case.name:{width}}  {case.group:10} {case.title}" for case in CASES)
