"""hl run, hl boot and hl images: builds what is to run and runs it in a virtual machine."""

import argparse
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian  # noqa: E402
import machine  # noqa: E402
import mkimage  # noqa: E402
import network  # noqa: E402
import setup  # noqa: E402

REPOSITORY = setup.REPOSITORY
KEPT_LOGS = 20


class UsageError(Exception):
    """The command line is wrong; the text says how."""


class BuildError(Exception):
    """What is to run can't be built."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors name the valid options."""

    def error(self, message):
        options = sorted({text for action in self._actions for text in action.option_strings if text.startswith("--")})
        raise UsageError(f"{message}\nvalid options: {' '.join(options)}")


def say(text):
    """Words of the launcher itself go to standard error; standard output is the guest's console."""
    print("hl: " + text, file=sys.stderr, flush=True)


def named_images():
    """The table of guests/images/images.bzl."""
    with open(os.path.join(REPOSITORY, "guests/images/images.bzl"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "NAMED_IMAGES":
            return ast.literal_eval(node.value)
    raise UsageError("guests/images/images.bzl holds no NAMED_IMAGES")


def host_ports(image):
    """Where a named image's ports are forwarded from: guest port -> port here."""
    return {port: image.get("host_ports", {}).get(port, port) for port in image["ports"]}


def option_parser(command):
    """The options shared by run and boot."""
    behind = "IMAGE [options] [-- PROGRAM ARGS]" if command == "run" else "DIR [options] -- PROGRAM ARGS"
    parser = Parser(prog="hl " + command, usage=f"hl {command} {behind}", add_help=True, allow_abbrev=False)
    if command == "run":
        parser.add_argument("image", metavar="IMAGE", help="a named image; `hl images` lists them")
    else:
        parser.add_argument("directory", metavar="DIR", help="a directory that becomes the guest's root")
    parser.add_argument("--accel", choices=["tcg", "kvm"], default="tcg", help="default: tcg")
    parser.add_argument("--harts", type=int, default=1, metavar="N", help="harts of the machine, 1 to 8; default: 1")
    parser.add_argument("--mem", default="256M", metavar="SIZE", help="memory, such as 64M or 4G; default: 256M")
    parser.add_argument("--net", default="user", metavar="NET", help=network.KINDS + "; default: user")
    parser.add_argument("--forward", action="append", default=[], metavar="HOSTPORT:GUESTPORT",
                        help="forward 127.0.0.1:HOSTPORT, TCP and UDP, to the guest (--net user); repeatable")
    parser.add_argument("--ip", default="", metavar="ADDR/LEN,GATEWAY|dhcp", help=f"default: {network.DEFAULT_IP}")
    parser.add_argument("--transport", choices=["mmio", "pci"], default="mmio", help="of the virtio devices; default: mmio")
    parser.add_argument("--aia", choices=["plic", "aia"], default="plic",
                        help="interrupt controller: PLIC, or APLIC with IMSIC; default: plic")
    parser.add_argument("--vhost", choices=["on", "off"], default="on",
                        help="in the nested host of --accel kvm, whether its kernel serves the network card; default: on")
    parser.add_argument("--append", default="", metavar="TEXT", help="more options on the kernel's command line")
    parser.add_argument("--gdb", action="store_true", help="wait for gdb on 127.0.0.1:1234")
    parser.add_argument("--log", default="", metavar="FILE", help="keep the console's output here")
    parser.add_argument("--timeout", type=float, default=0, metavar="SECONDS", help="stop a guest that still runs then")
    return parser


def check_writable(path):
    """Refuses a log that can't be written."""
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise UsageError(f"--log {path}: {error.strerror}") from error


def check(options):
    """Refuses values that argparse lets through."""
    if not 1 <= options.harts <= 8:
        raise UsageError(f"--harts {options.harts}: 1 to 8 are valid")
    if not re.fullmatch(r"\d+[KMGkmg]?", options.mem):
        raise UsageError(f"--mem {options.mem}: a number with M or G is valid, such as 256M")
    if options.timeout < 0:
        raise UsageError(f"--timeout {options.timeout:g}: seconds, 0 or more")
    if options.ip and options.ip != "dhcp" and not re.fullmatch(r"[\d.]+/\d+,[\d.]+", options.ip):
        raise UsageError(f"--ip {options.ip}: ADDR/LEN,GATEWAY or dhcp is valid")
    if options.gdb and options.accel == "kvm":
        raise UsageError("--gdb goes with --accel tcg only: of a guest under KVM QEMU gives the debugger neither registers, memory nor breakpoints")
    network.check_kind(options.net)
    if options.log:
        check_writable(options.log)


def parse(command, words):
    """(options, program and its arguments) of a command line."""
    program = []
    if "--" in words:
        at = words.index("--")
        words, program = words[:at], words[at + 1:]
        if not program:
            raise UsageError("there is no program behind --")
    options = option_parser(command).parse_args(words)
    check(options)
    return options, program


def forwards(options, ports):
    """The image's own ports (guest port -> port here), unless --forward sends others to them."""
    chosen = [network.parse_forward(text) for text in options.forward]
    if options.net == "user":
        taken = {guest for _, guest in chosen}
        chosen += [(host, guest) for guest, host in ports.items() if guest not in taken]
    return chosen


def bazel_build(*targets):
    """Builds targets; shows how far it is every few seconds, and everything when it fails."""
    command = ["bazel", "build", "--show_progress", "--show_progress_rate_limit=5", "--curses=no", "--color=no",
               "--ui_event_filters=-info,-debug", "--show_result=0", *targets]
    output = []
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as bazel:
        for line in bazel.stdout:
            progress = re.match(r"\[([\d,]+) / ([\d,]+)\]", line)
            if not progress:
                output.append(line)
            elif progress[1] != "0":
                say(f"building, {progress[1]} of {progress[2]} steps done")
    if bazel.returncode != 0:
        sys.stderr.writelines(output)
        raise BuildError("the build failed")


def make(options, *targets):
    """Sets up and builds the kernel, what it is to run, and the nested host if that is to be used."""
    nested = options.accel == "kvm" and not machine.kvm_is_here()
    setup.ensure(quiet=True, nested=nested)
    bazel_build("//:hartloop", *targets, *(["//tools:nested_host"] if nested else []))


def log_path(options, name):
    """The console log: --log, or a new file in the cache, of which the newest are kept."""
    if options.log:
        return os.path.abspath(options.log)
    directory = os.path.join(setup.cache_directory(), "logs")
    os.makedirs(directory, exist_ok=True)
    logs = sorted((os.path.join(directory, file) for file in os.listdir(directory)), key=os.path.getmtime)
    for old in logs[:-KEPT_LOGS]:
        os.remove(old)
    return os.path.join(directory, f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log")


def start(options, image, program, environment, ports, connect):
    """Runs the machine to its end; the launcher's exit status."""
    name = os.path.splitext(os.path.basename(image))[0]
    settings = machine.Options(
        kernel=os.path.join(REPOSITORY, "bazel-bin/hartloop.elf"), image=image, program=program,
        environment=environment, accel=options.accel, harts=options.harts, memory=options.mem, net=options.net,
        forwards=forwards(options, ports), ip=options.ip, transport=options.transport,
        aia=options.aia, vhost=options.vhost == "on", append=options.append,
        gdb="tcp:127.0.0.1:1234" if options.gdb else "", log=log_path(options, name), timeout=options.timeout)
    with machine.Machine(settings, say) as running:
        for host, guest in settings.forwards:
            say(f"127.0.0.1:{host} is forwarded to port {guest} of the guest")
        if connect and settings.forwards and program[0] in connect[0]:
            say("connect with: " + connect[1].format(PORT=next(host for host, guest in settings.forwards if guest in ports)))
        if options.net.startswith("tap:"):
            say(f"the guest is {options.ip or network.DEFAULT_IP} on {options.net[4:]}")
        if options.gdb:
            say("waiting for gdb: gdb-multiarch bazel-bin/hartloop.elf -ex 'target remote 127.0.0.1:1234'")
        say("Ctrl-C stops the machine")
        outcome = running.run()
        output = running.console()
    if output and not output.endswith("\n"):
        print(file=sys.stderr)
    if outcome.kind == "timeout" and os.path.exists(settings.log + ".harts"):
        say(f"what its harts did then is in {settings.log}.harts")
    if outcome.kind != "exit" or outcome.status != 0:
        say(f"{outcome.detail}; the console's log is {settings.log}")
    return outcome.status


def run(words):
    """hl run IMAGE"""
    images = named_images()
    options, program = parse("run", words)
    if options.image not in images:
        raise UsageError(f"unknown image '{options.image}'; the valid ones are {' '.join(sorted(images))}")
    image = images[options.image]
    ports = host_ports(image)
    network.check_forwards(forwards(options, ports))
    make(options, "//guests/images:" + options.image)
    return start(options, os.path.join(REPOSITORY, f"bazel-bin/guests/images/{options.image}.cpio"),
                 program or [image["program"], *image["args"]], image["env"], ports,
                 ([image["program"]], image["connect"]))


def boot(words):
    """hl boot DIR -- PROGRAM ARGS"""
    options, program = parse("boot", words)
    if not program:
        raise UsageError("hl boot DIR [options] -- PROGRAM ARGS: the program is missing")
    if not os.path.isdir(options.directory):
        raise UsageError(f"{options.directory} is not a directory")
    files = mkimage.read_tree(options.directory)
    mkimage.add_frame(files)
    if mkimage.resolve(files, program[0].lstrip("/")) is None:
        raise UsageError(f"{options.directory} holds no {program[0]}")
    network.check_forwards(forwards(options, {}))
    make(options)
    directory = tempfile.mkdtemp(prefix="hl-boot-")
    try:
        image = os.path.join(directory, "boot.cpio")
        mkimage.write(files, image)
        return start(options, image, program, [], {}, None)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def list_images(words):
    """hl images"""
    if words:
        raise UsageError(f"hl images takes no arguments, such as '{words[0]}'")
    images = named_images()
    width = max(map(len, images))
    for name, image in sorted(images.items()):
        ports = ",".join(str(guest) if host == guest else f"{host}:{guest}" for guest, host in host_ports(image).items()) or "-"
        print(f"{name:{width}}  port {ports:7} {image['summary']}")
    return 0


def interrupt(_number, _frame):
    """A signal that asks hl to end stops the machine too, as Ctrl-C does."""
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, interrupt)
    commands = {"run": run, "boot": boot, "images": list_images}
    try:
        return commands[sys.argv[1]](sys.argv[2:])
    except (UsageError, network.NetworkError, machine.MachineError, mkimage.ImageError) as error:
        say("error: " + str(error))
        return machine.STATUS_USAGE
    except (BuildError, debian.SetupError) as error:
        say("error: " + str(error))
        return machine.STATUS_DEAD
    except OSError as error:  # of files of the launcher's own: a full disk, a cache that can't be written
        say(f"error: {error.filename or error}: {error.strerror}")
        return machine.STATUS_DEAD
    except KeyboardInterrupt:
        say("interrupted")
        return machine.STATUS_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
