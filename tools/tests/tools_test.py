#!/usr/bin/python3
"""The tools' own functions: apt source lists, the archive, images, the kernel's command line."""

import argparse
import io
import itertools
import os
import stat
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import cpio  # noqa: E402
import debian  # noqa: E402
import machine  # noqa: E402
import mkimage  # noqa: E402
import network  # noqa: E402

DEB822 = """# a comment
Types: deb deb-src
URIs: http://one.example/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/a.gpg

Enabled: no
Types: deb
URIs: http://two.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """
# deb http://no.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://three.example/debian bookworm main # why
deb-src http://four.example/debian bookworm main
deb http://five.example/security bookworm-security main
"""


class Sources(unittest.TestCase):
    """Apt's two formats."""

    def test_deb822(self):
        sources = debian.parse_deb822_sources(DEB822)
        self.assertEqual([(s.uri, s.suite) for s in sources],
                         [("http://one.example/debian", "bookworm"), ("http://one.example/debian", "bookworm-updates")])
        self.assertEqual(sources[0].signed_by, "/usr/share/keyrings/a.gpg")
        self.assertEqual(sources[0].components, "main contrib")

    def test_one_line(self):
        sources = debian.parse_one_line_sources(ONE_LINE)
        self.assertEqual([(s.uri, s.suite, s.signed_by) for s in sources],
                         [("http://three.example/debian", "bookworm", "/k.gpg"),
                          ("http://five.example/security", "bookworm-security", "")])

    def test_mirror(self):
        sources = debian.parse_one_line_sources(ONE_LINE)
        self.assertEqual(debian.mirror(sources, "bookworm", ""), "http://three.example/debian")
        self.assertEqual(debian.mirror(sources, "bookworm", "http://mine.example/d/"), "http://mine.example/d")
        with self.assertRaisesRegex(debian.SetupError, "HL_MIRROR"):
            debian.mirror([], "bookworm", "")

    def test_backports_are_added_once(self):
        os.environ.pop("HL_MIRROR", None)
        sources = debian.host_sources(debian.parse_one_line_sources(ONE_LINE), "bookworm")
        suites = [s.suite for s in sources]
        self.assertEqual(sorted(suites), ["bookworm", "bookworm-backports", "bookworm-security"])


class Archive(unittest.TestCase):
    """cpio archives."""

    def test_round_trip_and_alignment(self):
        out = io.BytesIO()
        writer = cpio.Writer(out)
        entries = [("etc", stat.S_IFDIR | 0o755, b""), ("etc/a", stat.S_IFREG | 0o600, b"abc"),
                   ("link", stat.S_IFLNK | 0o777, b"etc/a")]
        # Sizes that leave every kind of room before the next page.
        for number in range(300):
            size = 4096 + number * 37 if number % 3 else number * 29
            entries.append((f"f/{'x' * (number % 60)}{number}", stat.S_IFREG | 0o755, bytes([number % 256]) * size))
        for name, mode, data in entries:
            writer.add(name, mode, data)
        writer.finish()
        image = out.getvalue()
        back = [(name, mode, data) for name, mode, _, data in cpio.read(image) if name != "."]
        self.assertEqual(back, entries)
        for name, mode, start, data in cpio.read(image):
            if stat.S_ISREG(mode) and len(data) >= 4096:
                self.assertEqual(start % 4096, 0, name)

    def test_names_stay_short_enough(self):
        for before, name_bytes in itertools.product(range(0, 4200, 4), range(200, 204)):
            out = io.BytesIO()
            writer = cpio.Writer(out)
            writer.add("a", stat.S_IFREG | 0o644, bytes(min(before, 4095)))
            writer.add("n" * name_bytes, stat.S_IFREG | 0o644, bytes(5000))
            writer.finish()
            image = out.getvalue()
            offset = 0
            while image[offset:offset + 6] == cpio.MAGIC:
                size = int(image[offset + 54:offset + 62], 16)
                name = int(image[offset + 94:offset + 102], 16)
                self.assertLessEqual(name, 4096)
                offset = (((offset + 110 + name + 3) & ~3) + size + 3) & ~3

    def test_bad_archive(self):
        with self.assertRaises(ValueError):
            list(cpio.read(b"not an archive" * 20))


