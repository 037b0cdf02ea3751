"""Cases that only the scripted dashboard (mock.py) can produce: it falls silent, refuses connections, answers late, has five
million lines, or sends any state."""

from mock import iso
from person import ROW, RUN, HugeLog, last_shown, lines, open_log, over_log, shown, wheel
from selenium.webdriver.common.keys import Keys


def test_an_answer_older_than_a_rewrite_brings_no_old_line_back(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(5000))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 4999")
    mock.gate.clear()
    try:
        over_log(page)
        wheel(page, -10_000_000)
        page.wait(lambda: (RUN % 1, 0) in mock.asked, "the first lines asked for")
        mock.write(RUN % 1, ["rewritten"], start=3)
        page.wait(lambda: page.count(".row") == 4, "the log cut to four lines")
    finally:
        mock.gate.set()
    page.wait(lambda: shown(page)[:4] == [[0, "plain line 0"], [1, "plain line 1"], [2, "plain line 2"], [3, "rewritten"]])
    assert len(shown(page)) == 4


def test_five_million_lines_scroll_with_a_bounded_page(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, HugeLog(5_000_000))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "line number 4999999")
    wheel(page, -400)
    page.wait(lambda: (last_shown(page) or "").startswith("line number 49999") and shown(page)[-1][0] < 4_999_990, "a small step up")
    first = shown(page)[0][0]
    for _ in range(4):
        wheel(page, -600)
    page.wait(lambda: shown(page)[0][0] <= first - 100, "older lines")
    assert shown(page)[0][0] > first - 300, "a wheel's step is as many pixels as it says"
    page.js("const v = document.querySelector('.view'); v.scrollTop = (v.scrollHeight - v.clientHeight) / 2")
    page.wait(lambda: 2_400_000 < shown(page)[0][0] < 2_600_000 and shown(page)[0][1] == f"line number {shown(page)[0][0]}", "the middle")
    page.js("document.querySelector('.view').focus()")
    page.keys("g")
    page.wait(lambda: shown(page)[0] == [0, "line number 0"], "the first line")
    page.keys("G")
    page.wait(lambda: last_shown(page) == "line number 4999999", "the end")
    mock.write(RUN % 1, ["still live"])
    page.wait(lambda: last_shown(page) == "still live")
    assert page.count(".row") < 200


def test_what_is_typed_before_the_hosts_come_is_kept(page, mock):
    for name in ("alpha", "beta", "gamma"):
        mock.host(name)
    mock.run("beta", RUN % 1, lines(20))
    mock.hosts_gate.clear()
    page.driver.get(f"{mock.url}/#beta")
    page.wait(lambda: any(message["op"] == "subscribe" for message in mock.heard), "the page listens")
    page.js("const box = document.querySelector('#filter'); box.value = 'bet'; box.dispatchEvent(new Event('input'))")
    mock.hosts_gate.set()
    page.wait(lambda: page.count("tr.host") == 1, "the host that was asked for")
    assert page.js("return document.querySelector('#filter').value") == "bet"
    page.wait(lambda: last_shown(page) == "plain line 19", "the log of the address")
    page.wait(lambda: "q=bet" in page.js("return location.href") and "beta" in page.js("return location.href"))


def test_last_seen_counts_on_the_servers_clock(page, mock):
    mock.host("alpha", last_seen=iso(200 - 3600))
    mock.now = lambda: int(__import__("time").time() * 1000) + 3600_000
    page.load()
    assert page.text(".c-seen") == "3 min ago"


def test_the_verdict_stays_when_a_host_is_not_heard_any_more(page, mock):
    ended = {"status": "finished", "exit": {"code": 1}, "outcome": "failure", "ended": iso(3600), "last_seen": iso(3600)}
    mock.host("failed", last_seen=iso(3600))
    mock.run("failed", RUN % 1, **ended)
    mock.host("quiet", last_seen=iso(3600))
    mock.host("stale")
    mock.run("stale", RUN % 2, status="stale", phase="switching", last_seen=iso(59))
    for name, state in (("failed", "offline"), ("quiet", "offline"), ("stale", "stale")):
        mock.hosts[name]["state"] = state
    page.load()
    verdicts = "return [...document.querySelectorAll('tr.host')].map((r) => [r.dataset.host, r.dataset.verdict, r.dataset.reach])"
    assert page.js(verdicts) == [["failed", "bad", "offline"], ["stale", "stale", "online"], ["quiet", "none", "offline"]]
    assert [page.text(ROW % name + ".state-text") for name in ("failed", "stale")] == ["Failed", "No heartbeat"]
    assert page.text("#chip-problem .chip-count") == "2" and page.text("#chip-offline .chip-count") == "2"
    page.wait(lambda: page.js("return document.title") == "2 problems · nixfleet", "no run that is told as running")


# ---- connection ----


