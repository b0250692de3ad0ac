"""Makes QEMU's network card ask for a reset, by nonsense in its rings; connections must survive it.

A debugger finds where the driver puts the rings, and writes heads of chains into the available ring that do not exist.
QEMU's device gives up at the next packet (virtio_error: DEVICE_NEEDS_RESET), and the driver has to set it up again.
"""

import os
import threading
import time

import hostside

PORT = 7007
NET = 1  # virtio's device type
TYPE_OFFSET = 40  # of device_type in struct virtio_transport
DIRECT_MAP = 0xffffffc000000000
A0, A1, A2 = 10, 11, 12
RA, EIO = 1, 5
LOST_FOR_EVER = f"eth0: the device asked to be reset and does not start again: error {EIO}"
SAID = "eth0: the device asked to be reset, and was"
LOST = b"lost on its way in, and sent again by TCP"
ROUNDS = 3


class Rings:
    """Where the available rings of the card's two queues lie: (address, entries) by queue."""

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
                self.found[index] = (self.debugger.word(place + 8, 8) + DIRECT_MAP, self.debugger.word(place + 24, 2))
            self.debugger.step()

    def spoil(self, queue):
        """Every entry becomes the head of a chain that does not exist."""
        address, entries = self.found[queue]
        self.debugger.write(address + 4, b"\xff\xff" * entries)


def echo(link, size):
    """Sends random bytes while reading them back."""
    data, back = os.urandom(size), bytearray()
    sender = threading.Thread(target=link.sendall, args=(data,))
    sender.start()
    while len(back) < size and (part := link.recv(65536)):
        back += part
    sender.join()
    hostside.check(back == data, f"of {size} bytes, {len(back)} came back, or others")


def lose(link):
    """Sends what the card cannot deliver."""
    settle()
    link.sendall(LOST)


def settle():
    """No packet may wait for the card while the machine stands still: QEMU 10 hands it over while it starts the devices
    again, and then forgets the error that comes of it."""
    time.sleep(0.5)


def main():
    debugger = hostside.Debugger()
    rings = Rings(debugger)
    rings.learn()
    debugger.go_on()
    with hostside.connect(PORT, "tcp_echo: listening") as link:
        link.settimeout(60)
        echo(link, 100000)
        for number in range(ROUNDS):
            settle()
            debugger.stop()
            rings.spoil(0)
            rings.learn(lambda: lose(link))
            debugger.go_on()
            back = b""
            while len(back) < len(LOST) and (part := link.recv(65536)):
                back += part
            hostside.check(back == LOST, "the lost segment did not come back")
            hostside.wait_for_console(SAID)
            hostside.check(hostside.console().count(SAID) == number + 1, "one round, one reset")
            print(f"reset {number + 1}: the connection lives")
    for _ in range(5):
        with hostside.connect(PORT) as link:
            link.settimeout(60)
            echo(link, 1 << 20)
    lose_for_ever(debugger, rings)


def lose_for_ever(debugger, rings):
    """A card that does not come up again: the kernel goes on without it."""
    with hostside.connect(PORT) as link:
        echo(link, 100)
        settle()
        debugger.stop()
        rings.spoil(0)
        rings.stop_at_setup(lambda: lose(link))
        debugger.set_register(A0, (1 << 64) - EIO)  # what mmio_queue_setup or pci_queue_setup returns
        debugger.set_register(hostside.Debugger.PC, debugger.register(RA))
        debugger.go_on()
        hostside.wait_for_console(LOST_FOR_EVER)
        time.sleep(1)
        debugger.stop()
        debugger.go_on()
        hostside.check("panic" not in hostside.console(), "the kernel does not survive it")


if __name__ == "__main__":
    main()
