"""A virtual machine that runs Hartloop: QEMU's command line, its life and how it ended.

Exit statuses, of `hl run` and `hl boot` as well:
    the program's own   it exited, or 128 + N when signal N killed it
    2                   wrong usage: nothing was started
    121                 the kernel panicked
    124                 the time of --timeout ran out
    125                 set-up, build or QEMU failed
    130                 interrupted
A program may return one of these too; `Outcome.kind` and the launcher's last line tell them apart.
"""

import contextlib
import dataclasses
import json
import os
import platform
import queue
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import elf
import nested
import network

MIB = 1 << 20
PAGE = 4096
LARGE_PAGE = 2 * MIB
RAM_BASE = 0x80000000  # of QEMU's virt machine
KERNEL_OFFSET = 2 * MIB  # where QEMU loads a kernel behind OpenSBI
RESERVED_MOST = 64 << 30  # of a larger machine's memory the host promises nothing
DEVICE_TREE_BYTES = 64 << 10  # more than QEMU's for this machine
# The guest's clock goes on by 4 ns with each instruction, and from one timer to the next when the guest idles: how busy the host
# is can't be seen in the guest, nor do its pauses take the host's time. What is outside keeps the host's time.
COUNTED_CLOCK = ["-icount", "shift=2,sleep=off"]
ANSWER_SECONDS = 20  # of the monitor; it takes more than one in a nested host on a busy machine

STATUS_USAGE = 2
STATUS_PANIC = 121
STATUS_TIMEOUT = 124
STATUS_DEAD = 125
STATUS_INTERRUPTED = 130
PANIC_TEXT = "\npanic on hart "  # what core/panic.c prints first
UNFIT_TEXT = "hartloop: this hart has no "  # core/entry.S; the firmware's status is then 0


class MachineError(Exception):
    """The machine can't be started as asked; the text says why."""


@dataclasses.dataclass
class Options:
    """What a machine is made of. The fields are those of hl's options."""

    kernel: str
    image: str
    program: list
    environment: list = dataclasses.field(default_factory=list)
    accel: str = "tcg"
    harts: int = 1
    memory: str = "256M"
    net: str = "user"
    forwards: list = dataclasses.field(default_factory=list)
    ip: str = ""
    transport: str = "mmio"
    aia: str = "plic"  # the interrupt controller: plic, or aia for APLIC and IMSIC
    vhost: bool = True  # under the nested host: the card's rings are served by its kernel, not by its QEMU
    device_tree: str = ""  # a file instead of QEMU's own tree
    cpu: str = ""  # a CPU model of QEMU's instead of the machine's own
    append: str = ""
    counted_clock: bool = False  # under TCG: COUNTED_CLOCK
    gdb: str = ""  # where QEMU listens for gdb, the machine stopped until then
    log: str = ""
    timeout: float = 0
    quiet: bool = False  # the console goes to the log only
    stopped: bool = False  # it executes nothing before its monitor is asked to `cont`
    behind_kernel: bool = False  # the image directly behind the kernel, as if memory were small
    qemu: list = dataclasses.field(default_factory=list)  # more arguments of QEMU
    host: object = None  # with accel "kvm": a nested.Host that runs already, with a network of this kind


@dataclasses.dataclass
class Outcome:
    """How a machine ended: kind is one of exit, panic, unfit, timeout, dead, interrupted, stopped."""

    kind: str
    status: int
    detail: str = ""


def quote(word):
    """A word of the kernel's command line; see docs/ARCHITECTURE.md."""
    if word and not any(character in word for character in ' \t\n"\\'):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escape(path):
    """A path as a value in QEMU's option lists, in which commas separate."""
    return path.replace(",", ",,")


def memory_bytes(text):
    """The value of QEMU's -m in bytes."""
    match = re.fullmatch(r"(\d+)([KMGkmg]?)", text)
    if not match:
        raise MachineError(f"memory of '{text}': a number with M or G is valid, such as 256M")
    return int(match.group(1)) * {"K": 1 << 10, "M": MIB, "G": 1 << 30}[match.group(2).upper() or "M"]


