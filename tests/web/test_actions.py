"""The actions of a person on the real nixfleet-dashboard: commands for one host and for many, the waiting command, tokens,
deletion, downloads, the target commit, the first host."""

import http.server
import json
import subprocess
import threading
import urllib.error
import urllib.request

import pytest
from dashboard import TOKEN, Dashboard, sign_in
from person import ROW, bring_into_sight, choose, last_shown, menu_entry, open_log, shown, wait_for
from selenium.webdriver.common.keys import Keys

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


@pytest.fixture
def page(signed_in):
    return signed_in


def row(host):
    return ROW % host


def agents(dashboard, *hosts):
    """Hosts with an agent that has registered."""
    for host in hosts:
        dashboard.register(host)


def command_of(dashboard, host):
    """The command that the host's agent gets when it registers."""
    return dashboard.register(host)["command"]


def say_yes(page):
    page.wait(lambda: page.count("dialog[open]") == 1, "the question")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: page.count("dialog") == 0)


def names(page):
    return page.js("return [...document.querySelectorAll('dialog .names li')].map((n) => n.textContent)")


def statuses(dashboard, path, token):
    request = urllib.request.Request(dashboard.url + path, b"{}", {"Authorization": f"Bearer {token}"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
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
    page.wait(lambda: page.count("dialog") == 0, "the dialog is gone from the page")  # the dialog is removed after its close event
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
    run = dashboard.has("tidy", ["one", "two"])
    page.load()
    open_log(page, "tidy")
    choose(page, "tidy", "Delete this run…")
    say_yes(page)
    page.wait(lambda: page.count(row("tidy") + ".panel") == 0, "the log to close")
    assert page.driver.execute_async_script("fetch(arguments[0]).then((answer) => arguments[1](answer.status))", f"/api/hosts/tidy/runs/{run}") == 404


def test_the_history_of_a_host_is_downloaded(page, dashboard, tmp_path):
    dashboard.register("historic")
    dashboard.post("/api/hosts/historic/status", {"status": "ok", "comment": "Pull successful"})
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.load()
    choose(page, "historic", "Download history")
    page.wait(lambda: [file for file in tmp_path.iterdir() if file.suffix == ".txt"], "the file")
    file, = tmp_path.iterdir()
    assert file.name.startswith("historic-logs-") and "Pull successful" in file.read_text()


# ---- commands ----


def test_a_switch_asks_once_and_reaches_the_agent(page, dashboard):
    agents(dashboard, "told")
    page.load()
    page.click(row("told") + "[data-do=switch]")
    page.wait(lambda: page.text("dialog h2") == "Switch told?")
    assert page.js("return document.activeElement.textContent") == "Cancel"
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.count("dialog") == 0)
    assert command_of(dashboard, "told") is None
    page.click(row("told") + "[data-do=switch]")
    say_yes(page)
    page.wait(lambda: page.visible(row("told") + "[data-do=cancel]") and not page.visible(row("told") + "[data-do=pull]"))
    assert "queued" in page.text(row("told") + ".what")
    assert command_of(dashboard, "told") == "switch"
    page.wait(lambda: not page.visible(row("told") + "[data-do=cancel]"), "the agent has taken it")


def test_a_waiting_command_is_really_cancelled(page, dashboard):
    agents(dashboard, "rethought")
    page.load()
    page.click(row("rethought") + "[data-do=pull]")
    page.wait(lambda: page.text(row("rethought") + "[data-do=cancel]") == "Cancel the pull")
    page.click(row("rethought") + "[data-do=cancel]")
    page.wait(lambda: page.visible(row("rethought") + "[data-do=pull]"))
    assert command_of(dashboard, "rethought") is None


def test_the_run_that_was_asked_for_is_shown_instead_of_the_one_that_failed(page, dashboard):
    dashboard.register("mine")
    dashboard.has("mine", ["error: the test failed"], code=1, command="test", error_line=0)
    page.load()
    open_log(page, "mine")
    page.wait(lambda: [0, "error: the test failed"] in shown(page))
    page.click(row("mine") + "[data-do=pull]")
    page.wait(lambda: page.visible(row("mine") + "[data-do=cancel]"))
    assert command_of(dashboard, "mine") == "pull"
    run = dashboard.begin("mine", ["pulling now"], command="git pull")
    page.wait(lambda: last_shown(page) == "pulling now" and page.text(".command") == "git pull")
    assert page.js("return location.hash") == f"#mine/{run}"


def test_buttons_are_there_only_for_an_agent(page, dashboard):
    dashboard.has("adhoc", ["x"])
    agents(dashboard, "managed")
    page.load()
    wait_for(page, "adhoc")
    wait_for(page, "managed")
    for name in ("pull", "switch", "test", "update"):
        assert page.visible(row("managed") + f"[data-do={name}]")
        assert not page.visible(row("adhoc") + f"[data-do={name}]")
    assert page.attr(row("adhoc") + "tr.host", "data-reach") == "none"
    run = dashboard.begin("adhoc", ["y"])
    page.wait(lambda: page.visible(row("adhoc") + "[data-do=stop]"), "a run of nixfleet-run can be stopped without an agent")
    dashboard.end("adhoc", run, 1)


def test_a_command_for_all_goes_to_those_that_are_shown_and_no_other(page, dashboard):
    agents(dashboard, "some-a", "some-b", "other-c")
    page.load()
    for host in ("some-a", "some-b", "other-c"):
        wait_for(page, host)
    page.type("#filter", "some-")
    page.wait(lambda: page.count("tr.host") == 2)
    page.click("#fleet-menu")
    menu_entry(page, "Switch the 2 hosts shown…")
    page.wait(lambda: page.text("dialog h2") == "Switch 2 hosts?" and names(page) == ["some-a", "some-b"])
    say_yes(page)
    page.wait(lambda: page.count(".toast") == 1 and page.text(".toast") == "Switch: asked of 2 hosts", "one notice")
    assert [command_of(dashboard, host) for host in ("some-a", "some-b", "other-c")] == ["switch", "switch", None]


def test_hosts_are_selected_and_only_they_are_told(page, dashboard):
    hosts = [f"pick-{letter}" for letter in "abcde"]
    agents(dashboard, *hosts)
    page.load("/#?q=pick-")
    page.wait(lambda: page.count("tr.host") == 5)
    page.click(row("pick-b") + ".pick")
    page.js("document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click', { shiftKey: true, bubbles: true }))", row("pick-d") + ".pick")
    page.wait(lambda: page.text("#bulk-text") == "3 hosts selected")
    page.type("#filter", "d")
    page.wait(lambda: page.text("#bulk-text") == "1 host selected", "a host that is not shown is not selected any more")
    page.type("#filter", Keys.BACKSPACE)
    page.wait(lambda: page.count("tr.host") == 5)
    page.click("#pick-all")
    page.wait(lambda: page.text("#bulk-text") == "5 hosts selected")
    page.click(row("pick-e") + ".pick")
    page.click("#bulk-buttons [data-do=update]")
    page.wait(lambda: names(page) == hosts[:4])
    say_yes(page)
    page.wait(lambda: page.text(".toast") == "Update: asked of 4 hosts")
    assert [command_of(dashboard, host) for host in hosts] == ["update"] * 4 + [None]
    page.click("#bulk-none")
    page.wait(lambda: not page.visible("#bulk"))


def test_stopping_many_runs_makes_one_notice(page, dashboard):
    runs = {f"stop-{i:02d}": dashboard.begin(f"stop-{i:02d}", ["x"]) for i in range(20)}
    page.load("/#?q=stop-")
    page.wait(lambda: page.count("tr.host") == 20)
    page.click("#fleet-menu")
    menu_entry(page, "Stop the 20 hosts shown…")
    page.wait(lambda: len(names(page)) == 20)
    say_yes(page)
    page.wait(lambda: page.count(".toast") == 1 and page.text(".toast") == "Stop: asked of 20 hosts")
    for host, run in runs.items():
        assert dashboard.heartbeat(host, run, "running")["stop"] is True
        dashboard.end(host, run, 1)


def test_the_bar_of_a_selection_covers_no_button_in_part(page, dashboard):
    """At every scroll position: a person who aims at a partly covered button may click the wrong button."""
    names = [f"covered{i:02d}" for i in range(20)]
    agents(dashboard, *names)
    for width in (1280, 390):
        page.size(width, 800)
        page.load("/#?q=covered")
        page.click(row(names[0]) + ".pick")
        page.wait(lambda: page.visible("#bulk"))
        assert page.js("""const bar = [...document.querySelectorAll('#bulk button')], rows = [...document.querySelectorAll('tr.host :is(button, input)')], bad = [];
            for (let y = 0; y < 400; y += 13) {
                window.scrollTo(0, y);
                const boxes = bar.map((b) => b.getBoundingClientRect());
                for (const one of rows) {
                    const r = one.getBoundingClientRect();
                    if (r.width && boxes.some((b) => r.left < b.right && r.right > b.left && r.top < b.bottom && r.bottom > b.top)) bad.push([y, one.outerHTML]);
                }
            }
            return bad;""") == [], width


# ---- hosts come and go ----


def test_what_a_host_reported_is_listed(page, dashboard):
    agents(dashboard, "reports")
    dashboard.post("/api/hosts/reports/status", {"status": "error", "comment": "Switch <b>failed</b>"})
    page.load()
    choose(page, "reports", "History…")
    page.wait(lambda: page.text(".history li span") == "✗ Switch <b>failed</b>", "the history")


def test_a_host_is_added_with_its_token_and_removed(page, dashboard):
    page.load()
    page.click("#fleet-menu")
    menu_entry(page, "Add a host…")
    page.type("dialog input[name=hostname]", "newone")
    page.click("dialog button.primary")
    page.wait(lambda: page.count("dialog .secret") == 1, "its token")
    token = page.text("dialog .secret")
    ways = {way: page.text(f"dialog [data-way={way}]") for way in ("NixOS", "bash", "curl")}
    assert all(dashboard.url in text and "newone" in text for text in ways.values())
    assert token in ways["bash"] and token in ways["curl"]
    assert f'tokenFile = "' in ways["NixOS"]
    made = subprocess.run(["bash", "-c", ways["curl"]], capture_output=True, text=True, check=True)
    assert json.loads(made.stdout) == {"next": 1}, "the line for curl works as it stands"
    page.click("dialog .primary")
    bring_into_sight(page, "newone")
    page.wait(lambda: page.text(row("newone") + ".state-text") == "Idle")
    choose(page, "newone", "Remove host…")
    say_yes(page)
    page.wait(lambda: page.count(row("newone")) == 0)


def test_the_target_commit_marks_who_is_behind_it(page, dashboard):
    for host, commit in (("at-target", COMMIT), ("at-other", "f" * 40)):
        dashboard.post(f"/api/hosts/{host}/register", {"hostname": host, "host_type": "nixos", "location": "home", "device_type": "server", "current_generation": commit[:12]})
    page.load("/#?q=at-")
    page.wait(lambda: page.text("#target-hash") == COMMIT[:7], "the target")
    page.wait(lambda: "utdated" in page.js("return document.querySelector('tbody[data-host=at-other]')?.outerHTML || ''"), "the mark")
    assert "Outdated" not in page.js("return document.querySelector('tbody[data-host=at-target]')?.outerHTML || ''")
    Publisher.answer = {"gitCommit": "f" * 40, "message": "the next one"}
    try:
        page.wait(lambda: (page.js("document.querySelector('#target-refresh').click()"), page.text("#target-hash") == "f" * 7)[1], "the next target")
        page.wait(lambda: "Outdated" in page.js("return document.querySelector('tbody[data-host=at-target]')?.outerHTML || ''"), "the other mark")
    finally:
        Publisher.answer = {"gitCommit": COMMIT, "message": "the wanted one"}


def test_who_may_only_read_is_told_so_and_offered_nothing_else(chromium):
    """The proxy in front of the page adds the view token."""
    server = Dashboard(NIXFLEET_VIEW_TOKEN="the-view-token-of-the-tests-0123")
    try:
        chromium.cdp("Network.clearBrowserCookies")
        chromium.cdp("Network.enable")
        chromium.cdp("Network.setExtraHTTPHeaders", {"headers": {"Authorization": "Bearer the-view-token-of-the-tests-0123"}})
        chromium.driver.get(server.url)
        chromium.wait(lambda: chromium.visible("#welcome") and "may only read" in chromium.text("#welcome"), "why not")
        assert chromium.count("#welcome form") == 0 and "THE-TOKEN" in chromium.text("#welcome [data-way=curl]") and chromium.visible("#only-reads")
        agents(server, "watched")
        chromium.wait(lambda: chromium.count("tr.host") == 1)
        assert not chromium.visible(row("watched") + "[data-do=switch]") and not chromium.visible(row("watched") + ".pick")
        chromium.click(row("watched") + "[data-do=menu]")
        assert chromium.js("return [...document.querySelectorAll('.menu button')].map((b) => b.textContent)") == ["Open log", "History…", "Download history"]
    finally:
        chromium.cdp("Network.setExtraHTTPHeaders", {"headers": {}})
        server.close()


def test_an_empty_dashboard_says_how_to_begin(chromium):
    empty = Dashboard()
    try:
        sign_in(chromium, empty.url)
        chromium.wait(lambda: chromium.visible("#welcome"))
        assert not chromium.visible("#hosts") and not chromium.visible("#filters")
        chromium.type("#welcome input", "First_1")
        chromium.click("#welcome [data-do=first-host]")
        chromium.wait(lambda: chromium.count("dialog .secret") == 1, "the token")
        token, ways = chromium.text("dialog .secret"), {way: chromium.text(f"dialog [data-way={way}]") for way in ("NixOS", "bash", "curl")}
        assert f"NIXFLEET_URL={empty.url}" in ways["bash"] and f'url = "{empty.url}";' in ways["NixOS"] and token in ways["bash"]
        assert chromium.text("dialog [role=status]") == "first_1 has not reported yet."
        subprocess.run(["bash", "-c", ways["curl"]], capture_output=True, check=True)
        chromium.wait(lambda: chromium.text("dialog [role=status]") == "first_1 has reported.", "the first report")
        chromium.click("dialog .primary")
        chromium.wait(lambda: chromium.count("tr.host") == 1 and not chromium.visible("#welcome") and token not in chromium.js("return document.documentElement.outerHTML"))
        choose(chromium, "first_1", "History…")
        chromium.wait(lambda: chromium.js("return [...document.querySelectorAll('.history li span')].map((n) => n.textContent)")
                      == ["✓ new token made, from 127.0.0.1", "✓ host added, from 127.0.0.1"], "who did it")
    finally:
        empty.close()
