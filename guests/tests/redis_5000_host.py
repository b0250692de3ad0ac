"""Redis serves 5,000 connections at once."""

import hostside
import redis_more_host

CONNECTIONS = 5000


def main():
    hostside.wait_for_console("Ready to accept connections")
    redis_more_host.many_connections(redis_more_host.Client(), CONNECTIONS)


if __name__ == "__main__":
    main()
