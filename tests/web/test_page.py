"""What the page promises to a person, seen through a real Chromium. The dashboard is scripted (mock.py), so that silence,
lost connections and five million lines are at hand; test_real.py sees the same page on the real server."""

import json
import re

import pytest
from browser import Browser
from mock import Mock, iso
from selenium.webdriver.common.keys import Keys

RUN = "01900000-0000-7000-8000-0000000000%02d"
ROW = "tbody[data-host=%s] "
VIEW = ".view"


class HugeLog:
    """Five million lines that exist only while someone looks at them."""

    def __init__(self, n):
        self.n = n
        self.more = []

    def __len__(self):
        return self.n + len(self.more)

    def __getitem__(self, i):
        return self.more[i - self.n] if i >= self.n else f"line number {i}"

    def __setitem__(self, where, lines):
        self.more[where.start - self.n :] = lines


@pytest.fixture(scope="module")
def chromium():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def mock():
    server = Mock()
    yield server
    server.close()


@pytest.fixture
def page(chromium, mock):
    """A page that is loaded on demand; at the end nothing may have broken the content security policy or thrown."""
    chromium.size(1280, 900)
    chromium.scheme("light")
    chromium.mouse(2, 2)

    def load(path="/"):
        chromium.driver.get("about:blank")
        chromium.driver.get(mock.url + path)
        chromium.wait(lambda: chromium.text("#conn-text") == "Live", "the connection")
        chromium.wait(lambda: chromium.count("tr.host") == len(mock.hosts), "the hosts")
        return chromium

    chromium.load = load
    yield chromium
    assert chromium.problems() == []
    chromium.driver.get("about:blank")


def lines(n, text="plain line"):
    return tuple(f"{text} {i}" for i in range(n))


def open_log(page, host):
    page.click(ROW % host + ".name")
    page.wait(lambda: page.count(ROW % host + ".row") > 0, "rows")


def shown(page, host=None):
    """The rows that are within the view: [(number, text)…]."""
    return page.js(
        """const v = document.querySelector(arguments[0]); const box = v.getBoundingClientRect();
        return [...v.querySelectorAll('.row')].filter((r) => { const b = r.getBoundingClientRect();
            return b.bottom > box.top + 1 && b.top < box.bottom - 1; })
            .map((r) => [Number(r.dataset.line), r.querySelector('.text').textContent]);""",
        (ROW % host if host else "") + VIEW,
    )


def last_shown(page):
    rows = shown(page)
    return rows[-1][1] if rows else None


def over_log(page):
    box = page.js("const b = document.querySelector('.view').getBoundingClientRect(); return [b.left + 300, b.top + 80]")
    page.mouse(*box)


def wheel(page, pixels):
    box = page.js("const b = document.querySelector('.view').getBoundingClientRect(); return [b.left + 300, b.top + 80]")
    page.cdp("Input.dispatchMouseEvent", {"type": "mouseWheel", "x": box[0], "y": box[1], "deltaX": 0, "deltaY": pixels})


# ---- hosts ----


@pytest.mark.parametrize(
    "state, run, words",
    [
        ("idle", None, "Idle"),
        ("busy", {"phase": "building", "progress": {"built": 12, "to_build": 40}}, "Building"),
        ("busy", {"phase": None}, "Running"),
        ("stale", {"status": "stale", "phase": "switching"}, "No sign of life"),
        ("crashed", {"status": "crashed", "lost": True}, "Crashed"),
        ("offline", None, "Offline"),
        ("idle", {"status": "finished", "outcome": "failure", "exit": {"code": 1}, "ended": iso()}, "Failed"),
        ("idle", {"status": "finished", "outcome": "units_failed", "exit": {"code": 4}, "ended": iso()}, "Units failed"),
    ],
)
def test_a_state_is_told_by_word_and_by_shape(page, mock, state, run, words):
    mock.host("alpha")
    if run is not None:
        mock.run("alpha", RUN % 1, **run)
    mock.hosts["alpha"]["state"] = state
    page.load()
    assert page.text(".state-text") == words
    shape = page.js("const s = getComputedStyle(document.querySelector('.shape')); return [s.backgroundColor, s.borderTopWidth, s.clipPath, s.height].join()")
    assert shape
    if run and run.get("progress"):
        assert page.text(".state-count") == "12/40"


