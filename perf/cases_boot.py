"""Starting: from the kernel's entry to the first answered SYN and to redis' first PONG; how little memory will do.

Each of these boots its own guests. The machine is started stopped, so that everything that watches it is ready,
and then let go. The kernel's entry is the moment at which the firmware's last line is on the console. With KVM
there is no firmware: it is the moment at which the machine is let go, and in a nested host, whose QEMU takes its time
for that, the moment at which KVM enters the guest. In counted runs user and kernel counters stand at 0
until then, so what they show at the end is what ran since the entry; what the firmware did before and since is its
own figure.

The ends are seen from outside: SYNs are sent, and the console is looked at, every millisecond. Times are right
to that; the instructions that are read when an answer is there hold what the guest ran until they were read,
less than a millisecond's as well. In a nested host both are exact for the first SYN: its kernel's tracepoints
(kvm_trace.py) say when the guest was entered, when its answer passed the host's card, and what exits lay between.
"""

import contextlib
import gzip
import os
import re
import select
import socket
import subprocess
import time

import kvm_trace
import machine
import model
import network
import packets
import wire

PERIOD = 0.001
GIVE_UP_SECONDS = 120
FIRMWARE_LAST_LINE = "Boot HART MEDELEG"
REDIS_PORT = 6379
SHORT_QUEUE = 16  # frames that wait in the tap for a guest whose driver is not there yet
SILENT_SECONDS = 0.1
MAC = bytes.fromhex(network.GUEST_MAC.replace(":", ""))


# ---- watching a machine start ----


@contextlib.contextmanager
def stopped(bench, system, image, **more):
    """A guest that executes nothing until release()."""
    guest = bench.guest(system, image, **more)
    guest.options.stopped = True
    with guest:
        yield guest


def release(bench, guest):
    """Lets the machine go and waits for the kernel's entry; returns the time."""
    started = time.monotonic()
    guest.machine.monitor.ask("cont")
    if bench.opponents.shape.accel == "kvm":
        return started
    while FIRMWARE_LAST_LINE not in guest.machine.console():
        check(guest, started)
        time.sleep(PERIOD)
    return time.monotonic()


def check(guest, started, seconds=GIVE_UP_SECONDS):
    """Gives up when the machine ended or takes too long."""
    if not guest.machine.running():
        raise model.MeasurementError(f"{guest.system} ended: {guest.machine.wait().detail} (console: {guest.options.log})")
    if time.monotonic() - started > seconds:
        raise model.MeasurementError(f"{guest.system} did not answer within {seconds} s (console: {guest.options.log})")


def sample(bench, guest, entry):
    """What it took from the entry until now."""
    now = time.monotonic()
    counters = guest.target.read_counters() if bench.counting else None
    exits = None
    if guest.target.read_exits:
        guest.machine.monitor.ask("stop")  # reading takes longer than what is read
        exits = guest.target.read_exits()
    load = model.Load(operations=1, seconds=now - entry, rate=(now - entry) * 1000)
    return model.Sample(load, counters, guest.memory_peak(), exits)


# ---- SYNs on a tap ----


class Prober:
    """Sends SYNs to the guest on the tap, as frames of its own; a context manager.

    When the guest asks for our address no more are sent for a while: they fill the short queue that the answer must pass.
    nested: the short queue is another one, in the nested host.
    """

    def __init__(self, port, nested):
        self.port = port
        self.nested = nested
        self.asked = None
        self.silent_until = 0
        self.source_port = 20000
        self.addresses = socket.inet_aton(network.GATEWAY), socket.inet_aton(network.GUEST_ADDRESS)
        self.socket = None
        self.queue_length = ""
        self.frames = 0  # of IPv4, that the guest sent

    def __enter__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.bind((wire.TAP, 0x0800))
        self.asked = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        self.asked.bind((wire.TAP, 0x0806))
        if not self.nested:
            self.queue_length = set_queue_length(SHORT_QUEUE)
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.asked.close()
        if not self.nested:
            set_queue_length(self.queue_length)

    def send(self):
        """One SYN, from a port of its own, unless the guest has just asked for our address."""
        if time.monotonic() < self.silent_until:
            return
        self.source_port = 20000 + (self.source_port - 19999) % 40000
        segment = packets.tcp((self.source_port, self.port), (self.source_port, 0), 0x02)
        ours = self.socket.getsockname()[4]
        with contextlib.suppress(OSError):  # the queue is full: the guest does not receive yet
            self.socket.send(MAC + ours + b"\x08\x00" + packets.ipv4(*self.addresses, packets.TCP, segment))

    def note_question(self, frame):
        """An ARP frame: a request of the guest's for our address?"""
        if frame[6:12] == MAC and frame[20:22] == b"\x00\x01" and frame[38:42] == self.addresses[0]:
            self.silent_until = time.monotonic() + SILENT_SECONDS

    def answered(self, seconds):
        """Whether a SYN's answer, SYN-ACK or RST, comes within this time."""
        end = time.monotonic() + seconds
        while ready := select.select([self.socket, self.asked], [], [], max(0, end - time.monotonic()))[0]:
            if self.asked in ready:
                self.note_question(self.asked.recv(2048))
            if self.socket not in ready:
                continue
            frame = self.socket.recv(2048)
            self.frames += frame[6:12] == MAC
            tcp = 14 + (frame[14] & 15) * 4
            if frame[26:30] == self.addresses[1] and frame[23] == socket.IPPROTO_TCP and frame[tcp + 13] & 0x14:
                return True
        return False


