"""Builds the vDSO and writes it as a C file that the kernel embeds.

The vDSO runs in user mode, so it is compiled for the programs' ABI (rv64gc, lp64d) rather than
the kernel's. The offset of the signal trampoline, which the kernel must know, is read from the
symbol table and written next to the image.
"""

import argparse
import os
import subprocess
import tempfile

PREFIX = "/usr/bin/riscv64-linux-gnu-"


def compile_vdso(source, script, output):
    root = os.path.normpath(os.path.join(os.path.dirname(source), "../../.."))
    subprocess.run([
        PREFIX + "gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-builtin",
        "-fPIC", "-fno-stack-protector", "-fasynchronous-unwind-tables", "-march=rv64gc", "-mabi=lp64d",
        "-mno-relax", "-I" + root, "-nostdlib", "-shared", "-Wl,-soname=linux-vdso.so.1", "-Wl,--hash-style=both",
        "-Wl,--build-id=none", "-Wl,-Bsymbolic", "-Wl,--eh-frame-hdr", "-Wl,-z,max-page-size=4096",
        "-Wl,--no-undefined", "-Wl,-T," + script, source, "-o", output,
    ], check=True)
    subprocess.run([PREFIX + "strip", "--strip-debug", output], check=True)


def read_elf(path, *arguments):
    return subprocess.run([PREFIX + "readelf", "-W", *arguments, path], check=True, capture_output=True, text=True).stdout


def check(path):
    """Refuses an image that would need a loader: relocations, or more than one segment."""
    if "R_RISCV" in read_elf(path, "-r"):
        raise SystemExit("the vDSO has relocations")
    if sum(" LOAD " in line for line in read_elf(path, "-l").splitlines()) != 1:
        raise SystemExit("the vDSO must have exactly one segment")


def symbol(path, name):
    for line in read_elf(path, "--dyn-syms").splitlines():
        words = line.split()
        if len(words) >= 8 and words[7].split("@")[0] == name:
            return int(words[1], 16)
    raise SystemExit("the vDSO lacks " + name)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True)
    parser.add_argument("--script", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        image = os.path.join(directory, "vdso.so")
        compile_vdso(arguments.source, arguments.script, image)
        check(image)
        sigreturn = symbol(image, "__vdso_rt_sigreturn")
        with open(image, "rb") as file:
            data = file.read()
    lines = ["/* Made by build_vdso.py from vdso.c. */", "#include <stddef.h>", "#include <stdint.h>", "",
             "extern const uint8_t vdso_image[];", "extern const size_t vdso_image_bytes, vdso_image_sigreturn;",
             "const size_t vdso_image_bytes = %d, vdso_image_sigreturn = %d;" % (len(data), sigreturn),
             "const uint8_t vdso_image[] = {"]
    for at in range(0, len(data), 16):
        lines.append("\t" + " ".join("0x%02x," % byte for byte in data[at:at + 16]))
    lines.append("};")
    with open(arguments.out, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
