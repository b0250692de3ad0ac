#!/usr/bin/python3
"""The harness without machines: what is run in which order, what becomes of failures, how reports of tools are read."""

import contextlib
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.join(os.getcwd(), "perf")
sys.path[:0] = [HERE, os.path.join(os.getcwd(), "tools")]
import cases  # noqa: E402
import cases_redis  # noqa: E402
import counters  # noqa: E402
import kvm_trace  # noqa: E402
import launch  # noqa: E402
import runner  # noqa: E402
import setup  # noqa: E402
import smoke  # noqa: E402
from model import Case, Counters, Load, MeasurementError, Sample  # noqa: E402

REDIS_REPORT = """
Latency by percentile distribution:
0.000% <= 0.100 milliseconds (cumulative count 1)
50.000% <= 0.300 milliseconds (cumulative count 500)
75.000% <= 0.400 milliseconds (cumulative count 750)
98.438% <= 0.800 milliseconds (cumulative count 985)
99.219% <= 1.000 milliseconds (cumulative count 993)
100.000% <= 2.000 milliseconds (cumulative count 1000)

Cumulative distribution of latencies:
0.000% <= 0.103 milliseconds (cumulative count 0)
60.000% <= 0.303 milliseconds (cumulative count 600)
60.000% <= 0.403 milliseconds (cumulative count 600)
100.000% <= 2.103 milliseconds (cumulative count 1000)

Summary:
  throughput summary: 12345.67 requests per second
"""


class Guest:
    """A guest that counts."""

    def __init__(self, system):
        self.system = system


class Bench:
    """Stands for runner.Bench; keeps what was done, and fails where it is told to: (case or image, system)."""

    def __init__(self, *fails):
        self.done = []
        self.fails = fails
        self.counting = False

    @contextlib.contextmanager
    def boot(self, case, system):
        self.done.append(f"boot {case.image} {system}")
        if (case.image, system) in self.fails:
            raise MeasurementError("it never served")
        yield Guest(system)

    def drive(self, case, guest):
        self.done.append(f"{case.name} {guest.system}{' counted' if self.counting else ''}")
        if (case.name, guest.system) in self.fails:
            raise MeasurementError("it broke")
        return Sample(Load(10, 2, rate=5), Counters(10, 20, 30, 1, 2) if self.counting else None)


def case(name, **more):
    return Case(name, name, more.pop("group", "g"), more.pop("image", "i"), "request", "requests/s", **more)


def run(bench, chosen, reps=1, count=False):
    made = runner.Runner(bench, runner.Plan(chosen, ("hartloop", "linux"), reps, 1, count), {})
    made.run()
    return made.results