@contextlib.contextmanager
def short_inner_queue(host):
    """The same for the interface in the nested host, where there is one."""
    if not host:
        yield
        return
    queue = f"/sys/class/net/{host.interface('tap:' + wire.TAP)}/tx_queue_len"
    before = host.call(f"cat {queue}; echo {SHORT_QUEUE} >{queue}").strip()
    try:
        yield
    finally:
        host.call(f"echo {before} >{queue}")


def set_queue_length(length):
    """Sets how many frames wait for the guest; returns the number before."""
    shown = subprocess.run(["ip", "link", "show", wire.TAP], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run(["ip", "link", "set", wire.TAP, "txqueuelen", str(length)], check=True)
    return shown[shown.index("qlen") + 1]


def boot_first_syn(bench, system):
    """Entry to the first SYN that is answered."""
    if bench.wire.kind != "tap":
        raise model.MeasurementError("the first answered SYN can only be seen on a tap; the valid network is --net tap")
    with Prober(REDIS_PORT, bench.host is not None) as prober, stopped(bench, system, "redis") as guest, short_inner_queue(bench.host):
        trace = bench.host and kvm_trace.Trace(bench.host)
        if trace:
            trace.start()
        entry = release(bench, guest)
        prober.send()
        while not prober.answered(PERIOD):
            check(guest, entry)
            prober.send()
        return traced_sample(guest, trace, prober.frames) if trace else sample(bench, guest, entry)


def traced_sample(guest, trace, frames):
    """What the nested host saw from the guest's first entry to its IPv4 frame of this number, the answer."""
    guest.machine.monitor.ask("stop")
    record = trace.read()
    with open(guest.options.log + ".exits", "w", encoding="ascii") as file:
        file.write(record.text())
    if len(record.frames) < frames:
        raise model.MeasurementError(f"the guest sent {frames} IPv4 frames, of which the nested host's trace has {len(record.frames)}")
    answer = record.frames[frames - 1]
    exits, notes = record.until(answer)
    seconds = answer - record.entry
    return model.Sample(model.Load(operations=1, seconds=seconds, rate=seconds * 1000, notes=notes), exits=exits)


# ---- redis ----


def redis_command(stream, *words):
    """The answer to a command: a line, or the value that a line announces."""
    stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    stream.flush()
    line = stream.readline()
    if line.startswith(b"$") and line[1:2] != b"-":
        return stream.read(int(line[1:]) + 2)[:-2]
    return line.strip()


def connected(guest, seconds):
    """A connection to redis, or None."""
    try:
        return socket.create_connection((guest.host, guest.ports[REDIS_PORT]), timeout=seconds)
    except OSError:
        return None


def pong(guest):
    """Whether redis answers PING."""
    connection = connected(guest, 0.05)
    if not connection:
        return False
    with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError, ValueError):
        connection.settimeout(5)
        return redis_command(stream, b"PING") == b"+PONG"
    return False


def boot_redis_pong(bench, system):
    """Entry to redis' first PONG."""
    with stopped(bench, system, "redis") as guest:
        entry = release(bench, guest)
        while not pong(guest):
            check(guest, entry)
            time.sleep(PERIOD)
        return sample(bench, guest, entry)


# ---- memory ----

SIZES_MIB = (*range(16, 32), *range(32, 64, 4), *range(64, 128, 8), *range(128, 513, 32))
KEYS, VALUE = 200, b"0123456789abcdef" * 32
SERVE_SECONDS = 30
ROOMY_MIB = 512
smallest_known = {}  # system -> index in SIZES_MIB, from an earlier repetition


def stores_values(guest):
    """Whether redis gives back what it was given."""
    connection = connected(guest, 5)
    if not connection:
        return False
    with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError, ValueError):
        connection.settimeout(10)
        keys = [b"key:%d" % number for number in range(KEYS)]
        return (all(redis_command(stream, b"SET", key, VALUE + key) == b"+OK" for key in keys) and
                all(redis_command(stream, b"GET", key) == VALUE + key for key in keys))
    return False


