#!/usr/bin/python3
"""The plugin insn_count against a program of which every instruction is accounted for (counted.S)."""

import collections
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.abspath("tools"))
import machine  # noqa: E402

PLUGIN = os.path.abspath("perf/insn_count/insn_count.so")
PROGRAM = os.path.abspath("perf/tests/counted.elf")
ROUTINES = ("loops", "faults", "mmio", "calls", "called", "tail_called", "software_interrupts")
READY_SECONDS = 60
USER_ECALL = 1 + 8  # TRAP_SITE of stacks.h


def command(plugin_arguments):
    """QEMU's command line. By the counted clock as many interrupts come however slow the host is."""
    qemu = shutil.which("qemu-system-riscv64", path=os.environ.get("PATH", "") + ":/usr/bin")
    return [qemu, "-M", "virt", "-m", "64M", "-nodefaults", "-display", "none", "-serial", "null", "-bios", "default",
            "-kernel", PROGRAM, "-plugin", f"{PLUGIN},{plugin_arguments}", *machine.COUNTED_CLOCK]


def symbols():
    """Name to value."""
    output = subprocess.run(["/usr/bin/riscv64-linux-gnu-nm", PROGRAM], capture_output=True, text=True, check=True).stdout
    return {name: int(value, 16) for value, _, name in (line.split() for line in output.splitlines())}


class Client:
    """A connection to the plugin."""

    def __init__(self, path):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(20)
        self.connection.connect(path)
        self.stream = self.connection.makefile("rw")

    def ask(self, request=""):
        """One answer."""
        self.stream.write(request + "\n")
        self.stream.flush()
        return json.loads(self.stream.readline())

    def close(self):
        """Leaves."""
        self.stream.close()
        self.connection.close()


class CountingTest(unittest.TestCase):
    """One run to its end."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="hl-insn-")
        cls.symbols = symbols()
        path = os.path.join(cls.directory, "socket")
        map_path = os.path.join(cls.directory, "map")
        with open(map_path, "w", encoding="ascii") as file:
            for name in ROUTINES:
                file.write(f"{cls.symbols[name]:x} {cls.symbols[name + '_end']:x} {name}\n")
        words = command(f"socket={path},map={map_path},events=on,stacks=on")
        cls.process = subprocess.Popen([*words, "-S", "-monitor", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        started = time.monotonic()
        while not os.path.exists(path) and time.monotonic() - started < READY_SECONDS:
            time.sleep(0.05)
        cls.early, cls.late = Client(path), Client(path)
        cls.late.ask("stacks")  # from here on they are counted
        cls.process.stdin.write(b"cont\n")
        cls.process.stdin.flush()
        before, cls.counts = None, cls.early.ask()
        while (before != cls.counts or not cls.counts["user"]) and time.monotonic() - started < READY_SECONDS:
            time.sleep(0.5)
            before, cls.counts = cls.counts, cls.early.ask()
        cls.answer = cls.late.ask("stacks")

    @classmethod
    def tearDownClass(cls):
        cls.early.close()
        cls.late.close()
        cls.process.kill()
        cls.process.communicate()
        shutil.rmtree(cls.directory)

    def paths(self):
        """Stack, as names of the routines that called, to instructions by routine."""
        [hart] = self.answer["harts"]
        names = {node: self.routine(site) for node, (_, site) in enumerate(hart["nodes"])}
        found = collections.Counter()
        for node, segment, count in hart["cells"]:
            path = [self.routine(self.answer["segments"][segment][0])]
            while node:
                path.append(names[node])
                node = hart["nodes"][node][0]
            found[tuple(reversed(path))] += count
        return found

    def routine(self, address):
        """The symbol that an address belongs to; a trap's number."""
        if address < 4096:
            return address
        names = [name for name in self.symbols if not name.startswith("expect_") and not name.endswith("_end")]
        return max((name for name in names if self.symbols[name] <= address), key=lambda name: self.symbols[name], default="?")

    def test_kernel_is_exact(self):
        expected = {name: self.symbols["expect_" + name] for name in ROUTINES}
        self.assertEqual({name: self.counts[name] for name in ROUTINES}, expected)

    def test_user_is_exact_under_interrupts(self):
        self.assertGreater(self.counts["interrupts"], 13)
        self.assertEqual(self.counts["user"], self.symbols["expect_user"])

    def test_kicks(self):
        self.assertEqual(self.counts["kicks"], 7)

    def test_interrupts_reach_the_handler(self):
        paths = self.paths()
        timers = paths[(0x401 + 5, "trap")]
        self.assertEqual(timers, 17 * (self.counts["interrupts"] - 3))
        self.assertEqual(paths[(0x401 + 1, "trap")], 3 * 5)
        self.assertEqual(paths[(0x401 + 1, "software")], 3 * 2)

    def test_clients_agree(self):
        self.assertEqual(self.counts, {name: self.answer[name] for name in self.counts})

    def test_stacks_sum_to_the_class(self):
        total = self.counts["kernel"] + sum(self.counts[name] for name in ROUTINES)
        self.assertEqual(sum(self.paths().values()), total)
        self.assertEqual(self.answer["refused"], 0)

    def test_calls(self):
        paths = self.paths()
        self.assertEqual(paths[("_start", "calls", "called")], self.symbols["expect_called"])
        self.assertEqual(paths[("_start", "calls", "tail_called")], self.symbols["expect_tail_called"])
        self.assertEqual(paths[("_start", "calls")], self.symbols["expect_calls"])
        self.assertEqual(paths[("_start", "faults")], self.symbols["expect_faults"])

    def test_a_trap_from_user_code_starts_anew(self):
        paths = self.paths()
        self.assertEqual(paths[(USER_ECALL, "after_user")] % 2, 0)
        self.assertNotIn("_start", {name for path in paths for name in path if path[0] == USER_ECALL})


