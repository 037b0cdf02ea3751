"""Hostile HTTP requests: bodies with two possible ends, senders that never finish, too much of everything."""
import re
import socket
import subprocess
import time
import urllib.parse

import pytest
from lib.dashserver import TOKEN, Dashboard, wait_for


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("http") / "data") as server:
        yield server


class Raw:
    """A socket to the server; reads the answers."""

    def __init__(self, dashboard):
        address = urllib.parse.urlsplit(dashboard.url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        try:
            self.socket.sendall(text.encode("latin-1"))
        except OSError:
            pass  # the server has hung up; its answer can still be read

    def to_the_end(self):
        """All bytes until the server hangs up, which the server must do."""
        answer = b""
        while True:
            try:
                part = self.socket.recv(65536)
            except ConnectionError:
                return answer
            if not part:
                return answer
            answer += part


SMUGGLED = "POST /api/hosts/smuggled/heartbeat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: 20\r\n\r\n{\"status\":\"running\"}" % TOKEN
HEAD = "POST /api/hosts/front/logs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" % TOKEN


CHUNKED = "Transfer-Encoding: chunked\r\n"
NO_BODY = "0\r\n\r\n"

# Requests that a proxy and the server could read differently: (headers, body); another request follows the body.
TWO_READINGS = [
    # a length and chunks
    ("Content-Length: 14\r\n" + CHUNKED, NO_BODY),
    (CHUNKED + "Content-Length: 14\r\n", NO_BODY),
    ("Content-Length: 0\r\n" + CHUNKED, NO_BODY),
    (CHUNKED + "Content-Length: 5\r\n", NO_BODY),
    ("content-length: 5\r\ntransfer-encoding: CHUNKED\r\n", NO_BODY),
    ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", NO_BODY),
    ("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n", NO_BODY),
    ("Content-Length: 5\r\nTransfer-Encoding:\r\n", NO_BODY),
    # lengths that differ or are no numbers
    ("Content-Length: 14\r\nContent-Length: 2\r\n", "{}"),
    ("Content-Length: 2\r\nContent-Length: 14\r\n", "{}"),
    ("Content-Length: 0\r\nContent-Length: 2\r\n", "{}"),
    ("Content-Length: 2\r\nX: y\r\ncontent-length: 14\r\n", "{}"),
    ("Content-Length: 2\r\nContent-Length:\r\n", "{}"),
    ("Content-Length: 2\r\nContent-Length: +2\r\n", "{}"),
    ("Content-Length: +2\r\n", "{}"),
    ("Content-Length: -2\r\n", "{}"),
    ("Content-Length: -0\r\n", "{}"),
    ("Content-Length: 0x2\r\n", "{}"),
    ("Content-Length: 2.0\r\n", "{}"),
    ("Content-Length: 2e0\r\n", "{}"),
    ("Content-Length: 2a\r\n", "{}"),
    ("Content-Length: two\r\n", "{}"),
    ("Content-Length: \"2\"\r\n", "{}"),
    ("Content-Length: 2;2\r\n", "{}"),
    ("Content-Length: 2 2\r\n", "{}"),
    ("Content-Length:\r\n", "{}"),
    ("Content-Length: 2, 14\r\n", "{}"),
    ("Content-Length: 14, 2\r\n", "{}"),
    ("Content-Length: 2, 2\r\n", "{}"),
    ("Content-Length: 2,\r\n", "{}"),
    ("Content-Length: ,2\r\n", "{}"),
    ("Content-Length: 18446744073709551616\r\n", "{}"),
    ("Content-Length: 18446744073709551618\r\n", "{}"),  # 2^64 + 2
    ("Content-Length: 9223372036854775808\r\n", "{}"),
    ("Content-Length: 4294967298\r\n", "{}"),  # 2^32 + 2
    # names and lines that the proxy or the server might not see
    ("Content-Length : 2\r\n", "{}"),
    ("Content-Length\t: 2\r\n", "{}"),
    (" Content-Length: 2\r\n", "{}"),
    ("X: 1\r\n Content-Length: 2\r\n", "{}"),
    ("X: 1\r\n\tContent-Length: 2\r\n", "{}"),
    ("Content-Length:\r\n 2\r\n", "{}"),
    ("Content-Length: 1\r\n 4\r\n", "{}"),
    ("Transfer-Encoding:\r\n chunked\r\n", NO_BODY),
    ("Content-Length: 1\r\n 4\r\nY: z\r\n", "{}"),
    ("Transfer-Encoding:\r\n\tchunked\r\nY: z\r\n", NO_BODY),
    ("X: 1\r\n Content-Length:2\r\n", "{}"),
    ("Transfer-Encoding: chun\r\n ked\r\n", NO_BODY),
    ("Content-Length\0: 2\r\n", "{}"),
    ("X: a\rb\r\nContent-Length: 2\r\n", "{}"),
    ("X: a\rContent-Length: 14\r\nContent-Length: 2\r\n", "{}"),
    ("Content-Length: 2\r\r\n", "{}"),
    ("no colon\r\nContent-Length: 2\r\n", "{}"),
    (": no name\r\nContent-Length: 2\r\n", "{}"),
    ("Host: y\r\nContent-Length: 2\r\n", "{}"),
    # encodings that are not exactly `chunked`
    ("Transfer-Encoding: xchunked\r\n", NO_BODY),
    ("Transfer-Encoding: chunkedx\r\n", NO_BODY),
    ("Transfer-Encoding: \"chunked\"\r\n", NO_BODY),
    ("Transfer-Encoding: chunked;q=1\r\n", NO_BODY),
    ("Transfer-Encoding: chunked, identity\r\n", NO_BODY),
    ("Transfer-Encoding: identity, chunked\r\n", NO_BODY),
    ("Transfer-Encoding: chunked, chunked\r\n", NO_BODY),
    ("Transfer-Encoding: gzip\r\n", NO_BODY),
    ("Transfer-Encoding : chunked\r\n", NO_BODY),
    ("Transfer-Encoding:\x0bchunked\r\n", NO_BODY),
    (CHUNKED + CHUNKED, NO_BODY),
    (CHUNKED + "Transfer-Encoding: x\r\n", NO_BODY),
    ("Transfer-Encoding: identity\r\n" + CHUNKED, NO_BODY),
    # invalid chunks
    (CHUNKED, "5 ;x\r\n{\"a\":1}\r\n" + NO_BODY),
    (CHUNKED, "-2\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "+2\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "0x2\r\n{}\r\n" + NO_BODY),
    (CHUNKED, " 2\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "g\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "\r\n{}\r\n" + NO_BODY),
    (CHUNKED, ";x\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "fffffffffffffffff2\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "10000000000000002\r\n{}\r\n" + NO_BODY),  # 2^64 + 2
    (CHUNKED, "2\r\n{}x" + NO_BODY),
    (CHUNKED, "2\r\n{}" + NO_BODY),
    (CHUNKED, "1\r\n{}\r\n" + NO_BODY),
    (CHUNKED, "2\r\n{}\r" + NO_BODY),
    (CHUNKED, "2\r{}\r\n" + NO_BODY),
]


@pytest.mark.parametrize("length", ["-1", "0x16", "22, 22", "", "99999999999999999999"])
def test_a_client_that_sends_a_wrong_length_gets_one_answer(dashboard, length):
    """libmicrohttpd 0.9.75 sends the head of its own answer twice. A client reads one answer and finds the connection closed;
    the next request gets a normal answer."""
    options, header = ["-s", "-o", "/dev/null", "-w", "%{http_code} "], f"Content-Length: {length}" if length else "Content-Length;"
    done = subprocess.run(["curl", *options, "-d", "{}", "-H", header, dashboard.url + "/api/hosts/h/logs", "--next", *options, dashboard.url + "/health"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert re.fullmatch("(400|413) 200 ", done.stdout), done
    assert done.returncode == 0


def shape(value):
    return ascii(value).strip("'").replace("\\r\\n", " ").replace("\\", "_")[:60]


def test_the_shapes_are_as_many_as_were_tried_by_hand():
    assert len(set(TWO_READINGS)) == len(TWO_READINGS) >= 62


@pytest.mark.parametrize("headers, body", TWO_READINGS, ids=shape)
def test_a_request_with_two_readings_smuggles_nothing(dashboard, headers, body):
    before = dashboard.get("/api/hosts").json["hosts"]
    with Raw(dashboard) as raw:
        raw.send(HEAD + headers + "\r\n" + body + SMUGGLED)
        answer = raw.to_the_end()
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 501")), answer[:200]
    assert set(re.findall(rb"HTTP/1.1 (\d+)", answer)) == {answer[9:12]}, answer  # libmicrohttpd may send the status twice; there is no other answer
    assert [host["id"] for host in dashboard.get("/api/hosts").json["hosts"]] == [host["id"] for host in before]


@pytest.mark.parametrize("headers, body", [
    ("Content-Length: 2\0\r\n", "{}"),
    ("Content-Length: 2\0004\r\n", "{}"),
    ("X: a\0b\r\nContent-Length: 2\r\n", "{}"),
    ("X: a\0\r\nContent-Length: 2\r\n", "{}"),
    ("Transfer-Encoding: chunked\0\r\n", "2\r\n{}\r\n" + NO_BODY),
    ("Transfer-Encoding: chunked\0x\r\n", "2\r\n{}\r\n" + NO_BODY),
], ids=shape)
def test_a_nul_ends_a_value_or_the_request_is_refused(dashboard, headers, body):
    """The server never starts to read the next request at a wrong place."""
    with Raw(dashboard) as raw:
        raw.send(HEAD + headers + "\r\n" + body + SMUGGLED.replace("smuggled", "behind").replace("Host: localhost", "Host: localhost\r\nConnection: close"))
        answer = raw.to_the_end()
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) in ([b"200", b"200"], [b"400"]), answer


@pytest.mark.parametrize("host", ["", "Host: localhost\r\nHost: localhost\r\n"], ids=["none", "two"])
def test_a_request_names_one_host(dashboard, host):
    with Raw(dashboard) as raw:
        raw.send(f"GET /health HTTP/1.1\r\n{host}\r\n")
        assert raw.to_the_end().startswith(b"HTTP/1.1 400")


def test_two_requests_one_behind_the_other_are_two(dashboard):
    with Raw(dashboard) as raw:
        raw.send(SMUGGLED.replace("smuggled", "first") +
                 SMUGGLED.replace("smuggled", "second").replace("Host: localhost", "Host: localhost\r\nConnection: close"))
        answer = raw.to_the_end()
    assert answer.count(b"HTTP/1.1 200") == 2
    assert {"first", "second"} <= {host["id"] for host in dashboard.get("/api/hosts").json["hosts"]}


@pytest.mark.parametrize("request_text", [
    "GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % ("a" * 70000),
    "GET /?q=%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % ("a" * 70000),
    "GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % ("a" * 70000),
    "GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % "".join(f"X-{i}: y\r\n" for i in range(9000)),
    "%s / HTTP/1.1\r\nHost: localhost\r\n\r\n" % ("A" * 70000),
], ids=["path", "query", "header", "many headers", "method"])
def test_a_header_beyond_its_bound_is_refused(dashboard, request_text):
    with Raw(dashboard) as raw:
        raw.send(request_text)
        answer = raw.to_the_end()
    assert answer == b"" or answer[9:12] in (b"414", b"431", b"413", b"400"), answer[:100]
    assert dashboard.get("/health", token=None).status == 200


def test_a_body_that_does_not_end_holds_up_no_one_and_is_cut(dashboard):
    with Raw(dashboard) as raw:
        raw.send(HEAD + "Content-Length: 1000000\r\n\r\n{")
        raw.socket.settimeout(0.5)
        cut = False
        end = time.monotonic() + 60
        while not cut and time.monotonic() < end:  # a byte at intervals, so that the connection is never idle
            assert dashboard.get("/health", token=None).status == 200
            try:
                raw.socket.sendall(b" ")
                cut = raw.socket.recv(100) == b""
            except TimeoutError:
                pass
            except OSError:
                cut = True
        assert cut


def is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_many_connections_that_say_nothing_hold_up_no_one(dashboard):
    silent = [Raw(dashboard) for _ in range(600)]
    try:
        for raw in silent:
            raw.send("POST /api/hosts/slow/logs HTTP/1.1\r\nHost:")
        assert dashboard.post("/api/hosts/quick/logs", {"lines": ["here"]}).json["next"] >= 1
        assert any(is_open(raw.socket) for raw in silent)  # the answer came while the silent connections were still open
    finally:
        for raw in silent:
            raw.socket.close()
    wait_for(lambda: dashboard.get("/health", token=None).status == 200)


@pytest.mark.parametrize("origin, status", [("http://evil.example", 403), ("null", 403), ("http://127.0.0.1.evil.example", 403), (None, 101)])
def test_a_websocket_is_for_our_own_pages(dashboard, origin, status):
    with Raw(dashboard) as raw:
        host = urllib.parse.urlsplit(dashboard.url).netloc
        raw.send(f"GET /api/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + (f"Origin: {origin}\r\n" if origin else "") + "\r\n")
        assert int(raw.socket.recv(4096).split()[1]) == status