def test_the_columns_say_what_the_agent_reported(page, mock):
    mock.host("alpha", metrics=json.dumps({"cpu": 91, "ram": 20, "swap": 3, "load": "7.1"}), current_generation="badc0de1", test_total=9, test_passed_count=7)
    page.load()
    assert "CPU 91 %" in page.text(".c-load") and page.count(".c-load .high") == 1
    assert page.text(".c-os") == "NixOS 25.11"
    assert page.text(".c-config") == "badc0de ↓"
    assert page.text(".c-tests") == "7 ✓ 2 ✗"
    assert page.text(".c-seen") == "now" or page.text(".c-seen").endswith("ago")


def test_last_seen_counts_on_the_servers_clock(page, mock):
    mock.host("alpha", last_seen=iso(600 - 3600))
    mock.now = lambda: int(__import__("time").time() * 1000) + 3600_000
    page.load()
    assert page.text(".c-seen") == "10 min ago"


def test_hundreds_of_hosts_are_filtered_and_sorted(page, mock):
    for i in range(260):
        mock.host(f"host{i:03d}", state="offline" if i % 2 else "idle")
    mock.host("zeta", criticality="high", comment="the one in the cellar")
    page.driver.get("about:blank")
    page.driver.get(mock.url)
    page.wait(lambda: page.count("tr.host") == 200, "a page of hosts")
    assert page.attr("tbody", "data-host") == "zeta"
    assert page.text("#more-button") == "Show 61 more"
    page.type("#filter", "cellar")
    page.wait(lambda: page.count("tr.host") == 1)
    page.type("#filter", Keys.BACKSPACE * 6)
    page.click("#chip-offline")
    page.wait(lambda: page.count("tr.host") == 130)
    page.js("const s = document.querySelector('#sort'); s.value = 'name'; s.dispatchEvent(new Event('change'))")
    assert page.attr("tbody", "data-host") == "host001"


def test_commands_go_out_and_lock_the_buttons(page, mock):
    mock.host("alpha")
    mock.host("beta", state="offline")
    page.load()
    assert page.js("return document.querySelector('tbody[data-host=beta] [data-do=switch]').disabled")
    page.click(ROW % "alpha" + "[data-do=switch]")
    page.wait(lambda: mock.commands == [("alpha", "switch")])
    page.wait(lambda: page.js("return document.querySelector('tbody[data-host=alpha] [data-do=pull]').disabled"), "the lock")
    mock.run("alpha", RUN % 1)
    mock.push_host("alpha")
    page.click(ROW % "alpha" + "[data-do=stop]")
    page.wait(lambda: mock.commands[-1] == ("alpha", "stop"))


def test_all_idle_hosts_are_told_after_a_question(page, mock):
    for name in ("alpha", "beta"):
        mock.host(name)
    mock.host("gamma", state="offline")
    page.load()
    page.click("#fleet-menu")
    page.js("[...document.querySelectorAll('.menu button')].find((b) => b.textContent === 'Pull all…').click()")
    assert "2 hosts" in page.text("dialog h2")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: sorted(mock.commands) == [("alpha", "pull"), ("beta", "pull")])


def test_a_host_is_added_and_removed(page, mock):
    mock.host("alpha")
    page.load()
    page.click("#fleet-menu")
    page.js("document.querySelector('.menu button').click()")
    page.type("dialog input[name=hostname]", "newone")
    page.click("dialog button.primary")
    page.wait(lambda: page.count("tr.host") == 2)
    page.click(ROW % "alpha" + "[data-do=menu]")
    page.js("[...document.querySelectorAll('.menu button')].at(-1).click()")
    assert "Remove alpha?" in page.text("dialog h2")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: page.count("tr.host") == 1)
    assert "alpha" not in mock.hosts


