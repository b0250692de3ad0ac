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
    """The overall status of each test target, by label, from Bazel's build events."""
    statuses, targets, aborted = {}, set(), False
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            identity = event.get("id", {})
            if "testSummary" in event:
                statuses[identity["testSummary"]["label"]] = event["testSummary"]["overallStatus"]
            elif "targetConfigured" in identity:
                if event.get("configured", {}).get("testSize"):
                    targets.add(identity["targetConfigured"]["label"])
            elif "aborted" in event:
                aborted = True
    return statuses, targets, aborted


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
    statuses, targets, _ = results(events)
    os.remove(events)
    passed = sum(value in ("PASSED", "FLAKY") for value in statuses.values())
    skipped = [label for label in targets if label not in statuses]
    failed = [label for label, value in statuses.items() if value not in ("PASSED", "FLAKY")]
    for label in sorted(failed):
        package, _, name = label.lstrip("/").partition(":")
        log = os.path.join("bazel-testlogs", package, name, "test.log")
        print(f"{statuses[label]}: {label}" + (f"  log: {log}" if os.path.exists(os.path.join(REPOSITORY, log)) else ""))
    if status == 0 and not statuses:
        print("no test was run")
        status = 1
    if status != 0 and not failed and not skipped:
        print(f"bazel's exit status is {status}")
    print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return status if status >= 0 else 130


if __name__ == "__main__":
    sys.exit(main())
