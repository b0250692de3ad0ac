#!/usr/bin/python3
"""hl perf: Hartloop beside a Linux guest that runs the same programs on the same machine, in one run.

Every system is booted in turn for each set of cases, without instruments for the rates and then once more
under instruments that count. Results, reports and logs go into a folder of their own.
"""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import bars  # noqa: E402
import cases  # noqa: E402
import debian  # noqa: E402
import launch  # noqa: E402
import machine  # noqa: E402
import mkimage  # noqa: E402
import network  # noqa: E402
import opponents  # noqa: E402
import runner  # noqa: E402
import setup  # noqa: E402
import smoke  # noqa: E402
import wire  # noqa: E402
from model import SYSTEMS, MeasurementError  # noqa: E402

RESULTS = "perf-results"
STARTED = "HARTLOOP_PERF_OUT"  # the folder of results, once chosen


def parser():
    """The command line."""
    found = launch.Parser(prog="hl perf", description=__doc__, allow_abbrev=False)
    found.add_argument("cases", nargs="*", metavar="CASE", help="a case, a group or a pattern; --list names them; default: all")
    found.add_argument("--accel", choices=["tcg", "kvm"], default="tcg", help="how the machines run; default: tcg")
    found.add_argument("--aia", choices=["plic", "aia"],
                       help="interrupt controller: PLIC with virtio-mmio, or APLIC and IMSIC with virtio-pci; default: plic, with kvm aia")
    found.add_argument("--against", choices=["linux", "none"], default="linux", help="default: linux")
    found.add_argument("--reps", type=int, default=3, metavar="N", help="rounds without instruments; default: 3; 0: only count")
    found.add_argument("--seconds", type=float, default=2, metavar="S", help="of load, in each run of a case; default: 2")
    found.add_argument("--net", choices=wire.KINDS, default=wire.default_kind(), help="default: tap as root, else user")
    found.add_argument("--out", metavar="DIR", help=f"folder of results; default: a new one in {RESULTS}/ of the repository")
    found.add_argument("--no-count", action="store_true", help="leave out the round that counts instructions")
    found.add_argument("--list", action="store_true", help="name the cases")
    found.add_argument("--ablate", action="store_true", help="switch each mechanism off in turn and say what it is worth")
    found.add_argument("--profile", action="store_true", help="where the kernel's instructions go, by function")
    found.add_argument("--system", choices=SYSTEMS, help="of --profile: only this one")
    found.add_argument("--baseline", action="store_true", help="count what bazel test //perf:smoke checks, and write perf/baseline.json")
    return found


def check(options):
    """Refuses what argparse lets through."""
    if not 0 <= options.reps <= 100:
        raise launch.UsageError(f"--reps {options.reps}: 0 to 100 are valid")
    if not 0.1 <= options.seconds <= 600:
        raise launch.UsageError(f"--seconds {options.seconds:g}: 0.1 to 600 are valid")
    if options.reps == 0 and options.no_count:
        raise launch.UsageError("--reps 0 with --no-count leaves nothing to measure")
    if options.net == "tap" and os.geteuid() != 0:
        raise launch.UsageError("--net tap needs root, for a network namespace of its own; without root there is --net user")
    if options.system and not options.profile:
        raise launch.UsageError("--system belongs to --profile; with --against none only Hartloop is measured")
    if options.accel == "kvm":
        if options.net != "tap":
            raise launch.UsageError("--accel kvm measures over --net tap, which needs root")
        for name in ("ablate", "profile"):
            if getattr(options, name):
                raise launch.UsageError(f"--{name} counts instructions, which only --accel tcg can")