class RunnerTest(unittest.TestCase):
    def setUp(self):
        self.said = []
        self.addCleanup(setattr, runner, "say", runner.say)
        runner.say = self.said.append

    def test_systems_alternate_and_cases_share_boots(self):
        bench = Bench()
        results = run(bench, [case("a"), case("b", image="j"), case("c")], reps=2, count=True)
        one = ["boot i hartloop", "a hartloop", "c hartloop", "boot i linux", "a linux", "c linux",
               "boot j hartloop", "b hartloop", "boot j linux", "b linux"]
        counted = [text if text.startswith("boot") else text + " counted" for text in one]
        self.assertEqual(bench.done, one + one + counted)
        self.assertEqual([len(results.samples["a"]["linux"]), len(results.counted["a"]["linux"])], [2, 1])
        self.assertEqual(self.said[0], "[1/18] a hartloop rate 1/2")
        self.assertFalse(bench.counting)

    def test_a_failure_is_kept_and_the_others_go_on_in_a_new_boot(self):
        bench = Bench(("a", "linux"))
        results = run(bench, [case("a"), case("b")])
        self.assertEqual(bench.done, ["boot i hartloop", "a hartloop", "b hartloop", "boot i linux", "a linux", "boot i linux", "b linux"])
        self.assertEqual(results.errors, {"a": {"linux": "rate 1/1: it broke"}})
        self.assertEqual(len(results.samples["b"]["linux"]), 1)
        self.assertEqual(results.samples["a"]["linux"], [])

    def test_a_guest_that_never_serves_fails_all_its_cases(self):
        bench = Bench(("i", "linux"))
        results = run(bench, [case("a"), case("b")])
        self.assertEqual(bench.done, ["boot i hartloop", "a hartloop", "b hartloop", "boot i linux"])
        self.assertEqual(results.errors, {name: {"linux": "rate 1/1: it never served"} for name in "ab"})
        self.assertEqual(self.said[-2].partition(",")[0], "[4/4")

    def test_a_case_that_boots_by_itself(self):
        bench = Bench()
        alone = case("a", standalone=lambda one, system: Sample(Load(1, 1, rate=1, notes={"counting": one.counting})))
        results = run(bench, [alone], count=True)
        self.assertEqual(bench.done, [])
        self.assertFalse(results.samples["a"]["linux"][0].load.notes["counting"])
        self.assertTrue(results.counted["a"]["linux"][0].load.notes["counting"])

    def test_interrupted_keeps_what_there_is(self):
        def interrupt(*_):
            raise KeyboardInterrupt
        made = runner.Runner(Bench(), runner.Plan([case("a"), case("b", standalone=interrupt)], ("hartloop",), 1, 1, False), {})
        with self.assertRaises(KeyboardInterrupt):
            made.run()
        self.assertEqual(len(made.results.samples["a"]["hartloop"]), 1)


class NestedMachine:
    """A machine in a nested host; keeps what was run there."""

    def __init__(self, harts):
        self.harts = harts
        self.host = self
        self.scripts = []

    def hart_threads(self):
        return self.harts

    def call(self, script):
        self.scripts.append(script)


class PinTest(unittest.TestCase):
    """Where the hart of a guest in a nested host runs."""

    def test_hart(self):
        running = NestedMachine([187])
        runner.pin_nested(running)
        self.assertTrue(running.scripts[0].endswith("taskset -p 2 187"), running.scripts)

    def test_unknown(self):
        with self.assertRaises(MeasurementError):
            runner.pin_nested(NestedMachine([]))


class CasesTest(unittest.TestCase):
    def test_names_groups_and_patterns(self):
        self.assertEqual([one.name for one in cases.select(["redis-get-50", "bulk"])], ["redis-get-50", "bulk-in", "bulk-out"])
        self.assertEqual({one.name for one in cases.select(["redis-get-*"])},
                         {f"redis-get-{number}{tail}" for number in (1, 50, 500) for tail in ("", "-p16")})
        self.assertEqual(cases.select([]), list(cases.CASES))

    def test_an_unknown_case_is_told_the_valid_ones(self):
        with self.assertRaisesRegex(cases.UnknownCase, "unknown case 'nosuch'; the valid ones are .* redis-get-50 .*groups: .*iperf3"):
            cases.select(["redis", "nosuch"])

    def test_the_table_is_sound(self):
        names = [one.name for one in cases.CASES]
        self.assertEqual(len(names), len(set(names)))
        images = launch.named_images()
        programs = {program for program, _, _ in setup.HOST_PROGRAMS + setup.PERF_PROGRAMS} | {"redis-benchmark"}
        for one in cases.CASES:
            with self.subTest(one.name):
                self.assertIn(one.image, images)
                self.assertTrue(bool(one.drive) != bool(one.standalone) or one.standalone)
                self.assertLessEqual(set(one.tools), programs)
                self.assertLessEqual({bar.relation for bar in one.bars}, {"<=", ">="})


