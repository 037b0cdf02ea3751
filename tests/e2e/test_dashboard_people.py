"""The agent of version 1 and people use a real dashboard: register, commands, status, sign-in, tokens."""
import json
import subprocess

import pytest
from lib.dashserver import BIN, TOKEN, Dashboard
from lib.people import TOTP, settings, sign_in, totp

REGISTER = {"hostname": "myhost", "host_type": "nixos", "location": "cloud", "device_type": "desktop", "theme_color": "#ff6b6b", "poll_interval": 5,
            "current_generation": "e578082", "agent_version": "1.0.0", "os_name": "NixOS", "metrics": {"cpu": 12, "ram": 34, "load": "0.42"}, "extra": 1}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data"), dev=False, NIXFLEET_VIEW_TOKEN="only-looking", **settings()) as running:
        running.cookie = {"Cookie": sign_in(running).headers["Set-Cookie"].split(";")[0]}
        from lib.ws import WebSocket
        with WebSocket(running.url, headers=running.cookie) as page:
            running.change = dict(running.cookie, **{"X-CSRF-Token": page.receive()["csrf"]})
        yield running


def person(dashboard, method, path, body=None):
    return dashboard.call(method, path, body, token=None, headers=dashboard.change)


def register(dashboard, name="myhost", token=TOKEN):
    return dashboard.post(f"/api/hosts/{name}/register", dict(REGISTER, hostname=name), token=token)


def host(dashboard, name="myhost"):
    hosts = dashboard.get("/api/hosts", token=None, headers=dashboard.cookie).json["hosts"]
    return next(h for h in hosts if h["id"] == name)


def test_the_sign_in_page_is_served_to_whoever_has_no_session(dashboard):
    assert dashboard.get("/", token=None).headers["Location"] == "login"
    for path in ("/login", "/login?error=Invalid+password"):
        page = dashboard.get(path, token=None)
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b'<form method="post" action="/login">' in page.body
        assert dashboard.call("HEAD", path, token=None).status == 200
    assert dashboard.get("/login", token=None, headers=dashboard.cookie).headers["Location"] == "/"
    assert dashboard.call("PUT", "/login", token=None).status == 405
    assert dashboard.get("/logout", token=None).status == 405


def test_register_answers_as_v1_does_and_hands_out_a_token_once(dashboard):
    first = register(dashboard)
    assert first.body.startswith(b'{"status":"registered","host_id":"myhost","command":null,"agent_token":"')
    own = first.json["agent_token"]
    assert len(own) == 43
    assert register(dashboard, token=own).body == b'{"status":"registered","host_id":"myhost","command":null}'
    assert register(dashboard).status == 200  # the shared token stays valid
    seen = host(dashboard)
    assert seen["metrics"] == '{"cpu": 12, "ram": 34, "load": "0.42"}'.replace("{", "{ ").replace("}", " }") or json.loads(seen["metrics"]) == REGISTER["metrics"]
    assert seen["online"] is True and "agent_token_hash" not in seen and not seen["last_seen"].endswith("Z")
    assert register(dashboard, "other", token=own).status == 403


def test_a_command_is_handed_out_once_and_its_report_closes_it(dashboard):
    register(dashboard)
    assert person(dashboard, "POST", "/api/hosts/myhost/command", {"command": "pull"}).json == {"status": "queued", "command": "pull"}
    assert host(dashboard)["pending_command"] == "pull"
    dashboard.post("/api/hosts/myhost/heartbeat", {"status": "running", "run": "00000000-0000-7000-8000-000000000001"})
    assert host(dashboard)["pending_command"] == "pull"  # a heartbeat does not take the pending command
    assert register(dashboard).json["command"] == "pull"
    assert register(dashboard).json["command"] is None
    report = {"status": "ok", "output": "Pull: Updating a..b\x1b[31m ✓\x1b[0m", "current_generation": "659d45d", "test_status": None}
    assert dashboard.post("/api/hosts/myhost/status", report).body == b'{"status":"updated"}'
    log = dashboard.get("/api/hosts/myhost/logs", token=None, headers=dashboard.cookie).json["logs"][0]
    assert (log["command"], log["status"], log["output"]) == ("pull", "ok", "Pull: Updating a..b ✓") and log["completed_at"]
    seen = host(dashboard)
    assert seen["comment"] == "Pull successful" and seen["status_history"][0] == dict(seen["status_history"][0], icon="✓", message="Pull successful")


