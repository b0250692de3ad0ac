"""What is counted while a guest runs: instructions, doorbells, interrupts and touched memory.

Instructions come from the plugin perf/insn_count. Doorbells and interrupts of the virtio devices come from
QEMU's own trace of them, written to a file line by line: it sees the device's side, the same for either system,
also where a guest looks at its rings before an interrupt is taken.
Touched memory is what the host ever backed of the guest's RAM.
"""

import ctypes
import json
import os
import socket

import machine
from model import Counters, Exits, MeasurementError

CLASSES = ("user", "kernel", "firmware")
PR_SET_THP_DISABLE = 41


class EventLog:
    """QEMU's trace of the devices' doorbells (virtio_queue_notify) and interrupts (virtio_notify)."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.kicks = 0
        self.interrupts = 0
        self.arguments = ["-trace", "enable=virtio_queue_notify", "-trace", "enable=virtio_notify", "-D", path]

    def read(self):
        """(doorbells, interrupts) since the start."""
        if os.path.exists(self.path):
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                while chunk := file.read(1 << 20):
                    chunk += file.readline()
                    self.offset += len(chunk)
                    self.kicks += chunk.count(b"virtio_queue_notify ")
                    self.interrupts += chunk.count(b"virtio_notify ")
        return self.kicks, self.interrupts


class Witness:
    """What counts in one machine: give `arguments` to its QEMU, then read().

    plugin: insn_count.so; directory: for its files, which has a short path, as that of a socket must be;
    ranges: a map for the plugin, whose ranges must lie in the kernel and are counted as kernel.
    """

    plugin_options = ""  # more of them

    def __init__(self, plugin, directory, ranges=""):
        if not os.path.exists(plugin):
            raise MeasurementError(f"there is no {plugin}; bazel build //perf/insn_count makes it")
        self.socket_path = os.path.join(directory, "instructions")
        self.events = EventLog(os.path.join(directory, "events"))
        for path in (self.socket_path, self.events.path):
            if os.path.exists(path):
                os.remove(path)
        text = f"{machine.escape(plugin)},socket={machine.escape(self.socket_path)}"
        if ranges:
            text += f",map={machine.escape(ranges)}"
        text += self.plugin_options
        self.arguments = ["-plugin", text, *self.events.arguments]

    def ask(self, request=""):
        """The plugin's answer: what it counted since the start, by class and by name of a range."""
        try:
            with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as stream:
                connection.settimeout(30)
                connection.connect(self.socket_path)
                stream.write(request + "\n")
                stream.flush()
                return json.loads(stream.readline())
        except (OSError, ValueError) as error:
            raise MeasurementError(f"the instruction counter does not answer: {error}") from error

    def counters(self, counts):
        """Counters of an answer."""
        kernel = sum(count for name, count in counts.items() if name not in ("user", "firmware"))
        return Counters(counts["user"], kernel, counts["firmware"], *self.events.read())

    def read(self):
        """Counters since the start."""
        return self.counters(self.ask())


# KVM's counters (arch/riscv/include/asm/kvm_host.h) that make up one of ours. Calls of the firmware interface that KVM
# hands to its VMM are counted nowhere on their own.
KVM_COUNTERS = {
    "exits": ("exits",),
    "user_exits": ("mmio_exit_user", "csr_exit_user", "signal_exits"),
    "wfi_exits": ("wfi_exit_stat",),
    "mmio_exits": ("mmio_exit_user", "mmio_exit_kernel"),
}


def exits(kvm):
    """Exits, of KVM's counters by name."""
    try:
        return Exits(**{name: sum(kvm[part] for part in parts) for name, parts in KVM_COUNTERS.items()})
    except KeyError as error:
        raise MeasurementError(f"KVM has no counter {error}") from error


def whole_pages(wanted):
    """Whether machines that are started from now on get their memory in huge pages, where the host does that at all.

    Without them the memory that the host backs is exactly what the guest touched.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_THP_DISABLE, 0 if wanted else 1, 0, 0, 0) != 0:
        raise MeasurementError(f"prctl(PR_SET_THP_DISABLE): {os.strerror(ctypes.get_errno())}")


def memory_peak(pid, memory):
    """Bytes of the guest's RAM that the host ever backed: QEMU never gives them back. memory: as of machine.Options."""
    wanted = machine.memory_bytes(memory) >> 10
    size = 0
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Size:"):
                size = int(line.split()[1])
            elif line.startswith("Rss:") and size == wanted:
                return int(line.split()[1]) << 10
    raise MeasurementError(f"QEMU has no mapping of {memory}, the guest's memory")
