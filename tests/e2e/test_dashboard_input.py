"""Hosts send text that must not reach a page, a download, a log line or a terminal unchanged."""
import hashlib
import json
import re
import uuid

import pytest
from lib.dashserver import Dashboard
from lib.ws import WebSocket

ESCAPES = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;OWNED\x07end",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "C1": "\u009b31mred",
    "bell": "a\x07b",
    "newline": "done\n[2026-11-28 09:00:00] Switching... by admin",
    "return": "good\rbad",
    "direction": "abc\u202edcb",
    "unfinished": "\x1b]0;never closed",
}
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]")
REGISTER = {"hostname": "h", "host_type": "nixos"}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data")) as running:
        yield running


def new_run():
    return str(uuid.uuid4())


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)


def assert_harmless(answer):
    assert answer.status == 200
    if "json" in answer.headers["Content-Type"]:
        text = list(strings(answer.json))
    else:
        text = [answer.body.decode()]
    assert [t for t in text if BAD.search(t)] == []


@pytest.mark.parametrize("kind", ESCAPES)
def test_no_escape_of_any_field_is_passed_on(dashboard, kind):
    host, run, evil = f"esc-{kind.lower()}", new_run(), ESCAPES[kind]
    post = lambda call, **body: dashboard.post(f"/api/hosts/{host}/{call}", body)
    assert post("register", **dict(REGISTER, hostname=host, os_name=evil, os_version=evil[:40], icon="\x1b[1m", comment=evil, location=evil[:40], config_repo=evil,
                                   agent_version="\x1b[2J1.0", metrics={"load": evil, evil: 1, "deep": {"x": [evil]}})).status == 200
    assert post("status", status="error", output=evil, comment=evil, test_status=evil).status == 200
    assert post("status", status="error", output="x\n" + evil).status == 200
    assert post("test-progress", current=1, total=1, running=False, result=evil, comment=evil).status == 200
    described = dict(run=run, command=evil, name=evil, user=evil, argv=["a", evil], progress={"current": evil, "built": 1, evil: 2})
    assert post("heartbeat", status="building", **described).status == 200
    assert post("logs", **dict(described, lines=["one"], exit={"signal": evil, "x": evil}, error=evil, failed=[evil], failed_units=[evil])).status == 200
    for path in ("/api/hosts", f"/api/hosts/{host}", f"/api/hosts/{host}/runs", f"/api/hosts/{host}/logs", f"/api/hosts/{host}/logs/download?format=txt",
                 f"/api/hosts/{host}/logs/download?format=json", "/metrics"):
        assert_harmless(dashboard.get(path))
    history = dashboard.get(f"/api/hosts/{host}/logs/download?format=txt").body.decode()
    assert "] Switching... by admin" not in [line[21:] for line in history.splitlines()]


def test_a_newline_makes_no_new_entry_in_the_history(dashboard):
    dashboard.post("/api/hosts/forger/register", dict(REGISTER, hostname="forger"))
    dashboard.post("/api/hosts/forger/status", {"status": "ok", "comment": ESCAPES["newline"]})
    history = dashboard.get("/api/hosts/forger/logs/download?format=txt").body.decode()
    assert "done [2026-11-28 09:00:00] Switching... by admin" in history
    assert not re.search(r"^\[2026-11-28", history, re.MULTILINE)


def test_a_comment_is_cut_between_two_characters(dashboard):
    for host, output in (("cut1", "x" + "é" * 60), ("cut2", "é" * 60), ("cut3", "✅" * 40), ("cut4", "ab" + "😀" * 30)):
        dashboard.post(f"/api/hosts/{host}/register", dict(REGISTER, hostname=host))
        assert dashboard.post(f"/api/hosts/{host}/status", {"status": "error", "output": output}).status == 200
    hosts = {h["id"]: h for h in dashboard.get("/api/hosts").json["hosts"]}  # json.loads refuses what is not UTF-8
    for host, output in (("cut1", "x" + "é" * 49), ("cut4", "ab" + "😀" * 24)):
        assert hosts[host]["comment"] == output
    with WebSocket(dashboard.url) as page:
        page.until("hello")
        page.send({"op": "subscribe"})
        assert {"cut1", "cut2", "cut3", "cut4"} <= {h["id"] for h in page.until("hosts")["hosts"]}


