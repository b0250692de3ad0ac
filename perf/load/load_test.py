#!/usr/bin/python3
"""perf/load against servers of this test: it counts right, and it notices whatever a server does wrong."""

import json
import os
import socket
import socketserver
import subprocess
import threading
import time
import unittest

LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load")


class Server(socketserver.ThreadingTCPServer):
    """Counts connections and exchanges. `answer(number of the exchange, line or bytes)` is the reply; None closes."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 100

    def __init__(self, answer, lines=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.lines = answer, lines
        self.lock = threading.Lock()
        self.store, self.exchanges, self.accepted, self.open = {}, 0, 0, 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(socketserver.StreamRequestHandler):
    """One connection of a Server."""

    def handle(self):
        server = self.server
        with server.lock:
            server.accepted += 1
            server.open += 1
        try:
            while data := (self.rfile.readline() if server.lines else self.request.recv(65536)):
                if data.startswith(b"set "):
                    data += self.rfile.read(int(data.split()[-1]) + 2)
                with server.lock:
                    server.exchanges += 1
                    reply = server.answer(server.exchanges, data)
                if reply is None:
                    break
                self.request.sendall(reply)
        except ConnectionError:
            pass
        finally:
            with server.lock:
                server.open -= 1


def echo(_number, data):
    """The reply of a correct echo server."""
    return data


class Cache:
    """The replies of a small memcached; `spoil(number, reply)` may change one."""

    def __init__(self, spoil=lambda number, reply: reply):
        self.store, self.spoil = {}, spoil

    def __call__(self, number, data):
        words = data.split(b"\r\n")[0].split()
        if words[0] == b"set":
            self.store[words[1]] = data.split(b"\r\n", 1)[1]
            return self.spoil(number, b"STORED\r\n")
        value = self.store[words[1]]
        return self.spoil(number, b"VALUE %s 0 %d\r\n%sEND\r\n" % (words[1], len(value) - 2, value))


def start(server, mode, *options):
    """The running program."""
    port = server.server_address[1] if server else 1
    return subprocess.Popen([LOAD, mode, "127.0.0.1", str(port), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def run(server, mode, *options):
    """(exit status, result or None, standard error)"""
    program = start(server, mode, *options)
    output, errors = program.communicate(timeout=40)
    return program.returncode, json.loads(output) if output else None, errors


class LoadTest(unittest.TestCase):
    """See the module."""

    def good(self, server, mode, *options):
        """The result of a run that must succeed and be consistent in itself."""
        status, result, errors = run(server, mode, *options)
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(sum(count for _, count in result["histogram_us"]), result["operations"])
        latency = result["latency_us"]
        self.assertTrue(0 < latency["p50"] <= latency["p99"] <= latency["p99.9"] <= latency["max"], latency)
        self.assertLess(latency["max"], result["seconds"] * 1.1e6)
        return result

    def bad(self, text, server, mode, *options):
        """A run that must fail and say so."""
        status, result, errors = run(server, mode, *options)
        self.assertEqual((status, result), (1, None))
        self.assertIn(text, errors)

    def test_pingpong(self):
        for size in (1, 64, 100000):
            with Server(echo) as server:
                result = self.good(server, "pingpong", "--size", str(size), "--operations", "300", "--seconds", "20")
                self.assertEqual((result["operations"], server.accepted), (300, 1))

    def test_time_ends_a_run(self):
        with Server(echo) as server:
            result = self.good(server, "pingpong", "--connections", "8", "--seconds", "0.5")
            self.assertEqual(result["operations"], server.exchanges)
            self.assertEqual(server.accepted, 8)
            self.assertTrue(0.4 < result["seconds"] < 10, result)

    def test_latency(self):
        with Server(lambda number, data: time.sleep(0.02) or data) as server:
            result = self.good(server, "pingpong", "--operations", "20")
            self.assertGreater(result["latency_us"]["p50"], 20000)

    def test_connect(self):
        with Server(echo) as server:
            result = self.good(server, "connect", "--operations", "400", "--seconds", "20", "--sources", "127.0.0.2+8")
            self.assertEqual((result["operations"], server.accepted, server.exchanges), (400, 400, 400))

    def test_memcached(self):
        with Server(Cache(), lines=True) as server:
            self.good(server, "memcached-set", "--keys", "500", "--operations", "500", "--connections", "1", "--seconds", "20")
            self.assertEqual(len(server.answer.store), 500)
            result = self.good(server, "memcached-get", "--keys", "500", "--operations", "2000", "--seconds", "20")
            self.assertEqual((result["operations"], server.exchanges, server.accepted), (2000, 2500, 51))

    def test_idle(self):
        with Server(echo) as server:
            program = start(server, "idle", "--connections", "200")
            result = json.loads(program.stdout.readline())
            self.assertEqual((result["operations"], server.accepted, server.open), (200, 200, 200))
            self.good(server, "pingpong", "--operations", "50")
            self.assertIsNone(program.poll())
            self.assertEqual((program.communicate(timeout=20)[1], program.returncode), ("", 0))

    def test_idle_ends(self):
        with Server(echo) as server:
            program = start(server, "idle", "--connections", "3", "--seconds", "0.3")
            program.wait(20)
            self.assertIn("standard input was open", program.communicate()[1])
            self.assertEqual(program.returncode, 1)

    def test_idle_connection_that_closes(self):
        open_links = []

        class Keeping(Handler):
            """Leaves its connection to the test."""

            def setup(self):
                super().setup()
                open_links.append(self.request)

        with Server(echo) as server:
            server.RequestHandlerClass = Keeping
            program = start(server, "idle", "--connections", "20")
            program.stdout.readline()
            open_links[7].shutdown(socket.SHUT_RDWR)
            program.wait(20)
            self.assertIn("the server closed it", program.communicate()[1])
            self.assertEqual(program.returncode, 1)

    def test_wrong_replies(self):
        changed = Server(lambda number, data: b"?" + data[1:] if number == 40 else data)
        last_byte = Server(lambda number, data: data[:-1] + b"?" if number == 40 else data)
        longer = Server(lambda number, data: data + b"?" if number == 40 else data)
        for server, text in ((changed, "wrong reply at byte 0 of 64"), (last_byte, "wrong reply at byte 63 of 64"),
                             (longer, "at byte 64 of 64")):
            with server:
                self.bad(text, server, "pingpong", "--operations", "100")

    def test_wrong_values(self):
        spoils = {"SERVER_ERROR": lambda number, reply: b"SERVER_ERROR out of memory\r\n" if number == 70 else reply,
                  "wrong reply at byte 0": lambda number, reply: b"END\r\n" if number == 270 else reply,
                  "wrong reply": lambda number, reply: reply.replace(b"key-00000001", b"key-00000002")}
        for text, spoil in spoils.items():
            with Server(Cache(spoil), lines=True) as server:
                status, _, errors = run(server, "memcached-set", "--keys", "100", "--operations", "100", "--connections", "1")
                if status == 0:
                    status, _, errors = run(server, "memcached-get", "--keys", "100", "--operations", "1000")
                self.assertEqual(status, 1)
                self.assertIn(text, errors)

    def test_servers_that_stop(self):
        with Server(lambda number, data: None if number == 30 else data) as server:
            self.bad("the server closed it", server, "pingpong", "--operations", "100")
        with Server(lambda number, data: b"" if number == 30 else data) as server:
            self.bad("nothing came for 0.5 s", server, "pingpong", "--timeout", "0.5")
        self.bad("Connection refused", None, "connect")

    def test_usage(self):
        for words, text in (([], "the mode is missing"), (["fly"], "unknown mode 'fly'"), (["idle"], "HOST and PORT"),
                            (["idle", "here", "1"], "'here' is no IPv4 address"), (["idle", "127.0.0.1", "99999"], "1 to 65535"),
                            (["idle", "127.0.0.1", "7", "--keys"], "the value is missing"),
                            (["idle", "127.0.0.1", "7", "--size", "0"], "1 to 1048576 are valid"),
                            (["idle", "127.0.0.1", "7", "--fast", "1"], "unknown option '--fast'"),
                            (["idle", "127.0.0.1", "7", "--sources", "x"], "ADDRESS+COUNT")):
            result = subprocess.run([LOAD, *words], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn(text, result.stderr)
            self.assertIn("memcached-get", result.stderr)


if __name__ == "__main__":
    unittest.main()
