"""The rings of the guest's network card, in the hands of a debugger."""

import os
import struct
import threading
import time

import hostside

NET = 1  # virtio's device type
TYPE_OFFSET = 40  # of device_type in struct virtio_transport
DIRECT_MAP = 0xffffffc000000000
A0, A1, A2 = 10, 11, 12


class Rings:
    """Where the rings of the card's two queues lie: (available, used, entries) by queue."""

    def __init__(self, debugger):
        self.debugger = debugger
        self.found = {}

    def stop_at_setup(self, cause=lambda: None):
        """Stops where a queue is set up next, because of `cause`."""
        places = [hostside.kernel_symbol(name) for name in ("mmio_queue_setup", "pci_queue_setup")]
        self.debugger.run_to(*places, meanwhile=cause)

    def learn(self, cause=lambda: None):
        """Stops where the queues are set up next, because of `cause`, until both are known."""
        self.found = {}
        while len(self.found) < 2:
            self.stop_at_setup(cause)
            cause = bool  # nothing more
            transport, index, place = map(self.debugger.register, (A0, A1, A2))
            if self.debugger.word(transport + TYPE_OFFSET, 4) == NET:
                available, used = (self.debugger.word(place + at, 8) + DIRECT_MAP for at in (8, 16))
                self.found[index] = (available, used, self.debugger.word(place + 24, 2))
            self.debugger.step()

    def spoil(self, queue):
        """Every entry becomes the head of a chain that does not exist."""
        available, _, entries = self.found[queue]
        self.debugger.write(available + 4, b"\xff\xff" * entries)

    def lie(self, queue, jump, entry):
        """The device has used `jump` chains more than it has; of each of the ring's, entry(n) is (id, length)."""
        _, used, entries = self.found[queue]
        index = (self.debugger.word(used + 2, 2) + jump) % 65536
        self.debugger.write(used + 4, b"".join(struct.pack("<II", *entry(n)) for n in range(entries)))
        self.debugger.write(used + 2, struct.pack("<H", index))


def echo(link, size):
    """Sends random bytes while reading them back."""
    data, back = os.urandom(size), bytearray()
    sender = threading.Thread(target=link.sendall, args=(data,))
    sender.start()
    while len(back) < size and (part := link.recv(65536)):
        back += part
    sender.join()
    hostside.check(back == data, f"of {size} bytes, {len(back)} came back, or others")


def settle():
    """No packet may wait for the card while the machine stands still: QEMU 10 hands it over while it starts the devices
    again, and then forgets the error that comes of it."""
    time.sleep(0.5)
