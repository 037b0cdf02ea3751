"""Sessions: what each client may see, and until when."""
import os
import signal
import time
import urllib.request

import pytest
from lib.dashserver import TOKEN, Dashboard, wait_for
from lib.people import PASSWORD, SECRET, TOTP, cookie_of, cookie_that_ends, password_hash, settings, sign_in, totp
from lib.ws import WebSocket


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data"), dev=False, NIXFLEET_VIEW_TOKEN="only-looking", NIXFLEET_TRUST_PROXY_HEADERS="1", **settings()) as running:
        yield running


def from_address(address):
    """Each test signs in from another address, so that tests do not share a limit."""
    return {"X-Forwarded-For": address}


def signed_in(dashboard, address):
    return cookie_of(sign_in(dashboard, headers=from_address(address)))


def session(dashboard, **keywords):
    return dashboard.get("/api/session", **{"token": None, **keywords})


class Stream:
    """GET /api/events."""

    def __init__(self, dashboard, headers):
        self.answer = urllib.request.urlopen(urllib.request.Request(dashboard.url + "/api/events", headers=headers), timeout=20)
        assert self.answer.readline() == b"event: connected\n"

    def ends(self):
        while self.answer.readline():
            pass
        return True


def ends(page):
    """True once the server has closed the WebSocket; a page that stays open raises a timeout."""
    try:
        while True:
            page.receive()
    except (EOFError, ConnectionError):
        return True


def test_a_script_learns_who_it_is(dashboard):
    cookie = signed_in(dashboard, "192.0.2.1")
    mine = session(dashboard, headers=dict(cookie, **from_address("198.51.100.9, 192.0.2.1"))).json
    assert (mine["role"], mine["address"], len(mine["csrf"])) == ("person", "192.0.2.1", 64) and mine["expires"].endswith("Z")
    assert mine["host"] == dashboard.url.removeprefix("http://")
    assert dashboard.call("POST", "/api/hosts", {"hostname": "viascript"}, token=None, headers=dict(cookie, **{"X-CSRF-Token": mine["csrf"]})).status == 200
    assert session(dashboard, token="only-looking").json["role"] == "view"
    assert session(dashboard, token=TOKEN).json | {"address": 0, "host": 0} == {"role": "agent", "agent_of": None, "address": 0, "host": 0}
    own = dashboard.post("/api/hosts/owner/register", {"hostname": "owner", "host_type": "nixos"}).json["agent_token"]
    assert session(dashboard, token=own).json["agent_of"] == "owner"
    assert session(dashboard).status == 401
    assert session(dashboard, token="wrong").status == 401


def test_every_change_needs_the_csrf_token(dashboard):
    cookie = signed_in(dashboard, "192.0.2.2")
    dashboard.post("/api/hosts/changed/register", {"hostname": "changed", "host_type": "nixos"})
    right = dict(cookie, **{"X-CSRF-Token": session(dashboard, headers=cookie).json["csrf"]})
    changes = [("PATCH", "/api/hosts/changed", {"comment": "x"}), ("POST", "/api/hosts/changed/command", {"command": "pull"}),
               ("POST", "/api/hosts/changed/agent-token", None), ("POST", "/api/nixcfg/refresh", None), ("DELETE", "/api/hosts/changed", None)]
    for method, path, body in changes:
        for wrong in (cookie, dict(cookie, **{"X-CSRF-Token": "0" * 64}), dict(cookie, **{"X-CSRF-Token": ""})):
            assert dashboard.call(method, path, body, token=None, headers=wrong).status == 403, path
    for method, path, body in changes:
        assert dashboard.call(method, path, body, token=None, headers=right).status == 200, path
    assert dashboard.call("PATCH", "/api/hosts/nobody", {"comment": "x"}, token=None, headers=right).status == 404


def test_signing_out_ends_what_is_open(dashboard):
    mine, other = signed_in(dashboard, "192.0.2.3"), signed_in(dashboard, "192.0.2.4")
    csrf = session(dashboard, headers=mine).json["csrf"]
    with WebSocket(dashboard.url, headers=mine) as page, WebSocket(dashboard.url, headers=other) as another:
        page.receive(), another.receive()
        stream = Stream(dashboard, mine)
        assert dashboard.call("POST", "/logout", token=None, headers=dict(mine, **{"X-CSRF-Token": csrf}), raw=b"").status == 302
        assert ends(page) and stream.ends()
        assert session(dashboard, headers=mine).status == 401
        dashboard.post("/api/hosts/still/logs", {"lines": ["x"]})
        another.send({"op": "subscribe"})
        assert another.until("hosts")["hosts"]


def test_the_end_of_a_session_ends_what_is_open(dashboard):
    cookie = signed_in(dashboard, "192.0.2.5")
    short = cookie_that_ends(cookie, time.time() + 3)
    with WebSocket(dashboard.url, headers=short) as page:
        page.receive()
        stream = Stream(dashboard, short)
        assert ends(page) and stream.ends()
    assert session(dashboard, headers=short).status == 401
    assert session(dashboard, headers=cookie).status == 200


def test_a_session_outlives_a_restart_and_rotated_secrets(tmp_path):
    with Dashboard(tmp_path, dev=False, **settings()) as dashboard:
        cookie = cookie_of(sign_in(dashboard))
        csrf = session(dashboard, headers=cookie).json["csrf"]
        for secrets, holds in ((f"{'n' * 40},{SECRET}", True), (SECRET, True), ("n" * 40, False)):
            dashboard.kill()
            dashboard.environment["NIXFLEET_SESSION_SECRETS"] = secrets
            dashboard.start()
            assert session(dashboard, headers=cookie).status == (200 if holds else 401), secrets
            answer = dashboard.call("POST", "/api/nixcfg/refresh", token=None, headers=dict(cookie, **{"X-CSRF-Token": csrf}))
            assert answer.status == (200 if holds else 401)  # the CSRF token that the page got before the restart


