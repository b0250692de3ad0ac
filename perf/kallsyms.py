"""The functions of the Linux guest's kernel, from its own /proc/kallsyms.

Debian's kernel package has no symbols, so a guest is booted once whose program prints them, compressed, on the console. With
OPTIONS every boot of the same archive on the same machine of one hart has its kernel and its modules at the same addresses, so
they are kept in the cache.
"""

import base64
import hashlib
import os
import re
import zlib

import machine
import runner
import symbols
from model import MeasurementError

OPTIONS = "nokaslr"
BOOT_SECONDS = 120
BEGIN, END = "kallsyms-begin", "kallsyms-end"
SCRIPT = ("b=/linux/busybox; echo 0 >/proc/sys/kernel/kptr_restrict; "
          f"echo {BEGIN}; $b grep -i ' [tw] ' /proc/kallsyms | $b gzip -c | $b base64; echo {END}")
IMAGE = "redis"  # of no matter which: only busybox is used


def cache_path(bench):
    """Where the symbols of the bench's Linux are kept: the kernel, its archive, the machine and the options decide what they are."""
    kernel, archive, _ = bench.opponents.linux
    digest = hashlib.sha256(f"{os.path.basename(archive)} {bench.opponents.shape} {OPTIONS} {SCRIPT}".encode()).hexdigest()[:12]
    return os.path.join(os.path.dirname(kernel), f"kallsyms-{digest}")


def read_console(text):
    """The symbols that a console shows."""
    match = re.search(rf"^{BEGIN}$(.*)^{END}$", text, re.M | re.S)
    if not match:
        raise MeasurementError(f"Linux printed no symbols: {text[-300:]}")
    try:
        return zlib.decompress(base64.b64decode(match.group(1)), wbits=31).decode("ascii", "replace")
    except (ValueError, zlib.error) as error:
        raise MeasurementError(f"Linux's symbols arrived damaged: {error}") from error


def fetch(bench):
    """Boots Linux for its symbols."""
    runner.say("Linux is booted once for its symbols")
    options = bench.opponents.options("linux", IMAGE, (), "512M", OPTIONS)
    options.program = ["/linux/busybox", "sh", "-c", SCRIPT]
    options.net, options.forwards, _, _ = bench.wire.attach([1])
    options.log = os.path.join(bench.logs, "kallsyms.log")
    options.timeout = BOOT_SECONDS
    with machine.Machine(options, runner.say) as running:
        outcome = running.run()
        if outcome.kind != "exit":
            raise MeasurementError(f"Linux did not print its symbols: {outcome.detail}")
        return read_console(running.console())


def symbols_of(bench):
    """NameSymbols of the bench's Linux booted with OPTIONS."""
    path = cache_path(bench)
    if not os.path.exists(path):
        text = fetch(bench)
        with open(path + ".new", "w", encoding="ascii", errors="replace") as file:
            file.write(text)
        os.replace(path + ".new", path)
    with open(path, encoding="ascii") as file:
        return symbols.NameSymbols(file.read())
