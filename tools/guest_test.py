"""Runs a guest_test: boots the machine, runs the host's script, compares the end. Or many, in one nested host.

The argument is the JSON file that the rule writes. Prints what failed and the console. HL_TEST_APPEND in
the environment adds options to every kernel's command line (bazel test --test_env=HL_TEST_APPEND=...),
HL_TEST_ACCEL=kvm makes every machine one under KVM.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine  # noqa: E402
import nested  # noqa: E402
import network  # noqa: E402

# Lines of the kernel's own log, "[seconds] text".
KERNEL_LINE = re.compile(r"^\[ *\d+\.\d+\].*\n?", re.M)
GDB_SOCKET = "gdb.socket"  # in the test's working directory: a socket's path must be short
FIRMWARE_END = "Boot HART MEDELEG"
KVM_PATIENCE = 4  # by which time limits grow, since emulation comes in between


class Failure(Exception):
    """The test's verdict; the text says what was wrong."""


FAILURES = (Failure, machine.MachineError, nested.NestedError, network.NetworkError)


def kernel_output(console):
    """The console without what the firmware said before the kernel."""
    at = console.rfind(FIRMWARE_END)
    return console if at < 0 else console[console.find("\n", at) + 1:]


class Wires:
    """What this side's ends of the networks of tests are: the ports here that lead to a guest's, and the peer's two."""

    def __init__(self):
        self.ports = {}
        self.peer = (network.free_port(), network.free_port())

    def forwards(self, guest_ports):
        """Makes each port of the guest's be reached; the pairs for a network of the kind `user`."""
        for port in guest_ports:
            if str(port) not in self.ports:
                self.ports[str(port)] = network.free_port()
        return [(self.ports[str(port)], port) for port in guest_ports]

    def kind(self, net):
        """The value of --net for a test's `net`."""
        if net != "peer":
            return net
        own, guest = self.peer
        return ("dgram:remote.type=inet,remote.host=127.0.0.1,remote.port=%d,"
                "local.type=inet,local.host=127.0.0.1,local.port=%d" % (own, guest))


def load_manifest(spec):
    """What guest_image says of the test's image."""
    if not spec["manifest"]:
        return {"program": "/bin/test", "args": [], "env": [], "ports": []}
    with open(spec["manifest"], encoding="utf-8") as file:
        return json.load(file)


def guest_ports(spec):
    """The ports of the guest that must be reached."""
    return (spec["ports"] or load_manifest(spec)["ports"]) if spec["net"] == "user" else []


def make_options(spec, directory, wires, host):
    """The machine that the test asks for; host: a nested host to use, or None."""
    manifest = load_manifest(spec)
    program = [spec["program"] or manifest["program"]]
    program += spec["args"] if spec["override_args"] else ([] if spec["program"] else manifest["args"])
    return machine.Options(
        kernel=spec["kernel"], image=spec["image"], program=program, environment=manifest["env"] + spec["env"],
        harts=spec["harts"], memory=spec["memory"], net=wires.kind(spec["net"]), forwards=wires.forwards(guest_ports(spec)), ip=spec["ip"],
        accel=spec["accel"], aia=spec["aia"], vhost=spec["vhost"], host=host, device_tree=spec["device_tree"],
        transport=spec["transport"], cpu=spec["cpu"], counted_clock=spec["counted_clock"],
        append=f"{spec['append']} {os.environ.get('HL_TEST_APPEND', '')}".strip(),
        gdb=f"unix:{GDB_SOCKET},server=on,wait=off" if spec["gdb"] else "",
        log=os.path.join(directory, "console.log"), quiet=True)


def check_outcome(spec, outcome):
    """Compares how the machine ended with expect_exit."""
    expected = spec["expect_exit"]
    if outcome is None:
        raise Failure(f"the guest still runs after {spec['seconds']} s")
    if outcome.kind == "dead":
        raise Failure(outcome.detail)
    actual = "panic" if outcome.kind == "panic" else str(outcome.status)
    if expected and actual != expected:
        raise Failure(f"expected exit {expected}, but {outcome.detail}")


def check_output(spec, console):
    """Compares the console with expect_stdout."""
    output = kernel_output(console)
    for text in spec["expect_stdout"]:
        if text not in output:
            raise Failure(f"the console does not show {text!r}")
    if spec["expect_stdout_file"]:
        with open(spec["expect_stdout_file"], encoding="utf-8") as file:
            wanted = file.read()
        actual = KERNEL_LINE.sub("", output)
        if actual.strip() != wanted.strip():
            raise Failure(f"the console shows\n{actual}\ninstead of\n{wanted}")