def test_a_command_that_waits_is_taken_back(dashboard):
    register(dashboard)
    assert person(dashboard, "DELETE", "/api/hosts/myhost/command").status == 409
    person(dashboard, "POST", "/api/hosts/myhost/command", {"command": "switch"})
    assert dashboard.call("DELETE", "/api/hosts/myhost/command", token=None, headers=dashboard.cookie).status == 403  # no CSRF token
    assert person(dashboard, "DELETE", "/api/hosts/myhost/command").json == {"status": "cancelled", "command": "switch"}
    assert host(dashboard)["pending_command"] is None
    assert register(dashboard).json["command"] is None
    assert person(dashboard, "DELETE", "/api/hosts/myhost/command").status == 409
    assert person(dashboard, "DELETE", "/api/hosts/nobody/command").status == 404
    history = [line["message"] for line in host(dashboard)["status_history"]]
    assert history[:2] == ["switch cancelled, from 127.0.0.1", "switch queued, from 127.0.0.1"]


def test_only_an_agent_is_told_as_one(dashboard):
    dashboard.post("/api/hosts/plain/logs", {"lines": ["x"]})
    dashboard.post("/api/hosts/plain/heartbeat", {"status": "running"})
    assert host(dashboard, "plain")["agent_seen"] == 0
    register(dashboard)
    assert host(dashboard)["agent_seen"] > 1_700_000_000_000


def test_a_failed_report_says_its_first_line(dashboard):
    register(dashboard)
    dashboard.post("/api/hosts/myhost/status", {"status": "error", "output": "Switch failed: building...\nerror: x"})
    assert host(dashboard)["status"] == "error" and host(dashboard)["comment"] == "Switch failed: building..."
    register(dashboard)
    assert host(dashboard)["status"] == "ok"


@pytest.mark.parametrize("length", (98, 99, 100, 101))
def test_a_comment_that_is_cut_stays_utf_8(dashboard, length):
    register(dashboard)
    dashboard.post("/api/hosts/myhost/status", {"status": "error", "output": "x" * length + "é€𝄞" * 20})
    hosts = dashboard.get("/api/hosts", token=None, headers=dashboard.cookie)
    comment = next(h for h in json.loads(hosts.body.decode("utf-8"))["hosts"] if h["id"] == "myhost")["comment"]
    assert comment.startswith("x" * min(length, 100)) and len(comment.encode()) <= 100 and "\ufffd" not in comment


def test_test_progress_counts_and_ends(dashboard):
    register(dashboard)
    post = lambda **body: dashboard.post("/api/hosts/myhost/test-progress", body)
    assert post(current=1, total=3, passed=0, running=True, result=None, comment=None).json == {"status": "updated"}
    assert (host(dashboard)["test_running"], host(dashboard)["test_current"]) == (1, 1)
    post(current=3, total=3, passed=2, running=False, result="2/3 pass, 1 fail")
    seen = host(dashboard)
    assert (seen["test_running"], seen["test_status"], seen["test_result"]) == (0, "2/3 passed", "2/3 pass, 1 fail")


def test_a_wrong_body_is_told_as_v1_tells_it(dashboard):
    refused = dashboard.post("/api/hosts/myhost/register", dict(REGISTER, host_type="linux"))
    assert refused.status == 422 and refused.json["detail"][0]["loc"] == ["body", "host_type"]
    assert person(dashboard, "POST", "/api/hosts/myhost/command", {"command": "format"}).status == 422
    assert person(dashboard, "POST", "/api/hosts/nobody/command", {"command": "pull"}).status == 404


def test_a_budget_that_is_used_up_answers_429(dashboard):
    statuses = [register(dashboard, "hasty").status for _ in range(31)]
    assert statuses[:30] == [200] * 30 and statuses[30] == 429