class RedisTest(unittest.TestCase):
    def test_report(self):
        rate, latency, histogram = cases_redis.parse(REDIS_REPORT)
        self.assertEqual(rate, 12345.67)
        self.assertAlmostEqual(latency["p50"], 300)
        self.assertAlmostEqual(latency["p99"], 800 + 200 * (99 - 98.438) / (99.219 - 98.438))
        self.assertAlmostEqual(latency["p99.9"], 1000 + 1000 * (99.9 - 99.219) / (100 - 99.219))
        self.assertEqual(histogram, [[303, 600], [2103, 400]])

    def test_no_report(self):
        with self.assertRaisesRegex(MeasurementError, "not understood"):
            cases_redis.parse("Could not connect to Redis")


class CountersTest(unittest.TestCase):
    def test_events_are_counted_once_while_the_file_grows(self):
        with tempfile.TemporaryDirectory() as directory:
            log = counters.EventLog(os.path.join(directory, "events"))
            self.assertEqual(log.read(), (0, 0))
            with open(log.path, "a", encoding="ascii") as file:
                file.write("virtio_queue_notify vdev 0x1 n 1 vq 0x2\nvirtio_notify vdev 0x1 vq 0x2\n")
                file.flush()
                self.assertEqual(log.read(), (1, 1))
                file.write("virtio_notify vdev 0x1 vq 0x2\n" * 3)
                file.flush()
                self.assertEqual(log.read(), (1, 4))
                self.assertEqual(log.read(), (1, 4))

    def test_counters_subtract(self):
        self.assertEqual(Counters(10, 20, 30, 4, 5).minus(Counters(1, 2, 3, 4, 0)), Counters(9, 18, 27, 0, 5))

    def test_peak_memory_of_no_guest(self):
        with self.assertRaisesRegex(MeasurementError, "no mapping"):
            counters.memory_peak(os.getpid(), "123457M")


TRACE = """# tracer: nop
#
# entries-in-buffer/entries-written: 12/12   #P:2
#
           vcpu-174     [001] d....    10.000100: kvm_entry: PC: 0x01680200000
           vcpu-174     [001] .....    10.000200: kvm_exit: SEPC:0x80200000, SCAUSE:0x14, STVAL:0x80200002, HTVAL:0x20080000, HTINST:0x0
           vcpu-174     [001] d....    10.000300: kvm_entry: PC: 0x01680200000
           vcpu-174     [001] .....    10.000400: kvm_exit: SEPC:0xffffffff8004a6d6, SCAUSE:0x15, STVAL:0xffffffc030010004, HTVAL:0xc004001, HTINST:0x0
           vcpu-174     [001] .....    10.000500: kvm_userspace_exit: reason KVM_EXIT_MMIO (6)
           vcpu-174     [001] .....    10.000600: kvm_exit: SEPC:0xffffffff80000714, SCAUSE:0xa, STVAL:0x0, HTVAL:0x0, HTINST:0x0
           vcpu-174     [001] .....    10.000700: kvm_exit: SEPC:0xffffffff80000714, SCAUSE:0x8000000000000005, STVAL:0x0, HTVAL:0x0, HTINST:0x0
          vhost-173     [000] b....    10.000750: net_dev_start_xmit: dev=eth0 queue_mapping=0 protocol=0x0800 len=58
           vcpu-174     [001] .....    10.000800: kvm_exit: SEPC:0xffffffff80000714, SCAUSE:0x16, STVAL:0x10500073, HTVAL:0x0, HTINST:0x0
           vcpu-174     [001] .....    10.000900: kvm_userspace_exit: reason restart (4)
           vcpu-174     [001] .....    10.001000: kvm_exit: SEPC:0xffffffff80000714, SCAUSE:0x17, STVAL:0x0, HTVAL:0x100001000, HTINST:0x0
"""