def output_folder(options):
    """Where results go: chosen once, before the program starts itself again in a namespace."""
    path = os.environ.get(STARTED) or options.out or os.path.join(setup.REPOSITORY, RESULTS, time.strftime("%Y%m%d-%H%M%S"))
    path = os.path.abspath(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise launch.UsageError(f"--out {path}: {error.strerror}") from error
    os.environ[STARTED] = path
    return path


def is_nested(options):
    """Whether the guests run in a nested host."""
    return options.accel == "kvm" and not machine.kvm_is_here()


def prepare(chosen, against, nested_host=False):
    """Installs, fetches and builds what is missing."""
    setup.ensure(linux=against == "linux", nested=nested_host, quiet=True, perf=True)
    launch.bazel_build("//:hartloop", *(["//tools:nested_host"] if nested_host else []), "//perf/insn_count", "//perf/load:load_program",
                       *sorted({"//guests/images:" + case.image for case in chosen if case.image}))
    missing = opponents.missing_tools(chosen)
    if missing:
        raise MeasurementError("host programs are missing: " + " ".join(missing))


def raise_file_limit():
    """For tens of thousands of connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def conditions_of(options, bench, chosen):
    """What the report says about how figures were made."""
    found = bench.opponents.conditions(chosen)
    found["wire"] = bench.wire.describe()
    found["processors"] = bench.cores.describe()
    found["rounds"] = f"{options.reps}, of about {options.seconds:g} s of load per case; medians, lowest and highest"
    found["counted"] = "no" if options.no_count else "one more round, with perf/insn_count and QEMU's trace of virtqueue events"
    if options.accel == "kvm":
        found["counted"] = "exits, by KVM; instructions not: the plugin needs TCG"
    if bench.host:
        found["nested host"] = f"Linux {bench.host.call('uname -r').strip()} with KVM under {found['QEMU'].partition(',')[0]}'s TCG, " \
            "2 harts; the guest's card is a tap with vhost, bridged to the wire; inside: " + \
            bench.host.call("qemu-system-riscv64 --version").splitlines()[0]
    found["command"] = "hl perf " + " ".join(sys.argv[1:])
    return found


def compare(options, bench, chosen, folder):
    """Measures, writes the results and says how they stand; the exit status."""
    systems = SYSTEMS if options.against == "linux" else SYSTEMS[:1]
    plan = runner.Plan(chosen, systems, options.reps, options.seconds, not options.no_count and options.accel == "tcg")
    run = runner.Runner(bench, plan, conditions_of(options, bench, chosen))
    interrupted = False
    try:
        run.run()
    except KeyboardInterrupt:
        interrupted = True
        runner.say("interrupted: writing what there is")
    results = run.results
    path = os.path.join(folder, "results.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(results), file, indent=1)
    import report  # pylint: disable=import-outside-toplevel  # it needs matplotlib, which prepare() may have installed
    written = [path, *report.write(results, chosen, folder)]
    for verdict in bars.verdicts(results, chosen):
        reached = "-" if verdict.reached is None else f"{verdict.reached:,.2f}"
        print(f"{verdict.verdict:12}  {verdict.title}: {verdict.figure} {reached}, wanted {verdict.relation} {verdict.limit:,g}"
              + (f" ({verdict.detail})" if verdict.detail else ""))
    for name, by_system in results.errors.items():
        for system, text in by_system.items():
            print(f"FAILED: {name} {system}: {text}")
    print("written: " + " ".join(dict.fromkeys(written)))
    if interrupted:
        return machine.STATUS_INTERRUPTED
    return 1 if results.errors else 0


def measure(options, chosen, folder):
    """What is done in the namespace; the exit status."""
    raise_file_limit()
    cores = runner.Cores(1, wanted=not is_nested(options))
    systems = SYSTEMS if options.against == "linux" else SYSTEMS[:1]
    if options.system:
        systems = (options.system,)
    with runner.scratch() as directory:
        controller = options.aia or ("aia" if options.accel == "kvm" else "plic")
        shape = opponents.Machine(accel=options.accel, transport="pci" if controller == "aia" else "mmio", aia=controller)
        both = opponents.Opponents(systems, shape, directory)
        bench = runner.Bench(both, wire.Wire(options.net), cores, os.path.join(folder, "logs"), options.seconds)
        # These two are drawn in only when asked for.
        if options.profile:
            import hotspots  # pylint: disable=import-outside-toplevel
            return max(hotspots.profile(bench, case, folder) for case in chosen)
        if options.ablate:
            import ablation  # pylint: disable=import-outside-toplevel
            return max(ablation.run(bench, case, folder, options.reps, conditions_of(options, bench, [case])) for case in chosen)
        with bench.nested_host() if is_nested(options) else contextlib.nullcontext():
            return compare(options, bench, chosen, folder)


def write_baseline(options):
    """What --baseline does; the exit status."""
    if options.cases:
        raise launch.UsageError("--baseline takes no cases: it counts those of perf/smoke.py")
    prepare(cases.select(list(smoke.CHECKED)), "none")
    found = smoke.write_baseline(os.path.join(output_folder(options), "logs"))
    for case, figures in found.items():
        print(f"{case:28} " + ", ".join(f"{name} {value:,g}" for name, value in figures.items()))
    print(f"written: {smoke.BASELINE}")
    return 0


def for_wire(chosen, kind):
    """The cases that this kind of wire can carry; the others are named."""
    left_out = [case.name for case in chosen if case.tap_only and kind != "tap"]
    if left_out and wire.INSIDE not in os.environ:
        runner.say(f"left out, for they take --net tap: {' '.join(left_out)}")
    chosen = [case for case in chosen if case.name not in left_out]
    if not chosen:
        raise launch.UsageError("no case is left; --net tap, as root, carries all")
    return chosen


def for_kvm(chosen, named, controller):
    """The cases with their bars for KVM: those that have some, or all that were named. The number of exits is one of AIA's bars."""
    if not named:
        chosen = [case for case in chosen if case.kvm_bars]
    return [dataclasses.replace(case, bars=tuple(bar for bar in case.kvm_bars if controller != "plic" or bar.figure != "exits"))
            for case in chosen]


def main():
    options = parser().parse_args()
    if options.list:
        print(cases.table())
        return 0
    check(options)
    if options.baseline:
        return write_baseline(options)
    chosen = for_wire(cases.select(options.cases), options.net)
    if options.accel == "kvm":
        chosen = for_kvm(chosen, options.cases, options.aia)
    if (options.ablate or options.profile) and not options.cases:
        raise launch.UsageError("--ablate and --profile take the cases to look at: hl perf --profile CASE")
    if options.ablate:
        options.against = "none"  # it looks at Hartloop only
    folder = output_folder(options)
    if wire.INSIDE not in os.environ:
        prepare(chosen, options.system or options.against, is_nested(options))
        runner.say(f"results go to {folder}")
        if options.net == "tap":
            wire.enter_namespace()
    return measure(options, chosen, folder)


def interrupt(_number, _frame):
    """A signal that asks the program to end is like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main())
    except (launch.UsageError, cases.UnknownCase) as problem:
        runner.say(f"hl perf: {problem}")
        sys.exit(machine.STATUS_USAGE)
    except (launch.BuildError, debian.SetupError, machine.MachineError, mkimage.ImageError, network.NetworkError, MeasurementError) as problem:
        runner.say(f"hl perf: {problem}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(machine.STATUS_INTERRUPTED)