def kernel_end(path):
    """The physical address behind a kernel, its zeroed data included, where QEMU loads it.

    Linux keeps the whole large page in which it ends.
    """
    with open(path, "rb") as file:
        data = file.read()
    if data[56:60] == b"RSC\x05":  # a flat image with Linux's header: its size in memory is at 16
        return RAM_BASE + KERNEL_OFFSET + -(-struct.unpack_from("<Q", data, 16)[0] // LARGE_PAGE) * LARGE_PAGE
    try:
        return elf.Elf(data).physical_end
    except elf.NotElf as error:
        raise MachineError(f"{path} is no kernel: neither ELF nor Linux's flat format") from error


def image_address(options):
    """Where the image has to be put, or None where QEMU may put it.

    QEMU puts an initrd at half of the memory and the device tree at the last multiple of 2 MiB that
    leaves room for it. An image that does not fit in between is put directly behind the kernel, and
    so is one of a machine with `behind_kernel`.
    """
    memory, image = memory_bytes(options.memory), os.path.getsize(options.image)
    tree = (memory - DEVICE_TREE_BYTES) // (2 * MIB) * 2 * MIB
    if KERNEL_OFFSET + memory // 2 + image <= tree and not options.behind_kernel:
        return None
    address = -(-kernel_end(options.kernel) // PAGE) * PAGE
    if address + image > RAM_BASE + tree:
        least = -(-(address - RAM_BASE + image) // (2 * MIB)) * 2 + 1
        raise MachineError(f"{options.memory} of memory can't hold {os.path.basename(options.image)}, {image / MIB:.1f} MiB; "
                           f"it takes {least}M to load it, and what the program needs")
    return address


def command_line(options, image_at=None):
    """The kernel's command line; `image_at` is where the image lies if QEMU does not say so in the device tree."""
    words = []
    if image_at:
        words.append(f"initrdmem={image_at:#x},{os.path.getsize(options.image)}")
    address = options.ip
    if not address and options.net != "none":
        address = network.DEFAULT_IP
    if address:
        words.append("ip=" + address)
    if options.append:
        words.append(options.append)
    words += ["env=" + quote(pair) for pair in options.environment]
    words.append("--")
    words += [quote(word) for word in options.program]
    return " ".join(words)


def qemu_binary():
    """QEMU: HL_QEMU or the one on the PATH."""
    wanted = os.environ.get("HL_QEMU", "qemu-system-riscv64")
    found = shutil.which(wanted, path=os.environ.get("PATH", "/usr/bin") + ":/usr/bin")
    if not found:
        raise MachineError(f"there is no {wanted}; ./hl setup installs QEMU, HL_QEMU names another one")
    return found


def kvm_is_here():
    """Whether this machine itself has KVM for riscv64."""
    return platform.machine() == "riscv64" and os.access("/dev/kvm", os.R_OK | os.W_OK)


@dataclasses.dataclass
class Place:
    """Where QEMU runs: its program, how it finds files and what it is connected to, as its options have it."""

    qemu: str
    netdev: str  # empty: no network
    console: str  # a chardev, with the id `console`
    monitor: str  # a chardev, with the id `monitor`
    path: object = staticmethod(escape)  # file here -> path where QEMU runs


def qemu_arguments(options, place):
    """QEMU's command line."""
    shape = "virt" if options.aia == "plic" else "virt,aia=aplic-imsic"
    backend = []
    if memory_bytes(options.memory) >= RESERVED_MOST:
        shape += ",memory-backend=ram"
        backend = ["-object", f"memory-backend-ram,id=ram,size={options.memory},reserve=off"]
    arguments = [
        place.qemu, "-nodefaults", "-no-user-config", "-M", shape, *backend, "-m", options.memory, "-smp", str(options.harts),
        "-display", "none", "-no-reboot", "-chardev", place.console, "-serial", "chardev:console",
        "-chardev", place.monitor, "-mon", "chardev=monitor,mode=control",
    ]
    if options.accel == "kvm":
        arguments += ["-accel", "kvm", "-cpu", "host" + "".join(options.cpu.partition(",")[1:])]
    else:
        arguments += ["-accel", "tcg", "-bios", "default"]
        if options.cpu:
            arguments += ["-cpu", options.cpu]
        if options.counted_clock:
            arguments += COUNTED_CLOCK
    if options.stopped or options.accel == "kvm":  # which could end before anyone asked for QEMU's events
        arguments += ["-S"]
    suffix = "device" if options.transport == "mmio" else "pci,disable-legacy=on"
    if options.transport == "mmio":
        arguments += ["-global", "virtio-mmio.force-legacy=false"]
    arguments += ["-device", f"virtio-rng-{suffix}"]
    if place.netdev:
        rom = ",romfile=" if options.transport == "pci" else ""  # a boot ROM for PCs, which is not installed
        card = f"virtio-net-{suffix},netdev=net0,mac={network.GUEST_MAC}{rom}"
        arguments += ["-netdev", place.netdev, "-device", card]
    arguments += ["-kernel", place.path(options.kernel)]
    image_at = image_address(options) if options.image else None
    if image_at:
        arguments += ["-device", f"loader,file={place.path(options.image)},addr={image_at:#x},force-raw=on"]
    elif options.image:
        arguments += ["-initrd", place.path(options.image)]
    arguments += ["-append", command_line(options, image_at)]
    if options.device_tree:
        arguments += ["-dtb", place.path(options.device_tree)]
    if options.gdb:
        arguments += ["-gdb", options.gdb, "-S"]
    return arguments + options.qemu + shlex.split(os.environ.get("HL_QEMU_ARGS", ""))


class Monitor(threading.Thread):
    """Listens to QEMU's events, to know whether the guest or QEMU itself ended the machine.

    held: the machine was started with -S, and goes on once QEMU has said that it will report them.
    """

    def __init__(self, connection, held):
        super().__init__(daemon=True)
        self.connection = connection
        self.greeted = threading.Event()  # QEMU is up, and the guest is about to be entered
        self.shutdown_reason = None
        self.shut_down = threading.Event()
        self.answers = queue.Queue()
        connection.sendall(b'{"execute":"qmp_capabilities"}\n')
        if held:
            connection.sendall(b'{"execute":"cont"}\n')

    def run(self):
        try:
            for line in self.connection.makefile("r", encoding="utf-8"):
                message = json.loads(line)
                if message.get("event") == "SHUTDOWN":
                    self.shutdown_reason = message["data"]["reason"]
                    self.shut_down.set()
                elif "QMP" in message:
                    self.greeted.set()
                elif isinstance(message.get("return"), str):
                    self.answers.put(message["return"])
        except (OSError, ValueError):
            return

    def ask(self, command):
        """The answer to a human monitor command, empty when there is none."""
        request = {"execute": "human-monitor-command", "arguments": {"command-line": command}}
        try:
            self.connection.sendall(json.dumps(request).encode() + b"\n")
            return self.answers.get(timeout=ANSWER_SECONDS)
        except (OSError, queue.Empty):
            return ""


class Console:
    """The console of a guest in the nested host: to the log, and, unless it is quiet, joined to this terminal as QEMU would."""

    def __init__(self, log, quiet):
        self.log = open(log, "wb", buffering=0)
        self.quiet = quiet
        self.terminal = termios.tcgetattr(0) if not quiet and os.isatty(0) else None
        if self.terminal:
            raw = termios.tcgetattr(0)
            raw[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
            raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN)
            termios.tcsetattr(0, termios.TCSANOW, raw)

    def receive(self, data):
        """What the guest wrote."""
        self.log.write(data)
        if not self.quiet:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def read_into(self, send):
        """Gives what is typed to send(bytes) until there is no more."""
        def forward():
            with contextlib.suppress(OSError):
                while data := os.read(0, 4096):
                    send(data)

        if not self.quiet:
            threading.Thread(target=forward, daemon=True).start()

    def stop(self):
        """Gives the terminal back."""
        if self.terminal:
            termios.tcsetattr(0, termios.TCSANOW, self.terminal)
            self.terminal = None


class Machine:
    """One running machine. Use as a context manager: leaving it stops everything it started."""

    def __init__(self, options, warn):
        if options.gdb and options.accel == "kvm":
            raise MachineError("--gdb goes with --accel tcg only: of a guest under KVM QEMU gives the debugger neither registers, memory nor breakpoints")
        for path in filter(None, (options.kernel, options.image)):
            if not os.path.exists(path):
                raise MachineError(f"there is no {path}")
        self.options = options
        self.errors = options.log + ".qemu"
        self.interrupted = False
        self.network = self.process = self.host = self.terminal = None
        self.shared = []
        with open(options.log, "wb"):
            pass
        ours, self.monitor_far = socket.socketpair()
        self.monitor = Monitor(ours, held=options.accel == "kvm" and not options.stopped)
        try:
            if options.accel == "kvm" and not kvm_is_here():
                self._start_nested(warn)
            else:
                self._start_here(warn)
        except nested.NestedError as error:
            self.stop()
            raise MachineError(str(error)) from error
        except BaseException:
            self.stop()
            raise

    def _start_here(self, warn):
        """Runs QEMU on this machine."""
        options = self.options
        self.network = network.Network(options.net, options.forwards, options.log + ".passt", warn)
        console = f"stdio,id=console,signal=on,logfile={escape(options.log)},logappend=off"
        if options.quiet:
            console = f"file,id=console,path={escape(options.log)}"
        self.command = qemu_arguments(options, Place(
            qemu=qemu_binary(), netdev=self.network.netdev, console=console,
            monitor=f"socket,id=monitor,fd={self.monitor_far.fileno()}"))
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL if options.quiet else None, stderr=errors,
                pass_fds=[self.monitor_far.fileno(), *self.network.descriptors])
        self.monitor_far.close()
        self.monitor.start()

    def _start_nested(self, say):
        """Runs QEMU in a nested host: the options' or one of its own."""
        options, host = self.options, self.options.host
        if host is None:
            self.network = network.Network(options.net, options.forwards, options.log + ".passt", say)
            host = nested.Host(qemu_binary(), [self.network] if self.network.netdev else [], options.log + ".nested", say,
                               max(3072, memory_bytes(options.memory) // MIB + 1024))
        self.host = host
        interface = host.interface(options.net)
        vhost = "on" if options.vhost else "off"
        self.command = qemu_arguments(options, Place(
            qemu="qemu-system-riscv64", path=self._share,
            netdev=interface and f"tap,id=net0,ifname={interface},script=no,downscript=no,vhost={vhost}",
            console=f"pipe,id=console,path={nested.device(nested.CONSOLE)}",
            monitor=f"pipe,id=monitor,path={nested.device(nested.MONITOR)}"))
        self.terminal = Console(options.log, options.quiet)
        self.terminal.read_into(host.attach(nested.CONSOLE, self.terminal.receive))
        self.monitor.start()
        self.process = host.start(nested.script(self.command))
        host.join(nested.MONITOR, self.monitor_far)
        while not self.monitor.greeted.wait(0.05) and self.running():
            pass
        if self.running():
            host.progress("guest entered")

    def _share(self, path):
        """A file's path in the nested host."""
        self.shared.append(self.host.share(path))
        return self.shared[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def running(self):
        """Whether QEMU still runs."""
        return self.process.poll() is None

    def wait(self, seconds=None):
        """Waits for the end, at most `seconds`; the outcome, or None when it still runs."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        if self.host:
            self.host.settle()
            with contextlib.suppress(OSError):
                self.monitor_far.shutdown(socket.SHUT_RDWR)
        self.monitor.join(2)
        reason = self.monitor.shutdown_reason
        if status == STATUS_PANIC and reason == "guest-panic" and PANIC_TEXT in self.console():
            return Outcome("panic", STATUS_PANIC, "the kernel panicked")
        if reason == "guest-shutdown" and status == 0 and UNFIT_TEXT in self.console():
            return Outcome("unfit", STATUS_DEAD, "the CPU lacks what the kernel needs; see the console")
        if reason in ("guest-panic", "guest-shutdown", "guest-reset"):
            return Outcome("exit", status, f"the program's exit status is {status}")
        if self.interrupted or (reason == "host-signal" and "signal 2 " in self.error_text()):
            return Outcome("interrupted", STATUS_INTERRUPTED, "interrupted")
        return Outcome("dead", STATUS_DEAD, f"QEMU died (status {status}): {self.error_text()}")

    def run(self):
        """Waits for the end or for the options' timeout."""
        started = time.monotonic()
        try:
            outcome = self.wait(self.options.timeout or None)
        except KeyboardInterrupt:
            self.interrupted = True
            self.stop()
            return Outcome("interrupted", STATUS_INTERRUPTED, "interrupted")
        if outcome is None:
            with contextlib.suppress(OSError), open(self.options.log + ".harts", "w", encoding="utf-8") as file:
                file.write(self.where())
            self.stop()
            return Outcome("timeout", STATUS_TIMEOUT, f"still running after {time.monotonic() - started:.0f} s (--timeout)")
        return outcome

    def error_text(self):
        """What QEMU itself said, on one line."""
        if self.host and not self.host.running():
            return self.host.death()
        with open(self.process.output if self.host else self.errors, encoding="utf-8", errors="replace") as file:
            return " / ".join(line.strip() for line in file if line.strip()) or "it said nothing"

    def console(self):
        """The console's output so far."""
        with open(self.options.log, "rb") as file:
            return file.read().decode("utf-8", "replace").replace("\r\n", "\n")

    def hart_threads(self):
        """The numbers of QEMU's threads that run the harts, as the host has them that QEMU runs on."""
        return [int(number) for number in re.findall(r"thread_id=(\d+)", self.monitor.ask("info cpus"))]

    def where(self):
        """What each hart is doing: its registers, with the functions of pc and ra. For a machine that hangs."""
        registers = self.monitor.ask("info registers -a")
        addresses = re.findall(r"^ *(?:pc|x1/ra) +([0-9a-f]{16})", registers.replace(" x1/ra", "\n x1/ra"), re.M)
        tool = shutil.which("riscv64-linux-gnu-addr2line")
        names = ""
        if addresses and tool:
            names = subprocess.run([tool, "-fpe", self.options.kernel, *addresses], capture_output=True, text=True, check=False).stdout
        return registers + "\n" + names

    def stop(self):
        """Ends QEMU and what runs beside it."""
        if self.host and self.host is not self.options.host:
            self.host.stop()
        elif self.process and self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.host is self.options.host and self.host:
            for path in self.shared:
                self.host.unshare(path)
        self.shared = []
        for part in filter(None, (self.terminal, self.network)):
            part.stop()
        self.monitor_far.close()
        for path in (self.errors, self.options.log + ".passt"):
            if os.path.exists(path) and os.path.getsize(path) == 0:
                os.remove(path)