@pytest.mark.parametrize("changed", [{"NIXFLEET_PASSWORD_HASH": None}, {"NIXFLEET_TOTP_SECRET": TOTP}], ids=["password", "second factor"])
def test_what_a_person_signs_in_with_ends_all_sessions_when_it_changes(tmp_path, changed):
    with Dashboard(tmp_path, dev=False, **settings()) as dashboard:
        cookie = cookie_of(sign_in(dashboard))
        dashboard.kill()
        dashboard.environment.update({name: value or password_hash("another password") for name, value in changed.items()})
        dashboard.start()
        assert session(dashboard, headers=cookie).status == 401


def test_many_long_secrets_are_no_obstacle(tmp_path):
    with Dashboard(tmp_path, dev=False, **settings(NIXFLEET_SESSION_SECRETS=",".join(letter * 64 for letter in "abcdefghij"))) as dashboard:
        assert session(dashboard, headers=cookie_of(sign_in(dashboard))).status == 200


def test_a_code_counts_once_also_after_a_restart_and_may_have_spaces(tmp_path):
    with Dashboard(tmp_path, dev=False, **settings(NIXFLEET_TOTP_SECRET=TOTP)) as dashboard:
        code = totp()
        cookie_of(sign_in(dashboard, code=f"{code[:3]} {code[3:]}"))
        dashboard.kill()
        dashboard.start()
        assert sign_in(dashboard, code=code).headers["Location"] == "/login?error=Invalid+TOTP+code"
        assert "used before" in dashboard.log


class Config:
    """A configuration file, as for an installed dashboard."""

    def __init__(self, path, **values):
        self.path, self.values = path, dict(settings(NIXFLEET_VIEW_TOKEN="old-view"), **values)
        self.write()

    def write(self, **changed):
        self.values.update(changed)
        self.path.touch(mode=0o600)
        self.path.write_text("".join(f"{name}='{value}'\n" for name, value in self.values.items() if value is not None))


def reload(dashboard):
    said = dashboard.log.count("reloaded")
    dashboard.process.send_signal(signal.SIGHUP)
    wait_for(lambda: dashboard.log.count("reloaded") > said, what="the reload")


def test_sighup_reads_the_secrets_again_and_drops_nobody_who_may_stay(tmp_path):
    config = Config(tmp_path / "config")
    with Dashboard(tmp_path / "data", dev=False, options=["--config", str(config.path)]) as dashboard:
        cookie = cookie_of(sign_in(dashboard))
        with WebSocket(dashboard.url, headers=cookie) as page, WebSocket(dashboard.url, headers={"Authorization": "Bearer old-view"}) as viewer:
            page.receive(), viewer.receive()
            page.send({"op": "subscribe"})
            page.until("hosts")
            config.write(NIXFLEET_VIEW_TOKEN="new-view", NIXFLEET_SESSION_SECRETS=f"{'n' * 40},{SECRET}")
            reload(dashboard)
            assert ends(viewer)
            assert dashboard.get("/api/hosts", token="old-view").status == 401 and dashboard.get("/api/hosts", token="new-view").status == 200
            dashboard.post("/api/hosts/news/logs", {"lines": ["x"]})
            assert page.until("changed")["hosts"][0]["id"] == "news"
            config.write(NIXFLEET_PASSWORD_HASH=password_hash("another password"))
            reload(dashboard)
            assert ends(page)
        assert session(dashboard, headers=cookie).status == 401
        assert sign_in(dashboard).headers["Location"].startswith("/login?error")
        cookie_of(sign_in(dashboard, "another password"))


def test_sighup_with_a_bad_configuration_changes_nothing(tmp_path):
    config = Config(tmp_path / "config")
    with Dashboard(tmp_path / "data", dev=False, options=["--config", str(config.path)]) as dashboard:
        cookie = cookie_of(sign_in(dashboard))
        config.write(NIXFLEET_PASSWORD_HASH="none", NIXFLEET_SESSION_SECRETS="x")
        reload(dashboard)
        assert "NIXFLEET_PASSWORD_HASH" in dashboard.log and "NIXFLEET_SESSION_SECRETS" in dashboard.log
        os.unlink(config.path)
        reload(dashboard)
        assert session(dashboard, headers=cookie).status == 200 and dashboard.process.poll() is None


def test_what_an_admin_must_know_is_in_the_log(dashboard):
    started = len(dashboard.log)
    sign_in(dashboard, "wrong", headers=from_address("203.0.113.77"))
    signed_in(dashboard, "203.0.113.78")
    dashboard.get("/api/hosts", token="a-guessed-token", headers=from_address("203.0.113.79"))
    dashboard.post("/api/hosts/myhost/heartbeat", {}, token="a-guessed-token", headers=from_address("203.0.113.79"))
    for _ in range(6):
        sign_in(dashboard, "wrong", headers=from_address("203.0.113.80"))
    log = dashboard.log[started:]
    assert "refused sign-in from 203.0.113.77: wrong password\n" in log
    assert "signed in from 203.0.113.78\n" in log
    assert "refused token from 203.0.113.79: it is unknown\n" in log and "refused token from 203.0.113.79: it is unknown, for host myhost\n" in log
    assert "refused sign-in from 203.0.113.80: too many tries\n" in log
    assert all(secret not in log for secret in (PASSWORD, "wrong\n", "a-guessed-token", TOKEN))