def compressed(path):
    """The archive as gzip compresses it, made once."""
    output = path + ".gz"
    if not os.path.exists(output):
        with open(path, "rb") as file, open(output + ".new", "wb") as out:
            out.write(gzip.compress(file.read()))
        os.replace(output + ".new", output)
    return output


def small_guest(bench, system, mib):
    """A guest with so much memory and what helps a kernel to do with it.

    For both the archive lies directly behind the kernel, so that what is free is in one piece. Linux unpacks its
    archive, so it gets a compressed one, and a root without the limit of half of the memory; when it panics it ends.
    """
    guest = bench.guest(system, "redis-server", memory=f"{mib}M", append="rootfstype=ramfs panic=-1" if system == "linux" else "")
    guest.options.behind_kernel = True
    if system == "linux":
        guest.options.image = compressed(guest.options.image)
    return guest


def peak_in(bench, system, mib):
    """Bytes of guest memory touched when redis serves in so much memory; 0 when it does not serve."""
    try:
        with small_guest(bench, system, mib) as guest:
            started = time.monotonic()
            while not pong(guest):
                check(guest, started, SERVE_SECONDS)
                time.sleep(0.05)
            return guest.memory_peak() if stores_values(guest) else 0
    except (model.MeasurementError, machine.MachineError):
        return 0


def smallest(peak, known):
    """Index of the first of SIZES_MIB for which peak(index) is not 0: the known one if it still is, or by bisection."""
    if known is not None and peak(known) and (known == 0 or not peak(known - 1)):
        return known
    fails, serves = -1, len(SIZES_MIB) - 1
    if not peak(serves):
        raise model.MeasurementError(f"redis is not served in {SIZES_MIB[serves]} MiB either")
    while serves - fails > 1:
        middle = (fails + serves) // 2
        if peak(middle):
            serves = middle
        else:
            fails = middle
    return serves


def memory_redis(bench, system):
    """The smallest memory in which redis serves."""
    peaks = {}

    def peak(index):
        if index not in peaks:
            peaks[index] = peak_in(bench, system, SIZES_MIB[index])
        return peaks[index]

    found = smallest_known[system] = smallest(peak, smallest_known.get(system))
    return model.Sample(model.Load(operations=1, seconds=1, rate=SIZES_MIB[found]), None, peaks[found])


def kib_in_use(system, console, memory_mib):
    """What a kernel says is in use before the program; the files of the initial root are not counted, or None."""
    if system == "hartloop":
        found = re.search(r"(\d+) KiB in use before the first program", console)
        return found and int(found[1])
    found = re.search(r"linux-init: memory free (\d+) kB, of files (\d+) kB", console)
    return found and memory_mib * 1024 - int(found[1]) - int(found[2])


def memory_before_program(bench, system):
    """Memory in use when the first program is about to run, by the kernel's own account; Linux's script runs already."""
    with bench.guest(system, "bench", memory=f"{ROOMY_MIB}M", append="log=3" if system == "hartloop" else "") as guest:
        guest.wait("bench: serving")
        used = kib_in_use(system, guest.machine.console(), ROOMY_MIB)
        if not used:
            raise model.MeasurementError(f"{system} did not say what memory is in use (console: {guest.options.log})")
        return model.Sample(model.Load(operations=1, seconds=1, rate=used / 1024), None, guest.memory_peak())


def case(name, title, image, operation, unit, standalone, *bars, kvm_bars=()):
    """A case of this family: less is better in all."""
    return model.Case(name=name, title=title, group="boot", image=image, operation=operation, unit=unit, lower_is_better=True,
                      standalone=standalone, bars=bars, kvm_bars=kvm_bars)


CASES = (
    case("boot-first-syn", "kernel entry to the first answered SYN", "redis", "boot", "ms", boot_first_syn,
         model.Bar("rate", "<=", 30), model.Bar("total", "<=", 10e6),
         kvm_bars=(model.Bar("exits_ratio", "<=", 1 / 50), model.Bar("ratio", "<=", 1 / 50))),
    case("boot-redis-pong", "kernel entry to redis' first PONG", "redis", "boot", "ms", boot_redis_pong,
         model.Bar("total", "<=", 45e6)),
    case("memory-redis", "smallest memory in which redis-server stores and returns 200 values", "redis-server", "machine", "MiB",
         memory_redis, model.Bar("rate", "<=", 20)),
    case("memory-before-program", "memory in use before the first program, of 512 MiB, the archive's files not counted", "bench",
         "machine", "MiB", memory_before_program, model.Bar("rate", "<=", 4)),
)
