"""Drives nginx over HTTP: kept connections, one per request, ranges, HEAD, what is not there, 50 clients at once."""

import hashlib
import http.client
import re
import socket
import threading

import hostside

PORT = 80
PAGE_BYTES = 64
BULK = "guests/images/1m.bin"
CLIENTS = 50


def session():
    """A connection that is kept between requests."""
    return http.client.HTTPConnection("127.0.0.1", hostside.port(PORT), timeout=30)


def fetch(connection, path, method="GET", **headers):
    """(status, headers, body)"""
    connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def expect(got, wanted, what):
    """Fails unless both are equal."""
    hostside.check(got == wanted, f"{what}: {str(got)[:100]} instead of {str(wanted)[:100]}")


def small_page(page):
    """Many requests on one connection, and each on its own."""
    kept = session()
    for number in range(200):
        expect(fetch(kept, "/")[::2], (200, page), f"request {number} on a kept connection")
    for number in range(50):
        status, headers, body = fetch(session(), "/index.html", Connection="close")
        expect((status, headers["Connection"], body), (200, "close", page), f"connection {number}")
    status, headers, body = fetch(kept, "/", "HEAD")
    expect((status, headers["Content-Length"], body), (200, str(PAGE_BYTES), b""), "HEAD")
    expect(fetch(kept, "/none")[0], 404, "a file that is not there")
    expect(fetch(kept, "/../../etc/passwd")[0], 400, "a path out of the root")
    expect(fetch(kept, "/", "DELETE")[0], 405, "a method that is not served")
    status, headers, _ = fetch(kept, "/")
    expect(fetch(kept, "/", If_None_Match=headers["ETag"])[::2], (304, b""), "a page that did not change")


def large_file(bulk):
    """All of it, and parts."""
    kept = session()
    for _ in range(4):
        status, headers, body = fetch(kept, "/1m.bin")
        expect((status, headers["Content-Length"]), (200, str(len(bulk))), "1m.bin")
        expect(hashlib.sha256(body).digest(), hashlib.sha256(bulk).digest(), "the hash of 1m.bin")
    for first, last in ((0, 0), (1, 4095), (4095, 4096), (123456, 654321), (len(bulk) - 7, len(bulk) - 1)):
        status, headers, body = fetch(kept, "/1m.bin", Range=f"bytes={first}-{last}")
        expect((status, headers["Content-Range"]), (206, f"bytes {first}-{last}/{len(bulk)}"), "a range")
        hostside.check(body == bulk[first:last + 1], f"bytes {first} to {last} are others")
    expect(fetch(kept, "/1m.bin", Range=f"bytes={len(bulk)}-")[0], 416, "a range behind the end")


def pipelined(page):
    """Requests sent at once are answered in turn, however they are cut into segments."""
    request = b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n"
    with hostside.connect(PORT) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(request * 20)
        for byte in request[:-1]:
            link.sendall(bytes([byte]))
        link.sendall(request[-1:] + request.replace(b"Host", b"Connection: close\r\nHost"))
        data = b""
        while part := link.recv(65536):
            data += part
    expect(data.count(b"HTTP/1.1 200 OK\r\n"), 22, "answers to pipelined requests")
    expect(data.count(page), 22, "pages for pipelined requests")


def reader_that_leaves():
    """A client that goes away in the middle of a file harms nobody."""
    for _ in range(10):
        with hostside.connect(PORT) as link:
            link.sendall(b"GET /1m.bin HTTP/1.1\r\nHost: guest\r\n\r\n")
            link.recv(1000)


def many_clients(page, bulk):
    """Clients at once, small and large files mixed."""
    failures = []

    def client(number):
        try:
            kept = session()
            for turn in range(6):
                path, body = ("/1m.bin", bulk) if (number + turn) % 6 == 0 else ("/", page)
                hostside.check(fetch(kept, path)[2] == body, f"client {number}, request {turn}: a wrong body")
        except Exception as error:  # to be raised where the test sees it
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def real_clients():
    """ab and wrk: no request fails, with kept connections and with one per request."""
    url = f"http://127.0.0.1:{hostside.port(PORT)}"
    for words in (["-k", "-n", "2000"], ["-n", "500"], ["-n", "500", "-H", "Range: bytes=10-19"]):
        text = hostside.run("ab", "-q", "-c", "20", *words, url + "/index.html")
        hostside.check(re.search(r"^Failed requests: +0$", text, re.M) and "Non-2xx" not in text, text)
    for path in ("/index.html", "/1m.bin"):
        text = hostside.run("wrk", "-t", "1", "-c", "20", "-d", "1s", "--timeout", "30s", url + path)
        hostside.check("Socket errors" not in text and "Non-2xx" not in text, text)


def main():
    with open(BULK, "rb") as file:
        bulk = file.read()
    answer = hostside.first_answer(PORT, b"GET / HTTP/1.0\r\n\r\n")
    page = answer.partition(b"\r\n\r\n")[2]
    expect(len(page), PAGE_BYTES, "the page's size")
    small_page(page)
    large_file(bulk)
    pipelined(page)
    reader_that_leaves()
    many_clients(page, bulk)
    real_clients()
    small_page(page)


if __name__ == "__main__":
    main()
