"""What stands at an address of a kernel: the chain of functions inlined there, with source lines.

The kernel is optimised as a whole when it is linked, so most functions are inlined into few. The
chain of an instruction is a tuple of Frames, outermost first: the function that the linker knows,
then each that was inlined into the one before. DWARF tells it, by way of binutils' addr2line.
"""

import bisect
import collections
import re
import shutil
import subprocess

TOOLS = "riscv64-linux-gnu-"

Frame = collections.namedtuple("Frame", "function file line")
Range = collections.namedtuple("Range", "start end chain")


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
    path = re.sub(r"^.*/proc/self/cwd/|^\./", "", path).removeprefix("./")
    return Frame(function, path, int(line) if line.isdigit() else 0)


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


class Symbols:
    """The code of one kernel as ranges that have one chain each."""

    def __init__(self, elf):
        addresses, end = instructions(elf)
        if ".debug_info" not in run([tool("readelf"), "-SW", elf]):
            raise SymbolError(f"{elf} has no debug information; was it linked without -g?")
        chains = parse_chains(run([tool("addr2line"), "-a", "-i", "-f", "-e", elf], "\n".join(hex(a) for a in addresses)))
        self.addresses = addresses
        self.ranges = []
        for address in addresses:
            chain = chains.get(address) or (Frame("?", "?", 0),)
            if not self.ranges or self.ranges[-1].chain != chain:
                self.ranges.append(Range(address, 0, chain))
        ends = [later.start for later in self.ranges[1:]] + [end]
        self.ranges = [Range(here.start, there, here.chain) for here, there in zip(self.ranges, ends)]
        self.starts = [here.start for here in self.ranges]

    def chain(self, address):
        """The chain of an address, empty where no code of this kernel stands."""
        at = bisect.bisect_right(self.starts, address) - 1
        if at < 0 or address >= self.ranges[at].end:
            return ()
        return self.ranges[at].chain
