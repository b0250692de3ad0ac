"""As much of ELF as is needed to know which libraries a program loads and where a kernel ends."""

import struct

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB = 1, 5
EM_RISCV = 243


class NotElf(ValueError):
    """The data is not a 64-bit little-endian ELF file."""


class Elf:
    """The machine, the interpreter and the needed libraries of an ELF file; where its segments end in physical memory."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise NotElf("not a 64-bit little-endian ELF file")
        self.machine = struct.unpack_from("<H", data, 18)[0]
        offset, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        self._segments = [struct.unpack_from("<IIQQQQQQ", data, offset + size * i) for i in range(count)]
        self.physical_end = max((segment[4] + segment[6] for segment in self._segments if segment[0] == PT_LOAD), default=0)
        self.interpreter = ""
        self.needed = []
        for kind, _, start, _, _, length, _, _ in self._segments:
            if kind == PT_INTERP:
                self.interpreter = self._string(data, start)
            elif kind == PT_DYNAMIC:
                self._read_dynamic(data, start, length)

    def _read_dynamic(self, data, start, length):
        entries = [struct.unpack_from("<QQ", data, start + at) for at in range(0, length, 16)]
        strings = next((self._file_offset(value) for tag, value in entries if tag == DT_STRTAB), None)
        for tag, value in entries:
            if tag == 0:
                break
            if tag == DT_NEEDED:
                self.needed.append(self._string(data, strings + value))

    def _file_offset(self, address):
        for kind, _, start, virtual, _, length, _, _ in self._segments:
            if kind == PT_LOAD and virtual <= address < virtual + length:
                return start + address - virtual
        raise NotElf("an address of the dynamic section is in no segment")

    @staticmethod
    def _string(data, start):
        return data[start:data.index(b"\0", start)].decode()
