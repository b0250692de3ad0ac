"""Load generators: how they are run, and where a case waits for what a guest has not done yet."""

import shlex
import subprocess

from model import MeasurementError

LONGEST_SECONDS = 300


def run(*command, seconds=LONGEST_SECONDS):
    """Runs a load generator to its end; returns its output (standard output, then errors)."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{shlex.join(command)}: still runs after {seconds} s") from error
    if result.returncode != 0:
        said = " / ".join(line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip())
        raise MeasurementError(f"{shlex.join(command)}: exit status {result.returncode}: {said[-400:] or 'it said nothing'}")
    return result.stdout + result.stderr
