"""Drives memcached by its text and its binary protocol, by UDP, and with 40 clients at once."""

import os
import socket
import struct
import threading
import time

import hostside

PORT = 11211
CLIENTS = 40
GET, SET, ADD, DELETE, INCREMENT, QUIT, NOOP, GETKQ = 0x00, 0x01, 0x02, 0x04, 0x05, 0x07, 0x0A, 0x0D
NOT_FOUND, EXISTS = 1, 2


class Text:
    """A connection that speaks the text protocol."""

    def __init__(self):
        self.link = hostside.connect(PORT)
        self.link.settimeout(30)
        self.stream = self.link.makefile("rb")

    def ask(self, command, data=None):
        """The first line of the answer."""
        self.link.sendall(command + b"\r\n" + (b"" if data is None else data + b"\r\n"))
        return self.stream.readline().removesuffix(b"\r\n")

    def expect(self, answer, command, data=None):
        """The answer must be this line."""
        got = self.ask(command, data)
        hostside.check(got == answer, f"{command[:60]}: {got[:100]} instead of {answer[:100]}")

    def values(self, keys, command=b"get"):
        """key -> (flags, value) of those that are there."""
        found = {}
        line = self.ask(command + b" " + b" ".join(keys))
        while line != b"END":
            word, key, flags, size = line.split()[:4]
            hostside.check(word == b"VALUE", f"get: {line[:100]}")
            found[key] = (int(flags), self.stream.read(int(size)))
            hostside.check(self.stream.read(2) == b"\r\n", "no end behind a value")
            line = self.stream.readline().removesuffix(b"\r\n")
        return found

    def close(self):
        """Ends the connection."""
        self.stream.close()
        self.link.close()


def text_protocol():
    """Storing, counting, conditions, many keys at once, values up to the largest."""
    text = Text()
    text.expect(b"STORED", b"set a 5 0 3", b"abc")
    text.expect(b"STORED", b"append a 0 0 2", b"de")
    text.expect(b"NOT_STORED", b"add a 0 0 1", b"x")
    text.expect(b"NOT_STORED", b"replace none 0 0 1", b"x")
    hostside.check(text.values([b"a", b"none"]) == {b"a": (5, b"abcde")}, "a stored value is another")
    text.expect(b"STORED", b"set n 0 0 2", b"40")
    text.expect(b"42", b"incr n 2")
    text.expect(b"0", b"decr n 100")
    text.expect(b"NOT_FOUND", b"incr none 1")
    text.expect(b"DELETED", b"delete a")
    text.expect(b"NOT_FOUND", b"delete a")
    text.expect(b"STORED", b"set short 0 1 1", b"x")
    text.expect(b"ERROR", b"nonsense")
    for size in (0, 1, 1400, 65536, 1000000):
        value = os.urandom(size)
        text.expect(b"STORED", b"set large 0 0 %d" % size, value)
        hostside.check(text.values([b"large"])[b"large"][1] == value, f"a value of {size} bytes came back changed")
    text.expect(b"SERVER_ERROR object too large for cache", b"set large 0 0 2000000", bytes(2000000))
    many = {b"many-%03d" % number: (0, os.urandom(number * 7)) for number in range(100)}
    for key, (_, value) in many.items():
        text.expect(b"STORED", b"set %s 0 0 %d" % (key, len(value)), value)
    hostside.check(text.values(list(many)) == many, "100 keys at once: other values")
    until = time.monotonic() + 20
    while text.values([b"short"]):  # it expires
        hostside.check(time.monotonic() < until, "a value with a life of one second is still there")
        time.sleep(0.2)
    text.close()


