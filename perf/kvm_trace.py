"""What leaves a guest in the nested host, exit by exit, as the tracepoints of that host's kernel have it.

    trace = Trace(host)
    trace.start()               # before the guest is entered
    ...
    record = trace.read()       # once it is stopped
    record.entry                # when KVM entered the guest first; all times are seconds of the host's one clock
    record.exits                # Exit objects in order
    record.frames               # when it handed the guest's IPv4 frames on, in order

    trace.start(EXITS_ONLY)     # while a guest runs
    ...
    trace.kinds()               # how many exits of each kind there were

KVM's counters (counters.KVM_COUNTERS) say how many exits there were when they are read, this says when each was and why.
A traced exit takes longer by some microseconds, the same for every system.
"""

import collections
import dataclasses
import os
import re

from model import Exits, MeasurementError

TRACING = "/sys/kernel/tracing"
EVENTS = ("kvm/kvm_entry", "kvm/kvm_exit", "kvm/kvm_userspace_exit", "net/net_dev_start_xmit")
EXITS_ONLY = ("kvm/kvm_exit",)
KINDS = ("interrupt", "instruction", "device", "memory", "firmware", "other")
BUFFER_KIB = 16384  # per hart; a Linux guest that boots takes 4 MiB
IPV4 = 0x0800
RAM_BASE, RAM_END = 0x80000000, 0x400000000  # up to the window of PCI's 64-bit BARs
INTERRUPT = 1 << 63
# scause (privileged ISA, hypervisor extension)
ECALL_VS, FETCH_FAULT, LOAD_FAULT, VIRTUAL_INSTRUCTION, STORE_FAULT = 10, 20, 21, 22, 23
LINE = re.compile(r"\s(\d+\.\d+): (\w+): (.*)")
FIELD = re.compile(r"(\w+):\s*0x([0-9a-f]+)")
# Why KVM went to its VMM, but for signals and errors.
FOR_THE_GUEST = re.compile(r"reason KVM_EXIT_(?!UNKNOWN|INTR)")


@dataclasses.dataclass(frozen=True)
class Exit:
    """One exit. kind: memory (the first touch of a page), device, firmware, instruction (WFI, a CSR), interrupt (the host's) or other."""

    time: float
    kind: str
    cause: int  # scause
    address: int  # in the guest's physical memory, of memory and device
    pc: int


@dataclasses.dataclass
class Record:
    """What was traced."""

    entry: float
    exits: list
    to_user: list  # when KVM went to its VMM for the guest's sake
    frames: list

    def until(self, time):
        """Exits up to a moment, as the sample of a run keeps them, and notes of how many there were of each kind."""
        kinds = collections.Counter(each.kind for each in self.exits if each.time <= time)
        return Exits(exits=sum(kinds.values()), user_exits=sum(when <= time for when in self.to_user),
                     wfi_exits=kinds["instruction"], mmio_exits=kinds["device"]), {f"exits_{kind}": count for kind, count in kinds.items()}

    def text(self):
        """One line for each exit, for people."""
        return "".join(f"{(each.time - self.entry) * 1000:10.3f} ms  {each.kind:11} scause {each.cause:#x} address {each.address:#x} "
                       f"pc {each.pc:#x}\n" for each in self.exits)


def kind_of(cause, address):
    """An exit's kind."""
    if cause & INTERRUPT:
        return "interrupt"
    if cause in (FETCH_FAULT, LOAD_FAULT, STORE_FAULT):
        return "memory" if RAM_BASE <= address < RAM_END else "device"
    return {ECALL_VS: "firmware", VIRTUAL_INSTRUCTION: "instruction"}.get(cause, "other")


def exit_of(when, words):
    """The Exit of a tracepoint's fields."""
    fields = {name: int(value, 16) for name, value in FIELD.findall(words)}
    cause, address = fields["SCAUSE"], fields["HTVAL"] << 2 | fields["STVAL"] & 3
    kind = kind_of(cause, address)
    return Exit(when, kind, cause, address if kind in ("memory", "device") else 0, fields["SEPC"])


def events(text):
    """The time, name and words of each line of a trace's text."""
    return map(re.Match.groups, filter(None, map(LINE.search, text.splitlines())))


def kinds(text):
    """How many exits of each kind are in a trace's text."""
    found = collections.Counter(exit_of(0, words).kind for _, event, words in events(text) if event == "kvm_exit")
    return {kind: found[kind] for kind in KINDS}


def parse(text):
    """The Record of a trace's text; raises MeasurementError when no guest was entered in it."""
    entry, exits, to_user, frames = None, [], [], []
    for time, event, words in events(text):
        when = float(time)
        if event == "kvm_entry":
            entry = when if entry is None else entry
        elif event == "kvm_exit":
            exits.append(exit_of(when, words))
        elif event == "kvm_userspace_exit":
            if FOR_THE_GUEST.match(words):
                to_user.append(when)
        elif event == "net_dev_start_xmit":
            frames.append(when)
    if entry is None:
        raise MeasurementError("the nested host's trace does not show that a guest was entered")
    return Record(entry, exits, to_user, frames)


class Trace:
    """The tracepoints of a nested.Host. card: its interface on the way to us."""

    def __init__(self, host, card="eth0"):
        self.host = host
        self.card = card
        self.traced = ()

    def start(self, traced=EVENTS):
        """Begins anew."""
        self.traced = traced
        self.host.call(f"mountpoint -q {TRACING} || mount -t tracefs trace {TRACING}; cd {TRACING}; echo 0 >tracing_on; echo mono >trace_clock; "
                       f"echo {BUFFER_KIB} >buffer_size_kb; echo >trace; "
                       f"echo 'name == \"{self.card}\" && protocol == {IPV4}' >events/net/net_dev_start_xmit/filter; "
                       f"for event in {' '.join(traced)}; do echo 1 >events/$event/enable; done; echo 1 >tracing_on")

    def text(self):
        """Ends it; what was traced."""
        self.host.call(f"cd {TRACING}; echo 0 >tracing_on; for event in {' '.join(self.traced)}; do echo 0 >events/$event/enable; done; "
                       "cat trace >/hl/trace", seconds=300)
        path = os.path.join(self.host.directory, "trace")
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        os.remove(path)
        lost = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text)
        if lost and lost[1] != lost[2]:
            raise MeasurementError(f"the nested host's trace holds {lost[1]} of {lost[2]} events")
        return text

    def read(self):
        """Ends it; the Record."""
        return parse(self.text())

    def kinds(self):
        """Ends it; how many exits of each kind there were."""
        return kinds(self.text())