def test_one_host_cannot_make_the_list_of_all_hosts_large(dashboard):
    big = "é" * 9_000
    assert dashboard.post("/api/hosts/big/register", dict(REGISTER, hostname="big")).status == 200
    description = {"run": new_run(), "status": "building", "command": big, "name": big, "user": big, "progress": {"current": big, "built": 3, big[:1000]: 1}}
    assert dashboard.post("/api/hosts/big/heartbeat", description).status == 200
    for wrong, value in (("argv", [big] * 10), ("progress", {"current": big, "built": 3, "list": [big]})):
        answer = dashboard.post("/api/hosts/big/heartbeat", dict(description, **{wrong: value}))
        assert answer.status in (200, 400, 413), wrong
    assert dashboard.post("/api/hosts/big/register", dict(REGISTER, hostname="big", metrics={"x": [big] * 3})).status in (200, 413, 422)
    end = {"run": description["run"], "lines": ["x"], "exit": {"code": 1}, "error": big, "failed": ["é" * 300] * 200, "failed_units": [big] * 9}
    answer = dashboard.post("/api/hosts/big/logs", end)
    assert answer.status == 200 and answer.json["next"] == 1
    host = dashboard.get("/api/hosts/big").json
    assert len(json.dumps(host, ensure_ascii=False).encode()) < 200_000
    run = host["run"]
    assert run["command"].endswith("…") and len(run["command"].encode()) <= 16384 and run["progress"]["built"] == 3
    assert len(run["failed"]) == 100 and run["error"].endswith("…") and "\ufffd" not in run["error"]


WRONG = [
    ({"lines": "x"}, "lines: expected an array of strings; not together with text"),
    ({"lines": ["x"], "text": "y"}, "lines: expected an array of strings; not together with text"),
    ({"lines": [1]}, "lines: expected an array of strings; not together with text"),
    ({"text": 1}, "text: expected a string; not together with lines; of control characters only LF, colours (SGR) and hyperlinks (OSC 8, http or https)"),
    ({"text": "a\x07"}, "text: expected a string; not together with lines; of control characters only LF, colours (SGR) and hyperlinks (OSC 8, http or https)"),
    ({"run": "x"}, "run: expected a UUID"),
    ({"from": -1}, "from: expected an integer from 0 on"),
    ({"from": 1.5}, "from: expected an integer from 0 on"),
    ({"command": 7}, "command: expected a string"),
    ({"started": "yesterday"}, "started: expected an RFC 3339 time in a string"),
    ({"exit": {}}, "exit: expected an object with an integer code or a string signal"),
    ({"digest": "abc"}, "digest: expected 64 hex digits"),
    ({"argv": ["a", 1]}, "argv: expected an array of strings"),
    ({"lines": ["a"], "times": [[1, -9223372036854775808]]}, "times: expected an array of [count, milliseconds since 1970]"),
    ({"lines": ["a"], "times": [[1, 9223372036854775807]]}, "times: expected an array of [count, milliseconds since 1970]"),
    ({"lines": ["a"], "times": [[1, 253402300800000]]}, "times: expected an array of [count, milliseconds since 1970]"),
]


@pytest.mark.parametrize("body,reason", WRONG, ids=[json.dumps(body)[:40] for body, _ in WRONG])
def test_a_refusal_says_what_was_expected(dashboard, body, reason):
    answer = dashboard.post("/api/hosts/wrong/logs", body)
    assert (answer.status, answer.json) == (400, {"error": reason})


def link(target, text="here", end="\x1b\\"):
    return f"\x1b]8;;{target}{end}{text}\x1b]8;;{end}"


