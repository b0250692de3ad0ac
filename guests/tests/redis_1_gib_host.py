"""Redis holds 1 GiB of values; samples of them are compared by digests made in the guest and by their bytes."""

import hashlib
import random

import hostside
import redis_more_host

KEYS = 16384
VALUE_BYTES = 65536
PIPELINE = 16
DIGESTS = 256
READ_BACK = 64


def value(key):
    """The bytes without a pattern that belong to a key."""
    return random.Random(key).randbytes(VALUE_BYTES)


def main():
    hostside.wait_for_console("Ready to accept connections")
    client = redis_more_host.Client()
    for first in range(0, KEYS, PIPELINE):
        for key in range(first, first + PIPELINE):
            client.send("SET", f"value:{key}", value(key))
        for key in range(first, first + PIPELINE):
            hostside.check(client.answer() == b"OK", f"SET of value:{key} failed")
    client.expect(KEYS, "DBSIZE")
    used = int(client.info("memory")["used_memory"])
    hostside.check(used > KEYS * VALUE_BYTES, f"redis counts only {used} bytes in use")
    for key in range(0, KEYS, KEYS // DIGESTS):
        client.expect(hashlib.sha1(value(key)).hexdigest().encode(), "EVAL",
                      "return redis.sha1hex(redis.call('GET', KEYS[1]))", 1, f"value:{key}")
    for key in range(KEYS // READ_BACK - 1, KEYS, KEYS // READ_BACK):
        hostside.check(client.ask("GET", f"value:{key}") == value(key), f"value:{key} comes back changed")
    client.expect(b"OK", "FLUSHALL")
    used = int(client.info("memory")["used_memory"])
    hostside.check(used < VALUE_BYTES * KEYS // 16, f"after FLUSHALL redis still counts {used} bytes in use")


if __name__ == "__main__":
    main()
