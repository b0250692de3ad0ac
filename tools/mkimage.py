"""Makes a guest image: a cpio archive from Debian packages, directories and single files.

  mkimage.py --output IMAGE.cpio [--package FILE.deb]... [--library FILE.deb]...
             [--tree DIRECTORY] [--file PATH=SOURCE]... [--keep PATTERN]... [--drop PATTERN]...
             [--record RECORD.json]

Packages go in whole, less documentation and translations; every file is byte for byte as packaged.
From the libraries' packages come only the shared libraries that the programs in the image load,
with the dynamic loader. /etc/hartloop-packages names the packages and their versions.
"""

import argparse
import fnmatch
import io
import json
import os
import posixpath
import stat
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpio  # noqa: E402
import elf  # noqa: E402

# What no program opens.
DROPPED = [
    "usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/lintian/*",
    "usr/share/bash-completion/*", "usr/share/bug/*", "usr/share/menu/*", "usr/share/apport/*",
    "usr/lib/systemd/*", "etc/init.d/*", "etc/logrotate.d/*", "etc/ufw/*", "usr/lib/*/gconv/*",
]
LIBRARY_DIRECTORIES = ["usr/lib/riscv64-linux-gnu", "lib/riscv64-linux-gnu", "usr/lib", "lib"]
# Loaded by name at run time by glibc itself, to cancel threads.
ALWAYS_WITH_LIBC = "libgcc_s.so.1"
# Files that programs look for and that no package here brings.
DEFAULTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n10.0.2.15 hartloop\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib"}
DIRECTORIES = {"dev": 0o755, "etc": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755, "sys": 0o555,
               "tmp": 0o1777, "usr": 0o755, "var": 0o755, "var/tmp": 0o1777}


class ImageError(Exception):
    """The image can't be made; the text says why."""


class Entry:
    """A file of the image: its mode with its type, its data (a link's target for a link)."""

    def __init__(self, mode, data=b"", device=(0, 0)):
        self.mode, self.data, self.device = mode, data, device


def normal(path):
    """A path without leading slash or dots, with the merged /usr applied."""
    path = posixpath.normpath("/" + path).lstrip("/")
    first, slash, rest = path.partition("/")
    if slash and first in MERGED:
        return MERGED[first] + "/" + rest
    return path


def dropped(path, arguments):
    """Whether a packaged file is left out."""
    if any(fnmatch.fnmatch(path, pattern) for pattern in arguments.keep):
        return False
    return any(fnmatch.fnmatch(path, pattern) or path + "/*" == pattern for pattern in DROPPED + arguments.drop)


def read_package(path):
    """The files of a .deb, by path."""
    result = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise ImageError(f"{path} is not a Debian package")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
        for member in archive:
            name = normal(member.name)
            permissions = member.mode & 0o7777
            if not name or (name in MERGED and not member.issym()):
                continue
            if member.isdir():
                files[name] = Entry(stat.S_IFDIR | permissions)
            elif member.issym():
                files[name] = Entry(stat.S_IFLNK | 0o777, member.linkname.encode())
            elif member.isfile() or member.islnk():
                files[name] = Entry(stat.S_IFREG | permissions, archive.extractfile(member).read())
    return files