def test_hyperlinks_are_kept_and_no_part_of_the_text(dashboard):
    run, lines = new_run(), ["see " + link("https://a.example/x?y=1;2"), "plain"]
    text = "\n".join(lines)
    end = {"exit": {"code": 0}, "digest": hashlib.sha256(text.encode()).hexdigest()}
    for _ in range(2):  # a retry changes nothing
        assert dashboard.post("/api/hosts/linked/logs", {"run": run, "from": 0, "text": text, **end}).json == {"next": 2}
    path = f"/api/hosts/linked/runs/{run}"
    assert dashboard.get(f"{path}/lines?from=0").json["lines"] == lines
    assert dashboard.get(f"{path}/log").body == b"see here\nplain\n" and dashboard.get(f"{path}/log?color=1").body.decode() == text + "\n"
    assert dashboard.get(f"{path}/search?q=see+here").json["matches"] == [{"line": 0, "text": "see here"}]
    assert dashboard.get(f"{path}/search?q=a.example").json["matches"] == []


HARMFUL_LINKS = {
    "script": link("javascript:alert(1)"), "data": link("data:text/html,x"), "file": link("file:///etc/passwd"), "blank": link("https://a b"), "control": link("https://a\tb"),
    "direction": link("https://a\u202eb"), "C1": link("https://a\u009bb"), "line": link("https://a\nb"), "long": link("https://" + "a" * 2048), "huge": link("https://" + "a" * 900_000),
    "parameters": "\x1b]8;id=1;https://a\x1b\\x", "bell": link("https://a", end="\x07"), "open": "\x1b]8;;https://a", "title": "\x1b]0;x\x1b\\", "nested": link(link("https://a")),
}


@pytest.mark.parametrize("kind", HARMFUL_LINKS)
def test_a_hyperlink_of_another_form_is_refused_or_made_harmless(dashboard, kind):
    evil = HARMFUL_LINKS[kind]
    assert dashboard.post("/api/hosts/badlink/logs", {"run": new_run(), "from": 0, "text": evil}).status == 400
    run = new_run()
    assert dashboard.post("/api/hosts/badlink/logs", {"run": run, "from": 0, "lines": [evil]}).status == 200
    assert "\x1b" not in "".join(dashboard.get(f"/api/hosts/badlink/runs/{run}/lines?from=0").json["lines"])


def test_a_batch_of_nothing_but_hyperlinks_is_taken_and_read(dashboard):
    run, line = new_run(), link("https://a.example/x", "x") * 18_000
    assert dashboard.post("/api/hosts/manylinks/logs", {"run": run, "from": 0, "text": line}).json == {"next": 1}
    assert dashboard.get(f"/api/hosts/manylinks/runs/{run}/lines?from=0").json["lines"] == [line]
    assert dashboard.get(f"/api/hosts/manylinks/runs/{run}/log").body == b"x" * 18_000 + b"\n"


def test_a_digest_may_have_upper_case_letters(dashboard):
    body = {"run": new_run(), "from": 0, "text": "one\ntwo", "exit": {"code": 0}, "digest": hashlib.sha256(b"one\ntwo").hexdigest().upper()}
    assert dashboard.post("/api/hosts/upper/logs", body).json == {"next": 2}


def test_counts_that_no_run_can_have_are_left_out(dashboard):
    progress = {"built": -5, "to_build": 10**12, "building": 2, "failed": "x", "fetched_bytes": 5_000_000_000, "current": 7, "unknown": {"a": 1}}
    run = new_run()
    assert dashboard.post("/api/hosts/odd/heartbeat", {"run": run, "status": "building", "progress": progress}).status == 200
    assert dashboard.get(f"/api/hosts/odd/runs/{run}").json["progress"] == {"building": 2, "fetched_bytes": 5_000_000_000}
    end = {"run": run, "lines": ["x"], "exit": {"code": 3, "nonsense": [1]}, "outcome": "splendid"}
    assert dashboard.post("/api/hosts/odd/logs", end).status == 200
    seen = dashboard.get(f"/api/hosts/odd/runs/{run}").json
    assert (seen["exit"], seen["outcome"]) == ({"code": 3}, "failure")
