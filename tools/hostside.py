"""For the host's half of a guest_test: where the guest is reached, and small helpers.

    import hostside
    port = hostside.port(6379)          # the port of 127.0.0.1 that leads to the guest's 6379
    with hostside.connect(6379) as s:   # tries until the guest answers
"""

import json
import os
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def deadline():
    """The moment (time.monotonic) at which the test's time is over."""
    return float(os.environ["HARTLOOP_DEADLINE"])


def port(guest_port):
    """The port of 127.0.0.1 that leads to a port of the guest."""
    return json.loads(os.environ["HARTLOOP_PORTS"])[str(guest_port)]


def console():
    """The guest's console so far."""
    with open(os.environ["HARTLOOP_CONSOLE"], "rb") as file:
        return file.read().decode("utf-8", "replace").replace("\r\n", "\n")


def wait_for_console(text):
    """Waits until the console shows a text."""
    while text not in console():
        if time.monotonic() > deadline():
            raise TimeoutError(f"the console never showed {text!r}")
        time.sleep(0.05)


def connect(guest_port, wait_for="", seconds=None):
    """A TCP connection to the guest; tries again while it is refused or reset."""
    if wait_for:
        wait_for_console(wait_for)
    until = deadline() if seconds is None else time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port(guest_port)), timeout=max(1, until - time.monotonic()))
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def first_answer(guest_port, request):
    """What the guest answers until it closes, tried until it does: for a program that does not say when it serves."""
    while True:
        answer = b""
        try:
            with connect(guest_port) as link:
                link.settimeout(2)  # passt takes connections before the guest does, and then keeps silent for long
                link.sendall(request)
                while part := link.recv(65536):
                    answer += part
                return answer
        except OSError:
            if answer or time.monotonic() > deadline():
                raise
            time.sleep(0.1)


def peer_socket():
    """net = "peer": a socket whose datagrams are the guest's Ethernet frames."""
    own, guest = json.loads(os.environ["HARTLOOP_PEER"])
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(("127.0.0.1", own))
    link.connect(("127.0.0.1", guest))
    return link


def run(*command, seconds=None, **keywords):
    """Runs a program on the host; returns its output, raises when it fails."""
    limit = max(1, deadline() - time.monotonic()) if seconds is None else seconds
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=limit, check=False, **keywords)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)} exited with {result.returncode}:\n{result.stdout}")
    return result.stdout


def check(condition, text):
    """Fails the test unless the condition holds."""
    if not condition:
        raise AssertionError(text)


class Debugger:
    """QEMU's gdb stub, for a guest_test with gdb = True: breakpoints and registers of hart 0."""

    PC = 32  # gdb's number of the program counter

    def __init__(self):
        self.link = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.link.connect(os.environ["HARTLOOP_GDB"])
                break
            except OSError:
                if time.monotonic() > deadline():
                    raise
                time.sleep(0.02)
        self.link.settimeout(max(1, deadline() - time.monotonic()))
        self.stream = self.link.makefile("rb")

    def send(self, text):
        """Sends a packet."""
        self.link.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())

    def receive(self):
        """The next packet; acknowledges it."""
        while self.stream.read(1) != b"$":
            pass
        text = b""
        while (byte := self.stream.read(1)) != b"#":
            check(byte, "QEMU closed the debugger's connection")
            text += byte
        self.stream.read(2)
        self.link.sendall(b"+")
        return text.decode()

    def ask(self, text):
        """Sends a packet and returns the answer."""
        self.send(text)
        return self.receive()

    def run_to(self, *addresses, meanwhile=lambda: None):
        """Runs until the program counter is at one of the addresses; calls `meanwhile` when it runs."""
        for address in addresses:
            check(self.ask(f"Z1,{address:x},4") == "OK", "no breakpoint")
        self.go_on()
        meanwhile()
        stop = self.receive()
        check(stop.startswith(("T05", "S05")), f"the machine stopped with {stop} instead of at a breakpoint")
        for address in addresses:
            check(self.ask(f"z1,{address:x},4") == "OK", "the breakpoint stays")

    def step(self):
        """Executes one instruction."""
        check(self.ask("s").startswith(("T05", "S05")), "no single step")

    def stop(self):
        """Stops the machine, which runs."""
        self.link.sendall(b"\x03")
        check(self.receive().startswith(("T02", "S02")), "the machine does not stop")

    def register(self, number):
        """A 64-bit register."""
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def word(self, address, count):
        """A number of count bytes in memory."""
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address:x},{count:x}")), "little")

    def write(self, address, data):
        """Writes bytes into memory."""
        for start in range(0, len(data), 1024):  # QEMU takes packets of 4 KiB
            part = data[start:start + 1024]
            check(self.ask(f"M{address + start:x},{len(part):x}:{part.hex()}") == "OK", "the memory can't be written")

    def set_register(self, number, value):
        """Writes a 64-bit register."""
        check(self.ask(f"P{number:x}={value.to_bytes(8, 'little').hex()}") == "OK", "the register can't be written")

    def go_on(self):
        """Lets the machine run."""
        self.send("c")


def kernel_symbol(name):
    """The address of one of the kernel's functions."""
    for line in run("riscv64-linux-gnu-nm", os.environ["HARTLOOP_KERNEL"]).splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2] == name:
            return int(fields[0], 16)
    raise AssertionError(f"the kernel has no {name}")