def test_a_lost_connection_is_said_and_caught_up_without_a_gap(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(100), last_seen=iso(60))
    mock.host("beta")  # its heartbeats are further apart
    mock.run("beta", RUN % 2, last_seen=iso(60), interval=60)
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 99")
    mock.refuse = True
    mock.drop()
    page.wait(lambda: page.visible("#lost") and "may be old" in page.text("#lost-text"), "the notice")
    assert page.js("return document.body.classList.contains('old')")
    page.wait(lambda: page.text(ROW % "alpha" + ".state-text") == "No heartbeat", "staleness by the page's own clock")
    assert page.text(ROW % "beta" + ".state-text") == "Running"
    mock.write(RUN % 1, ["rewritten while away"], start=95)
    mock.write(RUN % 1, [f"while away {i}" for i in range(3000)])
    mock.refuse = False
    page.click("#lost-now")
    page.wait(lambda: not page.visible("#lost") and last_shown(page) == "while away 2999", "catching up")
    page.js("document.querySelector('.view').focus()")
    page.keys("g")
    page.wait(lambda: shown(page)[0][0] == 0)
    seen = {}
    for _ in range(400):
        page.wait(lambda: page.count(".missing") == 0)
        seen.update({n: text for n, text in shown(page)})
        if shown(page)[-1][0] == 3095:
            break
        page.keys(Keys.PAGE_DOWN)
    assert [seen[i] for i in range(len(seen))] == list(mock.runs[RUN % 1].lines)


def test_a_page_says_what_it_has_in_sight_and_trusts_the_server_for_the_rest(page, mock):
    for i in range(36):
        mock.host(f"host-{i:02d}")
    for i in (0, 35):  # both have an old heartbeat; the second host is out of sight, so the server sends no newer heartbeats of it
        mock.run(f"host-{i:02d}", RUN % i, last_seen=iso(60))
    views = lambda: [message["hosts"] for message in mock.heard if message["op"] == "view"]
    page.load("/#?sort=name")
    page.wait(lambda: views() and "host-00" in views()[-1] and "host-35" not in views()[-1], "the hosts in sight")
    page.js("document.querySelector('#sort').value = 'seen'; document.querySelector('#sort').dispatchEvent(new Event('change'))")
    page.wait(lambda: mock.heard[-1] == {"op": "subscribe"}, "an order that needs all progress")
    page.js("document.querySelector('#sort').value = 'name'; document.querySelector('#sort').dispatchEvent(new Event('change'))")
    page.wait(lambda: mock.heard[-1]["op"] == "view" and "host-00" in mock.heard[-1]["hosts"], "the hosts in sight again")
    mock.refuse = True
    mock.drop()
    page.wait(lambda: page.text("#chip-problem .chip-count") == "1", "staleness of the host in sight only")
    page.wait(lambda: page.text(ROW % "host-00" + ".state-text") == "No heartbeat", "its row")  # drawn a little later than the count
    assert page.text("#chip-busy .chip-count") == "1"


def test_a_browser_that_goes_offline_says_so_at_once(page, mock):
    mock.host("alpha")
    page.load()
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.cdp("Network.enable")
    try:
        page.cdp("Network.emulateNetworkConditions", {"offline": True, **offline})
        page.wait(lambda: page.text("#conn-text") == "Disconnected" and page.visible("#lost"), "the notice")
    finally:
        page.cdp("Network.emulateNetworkConditions", {"offline": False, **offline})
    page.wait(lambda: page.text("#conn-text") == "Live" and not page.visible("#lost"), "the connection")


def test_it_reconnects_by_itself(page, mock):
    mock.host("alpha")
    page.load()
    mock.drop()
    page.wait(lambda: page.text("#conn-text") == "Disconnected")
    page.wait(lambda: page.text("#conn-text") == "Live", "the connection")


def test_silence_is_noticed_as_a_dead_connection(page, mock):
    mock.host("alpha")
    page.load()
    page.js("const real = Date.now; const at = real(); Date.now = () => real() + 41000")
    page.wait(lambda: mock.heard.count({"op": "subscribe"}) >= 2, "a new connection")
    page.wait(lambda: page.text("#conn-text") == "Live")


def test_a_session_that_ended_leads_to_the_sign_in_page_and_keeps_the_link(page, mock):
    mock.host("alpha")
    page.load("/#alpha?q=x")
    mock.signed_out = True
    mock.drop()
    page.wait(lambda: page.driver.current_url.endswith("/login#alpha?q=x") or page.driver.current_url.endswith("/login#?q=x"))


# ---- notifications ----


def test_a_watched_run_that_ends_is_told_by_title_and_notification(page, mock):
    page.cdp("Browser.grantPermissions", {"permissions": ["notifications"]})
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase="building", progress={"built": 1, "to_build": 2})
    page.load()
    page.js("window.told = []; window.Notification = class { static permission = 'granted'; static requestPermission() { return Promise.resolve('granted'); } constructor(t, o) { told.push([t, o.body]); } }")
    open_log(page, "alpha")
    page.click("[data-do=watch]")
    page.wait(lambda: page.attr("[data-do=watch]", "aria-pressed") == "true")
    page.wait(lambda: page.js("return document.title") == "building 1/2 · alpha · nixfleet")
    mock.push_run(RUN % 1, phase="failed", last_phase="building", status="finished", outcome="failure", exit={"code": 1}, ended=iso())
    page.wait(lambda: page.js("return document.title").startswith("✗ alpha: Failed with exit 1"))
    told = page.js("return window.told")
    assert len(told) == 1 and told[0][0] == "✗ alpha" and "nixos-rebuild switch" in told[0][1]