class Image(unittest.TestCase):
    """Making images."""

    def arguments(self, **given):
        """mkimage's arguments with defaults."""
        values = {"output": "", "program": "", "package": [], "library": [], "tree": [], "file": [], "keep": [], "drop": [],
                  "record": None}
        return argparse.Namespace(**{**values, **given})

    def test_tree(self):
        with tempfile.TemporaryDirectory() as directory:
            tree = os.path.join(directory, "tree")
            os.makedirs(os.path.join(tree, "opt/deep"))
            with open(os.path.join(tree, "opt/deep/program"), "wb") as file:
                file.write(b"#!" + bytes(5000))
            os.chmod(os.path.join(tree, "opt/deep/program"), 0o755)
            os.symlink("deep/program", os.path.join(tree, "opt/link"))
            output = os.path.join(directory, "image")
            mkimage.build(self.arguments(output=output, tree=[tree], program="/opt/link"))
            with open(output, "rb") as file:
                entries = {name: (mode, data) for name, mode, _, data in cpio.read(file.read())}
            self.assertEqual(entries["opt/link"], (stat.S_IFLNK | 0o777, b"deep/program"))
            self.assertEqual(entries["opt/deep/program"][0], stat.S_IFREG | 0o755)
            self.assertEqual(entries["tmp"][0], stat.S_IFDIR | 0o1777)
            with self.assertRaisesRegex(mkimage.ImageError, "/opt/none"):
                mkimage.build(self.arguments(output=output, tree=[tree], program="/opt/none"))

    def test_not_a_package(self):
        with tempfile.NamedTemporaryFile() as file:
            with self.assertRaisesRegex(mkimage.ImageError, "not a Debian package"):
                mkimage.read_package(file.name)

    def test_resolve(self):
        files = {"a": mkimage.Entry(stat.S_IFLNK, b"b/c"), "b": mkimage.Entry(stat.S_IFLNK, b"/d"),
                 "d": mkimage.Entry(stat.S_IFDIR), "d/c": mkimage.Entry(stat.S_IFREG), "x": mkimage.Entry(stat.S_IFLNK, b"x")}
        self.assertEqual(mkimage.resolve(files, "a"), "d/c")
        self.assertIsNone(mkimage.resolve(files, "x"))
        self.assertIsNone(mkimage.resolve(files, "nothing"))


class CommandLine(unittest.TestCase):
    """The kernel's command line."""

    def line(self, **given):
        """The command line of a machine with these options."""
        return machine.command_line(machine.Options(kernel="k", image="i", **{"program": ["/bin/p"], **given}))

    def test_quoting(self):
        self.assertEqual(machine.quote("plain-word=1"), "plain-word=1")
        self.assertEqual(machine.quote(""), '""')
        self.assertEqual(machine.quote('a "b" \\c'), '"a \\"b\\" \\\\c"')

    def test_whole(self):
        self.assertEqual(self.line(), "ip=10.0.2.15/24,10.0.2.2 -- /bin/p")
        self.assertEqual(self.line(net="none"), "-- /bin/p")
        self.assertEqual(self.line(ip="dhcp", append="log=3", environment=["A=b c"], program=["/p", "--save", ""]),
                         'ip=dhcp log=3 env="A=b c" -- /p --save ""')


class Memory(unittest.TestCase):
    """Where the image goes."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.kernel = os.path.join(self.directory.name, "kernel")
        header = b"\x7fELF\x02\x01".ljust(18, b"\0") + struct.pack("<H", 243)
        header = header.ljust(32, b"\0") + struct.pack("<Q", 64)
        header = header.ljust(54, b"\0") + struct.pack("<HH", 56, 1)
        with open(self.kernel, "wb") as file:
            file.write(header.ljust(64, b"\0") + struct.pack("<IIQQQQQQ", 1, 7, 0, 0, 0x80200000, 0, 0x84010, 0x1000))

    def tearDown(self):
        self.directory.cleanup()

    def address(self, memory, image_mib):
        """What image_address says for an image of so many MiB."""
        image = os.path.join(self.directory.name, "image")
        with open(image, "wb") as file:
            file.truncate(image_mib << 20)
        return machine.image_address(machine.Options(kernel=self.kernel, image=image, program=[], memory=memory))

    def test_sizes(self):
        self.assertEqual(machine.memory_bytes("96M"), 96 << 20)
        self.assertEqual(machine.memory_bytes("20"), 20 << 20)
        self.assertEqual(machine.memory_bytes("2g"), 2 << 30)
        with self.assertRaises(machine.MachineError):
            machine.memory_bytes("lots")

    def test_image_address(self):
        self.assertIsNone(self.address("256M", 15))
        self.assertIsNone(self.address("38M", 15))
        self.assertEqual(self.address("36M", 15), 0x80285000)
        self.assertEqual(self.address("19M", 15), 0x80285000)
        with self.assertRaisesRegex(machine.MachineError, "it takes 19M"):
            self.address("18M", 15)


class Networks(unittest.TestCase):
    """Values of --net and --forward."""

    def test_forward(self):
        self.assertEqual(network.parse_forward("1:65535"), (1, 65535))
        for text in ("", "1", "a:b", "1:2:3", "0:1", "1:65536"):
            with self.assertRaises(network.NetworkError):
                network.parse_forward(text)

    def test_free_port_is_free(self):
        self.assertTrue(network.port_is_free(network.free_port()))


if __name__ == "__main__":
    unittest.main()
