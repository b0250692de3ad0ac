"""Debian's Linux kernel as a guest for the same images: the reference for behaviour and speed.

Makes, in the cache of `hl setup --linux`, the kernel and a small archive that is appended to an
image: busybox, the network driver's modules and a script that sets the address of the command
line's ip= option and runs the program behind ` -- `. The script prints the program's status as
`linux-init: exit N` and powers the machine off.
"""

import argparse
import dataclasses
import hashlib
import lzma
import os
import re
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpio  # noqa: E402
import mkimage  # noqa: E402
import setup  # noqa: E402

# What is put on the command line of a Linux that is to be as fast as it can be made reasonably.
FAST_OPTIONS = ("console=ttyS0 quiet loglevel=1 rdinit=/linux/init mitigations=off init_on_alloc=0 hardened_usercopy=off "
                "audit=0 lsm=capability nowatchdog preempt=none")

# In the order in which they must be loaded; some kernels have some of them built in.
MODULES = ["virtio_mmio", "failover", "net_failover", "virtio_net"]

# Limits of which a server with many connections must not run out.
SYSCTLS = {
    "fs/nr_open": "1048576",
    "net/core/somaxconn": "65535",
    "net/ipv4/tcp_max_syn_backlog": "65535",
    "net/ipv4/tcp_syncookies": "0",
    "net/ipv4/tcp_max_tw_buckets": "262144",
    "vm/overcommit_memory": "1",
}

INIT = r"""#!/linux/busybox sh
b=/linux/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
$b mount -t tmpfs tmp /tmp
for m in %(modules)s; do [ -e /linux/$m.ko ] && $b insmod /linux/$m.ko; done
%(sysctls)s
ulimit -n 1048576
$b ip link set lo up
for word in $($b cat /proc/cmdline); do
    case $word in
    ip=*) address=${word#ip=} ;;
    env=*) export "${word#env=}" ;;
    --) break ;;
    esac
done
if [ -n "$address" ]; then
    $b ip link set eth0 up
    $b ip addr add ${address%%,*} dev eth0
    $b ip route add default via ${address#*,}
fi
$b ping -c 1 -W 1 ${address#*,} >/dev/null 2>&1
while read name amount unit; do
    case $name in MemFree:) free=$amount ;; Cached:) cached=$amount ;; esac
done </proc/meminfo
echo "linux-init: memory free $free kB, of files $cached kB"
echo "linux-init: ready"
[ "$1" = nokaslr ] && shift # which riscv64's kernel obeys, and still passes on
"$@"
echo "linux-init: exit $?"
$b poweroff -f
"""


def prepare(cache=None):
    """Makes the files unless they are there; returns (kernel, archive, release of the kernel)."""
    cache = cache or setup.cache_directory()
    record = setup.load_record(os.path.join(cache, "packages", "record.json"))
    debs = os.path.join(cache, "packages", "debs")
    names = [name for name in record["sets"].get("linux", []) if re.match(r"linux-image-\d", name)]
    if not names or not os.path.exists(os.path.join(debs, names[0])):
        raise mkimage.ImageError("Debian's Linux kernel is not there; run ./hl setup --linux")
    text = INIT % {"modules": " ".join(MODULES),
                   "sysctls": "\n".join(f"echo {value} >/proc/sys/{name}" for name, value in SYSCTLS.items())}
    directory = os.path.join(cache, "linux", names[0])
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    kernel, archive = os.path.join(directory, "vmlinux"), os.path.join(directory, f"init-{version}.cpio")
    release = re.match(r"linux-image-([^_]+)_", names[0]).group(1)
    if os.path.exists(archive):
        return kernel, archive, release
    os.makedirs(directory, exist_ok=True)
    files = mkimage.read_package(os.path.join(debs, names[0]))
    if not os.path.exists(kernel):
        with open(kernel + ".new", "wb") as file:
            file.write(next(entry.data for path, entry in files.items() if path.startswith("boot/vmlinu")))
        os.replace(kernel + ".new", kernel)
    busybox = mkimage.read_package(os.path.join(debs, record["sets"]["busybox"][0]))
    with open(archive + ".new", "wb") as file:
        writer = cpio.Writer(file)
        writer.add("linux", stat.S_IFDIR | 0o755)
        writer.add("linux/busybox", stat.S_IFREG | 0o755, busybox["usr/bin/busybox"].data)
        for module in MODULES:
            for path, entry in files.items():
                if os.path.basename(path) == module + ".ko.xz":
                    writer.add(f"linux/{module}.ko", stat.S_IFREG | 0o644, lzma.decompress(entry.data))
        writer.add("linux/init", stat.S_IFREG | 0o755, text.encode())
        writer.finish()
    os.replace(archive + ".new", archive)
    return kernel, archive, release


def combine(image, archive, output):
    """Writes an image followed by the archive; Linux unpacks both."""
    with open(output, "wb") as out:
        for path in (image, archive):
            with open(path, "rb") as file:
                out.write(file.read())
            out.write(bytes(-out.tell() % 512))


def same_machine(options, directory):
    """machine.Options of Hartloop's with Linux in its place. directory: where the archive is made, once for each image."""
    kernel, archive, _ = prepare()
    combined = os.path.join(directory, os.path.basename(options.image).removesuffix(".cpio") + "-linux.cpio")
    if not os.path.exists(combined):
        combine(options.image, archive, combined + ".new")
        os.replace(combined + ".new", combined)
    return dataclasses.replace(options, kernel=kernel, image=combined, append=f"{FAST_OPTIONS} {options.append}".strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="a guest image")
    parser.add_argument("output", help="the archive for Linux")
    arguments = parser.parse_args()
    kernel, archive, _ = prepare()
    combine(arguments.image, archive, arguments.output)
    print(kernel)


if __name__ == "__main__":
    main()
