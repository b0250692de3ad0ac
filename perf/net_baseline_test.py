#!/usr/bin/python3
"""perf/net_baseline without machines: wrong options, the report, limits, and what an interruption leaves."""

import argparse
import contextlib
import io
import os
import signal
import sys
import tempfile
import textwrap
import time
import unittest

HERE = os.path.join(os.getcwd(), "perf")
sys.path[:0] = [HERE, os.path.join(os.getcwd(), "tools")]
import guest_test  # noqa: E402
import launch  # noqa: E402
import net_baseline  # noqa: E402
from net_baseline import Guest, Result  # noqa: E402

FACTS = {"date": "2026-01-02 03:04 UTC", "kernel": "commit 123", "QEMU": "9.9 | odd"}


def limits(vm_seconds=20, io_seconds=10):
    """Options of a run."""
    return argparse.Namespace(vm_seconds=vm_seconds, io_seconds=io_seconds)


class WithFolder(unittest.TestCase):
    """A test with a folder for logs."""

    def setUp(self):
        # pylint: disable-next=consider-using-with
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = self.scratch.name

    def path(self, name):
        """A file of the folder's."""
        return os.path.join(self.folder, name)


class Options(WithFolder):
    """A wrong option is refused, and the text names what is valid."""

    def refused(self, *words):
        """The text of the refusal."""
        with self.assertRaises(launch.UsageError) as caught:
            net_baseline.main(list(words))
        return str(caught.exception)

    def test_unknown_option(self):
        self.assertIn("valid options: --help --io-seconds --out --vm-seconds", self.refused("--vm-second", "3"))

    def test_unknown_step(self):
        self.assertIn("ping loopback tcp_echo udp_echo redis iperf3", self.refused("pong"))

    def test_values(self):
        self.assertIn("1 to 86400 are valid", self.refused("--vm-seconds", "0"))
        self.assertIn("--io-seconds nan: 1 to 86400", self.refused("--io-seconds", "nan"))
        self.assertIn("--vm-seconds", self.refused("--vm-seconds", "long"))

    def test_folder(self):
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.assertIn("--out", self.refused("--out", self.path("file")))


class Report(WithFolder):
    """Every step is in the report, run or not, and the exit status tells of failures."""

    def run_with(self, outcomes):
        """(status, report) of a run whose steps end so; an exception is raised instead."""
        def step(name, _folder, _options):
            if isinstance(outcomes[name], BaseException):
                raise outcomes[name]
            return outcomes[name]

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = net_baseline.run(list(outcomes), self.folder, limits(), FACTS, step)
        with open(self.path("report.md"), encoding="utf-8") as file:
            return status, file.read()

    def test_passed(self):
        status, text = self.run_with({"ping": Result(1.25, "", ["0% loss", "a | b"])})
        self.assertEqual(status, 0)
        self.assertIn("# Network baseline, 2026-01-02 03:04 UTC\n\n1 passed, 0 failed, 0 not run.\n", text)
        self.assertIn("| QEMU | 9.9 \\| odd |\n", text)
        self.assertRegex(text, r"\| ping \| passed \| 1\.[23] \| 0% loss<br>a \\\| b \|\n")

    def test_a_failure_does_not_stop_the_others(self):
        status, text = self.run_with({"ping": Result(1, "no answer", []), "redis": Result(2, "", ["SET 5"])})
        self.assertEqual(status, 1)
        self.assertIn("1 passed, 1 failed, 0 not run.", text)
        self.assertIn("| ping | FAILED: no answer | 1.0 |  |\n", text)
        self.assertIn("| redis | passed | 2.0 | SET 5 |\n", text)

    def test_interrupted(self):
        status, text = self.run_with({"ping": Result(1, "", ["x"]), "redis": KeyboardInterrupt(), "iperf3": Result(1, "", ["x"])})
        self.assertEqual(status, 130)
        self.assertIn("1 passed, 0 failed, 2 not run.", text)
        self.assertIn("| redis | not run | – | |\n", text)


