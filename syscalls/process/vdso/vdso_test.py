#!/usr/bin/python3 -B
"""The vDSO as programs will find it: an ELF shared object that needs no loader, with every symbol
that C libraries look up under the version they ask for."""

import sys
import tempfile
import os

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import build_vdso  # noqa: E402

VERSION = "LINUX_4.15"
SYMBOLS = ["__vdso_rt_sigreturn", "__vdso_gettimeofday", "__vdso_clock_gettime", "__vdso_clock_getres",
           "__vdso_getcpu", "__vdso_flush_icache", "__vdso_riscv_hwprobe"]
SIGRETURN_CODE = bytes.fromhex("9308b008 73000000")  # li a7, 139; ecall: unwinders match it


def main():
    source, script = sys.argv[2], sys.argv[3]
    with tempfile.TemporaryDirectory() as directory:
        image = os.path.join(directory, "vdso.so")
        build_vdso.compile_vdso(source, script, image)
        build_vdso.check(image)
        versions = {words[7].split("@@")[0]: words[7].split("@@")[-1]
                    for words in (line.split() for line in build_vdso.read_elf(image, "--dyn-syms").splitlines())
                    if len(words) == 8 and "@@" in words[7]}
        for symbol in SYMBOLS:
            assert versions.get(symbol) == VERSION, "%s has version %s" % (symbol, versions.get(symbol))
        with open(image, "rb") as file:
            data = file.read()
        at = build_vdso.symbol(image, "__vdso_rt_sigreturn")
        assert data[at:at + 8] == SIGRETURN_CODE, data[at:at + 8].hex()
        header = build_vdso.read_elf(image, "-h")
        assert "RISC-V" in header and "DYN" in header, header
        assert len(data) <= 3 * 4096, "the kernel keeps room for 12 KiB, not for %d bytes" % len(data)


if __name__ == "__main__":
    main()
