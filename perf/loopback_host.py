"""Has the image `bench` measure its loopback: bulk with every byte verified, and 64 bytes there and back."""

import types

import cases_inside
import hostside

SECONDS = 2
RUNS = [("loopback-throughput", 8, "MiB/s"), ("loopback-latency", 200, "round trips/s of 64 bytes")]


def main():
    hostside.wait_for_console("bench: serving")
    target = types.SimpleNamespace(host="127.0.0.1", ports={cases_inside.PORT: hostside.port(cases_inside.PORT)})
    for command, first, unit in RUNS:
        load = cases_inside.run(target, command, first, SECONDS)
        hostside.check(load.operations > 0, f"{command}: nothing was done")
        print(f"{command}: {load.operations / load.seconds:,.0f} {unit}")


if __name__ == "__main__":
    main()