class Machines(WithFolder):
    """What becomes of the runner of a machine; a script stands for tools/guest_test.py."""

    def run_script(self, text, **options):
        """(problem, output) of a guest whose runner is this script."""
        runner = self.path("runner.py")
        with open(runner, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        self.addCleanup(setattr, net_baseline, "RUNNER", net_baseline.RUNNER)
        net_baseline.RUNNER = runner
        return net_baseline.run_guest(Guest("redis"), self.path("logs"), limits(**options))

    def test_passed_with_console(self):
        problem, text = self.run_script("""
            import os
            with open(os.environ["TEST_UNDECLARED_OUTPUTS_DIR"] + "/console.log", "w") as file:
                file.write("from the guest\\r\\n")
            print("from the client")
        """)
        self.assertEqual((problem, text), ("", "from the client\nfrom the guest\n"))

    def test_failed_with_reason(self):
        problem, _ = self.run_script("print('FAILED: the console does not show it'); raise SystemExit(1)")
        self.assertEqual(problem, "the console does not show it")

    def test_limit_of_the_clients(self):
        problem, _ = self.run_script("print('FAILED: the guest still runs after 10 s'); raise SystemExit(1)")
        self.assertEqual(problem, "the guest still runs after 10 s (--io-seconds)")

    def test_failed_without_reason(self):
        problem, _ = self.run_script("raise SystemExit(3)")
        self.assertIn("status 3", problem)

    def test_limit(self):
        started = time.monotonic()
        problem, text = self.run_script("""
            import time
            try:
                time.sleep(100)
            finally:
                print("cleaned up")
        """, vm_seconds=1)
        self.assertLess(time.monotonic() - started, 50)
        self.assertIn("still ran after 1 s (--vm-seconds)", problem)
        self.assertIn("cleaned up", text)

    def test_interrupted(self):
        previous = signal.signal(signal.SIGALRM, launch.interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, 1)
        with self.assertRaises(KeyboardInterrupt):
            self.run_script("""
                import time
                try:
                    time.sleep(100)
                finally:
                    print("cleaned up")
            """)
        with open(self.path("logs/run.log"), encoding="utf-8") as file:
            self.assertIn("cleaned up", file.read())

    def test_description_is_complete(self):
        manifest = self.path("manifest.json")
        with open(manifest, "w", encoding="utf-8") as file:
            file.write('{"program": "/bin/it", "args": ["-a"], "env": ["X=1"], "ports": [7007]}')
        wires = guest_test.Wires()
        for guest, program in (Guest("tcp-echo"), ["/bin/it", "-a"]), (Guest("tcp-echo", ["--check"]), ["/bin/it", "--check"]):
            spec = dict(net_baseline.spec(guest, 7), manifest=manifest)
            options = guest_test.make_options(spec, self.folder, wires, None)
            self.assertEqual((options.program, [there for _, there in options.forwards]), (program, [7007]))


class Figures(unittest.TestCase):
    """The lines that the report takes from the steps' output."""

    def figures(self, name, text):
        """Those of a step."""
        return net_baseline.find_figures(net_baseline.STEPS[name].figures, text)

    def test_redis(self):
        text = ('50 connections, pipeline of 1, requests/s:\n"test","rps","avg_latency_ms"\n"SET","131.60","1"\n"MSET (10 keys)","9.5","1"\n'
                '300 connections, pipeline of 1, requests/s:\n"GET","5.00","1"\n')
        self.assertEqual(self.figures("redis", text), ["50 connections, pipeline of 1, requests/s: SET 131.60, MSET (10 keys) 9.5",
                                                       "300 connections, pipeline of 1, requests/s: GET 5.00"])

    def test_iperf3(self):
        self.assertEqual(self.figures("iperf3", "host to guest: 5.0 MB, 20.1 Mbit/s\nServer listening\nUDP: 1.0 MB, 4.0 Mbit/s\n"),
                         ["host to guest: 5.0 MB, 20.1 Mbit/s", "UDP: 1.0 MB, 4.0 Mbit/s"])

    def test_echo(self):
        self.assertEqual(self.figures("tcp_echo", "tcp_echo: listening on port 7007\ntcp_echo: 9 checks, 0 failed\n"),
                         ["tcp_echo: 9 checks, 0 failed"])


if __name__ == "__main__":
    unittest.main()
