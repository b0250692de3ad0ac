"""Runs one guest_test: boots the machine, runs the host's script, compares the end.

The argument is the JSON file that the rule writes. Prints what failed and the console. HL_TEST_APPEND in
the environment adds options to every kernel's command line (bazel test --test_env=HL_TEST_APPEND=...).
"""

import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine  # noqa: E402
import network  # noqa: E402

# Lines of the kernel's own log, "[seconds] text".
KERNEL_LINE = re.compile(r"^\[ *\d+\.\d+\].*\n?", re.M)
GDB_SOCKET = "gdb.socket"  # in the test's working directory: a socket's path must be short
FIRMWARE_END = "Boot HART MEDELEG"


class Failure(Exception):
    """The test's verdict; the text says what was wrong."""


def kernel_output(console):
    """The console without what the firmware said before the kernel."""
    at = console.rfind(FIRMWARE_END)
    return console if at < 0 else console[console.find("\n", at) + 1:]


def make_options(spec, directory, ports, peer):
    """The machine that the test asks for."""
    manifest = {"program": "/bin/test", "args": [], "env": [], "ports": []}
    if spec["manifest"]:
        with open(spec["manifest"], encoding="utf-8") as file:
            manifest = json.load(file)
    program = [spec["program"] or manifest["program"]]
    program += spec["args"] if spec["override_args"] else ([] if spec["program"] else manifest["args"])
    net, forwards = spec["net"], []
    if net == "user":
        for port in spec["ports"] or manifest["ports"]:
            ports[str(port)] = network.free_port()
            forwards.append((ports[str(port)], port))
    elif net == "peer":
        own, guest = peer
        net = ("dgram:remote.type=inet,remote.host=127.0.0.1,remote.port=%d,"
               "local.type=inet,local.host=127.0.0.1,local.port=%d" % (own, guest))
    return machine.Options(
        kernel=spec["kernel"], image=spec["image"], program=program, environment=manifest["env"] + spec["env"],
        harts=spec["harts"], memory=spec["memory"], net=net, forwards=forwards, ip=spec["ip"],
        transport=spec["transport"], aia=spec["aia"], cpu=spec["cpu"], append=f"{spec['append']} {os.environ.get('HL_TEST_APPEND', '')}".strip(),
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


def run_host_script(spec, running, ports, peer, deadline):
    """Runs the host's half while the guest runs; stops early when the guest ends unexpectedly."""
    environment = dict(
        os.environ, HARTLOOP_PORTS=json.dumps(ports), HARTLOOP_CONSOLE=running.options.log,
        HARTLOOP_PEER=json.dumps(peer), HARTLOOP_GDB=GDB_SOCKET, HARTLOOP_KERNEL=spec["kernel"],
        HARTLOOP_DEADLINE=str(deadline), PYTHONDONTWRITEBYTECODE="1",
        PYTHONPATH=os.path.dirname(os.path.abspath(__file__)), PATH="/usr/bin:/bin:/usr/sbin:/sbin")
    script = subprocess.Popen(["/usr/bin/python3", spec["host_script"]], env=environment)
    try:
        while script.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"the host's script still runs after {spec['seconds']} s")
            if not running.running() and not spec["expect_exit"]:
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


def run(spec, directory):
    """Runs the test; raises Failure."""
    ports, peer = {}, (network.free_port(), network.free_port())
    options = make_options(spec, directory, ports, peer)
    deadline = time.monotonic() + spec["seconds"]
    with machine.Machine(options, lambda text: print("hl: " + text)) as running:
        try:
            if spec["host_script"]:
                run_host_script(spec, running, ports, peer, deadline)
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


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    directory = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or os.environ.get("TEST_TMPDIR") or "."
    try:
        run(spec, directory)
    except (Failure, machine.MachineError, network.NetworkError) as error:
        print(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
