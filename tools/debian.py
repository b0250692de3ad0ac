"""Debian's archive as this machine sees it: mirrors, isolated apt configurations, package closures.

Nothing here names a mirror: the address comes from the machine's own apt configuration, in both
of its formats, or from the environment variable HL_MIRROR.
"""

import dataclasses
import glob
import os
import re
import shlex
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class SetupError(Exception):
    """Something the person can act on; the text says what."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One line of an apt source list of the type `deb`."""

    uri: str
    suite: str
    components: str
    signed_by: str

    def line(self):
        """The one-line form of the source."""
        option = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {option}{self.uri} {self.suite} {self.components}\n"


def codename():
    """The release of this machine, such as bookworm."""
    with open("/etc/os-release", encoding="utf-8") as release:
        for line in release:
            if line.startswith("VERSION_CODENAME="):
                return line.split("=", 1)[1].strip().strip('"')
    return ""


def parse_one_line_sources(text):
    """Sources of the one-line format (sources.list, *.list)."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if not match:
            continue
        options, uri, suite, components = match.groups()
        signed = re.search(r"signed-by=(\S+)", options or "")
        sources.append(Source(uri.rstrip("/"), suite, components.strip(), signed.group(1) if signed else ""))
    return sources


def parse_deb822_sources(text):
    """Sources of the deb822 format (*.sources)."""
    sources = []
    for stanza in re.split(r"\n\s*\n", text):
        fields, key = {}, None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and key:
                fields[key] += "\n" + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        signed_by = fields.get("signed-by", "")
        if not signed_by.startswith("/"):
            signed_by = ""
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = " ".join(fields.get("components", "").split())
                sources.append(Source(uri.rstrip("/"), suite, components, signed_by))
    return sources


def machine_sources(root="/etc/apt"):
    """Every enabled source of this machine's apt configuration."""
    sources = []
    lists = [os.path.join(root, "sources.list")] + sorted(glob.glob(os.path.join(root, "sources.list.d", "*.list")))
    for path in lists:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                sources += parse_one_line_sources(file.read())
    for path in sorted(glob.glob(os.path.join(root, "sources.list.d", "*.sources"))):
        with open(path, encoding="utf-8") as file:
            sources += parse_deb822_sources(file.read())
    return sources


def mirror(sources, release, override=None):
    """The address of Debian's archive: HL_MIRROR, or where the machine gets its release from."""
    override = override if override is not None else os.environ.get("HL_MIRROR", "")
    if override:
        return override.rstrip("/")
    for source in sources:
        if source.suite in (release, "stable", "oldstable") and "main" in source.components.split():
            return source.uri
    raise SetupError(
        "no Debian archive in this machine's apt configuration; set HL_MIRROR to the address of one")


def host_sources(sources, release):
    """The machine's Debian sources with backports added, each once."""
    archive = mirror(sources, release)
    own = mirror(sources, release, override="") if not os.environ.get("HL_MIRROR") else None
    wanted = []
    for source in sources:
        if source.suite.split("-")[0].split("/")[0] not in (release, "stable", "oldstable"):
            continue
        security = "security" in source.suite or source.suite.endswith("/updates")
        if os.environ.get("HL_MIRROR") and not security:
            source = dataclasses.replace(source, uri=archive)
        wanted.append(source)
    for suite in (release, release + "-backports"):
        if not any(source.suite == suite and source.uri in (archive, own) for source in wanted):
            wanted.append(Source(archive, suite, "main", KEYRING))
    lines = {(source.uri, source.suite): source for source in wanted}
    return list(lines.values())


class Apt:
    """apt with its own sources, lists and cache under `directory`; the machine's are untouched.

    With a foreign architecture the package state is empty as well, so that a closure is whole.
    """

    def __init__(self, directory, sources, architecture=None):
        self.directory = os.path.abspath(directory)
        for name in ("lists/partial", "cache/archives/partial", "state"):
            os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        list_file = os.path.join(self.directory, "sources.list")
        with open(list_file, "w", encoding="utf-8") as file:
            file.writelines(source.line() for source in sources)
        self.options = {
            "Dir::Etc::SourceList": list_file,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": os.path.join(self.directory, "lists"),
            "Dir::Cache": os.path.join(self.directory, "cache"),
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Get::List-Cleanup": "true",
            "Dpkg::Use-Pty": "0",
            "APT::Update::Error-Mode": "any",  # lists that can't be fetched are a failure, not a warning
        }
        if os.geteuid() == 0:
            self.options["APT::Sandbox::User"] = "root"
        if architecture:
            status = os.path.join(self.directory, "status")
            with open(status, "w", encoding="utf-8"):
                pass
            self.options.update({
                "APT::Architecture": architecture,
                "APT::Architectures": architecture,
                "Dir::State": os.path.join(self.directory, "state"),
                "Dir::State::status": status,
                "Dir::Etc::Preferences": "/dev/null",
                "Dir::Etc::PreferencesParts": "/dev/null",
            })

    def command(self, program, *arguments):
        """The command line of an apt program under this configuration."""
        line = [program]
        for key, value in self.options.items():
            line += ["-o", f"{key}={value}"]
        return line + list(arguments)

    def run(self, program, *arguments, check=True, **keywords):
        """Runs an apt program; its output is returned, or shown when it fails."""
        result = subprocess.run(
            self.command(program, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, **keywords)
        if check and result.returncode != 0:
            raise SetupError(f"{program} {' '.join(map(shlex.quote, arguments))} failed:\n{result.stdout}")
        return result.stdout

    def update(self, check=True):
        """Fetches the package lists."""
        return self.run("apt-get", "update", "-q", check=check)

    def closure(self, packages):
        """(name, version) of the packages and of all they depend on."""
        output = self.run("apt-get", "install", "--simulate", "-y", "--no-install-recommends", *packages)
        return re.findall(r"^Inst (\S+) \((\S+)", output, re.M)

    def download(self, directory, packages):
        """Downloads (name, version) pairs into directory."""
        os.makedirs(directory, exist_ok=True)
        self.run("apt-get", "download", "-q", *[f"{name}={version}" for name, version in packages], cwd=directory)