def test_what_a_host_reported_is_listed(page, mock):
    mock.host("alpha", status_history=[{"timestamp": "2026-01-02T03:04:05.000Z", "icon": "✗", "message": "Switch <b>failed</b>"}])
    page.load()
    page.click(ROW % "alpha" + "[data-do=menu]")
    page.js("[...document.querySelectorAll('.menu button')].find((b) => b.textContent === 'History…').click()")
    assert page.text(".history li span") == "✗ Switch <b>failed</b>"


# ---- phases ----


def steps(page):
    return page.js("return [...document.querySelectorAll('.step')].map((s) => [s.dataset.step, s.dataset.state])")


def test_the_stepper_follows_the_phase_and_its_bar_never_goes_back(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase="evaluating")
    page.load()
    open_log(page, "alpha")
    bar = lambda: int(page.attr(".bar", "aria-valuenow"))
    assert [s[0] for s in steps(page)] == ["evaluating", "building", "activating", "switching", "done"]
    highest = bar()
    for progress in ({"built": 3, "to_build": 4}, {"built": 0, "to_build": 40, "current": "linux-6.12"}, {"built": 12, "to_build": 40}):
        mock.push_run(RUN % 1, phase="building", progress=progress)
        told = f"{progress['built']}/{progress['to_build']}"
        page.wait(lambda: page.text(".step-count") == told, told)
        assert bar() >= highest
        highest = bar()
    assert dict(steps(page))["building"] == "now" and dict(steps(page))["evaluating"] == "done"
    mock.push_run(RUN % 1, phase="done", last_phase="switching", status="finished", outcome="success", exit={"code": 0}, ended=iso())
    page.wait(lambda: {s for _, s in steps(page)} == {"done"})
    assert bar() == 100
    assert page.text(".doing").startswith("Succeeded after")


@pytest.mark.parametrize("phase, expected", [("pulling", ["pulling", "done"]), ("testing", ["testing", "done"]), ("updating", ["updating", "done"])])
def test_other_commands_have_their_own_steps(page, mock, phase, expected):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase=phase, command="x", progress={"tests_passed": 3, "tests_total": 9})
    page.load()
    open_log(page, "alpha")
    assert [s[0] for s in steps(page)] == expected
    if phase == "testing":
        assert page.text(".step-count") == "3/9"


def test_a_failed_step_is_marked_and_the_silent_are_named(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase="building", silent_for=300, progress={"built": 1, "to_build": 3, "current": "glibc"})
    page.load()
    open_log(page, "alpha")
    assert page.text(".silent").startswith("silent for 5 min")
    assert "glibc" in page.text(".doing")
    mock.push_run(RUN % 1, phase="failed", last_phase="building", status="finished", outcome="failure", exit={"code": 1}, ended=iso(), error="glibc broke")
    page.wait(lambda: dict(steps(page))["building"] == "bad")
    assert "glibc broke" in page.text(".doing")


# ---- the log ----


def test_new_lines_appear_as_they_come_and_the_end_stays_in_sight(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(300))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 299")
    for i in range(5):
        mock.write(RUN % 1, [f"fresh {i}"])
        page.wait(lambda: last_shown(page) == f"fresh {i}", f"line {i}")
    assert page.js("return document.querySelectorAll('.row').length") < 150


def test_a_redraw_rewrites_its_line_in_place(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(50))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 49")
    for percent in (10, 55, 100):
        mock.write(RUN % 1, [f"downloading {percent} %"], start=50)
        page.wait(lambda: last_shown(page) == f"downloading {percent} %")
    assert shown(page)[-1][0] == 50
    mock.write(RUN % 1, ["shorter"], start=40)
    page.wait(lambda: shown(page)[-1] == [40, "shorter"])


