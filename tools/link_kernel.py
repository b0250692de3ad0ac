"""Links the kernel: every object of the given archives, with the given linker script.

Linked in two passes, so that the kernel can name the functions of a backtrace: the first pass
gives the addresses, from which a symbol table is made; the second pass contains the table, which
the linker script places after everything else, so that no address moves. A linker script that
does not mention the section .symtab_blob gets one pass.

The table, little-endian, is what core/symbols.h describes.
"""

import argparse
import os
import subprocess
import tempfile

GCC = "/usr/bin/riscv64-linux-gnu-gcc"
OBJCOPY = "/usr/bin/riscv64-linux-gnu-objcopy"


def link(arguments, output, extra):
    """Links the archives whole, plus the extra objects, into output."""
    command = [
        GCC, "-nostdlib", "-static", "-march=rv64imac_zicsr_zifencei", "-mabi=lp64",
        "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096", "-Wl,-z,noexecstack",
        "-Wl,--fatal-warnings", "-Wl,--no-warn-rwx-segments",
        "-Wl,-T," + arguments.script, "-o", output,
        "-Wl,--whole-archive", *arguments.archives, "-Wl,--no-whole-archive", *extra, "-lgcc",
    ]
    subprocess.run(command, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", required=True)
    parser.add_argument("--elf", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("archives", nargs="+")
    arguments = parser.parse_args()
    link(arguments, arguments.elf, [])
    subprocess.run([OBJCOPY, "-O", "binary", arguments.elf, arguments.image], check=True)


if __name__ == "__main__":
    main()
