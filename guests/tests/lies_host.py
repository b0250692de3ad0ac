"""Lets the network card lie in its used rings, as a broken or hostile one would; the kernel must survive and serve again.

What is written goes past QEMU, which knows better and goes on as if nothing were: so the rings also disagree afterwards.
"""

import hostside
import rings as card

PORT = 7007
HUGE = 0xffffffff
LIES = {
    "an index far ahead": (20000, lambda n: (n, 100)),
    "an index behind": (-3, lambda n: (n, 100)),
    "chains that do not exist": (10, lambda n: (0x10000 + n, 100)),
    "ids beyond all bounds": (10, lambda n: (HUGE, HUGE)),
    "the same chain again and again": (10, lambda n: (0, 100)),
    "more bytes than the buffer has": (10, lambda n: (n, HUGE)),
    "no bytes": (10, lambda n: (n, 0)),
    "fewer bytes than a header": (10, lambda n: (n, 11)),
}


def main():
    debugger = hostside.Debugger()
    rings = card.Rings(debugger)
    rings.learn()
    debugger.go_on()
    with hostside.connect(PORT, "tcp_echo: listening") as link:
        card.echo(link, 100000)
    for what, (jump, entry) in LIES.items():
        for queue in rings.found:
            debugger.stop()
            rings.lie(queue, jump, entry)
            debugger.go_on()
            serve()
            hostside.check("panic" not in hostside.console(), f"the kernel does not survive {what}")
            print(f"queue {queue}, {what}: it serves again", flush=True)


def serve():
    """Some connections may be lost with the packets that the lies cost."""
    while True:
        try:
            with hostside.connect(PORT) as link:
                link.settimeout(3)
                card.echo(link, 20000)
                return
        except (OSError, AssertionError):
            if hostside.time.monotonic() > hostside.deadline():
                raise


if __name__ == "__main__":
    main()
