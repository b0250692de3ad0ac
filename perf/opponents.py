"""The two systems: the machine that either gets, and the versions of all that takes part."""

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import time

import linux_guest
import machine
import setup
from model import MeasurementError

REPOSITORY = setup.REPOSITORY


def built(path):
    """What Bazel built: below bazel-bin, or in the runfiles of a test."""
    below = os.path.join(REPOSITORY, "bazel-bin", path)
    return below if os.path.exists(below) else os.path.join(REPOSITORY, path)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What is the same for both systems."""

    accel: str = "tcg"
    harts: int = 1
    transport: str = "mmio"
    aia: str = "plic"


class Opponents:
    """Kernels and archives of the systems of a run. directory: for archives that are made; may be removed afterwards."""

    def __init__(self, systems, shape, directory):
        self.systems = systems
        self.shape = shape
        self.directory = directory
        self.kernel = built("hartloop.elf")
        self.plugin = built("perf/insn_count/insn_count.so")
        self.linux = linux_guest.prepare() if "linux" in systems else None

    def manifest(self, image):
        """What guest_image wrote of an image: program, args, env, ports."""
        path = built(f"guests/images/{image}.json")
        if not os.path.exists(path):
            raise MeasurementError(f"there is no {path}; bazel build //guests/images:{image} makes it")
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def options(self, system, image, args, memory, append):
        """machine.Options for a system, without network and log: the same machine for either."""
        manifest = self.manifest(image)
        options = machine.Options(
            kernel=self.kernel, image=built(f"guests/images/{image}.cpio"), program=[manifest["program"], *(args or manifest["args"])],
            environment=manifest["env"], accel=self.shape.accel, harts=self.shape.harts, transport=self.shape.transport,
            aia=self.shape.aia, memory=memory, append=append, quiet=True)
        return linux_guest.same_machine(options, self.directory) if system == "linux" else options

    def conditions(self, cases):
        """Where and with what figures are made, by name."""
        conditions = {
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "Hartloop": commit(),
            "QEMU": f"{qemu_version()}, {self.shape.accel}, {self.shape.harts} hart, "
                    f"{'APLIC and IMSIC' if self.shape.aia == 'aia' else 'PLIC'}, virtio-{self.shape.transport}",
            "CPU model": "host" if self.shape.accel == "kvm" else "rv64, QEMU's default for virt",
            "firmware": "none" if self.shape.accel == "kvm" else "OpenSBI " + package_version("opensbi"),
        }
        if self.linux:
            conditions["Linux"] = f"Debian {self.linux[2]}, options: {linux_guest.FAST_OPTIONS}; "  \
                "sysctls: " + ", ".join(f"{name.replace('/', '.')}={value}" for name, value in linux_guest.SYSCTLS.items()) + \
                "; all offloads of virtio-net; in the initial root only the program, busybox for the set-up, and the driver"
        conditions["host"] = f"{cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()} {platform.machine()}"
        conditions["programs in the guest"] = ", ".join(guest_packages(sorted({case.image for case in cases}))) or "the project's own"
        tools = sorted({tool for case in cases for tool in case.tools})
        conditions["load generators"] = ", ".join(tool_version(tool) for tool in tools) or "none"
        return conditions


def output(*command):
    """A program's output, empty when it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def commit():
    """The tree's commit, with a word when files differ from it."""
    name = output("git", "-C", REPOSITORY, "rev-parse", "--short=12", "HEAD")
    if not name:
        return "no git tree"
    changed = output("git", "-C", REPOSITORY, "status", "--porcelain", "--untracked-files=no")
    return f"commit {name}" + (" with local changes" if changed else "")


def qemu_version():
    """QEMU's version, with Debian's where it is Debian's."""
    match = re.search(r"version ([^\n]+)", output(machine.qemu_binary(), "--version"))
    return match.group(1) if match else "unknown"


def package_version(package):
    """The version of a host package."""
    return output("dpkg-query", "-W", "-f", "${Version}", package) or "unknown"


def tool_version(tool):
    """A host program with the package that it came in."""
    path = shutil.which(tool)
    if not path:
        return tool
    package = output("dpkg-query", "-S", path).partition(":")[0]
    return f"{tool} ({package} {package_version(package)})" if package else tool


def cpu_model():
    """The host's processor."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        match = re.search(r"^(?:model name|uarch|isa)\s*: (.*)$", file.read(), re.M)
    return match.group(1).strip() if match else platform.processor() or "unknown"


def guest_packages(images):
    """The Debian packages of images, with versions."""
    record = setup.load_record(os.path.join(setup.cache_directory(), "packages", "record.json"))
    found = []
    for image in images:
        roots = record["roots"].get(image, [])
        for file in record["sets"].get(image, []):
            package = record["packages"][file]
            if package["name"] in roots:
                found.append(f"{package['name']} {package['version']}")
    return found


def missing_tools(cases):
    """Host programs that cases need and that are not there."""
    return sorted({tool for case in cases for tool in case.tools if not shutil.which(tool)})
