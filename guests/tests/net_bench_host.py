"""Runs perf/net_bench_client.py both ways and ends the guest's program."""

import sys

import hostside

CLIENT = "perf/net_bench_client.py"


def main():
    hostside.wait_for_console("listening")
    port = str(hostside.port(5001))
    print(hostside.run(sys.executable, CLIENT, "--port", port, "1", "1000", "8M", "16M"))
    print(hostside.run(sys.executable, CLIENT, "--port", port, "--reverse", "--stop", "1", "1000", "8M", "16M"))


if __name__ == "__main__":
    main()
