"""Each allocation of the dashboard fails in turn, in each API call: alone, and together with all later allocations.

The caller gets the right answer, or 503, or the connection ends. The caller never gets a 4xx, which would blame the caller, and
never a wrong answer. When there is memory again, the same call succeeds."""
import hashlib
import http.client
import itertools
import json
import os
import urllib.error
import urllib.request
import uuid

import pytest
from lib.dashserver import Dashboard, wait_for
from lib.memory import SHIM, Memory
from lib.people import cookie_of, settings, sign_in
from lib.ws import WebSocket

pytestmark = [pytest.mark.sqlite,  # with SQLite, so that the dashboard runs out of memory, and not libpq
              pytest.mark.skipif(not SHIM.exists(), reason="tests/tools/failmem.c is not built"),
              pytest.mark.skipif("NIXFLEET_ASAN" in os.environ, reason="a build with sanitizers has its own malloc")]

ALL = 1 << 40
RUN, HOST = str(uuid.uuid4()), "steady"
LINES = [f"line {i} of a log" for i in range(30)]
DIGEST = hashlib.sha256("\n".join(LINES).encode()).hexdigest()
EXIT = {"exit": {"code": 1}, "error": "it failed", "error_line": 3, "failed": ["a.drv"], "digest": DIGEST}
BATCH = {"run": RUN, "from": 0, "lines": LINES, "command": "make \x1b[1mall", "argv": ["make", "all"], "times": [[30, 1000]],
         "derivations": [{"n": 0, "name": "a", "state": "building"}], "changes": [{"profile": "system"}], "progress": {"built": 1}}
V1 = {"hostname": "x", "host_type": "nixos", "metrics": {"cpu": 1}, "comment": "\x1b]0;title\x07text"}