def test_hovering_pauses_and_says_how_many_lines_wait(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(300))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 299")
    over_log(page)
    page.wait(lambda: page.attr(".panel", "data-follow") == "paused")
    mock.write(RUN % 1, [f"fresh {i}" for i in range(12)])
    page.wait(lambda: page.visible(".pill") and page.text(".pill") == "↓ 12 new lines")
    assert last_shown(page) == "plain line 299"
    page.mouse(2, 2)
    page.wait(lambda: last_shown(page) == "fresh 11", "following again")
    assert not page.visible(".pill")


def test_scrolling_up_pauses_until_the_pill_is_clicked(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(300))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 299")
    over_log(page)
    wheel(page, -900)
    page.wait(lambda: page.attr(".panel", "data-follow") == "off")
    page.mouse(2, 2)
    where = shown(page)[0]
    mock.write(RUN % 1, ["fresh"])
    page.wait(lambda: page.text(".pill") == "↓ 1 new line")
    assert shown(page)[0] == where
    page.click(".pill")
    page.mouse(2, 2)
    page.wait(lambda: last_shown(page) == "fresh")


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


def test_lines_that_were_dropped_are_one_row_that_says_so(page, mock):
    mock.host("alpha")
    run = mock.run("alpha", RUN % 1, lines(3000), status="finished", outcome="success", exit={"code": 0}, ended=iso())
    run.gaps = [[100, 2000]]
    mock.hosts["alpha"]["state"] = "idle"
    page.load(f"/#alpha/{RUN % 1}/L98")
    page.wait(lambda: any("2,000 lines omitted" in text for _, text in shown(page)), "the row")
    rows = shown(page)
    at = next(i for i, (_, text) in enumerate(rows) if "omitted" in text)
    page.wait(lambda: shown(page)[at + 1] == [2100, "plain line 2100"])
    assert shown(page)[at - 1] == [99, "plain line 99"]


def test_search_counts_and_walks(page, mock):
    text = list(lines(2000))
    for i in (10, 700, 1500):
        text[i] = "\x1b[31mA Nee\x1b[0mdle in here"
    mock.host("alpha")
    mock.run("alpha", RUN % 1, tuple(text))
    page.load()
    open_log(page, "alpha")
    page.type(".find input", "needle")
    page.wait(lambda: re.fullmatch(r"\d of 3", page.text(".found")), "the count")
    seen = set()
    for _ in range(3):
        page.type(".find input", Keys.ENTER)
        page.wait(lambda: page.count(".row.current mark") >= 1, "the match in sight")
        seen.add(page.attr(".row.current", "data-line"))
    assert seen == {"10", "700", "1500"}
    assert page.js("return [...document.querySelectorAll('.row.current mark')].map((m) => m.textContent).join('')") == "Needle"
    page.type(".find input", Keys.SHIFT + Keys.ENTER)
    mock.write(RUN % 1, ["another needle"])
    page.wait(lambda: page.text(".found").endswith("of 4"), "the new match")
    page.type(".find input", Keys.ESCAPE)
    page.wait(lambda: page.text(".found") == "")


def test_errors_and_warnings_are_counted_and_jumped_to(page, mock):
    text = list(lines(1000))
    text[200] = "error: first"
    text[800] = "error: second"
    text[500] = "warning: careful"
    mock.host("alpha")
    mock.run("alpha", RUN % 1, tuple(text))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: page.text("[data-do=errors]") == "2 errors" and page.text("[data-do=warnings]") == "1 warning")
    page.click("[data-do=warnings]")
    page.wait(lambda: page.attr(".row.current", "data-line") == "500")
    page.js("document.querySelector('.view').focus()")
    page.keys("e")
    page.wait(lambda: page.attr(".row.current", "data-line") == "800")
    page.keys("e")
    page.wait(lambda: page.attr(".row.current", "data-line") == "200")


def test_a_failed_run_opens_at_its_error(page, mock):
    mock.host("alpha")
    text = list(lines(2000))
    text[1234] = "error: builder for 'x' failed"
    mock.run("alpha", RUN % 1, tuple(text), status="finished", outcome="failure", exit={"code": 1}, ended=iso(), error_line=1234)
    mock.hosts["alpha"]["state"] = "idle"
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: [1234, "error: builder for 'x' failed"] in shown(page), "the error in sight")


