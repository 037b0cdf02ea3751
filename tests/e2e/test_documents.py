"""Compares the documents with a running server: the fields in docs/ are the fields that are sent, and the examples work as written."""
import os
import pathlib
import re
import subprocess
import uuid

import pytest
from lib.dashserver import BIN, TOKEN, Dashboard
from lib.people import cookie_of, settings, sign_in
from lib.ws import WebSocket

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
V1 = (ROOT / "docs/v1.md").read_text()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data"), dev=False, NIXFLEET_VIEW_TOKEN="view", **settings()) as running:
        running.cookie = cookie_of(sign_in(running))
        running.change = dict(running.cookie, **{"X-CSRF-Token": running.get("/api/session", token=None, headers=running.cookie).json["csrf"]})
        running.run = str(uuid.uuid4())
        assert running.post("/api/hosts/hsb1/register", {"hostname": "hsb1", "host_type": "nixos"}).status == 200
        assert running.post("/api/hosts/hsb1/logs", {"run": running.run, "name": "switch", "argv": ["/bin/a"], "lines": ["one", "two"]}).status == 200
        yield running


def get(dashboard, path):
    answer = dashboard.get(path, token="view")
    assert answer.status == 200, answer.body
    return answer.json


def person(dashboard, method, path, body=None):
    return dashboard.call(method, path, body, token=None, headers=dashboard.change)


def listed(name):
    """The members of an object, from a list in the document of the form NAME: `{a, b, …}`."""
    found = re.search(r"\b" + name + r": `\{([^}]*)\}`", PROTOCOL)
    return set(re.findall(r"\w+", found.group(1)))


def quoted(text, start):
    """The members of the first JSON answer after a text, without the members of inner objects."""
    begin = text.index("{", text.index(start) + len(start))
    depth, flat = 0, ""
    for c in text[begin:]:
        depth += (c in "{[") - (c in "}]")
        if depth == 1:
            flat += c
        if depth == 0:
            break
    return set(re.findall(r'"(\w+)"(?=[,:}]|$)', flat + "}")) or set(re.findall(r"\w+", flat))


def test_a_host_and_a_run_have_the_fields_of_the_document(dashboard):
    dashboard.post("/api/hosts/hsb1/logs", {"run": dashboard.run, "from": 2, "lines": ["three"], "exit": {"code": 0}})
    host = get(dashboard, "/api/hosts/hsb1")
    assert set(host) == listed("HOST")
    assert set(get(dashboard, "/api/hosts")["hosts"][0]) == listed("HOST")
    assert set(host["run"]) == listed("RUN") == set(get(dashboard, f"/api/hosts/hsb1/runs/{dashboard.run}"))
    assert set(host["verdict"]) == listed("VERDICT") == set(host["verdicts"][0])
    assert host["run"]["argv"] == ["/bin/a"] and b'["/bin/a"]' in dashboard.get("/api/hosts/hsb1", token="view").body


@pytest.mark.parametrize("path, start", [
    ("/api/hosts/hsb1/logs?since=0", "oldest first:"),
    ("/api/hosts/hsb1/runs/RUN/lines?from=0", "{run}/lines?from=N&limit=M` →"),
    ("/api/session", "`GET /api/session` →"),
    ("/api/hosts/hsb1/runs/RUN/derivations", "/derivations?from=N&limit=M` →"),
    ("/api/hosts/hsb1/runs/RUN/changes", "/changes` →"),
    ("/api/sign-in", "`GET /api/sign-in` →"),
], ids=lambda value: value[:40])
def test_an_answer_has_the_fields_of_the_document(dashboard, path, start):
    if path == "/api/session":
        answer = dashboard.get(path, token=None, headers=dashboard.cookie).json
    else:
        answer = get(dashboard, path.replace("RUN", dashboard.run))
    documented = quoted(PROTOCOL, start)
    if path.endswith("from=0"):
        documented |= {"gaps"}  # named in the next sentence of the document
    assert set(answer) == documented


