"""JSON by RFC 8259, from the command's output to the page, with any version of json-c."""
import http.client
import json
import os
import pathlib
import resource
import sys
import uuid

import pytest
from lib.dashserver import TOKEN, Dashboard, wait_for
from lib.ws import WebSocket

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import environment, run as run_wrapped

TEXT = "✅ T01 · Grüße, 中文, 🚀, \U0001d800, a\u0301"
STRICT = {"parse_constant": lambda word: pytest.fail(f"{word} in an answer")}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("json") / "data") as server:
        yield server


@pytest.fixture
def host():
    return "host-" + uuid.uuid4().hex[:8]


def strict(answer):
    assert answer.status == 200
    return json.loads(answer.body, **STRICT)


def lines_of(dashboard, host):
    runs = dashboard.get(f"/api/hosts/{host}/runs").json["runs"]
    return dashboard.get(f"/api/hosts/{host}/runs/{runs[0]['id']}/log").body.decode().splitlines() if runs else []


def test_a_line_outside_of_ascii_is_on_the_dashboard(tmp_path, dashboard, host):
    env = environment(tmp_path / "state", NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=host)
    done = run_wrapped("printf", "%s\\n", TEXT, state=tmp_path / "state", env=env)
    assert (done.returncode, done.stdout.decode()) == (0, TEXT + "\n")
    assert wait_for(lambda: lines_of(dashboard, host), what="the line") == [TEXT]


@pytest.mark.parametrize("escaped", [True, False])
def test_text_arrives_as_it_was_sent_escaped_or_not(dashboard, host, escaped):
    lines = [TEXT, "\"quoted\" \\ /", "{}"]
    raw = json.dumps({"lines": lines, "command": TEXT}, ensure_ascii=escaped).encode()
    assert dashboard.call("POST", f"/api/hosts/{host}/logs", raw=raw).status == 200
    assert lines_of(dashboard, host) == lines


NO_JSON = [b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":-.5}', b'{"a":.5}', b'{"a":1.}', b'{"a":1.e5}', b'{"a":00.5}', b'{"a":+1}',
           b'{"a":1e999}', b'{"a":18446744073709551616}', b'{"a":"\t"}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\x80"}',
           b'{"a":1,"a":2}', b"{'a':1}", b'{"a":1,}', b'{"a":1}//', b'{"a":/**/1}', b'{"a":1} x', b'{"a":1', b"", b"[]", b'\xef\xbb\xbf{}']


@pytest.mark.parametrize("raw", NO_JSON)
@pytest.mark.parametrize("path, status", [("logs", 400), ("heartbeat", 400), ("register", 422), ("status", 422), ("test-progress", 422)])
def test_what_is_not_json_is_refused_by_every_call(dashboard, host, path, status, raw):
    answer = dashboard.call("POST", f"/api/hosts/{host}/{path}", raw=raw)
    assert answer.status == status and answer.json


def test_a_refusal_says_what_is_wrong_and_where(dashboard, host):
    answer = dashboard.call("POST", f"/api/hosts/{host}/logs", raw=b'{"lines":["a"],"progress":{"built":-.5}}')
    assert answer.json["error"] == "the body is not JSON: byte 36: a digit is expected"


@pytest.mark.parametrize("value", ["NaN", "-.5", "1.", "00.5", "Infinity", "1e999"])
def test_no_host_can_make_the_list_of_hosts_unreadable(dashboard, host, value):
    name = str(uuid.uuid4())
    refused = [("heartbeat", '{"run":"%s","status":"building","progress":{"built":%s}}'), ("logs", '{"run":"%s","exit":{"code":0,"x":%s}}'),
               ("register", '{"hostname":"%s","host_type":"nixos","metrics":{"cpu":%s}}')]
    assert dashboard.post(f"/api/hosts/{host}/logs", {"run": name, "lines": ["x"]}).status == 200
    for path, body in refused:
        assert dashboard.call("POST", f"/api/hosts/{host}/{path}", raw=(body % (name, value)).encode()).status in (400, 422)
    assert host in [entry["id"] for entry in strict(dashboard.get("/api/hosts"))["hosts"]]


def test_numbers_are_told_as_they_came(dashboard, host):
    raw = b'{"hostname":"%s","host_type":"nixos","metrics":{"built":3,"ratio":-0.50,"large":1e3,"max":18446744073709551615}}' % host.encode()
    assert dashboard.call("POST", f"/api/hosts/{host}/register", raw=raw).status == 200
    metrics = strict(dashboard.get(f"/api/hosts/{host}"))["metrics"]
    assert metrics == '{ "built": 3, "ratio": -0.50, "large": 1e3, "max": 18446744073709551615 }'


@pytest.mark.parametrize("message", [b'{"op":"subscribe","op":"pong"}', b'{"op":"pong","x":NaN}', b'{"op":"pong","x":-.5}', b"{'op':'pong'}", b'{"op":"pong"}x'])
def test_a_page_that_sends_no_json_is_told(dashboard, message):
    with WebSocket(dashboard.url) as channel:
        channel.receive()
        channel.send_text(message)
        assert channel.until("error")["error"] == "the message was not understood"


def post_with_limit(data, megabytes, body):
    """The answers to three posts while memory is limited; an empty list if the server did not start. Afterwards, without the limit, a
    post must succeed."""
    answers = []
    try:
        server = Dashboard(data, before=["prlimit", f"--as={megabytes << 20}:"])
    except RuntimeError:
        return answers
    with server:
        for _ in range(3):
            try:
                answers.append(server.call("POST", "/api/hosts/host/logs", raw=body).status)
            except (OSError, http.client.HTTPException):
                answers.append("closed")  # no memory for the body either: the writer tries again
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_for(lambda: server.call("POST", "/api/hosts/host/logs", raw=body).status == 200, what="an answer of 200 without the limit")
        return answers


@pytest.mark.skipif("NIXFLEET_ASAN" in os.environ, reason="the address space of a build with sanitizers cannot be limited")
def test_out_of_memory_is_no_fault_of_the_body(tmp_path):
    """If the answer were 400, the writer would drop the batch for good."""
    body = json.dumps({"lines": ["a line that takes a hundred bytes, more or less, " + "x" * 50] * 9000}).encode()
    seen = set()
    for megabytes in range(70, 270, 10):
        answers = post_with_limit(tmp_path / str(megabytes), megabytes, body)
        assert set(answers) <= {200, 503, "closed"}, (megabytes, answers)
        seen.update(answers)
    assert 503 in seen
