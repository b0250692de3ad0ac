"""The cpio archive of the format `newc` that becomes a guest's initial root.

The data of every regular file of a page or more starts on a page boundary of the archive, because
the kernel maps file pages in place. The room before it is made by padding the file's name with
NUL bytes, which the format permits: readers take the name up to its first NUL.
"""

import stat

PAGE = 4096
MAGIC = b"070701"
HEADER_BYTES = 110
LONGEST_NAME = 4096  # with its NUL; Linux refuses more


class Writer:
    """Appends entries to a binary file."""

    def __init__(self, file):
        self.file = file
        self.offset = 0
        self.inode = 0

    def _write(self, data):
        self.file.write(data)
        self.offset += len(data)

    def add(self, name, mode, data=b"", device=(0, 0), modified=0):
        """One entry; `mode` holds the file's type and its permissions."""
        encoded = name.encode() + b"\0"
        if stat.S_ISREG(mode) and len(data) >= PAGE:
            padding = -(self.offset + HEADER_BYTES + len(encoded)) % PAGE
            if len(encoded) + padding > LONGEST_NAME:
                self._fill(padding)
                padding = -(self.offset + HEADER_BYTES + len(encoded)) % PAGE
            encoded += bytes(padding)
        self._entry(encoded, mode, data, device, modified)

    def _fill(self, room):
        """Moves the offset by at most `room`, about a page, and hardly less, with an entry for the root directory."""
        name_bytes = (room - HEADER_BYTES - 2 & ~3) + 2  # so that the entry ends on a multiple of 4 without more bytes
        self._entry(b".".ljust(name_bytes, b"\0"), stat.S_IFDIR | 0o755, b"", (0, 0), 0)

    def _entry(self, encoded, mode, data, device, modified):
        self.inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = [
            self.inode, mode, 0, 0, links, modified, len(data), 0, 0, device[0], device[1], len(encoded), 0]
        self._write(MAGIC + b"".join(b"%08X" % field for field in fields) + encoded)
        self._write(bytes(-self.offset % 4))
        self._write(data)
        self._write(bytes(-self.offset % 4))

    def finish(self):
        """The entry that ends the archive."""
        self.inode = -1
        self.add("TRAILER!!!", 0)


def read(data):
    """Yields (name, mode, offset of the data, data) of each entry; raises ValueError on a bad archive."""
    offset = 0
    while True:
        if data[offset:offset + 6] != MAGIC:
            raise ValueError(f"no cpio header at {offset}")
        fields = [int(data[offset + 6 + 8 * i:offset + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_bytes = fields[1], fields[6], fields[11]
        name_start = offset + HEADER_BYTES
        name = data[name_start:name_start + name_bytes].split(b"\0", 1)[0].decode()
        start = (name_start + name_bytes + 3) & ~3
        if name == "TRAILER!!!":
            return
        yield name, mode, start, data[start:start + size]
        offset = (start + size + 3) & ~3
