#!/usr/bin/python3
"""The other machines on the wire of a conformance program, and a router to more of them.

It is given the guest's Ethernet frames through UDP. What it does is decided by the address and port that the guest
speaks to, and by what the guest asks for:

  10.0.2.2                the router, which also obeys: a UDP datagram to port 99 is a command, see COMMANDS; the answer
                          leaves after whatever the command made it send
  10.0.2.20 to .29        hosts; their TCP ports: 1 resets, 2 is silent, 3 answers a SYN with a SYN (simultaneous open),
                          all others accept; their UDP ports: 7 echoes, 10 to 29 answer with ICMP unreachable and the
                          code of the port less 10, others are silent
  other 10.0.2.0/24       nobody: ARP is not answered
  192.0.2.C               unreachable, says the router, with code C
  198.51.100.C            the router says time exceeded, with code C
  any other               behind the router, as 10.0.2.20

A connection acknowledges what it gets, unless it is mute.
"""

import re
import socket
import struct
import sys
import threading
import time

import packets
from packets import ICMP, TCP, UDP

ROUTER_MAC = bytes.fromhex("525400120002")
BROADCAST = b"\xff" * 6
ARP, IPV4 = 0x0806, 0x0800
ROUTER = "10.0.2.2"
HOSTS = [f"10.0.2.{last}" for last in range(20, 30)]
COMMAND_PORT = 99
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
NOP, TIMESTAMPS = 1, 8
# What a SYN may offer besides its segment size, by the letters of the command `knock`.
OFFERS = {"s": (4, b""), "t": (TIMESTAMPS, struct.pack(">II", 1000, 0)), "w": (3, b"\7")}
UNREACHABLE, EXCEEDED = 3, 11
ROUTER_SECONDS = 0.02


def address(text):
    """Four bytes of a dotted address."""
    return socket.inet_aton(text)


def packet(source, destination, protocol, payload):
    """An IPv4 packet between dotted addresses, with its checksums."""
    return packets.ipv4(address(source), address(destination), protocol, payload)


def options_of(segment):
    """The options of a TCP segment: their bodies by kind."""
    found, at, end = {}, 20, (segment[12] >> 4) * 4
    while at < end and segment[at]:
        length = 1 if segment[at] == NOP else segment[at + 1]
        found[segment[at]] = segment[at + 2:at + length]
        at += length
    return found


class Connection:
    """A TCP connection between the guest's port and one of ours, as simple as can be."""

    def __init__(self, peer, host, port, guest_port):
        self.peer, self.host, self.port, self.guest_port = peer, host, port, guest_port
        self.next, self.expected = 0x10000000, 0
        self.mute = False
        self.offers = ""  # of OFFERS
        self.answer = {}  # the options of the guest's SYN-ACK
        self.echo = None  # the guest's last timestamp, if both have them
        self.first = b""  # data in the last segment of the handshake
        self.synchronized = threading.Event()
        self.last = b""  # the guest's last packet
        self.got = []  # the flags of what came, a letter each

    def send(self, flags, payload=b"", sequence=None):
        """A segment; what it takes of the sequence is counted."""
        if sequence is None:  # counted before it is sent: the answer comes in another thread
            sequence = self.next
            self.next += len(payload) + bool(flags & SYN) + bool(flags & FIN)
        acknowledgment = self.expected if flags & ACK else 0
        options = b""
        if flags & SYN:
            options = struct.pack(">BBH", 2, 4, 1460)
            for kind, body in map(OFFERS.get, self.offers):
                options += struct.pack("BB", kind, 2 + len(body)) + body
        elif self.echo:
            options = struct.pack(">BBI", TIMESTAMPS, 10, 1001) + self.echo
        options += b"\1" * (-len(options) % 4)
        numbers = sequence & 0xFFFFFFFF, acknowledgment & 0xFFFFFFFF
        segment = packets.tcp((self.port, self.guest_port), numbers, flags, payload, options)
        self.peer.send_packet(packet(self.host, self.peer.guest, TCP, segment))

    def receive(self, sequence, flags, payload, options):
        """A segment of the guest's."""
        if TIMESTAMPS in options and "t" in self.offers:
            self.echo = options[TIMESTAMPS][:4]
        self.got += [letter for bit, letter in zip((SYN, FIN, RST), "SFR") if flags & bit]
        if flags & RST:
            return
        if flags & SYN:
            self.expected = sequence + 1
            if not flags & ACK:
                return self.opened()
            self.answer = options
            self.send(ACK, self.first)
            return self.synchronized.set()
        if sequence != self.expected & 0xFFFFFFFF:
            return
        if self.mute:
            return
        self.expected += len(payload) + bool(flags & FIN)
        if payload or flags & FIN:
            self.send(ACK)

    def opened(self):
        """The guest's SYN."""
        if self.port == 1:
            self.send(RST | ACK, sequence=0)
        elif self.port == 3:
            self.next = 0x10000000  # its SYN may come again
            self.send(SYN)
        elif self.port != 2:
            self.next = 0x10000000
            self.send(SYN | ACK)