class OptionsTest(unittest.TestCase):
    """Options that are refused."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="hl-insn-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = os.path.join(self.directory, "socket")

    def refused(self, arguments, text):
        """QEMU ends at once and says the text."""
        result = subprocess.run(command(arguments), capture_output=True, text=True, timeout=20, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(text, result.stderr)

    def map_refused(self, content, text):
        """A map of this content is refused."""
        path = os.path.join(self.directory, "map")
        with open(path, "wb") as file:
            file.write(content)
        self.refused(f"socket={self.path},map={path}", text)

    def test_no_socket(self):
        self.refused("events=on", "socket=PATH is missing")

    def test_unknown_option(self):
        self.refused(f"socket={self.path},sockets=1", "the valid ones are socket=PATH, map=FILE, events=on, stacks=on")

    def test_neither_on_nor_off(self):
        self.refused(f"socket={self.path},stacks=maybe", "the valid values are on and off, and boot")
        self.refused(f"socket={self.path},events=boot", "the valid values are on and off")

    def test_path_too_long(self):
        self.refused("socket=/tmp/" + "x" * 200, "longer than 107 bytes")

    def test_a_file_is_not_removed(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        self.refused(f"socket={self.path}", "Address already in use")
        self.assertTrue(os.path.exists(self.path))

    def test_no_map(self):
        self.refused(f"socket={self.path},map={self.directory}/none", "No such file or directory")

    def test_map_is_a_directory(self):
        self.refused(f"socket={self.path},map={self.directory}", "Is a directory")

    def test_map_without_a_name(self):
        self.map_refused(b"1000 2000\n", "line 1")

    def test_map_backwards(self):
        self.map_refused(b"1000 2000 good\n3000 2800 bad\n", "line 2")

    def test_map_overlapping(self):
        self.map_refused(b"1000 2000 good\n1800 2800 bad\n", 'line 2: "1800 2800 bad"')

    def test_map_with_a_name_that_json_cannot_hold(self):
        self.map_refused(b'1000 2000 "quoted\n', "line 1")

    def test_map_of_garbage(self):
        self.map_refused(bytes(range(256)) * 20, "line 1")

    def test_map_with_an_endless_line(self):
        self.map_refused(b"1000 2000 " + b"x" * 5000 + b"\n", "line 1")


if __name__ == "__main__":
    unittest.main()
