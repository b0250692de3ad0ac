"""nginx over 50 connections, small and large files, kept connections and one per request, driven by wrk.

wrk counts a response only when all of its announced length came; any that failed is an error here.
"""

import hashlib
import http.client
import json
import os

import generators
import opponents
from model import Bar, Case, Load, MeasurementError

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load/wrk.lua")
PORT = 80
CONNECTIONS = 50
SLOWEST_SECONDS = 20  # of one response
HISTOGRAM_STEPS = 20  # buckets for every doubling: wrk has one for every microsecond


def fetch(target, path, close):
    """One response, checked as wrk can't: (its bytes with the head, its body)."""
    connection = http.client.HTTPConnection(target.host, target.ports[PORT], timeout=SLOWEST_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"} if close else {})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise MeasurementError(f"nginx: no answer to GET {path}: {error}") from error
    finally:
        connection.close()
    if response.status != 200 or response.headers["Content-Length"] != str(len(body)):
        raise MeasurementError(f"nginx: GET {path}: status {response.status}, {len(body)} bytes")
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{name}: {text}" for name, text in response.headers.items()), "", ""]
    return len("\r\n".join(lines)) + len(body), body


def check_bulk(target, close):
    """The 1 MiB file must be the one that was put into the image."""
    with open(opponents.built("guests/images/1m.bin"), "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    got = hashlib.sha256(fetch(target, "/1m.bin", close)[1]).hexdigest()
    if got != wanted:
        raise MeasurementError(f"nginx: /1m.bin has the SHA-256 {got} instead of {wanted}")


def coarse(histogram):
    """wrk's histogram in steps of equal ratio."""
    counts = {}
    for microseconds, count in histogram:
        exponent = max(microseconds.bit_length() - 1, 0)
        step = max(2 ** exponent / HISTOGRAM_STEPS, 1)
        bound = min(2 ** (exponent + 1), 2 ** exponent + step * (int((microseconds - 2 ** exponent) / step) + 1))
        counts[bound] = counts.get(bound, 0) + count
    return [[bound, counts[bound]] for bound in sorted(counts)]


def run_wrk(target, path, close, seconds):
    """What wrk saw; raises MeasurementError unless every request was answered well."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", f"{SLOWEST_SECONDS}s", "-s", SCRIPT,
               *(["-H", "Connection: close"] if close else []), f"http://{target.host}:{target.ports[PORT]}{path}"]
    lines = generators.run(*command, seconds=seconds + 2 * SLOWEST_SECONDS).strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        raise MeasurementError(f"wrk's report is not understood: {' / '.join(lines)[-300:]}")
    seen = json.loads(lines[-1])
    failed = {kind: count for kind, count in seen["errors"].items() if count}
    if failed or not seen["operations"]:
        raise MeasurementError(f"wrk: of {seen['operations']} requests failed: {failed or 'no request was answered'}")
    return seen


def drive(path, close):
    """A case's drive: wrk's requests. What was under way at the end counts by its bytes."""
    def run(target, seconds):
        response_bytes, _ = fetch(target, path, close)
        seen = run_wrk(target, path, close, seconds)
        return Load(operations=seen["bytes"] / response_bytes, seconds=seen["seconds"], latency_us=seen["latency_us"],
                          histogram_us=coarse(seen["histogram_us"]), notes={"whole_responses": seen["operations"]})
    return run


def case(name, path, close, title, bars, kvm_bars=()):
    """A case; all of them share a boot."""
    return Case(
        name="nginx-" + name, title=f"nginx, {title}, {CONNECTIONS} connections", group="nginx", image="nginx",
        operation="request", unit="requests/s", hello=b"GET / HTTP/1.0\r\n\r\n",
        drive=drive(path, close), prepare=lambda target: check_bulk(target, close), tools=("wrk",), bars=bars,
        kvm_bars=kvm_bars)


CASES = (
    case("keepalive-64", "/", False, "64 bytes, kept connections", (Bar("kernel", "<=", 7000), Bar("ratio", ">=", 2.5)),
         (Bar("exits_ratio", "<=", 1), Bar("ratio", ">=", 2.5))),
    case("close-64", "/", True, "64 bytes, a connection per request", (Bar("kernel", "<=", 15000), Bar("ratio", ">=", 4)),
         (Bar("exits_ratio", "<=", 1), Bar("ratio", ">=", 4))),
    case("keepalive-1m", "/1m.bin", False, "1 MiB, kept connections", (Bar("ratio", ">=", 1),)),
    case("close-1m", "/1m.bin", True, "1 MiB, a connection per request", (Bar("ratio", ">=", 1),)),
)