def run_check_script(spec, console):
    """Gives what the program printed, the kernel's own log lines aside, to check_script; its output says what is wrong."""
    output = KERNEL_LINE.sub("", kernel_output(console))
    check = subprocess.run(["/usr/bin/python3", "-B", spec["check_script"], *spec["check_args"]], input=output, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if check.returncode != 0:
        raise Failure("the check of the output:\n" + check.stdout)
    print(check.stdout, end="")


def run_host_script(spec, running, wires, deadline):
    """Runs the host's half while the guest runs; stops early when the guest ends unexpectedly."""
    environment = dict(
        os.environ, HARTLOOP_PORTS=json.dumps(wires.ports), HARTLOOP_CONSOLE=running.options.log,
        HARTLOOP_PEER=json.dumps(wires.peer), HARTLOOP_GDB=GDB_SOCKET, HARTLOOP_KERNEL=spec["kernel"],
        HARTLOOP_DEADLINE=str(deadline), PYTHONDONTWRITEBYTECODE="1",
        PYTHONPATH=os.path.dirname(os.path.abspath(__file__)), PATH="/usr/bin:/bin:/usr/sbin:/sbin")
    script = subprocess.Popen(["/usr/bin/python3", spec["host_script"]], env=environment)
    try:
        while script.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"the host's script still runs after {spec['seconds']} s")
            if not running.running() and spec["expect_exit"]:
                check_outcome(spec, running.wait())  # as expected: the script may have something left to do
            elif not running.running():
                time.sleep(1)
                if script.poll() is None:
                    raise Failure("the guest ended while the host's script ran: " + running.wait().detail)
            time.sleep(0.02)
    finally:
        if script.poll() is None:
            script.kill()
            script.wait()
    if script.returncode != 0:
        raise Failure(f"the host's script failed (status {script.returncode})")


@contextlib.contextmanager
def rival(running):
    """A program that computes without end, on the one hart of the nested host on which those of the machine are, too."""
    job = running.host.start("; ".join(f"taskset -p 2 {thread} >/dev/null" for thread in running.hart_threads()) +
                             "; exec taskset 2 sh -c 'while :; do :; done'")
    try:
        yield
    finally:
        job.kill()


def say(text):
    """What the machine's parts have to say."""
    print("hl: " + text, flush=True)


def run(spec, directory, wires, host=None):
    """Runs the test; raises Failure."""
    options = make_options(spec, directory, wires, host)
    with machine.Machine(options, say) as running, rival(running) if spec["rival"] and running.host else contextlib.nullcontext():
        deadline = time.monotonic() + spec["seconds"]
        try:
            if spec["host_script"]:
                run_host_script(spec, running, wires, deadline)
            if spec["expect_exit"]:
                check_outcome(spec, running.wait(max(0.1, deadline - time.monotonic())))
            elif not running.running():
                outcome = running.wait()
                if outcome.kind in ("panic", "dead"):
                    raise Failure(outcome.detail)
            check_output(spec, running.console())
            if spec["check_script"]:
                run_check_script(spec, running.console())
        except Failure:
            if running.running():
                print("---- harts ----\n" + running.where())
            print("QEMU's command line:\n  " + " ".join(running.command))
            print("---- console ----\n" + running.console() + "\n---- end of the console ----")
            raise


def load(path, changes):
    """A test's description, with some of it replaced."""
    with open(path, encoding="utf-8") as file:
        spec = {**json.load(file), **changes}
    if spec["accel"] == "kvm" and not machine.kvm_is_here():
        spec["seconds"] *= KVM_PATIENCE
    return spec


class SharedHost:
    """The nested host of a suite, started when it is first wanted, and again after it has died."""

    def __init__(self, specs, wires, directory):
        self.log = os.path.join(directory, "nested.log")
        ports = sorted({port for spec in specs for port in guest_ports(spec)})
        self.kinds = [(wires.kind("user"), wires.forwards(ports)), (wires.kind("peer"), [])]
        self.networks = []
        self.host = None

    def get(self):
        """The host, or None where the machine has KVM itself."""
        if machine.kvm_is_here():
            return None
        if not self.host or not self.host.running():
            self.stop()
            self.networks = [network.Network(kind, forwards, f"{self.log}.passt", say, f"net{number}")
                             for number, (kind, forwards) in enumerate(self.kinds)]
            self.host = nested.Host(machine.qemu_binary(), self.networks, self.log, say)
        return self.host

    def stop(self):
        """Ends the host and its networks."""
        if self.host:
            self.host.stop()
        for net in self.networks:
            net.stop()
        self.host, self.networks = None, []


def run_suite(suite, directory):
    """Runs tests one after another; how many failed."""
    wires = Wires()
    changes = {key: value for key, value in suite["machine"].items() if value != ""}
    specs = [load(path, changes) for path in suite["suite"]]
    shared = SharedHost(specs, wires, directory)
    failed = []
    try:
        for spec in specs:
            below = os.path.join(directory, spec["name"])
            os.makedirs(below, exist_ok=True)
            print(f"==== {spec['name']}", flush=True)
            started = time.monotonic()
            verdict = "passed"
            try:
                run(spec, below, wires, shared.get())
            except FAILURES as error:
                failed.append(spec["name"])
                verdict = f"FAILED: {error}"
            print(f"{spec['name']}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    finally:
        shared.stop()
    print(f"{len(specs) - len(failed)} passed, {len(failed)} failed" + "".join(f"\nFAILED: {name}" for name in failed))
    return len(failed)


def main():
    directory = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or os.environ.get("TEST_TMPDIR") or "."
    with open(sys.argv[1], encoding="utf-8") as file:
        suite = json.load(file)
    if "suite" in suite:
        return 1 if run_suite(suite, directory) else 0
    accel = os.environ.get("HL_TEST_ACCEL")
    try:
        # Of a guest under KVM a debugger learns nothing.
        run(load(sys.argv[1], {"accel": accel} if accel and not suite["gdb"] else {}), directory, Wires())
    except FAILURES as error:
        print(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
