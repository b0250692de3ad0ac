"""The nested host: KVM for riscv64 on a machine that has none.

QEMU's TCG emulates a riscv64 machine with the H extension and AIA; Debian's Linux runs on it with KVM, from memory,
with an init of ours (nested_init.sh) and Debian's QEMU. That QEMU runs the guest under KVM.

    with Host([network.Network(...)], "host.log", say) as host:
        job = host.start("qemu-system-riscv64 -M virt -accel kvm ...")    # a shell script
        host.join(MONITOR, socket)        # the guest's QMP at a socket of this side
        host.call("cat /sys/kernel/debug/kvm/exits")                      # at any moment
        job.wait()

The contract:
- A Host is started once, runs any number of scripts, one after another or at the same time, and ends with stop().
- Its n-th network leads to the interface tapN inside, by a bridge: whoever uses that is on the network itself.
- share() puts a file of this side where a script finds it.
- The ports MONITOR and CONSOLE are the devices /dev/vport0p2 and 3 inside, opened by one guest at a time; what comes
  while nobody has attached to a port is lost.
- Everything may be called from several threads; NestedError says that the host could not be started, or has died.
"""

import contextlib
import itertools
import os
import queue
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import setup

CONTROL, MONITOR, CONSOLE = 1, 2, 3
PORT_NAMES = {CONTROL: "control", MONITOR: "monitor", CONSOLE: "console"}
SHARE = "/hl"
START_SECONDS = 300  # it takes 3 to 4 on an idle machine
HOST_MAC = "52:54:00:12:35:%02x"  # of the bridged cards; the guest's own is another one
KERNEL_OPTIONS = "console=ttyS0 quiet loglevel=4 rdinit=/init mitigations=off audit=0 lsm=capability nowatchdog"


class NestedError(Exception):
    """The nested host can't be started or has died; the text says why."""


def device(port):
    """The device of a port inside the host."""
    return f"/dev/vport0p{port}"


def files():
    """The host's kernel and archive as Bazel made them: below bazel-bin, or in the runfiles of a test."""
    for directory in ("bazel-bin/tools", "tools"):
        found = [os.path.join(setup.REPOSITORY, directory, name) for name in ("nested_host.vmlinux", "nested_host.cpio")]
        if all(map(os.path.exists, found)):
            return found
    raise NestedError("the nested host is not built; bazel build //tools:nested_host makes it")


class Port:
    """One of the virtio-serial ports, this side: its bytes go to whoever is attached."""

    def __init__(self, link, sink):
        self.link = link
        self.lock = threading.Lock()
        self.sink = sink
        self.open = True
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while self.open:
            select.select([self.link], [], [])
            with self.lock:  # held while bytes are under way: idle() then tells the truth
                try:
                    data = self.link.recv(65536)
                except OSError:
                    data = b""
                self.open = data != b""
                if self.sink:
                    self.sink(data)

    def idle(self):
        """Whether all that has come was handed on."""
        with self.lock:
            return not self.open or not select.select([self.link], [], [], 0)[0]

    def send(self, data):
        """Sends bytes inside."""
        with contextlib.suppress(OSError):
            self.link.sendall(data)


class Job:
    """A script that runs in the host. Waited for and signalled like a subprocess.Popen."""

    def __init__(self, host, name):
        self.host = host
        self.name = name
        self.output = os.path.join(host.directory, name + ".out")
        self.returncode = None
        self.ended = threading.Event()

    @property
    def pid(self):
        """The process, on this side, in which everything runs."""
        return self.host.process.pid

    def end(self, status):
        """What the host reported: the exit status, or 128 + a signal's number."""
        if not self.ended.is_set():
            self.returncode = status
            self.ended.set()

    def poll(self):
        """The exit status, or None while it runs."""
        return self.returncode

    def wait(self, timeout=None):
        """Waits for the end; raises subprocess.TimeoutExpired."""
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.name, timeout)
        return self.returncode

    def send_signal(self, number):
        """Signals the script's process, which its last program should have taken over with `exec`."""
        if not self.ended.is_set():
            self.host.call(f"kill -{int(number)} $(cat {self.name}.pid)")

    def kill(self):
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


