"""The wire between the load generators and a guest.

`tap` is the standard: an interface in a network namespace of the harness's own, which takes root.
`user` is user networking (passt, else QEMU's own), where there is no root: every byte passes one
more process on its way, the same for both systems, so its rates are not to be compared with those of a tap.
"""

import os
import subprocess
import sys

import network
from model import MeasurementError

KINDS = ("tap", "user")
TAP = "tap0"
OWN_NETWORK, OWN_FIRST, OWN_COUNT = "10.0.2.64/26", "10.0.2.64", 64  # further addresses of the host, for more ports
INSIDE = "HARTLOOP_NAMESPACE"  # set in the environment of what runs in the namespace

# Of the namespace, not of the machine: many connections from one address, made anew quickly, and
# nothing that the host says on its own account.
SYSCTLS = {
    f"ipv6/conf/{TAP}/disable_ipv6": "1",
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/tcp_max_tw_buckets": "262144",
    "core/somaxconn": "65535",
}


def default_kind():
    """What this user can have."""
    return "tap" if os.geteuid() == 0 else "user"


def enter_namespace():
    """Starts this program again in a network namespace of its own; returns only when it already is in one."""
    if INSIDE in os.environ:
        return
    if os.geteuid() != 0:
        raise MeasurementError("--net tap needs root, for a network namespace; without root there is --net user")
    arguments = ["unshare", "--net", sys.executable, "-B", os.path.abspath(sys.argv[0]), *sys.argv[1:]]
    os.execvpe(arguments[0], arguments, dict(os.environ, **{INSIDE: "1"}))


def make_tap():
    """The tap interface of the new namespace, and its lo."""
    for words in (["link", "set", "lo", "up"], ["tuntap", "add", TAP, "mode", "tap"],
                  ["addr", "add", f"{network.GATEWAY}/{network.PREFIX_LENGTH}", "dev", TAP]):
        subprocess.run(["ip", *words], check=True)
    for name, value in SYSCTLS.items():
        with open("/proc/sys/net/" + name, "w", encoding="ascii") as file:
            file.write(value)
    subprocess.run(["ip", "link", "set", TAP, "up"], check=True)
    subprocess.run(["ip", "route", "add", "local", OWN_NETWORK, "dev", TAP], check=True)


def own_addresses(host):
    """FIRST+COUNT: from where connections to a guest at `host` can be made; "" where there is no choice."""
    return f"{OWN_FIRST}+{OWN_COUNT}" if host == network.GUEST_ADDRESS else ""


class Wire:
    """One kind of wire: what a machine is given, and where its guest is then reached."""

    def __init__(self, kind):
        self.kind = kind
        if kind == "tap":
            make_tap()

    def attach(self, guest_ports):
        """(the machine's --net, its forwards, host, guest port -> port) of a new guest."""
        if self.kind == "tap":
            return "tap:" + TAP, [], network.GUEST_ADDRESS, {port: port for port in guest_ports}
        ports = {}
        for port in guest_ports:
            ports[port] = network.free_port()
        return "user", [(here, there) for there, here in ports.items()], "127.0.0.1", ports

    def describe(self):
        """One line for the report."""
        if self.kind == "tap":
            with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
                return f"tap in a network namespace, all offloads; congestion control of the load generators' TCP: {file.read().strip()}"
        return "user networking (one more process between load and guest; not comparable with figures over a tap)"
