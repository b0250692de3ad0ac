"""Redis beyond plain commands: Lua, transactions, snapshots by a forked child, the limit of clients, and very many of them."""

import resource
import time

import hostside

PORT = 6379
CONNECTIONS = 2000
# So many connections are made before their first answers are awaited: passt sends a SYN once, and redis's backlog is 511.
BATCH = 200
SNAPSHOT_KEYS = 500
SNAPSHOT_BYTES = 2000


class Failure(str):
    """An error that redis answered, without the leading minus."""


class Client:
    """A connection that speaks redis's protocol."""

    def __init__(self):
        self.link = hostside.connect(PORT)
        self.stream = self.link.makefile("rb")

    def send(self, *words):
        """Sends a command."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.link.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def answer(self):
        """The next answer: bytes, a number, None, a list of answers or a Failure."""
        line = self.stream.readline()
        hostside.check(line.endswith(b"\r\n"), f"the connection closed after {line!r}")
        kind, text = line[:1], line[1:-2]
        if kind == b"+":
            return text
        if kind == b"-":
            return Failure(text.decode())
        number = int(text)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self.answer() for _ in range(number)]
        hostside.check(kind == b"$", f"no answer of redis begins so: {line!r}")
        return self.stream.read(number + 2)[:-2]

    def ask(self, *words):
        """What redis answers to a command."""
        self.send(*words)
        return self.answer()

    def expect(self, wanted, *words):
        """Redis must answer this."""
        got = self.ask(*words)
        hostside.check(got == wanted and isinstance(got, Failure) == isinstance(wanted, Failure),
                       f"{str(words)[:80]}: {str(got)[:200]} instead of {str(wanted)[:200]}")

    def expect_failure(self, text, *words):
        """Redis must refuse it with an error that contains the text."""
        got = self.ask(*words)
        hostside.check(isinstance(got, Failure) and text in got, f"{words}: {got!r} instead of an error with {text!r}")

    def info(self, section):
        """INFO's fields: name -> text."""
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def close(self):
        """Ends the connection."""
        self.stream.close()
        self.link.close()


def wait_until(condition, text):
    """Waits until the condition holds."""
    while not condition():
        hostside.check(time.monotonic() < hostside.deadline(), text)
        time.sleep(0.05)


def scripts(client, other):
    """Lua: values in and out, commands, errors, scripts by their digest, and the end of one that does not end by itself."""
    client.expect([b"key", b"word", 3], "EVAL", "return {KEYS[1], ARGV[1], 1 + 2}", 1, "key", "word")
    client.expect(500500, "EVAL", "for i = 1, 1000 do redis.call('INCRBY', KEYS[1], i) end "
                                  "return tonumber(redis.call('GET', KEYS[1]))", 1, "sum")
    other.expect(b"500500", "GET", "sum")
    client.expect([b"c", b"b", b"a"], "EVAL", "for _, word in ipairs(ARGV) do redis.call('LPUSH', KEYS[1], word) end "
                                              "return redis.call('LRANGE', KEYS[1], 0, -1)", 1, "words", "a", "b", "c")
    client.expect_failure("wrong kind of value", "EVAL", "return redis.call('INCR', KEYS[1])", 1, "words")
    client.expect(b"caught", "EVAL", "return redis.pcall('INCR', KEYS[1]).err and 'caught'", 1, "words")
    client.expect(b"0.5 2.25", "EVAL", "return string.format('%.1f %.2f', math.sqrt(0.25), 1.5 ^ 2)", 0)
    digest = client.ask("SCRIPT", "LOAD", "return redis.call('STRLEN', KEYS[1])")
    other.expect(6, "EVALSHA", digest, 1, "sum")
    client.expect_failure("NOSCRIPT", "EVALSHA", "0" * 40, 0)
    client.expect(b"OK", "CONFIG", "SET", "busy-reply-threshold", 100)
    client.send("EVAL", "while true do end", 0)
    wait_until(lambda: "BUSY" in str(other.ask("PING")), "the script that never ends did not make redis busy")
    other.expect(b"OK", "SCRIPT", "KILL")
    got = client.answer()
    hostside.check(isinstance(got, Failure) and "killed" in got, f"the killed script answers {got!r}")
    other.expect(b"PONG", "PING")