class Caller:
    """Sends each call from a new address, and if necessary for a new host, so that no limit is reached."""

    def __init__(self, dashboard):
        self.dashboard, self.numbers = dashboard, itertools.count(1)
        self.cookie = cookie_of(sign_in(dashboard, headers=self.address()))
        self.csrf = dashboard.get("/api/session", token=None, headers=self.cookie).json["csrf"]

    def address(self):
        n = next(self.numbers)
        return {"X-Forwarded-For": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"}

    def agent(self, method, path, body=None):
        return self.dashboard.call(method, path, body, headers=self.address())

    def person(self, method, path, body=None):
        headers = dict(self.cookie, **self.address(), **{"X-CSRF-Token": self.csrf})
        return self.dashboard.call(method, path, body, token=None, headers=headers)

    def new_host(self):
        return f"host-{next(self.numbers)}"


def post(path, body):
    return lambda caller: caller.agent("POST", f"/api/hosts/{HOST}/{path}", body)


def get(path):
    return lambda caller: caller.person("GET", path)


def wrong(path, body):
    """A call that is refused also when there is memory. Without memory, the call must not get a different refusal."""
    return lambda caller: caller.agent("POST", f"/api/hosts/{HOST}/{path}", body)


def watch(caller):
    """A page that receives all hosts, a change, and the lines of a run."""
    with WebSocket(caller.dashboard.url, headers=caller.cookie) as page:
        if page.status != 101:
            return page.status
        assert page.until("hello")["csrf"] == caller.csrf
        page.send({"op": "subscribe"})
        assert HOST in [host["id"] for host in page.until("hosts")["hosts"]]
        page.send({"op": "tail", "run": RUN, "from": 0})
        while (message := page.receive())["type"] not in ("splice", "error"):
            pass
        assert message.get("lines") == LINES, message
        return 101


def stream(caller):
    """GET /api/events, up to the lines of a run."""
    request = urllib.request.Request(f"{caller.dashboard.url}/api/events?runs={RUN}", headers=caller.cookie)
    with urllib.request.urlopen(request, timeout=20) as answer:
        while (line := answer.readline()) and not line.startswith(b'data: {"type":"splice"'):
            pass
        if not line:
            raise EOFError
        assert json.loads(line[6:])["lines"] == LINES
        return 200


ON_RUN = f"/api/hosts/{HOST}/runs/{RUN}"
# The calls, and their answer when there is memory.
CALLS = {
    "logs": (post("logs", BATCH), 200),
    "logs, the end": (post("logs", {**BATCH, **EXIT}), 200),
    "logs, late": (post("logs", {"run": RUN, "from": 2, "lines": LINES[2:5]}), 200),
    "logs, wrong": (wrong("logs", {"lines": "x"}), 400),
    "heartbeat": (post("heartbeat", {"run": RUN, "status": "building", "interval": 10, "silent_for": 3}), 200),
    "register": (post("register", V1), 200),
    "register, wrong": (wrong("register", {"host_type": "dos", "poll_interval": 0}), 422),
    "poll": (lambda caller: caller.agent("GET", f"/api/hosts/{HOST}/poll"), 200),
    "status": (post("status", {"status": "error", "output": "failed\nfor a reason", "current_generation": "7"}), 200),
    "test-progress": (post("test-progress", {"current": 5, "total": 5, "passed": 5, "running": False, "result": "ok"}), 200),
    "no token": (lambda caller: caller.dashboard.post(f"/api/hosts/{HOST}/logs", BATCH, token="wrong"), 401),
    "no such run": (get(f"/api/hosts/{HOST}/runs/{uuid.uuid4()}"), 404),
    "hosts": (get("/api/hosts"), 200),
    "host": (get(f"/api/hosts/{HOST}"), 200),
    "runs": (get(f"/api/hosts/{HOST}/runs"), 200),
    "all runs": (get("/api/runs"), 200),
    "run": (get(ON_RUN), 200),
    "log": (get(ON_RUN + "/log"), 200),
    "lines": (get(ON_RUN + "/lines"), 200),
    "derivations": (get(ON_RUN + "/derivations"), 200),
    "changes": (get(ON_RUN + "/changes"), 200),
    "search": (get(ON_RUN + "/search?q=log&regex=1"), 200),
    "search in all": (get("/api/search?q=li.e&regex=1"), 200),
    "since": (get(f"/api/hosts/{HOST}/logs?since=0"), 200),
    "commands": (get(f"/api/hosts/{HOST}/logs"), 200),
    "history": (get(f"/api/hosts/{HOST}/logs/download"), 200),
    "metrics": (get("/metrics"), 200),
    "session": (get("/api/session"), 200),
    "page": (get("/"), 200),
    "script": (get("/static/app.js"), 200),
    "command": (lambda caller: caller.person("POST", f"/api/hosts/{HOST}/command", {"command": "switch"}), 200),
    "agent token": (lambda caller: caller.person("POST", "/api/hosts/other/agent-token"), 200),
    "add": (lambda caller: caller.person("POST", "/api/hosts", {"hostname": caller.new_host()}), 200),
    "edit": (lambda caller: caller.person("PATCH", f"/api/hosts/{HOST}", {"comment": "mine"}), 200),
    "sign in": (lambda caller: sign_in(caller.dashboard, headers=caller.address()), 302),
    "WebSocket": (watch, 101),
    "events": (stream, 200),
    "no CSRF token": (lambda caller: caller.dashboard.call("DELETE", f"/api/hosts/{HOST}", token=None, headers=caller.cookie), 403),
}


def call(caller, what):
    """The answer's status; "closed": the connection ended before or within the answer."""
    try:
        answer = what(caller)
        if isinstance(answer, int):
            return answer
        if answer.status == 302:
            assert answer.headers["Location"] == "/", answer.headers["Location"]
        if answer.headers["Content-Type"] == "application/json" and answer.body:
            json.loads(answer.body)
        return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except (EOFError, OSError, http.client.HTTPException):
        return "closed"


def succeeds(caller, name):
    """The live channel looks twice a second whether the store answers, and asks pages to connect again until it does."""
    what, expected = CALLS[name]
    if expected == 101:
        wait_for(lambda: call(caller, what) == expected, "the live channel")
    assert call(caller, what) == expected, caller.dashboard.log[-500:]


def lines_of(caller):
    return caller.person("GET", ON_RUN + "/log").body.decode().splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("memory")
    memory = Memory(directory)
    with Dashboard(directory / "data", dev=False, NIXFLEET_TRUST_PROXY_HEADERS="1", NIXFLEET_AUTO_PROVISION_AGENT_TOKENS="false",
                   **settings(), **memory.environment) as dashboard:
        caller = Caller(dashboard)
        assert caller.person("POST", "/api/hosts", {"hostname": "other"}).status == 200
        for name in ("logs", "register", "logs, the end"):
            assert call(caller, CALLS[name][0]) == 200
        yield memory, caller


@pytest.mark.parametrize("name", CALLS)
def test_no_memory_is_never_the_callers_fault(server, name):
    memory, caller = server
    what, expected = CALLS[name]
    succeeds(caller, name)
    before = memory.count
    assert call(caller, what) == expected
    allocations, seen = memory.count - before, set()
    for how_many in (1, ALL):
        for n in range(0, allocations, 1 if how_many == 1 else 3):
            memory.fail(n, how_many)
            status = call(caller, what)
            memory.suffice()
            assert status in (expected, 503, "closed"), (n, how_many, caller.dashboard.log[-500:])
            seen.add(status)
        succeeds(caller, name)
    assert seen & {503, "closed"}, "no allocation failed"
    assert lines_of(caller) == LINES
    assert b"damaged" not in caller.person("GET", "/health").body, caller.dashboard.log[-500:]
