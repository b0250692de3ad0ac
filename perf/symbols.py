"""What stands at an address of a kernel: the chain of functions inlined there, with source lines.

Hartloop is optimised as a whole when it is linked, so most functions are inlined into few. The chain
of an instruction is a tuple of Frames, outermost first: the function that the linker knows, then each
that was inlined into the one before. DWARF tells it, by way of binutils' addr2line. Of Linux only the
names and addresses of functions are known, from the running guest.
"""

import bisect
import collections
import re
import shutil
import subprocess

TOOLS = "riscv64-linux-gnu-"

Frame = collections.namedtuple("Frame", "function file line")
UNKNOWN = Frame("?", "", 0)

# Of Hartloop's as well as of Linux's images on this machine.
LOADED_AT, LOADED_END = 0x80200000, 0xC0000000
LINKED_AT = 0xFFFFFFFF80000000


class SymbolError(Exception):
    """A kernel's symbols can't be read; the text says why."""


def tool(name):
    """One of the cross binutils."""
    found = shutil.which(TOOLS + name, path="/usr/bin:/usr/local/bin")
    if not found:
        raise SymbolError(f"there is no {TOOLS}{name}; ./hl setup installs it")
    return found


def run(command, text=None):
    """What a tool prints."""
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SymbolError(f"{' '.join(command)}: {result.stderr.strip()[-300:]}")
    return result.stdout


def instructions(elf):
    """The addresses of all instructions, ascending, and the end of the last."""
    listing = run([tool("objdump"), "-d", elf])
    found = re.findall(r"^ *([0-9a-f]+):\t([0-9a-f]+) ", listing, re.M)
    if not found:
        raise SymbolError(f"{elf}: no code")
    addresses = [int(address, 16) for address, _ in found]
    return addresses, addresses[-1] + len(found[-1][1]) // 2


def parse_frame(function, place):
    """A Frame of two lines of addr2line's."""
    path, _, line = place.partition(" (")[0].rpartition(":")
    path = re.sub(r"^.*/(proc/self/cwd|execroot/[^/]+)/|^\./", "", path).removeprefix("./")
    if path.startswith(("<", "?")):
        path = ""  # of the compiler's own
    name = function.partition(".")[0] or function  # without what the compiler marks its copies and parts of functions with
    return Frame(name, path, int(line) if line.isdigit() else 0)


def collapse(frames):
    """Without the frames of functions that the compiler inlined into themselves, piece by piece."""
    return tuple(frame for frame, inner in zip(frames, frames[1:] + [None]) if not inner or inner[:2] != frame[:2])


def parse_chains(text):
    """addr2line -a -i -f: for each address its chain, outermost first."""
    chains = {}
    address, lines = None, []
    for line in text.splitlines() + ["0x0"]:
        if not line.startswith("0x"):
            lines.append(line)
            continue
        if address is not None:
            chains[address] = collapse([parse_frame(*pair) for pair in zip(lines[-2::-2], lines[-1::-2])])
        address, lines = int(line, 16), []
    return chains


def linked(address):
    """Where code is linked that runs at this address: kernels begin where they were loaded, before they switch the MMU on."""
    if LOADED_AT <= address < LOADED_END:
        return address - LOADED_AT + LINKED_AT
    return address


class ElfSymbols:
    """A kernel of which there is the ELF file with debug information: its code as ranges that have one chain each."""

    def __init__(self, elf):
        addresses, end = instructions(elf)
        if ".debug_info" not in run([tool("readelf"), "-SW", elf]):
            raise SymbolError(f"{elf} has no debug information; was it linked without -g?")
        chains = parse_chains(run([tool("addr2line"), "-a", "-i", "-f", "-e", elf], "\n".join(hex(a) for a in addresses)))
        self.addresses = addresses
        self.end = end
        self.chains = [chains.get(address) or (UNKNOWN,) for address in addresses]

    def _index(self, address):
        """The number of the instruction at or before an address, -1 outside."""
        address = linked(address)
        return bisect.bisect_right(self.addresses, address) - 1 if address < self.end else -1

    def chain(self, address):
        """The chain of an address."""
        at = self._index(address)
        return self.chains[at] if at >= 0 else (UNKNOWN,)

    def split(self, address, count):
        """Chain -> how many of `count` consecutive instructions are of it."""
        at = self._index(address)
        if at < 0:
            return {(UNKNOWN,): count}
        return collections.Counter(self.chains[at:at + count])


class NameSymbols:
    """A kernel of which only the functions' addresses are known, as Linux tells them in /proc/kallsyms."""

    def __init__(self, text):
        found = {}
        for address, name, module in re.findall(r"^([0-9a-f]{16}) [tTwW] (\S+)(?:\t\[(\S+)\])?$", text, re.M):
            if not name.startswith((".L", "$")):
                found.setdefault(int(address, 16), Frame(name, module, 0))
        if not found:
            raise SymbolError("the kernel names no functions")
        self.addresses, self.frames = zip(*sorted(found.items()))

    def chain(self, address):
        """The function of an address."""
        at = bisect.bisect_right(self.addresses, linked(address)) - 1
        return (self.frames[at],) if at >= 0 else (UNKNOWN,)

    def split(self, address, count):
        """Like ElfSymbols.split; consecutive instructions without a jump are of one function."""
        return {self.chain(address): count}
