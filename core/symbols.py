"""Makes the kernel's symbol table: reads `nm -n` of the first link, writes an assembly file.

The file defines the section .symbols, which core/kernel.lds places behind all code, so that the
second link, which contains it, moves no function:

    u32 count
    u32 offsets[count]    of each function from image_start, ascending
    u32 names[count]      offset of its name in the text that follows
    NUL-terminated names

Usage: riscv64-linux-gnu-nm -n kernel.elf | python3 symbols.py > symbols.S
"""

import sys


def main():
    functions = []
    start = None
    for line in sys.stdin:
        fields = line.split()
        if len(fields) != 3:
            continue
        address, kind, name = int(fields[0], 16), fields[1], fields[2]
        if not name.startswith("."):
            name = name.split(".")[0]  # the compiler marks its copies and parts of functions so
        if name == "image_start":
            start = address
        if kind in "tTW" and not name.startswith((".L", "$")):
            if functions and functions[-1][0] == address:
                functions[-1] = (address, name)
            else:
                functions.append((address, name))
    if start is None:
        sys.exit("symbols.py: no image_start")
    out = ['\t.section .symbols, "a"', "\t.balign 4", "\t.word %d" % len(functions)]
    out += ["\t.word %#x" % (address - start) for address, _ in functions]
    position = 0
    names = []
    for _, name in functions:
        out.append("\t.word %d" % position)
        names.append('\t.asciz "%s"' % name)
        position += len(name) + 1
    print("\n".join(out + names))


if __name__ == "__main__":
    main()