class Host:
    """A running nested host; a context manager.

    networks: network.Network objects, which stay the caller's. log: file of the host's own console.
    say: is told of the progress.
    """

    def __init__(self, qemu, networks, log, say, memory_mib=3072, harts=2):
        kernel, archive = files()
        self.say = say
        self.started = time.monotonic()
        self.log = log
        self.kinds = [net.kind for net in networks]
        self.directory = tempfile.mkdtemp(prefix="hl-nested-")
        self.numbers = itertools.count(1)
        self.jobs = {}
        self.news = queue.Queue()
        self.pending = b""
        self.process = None
        self.ready = False
        pairs = {port: socket.socketpair() for port in PORT_NAMES}
        command = [
            qemu, "-nodefaults", "-no-user-config", "-M", "virt,aia=aplic-imsic,aia-guests=3", "-cpu", "rv64,sscofpmf=true",
            "-accel", "tcg", "-smp", str(harts), "-m", f"{memory_mib}M", "-display", "none", "-no-reboot",
            "-kernel", kernel, "-initrd", archive, "-append", KERNEL_OPTIONS, "-serial", "file:" + log.replace(",", ",,"),
            "-device", "virtio-serial-pci,max_ports=8",  # the first: a port's device has its number among the virtio devices
            "-device", "virtio-rng-pci",
            "-fsdev", f"local,id=share,path={self.directory},security_model=none",
            "-device", "virtio-9p-pci,fsdev=share,mount_tag=share",
        ]
        for port, (_, theirs) in pairs.items():
            command += ["-chardev", f"socket,id=port{port},fd={theirs.fileno()}",
                        "-device", f"virtserialport,nr={port},chardev=port{port},name={PORT_NAMES[port]}"]
        descriptors = [theirs.fileno() for _, theirs in pairs.values()]
        for number, net in enumerate(networks):
            descriptors += net.descriptors
            command += ["-netdev", net.netdev, "-device",
                        f"virtio-net-pci,netdev={net.name},mac={HOST_MAC % number},romfile="]
        self.command = command
        with open(log, "wb"):
            pass
        self.errors = log + ".qemu"
        self.kept = [self.errors, log]
        try:
            with open(self.errors, "wb") as errors:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=descriptors,
                                                start_new_session=True)  # Ctrl-C is for the launcher, which ends it in order
            for _, theirs in pairs.values():
                theirs.close()
            self.ports = {port: Port(ours, self._control if port == CONTROL else None) for port, (ours, _) in pairs.items()}
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def progress(self, text):
        """Tells how far it is."""
        self.say(f"nested host: {text} ({time.monotonic() - self.started:.1f} s)")

    def _wait_ready(self):
        self.say("nested host: starting Linux with KVM under TCG")
        while True:
            try:
                line = self.news.get(timeout=max(0, self.started + START_SECONDS - time.monotonic()))
            except queue.Empty:
                raise NestedError(f"the nested host is not ready after {START_SECONDS} s; its console's log is {self.log}") from None
            if line is None:
                raise NestedError(self.death())
            if line == "ready":
                break
            self.progress(line)
        self.ports[CONTROL].send(b"\n")
        self.ready = True
        self.progress("kvm ready")

    def death(self):
        """Why it ended."""
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            said = " / ".join(line.strip() for line in file if line.strip())
        return f"the nested host died: {said or 'QEMU said nothing'}; its console's log is {self.log}"

    def _control(self, data):
        """Bytes of the control port: lines, each the end of a job or, at first, news."""
        if not data:
            self._ended()
            return
        self.pending += data
        *lines, self.pending = self.pending.split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            match = re.fullmatch(r"(\S+) (\d+)", text)
            if match and match[1] in self.jobs:
                self.jobs.pop(match[1]).end(int(match[2]))
            else:
                self.news.put(text)

    def _ended(self):
        """The machine is gone, and all jobs with it."""
        self.news.put(None)
        for job in list(self.jobs.values()):
            job.end(128 + signal.SIGKILL)

    def running(self):
        """Whether the host runs."""
        return self.process is not None and self.process.poll() is None and self.ports[CONTROL].open

    def start(self, script):
        """Starts a shell script; the Job."""
        name = f"job{next(self.numbers)}"
        job = Job(self, name)
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
            file.write(f"echo $$ >{name}.pid\n{script}\n")
        self.jobs[name] = job
        self.ports[CONTROL].send(name.encode() + b"\n")
        if not self.ports[CONTROL].open:
            self._ended()
        return job

    def call(self, script, seconds=60):
        """Runs a script to its end; its output. Raises NestedError when it fails."""
        job = self.start(script)
        try:
            status = job.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NestedError(f"the nested host does not answer within {seconds} s") from None
        if not self.running():
            raise NestedError(self.death())
        with open(job.output, encoding="utf-8", errors="replace") as file:
            text = file.read()
        for path in (job.output, job.output[:-4], job.output[:-4] + ".pid"):
            os.remove(path)
        if status != 0:
            raise NestedError(f"in the nested host, status {status}: {script}: {text.strip()}")
        return text

    def share(self, path):
        """Copies a file to where scripts find it; its name inside."""
        name = f"{next(self.numbers)}-{re.sub('[^A-Za-z0-9._-]', '_', os.path.basename(path))}"
        shutil.copyfile(path, os.path.join(self.directory, name))
        return f"{SHARE}/{name}"

    def unshare(self, inside):
        """Removes a shared file."""
        os.remove(os.path.join(self.directory, os.path.basename(inside)))

    def attach(self, port, receive):
        """Gives what a port says from now on to receive(bytes), in a thread of its own; how to say something to it."""
        with self.ports[port].lock:
            self.ports[port].sink = receive
        return self.ports[port].send

    def join(self, port, link):
        """Joins a port to a socket, until that is shut down or another one is joined."""
        def receive(data):
            with contextlib.suppress(OSError):
                link.sendall(data)

        send = self.attach(port, receive)

        def forward():
            with contextlib.suppress(OSError):
                while data := link.recv(65536):
                    send(data)

        threading.Thread(target=forward, daemon=True).start()

    def interface(self, kind):
        """The interface, inside, of the network of a kind; empty for the kind `none`."""
        if kind == "none":
            return ""
        if kind not in self.kinds:
            raise NestedError(f"the nested host was started without the network {kind}")
        return f"tap{self.kinds.index(kind)}"

    def settle(self):
        """Returns when everything that ended jobs wrote to their ports has been handed on."""
        if self.running():
            self.call("true")  # what was written before it has reached this side before its answer
        while not all(port.idle() for port in self.ports.values()):
            time.sleep(0.001)

    def exits(self):
        """KVM's counters of the guest that runs, by name: exits, mmio_exit_user, wfi_exit_stat, ..."""
        output = self.call("cd /sys/kernel/debug/kvm && for f in *; do [ -f $f ] && echo $f $(cat $f); done; true")
        return {name: int(value) for name, value in (line.split() for line in output.splitlines())}

    def stop(self):
        """Ends the host and whatever runs in it. Its logs stay unless it did as it should."""
        if self.process and self.process.poll() is None:
            if self.ready:
                self.kept = []
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        for path in {self.errors, self.log}.difference(self.kept):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)


def script(command):
    """A command line, as a list of words, as a script that becomes that program."""
    return "exec " + " ".join(map(shlex.quote, command))
