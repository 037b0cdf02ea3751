"""What a person sets off from a host's menu, on the real nixfleet-dashboard: tokens, deletion, files, locks, the target commit."""

import http.server
import json
import threading
import urllib.error
import urllib.request

import pytest
from dashboard import Dashboard
from test_real import begin, open_log, page, pytestmark, row  # noqa: F401

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Publisher(http.server.BaseHTTPRequestHandler):
    answer = {"gitCommit": COMMIT, "message": "the wanted one"}

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def dashboard():
    publisher = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=publisher.serve_forever, daemon=True).start()
    server = Dashboard(NIXFLEET_NIXCFG_VERSION_URL=f"http://127.0.0.1:{publisher.server_port}/")
    yield server
    server.close()
    publisher.shutdown()
    publisher.server_close()


def choose(page, host, entry):
    """An entry of the host's menu, as a person finds it: by its words."""
    page.click(row(host) + "[data-do=menu]")
    page.wait(lambda: page.js("const b = [...document.querySelectorAll('.menu button')].find((b) => b.textContent === arguments[0]);"
                              "if (b && !b.disabled) b.click(); return !!b && !b.disabled", entry), entry)


def statuses(dashboard, path, token):
    request = urllib.request.Request(dashboard.url + path, b"{}", {"Authorization": f"Bearer {token}"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def test_a_new_token_is_shown_once_and_works(page, dashboard):
    dashboard.register("tokened")
    page.load()
    choose(page, "tokened", "New agent token…")
    page.wait(lambda: "tokened" in page.text("dialog h2"))
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: page.count("dialog .secret") == 1, "the token")
    token = page.text("dialog .secret")
    assert len(token) > 30
    assert statuses(dashboard, "/api/hosts/tokened/heartbeat", token) == 200
    assert statuses(dashboard, "/api/hosts/tokened/heartbeat", token + "x") == 401
    page.click("dialog .primary")
    page.wait(lambda: page.count("dialog") == 0, "the dialog is gone from the page")  # after its close event
    assert token not in page.js("return document.documentElement.outerHTML")


def test_a_token_is_not_made_without_a_yes(page, dashboard):
    token = dashboard.register("kept").get("agent_token")
    page.load()
    choose(page, "kept", "New agent token…")
    page.wait(lambda: page.count("dialog[open]") == 1)
    page.js("document.querySelector('dialog [data-do=cancel], dialog button:not([data-do=confirm])').click()")
    page.wait(lambda: page.count("dialog[open]") == 0)
    assert token is None or statuses(dashboard, "/api/hosts/kept/heartbeat", token) == 200


def test_a_run_is_deleted_after_a_question(page, dashboard):
    run = begin(dashboard, "tidy", ["one", "two"])
    dashboard.write("tidy", run, 2, ["three"], exit={"code": 0})
    page.load()
    open_log(page, "tidy")
    page.wait(lambda: page.count(row("tidy") + ".row") > 0)
    choose(page, "tidy", "Delete the run that is open…")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: page.count(row("tidy") + ".panel") == 0, "the log to close")
    assert page.js("return fetch(arguments[0]).then((answer) => answer.status)", f"/api/hosts/tidy/runs/{run}") == 404


def test_the_history_of_a_host_is_downloaded(page, dashboard, tmp_path):
    dashboard.register("historic")
    dashboard.post("/api/hosts/historic/status", {"status": "ok", "comment": "Pull successful"})
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.load()
    choose(page, "historic", "Download logs")
    page.wait(lambda: [file for file in tmp_path.iterdir() if file.suffix == ".txt"], "the file")
    file, = tmp_path.iterdir()
    assert file.name.startswith("historic-logs-") and "Pull successful" in file.read_text()


def test_a_lock_that_nobody_lifts_is_lifted_by_hand(page, dashboard):
    dashboard.register("locked")
    page.load()
    disabled = lambda: page.js("return document.querySelector(arguments[0]).disabled", row("locked") + "[data-do=pull]")
    page.click(row("locked") + "[data-do=switch]")
    page.wait(disabled, "the lock")
    choose(page, "locked", "Unlock actions")
    page.wait(lambda: not disabled(), "the lock to go")


def test_the_target_commit_marks_who_is_behind_it(page, dashboard):
    for host, commit in (("current", COMMIT), ("behind", "f" * 40)):
        dashboard.post(f"/api/hosts/{host}/register", {"hostname": host, "host_type": "nixos", "location": "home", "device_type": "server", "current_generation": commit[:12]})
    page.load()
    page.wait(lambda: page.text("#target-hash") == COMMIT[:7], "the target")
    page.wait(lambda: "utdated" in page.js("return document.querySelector('tbody[data-host=behind]')?.outerHTML || ''"), "the mark")
    assert "Outdated" not in page.js("return document.querySelector('tbody[data-host=current]')?.outerHTML || ''")
    Publisher.answer = {"gitCommit": "f" * 40, "message": "the next one"}
    try:
        page.wait(lambda: (page.js("document.querySelector('#target-refresh').click()"), page.text("#target-hash") == "f" * 7)[1], "the next target")
        page.wait(lambda: "Outdated" in page.js("return document.querySelector('tbody[data-host=current]')?.outerHTML || ''"), "the other mark")
    finally:
        Publisher.answer = {"gitCommit": COMMIT, "message": "the wanted one"}
