"""Runs cases on the systems in turn and keeps what was measured.

First the rates: `reps` rounds, in each of which every system is booted for each set of cases that share a
boot, one after the other (A B A B), without any instrument. Then the counts: one round under the plugin and
QEMU's event trace (counters.py). Nothing is measured in one phase that the other one disturbs.
"""

import contextlib
import dataclasses
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time

import counters
import kvm_trace
import machine
import nested
import network
from model import MeasurementError, Results, Sample, Target

READY_SECONDS = 180
SETTLE_SECONDS = 0.5
WARM_SECONDS = 2
FAILURES = (MeasurementError, machine.MachineError, nested.NestedError, network.NetworkError, OSError, subprocess.SubprocessError, ValueError, KeyError,
            ArithmeticError)


def say(text):
    """Progress goes to standard error."""
    print(text, file=sys.stderr, flush=True)


class Cores:
    """Which processors run what: the harts the last ones, load generators and the rest of QEMU the others."""

    def __init__(self, harts, wanted=True):
        there = sorted(os.sched_getaffinity(0))
        self.harts = self.others = ()
        if wanted and len(there) > harts:
            self.harts, self.others = there[-harts:], there[:-harts]
            os.sched_setaffinity(0, self.others)

    def pin(self, running):
        """Moves the harts of a machine that was just started."""
        for thread, core in zip(running.hart_threads() if self.harts else (), self.harts):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, {core})

    def describe(self):
        """One line for the report."""
        if not self.harts:
            return "not pinned"
        return f"harts on {list(self.harts)}, load generators and QEMU's other threads on {list(self.others)}"


def pin_nested(running):
    """Moves the hart of a machine in the nested host to that host's second one, and interrupts and all else of its QEMU to the first."""
    harts = running.hart_threads()
    if not harts:
        raise MeasurementError("QEMU in the nested host does not say which threads run the guest's harts")
    running.host.call("for irq in /proc/irq/*/smp_affinity; do echo 1 2>/dev/null >$irq; done; "
                      "for task in /proc/$(pidof qemu-system-riscv64)/task/*; do taskset -p 1 ${task##*/}; done; " +
                      " && ".join(f"taskset -p 2 {task}" for task in harts))


def answers(host, port, hello):
    """Whether a server answers to `hello`, or, without one, keeps a connection.

    User networking accepts for a guest that does not listen, and resets after a while: the answer is the surer sign.
    """
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(hello)
            connection.settimeout(2 if hello else 0.3)
            return connection.recv(1) != b""
    except TimeoutError:
        return not hello
    except OSError:
        return False


class Guest:
    """A machine that runs a system; a context manager. `target` is what cases are given."""

    def __init__(self, bench, system, options, ports, counted, ranges):
        self.bench = bench
        self.system = system
        options.net, options.forwards, self.host, self.ports = bench.wire.attach(ports)
        self.witness = None
        self.huge_pages = not counted
        if counted:
            self.witness = bench.witness(bench.opponents.plugin, bench.directory, ranges)
            options.qemu = [*options.qemu, *self.witness.arguments]
        options.host = bench.host
        self.options = options
        self.machine = None
        self.target = None

    def __enter__(self):
        counters.whole_pages(self.huge_pages)
        try:
            self.machine = machine.Machine(self.options, say)
        finally:
            counters.whole_pages(True)
        if self.machine.host:
            pin_nested(self.machine)
        else:
            self.bench.cores.pin(self.machine)
        self.target = Target(self.system, self.host, self.ports, self.machine.console,
                             self.witness.read if self.witness else None, self.machine.process.pid,
                             self.read_exits if self.machine.host else None)
        return self

    def __exit__(self, *_):
        self.machine.stop()

    def serves(self, ready, hello):
        """Whether the console shows the text, or, without one, whether the first port answers."""
        if ready:
            return ready in self.machine.console()
        return answers(self.host, next(iter(self.ports.values())), hello)

    def wait(self, ready="", hello=b""):
        """Waits until the guest serves."""
        started = time.monotonic()
        while not self.serves(ready, hello):
            if not self.machine.running():
                raise MeasurementError(f"{self.system} ended before it served: {self.machine.wait().detail}")
            if time.monotonic() - started > READY_SECONDS:
                raise MeasurementError(f"{self.system} did not serve within {READY_SECONDS} s")
            time.sleep(0.1)
        time.sleep(SETTLE_SECONDS)

    def read_exits(self):
        """Exits since the machine was made."""
        return counters.exits(self.machine.host.exits())

    def memory_peak(self):
        """Bytes of memory that the guest ever touched; exact in counted runs, where the host gives it in single pages. 0: unknown."""
        if self.machine.host:
            return 0
        return counters.memory_peak(self.target.pid, self.options.memory)


