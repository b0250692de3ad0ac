#!/usr/bin/python3
"""Serves Debian's programs for minutes and drives them with real clients; nothing may fail, and nothing may be left over.

  soak.py --program redis --seconds 600 [--report FILE]     for instance; also bazel test //guests/tests:soak_redis_test

The guest is the image `programs`; beside the program, busybox's httpd tells what the kernel counts. Work comes in bursts,
with pauses in between (--load is the part of the time that is not paused). After a warm-up of a fifth of the time, and at the
end, the load stops until no connection is left, in TIME_WAIT neither, and the counters are read. Then there must be as
many processes, descriptors and sockets as before, and memory, in three parts, must be hardly more: what the kernel uses
itself (KERNEL_SLACK_KIB), what programs' own maps account for (PROGRAM_SLACK_KIB), and pages of programs that no map shows
(REST_SLACK_KIB). With --system linux Debian's kernel is in Hartloop's place, on the same machine: how programs grow there
says what is their own doing; of its memory only that is judged.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tools"), HERE]
import hostside  # noqa: E402
import iperf3_host  # noqa: E402
import linux_guest  # noqa: E402
import machine  # noqa: E402
import memcached_host  # noqa: E402
import network  # noqa: E402

KERNEL_SLACK_KIB = 256
PROGRAM_SLACK_KIB = 1024
REST_SLACK_KIB = 64
WARM_UP = 0.2
SAMPLE_SECONDS = 30
SETTLE_SECONDS = 75  # longer than TIME_WAIT
ORDINARY_REQUESTS = 20  # so many packets that no large receive buffer stays in the ring
QUIET_SECONDS = 12  # until packet memory that is not used has gone back
COUNTERS = 8080
SERVERS = {
    "redis": (6379, ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp", "--save", ""]),
    "nginx": (80, ["nginx", "-c", "/etc/nginx/nginx.conf"]),
    "nginx-workers": (80, ["nginx", "-c", "/etc/nginx/workers.conf"]),
    "memcached": (11211, ["memcached", "-u", "root", "-l", "0.0.0.0", "-t", "4", "-U", "11211", "-m", "16"]),
    "iperf3": (5201, ["iperf3", "-s"]),
    "busybox": (COUNTERS, ["busybox", "sleep", "1000000"]),
    "inside": (5201, ["busybox", "sh", "/etc/inside.sh"]),
}


def fetch(port, path):
    """(status, body) by HTTP, on a connection of its own."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    link.request("GET", path, headers={"Connection": "close"})
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, body


