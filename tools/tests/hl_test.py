#!/usr/bin/python3
"""hl's own words: usage errors name the valid choices, and nothing is built or started for them."""

import os
import socket
import subprocess
import tempfile
import unittest

HL = os.path.join(os.getcwd(), "hl")


def hl(*words, path=HL):
    """(exit status, standard output, standard error) of hl."""
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, HL_CACHE=cache, HL_MIRROR="http://127.0.0.1:9/none", PYTHONDONTWRITEBYTECODE="1")
        result = subprocess.run([path, *words], capture_output=True, text=True, check=False, env=environment, timeout=60)
    return result.returncode, result.stdout, result.stderr


class Refusals(unittest.TestCase):
    """Wrong command lines."""

    def refused(self, *words, names):
        """The command line is refused with status 2, and the message holds every one of names."""
        status, output, errors = hl(*words)
        self.assertEqual(status, 2, errors)
        self.assertEqual(output, "")
        for name in names:
            self.assertIn(name, errors)

    def test_unknown_command(self):
        self.refused("fly", names=["fly", "run", "boot", "test", "perf", "setup", "build", "images", "help"])

    def test_unknown_image(self):
        self.refused("run", "nothing", names=["nothing", "redis", "iperf3", "tcp-echo", "udp-echo", "net-bench"])

    def test_missing_image(self):
        self.refused("run", names=["IMAGE", "--harts"])

    def test_unknown_option(self):
        self.refused("run", "redis", "--speed", "9", names=["--speed", "--accel", "--net", "--forward", "--timeout"])

    def test_abbreviated_option(self):
        self.refused("run", "redis", "--hart", "2", names=["--hart"])

    def test_accel(self):
        self.refused("run", "redis", "--accel", "magic", names=["magic", "tcg", "kvm"])

    def test_transport(self):
        self.refused("run", "redis", "--transport", "usb", names=["usb", "mmio", "pci"])

    def test_net(self):
        self.refused("run", "redis", "--net", "moon", names=["moon", "user", "none", "tap:IFNAME", "dgram:", "stream:"])
        self.refused("run", "redis", "--net", "tap", names=["tap:IFNAME"])

    def test_numbers(self):
        self.refused("run", "redis", "--harts", "0", names=["--harts"])
        self.refused("run", "redis", "--harts", "many", names=["--harts"])
        self.refused("run", "redis", "--mem", "lots", names=["--mem"])
        self.refused("run", "redis", "--timeout", "-1", names=["--timeout"])

    def test_forward(self):
        self.refused("run", "redis", "--forward", "6379", names=["HOSTPORT:GUESTPORT"])
        self.refused("run", "redis", "--forward", "0:6379", names=["1 to 65535"])
        self.refused("run", "redis", "--forward", "70000:6379", names=["1 to 65535"])

    def test_address(self):
        self.refused("run", "redis", "--ip", "here", names=["ADDR/LEN,GATEWAY", "dhcp"])

    def test_taken_port(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            self.refused("run", "redis", "--forward", f"{port}:6379", names=[str(port), "taken", "--forward HOSTPORT:6379"])

    def test_log(self):
        self.refused("run", "redis", "--log", "/no/such/directory/log", names=["--log", "/no/such/directory/log"])

    def test_no_program(self):
        self.refused("run", "redis", "--", names=["program"])
        self.refused("boot", "/tmp", names=["PROGRAM"])

    def test_boot_directory(self):
        self.refused("boot", "/no/such/directory", "--", "/bin/x", names=["/no/such/directory"])
        with tempfile.TemporaryDirectory() as empty:
            self.refused("boot", empty, "--", "/bin/x", names=["/bin/x"])

    def test_images_takes_nothing(self):
        self.refused("images", "redis", names=["hl images", "redis"])

    def test_machine(self):
        self.refused("run", "redis", "--aia", "gic", names=["gic", "plic", "aia"])
        self.refused("run", "redis", "--vhost", "perhaps", names=["perhaps", "on", "off"])


class Answers(unittest.TestCase):
    """Commands that only tell."""

    def test_help(self):
        for word in ("help", "--help"):
            status, output, _ = hl(word)
            self.assertEqual(status, 0)
            for name in ("hl run", "hl boot", "--forward", "HL_QEMU_ARGS", "121", "124", "125"):
                self.assertIn(name, output)

    def test_images(self):
        status, output, _ = hl("images")
        self.assertEqual(status, 0)
        names = [line.split()[0] for line in output.splitlines()]
        self.assertLessEqual({"redis", "iperf3", "tcp-echo", "udp-echo", "net-bench"}, set(names))

    def test_symbolic_link(self):
        with tempfile.TemporaryDirectory() as directory:
            link = os.path.join(directory, "a link")
            os.symlink(HL, link)
            status, output, errors = hl("images", path=link)
        self.assertEqual(status, 0, errors)
        self.assertIn("redis", output)


if __name__ == "__main__":
    unittest.main()
