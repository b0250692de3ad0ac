"""How a guest reaches the outside: the values of --net, and passt for the unprivileged default."""

import os
import re
import shutil
import socket
import subprocess

GUEST_ADDRESS = "10.0.2.15"
PREFIX_LENGTH = 24
GATEWAY = "10.0.2.2"
DEFAULT_IP = f"{GUEST_ADDRESS}/{PREFIX_LENGTH},{GATEWAY}"
GUEST_MAC = "52:54:00:12:34:56"
GATEWAY_MAC = "52:54:00:12:34:02"
SOCKET_BUFFER_BYTES = 16 << 20
KINDS = "user, none, tap:IFNAME, dgram:OPTIONS, stream:OPTIONS"


class NetworkError(Exception):
    """The network asked for can't be had; the text says why."""


def check_kind(text):
    """Refuses a value of --net that is not one of KINDS."""
    kind, _, rest = text.partition(":")
    if kind in ("user", "none") and not rest:
        return
    if kind in ("tap", "dgram", "stream") and rest:
        return
    raise NetworkError(f"unknown network '{text}'; the valid ones are {KINDS}")


def parse_forward(text):
    """HOSTPORT:GUESTPORT as two numbers."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match:
        raise NetworkError(f"--forward wants HOSTPORT:GUESTPORT, not '{text}'")
    host, guest = int(match.group(1)), int(match.group(2))
    if not (0 < host < 65536 and 0 < guest < 65536):
        raise NetworkError(f"--forward {text}: ports are 1 to 65535")
    return host, guest


def port_is_free(port):
    """Whether 127.0.0.1:port can be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    """A port of 127.0.0.1 that nobody uses, below the range of outgoing connections."""
    for _ in range(200):
        port = 20000 + int.from_bytes(os.urandom(2), "little") % 12000
        if port_is_free(port):
            return port
    raise NetworkError("no free port on 127.0.0.1")


def check_forwards(forwards):
    """Refuses ports that are taken."""
    for host, guest in forwards:
        if not port_is_free(host):
            raise NetworkError(
                f"port {host} of 127.0.0.1 is taken; choose another with --forward HOSTPORT:{guest}")


class Passt:
    """passt joined to QEMU by a pair of sockets; it ends when QEMU's side closes."""

    def __init__(self, forwards, log_path, *more):
        self.qemu_side, passt_side = socket.socketpair()
        # passt drops frames for which there is no room, and waits long before it sends them again.
        for end in (self.qemu_side, passt_side):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        command = [
            "passt", "--foreground", "--quiet", "--stderr", "--ipv4-only", "--fd", str(passt_side.fileno()),
            "--address", GUEST_ADDRESS, "--netmask", str(PREFIX_LENGTH), "--gateway", GATEWAY,
            "--mac-addr", GATEWAY_MAC, *more,
        ]
        for option in ("--tcp-ports", "--udp-ports"):
            if not forwards:
                command += [option, "none"]
            for host, guest in forwards:
                command += [option, f"127.0.0.1/{host}:{guest}"]
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, pass_fds=[passt_side.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        passt_side.close()

    def failed(self, seconds=0.3):
        """The reason why passt ended at once, or None while it runs."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip() and "to syslog" not in line]
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def stop(self):
        """Ends passt and waits for it."""
        self.qemu_side.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Network:
    """The QEMU arguments of one --net value, and what has to run beside QEMU for it.

    kind: see KINDS; forwards: list of (host port, guest port), for `user` only; name: of QEMU's netdev.
    """

    def __init__(self, kind, forwards, log_path, warn, name="net0"):
        self.kind = kind
        self.name = name
        self.passt = None
        self.descriptors = []
        self.netdev = None
        kind, _, rest = kind.partition(":")
        if forwards and kind != "user":
            raise NetworkError("--forward goes with --net user only; other networks reach the guest by its address")
        if kind == "user":
            check_forwards(forwards)
            self._user(forwards, log_path, warn)
        elif kind == "tap":
            if rest not in [name for _, name in socket.if_nameindex()]:
                raise NetworkError(f"there is no network interface '{rest}'; make it with: ip tuntap add {rest} mode tap")
            self.netdev = f"tap,id={self.name},ifname={rest},script=no,downscript=no"
        elif kind in ("dgram", "stream"):
            self.netdev = f"{kind},id={self.name},{rest}"

    def _user(self, forwards, log_path, warn):
        reason = "it is not installed"
        if shutil.which("passt"):
            self.passt = Passt(forwards, log_path)
            reason = self.passt.failed()
            if reason and "interface" in reason:
                # A host without a default route: only its own addresses are reached.
                self.passt.stop()
                self.passt = Passt(forwards, log_path, "--interface", "lo")
                reason = self.passt.failed()
            if reason is None:
                descriptor = self.passt.qemu_side.fileno()
                self.descriptors = [descriptor]
                self.netdev = f"stream,id={self.name},addr.type=fd,addr.str={descriptor}"
                return
            self.passt.stop()
            self.passt = None
        warn(f"passt can't be used ({reason}); falling back to QEMU's own user network, "
             "which stalls when many clients connect at once")
        hosts = "".join(
            f",hostfwd={protocol}:127.0.0.1:{host}-:{guest}" for host, guest in forwards for protocol in ("tcp", "udp"))
        self.netdev = f"user,id={self.name},ipv6=off{hosts}"

    def stop(self):
        """Ends what runs beside QEMU."""
        if self.passt:
            self.passt.stop()
            self.passt = None