def counters(port):
    """What the guest counts: name -> number; memory in KiB."""
    _, text = fetch(port, "/cgi-bin/counters")
    text = text.decode()
    memory = {name: int(kib) for name, kib in re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
    found = {**memory, "processes": 0, "descriptors": 0, "resident": 0, "programs": 0,
             "kernel": memory["MemTotal"] - memory["MemFree"] - memory["AnonPages"]}
    for protocol, words in re.findall(r"^(TCP|UDP|RAW|FRAG|sockets): (.*)$", text, re.M):
        pairs = words.split()
        found.update({f"{protocol} {name}": int(number) for name, number in zip(pairs[::2], pairs[1::2])})
    for name, descriptors, resident, anonymous in re.findall(r"^process \d+ (\S+) (\d+) (\d+) (\d+)$", text, re.M):
        if name != "counters":
            found["processes"] += 1
            found["descriptors"] += int(descriptors)
            found["resident"] += int(resident) * 4
            found["programs"] += int(anonymous)
    found["rest"] = memory["AnonPages"] - found["programs"]
    return found


# ---- the clients; each call is a burst of a second or a few ----


def drive_redis(port, turn):
    """redis-benchmark: few connections, many, pipelines, large values; it fails when an answer is an error."""
    words = (["-c", "50", "-t", "set,get,incr,lpush,lpop,sadd,hset,spop,zadd,zpopmin"],
             ["-c", "50", "-P", "16", "-t", "set,get,mset", "-r", "1000"],
             ["-c", "300", "-k", "0", "-t", "set,get", "-r", "1000"],
             ["-c", "10", "-d", "100000", "-t", "set,get", "-r", "10"])[turn % 4]
    count = ("3000", "20000", "1000", "200")[turn % 4]
    hostside.run("redis-benchmark", "-p", str(port), "-n", count, "-q", *words)
    hostside.run("redis-cli", "-p", str(port), "ltrim", "mylist", "0", "9")
    return int(count)


def drive_http(port, path, clients, turn):
    """ab with kept connections and with one per request; no request may fail."""
    words = [["-k"], [], ["-k", "-H", "Range: bytes=10-19"]][turn % 3]
    count = 2000 if path != "/cgi-bin/counters" else 100
    text = hostside.run("ab", "-q", "-r", "-s", "30", "-n", str(count), "-c", str(clients), *words, f"http://127.0.0.1:{port}{path}")
    hostside.check(re.search(r"^Complete requests: +%d$" % count, text, re.M), text)
    hostside.check("Non-2xx" not in text, text)
    failures = re.search(r"^Failed requests: +(\d+)(?:\n +\(Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)\))?", text, re.M)
    kinds = [int(number or 0) for number in failures.groups()[1:]]
    # The counters' page differs in length from one request to the next, which ab holds to be a failure.
    hostside.check(kinds[0] == kinds[1] == kinds[3] == 0, text)
    hostside.check(kinds[2] == 0 or path == "/cgi-bin/counters", text)
    return count


def drive_nginx(port, turn):
    """ab for the small page, wrk for both files, and the bytes of the large one compared."""
    if turn % 3 == 0:
        return drive_http(port, "/index.html", 20, turn // 3)
    if turn % 3 == 1:
        path = ("/index.html", "/1m.bin")[turn // 3 % 2]
        text = hostside.run("wrk", "-t", "1", "-c", "50", "-d", "2s", "--timeout", "30s", f"http://127.0.0.1:{port}{path}")
        hostside.check("Socket errors" not in text and "Non-2xx" not in text, text)
        return int(re.search(r"(\d+) requests in", text)[1])
    status, body = fetch(port, "/1m.bin")
    with open(os.path.join(images(), "1m.bin"), "rb") as file:
        hostside.check((status, body) == (200, file.read()), "1m.bin arrived changed")
    hostside.check(fetch(port, "/none")[0] == 404, "a file that is not there")
    return 2


def drive_memcached(_port, _turn):
    """Both protocols and UDP with every value verified, and 40 clients at once."""
    memcached_host.text_protocol()
    memcached_host.binary_protocol()
    memcached_host.datagrams()
    memcached_host.many_clients()
    return memcached_host.CLIENTS * 90


def drive_iperf3(port, turn):
    """iperf3 in every direction, at a bounded rate."""
    words = (["-b", "100M"], ["-b", "100M", "-R"], ["-P", "4", "-b", "25M"], ["-b", "50M", "--bidir"],
             ["-u", "-b", "10M", "-l", "1400"])[turn % 5]
    for _ in range(20):
        text = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", "3", "--json", *words],
                              stdout=subprocess.PIPE, timeout=60, check=False).stdout
        answer = json.loads(text or '{"error": "no output"}')
        if not any(text in answer.get("error", "") for text in iperf3_host.BETWEEN_TESTS):
            break
        time.sleep(0.5)
    hostside.check("error" not in answer, f"iperf3 {words}: {answer.get('error')}")
    end = answer["end"]
    total = (end.get("sum_received") or end["sum"])["bytes"]
    hostside.check(total > 1000000, f"iperf3 {words}: only {total} bytes arrived")
    return 1


def drive_busybox(port, turn):
    """A file, and a program per request: fork and exec. Few clients: httpd's backlog is 9, and passt sends a SYN once."""
    return drive_http(port, ("/page.html", "/cgi-bin/counters")[turn % 2], 5, 1)


def empty_redis(port):
    """As before the first burst: no keys, and what its allocator keeps of them given back."""
    hostside.run("redis-cli", "-p", str(port), "flushall")
    hostside.run("redis-cli", "-p", str(port), "memory", "purge")


def rounds_inside():
    """How many rounds of work the clients inside the guest have done."""
    status, body = fetch(hostside.port(COUNTERS), "/rounds")
    return int(body) if status == 200 else 0


def drive_inside(_port, _turn):
    """One round of redis-benchmark, wrk, iperf3, wget and ping in the guest, all over 127.0.0.1."""
    before, until = rounds_inside(), time.monotonic() + 180
    fetch(hostside.port(COUNTERS), "/cgi-bin/counters?round")
    while rounds_inside() == before:
        hostside.check(time.monotonic() < until, "the clients inside the guest make no progress")
        time.sleep(0.5)
    return 1


def redis_memory(port):
    """What redis says of its own memory, in KiB."""
    text = hostside.run("redis-cli", "-p", str(port), "info", "memory")
    return {name: int(re.search(rf"^{name}:(\d+)", text, re.M)[1]) // 1024
            for name in EXTRAS["redis"]}


EXTRAS = {"redis": ("used_memory", "allocator_active", "allocator_resident")}
DRIVES = {"redis": drive_redis, "nginx": drive_nginx, "nginx-workers": drive_nginx, "memcached": drive_memcached,
          "iperf3": drive_iperf3, "busybox": drive_busybox, "inside": drive_inside}


# ---- the run ----


def images():
    """Where Bazel put the images."""
    below = os.path.join(ROOT, "bazel-bin/guests/images")
    return below if os.path.isdir(below) else os.path.join(ROOT, "guests/images")


def boot(arguments, ports, directory, log):
    """A machine that serves the program."""
    kernel = os.path.join(ROOT, "bazel-bin/hartloop.elf")
    if not os.path.exists(kernel):
        kernel = os.path.join(ROOT, "hartloop.elf")
    options = machine.Options(
        kernel=kernel, image=os.path.join(images(), "programs.cpio"), memory=arguments.memory,
        program=["/usr/bin/busybox", "sh", "/etc/serve.sh", *SERVERS[arguments.program][1]],
        environment=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], forwards=[(here, guest) for guest, here in ports.items()],
        append=os.environ.get("HL_TEST_APPEND", ""), log=log, quiet=True)
    if arguments.system == "linux":
        options = linux_guest.same_machine(options, directory)
    return machine.Machine(options, lambda text: print("soak: " + text))


def wait_until_served(port):
    """Until the guest listens on a port: passt takes connections before the guest does."""
    while f":{port:04X} 00000000:0000 0A" not in hostside.first_answer(COUNTERS, b"GET /cgi-bin/counters HTTP/1.0\r\n\r\n").decode():
        hostside.check(time.monotonic() < hostside.deadline(), "the program never listened")
        time.sleep(0.2)


def settled(arguments, ports):
    """The counters once no connection is left, or after so many seconds, and nothing happened for a while."""
    port, seconds = ports[COUNTERS], arguments.settle
    if arguments.program == "redis":
        empty_redis(ports[SERVERS["redis"][0]])
    for _ in range(ORDINARY_REQUESTS):
        fetch(port, "/page.html")
    until = time.monotonic() + seconds
    while True:
        now = counters(port)
        # The connections that ask are among them.
        if (now["TCP tw"] <= seconds / 5 + 1 and now["TCP orphan"] == 0) or time.monotonic() > until:
            break
        time.sleep(5)
    time.sleep(min(QUIET_SECONDS, seconds))
    return counters(port)


def verdict(before, after, system):
    """What grew between two readings, as a list of texts."""
    grown = [f"{name}: {before[name]} before, {after[name]} after"
             for name in ("processes", "descriptors", "TCP inuse", "UDP inuse") if after[name] != before[name]]
    slack = {"kernel": KERNEL_SLACK_KIB, "programs": PROGRAM_SLACK_KIB, "rest": REST_SLACK_KIB}
    grown += [f"{name}: {before[name]} KiB before, {after[name]} KiB after"
              for name in (slack if system == "hartloop" else ["programs"]) if after[name] - before[name] > slack[name]]
    return grown


def soak(arguments, running, ports):
    """Drives until the time is over; (operations, samples)."""
    port, _ = SERVERS[arguments.program]
    drive = DRIVES[arguments.program]
    extra = redis_memory if arguments.program == "redis" else lambda _: {}
    started = time.monotonic()
    operations, turn, samples, next_sample = 0, 0, [], 0
    while (now := time.monotonic() - started) < arguments.seconds:
        if now >= arguments.seconds * WARM_UP and not samples:
            samples.append((now, settled(arguments, ports) | extra(ports[port])))
            next_sample = time.monotonic() - started + SAMPLE_SECONDS
        elif samples and now > next_sample:
            samples.append((now, counters(ports[COUNTERS]) | extra(ports[port])))
            next_sample = now + SAMPLE_SECONDS
        burst = time.monotonic()
        operations += drive(ports[port], turn)
        turn += 1
        hostside.check(running.running(), "the machine ended")
        time.sleep((time.monotonic() - burst) * (1 / arguments.load - 1))
    samples.append((time.monotonic() - started, settled(arguments, ports) | extra(ports[port])))
    return operations, samples


def report(arguments, operations, samples, grown):
    """The verdict, and the samples as a Markdown table; memory in KiB."""
    columns = ["MemFree", "kernel", "PacketPool", "PacketsUsed", "Slab", "PageTables", "Shmem", "programs", "rest", "resident",
               "processes", "descriptors", "TCP inuse", "TCP tw", *EXTRAS.get(arguments.program, ())]
    lines = [f"## {arguments.program} on {arguments.system}: {operations} operations in {samples[-1][0]:.0f} s, " +
             ("; ".join(grown) if grown else "nothing grew"), "",
             "| second | " + " | ".join(columns) + " |", "|--:" * (len(columns) + 1) + "|"]
    lines += [f"| {at:.0f} | " + " | ".join(str(values.get(name, "–")) for name in columns) + " |" for at, values in samples]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", choices=sorted(SERVERS), required=True)
    parser.add_argument("--system", choices=["hartloop", "linux"], default="hartloop")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--load", type=float, default=0.5, help="part of the time that is not paused; default: 0.5")
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS,
                        help=f"how long to wait for the end of TIME_WAIT before counters are compared; default: {SETTLE_SECONDS}")
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--report", help="append the samples to this file, as Markdown")
    arguments = parser.parse_args()
    ports = {guest: network.free_port() for guest in {COUNTERS, SERVERS[arguments.program][0]}}
    directory = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or tempfile.mkdtemp(prefix="soak-")
    log = os.path.join(directory, f"{arguments.program}.log")
    # The whole of it may take half as long again before it counts as hung.
    limit = time.monotonic() + arguments.seconds * 1.5 + 2 * arguments.settle + 60
    os.environ.update(HARTLOOP_PORTS=json.dumps(ports), HARTLOOP_CONSOLE=log, HARTLOOP_DEADLINE=str(limit))
    with boot(arguments, ports, directory, log) as running:
        try:
            wait_until_served(SERVERS[arguments.program][0])
            operations, samples = soak(arguments, running, ports)
        except BaseException:
            print("---- console ----\n" + running.console()[-20000:] + "\n---- end of the console ----")
            raise
    grown = verdict(samples[0][1], samples[-1][1], arguments.system)
    text = report(arguments, operations, samples, grown)
    print(text)
    if arguments.report:
        with open(arguments.report, "a", encoding="utf-8") as file:
            file.write(text + "\n")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
