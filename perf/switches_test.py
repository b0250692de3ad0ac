#!/usr/bin/python3
"""Every switch of the data path in its other position: bytes arrive as they were sent.

  switches_test.py          each position once, several in one boot (bazel test //perf:switches_test)
  switches_test.py matrix   each setting of switches.py by itself, with each program (bazel test //perf:switches_matrix_test)

As root over a tap, which takes all offloads; else over user networking, which takes none of them.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import opponents  # noqa: E402
import runner  # noqa: E402
import switches  # noqa: E402
import wire  # noqa: E402
from model import Case, MeasurementError  # noqa: E402

SEED = 1
CLIENTS = 8
CLIENT = os.path.join(HERE, "net_bench_client.py")
SIZES = ("1", "1459", "100000", "8M")

# Together every position of every switch other than the usual one; csum=0 and mrg_rxbuf=0 would hide
# tso, guest_csum and guest_tso, so that these have boots in which they are switched off alone.
COMPACT = (
    ("net-bench", "event_idx=0 kick_coalesce=0 tx_irq=1 rx_poll=0 indirect=0 header_in_headroom=0"),
    ("net-bench", "tso=0 guest_tso=0 delayed_ack=0 rx_budget=1 inline=0 stretch_us=20"),
    ("net-bench", "csum=0 guest_csum=0 rx_budget=0 idle_poll_us=1000 slice_us=100 backstop_us=200 stretch_us=5000"),
    ("net-bench", "mrg_rxbuf=0 rx_budget=8 idle_poll_us=adaptive slice_us=20000"),
    ("redis", next(setting.arguments for setting in switches.SETTINGS if setting.without == switches.WITHOUT_ALL)),
    ("tcp-echo", "rx_poll=0 delayed_ack=0 guest_csum=0 inline=0 rx_budget=0 idle_poll_us=1000"),
)


# ---- programs whose bytes are checked ----


def read_exactly(stream, count):
    """So many bytes of a stream."""
    data = stream.read(count)
    if len(data) != count:
        raise MeasurementError(f"the guest closed after {len(data)} of {count} bytes")
    return data


def drive_net_bench(target):
    """Transfers both ways, with checksums at both ends."""
    for direction in ([], ["--reverse"]):
        command = [sys.executable, "-B", CLIENT, "--host", target.host, "--port", str(target.ports[5001]), *direction, *SIZES]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        if result.returncode != 0:
            raise MeasurementError(f"net_bench: {result.stdout}")


def redis_words(*words):
    """A command in redis's protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def redis_client(target, number):
    """Sets values of many sizes in one pipeline and reads them back, some alone and some in one pipeline."""
    chance = random.Random(SEED + number)
    values = {b"%d-%d" % (number, size): chance.randbytes(size) for size in (0, 1, 3, 100, 1447, 1448, 1449, 20000, 70001)}
    with socket.create_connection((target.host, target.ports[6379]), timeout=60) as link, link.makefile("rb") as stream:
        link.sendall(b"".join(redis_words(b"SET", key, value) for key, value in values.items()))
        for _ in values:
            expect(read_exactly(stream, 5), b"+OK\r\n", "SET")
        for together in (False, True):
            if together:
                link.sendall(b"".join(redis_words(b"GET", key) for key in values))
            for key, value in values.items():
                if not together:
                    link.sendall(redis_words(b"GET", key))
                wanted = b"$%d\r\n%s\r\n" % (len(value), value)
                expect(read_exactly(stream, len(wanted)), wanted, f"GET of {len(value)} bytes")


def echo_client(target, number):
    """Sends bytes while it reads them back."""
    chance = random.Random(SEED + number)
    with socket.create_connection((target.host, target.ports[7007]), timeout=60) as link, link.makefile("rb") as stream:
        for size in (1, 1447, 1448, 1449, 65536, 300001, 1):
            data = chance.randbytes(size)
            sender = threading.Thread(target=link.sendall, args=(data,))
            sender.start()
            expect(read_exactly(stream, size), data, f"echo of {size} bytes")
            sender.join()


def expect(got, wanted, what):
    """Compares bytes."""
    if got != wanted:
        at = next(index for index, (one, other) in enumerate(zip(got, wanted)) if one != other)
        raise MeasurementError(f"{what}: byte {at} of {len(wanted)} is {got[at]:#x} instead of {wanted[at]:#x}")


def together(client, target):
    """Several clients at once; the first error of any."""
    errors = []

    def guarded(number):
        try:
            client(target, number)
        except (OSError, MeasurementError) as error:
            errors.append(f"client {number}: {error}")

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise MeasurementError(errors[0])


DRIVES = {
    "net-bench": drive_net_bench,
    "redis": lambda target: together(redis_client, target),
    "tcp-echo": lambda target: together(echo_client, target),
}
READY = {"net-bench": "listening", "redis": "Ready to accept", "tcp-echo": "listening"}


# ---- the test ----


def check(bench, image, arguments):
    """One boot; the error, or nothing."""
    case = Case(f"{image} {arguments}", image, image, image, "run", "runs/s", ready=READY[image], memory="256M")
    try:
        with bench.boot(case, "hartloop", arguments) as guest:
            DRIVES[image](guest.target)
            if not guest.machine.running():
                raise MeasurementError("the guest ended: " + guest.machine.wait().detail)
    except runner.FAILURES as error:
        return str(error) or type(error).__name__
    return ""


def interrupt(_number, _frame):
    """A test that is stopped ends its machine."""
    raise KeyboardInterrupt


def namespace_is_possible():
    """Whether a namespace with a tap can be made here."""
    command = "ip link set lo up && ip tuntap add hlprobe mode tap"
    return os.geteuid() == 0 and subprocess.run(["unshare", "--net", "sh", "-c", command], capture_output=True, check=False).returncode == 0


def main():
    signal.signal(signal.SIGTERM, interrupt)
    kind = "tap" if wire.INSIDE in os.environ or namespace_is_possible() else "user"
    if kind == "tap":
        wire.enter_namespace()
    boots = COMPACT
    if sys.argv[1:] == ["matrix"]:
        boots = [(image, setting.arguments) for setting in switches.SETTINGS if setting.without != switches.AGAIN for image in DRIVES]
    logs = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or os.environ.get("TEST_TMPDIR") or "."
    failed = 0
    with runner.scratch() as directory:
        both = opponents.Opponents(("hartloop",), opponents.Machine(), directory)
        bench = runner.Bench(both, wire.Wire(kind), runner.Cores(1, wanted=False), logs, 0)
        for image, arguments in boots:
            error = check(bench, image, arguments)
            failed += bool(error)
            print("FAILED" if error else "good  ", f"{image:9} {arguments or switches.USUAL}", f": {error}" if error else "", flush=True)
    print(f"{len(boots)} boots over {kind}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
