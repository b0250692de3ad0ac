"""Links the kernel: every object of the given archives, with the given linker script.

Linked at least twice, so that the kernel can name the functions of a backtrace: each pass gives
the addresses from which the next pass's symbol table is made, until the table no longer changes.
The program that makes the table from the output of nm is the kernel's own (--symbols).

The objects hold the compiler's intermediate code, so that each pass also compiles the kernel as one
unit: it inlines across files. What the objects were compiled with goes along with them.
"""

import argparse
import os
import subprocess
import sys
import tempfile

GCC = "/usr/bin/riscv64-linux-gnu-gcc"
NM = "/usr/bin/riscv64-linux-gnu-nm"
OBJCOPY = "/usr/bin/riscv64-linux-gnu-objcopy"
MOST_PASSES = 4


def link(arguments, output, extra):
    """Links the archives whole, plus the extra objects, into output."""
    command = [
        GCC, "-flto=%d" % (os.cpu_count() or 1), "-O3", "-ffreestanding", "-fomit-frame-pointer",
        "-nostdlib", "-static", "-march=rv64imac_zicsr_zifencei_zba_zbb", "-mabi=lp64", "-mcmodel=medany",
        "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096", "-Wl,-z,noexecstack",
        "-Wl,--fatal-warnings", "-Wl,--no-warn-rwx-segments",
        "-Wl,-T," + arguments.script, "-o", output,
        "-Wl,--whole-archive", *arguments.archives, "-Wl,--no-whole-archive", *extra, "-lgcc",
    ]
    subprocess.run(command, check=True)


def symbol_table(arguments, elf):
    """The assembly text of the symbol table of a linked kernel."""
    names = subprocess.run([NM, "-n", elf], check=True, stdout=subprocess.PIPE).stdout
    return subprocess.run(
        ["/usr/bin/python3", "-B", arguments.symbols], input=names, check=True, stdout=subprocess.PIPE).stdout


def link_with_symbols(arguments):
    """Links until the symbol table in the file is the file's own."""
    link(arguments, arguments.elf, [])
    table = symbol_table(arguments, arguments.elf)
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "symbols.S")
        for _ in range(MOST_PASSES):
            with open(source, "wb") as file:
                file.write(table)
            link(arguments, arguments.elf, [source])
            previous, table = table, symbol_table(arguments, arguments.elf)
            if table == previous:
                return
    sys.exit("link_kernel: the symbol table does not settle")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", required=True)
    parser.add_argument("--symbols")
    parser.add_argument("--elf", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("archives", nargs="+")
    arguments = parser.parse_args()
    if arguments.symbols:
        link_with_symbols(arguments)
    else:
        link(arguments, arguments.elf, [])
    subprocess.run([OBJCOPY, "-O", "binary", arguments.elf, arguments.image], check=True)


if __name__ == "__main__":
    main()
