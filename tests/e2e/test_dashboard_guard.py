"""Protection against strangers and floods: client addresses, limits, memory and host names."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import select
import socket
import struct
import urllib.parse

import pytest
from lib.dashserver import TOKEN, Dashboard, wait_for
from lib.people import cookie_of, settings, sign_in
from lib.ws import WebSocket

ADDRESS = "X-Forwarded-For"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data"), dev=False, NIXFLEET_TRUST_PROXY_HEADERS="1", NIXFLEET_TRUSTED_PROXY_IPS="127.0.0.1, 10.0.0.0/8,fd00::/8",
                   NIXFLEET_VIEW_TOKEN="view", **settings()) as running:
        yield running


def address_seen(dashboard, *forwarded):
    """The address that the server takes for the client's. Each value is sent as its own header."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(dashboard.url).netloc, timeout=20)
    connection.putrequest("GET", "/api/session")
    connection.putheader("Authorization", "Bearer view")
    for value in forwarded:
        connection.putheader(ADDRESS, value)
    connection.endheaders()
    with contextlib.closing(connection):
        return json.loads(connection.getresponse().read())["address"]


@pytest.mark.parametrize("forwarded, address", [
    ((), "127.0.0.1"),
    (("203.0.113.9",), "203.0.113.9"),
    (("198.51.100.1, 203.0.113.9",), "203.0.113.9"),
    (("198.51.100.1", "203.0.113.9"), "203.0.113.9"),  # a proxy that adds its own header
    (("198.51.100.1, 203.0.113.9, 10.1.2.3",), "203.0.113.9"),
    (("2001:DB8:0::1, fd00::7",), "2001:db8::1"),
    (("[2001:db8::1]:4711",), "2001:db8::1"),
    (("198.51.100.1, unknown, 10.1.2.3",), "10.1.2.3"),
    (("a" * 5000 + ", 203.0.113.9",), "203.0.113.9"),
])
def test_the_client_is_who_the_proxies_saw(dashboard, forwarded, address):
    assert address_seen(dashboard, *forwarded) == address


def test_a_forged_header_buys_no_more_tries(dashboard):
    tries = [sign_in(dashboard, "x", headers={ADDRESS: f"198.51.100.{i}, 203.0.113.50"}).status for i in range(7)]
    assert tries == [302] * 5 + [429] * 2
    tries = [sign_in(dashboard, "x", headers={ADDRESS: f"2001:db8:5:5::{i:x}"}).status for i in range(7)]
    assert tries == [302] * 5 + [429] * 2
    assert sign_in(dashboard, "x", headers={ADDRESS: "2001:db8:5:6::1"}).status == 302


def test_a_stranger_uses_up_no_agents_budget(dashboard):
    for method, path, body in (("GET", "poll", None), ("POST", "status", {"status": "ok"}), ("POST", "register", {"hostname": "agent1", "host_type": "nixos"})):
        for token in (None, "wrong"):
            statuses = {dashboard.call(method, "/api/hosts/agent1/" + path, body, token=token).status for _ in range(70)}
            assert statuses == {401}
        assert dashboard.call(method, "/api/hosts/agent1/" + path, body).status == 200


def test_head_does_not_take_the_command(dashboard):
    cookie = cookie_of(sign_in(dashboard, headers={ADDRESS: "192.0.2.60"}))
    csrf = {"X-CSRF-Token": dashboard.get("/api/session", token=None, headers=cookie).json["csrf"]}
    dashboard.post("/api/hosts/hp/register", {"hostname": "hp", "host_type": "nixos"})
    assert dashboard.call("POST", "/api/hosts/hp/command", {"command": "switch"}, token=None, headers=dict(cookie, **csrf)).status == 200
    head = dashboard.call("HEAD", "/api/hosts/hp/poll")
    assert (head.status, head.headers["Allow"]) == (405, "GET")
    assert dashboard.get("/api/hosts/hp/poll").json["command"] == "switch"
    for path in ("/", "/health", "/api/hosts", "/login"):
        assert dashboard.call("HEAD", path, token="view").status in (200, 302), path