def test_search_names_where_to_go_on_only_when_there_is_more(dashboard):
    path = f"/api/hosts/hsb1/runs/{dashboard.run}/search?q=o"
    assert set(get(dashboard, path)) == {"matches", "more"}
    more = get(dashboard, path + "&limit=1")
    assert set(more) == {"matches", "more", "next"} and set(more["matches"][0]) == {"line", "text"}


def see(page, seen):
    message = page.receive()
    kind = message.pop("type")
    seen[kind] = set(message)
    for host in message.get("hosts", []):
        assert {"id", "online", "state", "run"} <= set(host) <= listed("HOST") - {"status_history", "verdicts"}
        assert None not in host.values() and None not in host["run"].values()


def test_every_message_of_the_websocket_has_the_fields_of_the_document(dashboard):
    seen, run = {}, str(uuid.uuid4())
    write = lambda start, line: dashboard.post("/api/hosts/live/logs", {"run": run, "from": start, "lines": [line]})
    write(0, "one")
    with WebSocket(dashboard.url, headers=dashboard.cookie) as page:
        for op, wanted in (({"op": "subscribe"}, "hosts"), ({"op": "tail", "run": run, "from": 0}, "splice"), ({"op": "nonsense"}, "error")):
            page.send(op)
            while wanted not in seen:
                see(page, seen)
        dashboard.post("/api/hosts/live/heartbeat", {"run": run, "status": "building", "phase": "building"})
        while not {"changed", "run"} <= set(seen):
            see(page, seen)
    assert {"hello", "hosts", "changed", "run", "splice", "error"} <= set(seen)
    for kind, fields in seen.items():
        if kind in ("hello", "hosts", "changed", "run", "splice", "error", "ping"):
            section = PROTOCOL[PROTOCOL.index("## WebSocket"):]
            documented = re.search(rf"^- `{kind}` `\{{(.*?)\}}`", section, re.MULTILINE).group(1)
            assert fields == set(re.findall(r"\w+(?=[,:}]|$)", re.sub(r"\[[^\]]*\]+", "", documented))) - {"RUN"}, kind


def test_v1_answers_have_the_fields_of_the_document(dashboard):
    agent = lambda path, body: dashboard.post("/api/hosts/v1box/" + path, body)
    first = agent("register", {"hostname": "v1box", "host_type": "nixos"})
    assert set(first.json) == {"status", "host_id", "command", "agent_token"} and '"agent_token":"…"' in V1
    assert set(dashboard.get("/api/hosts/fresh/poll").json) == {"command", "agent_token"} and set(dashboard.get("/api/hosts/fresh/poll").json) == {"command"}
    for call, body in (("status", {"status": "ok"}), ("test-progress", {"current": 1, "total": 2})):
        assert agent(call, body).json == {"status": "updated"}
    for method, path, body, row in (
            ("POST", "/api/hosts", {"hostname": "added"}, "| `POST /api/hosts` |"), ("PATCH", "/api/hosts/added", {"comment": "c"}, "| `PATCH /api/hosts/{host}` |"),
            ("POST", "/api/hosts/added/agent-token", None, "agent-token` | none |"), ("DELETE", "/api/hosts/added", None, "| `DELETE /api/hosts/{host}` |"),
            ("POST", "/api/hosts/v1box/command", {"command": "pull"}, '| `{"command":"switch"}` |'), ("DELETE", "/api/hosts/v1box/command", None, "| `DELETE /api/hosts/{host}/command` | none |"),
            ("POST", "/api/nixcfg/refresh", None, "refresh` | none |"), ("GET", "/api/metrics", None, "| `GET /api/metrics` | |")):
        answer = person(dashboard, method, path, body)
        line = [cell for cell in V1[V1.index(row):].split("\n")[0].split(" | ") if '{"' in cell][-1]
        assert answer.status == 200 and set(answer.json) == set(re.findall(r'(?<!:)"(\w+)"(?=[,:}])', line)), (path, line)
    person(dashboard, "POST", "/api/hosts/v1box/command", {"command": "pull"})
    dashboard.get("/api/hosts/v1box/poll")
    log = get(dashboard, "/api/hosts/v1box/logs")["logs"][0]
    assert set(log) == {"id", "host_id", "command", "status", "output", "created_at", "completed_at"}