def test_a_line_is_linked_copied_and_found_again_by_its_link(page, mock):
    page.cdp("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    mock.host("alpha")
    mock.run("alpha", RUN % 1, tuple(f"\x1b[32mline\x1b[0m {i}" for i in range(3000)))
    page.load(f"/#alpha/{RUN % 1}/L1500-L1502")
    page.wait(lambda: [1499, "line 1499"] in shown(page), "the line")
    assert page.count(".row.selected") == 3
    page.click("[data-do=picked-copy]")
    page.wait(lambda: page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))") == "line 1499\nline 1500\nline 1501\n")
    page.js("document.querySelector('.row[data-line=\"1505\"] .num').click()")
    assert page.js("return location.hash") == f"#alpha/{RUN % 1}/L1506"
    page.click("[data-do=picked-link]")
    page.wait(lambda: page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == f"{mock.url}/#alpha/{RUN % 1}/L1506")


def test_wrap_and_times_are_switched_on_demand(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, tuple(("wide " * 100 + str(i)) if i % 10 == 0 else f"line {i}" for i in range(5000)))
    page.load()
    open_log(page, "alpha")
    wide = lambda: page.js("const v = document.querySelector('.view'); return v.scrollWidth > v.clientWidth + 1")
    page.wait(wide, "a line wider than the view")
    page.click("[data-do=wrap]")
    page.wait(lambda: not wide() and last_shown(page) == "line 4999", "wrapped, and still at the end")
    page.js("document.querySelector('.view').focus()")
    for _ in range(6):
        page.keys(Keys.PAGE_UP)
    page.wait(lambda: shown(page)[-1][0] < 4950)
    numbers = [n for n, _ in shown(page)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    page.keys("g")
    page.wait(lambda: shown(page)[0][0] == 0)
    page.keys("G")
    page.wait(lambda: last_shown(page) == "line 4999")
    page.click("[data-do=times]")
    page.wait(lambda: re.fullmatch(r"\d\d:\d\d:\d\d", page.attr(".row .time", "data-time") or ""))
    page.click("[data-do=wrap]")
    page.click("[data-do=times]")


def test_several_logs_are_open_at_once_and_close_again(page, mock):
    for i, name in enumerate(("alpha", "beta", "gamma")):
        mock.host(name)
        mock.run(name, RUN % (i + 1), lines(100, name))
    page.load()
    for name in ("alpha", "beta", "gamma"):
        open_log(page, name)
    mock.write(RUN % 2, ["only for beta"])
    page.wait(lambda: shown(page, "beta")[-1][1] == "only for beta")
    assert shown(page, "alpha")[-1][1] == "alpha 99"
    page.click(ROW % "beta" + "[data-do=close]")
    page.wait(lambda: page.count(".panel") == 2)
    page.wait(lambda: {"op": "untail", "run": RUN % 2} in mock.heard)


def test_earlier_runs_can_be_read_and_the_full_log_fetched(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(20, "old"), status="finished", outcome="success", exit={"code": 0}, ended=iso(900), command="git pull")
    mock.run("alpha", RUN % 2, lines(20, "new"))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: page.count(".runs option") == 2, "both runs")
    page.js("const s = document.querySelector('.runs'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", RUN % 1)
    page.wait(lambda: last_shown(page) == "old 19")
    full = page.js("return [...document.querySelectorAll('.toolbar a')].map((a) => [a.textContent, a.getAttribute('href'), a.hasAttribute('download')])")
    assert full == [["Full log", f"/api/hosts/alpha/runs/{RUN % 1}/log", False], ["Download", f"/api/hosts/alpha/runs/{RUN % 1}/log", True]]


