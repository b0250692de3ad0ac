"""hl test: bazel test //... with the arguments given, and a closing line that counts.

The last line is `N passed, N failed`, with `, N skipped` when some could not be run.
"""

import json
import os
import subprocess
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def results(path):
    """The status of each test target by label: Bazel's overall status, SKIPPED or NOT RUN."""
    statuses = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            identity = event.get("id", {})
            if "testSummary" in event:
                statuses[identity["testSummary"]["label"]] = event["testSummary"]["overallStatus"]
            elif event.get("configured", {}).get("testSize"):
                statuses.setdefault(identity["targetConfigured"]["label"], "NOT RUN")
            elif event.get("aborted", {}).get("reason") == "SKIPPED" and "targetCompleted" in identity:
                label = identity["targetCompleted"]["label"]
                if label in statuses:
                    statuses[label] = "SKIPPED"
    return statuses


def main():
    handle, events = tempfile.mkstemp(prefix="hl-test-", suffix=".json")
    os.close(handle)
    words = sys.argv[1:]
    named = any(word.startswith(("//", "@", ":")) for word in words)
    command = ["bazel", "test", f"--build_event_json_file={events}", "--show_progress_rate_limit=10",
               *words, *([] if named else ["//..."])]
    bazel = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL)
    while True:
        try:
            status = bazel.wait()
            break
        except KeyboardInterrupt:
            continue  # Bazel has the signal too and ends on its own.
    statuses = results(events)
    os.remove(events)
    passed = [label for label, value in statuses.items() if value in ("PASSED", "FLAKY")]
    skipped = [label for label, value in statuses.items() if value == "SKIPPED"]
    failed = [label for label in statuses if label not in passed and label not in skipped]
    for label in sorted(failed):
        package, _, name = label.lstrip("/").partition(":")
        log = os.path.join("bazel-testlogs", package, name, "test.log")
        print(f"{statuses[label]}: {label}" + (f"  log: {log}" if os.path.exists(os.path.join(REPOSITORY, log)) else ""))
    if status == 0 and not statuses:
        print("no test was run")
        status = 1
    if status != 0 and not failed:
        print(f"the build failed: bazel's exit status is {status}")
    print(f"{len(passed)} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return status if status >= 0 else 130


if __name__ == "__main__":
    sys.exit(main())