@dataclasses.dataclass
class Plan:
    """What is to be done. count: whether the counted round is made, too."""

    cases: list
    systems: tuple
    reps: int
    seconds: float
    count: bool


class Progress:
    """How far a plan is."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.started = time.monotonic()

    def step(self, text):
        """One more measurement begins."""
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done)
            left = f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"
        self.done += 1
        say(f"[{self.done}/{self.total}{left}] {text}")


class Bench:
    """What measurements share. Standalone cases use guest(), counting and seconds.

    opponents: Opponents; wire: Wire; cores: Cores; logs: folder for the consoles' logs;
    directory: for what is needed only while it runs, a short path; counting: whether this is the counted phase.
    """

    def __init__(self, opponents, wire, cores, logs, seconds):
        self.opponents = opponents
        self.wire = wire
        self.cores = cores
        self.logs = logs
        self.seconds = seconds
        self.directory = opponents.directory
        self.counting = False
        self.witness = counters.Witness  # what counts then
        self.host = None  # the nested host of all guests, where there is one
        self.boots = itertools.count(1)
        os.makedirs(logs, exist_ok=True)

    def guest(self, system, image, args=(), memory="512M", append="", ranges=""):
        """A machine that is to be entered; counts when `counting`. ranges: a map for the plugin (counters.Witness)."""
        options = self.opponents.options(system, image, args, memory, append)
        options.log = os.path.join(self.logs, f"{next(self.boots):03}-{system}-{image}{'-counted' if self.counting else ''}.log")
        return Guest(self, system, options, self.opponents.manifest(image)["ports"], self.counting, ranges)

    @contextlib.contextmanager
    def nested_host(self):
        """Starts a nested host, on this wire, in which all guests run from now on."""
        with contextlib.ExitStack() as stack:
            kind = self.wire.attach([])[0]
            net = network.Network(kind, [], os.path.join(self.logs, "nested-host.passt"), say)
            stack.callback(net.stop)
            self.host = stack.enter_context(nested.Host(machine.qemu_binary(), [net], os.path.join(self.logs, "nested-host.log"), say))
            try:
                yield self.host
            finally:
                self.host = None

    @contextlib.contextmanager
    def boot(self, case, system, append="", ranges=""):
        """A guest that serves a case's program."""
        with self.guest(system, case.image, case.args, case.memory, append, ranges) as guest:
            try:
                guest.wait(case.ready, case.hello)
                yield guest
            except FAILURES as error:
                state = "" if guest.machine.running() else f"; the guest ended: {guest.machine.wait().detail}"
                raise MeasurementError(f"{error}{state} (console: {guest.options.log})") from error

    def drive(self, case, guest):
        """One run of a case in a guest that serves it."""
        if case.prepare:
            case.prepare(guest.target)
        if guest.target.read_exits and not case.standalone:
            case.drive(guest.target, WARM_SECONDS)  # the first touch of each page of the guest's memory is an exit
        before = guest.target.read_counters() if self.counting else None
        exits = guest.target.read_exits() if guest.target.read_exits else None
        load = case.drive(guest.target, self.seconds)
        exits = exits and guest.target.read_exits().minus(exits)
        if load.operations <= 0 or load.seconds <= 0:
            raise MeasurementError(f"{case.name}: nothing was done")
        load.rate = load.rate or load.operations / load.seconds
        if not self.counting:
            return Sample(load, exits=exits, causes=self.causes(case, guest))
        return Sample(load, guest.target.read_counters().minus(before), guest.memory_peak())

    def causes(self, case, guest):
        """Exits per operation by kind, under the same load once more: tracing costs each exit some time. Empty without a nested host."""
        if not self.host:
            return {}
        trace = kvm_trace.Trace(self.host)
        trace.start(kvm_trace.EXITS_ONLY)
        load = case.drive(guest.target, self.seconds)
        return {kind: count / load.operations for kind, count in trace.kinds().items()}

    def measure(self, case, system, append=""):
        """One run of a case in a machine of its own, standalone or not."""
        if case.standalone:
            return case.standalone(self, system)
        with self.boot(case, system, append) as guest:
            return self.drive(case, guest)