class Binary:
    """A connection that speaks the binary protocol."""

    def __init__(self):
        self.link = hostside.connect(PORT)
        self.link.settimeout(30)
        self.stream = self.link.makefile("rb")

    def send(self, code, key=b"", extras=b"", value=b"", opaque=0):
        """A request."""
        body = extras + key + value
        self.link.sendall(struct.pack(">BBHBBHIIQ", 0x80, code, len(key), len(extras), 0, 0, len(body), opaque, 0) + body)

    def receive(self):
        """(code, status, opaque, key, value)"""
        magic, code, keys, extras, _, status, size, opaque, _ = struct.unpack(">BBHBBHIIQ", self.stream.read(24))
        hostside.check(magic == 0x81, f"an answer that begins with {magic:#x}")
        body = self.stream.read(size)
        return code, status, opaque, body[extras:extras + keys], body[extras + keys:]

    def expect(self, status, value, code, *request):
        """The answer must have this status and value, each unless it is None."""
        self.send(code, *request)
        answer = self.receive()
        good = answer[0] == code and status in (None, answer[1]) and value in (None, answer[4])
        hostside.check(good, f"binary request {code}: {answer}")

    def close(self):
        """Ends the connection."""
        self.stream.close()
        self.link.close()


def binary_protocol():
    """The same, and quiet gets: only what is there is answered."""
    binary = Binary()
    lasting = struct.pack(">II", 0, 0)
    binary.expect(0, b"", SET, b"b", lasting, b"binary")
    binary.expect(0, b"binary", GET, b"b")
    binary.expect(EXISTS, None, ADD, b"b", lasting, b"x")
    binary.expect(None, None, DELETE, b"counter")
    binary.expect(0, struct.pack(">Q", 7), INCREMENT, b"counter", struct.pack(">QQI", 1, 7, 0))
    binary.expect(0, struct.pack(">Q", 12), INCREMENT, b"counter", struct.pack(">QQI", 5, 0, 0))
    for number in range(50):
        binary.send(GETKQ, b"b" if number % 10 == 0 else b"none", opaque=number)
    binary.send(NOOP, opaque=99)
    found = []
    while (answer := binary.receive())[0] != NOOP:
        found.append(answer[2:])
    hostside.check(found == [(number, b"b", b"binary") for number in range(0, 50, 10)], f"quiet gets: {found}")
    binary.expect(0, b"", DELETE, b"b")
    binary.expect(NOT_FOUND, None, GET, b"b")
    binary.expect(0, b"", QUIT)
    hostside.check(binary.stream.read(1) == b"", "still open after quit")
    binary.close()


def datagrams():
    """The text protocol over UDP, behind memcached's frame of 8 bytes; with retries, since a datagram may be lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(("127.0.0.1", hostside.port(PORT)))
        link.settimeout(2)
        for number, (command, answer) in enumerate([(b"set udp 7 0 4\r\ndata\r\n", b"STORED\r\n"),
                                                    (b"get udp\r\n", b"VALUE udp 7 4\r\ndata\r\nEND\r\n"),
                                                    (b"get nothing\r\n", b"END\r\n")] * 20):
            for _ in range(5):
                link.send(struct.pack(">HHHH", number, 0, 1, 0) + command)
                try:
                    got = link.recv(65536)
                except TimeoutError:
                    continue
                if got[:2] == struct.pack(">H", number):
                    break
            else:
                raise AssertionError(f"no answer to datagram {number}")
            hostside.check(got[8:] == answer, f"the answer to {command} by UDP: {got}")


def many_clients():
    """Clients at once: nobody gets another's values, no increment is lost."""
    failures = []

    def client(number):
        try:
            text = Text()
            for turn in range(30):
                value = b"%d:%d " % (number, turn) * 20
                text.expect(b"STORED", b"set own-%d 0 0 %d" % (number, len(value)), value)
                text.ask(b"incr shared 1")
                hostside.check(text.values([b"own-%d" % number])[b"own-%d" % number][1] == value, "another's value")
            text.close()
        except Exception as error:  # to be raised where the test sees it
            failures.append(error)

    first = Text()
    first.expect(b"STORED", b"set shared 0 0 1", b"0")
    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    first.expect(b"%d" % (CLIENTS * 30 + 1), b"incr shared 1")
    first.close()


def main():
    version = hostside.first_answer(PORT, b"version\r\nquit\r\n")
    hostside.check(version.startswith(b"VERSION "), f"the answer to version: {version}")
    text_protocol()
    binary_protocol()
    datagrams()
    many_clients()


if __name__ == "__main__":
    main()