def rules(name):
    text = (ROOT / "dashboard/fleet/validate.c").read_text()
    return re.findall(r'\.name = "(\w+)"(.*)\}', re.search(rf"struct field_rule {name}_fields\[\] = \{{(.*?)\n\}};", text, re.DOTALL).group(1))


@pytest.mark.parametrize("name, heading", [("register", "/register`"), ("status", "/status`"), ("test_progress", "/test-progress`")])
def test_every_field_of_an_agents_body_is_in_the_document(name, heading):
    section = V1[V1.index("`POST /api/hosts/{host}" + heading, V1.index("## What an agent sends")):]
    table = section[:section.index("    200 ")]
    documented = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))))
    assert documented == {field for field, _ in rules(name)}
    for field, rule in rules(name):
        row = next(line for line in table.splitlines() if line.startswith("| `") and f"`{field}`" in line.split("|")[1])
        assert ("required" in row) == (".required = true" in rule), row


# ---- examples

def manual_examples(page):
    """The commands after a prompt in the displays (.Bd) of a manual."""
    text = (ROOT / "man" / page).read_text()
    for display in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL):
        for command in re.split(r"^(?=[$#] )", display.replace("\\e", "\\"), flags=re.MULTILINE):
            if command.startswith(("$ ", "# ")):
                yield command[2:].strip()


def shell(command, dashboard, **keywords):
    environment = dict(os.environ, NIXFLEET_API_TOKEN=TOKEN, NIXFLEET_VIEW_TOKEN="view", NIXFLEET_TOKEN=TOKEN, TOKEN=TOKEN, NIXFLEET_URL=dashboard.url)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", command.replace("curl ", "curl --fail-with-body -s ")], env=environment, capture_output=True, text=True, timeout=60, **keywords)


def curl_examples():
    for name in ("nixfleet-dashboard.8", "nixfleet-run.1"):
        yield from ((name, command) for command in manual_examples(name) if command.startswith("curl"))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        yield from ((path.name, command) for command in re.findall(r"^    (curl .*)$", text, re.MULTILINE))
        yield from ((path.name, command) for command in re.findall(r"`(curl -[^`]*)`", text))


def test_there_are_examples_to_try():
    assert len(list(curl_examples())) >= 3


@pytest.mark.parametrize("name, command", list(curl_examples()), ids=lambda value: value[:60])
def test_an_example_with_curl_works_as_written(dashboard, name, command):
    done = shell(command, dashboard)
    assert done.returncode == 0, (name, done.stdout, done.stderr)


def test_the_manuals_restore_brings_back_what_was_backed_up(tmp_path):
    """The commands of the manual, changed to use the test's own directory and no systemd."""
    commands = [c for c in manual_examples("nixfleet-dashboard.8")]
    backup = next(c for c in commands if " backup " in c)
    at = next(i for i, c in enumerate(commands) if c.startswith("systemctl stop"))
    restore = commands[at:at + 3]
    assert restore[-1].startswith("systemctl start")
    data, copy = tmp_path / "data", tmp_path / "fleet.db"
    adapt = lambda c: c.replace("/var/lib/nixfleet-dashboard", str(data)).replace("/var/backups/fleet.db", str(copy)).replace("nixfleet-dashboard backup", f"{BIN}/nixfleet-dashboard --data {data} backup").replace("nixfleet-dashboard restore", f"{BIN}/nixfleet-dashboard --data {data} restore")
    with Dashboard(data) as dashboard:
        dashboard.post("/api/hosts/before/logs", {"lines": ["x"]})
        done = shell(adapt(backup), dashboard)
        assert done.returncode == 0, done.stderr
        dashboard.post("/api/hosts/after/logs", {"lines": ["x"]})
        dashboard.kill()
        done = shell("\n".join(adapt(c) for c in restore if not c.startswith("systemctl")), dashboard)
        assert done.returncode == 0, done.stderr
        dashboard.start()
        assert [host["id"] for host in dashboard.get("/api/hosts").json["hosts"]] == ["before"]
