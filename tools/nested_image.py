"""Makes the nested host's files: Debian's Linux kernel, and an archive with KVM's modules, QEMU, busybox and our init.

  nested_image.py --kernel VMLINUX --archive HOST.cpio --init SCRIPT --package FILE.deb...

tools/nested.py says what they are for. Of the packages the archive holds what QEMU needs to run a guest under KVM.
"""

import argparse
import lzma
import os
import re
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mkimage  # noqa: E402

QEMU = "usr/bin/qemu-system-riscv64"
BUSYBOX = "usr/bin/busybox"
# What the host uses; the modules that these need are found in them.
MODULES = ["kvm", "tun", "vhost_net", "bridge", "virtio_net", "9pnet_virtio", "9p"]


def module_needs(data):
    """The names of the modules that one needs, from its section .modinfo."""
    match = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name for name in match.group(1).decode().split(",") if name] if match else []


def add_modules(files, package):
    """Puts the modules into /modules, and their names, in the order of loading, into /modules/order."""
    packed = {os.path.basename(path)[:-len(".ko.xz")].replace("-", "_"): entry
              for path, entry in package.items() if path.endswith(".ko.xz")}
    order = []

    def take(name):
        if name in order or name not in packed:  # a module that is not there is built into the kernel
            return
        data = lzma.decompress(packed[name].data)
        for needed in module_needs(data):
            take(needed.replace("-", "_"))
        order.append(name)
        files[f"modules/{name}.ko"] = mkimage.Entry(stat.S_IFREG | 0o644, data)

    for name in MODULES:
        take(name)
    files["modules/order"] = mkimage.Entry(stat.S_IFREG | 0o644, "".join(name + "\n" for name in order).encode())


def build(arguments):
    """Makes both files."""
    pool, linux = {}, {}
    for path in arguments.package:
        package = mkimage.read_package(path)
        if os.path.basename(path).startswith("linux-image-"):
            linux.update(package)
        else:
            pool.update(package)
    kernel = next((entry for path, entry in linux.items() if path.startswith("boot/vmlinu")), None)
    if kernel is None or QEMU not in pool or BUSYBOX not in pool:
        raise mkimage.ImageError("the nested host's packages are not there; run ./hl setup --nested")
    files = {path: pool[path] for path in (QEMU, BUSYBOX)}
    add_modules(files, linux)
    with open(arguments.init, "rb") as file:
        files["init"] = mkimage.Entry(stat.S_IFREG | 0o755, file.read())
    files["hl"] = mkimage.Entry(stat.S_IFDIR | 0o755)
    mkimage.add_libraries(files, pool)
    mkimage.add_frame(files)
    mkimage.write(files, arguments.archive)
    with open(arguments.kernel, "wb") as file:
        file.write(kernel.data)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@")
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--archive", required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--package", action="append", default=[])
    try:
        build(parser.parse_args())
    except (mkimage.ImageError, OSError) as error:
        print(f"nested_image: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