def read_tree(directory):
    """The files of a directory, by path; hard links become copies."""
    if not os.path.isdir(directory):
        raise ImageError(f"{directory} is not a directory")
    files = {}
    for parent, directories, names in os.walk(directory):
        for name in directories + names:
            source = os.path.join(parent, name)
            status = os.lstat(source)
            entry = Entry(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                entry.data = os.readlink(source).encode()
            elif stat.S_ISREG(status.st_mode):
                with open(source, "rb") as file:
                    entry.data = file.read()
            elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                entry.device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            elif not stat.S_ISDIR(status.st_mode):
                continue
            files[os.path.relpath(source, directory)] = entry
    return files


def resolve(files, path):
    """Follows links from a path to an entry's path, or None when there is none."""
    for _ in range(40):
        prefix, rest = "", path.split("/")
        while rest:
            prefix = posixpath.join(prefix, rest.pop(0))
            entry = files.get(prefix)
            if entry is not None and stat.S_ISLNK(entry.mode):
                target = posixpath.join("/", posixpath.dirname(prefix), entry.data.decode(), *rest)
                path = posixpath.normpath(target).lstrip("/")
                break
        else:
            return path if path in files else None
    return None


def add_libraries(files, libraries):
    """Adds the libraries that the programs of the image load, and those that these load in turn."""
    pool = {**libraries, **files}
    for directory, target in MERGED.items():
        pool.setdefault(directory, Entry(stat.S_IFLNK | 0o777, target.encode()))
    queue = [path for path, entry in files.items() if stat.S_ISREG(entry.mode)]
    seen = set(queue)

    def take(path, wanted_by):
        real = resolve(pool, normal(path))
        if real is None:
            return False
        link = normal(path)
        while link != real:
            files.setdefault(link, pool[link])
            link = normal(posixpath.join(posixpath.dirname(link), pool[link].data.decode()))
            if link not in pool:
                raise ImageError(f"the link {path}, needed by {wanted_by}, leads out of the image")
        files.setdefault(real, pool[real])
        if real not in seen:
            seen.add(real)
            queue.append(real)
        return True

    while queue:
        path = queue.pop()
        try:
            program = elf.Elf(files[path].data)
        except elf.NotElf:
            continue
        if program.interpreter and not take(program.interpreter, path):
            raise ImageError(f"{path} needs {program.interpreter}, which no package here holds")
        for name in program.needed:
            if not any(take(f"{directory}/{name}", path) for directory in LIBRARY_DIRECTORIES):
                raise ImageError(f"{path} needs {name}, which no package here holds")
            if name == "libc.so.6":
                for directory in LIBRARY_DIRECTORIES:
                    take(f"{directory}/{ALWAYS_WITH_LIBC}", path)


def add_frame(files):
    """The directories that every root has, and the parents of every file."""
    for path, permissions in DIRECTORIES.items():
        files.setdefault(path, Entry(stat.S_IFDIR | permissions))
    for path, text in DEFAULTS.items():
        files.setdefault(path, Entry(stat.S_IFREG | 0o644, text.encode()))
    for path in list(files):
        parent = posixpath.dirname(path)
        while parent and parent not in files:
            files[parent] = Entry(stat.S_IFDIR | 0o755)
            parent = posixpath.dirname(parent)
    for link, target in MERGED.items():
        if target in files:
            files.setdefault(link, Entry(stat.S_IFLNK | 0o777, target.encode()))


def package_list(paths, record):
    """The text of /etc/hartloop-packages."""
    lines = []
    for path in paths:
        name = os.path.basename(path)
        known = record.get(name)
        if known:
            lines.append(f"{known['name']} {known['version']} sha256:{known['sha256']}\n")
        else:
            lines.append(name + "\n")
    return "".join(sorted(set(lines)))


def write(files, output):
    """Writes the archive, parents before children."""
    with open(output, "wb") as file:
        writer = cpio.Writer(file)
        for path in sorted(files):
            entry = files[path]
            writer.add(path, entry.mode, entry.data, entry.device)
        writer.finish()


def parse_file_argument(text):
    """PATH=SOURCE of --file."""
    path, equals, source = text.partition("=")
    if not equals or not path or not source:
        raise ImageError(f"--file wants PATH=SOURCE, not {text}")
    return normal(path), source


def build(arguments):
    """Makes the image that the arguments describe."""
    record = {}
    if arguments.record:
        with open(arguments.record, encoding="utf-8") as file:
            record = json.load(file)["packages"]
    files, libraries = {}, {}
    for path in arguments.library:
        libraries.update(read_package(path))
    for path in arguments.package:
        packaged = read_package(path)
        files.update({name: entry for name, entry in packaged.items() if not dropped(name, arguments)})
    for name, entry in libraries.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.keep):
            files.setdefault(name, entry)
    for path in arguments.tree:
        files.update(read_tree(path))
    for text in arguments.file:
        name, source = parse_file_argument(text)
        with open(source, "rb") as file:
            executable = os.access(source, os.X_OK)
            files[name] = Entry(stat.S_IFREG | (0o755 if executable else 0o644), file.read())
    if arguments.package or arguments.library:
        add_libraries(files, libraries)
        listing = package_list(arguments.package + arguments.library, record)
        files["etc/hartloop-packages"] = Entry(stat.S_IFREG | 0o644, listing.encode())
    add_frame(files)
    if arguments.program and resolve(files, arguments.program.lstrip("/")) is None:
        raise ImageError(f"the image holds no {arguments.program}")
    write(files, arguments.output)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@")
    parser.add_argument("--output", required=True)
    parser.add_argument("--program", help="fail unless the image holds this")
    parser.add_argument("--package", action="append", default=[])
    parser.add_argument("--library", action="append", default=[])
    parser.add_argument("--tree", action="append", default=[])
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--drop", action="append", default=[])
    parser.add_argument("--record")
    arguments = parser.parse_args()
    try:
        build(arguments)
    except (ImageError, OSError) as error:
        print(f"mkimage: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