class Peer:
    """Serves frames until `stop`."""

    def __init__(self, link):
        self.link = link
        self.link.settimeout(0.1)
        self.guest, self.guest_mac = "10.0.2.15", BROADCAST
        self.connections = {}  # (host, its port, the guest's port)
        self.echoed = threading.Event()
        self.flooding, self.flooded = set(), set()  # (host, its port) of SYNs that nobody sent, and of those answered
        self.stop = False

    # ---- frames ----

    def send_frame(self, kind, payload):
        """A frame of at least 60 bytes; a guest that is gone refuses it, which is no error."""
        try:
            self.link.send((self.guest_mac + ROUTER_MAC + struct.pack(">H", kind) + payload).ljust(60, b"\0"))
        except ConnectionRefusedError:
            pass

    def send_packet(self, data):
        """An IPv4 packet."""
        self.send_frame(IPV4, data)

    def send_icmp(self, kind, code, about, source=ROUTER, more=0):
        """An ICMP error that quotes a packet of the guest's: its header and eight bytes."""
        header = (about[0] & 15) * 4
        message = struct.pack(">BBHI", kind, code, 0, more) + about[:header + 8]
        self.send_packet(packet(source, self.guest, ICMP, message))

    def serve(self, over=lambda: False):
        """Answers until stop is set or over() is true, which is asked while nothing comes."""
        while not self.stop:
            try:
                frame = self.link.recv(65536)
            except (TimeoutError, ConnectionRefusedError):
                if over():
                    return
                continue
            kind = struct.unpack(">H", frame[12:14])[0]
            if kind == ARP:
                self.arp(frame[14:42])
            elif kind == IPV4:
                self.ipv4(frame[14:14 + struct.unpack(">H", frame[16:18])[0]])

    def arp(self, data):
        """Answers for the router and the hosts (RFC 826)."""
        operation, mac, sender, target = data[7], data[8:14], data[14:18], data[24:28]
        if operation != 1 or socket.inet_ntoa(target) not in [ROUTER, *HOSTS]:
            return
        self.guest_mac = mac
        reply = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2) + ROUTER_MAC + target + mac + sender
        self.send_frame(ARP, reply)

    def ipv4(self, data):
        """A packet to the router or to somebody behind it."""
        to, protocol, payload = socket.inet_ntoa(data[16:20]), data[9], data[(data[0] & 15) * 4:]
        network, last = to.rsplit(".", 1)
        if network in ("192.0.2", "198.51.100"):
            kind = UNREACHABLE if network == "192.0.2" else EXCEEDED
            # Not while the call that sent it still holds the socket, on which Linux' answer depends.
            threading.Timer(ROUTER_SECONDS, self.send_icmp, (kind, int(last), data)).start()
        elif protocol == TCP:
            self.tcp(to, data, payload)
        elif protocol == UDP:
            self.udp(to, data, payload)
        elif protocol == ICMP and to == ROUTER and payload[0] == 0:
            self.echoed.set()
        elif protocol == ICMP and to == ROUTER and payload[0] == 8:
            self.send_packet(packet(ROUTER, self.guest, ICMP, b"\0\0\0\0" + payload[4:]))

    # ---- protocols ----

    def connection(self, host, port, guest_port, make=False):
        """The connection; made when there is none, if so wished."""
        key = host, port, guest_port
        if key not in self.connections and make:
            self.connections[key] = Connection(self, *key)
        return self.connections.get(key)

    def tcp(self, host, data, segment):
        """A segment."""
        guest_port, port, sequence, _, offset, flags = struct.unpack(">HHIIBB", segment[:14])
        if (host, port) in self.flooding:
            self.flooded.add((host, port))
            return
        if flags & SYN and not flags & ACK:
            known = self.connection(host, port, guest_port)
            if known and known.expected not in (0, sequence + 1):
                del self.connections[host, port, guest_port]
        link = self.connection(host, port, guest_port, make=bool(flags & SYN))
        if link:
            link.last = data
            link.receive(sequence, flags, segment[(offset >> 4) * 4:], options_of(segment))

    def udp(self, host, data, datagram):
        """A datagram."""
        guest_port, port = struct.unpack(">HH", datagram[:4])
        if host == ROUTER and port == COMMAND_PORT:
            words = datagram[8:].decode().split()
            # It may wait for what the guest sends meanwhile.
            threading.Thread(target=self.obey, args=(guest_port, words), daemon=True).start()
        elif port == 7:
            self.send_datagram(host, port, guest_port, datagram[8:])
        elif 10 <= port < 30:
            self.send_icmp(UNREACHABLE, port - 10, data, host, 600 if port == 14 else 0)

    def send_datagram(self, host, port, guest_port, payload):
        """A UDP datagram to the guest."""
        self.send_packet(packet(host, self.guest, UDP, packets.udp(port, guest_port, payload)))

    def settle(self):
        """Returns when the guest has answered what was sent to it before: it does so in order."""
        self.echoed.clear()
        self.send_packet(packet(ROUTER, self.guest, ICMP, struct.pack(">BBHHH", 8, 0, 0, 1, 1)))
        self.echoed.wait(20)

    # ---- commands ----

    def obey(self, guest_port, words):
        """Does what a command says and tells its result; after a moment, for what the guest sent before to be answered."""
        time.sleep(2 * ROUTER_SECONDS)
        result = COMMANDS[words[0]](self, *words[1:])
        self.send_datagram(ROUTER, COMMAND_PORT, guest_port, (str(result) if result is not None else "done").encode())

    def of_guest(self, guest_port):
        """The latest connection of that port of the guest's."""
        return [link for link in self.connections.values() if link.guest_port == int(guest_port)][-1]

    def reset(self, guest_port):
        """reset PORT: RST of the connection of that port of the guest's."""
        self.of_guest(guest_port).send(RST | ACK)

    def forge(self, guest_port, flags, offset):
        """forge PORT FLAGS OFFSET: a segment with those of S F R A, its sequence number off by so much."""
        link = self.of_guest(guest_port)
        link.send(sum(bit for bit, letter in ((SYN, "S"), (FIN, "F"), (RST, "R"), (ACK, "A")) if letter in flags),
                  sequence=link.next + int(offset))

    def finish(self, guest_port):
        """finish PORT: FIN."""
        self.of_guest(guest_port).send(FIN | ACK)

    def text(self, guest_port, text):
        """text PORT TEXT: data."""
        self.of_guest(guest_port).send(ACK | PSH, text.encode())

    def finish_with(self, guest_port, text):
        """finish_with PORT TEXT: data and FIN in one segment."""
        self.of_guest(guest_port).send(FIN | ACK | PSH, text.encode())

    def silence(self, guest_port, on):
        """mute PORT 0|1: acknowledge nothing from now on."""
        self.of_guest(guest_port).mute = on == "1"

    def error(self, guest_port, kind, code, more="0"):
        """icmp PORT TYPE CODE [MTU]: an ICMP error about the guest's last segment."""
        self.send_icmp(int(kind), int(code), self.of_guest(guest_port).last, more=int(more))

    def seen(self, guest_port):
        """seen PORT: which SYN, FIN and RST came from the guest."""
        return "".join(self.of_guest(guest_port).got) or "-"

    def connect(self, port, count, first):
        """connect PORT COUNT FIRST: connects to a port of the guest's, from ports FIRST on; how many were answered."""
        answered = 0
        for own in range(int(first), int(first) + int(count)):
            link = self.connection(HOSTS[0], own, int(port), make=True)
            link.send(SYN)
            self.settle()
            answered += link.synchronized.is_set()
        return answered

    def knock(self, port, own, offers, text=""):
        """knock PORT OWN OFFERS [TEXT]: connects from port OWN, and the letters of OFFERS that were taken up; TEXT comes
        with the handshake's last segment."""
        link = self.connection(HOSTS[0], int(own), int(port), make=True)
        link.offers, link.first = offers, text.encode()
        link.send(SYN)
        self.settle()
        if not link.synchronized.is_set():
            return "silence"
        return "".join(letter for letter, (kind, _) in OFFERS.items() if kind in link.answer) or "-"

    def flood(self, port, count, network):
        """flood PORT COUNT NETWORK: SYNs from that many hosts 198.18.NETWORK that are not there; how many were answered."""
        before = len(self.flooded)
        for last in range(int(count)):
            host = f"198.18.{network}.{last}"
            self.flooding.add((host, 1024 + last))
            self.send_packet(packet(host, self.guest, TCP, packets.tcp((1024 + last, int(port)), (1000, 0), SYN)))
            if last % 16 == 15:
                self.settle()
        self.settle()
        return len(self.flooded) - before

    def stray(self, port, own):
        """stray PORT OWN: an ACK of nothing, from port OWN, and which SYN, FIN and RST it is answered with."""
        link = self.connection(HOSTS[0], int(own), int(port), make=True)
        link.send(ACK)
        self.settle()
        return "".join(link.got) or "-"

    def sync(self):
        """sync: nothing; what was sent before has been answered by now."""


COMMANDS = {"sync": Peer.sync, "reset": Peer.reset, "forge": Peer.forge, "finish": Peer.finish, "text": Peer.text,
            "finish_with": Peer.finish_with, "mute": Peer.silence, "icmp": Peer.error, "seen": Peer.seen,
            "connect": Peer.connect, "knock": Peer.knock, "flood": Peer.flood, "stray": Peer.stray}


def main():
    """As the host_script of a guest_test: until the program has counted its cases."""
    import hostside  # is only there
    Peer(hostside.peer_socket()).serve(lambda: re.search(r"^\d+ cases$", hostside.console(), re.M)
                                       or time.monotonic() > hostside.deadline())


if __name__ == "__main__":
    sys.exit(main())
