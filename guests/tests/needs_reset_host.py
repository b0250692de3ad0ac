"""Makes QEMU's network card ask for a reset, by nonsense in its rings; connections must survive it.

A debugger finds where the driver puts the rings, and writes heads of chains into the available ring that do not exist.
QEMU's device gives up at the next packet (virtio_error: DEVICE_NEEDS_RESET), and the driver has to set it up again.
"""

import time

import hostside
import rings as card

PORT = 7007
RA, A0, EIO = 1, 10, 5
LOST_FOR_EVER = f"eth0: the device asked to be reset and does not start again: error {EIO}"
SAID = "eth0: the device asked to be reset, and was"
LOST = b"lost on its way in, and sent again by TCP"
ROUNDS = 3


def lose(link):
    """Sends what the card cannot deliver."""
    card.settle()
    link.sendall(LOST)


def main():
    debugger = hostside.Debugger()
    rings = card.Rings(debugger)
    rings.learn()
    debugger.go_on()
    with hostside.connect(PORT, "tcp_echo: listening") as link:
        link.settimeout(60)
        card.echo(link, 100000)
        for number in range(ROUNDS):
            card.settle()
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
            card.echo(link, 1 << 20)
    lose_for_ever(debugger, rings)


def lose_for_ever(debugger, rings):
    """A card that does not come up again: the kernel goes on without it."""
    with hostside.connect(PORT) as link:
        card.echo(link, 100)
        card.settle()
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