def test_a_run_that_begins_takes_over_from_an_ended_one_unless_someone_reads(page, mock):
    ended = {"status": "finished", "outcome": "success", "exit": {"code": 0}, "ended": iso()}
    for name in ("alpha", "beta"):
        mock.host(name)
        mock.run(name, RUN % (1 if name == "alpha" else 2), lines(300, "old"), **ended)
    for name in ("alpha", "beta"):
        mock.hosts[name]["state"] = "idle"
    page.load()
    for name in ("alpha", "beta"):
        open_log(page, name)
    page.wait(lambda: shown(page, "alpha")[-1][0] == 299 and shown(page, "beta")[-1][0] == 299)
    page.mouse(2, 2)
    page.js("document.querySelector('tbody[data-host=beta] .view').focus()")
    page.keys("g")
    for name, run in (("alpha", RUN % 11), ("beta", RUN % 12)):
        mock.run(name, run, lines(3, "new"))
        mock.push_host(name)
    page.wait(lambda: (shown(page, "alpha") or [[0, ""]])[-1][1] == "new 2")
    page.wait(lambda: page.visible(ROW % "beta" + ".newer"))
    assert shown(page, "beta")[0][1] == "old 0"
    page.click(ROW % "beta" + ".newer")
    page.wait(lambda: (shown(page, "beta") or [[0, ""]])[-1][1] == "new 2")


# ---- safe ----

ATTACKS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned=1'>",
    "</span></div><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "\x1b]8;;javascript:window.pwned=1\x07click\x1b]8;;\x07",
    "\x1b[31;<script>m red \x1b[999999999999m \x1b[38;2;300;1m \x1b[38;5m end",
    "\u202egnp.exe \u2066 \u0000 \x9b31m",
    "&lt;b&gt; ${7*7} {{7*7}}",
    "x" * 200_000,
]


def test_log_text_never_becomes_markup(page, mock):
    mock.host("alpha", comment=ATTACKS[1], os_name=ATTACKS[0], location=ATTACKS[2][:50], theme_color="red;}</style>")
    mock.run("alpha", RUN % 1, tuple(ATTACKS), command=ATTACKS[0], phase="building", progress={"built": 1, "to_build": 2, "current": ATTACKS[1]})
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: page.count(".row") == len(ATTACKS))
    assert page.text(".row[data-line='0'] .text") == ATTACKS[0]
    assert page.text(".row[data-line='4'] .text") == "click"
    assert page.text(".row[data-line='7'] .text") == ATTACKS[7]
    assert "197,000 more characters" in page.text(".row[data-line='8'] .rest")
    assert page.js("return window.pwned") is None
    assert page.count(".panel script, .panel img, .panel svg, tr.host img, tr.host script") == 0
    page.type(".find input", "<script>")
    page.wait(lambda: page.text(".row.current mark") == "<script>" or page.text(".row mark") == "<script>")


def test_colours_are_shown_and_readable_in_both_themes(page, mock):
    colours = [f"\x1b[{c}mtext\x1b[0m" for c in (*range(30, 38), *range(90, 98))]
    colours += [f"\x1b[38;5;{c}mtext\x1b[0m" for c in (16, 17, 21, 226, 231, 232, 244, 255)] + ["\x1b[38;2;1;2;3mtext\x1b[0m", "\x1b[48;2;250;250;0mtext\x1b[0m"]
    mock.host("alpha")
    mock.run("alpha", RUN % 1, tuple(colours))
    ratio = """const lum = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
        return .2126 * r + .7152 * g + .0722 * b; };
        const back = getComputedStyle(document.querySelector('.view')).backgroundColor;
        return [...document.querySelectorAll('.row .text > span')].map((s) => { const c = getComputedStyle(s); const b = c.backgroundColor === 'rgba(0, 0, 0, 0)' ? back : c.backgroundColor;
            const [x, y] = [lum(c.color), lum(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); });"""
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.load()
        open_log(page, "alpha")
        page.wait(lambda: page.count(".row .text > span") == len(colours))
        assert min(page.js(ratio)) >= 4.49, scheme


# ---- connection ----


def test_a_lost_connection_is_said_and_caught_up_without_a_gap(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(100), last_seen=iso(60))
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 99")
    mock.refuse = True
    mock.drop()
    page.wait(lambda: page.visible("#lost") and "may be old" in page.text("#lost-text"), "the notice")
    assert page.js("return document.body.classList.contains('old')")
    page.wait(lambda: page.text(".state-text") == "No sign of life", "staleness by the page's own clock")
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


