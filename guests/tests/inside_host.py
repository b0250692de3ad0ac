"""Types into a shell in the guest (busybox nc -e): Debian's servers with their clients beside them, busybox's own tools, and clients
in the guest with their server on this host, which is 10.0.2.2 there.
"""

import hashlib
import http.server
import re
import subprocess
import threading

import hostside
import network

SHELL = 2323
BULK = "guests/images/1m.bin"
HOST = "10.0.2.2"


def shell(text):
    """What the shell prints; the last command must succeed."""
    with hostside.connect(SHELL) as link:
        link.sendall(f"exec 2>&1\n{text}\necho \"status $?\"\nexit\n".encode())
        data = b""
        while part := link.recv(65536):
            data += part
    output = data.decode("utf-8", "replace")
    print(f"# {text}\n{output}")
    hostside.check(output.endswith("status 0\n"), f"{text}: {output}")
    return output


def expect(pattern, text):
    """The shell's output must match."""
    output = shell(text)
    hostside.check(re.search(pattern, output, re.M), f"{text}: no {pattern!r} in {output}")


def wait_for_port(port):
    """In the guest: until something listens there."""
    shell(f"until busybox nc 127.0.0.1 {port} </dev/null >/dev/null; do sleep 0.1; done")


def busybox_tools(digest):
    """ping, nc, wget, httpd and pipelines."""
    expect("3 packets received, 0% packet loss", "ping -c 3 -i 0.1 -s 4000 127.0.0.1")
    expect("^hello$", "nc -l -p 99 -e cat & sleep 0.2; echo hello | nc 127.0.0.1 99")
    expect(digest, "httpd -f -p 8080 -h /var/www/html </dev/null >/dev/null 2>&1 & sleep 0.3; wget -q -O - http://127.0.0.1:8080/1m.bin | sha256sum")
    expect("404 Not Found", "wget http://127.0.0.1:8080/none; true")
    expect("^1000\n999\n", "seq 1000 | sort -rn | head -n 2")
    expect("^var/www/html/1m.bin$", "tar cf - /var/www | gzip -1 | gunzip | tar tf -")
    expect(digest, "mkfifo /tmp/fifo; dd if=/var/www/html/1m.bin of=/tmp/fifo bs=7k & sha256sum </tmp/fifo")


def beside_servers():
    """redis-benchmark, wrk and iperf3 over loopback; memcached by nc."""
    # Whatever goes on behind the shell must not keep its connection: it would never end.
    shell('redis-server --save "" --dir /tmp </dev/null >/dev/null 2>&1 &')
    wait_for_port(6379)
    expect("SET: .* requests per second", "redis-benchmark -q -n 3000 -c 20 -t set,get,lpush")
    shell("nginx -c /etc/nginx/workers.conf </dev/null >/dev/null 2>&1 &")
    wait_for_port(80)
    for path in ("index.html", "1m.bin"):
        output = shell(f"wrk -t 2 -c 20 -d 1s --timeout 30s http://127.0.0.1/{path}")
        hostside.check("Socket errors" not in output and "Non-2xx" not in output, output)
        hostside.check(int(re.search(r"(\d+) requests in", output)[1]) > 10, output)
    shell("memcached -u root -l 127.0.0.1 </dev/null >/dev/null 2>&1 &")
    wait_for_port(11211)
    expect("STORED\r\nVALUE k 0 3\r\nabc\r\nEND", r"printf 'set k 0 0 3\r\nabc\r\nget k\r\nquit\r\n' | nc 127.0.0.1 11211")
    shell("iperf3 -s </dev/null >/dev/null 2>&1 &")
    wait_for_port(5201)
    expect("iperf Done", "sleep 0.5; iperf3 -c 127.0.0.1 -t 1; iperf3 -c 127.0.0.1 -t 1 -R")
    expect("iperf Done", "iperf3 -c 127.0.0.1 -t 1 -u -b 20M")


def servers_here(digest):
    """The guest as client of this host: iperf3, wget and wrk."""
    port = network.free_port()
    server = subprocess.Popen(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL)
    try:
        for words in ("", "-R"):
            expect("iperf Done", f"for i in 1 2 3 4 5; do iperf3 -c {HOST} -p {port} -t 1 {words} && break; sleep 0.5; done")
    finally:
        server.kill()
        server.wait()

    class Handler(http.server.BaseHTTPRequestHandler):
        """The large file, whatever is asked for."""
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with open(BULK, "rb") as file:
        body = file.read()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://{HOST}:{web.server_address[1]}/"
        expect(digest, f"wget -q -O - {url} | sha256sum")
        output = shell(f"wrk -t 1 -c 4 -d 1s --timeout 30s {url}")
        hostside.check("Socket errors" not in output and "Non-2xx" not in output, output)
        web.shutdown()


def main():
    with open(BULK, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    hostside.first_answer(SHELL, b"exit\n")
    busybox_tools(digest)
    beside_servers()
    servers_here(digest)


if __name__ == "__main__":
    main()
