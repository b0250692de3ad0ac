#!/usr/bin/python3
"""wrk under cases_nginx against servers of this test: it counts right, and no failure gets past it."""

import http.server
import os
import shutil
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import cases_nginx  # noqa: E402
from model import MeasurementError, Target  # noqa: E402

BODY = b"x" * 64


class Server(http.server.ThreadingHTTPServer):
    """`spoil(handler)` answers every hundredth request in its own way."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, spoil=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spoil = spoil
        self.lock = threading.Lock()
        self.accepted = self.requests = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """wrk leaves in the middle at its end."""

    def target(self):
        """This server, as cases see a guest."""
        return Target("linux", "127.0.0.1", {cases_nginx.PORT: self.server_address[1]}, None, None, 0)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with BODY."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.accepted += 1

    def log_message(self, *_):
        """Nothing."""

    def answer(self, status, body, announced=None):
        """A response."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):  # pylint: disable=invalid-name
        """Called for every request."""
        with self.server.lock:
            self.server.requests += 1
            number = self.server.requests
        if self.server.spoil and number % 100 == 0:
            self.server.spoil(self)
        else:
            self.answer(200, BODY)


def cut(handler):
    """Announces more than it sends."""
    handler.answer(200, BODY[:10], len(BODY))
    handler.close_connection = True


def hang_up(handler):
    """Closes without an answer."""
    handler.close_connection = True


@unittest.skipUnless(shutil.which("wrk"), "wrk is not installed; hl setup --perf does it")
class WrkTest(unittest.TestCase):
    """See the module."""

    def test_kept_connections(self):
        with Server() as server:
            load = cases_nginx.drive("/", False)(server.target(), 1)
            self.assertAlmostEqual(load.operations, server.requests - 1, delta=60)  # the first one tells the size
            self.assertEqual(server.accepted, cases_nginx.CONNECTIONS + 2)  # and wrk tries one before it starts
            self.assertTrue(0 < load.latency_us["p50"] <= load.latency_us["p99"] <= load.latency_us["p99.9"], load)

    def test_connection_per_request(self):
        with Server() as server:
            load = cases_nginx.drive("/", True)(server.target(), 1)
            self.assertAlmostEqual(load.operations, server.requests - 1, delta=60)
            self.assertAlmostEqual(load.operations, server.accepted - 2, delta=60)

    def test_failures(self):
        for spoil, text in ((lambda handler: handler.answer(500, BODY), "status"), (cut, "read"), (hang_up, "read")):
            for close in (False, True):
                with Server(spoil) as server, self.assertRaisesRegex(MeasurementError, "failed: .*" + text):
                    cases_nginx.run_wrk(server.target(), "/", close, 1)

    def test_no_server(self):
        with Server() as server:
            target = server.target()
        with self.assertRaises(MeasurementError):
            cases_nginx.run_wrk(target, "/", False, 1)

    def test_histogram(self):
        found = cases_nginx.coarse([[1, 5], [2, 1], [3, 1], [1000, 2], [1001, 3], [2000, 1]])
        self.assertEqual(sum(count for _, count in found), 13)
        self.assertTrue(all(found[at][0] < found[at + 1][0] for at in range(len(found) - 1)))
        self.assertLess(found[-1][0] / 2000, 1.06)


if __name__ == "__main__":
    unittest.main()