def test_a_session_that_ended_leads_to_the_sign_in_page(page, mock):
    mock.host("alpha")
    page.load()
    mock.signed_out = True
    mock.drop()
    page.wait(lambda: page.driver.current_url.endswith("/login"))


# ---- telling ----


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


# ---- everyone ----


def test_the_keyboard_alone_is_enough(page, mock):
    for i, name in enumerate(("alpha", "beta")):
        mock.host(name)
        mock.run(name, RUN % (i + 1), lines(300, name))
    page.load()
    page.keys("?")
    page.wait(lambda: page.visible("dialog.help"))
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.count("dialog") == 0)
    page.keys("j")
    page.keys("j")
    assert page.js("return document.activeElement.closest('tbody').dataset.host") == "beta"
    page.keys("o")
    page.wait(lambda: page.js("return document.activeElement.className.includes('view')"), "the log has the focus")
    page.keys("g")
    page.wait(lambda: shown(page)[0][0] == 0)
    page.keys("/")
    page.keys("beta 77")
    page.wait(lambda: page.text(".found") == "1 of 1")
    page.keys(Keys.ESCAPE)
    page.keys("x")
    page.wait(lambda: page.count(".panel") == 0)
    assert page.js("return document.activeElement.closest('tbody').dataset.host") == "beta"
    page.keys(Keys.ENTER)
    page.wait(lambda: page.count(".panel") == 1)
    page.keys("/")
    page.keys("alp")
    page.wait(lambda: page.count("tr.host") == 2, "the one with the open log stays")
    page.keys(Keys.ESCAPE)


def test_a_screen_reader_finds_its_way(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(30), phase="building")
    page.load()
    open_log(page, "alpha")
    assert page.attr(".view", "role") == "log" and page.attr(".view", "aria-live") == "off"
    assert page.attr(".bar", "role") == "progressbar"
    assert page.attr(".step[data-step=building]", "aria-current") == "step"
    assert page.count("table caption") == 1 and page.count("tr.host th[scope=row]") == 1
    unnamed = page.js("return [...document.querySelectorAll('button, a, input, select')].filter((n) => n.getClientRects().length && !(n.ariaLabel || n.textContent.trim() || n.closest('label')?.textContent.trim())).map((n) => n.outerHTML)")
    assert unnamed == []
    mock.push_run(RUN % 1, status="crashed", lost=True)
    page.wait(lambda: page.text("#announce") == "alpha: Crashed")


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1900])
def test_no_width_scrolls_sideways(page, mock, width):
    page.size(width, 800)
    for i, name in enumerate(("alpha", "a-host-with-quite-a-long-name-for-a-telephone")):
        mock.host(name, device_type="desktop", location="somewhere else")
        mock.run(name, RUN % (i + 1), lines(100, "a line that is much longer than a telephone is wide " * 3), phase="building", progress={"built": 12, "to_build": 40, "current": "x" * 200})
    page.load()
    open_log(page, "alpha")
    assert page.js("return document.documentElement.scrollWidth") <= width
    page.js("window.scrollTo(10000, 0)")
    assert page.js("return window.scrollX") == 0


def test_the_theme_follows_the_system_and_can_be_chosen(page, mock):
    mock.host("alpha")
    page.scheme("dark")
    page.load()
    dark = page.js("return getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    light = page.js("return getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.load()
    assert page.js("return getComputedStyle(document.body).backgroundColor") == light
    page.click("#theme")
    page.click("#theme")
    assert page.js("return getComputedStyle(document.body).backgroundColor") == dark


def test_the_reason_of_a_refused_sign_in_is_text(chromium, mock):
    chromium.driver.get(mock.url + "/login?error=%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E")
    assert chromium.text("#error") == "<img src=x onerror=window.pwned=1>"
    assert chromium.js("return window.pwned") is None
    assert chromium.attr("form", "action") == "/login"