def test_hosts_are_added_changed_and_removed_by_a_person_only(dashboard):
    body = {"hostname": "newbox", "host_type": "macos", "location": "home", "device_type": "laptop", "theme_color": "#112233"}
    assert dashboard.post("/api/hosts", body, token=None).status == 401
    assert dashboard.post("/api/hosts", body).status == 403
    assert dashboard.post("/api/hosts", body, token=None, headers=dashboard.cookie).status == 403
    assert person(dashboard, "POST", "/api/hosts", body).json["host_id"] == "newbox"
    assert person(dashboard, "POST", "/api/hosts", body).status == 409
    assert host(dashboard, "newbox")["state"] == "offline"
    assert person(dashboard, "POST", "/api/hosts/newbox/command", {"command": "pull"}).status == 409
    token = person(dashboard, "POST", "/api/hosts/newbox/agent-token").json["agent_token"]
    assert dashboard.post("/api/hosts/newbox/logs", {"lines": ["x"]}, token=token).status == 200
    assert dashboard.post("/api/hosts/myhost/logs", {"lines": ["x"]}, token=token).status == 403
    assert person(dashboard, "DELETE", "/api/hosts/newbox").json == {"status": "deleted", "host_id": "newbox"}
    assert person(dashboard, "DELETE", "/api/hosts/newbox").status == 404


def test_the_download_is_an_attachment(dashboard):
    register(dashboard)
    dashboard.post("/api/hosts/myhost/status", {"status": "ok", "output": "line\nmore"})
    answer = dashboard.get("/api/hosts/myhost/logs/download?format=txt", token=None, headers=dashboard.cookie)
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="myhost-logs-') and b"    more\n" in answer.body
    assert dashboard.get("/api/hosts/unheard/logs/download", token=None, headers=dashboard.cookie).status == 404


def test_reading_needs_a_session_or_the_view_token(dashboard):
    assert dashboard.get("/api/hosts", token=None).status == 401
    assert dashboard.get("/api/hosts", token="of another fleet").status == 401
    agents = dashboard.get("/api/hosts")  # an agent's token may only write
    assert agents.status == 403 and "only write" in agents.json["detail"]
    assert dashboard.get("/api/hosts", token="only-looking").status == 200
    assert dashboard.post("/api/hosts/myhost/command", {"command": "pull"}, token="only-looking").status == 403
    assert dashboard.get("/", token=None).headers["Location"] == "login"


def test_the_cookie_is_guarded_and_signing_out_ends_it(dashboard):
    answer = sign_in(dashboard)
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 302 and all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/"))
    mine = {"Cookie": cookie.split(";")[0]}
    assert dashboard.get("/api/hosts", token=None, headers=mine).status == 200
    assert dashboard.call("POST", "/logout", token=None, headers=mine, raw=b"").status == 403
    forged = {"Cookie": mine["Cookie"][:-2] + "xx"}
    assert dashboard.get("/api/hosts", token=None, headers=forged).status == 401


def test_every_answer_carries_the_security_headers(dashboard):
    for path in ("/login", "/health", "/api/hosts"):
        headers = dashboard.get(path, token=None).headers
        assert "unsafe" not in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Strict-Transport-Security"]


def test_a_wrong_password_and_a_missing_code_are_refused_and_guessing_is_slowed(tmp_path):
    with Dashboard(tmp_path, dev=False, NIXFLEET_TOTP_SECRET=TOTP, **settings()) as dashboard:
        assert sign_in(dashboard, "wrong", totp()).headers["Location"] == "/login?error=Invalid+password"
        assert sign_in(dashboard).headers["Location"] == "/login?error=Invalid+TOTP+code"
        code = totp()
        assert sign_in(dashboard, code=code).headers["Location"] == "/"
        assert sign_in(dashboard, code=code).headers["Location"] == "/login?error=Invalid+TOTP+code"  # a code is valid once
        sign_in(dashboard, "wrong")
        assert sign_in(dashboard, "wrong").status == 429


def test_dev_mode_is_for_loopback_only(tmp_path):
    done = subprocess.run([str(BIN / "nixfleet-dashboard"), "--dev", "--listen", "0.0.0.0:0", "--data", str(tmp_path)], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode != 0 and "loopback" in done.stderr
