"""hl setup: installs what Hartloop needs on this machine and fetches the guests' Debian packages.

Quick when everything is there. Nothing of the machine's apt configuration is changed.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian  # noqa: E402

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GUEST_SUITE = "trixie"
GUEST_ARCHITECTURE = "riscv64"
OLDEST_QEMU = (9, 0)

# A program that must be there, and the package that brings it. The second column is for backports.
HOST_PROGRAMS = [
    ("bazel", "bazel-bootstrap", False),
    ("gcc", "gcc", False),
    ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu", False),
    ("qemu-system-riscv64", "qemu-system-riscv", True),
    ("passt", "passt", False),
    ("ip", "iproute2", False),
    ("redis-cli", "redis-tools", False),
    ("iperf3", "iperf3", False),
]
HOST_FILES = [
    ("/usr/include/stdlib.h", "libc6-dev", False),
    ("/usr/riscv64-linux-gnu/include/stdlib.h", "libc6-dev-riscv64-cross", False),
    ("/usr/lib/python3/dist-packages/matplotlib/__init__.py", "python3-matplotlib", False),
    ("/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin", "opensbi", True),
    (debian.KEYRING, "debian-archive-keyring", False),
]
# Besides, for `hl perf` and the tests of its parts: the other load generators, and what draws the plots.
PERF_PROGRAMS = [
    ("wrk", "wrk", False),
    ("ab", "apache2-utils", False),
]
PERF_FILES = [("/usr/lib/python3/dist-packages/matplotlib/__init__.py", "python3-matplotlib", False)]

# What the images are made of: the packages whose files are wanted whole. Of the packages that
# these depend on, only the libraries are fetched, and tools/mkimage.py takes those it needs.
PACKAGE_SETS = {
    "redis": ["redis-server", "redis-tools"],
    "iperf3": ["iperf3"],
    "nginx": ["nginx", "nginx-common"],
    "memcached": ["memcached"],
    "busybox": ["busybox-static"],
    "wrk": ["wrk"],
}
# Only for comparisons with Linux: 112 MB, fetched by `hl setup --linux`.
LINUX_SET = {"linux": ["linux-image-riscv64"]}
# Only for KVM where the machine has none for riscv64: what the nested host runs, besides that kernel and busybox; 18 MB.
NESTED_SET = {"nested": ["qemu-system-riscv"]}


def say(text):
    """Progress goes to standard error, so that `hl run` keeps its standard output for the guest."""
    print("hl setup: " + text, file=sys.stderr, flush=True)


def cache_directory():
    """Where fetched packages and made images live."""
    return os.path.abspath(os.environ.get("HL_CACHE") or os.path.join(REPOSITORY, ".hl"))


def qemu_version():
    """The version of QEMU as a tuple, or None."""
    program = os.environ.get("HL_QEMU", "qemu-system-riscv64")
    if not shutil.which(program):
        return None
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version (\d+)\.(\d+)", output)
    return (int(match.group(1)), int(match.group(2))) if match else None


def missing_packages(perf):
    """The host packages to install: (name, from backports)."""
    missing = []
    for program, package, backports in HOST_PROGRAMS + (PERF_PROGRAMS if perf else []):
        present = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program == "qemu-system-riscv64":
            version = qemu_version()
            present = version is not None and version >= OLDEST_QEMU
        if not present:
            missing.append((package, backports))
    files = HOST_FILES + (PERF_FILES if perf else [])
    missing += [(package, backports) for path, package, backports in files if not os.path.exists(path)]
    return missing


def install(missing, cache):
    """Installs Debian packages on this machine."""
    names = [name for name, _ in missing]
    release = debian.codename()
    sources = debian.host_sources(debian.machine_sources(), release)
    apt = debian.Apt(os.path.join(cache, "apt", "host"), sources)
    privilege = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise debian.SetupError("as root, install these packages: " + " ".join(names))
        privilege = ["sudo"]
    say("fetching package lists")
    apt.update(check=False)
    targets = []
    for name, backports in missing:
        targets.append(f"{name}/{release}-backports" if backports and release == "bookworm" else name)
        if name == "qemu-system-riscv" and release == "bookworm":
            # Its helpers must be of the same version.
            targets += [f"{extra}/{release}-backports" for extra in ("qemu-system-common", "qemu-system-data", "opensbi")]
    targets = list(dict.fromkeys(targets))
    say("installing " + " ".join(names))
    log = os.path.join(cache, "install.log")
    command = privilege + apt.command(
        "apt-get", "install", "-y", "-q", "--no-install-recommends", *targets)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    with open(log, "w", encoding="utf-8") as file:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, check=False)
    if result.returncode != 0:
        with open(log, encoding="utf-8", errors="replace") as file:
            said = [line.strip() for line in file if line.startswith(("E:", "dpkg: error"))]
        raise debian.SetupError(f"apt-get could not install {' '.join(names)}: {' '.join(said[-2:])} (log: {log})")
    shutil.rmtree(os.path.join(cache, "apt", "host", "cache"), ignore_errors=True)


def wanted(name, roots):
    """Of a closure, the roots and the libraries."""
    return name in roots or name.startswith(("lib", "zlib", "linux-image-"))


def fetch(sets, cache, record_path, kept):
    """Fetches package sets for the guest; `kept` is the record of what is there already."""
    packages = os.path.join(cache, "packages")
    debs = os.path.join(packages, "debs")
    os.makedirs(debs, exist_ok=True)
    archive = debian.mirror(debian.machine_sources(), debian.codename())
    apt = debian.Apt(
        os.path.join(cache, "apt", GUEST_ARCHITECTURE),
        [debian.Source(archive, GUEST_SUITE, "main", debian.KEYRING)], GUEST_ARCHITECTURE)
    say(f"fetching the list of Debian {GUEST_SUITE} packages for {GUEST_ARCHITECTURE}")
    apt.update()
    closures = {}
    for name, roots in sets.items():
        closures[name] = [pair for pair in apt.closure(roots) if wanted(pair[0], roots)]
    pairs = sorted({pair for closure in closures.values() for pair in closure})
    files = {}
    there = set(os.listdir(debs))
    absent = []
    for name, version in pairs:
        stem = f"{name}_{version.replace(':', '%3a')}_"
        found = [file for file in there if file.startswith(stem)]
        if not found:
            absent.append((name, version))
    if absent:
        say(f"downloading {len(absent)} packages for " + ", ".join(sorted(sets)))
        apt.download(debs, absent)
        there = set(os.listdir(debs))
    for name, version in pairs:
        stem = f"{name}_{version.replace(':', '%3a')}_"
        files[(name, version)] = next(file for file in there if file.startswith(stem))
    record = kept
    record["suite"] = GUEST_SUITE
    record["roots"].update(sets)
    for name, closure in closures.items():
        record["sets"][name] = sorted(files[pair] for pair in closure)
    for (name, version), file in files.items():
        with open(os.path.join(debs, file), "rb") as handle:
            digest = hashlib.sha256(handle.read()).hexdigest()
        record["packages"][file] = {"name": name, "version": version, "sha256": digest}
    temporary = record_path + ".new"
    with open(temporary, "w", encoding="utf-8") as handle:
        json.dump(record, handle, indent=1, sort_keys=True)
    os.replace(temporary, record_path)


def load_record(path):
    """What was fetched before."""
    empty = {"suite": GUEST_SUITE, "roots": {}, "sets": {}, "packages": {}}
    try:
        with open(path, encoding="utf-8") as file:
            return {**empty, **json.load(file)}
    except (FileNotFoundError, ValueError):
        return empty


def ensure(linux=False, update=False, quiet=False, perf=False, nested=False):
    """Makes everything be there; raises debian.SetupError when it can't."""
    started = time.monotonic()
    cache = cache_directory()
    os.makedirs(cache, exist_ok=True)
    missing = missing_packages(perf)
    if missing:
        install(missing, cache)
        still = [name for name, _ in missing_packages(perf)]
        if still:
            raise debian.SetupError("still missing after installing: " + " ".join(still))
    record_path = os.path.join(cache, "packages", "record.json")
    record = load_record(record_path)
    sets = dict(PACKAGE_SETS)
    if linux or nested or (update and "linux" in record["sets"]):
        sets.update(LINUX_SET)
    if nested or (update and "nested" in record["sets"]):
        sets.update(NESTED_SET)
    debs = os.path.join(cache, "packages", "debs")
    due = {}
    for name, roots in sets.items():
        fetched = record["roots"].get(name) == roots and all(
            os.path.exists(os.path.join(debs, file)) for file in record["sets"].get(name, [""]))
        if update or not fetched:
            due[name] = roots
    if due:
        fetch(due, cache, record_path, record)
    if missing or due or not quiet:
        count = len(record["packages"])
        say(f"ready in {time.monotonic() - started:.1f} s: {count} guest packages of Debian {record['suite']} in {debs}")


def main():
    parser = argparse.ArgumentParser(
        prog="hl setup", description="Installs what Hartloop needs and fetches the guests' packages.", allow_abbrev=False)
    parser.add_argument("--linux", action="store_true", help="also fetch Debian's Linux kernel, for comparisons")
    parser.add_argument("--nested", action="store_true", help="also fetch what KVM takes on a machine without it, Linux included")
    parser.add_argument("--update", action="store_true", help="fetch the packages' newest versions")
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    options = parser.parse_args()
    try:
        ensure(options.linux, options.update, options.quiet, perf=True, nested=options.nested)
    except debian.SetupError as error:
        say("error: " + str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
