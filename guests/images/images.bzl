"""The named images of `hl run`, in one table. tools/launch.py reads it too, so it is plain data.

packages: package sets of tools/setup.py; roots: of these, the packages whose files go in whole;
programs: in-tree programs of //guests/programs; program, args, env: what runs;
ports: what --net user forwards; host_ports: guest port -> the host's port for it, where these differ, since
ports below 1024 are for root; connect: how to reach it, with {PORT} for the first forwarded port.
"""

NAMED_IMAGES = {
    "redis": {
        "summary": "Debian's redis-server, without persistence, open to the network",
        "packages": "redis",
        "roots": ["redis-server", "redis-tools"],
        "drop": ["usr/bin/redis-check-aof"],
        "program": "/usr/bin/redis-server",
        "args": ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp", "--save", ""],
        "env": [],
        "ports": [6379],
        "connect": "redis-cli -p {PORT}",
    },
    "iperf3": {
        "summary": "Debian's iperf3 as a server",
        "packages": "iperf3",
        "roots": ["iperf3"],
        "program": "/usr/bin/iperf3",
        "args": ["-s"],
        "env": [],
        "ports": [5201],
        "connect": "iperf3 -c 127.0.0.1 -p {PORT}",
    },
    "nginx": {
        "summary": "Debian's nginx serving /var/www/html",
        "packages": "nginx",
        "roots": ["nginx", "nginx-common"],
        "files": {
            "/etc/nginx/nginx.conf": "nginx.conf",
            "/var/www/html/index.html": "index.html",
            "/var/www/html/1m.bin": "1m.bin",
        },
        "program": "/usr/sbin/nginx",
        "args": [],
        "env": [],
        "ports": [80],
        "host_ports": {80: 8080},
        "connect": "curl http://127.0.0.1:{PORT}/",
    },
    "memcached": {
        "summary": "Debian's memcached, one worker thread",
        "packages": "memcached",
        "roots": ["memcached"],
        "program": "/usr/bin/memcached",
        "args": ["-u", "root", "-l", "0.0.0.0", "-t", "1"],
        "env": [],
        "ports": [11211],
        "connect": "127.0.0.1 port {PORT}, memcached's protocol",
    },
    "busybox": {
        "summary": "Debian's busybox: a shell on the console",
        "packages": "busybox",
        "roots": ["busybox-static"],
        "program": "/usr/bin/busybox",
        "args": ["sh"],
        "env": ["PATH=/usr/bin:/bin", "HOME=/root"],
        "ports": [],
        "connect": "this console",
    },
    "tcp-echo": {
        "summary": "TCP echo server (guests/programs/tcp_echo.c)",
        "programs": ["tcp_echo"],
        "program": "/usr/bin/tcp_echo",
        "args": ["7007"],
        "env": [],
        "ports": [7007],
        "connect": "nc 127.0.0.1 {PORT}",
    },
    "udp-echo": {
        "summary": "UDP echo server (guests/programs/udp_echo.c)",
        "programs": ["udp_echo"],
        "program": "/usr/bin/udp_echo",
        "args": ["7007"],
        "env": [],
        "ports": [7007],
        "connect": "nc -u 127.0.0.1 {PORT}",
    },
    "net-bench": {
        "summary": "byte-counting, checksumming TCP sink and source (guests/programs/net_bench.c)",
        "programs": ["net_bench"],
        "program": "/usr/bin/net_bench",
        "args": ["5001"],
        "env": [],
        "ports": [5001],
        "connect": "perf/net_bench_client.py --port {PORT} 8M",
    },
}