def transactions(client, other):
    """MULTI with EXEC and DISCARD; WATCH notices what another connection writes, and nothing else."""
    client.expect(b"OK", "MULTI")
    client.expect(b"QUEUED", "SET", "account", 10)
    client.expect(b"QUEUED", "INCRBY", "account", 5)
    client.expect(b"QUEUED", "GET", "account")
    other.expect(None, "GET", "account")
    client.expect([b"OK", 15, b"15"], "EXEC")
    client.expect(b"OK", "MULTI")
    client.expect(b"QUEUED", "SET", "account", 0)
    client.expect(b"OK", "DISCARD")
    client.expect(b"15", "GET", "account")
    client.expect(b"OK", "MULTI")
    client.expect_failure("unknown command", "NOCOMMAND")
    client.expect_failure("EXECABORT", "EXEC")
    for writer, unwatch, wanted in ((other, False, None), (other, True, [b"OK"]), (None, False, [b"OK"])):
        client.expect(b"OK", "WATCH", "account")
        if writer:
            writer.expect(b"OK", "SET", "account", 20)
        if unwatch:
            client.expect(b"OK", "UNWATCH")
        client.expect(b"OK", "MULTI")
        client.expect(b"QUEUED", "SET", "account", 30)
        client.expect(wanted, "EXEC")
        other.expect(b"20" if wanted is None else b"30", "GET", "account")


def write_all(client, letter):
    """Every key of the snapshot gets a value of this letter, in one pipeline."""
    for key in range(SNAPSHOT_KEYS):
        client.send("SET", f"kept:{key}", f"{key}:" + letter * SNAPSHOT_BYTES)
    for key in range(SNAPSHOT_KEYS):
        hostside.check(client.answer() == b"OK", f"SET of kept:{key} failed")


def check_all(client, letter):
    """Every key has the value of this letter."""
    values = client.ask("MGET", *(f"kept:{key}" for key in range(SNAPSHOT_KEYS)))
    for key, value in enumerate(values):
        hostside.check(value == f"{key}:".encode() + letter * SNAPSHOT_BYTES,
                       f"kept:{key} is {str(value)[:40]} instead of {letter!r} over and over")


def snapshots(client):
    """The child writes what memory held when it was forked, whatever its parent writes meanwhile; it loads again."""
    write_all(client, "a")
    before = client.ask("LASTSAVE")
    wait_until(lambda: int(client.ask("TIME")[0]) > before, "the clock stands")
    client.expect(b"Background saving started", "BGSAVE")
    write_all(client, "b")
    wait_until(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == "0", "the child never ended")
    fields = client.info("persistence")
    hostside.check(fields["rdb_last_bgsave_status"] == "ok", f"the snapshot failed: {fields}")
    hostside.check(client.ask("LASTSAVE") > before, "LASTSAVE did not change")
    check_all(client, b"b")
    client.expect(b"OK", "DEBUG", "RELOAD", "NOSAVE")
    check_all(client, b"a")
    write_all(client, "c")
    client.expect(b"OK", "DEBUG", "RELOAD")
    check_all(client, b"c")


def ping_all(clients):
    """Each connection answers."""
    for client in clients:
        client.send("PING")
    for number, client in enumerate(clients):
        got = client.answer()
        hostside.check(got == b"PONG", f"connection {number} of {len(clients)} answers {got!r}")


def many_connections(client, count):
    """So many at once, each served, all of them again when they are all there, and none left over."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hostside.check(hard == resource.RLIM_INFINITY or hard > count + 100, f"only {hard} descriptors on this host")
    client.expect(b"OK", "CONFIG", "SET", "maxclients", 10000)
    client.expect([b"maxclients", b"10000"], "CONFIG", "GET", "maxclients")
    others = int(client.info("clients")["connected_clients"])
    clients = []
    while len(clients) < count:
        batch = [Client() for _ in range(min(BATCH, count - len(clients)))]
        ping_all(batch)
        clients += batch
    connected = int(client.info("clients")["connected_clients"])
    hostside.check(connected == others + count, f"redis counts {connected} clients instead of {others} and {count}")
    ping_all(clients)
    for each in clients:
        each.close()
    wait_until(lambda: int(client.info("clients")["connected_clients"]) == others, "closed connections stay")


def limit_of_clients(client, other):
    """One client too many is told so and closed; the others are served on."""
    client.expect(b"OK", "CONFIG", "SET", "maxclients", client.info("clients")["connected_clients"])
    refused = Client()
    refused.link.shutdown(1)  # passt completes the guest's handshake only when its client speaks or ends; unread bytes would mean RST
    got = refused.answer()
    hostside.check(isinstance(got, Failure) and "max number of clients" in got, f"one client too many gets {got!r}")
    hostside.check(refused.stream.read() == b"", "the refused connection stays open")
    refused.close()
    other.expect(b"PONG", "PING")
    client.expect(b"OK", "CONFIG", "SET", "maxclients", 10000)


def main():
    hostside.wait_for_console("Ready to accept connections")
    client, other = Client(), Client()
    scripts(client, other)
    transactions(client, other)
    snapshots(client)
    limit_of_clients(client, other)
    many_connections(client, CONNECTIONS)


if __name__ == "__main__":
    main()