def boot_key(case):
    """Cases with the same key share a boot."""
    if case.standalone:
        return (case.name,)
    return (case.group, case.image, case.args, case.memory, case.ready, case.hello)


class Runner:
    """Carries a plan out; `results` holds what there is at any moment."""

    def __init__(self, bench, plan, conditions):
        self.bench = bench
        self.plan = plan
        names = [case.name for case in plan.cases]
        empty = [{name: {system: [] for system in plan.systems} for name in names} for _ in range(2)]
        self.results = Results(conditions, *empty, errors={})
        self.progress = Progress(len(names) * len(plan.systems) * (plan.reps + plan.count))

    def run(self):
        """All phases."""
        for number in range(1, self.plan.reps + 1):
            self._round(self.results.samples, f"rate {number}/{self.plan.reps}")
        if self.plan.count:
            self.bench.counting = True
            try:
                self._round(self.results.counted, "counted")
            finally:
                self.bench.counting = False

    def _round(self, kept, phase):
        """Every case once on every system."""
        sets = {}
        for case in self.plan.cases:
            sets.setdefault(boot_key(case), []).append(case)
        for cases in sets.values():
            for system in self.plan.systems:
                left = list(cases)
                while left:
                    left = self._boot(left, system, kept, phase)

    def _boot(self, cases, system, kept, phase):
        """Measures cases in one boot; returns those that are left after one failed. A guest that never serves fails them all."""
        left = list(cases)
        self.progress.step(f"{left[0].name} {system} {phase}")
        served = False
        try:
            if cases[0].standalone:
                self._keep(kept, cases[0], system, cases[0].standalone(self.bench, system))
                return []
            with self.bench.boot(cases[0], system) as guest:
                served = True
                while True:
                    self._keep(kept, left[0], system, self.bench.drive(left[0], guest))
                    left.pop(0)
                    if not left:
                        return left
                    self.progress.step(f"{left[0].name} {system} {phase}")
        except FAILURES as error:
            failed = left[:1] if served else left
            for number, case in enumerate(failed):
                if number:
                    self.progress.step(f"{case.name} {system} {phase}")
                text = f"{phase}: {error if str(error) else type(error).__name__}"
                say(f"    {case.name} {system} FAILED: {text}")
                self.results.errors.setdefault(case.name, {})[system] = text
            return left[len(failed):]

    @staticmethod
    def _keep(kept, case, system, sample):
        """Keeps a sample and says what it is."""
        kept[case.name][system].append(sample)
        words = [f"{sample.load.rate:,.1f} {case.unit}"]
        if sample.load.latency_us:
            words.append(" ".join(f"{name} {value:,.0f}" for name, value in sample.load.latency_us.items()) + " µs")
        if sample.counters:
            parts = {name: value / sample.load.operations for name, value in dataclasses.asdict(sample.counters).items()}
            words = [f"per {case.operation}: " + ", ".join(f"{name} {value:,.{0 if value >= 100 else 2}f}" for name, value in parts.items())]
        if sample.exits:
            words.append(f"{sample.exits.exits / sample.load.operations:,.3g} exits per {case.operation}")
        if sample.causes:
            words.append("traced: " + ", ".join(f"{kind} {value:,.3g}" for kind, value in sample.causes.items() if value))
        say("    " + "; ".join(words))


def scratch():
    """A folder for what is needed only while a run lasts; a context manager. Short, for the sake of sockets in it."""
    return tempfile.TemporaryDirectory(prefix="hl-perf-", dir="/tmp")