class TraceTest(unittest.TestCase):
    def test_parse(self):
        record = kvm_trace.parse(TRACE)
        self.assertEqual(record.entry, 10.0001)
        self.assertEqual([each.kind for each in record.exits], ["memory", "device", "firmware", "interrupt", "instruction", "device"])
        self.assertEqual([each.address for each in record.exits[:3]], [0x80200002, 0x30010004, 0])
        self.assertEqual(record.exits[0].pc, 0x80200000)
        self.assertEqual(record.frames, [10.00075])
        self.assertEqual(len(record.text().splitlines()), 6)

    def test_until(self):
        record = kvm_trace.parse(TRACE)
        exits, notes = record.until(record.frames[0])
        self.assertEqual((exits.exits, exits.user_exits, exits.wfi_exits, exits.mmio_exits), (4, 1, 0, 1))
        self.assertEqual(notes, {"exits_memory": 1, "exits_device": 1, "exits_firmware": 1, "exits_interrupt": 1})
        exits, _ = record.until(11)
        self.assertEqual((exits.exits, exits.user_exits, exits.wfi_exits, exits.mmio_exits), (6, 1, 1, 2))

    def test_kinds(self):
        self.assertEqual(kvm_trace.kinds(TRACE),
                         {"interrupt": 1, "instruction": 1, "device": 2, "memory": 1, "firmware": 1, "other": 0})
        self.assertEqual(set(kvm_trace.kinds("").values()), {0})

    def test_nothing(self):
        with self.assertRaisesRegex(MeasurementError, "does not show that a guest was entered"):
            kvm_trace.parse("# tracer: nop\n")


class SmokeTest(unittest.TestCase):
    def test_the_baseline_holds_what_is_checked(self):
        self.assertEqual({name: set(figures) for name, figures in smoke.load_baseline().items()},
                         {name: set(figures) for name, figures in smoke.CHECKED.items()})
        self.assertEqual(len(cases.select(list(smoke.CHECKED))), len(smoke.CHECKED))

    def test_five_percent(self):
        self.assertTrue(smoke.verdict("a", "kernel", 104.9, 100).startswith("good"))
        self.assertTrue(smoke.verdict("a", "kernel", 105.1, 100).startswith("WORSE"))
        self.assertTrue(smoke.verdict("a", "kernel", 94, 100).startswith("better"))
        self.assertFalse(smoke.keeps({"kernel": 105.1}, {"kernel": 105}))

    def test_instructions_per_frame(self):
        before = smoke.FrameCounters(kernel=1000, received=100, sent=10)
        after = smoke.FrameCounters(kernel=1000 + 718 * 2000 + 200 * 900, received=300, sent=728)
        self.assertAlmostEqual(after.minus(before).per_frame, 2000)


class CommandLineTest(unittest.TestCase):
    def refused(self, *words, says, status=2):
        result = subprocess.run([sys.executable, "-B", os.path.join(HERE, "perf.py"), *words], capture_output=True, text=True,
                                check=False, timeout=60)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, says)
        self.assertNotIn("Traceback", result.stderr)

    def test_wrong_usage(self):
        self.refused("nosuch", says="unknown case 'nosuch'; the valid ones are redis-get-1 ")
        self.refused("--fast", says="--fast\nvalid options: .*--reps")
        self.refused("--reps", "x", says="--reps.*invalid int")
        self.refused("--reps", "-1", says="0 to 100 are valid")
        self.refused("--seconds", "0", says="0.1 to 600 are valid")
        self.refused("--net", "dgram", says="choose from 'tap', 'user'")
        self.refused("--reps", "0", "--no-count", says="nothing to measure")
        self.refused("--ablate", says="take the cases")
        self.refused("--baseline", "redis", says="takes no cases")

    def test_kvm(self):
        self.refused("--accel", "kvm", "--net", "user", says="over --net tap")
        self.refused("--aia", "gic", says="choose from 'plic', 'aia'")
        if os.geteuid() == 0:
            self.refused("--accel", "kvm", "--ablate", "redis-get-50", says="counts instructions, which only --accel tcg can")


if __name__ == "__main__":
    unittest.main()
