"""Drives iperf3 in every direction; each run's own summary must show that bytes arrived."""

import json
import subprocess
import time

import hostside

PORT = 5201
# What a client hears while the server still ends the test before: it closes and reopens its port.
BETWEEN_TESTS = ["busy", "reset by peer", "closed unexpectedly", "Connection refused"]


def run(name, *words, received="sum_received"):
    """One client run of two seconds."""
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(hostside.port(PORT)), "-t", "2", "--json", *words]
    for _ in range(20):
        report = json.loads(subprocess.run(
            command, stdout=subprocess.PIPE, timeout=60, check=False).stdout or '{"error": "no output"}')
        if not any(text in report.get("error", "") for text in BETWEEN_TESTS):
            break
        time.sleep(0.5)
    hostside.check("error" not in report, f"{name}: {report.get('error')}")
    summary = report["end"].get(received) or report["end"]["sum"]
    print(f"{name}: {summary['bytes'] / 1e6:.1f} MB, {summary['bits_per_second'] / 1e6:.1f} Mbit/s")
    hostside.check(summary["bytes"] > 100000, f"{name}: only {summary['bytes']} bytes arrived")


def main():
    hostside.wait_for_console("Server listening")
    hostside.connect(PORT).close()
    time.sleep(1)
    run("host to guest")
    run("guest to host", "-R")
    run("four streams", "-P", "4")
    run("both ways", "--bidir")
    run("UDP", "-u", "-b", "20M", "-l", "1400", received="sum")
    run("window and segment size", "-w", "128K", "-M", "1000")


if __name__ == "__main__":
    main()