class Flood:
    """Sends `count` wrong passwords at once, each from its own address. At the end the server is killed, and with it the waiting requests."""

    def __init__(self, dashboard, count):
        self.dashboard, self.pool = dashboard, concurrent.futures.ThreadPoolExecutor(count)
        self.tries = [self.pool.submit(self.one, i) for i in range(count)]
        wait_for(lambda: dashboard.log.count("refused") >= 1)

    def one(self, i):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return sign_in(self.dashboard, f"wrong {i}", headers={ADDRESS: f"198.51.100.{i}"}).status

    def waiting(self):
        return sum(not one.done() for one in self.tries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.dashboard.kill()
        self.pool.shutdown()


def test_a_flood_of_wrong_passwords_does_not_delay_the_right_one(tmp_path):
    with Dashboard(tmp_path, dev=False, NIXFLEET_TRUST_PROXY_HEADERS="1", **settings()) as dashboard:
        cookie_of(sign_in(dashboard, headers={ADDRESS: "192.0.2.1"}))
        with Flood(dashboard, 60) as flood:
            cookie_of(sign_in(dashboard, headers={ADDRESS: "192.0.2.2"}))
            assert flood.waiting() > 10  # most of the earlier sign-ins are still waiting
            wait_for(lambda: any(one.done() and one.result() == 503 for one in flood.tries))  # too many wait: some are refused


def test_the_newest_waiting_sign_in_is_next(tmp_path):
    """Also while the server has seen no correct password yet, as after a restart."""
    with Dashboard(tmp_path, dev=False, NIXFLEET_TRUST_PROXY_HEADERS="1", **settings()) as dashboard, Flood(dashboard, 30) as flood:
        cookie_of(sign_in(dashboard, headers={ADDRESS: "192.0.2.2"}))
        assert flood.waiting() > 5


# ---- names

@pytest.mark.parametrize("host, status", [("localhost", 200), ("localhost:1234", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("app.localhost", 200),
                                          ("evil.example", 403), ("evil.example:8000", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403),
                                          ("192.0.2.1", 403), ("", 403)])
def test_in_dev_mode_only_loopback_names_are_answered(dev, host, status):
    assert dev.call("GET", "/api/hosts", headers={"Host": host}).status == status


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("dev")) as running:
        yield running


def test_a_page_of_another_name_gets_neither_socket_nor_token(dev):
    class Rebound(WebSocket):
        def __init__(self, url):
            super().__init__(url, headers={"Origin": "http://evil.example"})

    with Rebound(dev.url) as page:
        assert page.status == 403


def raw(dashboard, text):
    """All bytes that the server sends after a request, until the server closes the connection."""
    address = urllib.parse.urlsplit(dashboard.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(text.encode("latin-1"))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
    return answer


@pytest.mark.parametrize("target, status", [
    ("http://localhost/health", 200), ("HTTP://LOCALHOST:80/health", 200), ("http://localhost/api/hosts?x=1", 200), ("http://localhost", 200),
    ("/static/base.css%00.html", 400), ("/api/hosts/raw%2Flogs", 400), ("/api/hosts/raw%2flogs", 400), ("/%2e%2e/%2e%2e/etc/passwd", 404),
    ("/health?a=%2F%00", 200), ("/fleet/login", 404), ("*", 404),
])
def test_a_target_has_one_meaning(dev, target, status):
    answer = raw(dev, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer[:200]


@pytest.mark.parametrize("length", ["-1", "0x16", "22, 22", "", "99999999999999999999", "+2", "1e3"])
def test_a_bad_length_is_refused_and_ends_the_connection(dev, length):
    """libmicrohttpd itself refuses the length; the version in Debian 12 sends the answer twice."""
    answer = raw(dev, f"POST /api/hosts/a/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer[9:12] in (b"400", b"413") and b"HTTP/1.1 200" not in answer, answer


def test_a_path_prefix_is_refused_with_what_to_do(dev):
    for path, headers in (("/fleet/login", {}), ("/fleet/api/hosts", {}), ("/a/b/static/app.js", {}), ("/", {"X-Forwarded-Prefix": "/fleet"})):
        answer = dev.get(path, headers=headers)
        assert answer.status == 404 and "host name of its own" in answer.json["detail"], path
    assert dev.get("/nothing").json == {"detail": "Not Found"}


# ---- bodies

@pytest.mark.parametrize("method, path, limit", [("POST", "/login", 4), ("POST", "/logout", 4), ("POST", "/api/hosts/a/heartbeat", 256),
                                                 ("POST", "/api/hosts/a/register", 64), ("POST", "/api/hosts/a/logs", 1024)])
def test_each_call_takes_bodies_of_its_size(dashboard, method, path, limit):
    for chunked in (False, True):
        data = b" " * (limit * 1024 + 1)
        answer = dashboard.call(method, path, raw=iter([data]) if chunked else data, headers={"Transfer-Encoding": "chunked"} if chunked else None)
        assert answer.status == 413 and "the body is over" in answer.json["error"]


def test_a_stranger_need_not_send_the_body(dashboard):
    head = "POST /api/hosts/a/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n"
    assert raw(dashboard, head + "\r\n").startswith(b"HTTP/1.1 401")
    address = urllib.parse.urlsplit(dashboard.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")


def test_a_refused_body_leaves_the_connection_in_step(dashboard):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(dashboard.url).netloc, timeout=20)
    with contextlib.closing(connection):
        for token, status in (("wrong", 401), (TOKEN, 200), ("view", 403), (TOKEN, 200)):
            connection.request("POST", "/api/hosts/step/logs", body=b'{"lines":["' + b"x" * 500_000 + b'"]}', headers={"Authorization": "Bearer " + token})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status


# ---- memory

def resident_mb(dashboard):
    with open(f"/proc/{dashboard.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


@contextlib.contextmanager
def connections(dashboard, count):
    address = urllib.parse.urlsplit(dashboard.url)
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection((address.hostname, address.port), timeout=30))
        yield opened
    finally:
        for connection in opened:
            connection.close()


@pytest.fixture
def measured(tmp_path):
    """A new server, and a memory limit based on what it uses when idle."""
    if os.environ.get("NIXFLEET_ASAN"):
        pytest.skip("the sanitizers' memory is not the program's")
    with Dashboard(tmp_path, dev=False, NIXFLEET_VIEW_TOKEN="view", **settings()) as running:
        running.post("/api/hosts/warm/logs", {"lines": ["x"] * 1000})
        running.get("/api/hosts", token="view")
        yield running, resident_mb(running) + 50


def test_pings_that_are_not_read_cost_no_memory(measured):
    dashboard, limit = measured
    ping = struct.pack("!BB", 0x89, 0x80 | 100) + b"mask" + bytes(100)
    with WebSocket(dashboard.url, headers={"Authorization": "Bearer view"}) as page:
        page.socket.setblocking(False)
        sent, stuck = 0, 0
        while sent < 100 << 20 and stuck < 20:  # until the server stops reading
            if select.select([], [page.socket], [], 0.1)[1]:
                with contextlib.suppress(BlockingIOError):
                    sent += page.socket.send(ping * 500)
                    stuck = 0
                    continue
            stuck += 1
        assert resident_mb(dashboard) < limit
        assert dashboard.get("/health", token=None).status == 200


@pytest.mark.parametrize("path, token", [("/login", None), ("/api/hosts/a/logs", None), ("/api/hosts/a/logs", TOKEN)], ids=["login", "stranger", "host"])
def test_bodies_that_do_not_end_cost_no_memory(measured, path, token):
    dashboard, limit = measured
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "") + "\r\n"
    with connections(dashboard, 200) as opened:
        for connection in opened:
            with contextlib.suppress(ConnectionError):  # the server may have answered and closed already
                connection.sendall(head.encode() + b" " * 500_000)
        assert dashboard.get("/health", token=None).status == 200
        assert resident_mb(dashboard) < limit


def test_pages_that_do_nothing_cost_little_memory(measured):
    dashboard, limit = measured
    head = "GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer view\r\n\r\n"
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(WebSocket(dashboard.url, headers={"Authorization": "Bearer view"})) for _ in range(400)]
        assert all(page.receive()["type"] == "hello" for page in pages)
        streams = stack.enter_context(connections(dashboard, 400))
        for stream in streams:
            stream.sendall(head.encode())
        for stream in streams:
            assert stream.recv(100).startswith(b"HTTP/1.1 200")
        assert resident_mb(dashboard) < limit


def test_one_client_cannot_take_all_connections(dashboard):
    """A peer that is no trusted proxy: 127.0.0.9 is another address of this machine."""
    address = urllib.parse.urlsplit(dashboard.url)
    opened, refused = [], 0
    try:
        for _ in range(300):
            connection = socket.create_connection((address.hostname, address.port), timeout=30, source_address=("127.0.0.9", 0))
            opened.append(connection)
        for connection in opened:
            try:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                refused += not connection.recv(100)
            except ConnectionError:
                refused += 1
        assert 300 - 256 - 2 <= refused < 100  # two threads accept connections, and both may see the last free place
        assert dashboard.get("/health", token=None).status == 200  # from 127.0.0.1, the proxy
    finally:
        for connection in opened:
            connection.close()
