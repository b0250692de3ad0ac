"""What a measurement is made of: cases, what a load generator saw, and the figures that are kept.

A *case* is one thing measured: an image, how to load it, what an operation is. A *system* is one of
SYSTEMS. The runner (runner.py) boots a system, prepares and drives cases, and keeps one Sample per
run. Everything a report shows is in Results, which is also the JSON file.
"""

import dataclasses

SYSTEMS = ("hartloop", "linux")
PERCENTILES = ("p50", "p99", "p99.9")


class MeasurementError(Exception):
    """A guest or a load generator did not do its work; the text says which."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a running guest is reached, and what a case may know of it."""

    system: str
    host: str
    ports: dict  # guest port -> port to connect to at host
    console: object  # callable: the console's text so far
    read_counters: object  # callable: Counters, or None outside counted runs
    pid: int  # QEMU's
    read_exits: object = None  # callable: Exits, or None where KVM's are not to be had


@dataclasses.dataclass
class Load:
    """What one run of a load generator did. `operations` were done in `seconds`."""

    operations: float
    seconds: float
    latency_us: dict = dataclasses.field(default_factory=dict)  # of PERCENTILES, those that are known
    histogram_us: list = dataclasses.field(default_factory=list)  # [upper bound, count], where the generator tells
    rate: float = 0  # in the case's unit; 0: operations / seconds
    notes: dict = dataclasses.field(default_factory=dict)  # anything else that is worth keeping, by name


@dataclasses.dataclass
class Counters:
    """Guest instructions by class and the device's doorbells and interrupts, since the start."""

    user: int = 0
    kernel: int = 0
    firmware: int = 0
    kicks: int = 0
    interrupts: int = 0

    def minus(self, before):
        """What was counted since `before`."""
        return type(self)(*(after - then for after, then in zip(dataclasses.astuple(self), dataclasses.astuple(before))))


@dataclasses.dataclass
class Exits:
    """What KVM left the guest for, since the start: in all, to its VMM, for a WFI, for device memory."""

    exits: int = 0
    user_exits: int = 0
    wfi_exits: int = 0
    mmio_exits: int = 0

    minus = Counters.minus


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing that is measured.

    name: what the command line takes, e.g. redis-get-50; group: cases of a group and an image share
    a boot. drive(target, seconds) -> Load does about `seconds` of work, its warm-up included in what
    is counted. prepare(target), when given, does before what is not measured. A case with `standalone`
    boots its guests itself: standalone(bench, system) -> Sample.
    """

    name: str
    title: str
    group: str
    image: str  # of //guests/images
    operation: str  # request, MiB, packet, connection, call, ...
    unit: str  # of the rate: requests/s, Mbit/s, packets/s, ...
    drive: object = None
    prepare: object = None
    standalone: object = None
    ready: str = ""  # text of the console that says that the program serves; "" : the first port answers
    hello: bytes = b""  # what it answers to there; b"": it keeps a connection
    tap_only: bool = False  # it takes more connections than user networking carries
    args: tuple = ()  # of the program, instead of the image's
    memory: str = "512M"
    lower_is_better: bool = False  # of the rate: a case whose figure is a cost or a time
    tools: tuple = ()  # host programs that it needs
    bars: tuple = ()  # of Bar
    kvm_bars: tuple = ()  # of Bar, instead of these with --accel kvm; a case without any is measured there when it is named
    # Its place in a plot: ("message bytes" or "idle connections", the line's name, x); ("message bytes", "ping-pong", 64)
    curve: tuple = ()


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a figure must reach: `figure` <= or >= `limit`.

    figure: kernel (instructions per operation), total (user and kernel), exits (of KVM, per operation), rate, ratio
    (of the rate to Linux's), p99_ratio (of Hartloop's p99 to Linux's), exits_ratio (of Hartloop's to Linux's), or the
    name of a note.
    """

    figure: str
    relation: str  # "<=" or ">="
    limit: float


@dataclasses.dataclass
class Sample:
    """One run of one case on one system."""

    load: Load
    counters: Counters = None  # of a counted run, for all of load.operations
    memory_peak_bytes: int = 0  # of guest memory the guest ever touched, as the host sees it
    exits: Exits = None  # under KVM, for all of load.operations
    causes: dict = dataclasses.field(default_factory=dict)  # of kvm_trace.KINDS: exits per operation, of a load of their own


@dataclasses.dataclass
class Results:
    """All figures of a run: samples[case][system] and counted[case][system] are lists of Sample."""

    conditions: dict  # versions, host, options: name -> text
    samples: dict
    counted: dict
    errors: dict  # case -> {system: text}
