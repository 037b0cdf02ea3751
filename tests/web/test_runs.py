"""The runs of a host on the real server: header, list, comparison of two runs; long logs, restarts, late deliveries."""

import re
import signal
import shlex
import time

import pytest
from person import ROW, address, clipboard, last_shown, lines, open_log, shown, wait_for


@pytest.fixture
def page(signed_in):
    return signed_in


def fact(page, name):
    return page.text(f".facts [data-fact={name}]")


def test_the_header_has_the_whole_command_and_how_it_went(page, dashboard):
    page.cdp("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    command = "sudo nixos-rebuild switch --flake .#header " + "--option substituters https://cache.example.org " * 6
    run = dashboard.begin("header", ["x"], command=command)
    dashboard.write("header", run, 1, ["y"], user="markus", command=command)
    page.load()
    open_log(page, "header")
    page.wait(lambda: page.text(".command") == command, "the command, not cut")
    assert page.js("const c = document.querySelector('.command'); return c.scrollWidth <= c.clientWidth && c.getClientRects()[0].height > 25"), "wrapped"
    page.click(".command-line [data-do=copy-text]")
    page.wait(lambda: clipboard(page) == command)
    page.wait(lambda: re.fullmatch(r"\d+ s", fact(page, "duration")) and fact(page, "started"))
    assert fact(page, "exit") == ""
    dashboard.end("header", run, 2, 4, error="it broke")
    page.wait(lambda: fact(page, "exit") == "Failed with exit 4")
    assert page.attr(".facts [data-fact=exit]", "title") == "it broke"
    page.wait(lambda: fact(page, "size").startswith("3 lines"))


def test_the_runs_of_a_host_are_a_list_with_outcome_and_duration(page, dashboard):
    old = dashboard.has("list", lines(20, "old"), command="git pull")
    time.sleep(0.01)  # start times have a resolution of one millisecond
    new = dashboard.has("list", lines(20, "new"), code=2)
    page.load()
    open_log(page, "list")
    page.click("[data-do=runs]")
    rows = "return [...document.querySelectorAll('.run-table tbody tr')].map((r) => [r.dataset.run, r.cells[0].textContent.trim(), r.cells[2].textContent, r.cells[3].textContent])"
    page.wait(lambda: page.js(rows) == [[new, "✗ Failed with exit 2", "0 s", "nixos-rebuild switch"], [old, "✓ Succeeded", "0 s", "git pull"]])
    assert page.js("return [...document.querySelectorAll('.trend-bar')].map((b) => b.dataset.verdict)") == ["ok", "bad"]
    page.click(f"tr[data-run='{old}'] [data-do=pick-run]")
    page.wait(lambda: last_shown(page) == "the end" and page.text(".command") == "git pull")
    assert address(page) == f"#list/{old}"
    page.wait(lambda: page.attr(f"tr[data-run='{old}']", "aria-current") == "true")


def test_the_command_is_copied_as_a_shell_needs_it(page, dashboard):
    script = "printf '%s\\n' it's\n# two lines"
    words = ["env", "A=b c", "sh", "-c", script, "--flake", ".#hsb1", "github:x/y?ref=main", ""]
    run = dashboard.begin("quoted", command=" ".join(words).replace("\n", " "))
    dashboard.write("quoted", run, 0, ["x"], argv=words)
    page.load()
    open_log(page, "quoted")
    page.wait(lambda: "'--flake" not in page.text(".command") and "'sh'" not in page.text(".command") and page.text(".command").startswith("env 'A=b c' sh -c '"), "quotes where needed")
    assert shlex.split(page.text(".command")) == words


def test_more_runs_are_loaded_on_demand(page, dashboard):
    for i in range(53):
        dashboard.has("many", ["x"], command=f"command {i}")
    page.load()
    open_log(page, "many")
    page.click("[data-do=runs]")
    page.wait(lambda: page.count(".run-table tbody tr") == 50)
    page.click(".run-list > button")
    page.wait(lambda: page.count(".run-table tbody tr") == 53)
    assert not page.visible(".run-list > button")


def test_two_runs_are_compared(page, dashboard):
    old = dashboard.has("compare", lines(10))
    time.sleep(0.01)
    dashboard.has("compare", lines(30), code=1, error="it broke", failed=["openssl-3.0"])
    page.load()
    open_log(page, "compare")
    page.click("[data-do=runs]")
    page.click(f"tr[data-run='{old}'] [data-do=compare]")
    page.wait(lambda: page.visible(".comparison"))
    table = dict((row[0], row[1:]) for row in page.js("return [...document.querySelectorAll('.comparison tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"))
    assert table["Outcome"] == ["Succeeded", "Failed with exit 1"]
    assert table["Reason"] == ["–", "it broke"]
    assert table["Failed derivations"] == ["–", "openssl-3.0"]
    assert table["Log"][1].startswith("31 lines") and table["Log"][1].endswith("(+20)")
    assert page.count(".comparison tr.differs") >= 3


def test_two_hundred_thousand_lines_are_scrolled_and_searched(page, dashboard):
    run = dashboard.begin("large")
    for start in range(0, 200_000, 20_000):
        dashboard.write("large", run, start, [f"number {start + i}" for i in range(20_000)])
    page.load()
    open_log(page, "large")
    page.wait(lambda: last_shown(page) == "number 199999", "the tail")
    page.js("document.querySelector('.view').focus()")
    page.keys("g")
    page.wait(lambda: (shown(page) or [None])[0] == [0, "number 0"], "the first line")
    page.js("const v = document.querySelector('.view'); v.scrollTop = v.scrollHeight / 2")

    def shows_the_middle():  # there is no row while the page loads the window
        number, text = (shown(page) or [[0, ""]])[0]
        return abs(number - 100_000) < 200 and text == f"number {number}"

    page.wait(shows_the_middle, "the middle")
    page.type(".find input", "number 1234")
    page.wait(lambda: re.fullmatch(r"\d+ of 111", page.text(".found") or ""), "the count")
    assert page.count(".row") < 300


def test_a_restart_of_the_server_loses_nothing_that_is_shown(page, dashboard):
    run = dashboard.begin("steady", [f"before {i}" for i in range(500)])
    page.load()
    open_log(page, "steady")
    page.wait(lambda: last_shown(page) == "before 499")
    dashboard.stop(signal.SIGKILL)
    page.wait(lambda: page.text("#conn-text") == "Disconnected")
    dashboard.start()
    dashboard.write("steady", run, 500, [f"after {i}" for i in range(2000)])
    page.wait(lambda: page.text("#conn-text") == "Live" and last_shown(page) == "after 1999", "catching up", timeout=40)
    page.js("document.querySelector('.view').focus()")
    page.keys("g")
    page.wait(lambda: (shown(page) or [[9]])[0] == [0, "before 0"])


def test_a_run_that_ends_leaves_the_row_to_the_one_that_goes_on(page, dashboard):
    long = dashboard.begin("twice", ["the long one"])
    time.sleep(0.01)
    short = dashboard.begin("twice", ["the short one"])
    dashboard.heartbeat("twice", long, "building", phase="building", progress={"built": 3, "to_build": 9})
    page.load()
    open_log(page, "twice")
    page.wait(lambda: last_shown(page) == "the short one")
    dashboard.write("twice", short, 1, ["its end"], exit={"code": 0})
    page.wait(lambda: page.text(ROW % "twice" + ".state-count") == "3/9", "the long one in the row")
    page.wait(lambda: page.visible(".newer"), "the way to the long one")
    page.wait(lambda: last_shown(page) == "its end", "its end")  # lines and rows come in separate messages
    page.wait(lambda: page.text(".doing").startswith("Succeeded"), "its end in words")
    dashboard.write("twice", short, 1, ["its end, said again"], exit={"code": 0})
    page.wait(lambda: last_shown(page) == "its end, said again")
    assert page.text(ROW % "twice" + ".state-text") == "Building"
    page.click(".newer")
    page.wait(lambda: last_shown(page) == "the long one")


def test_what_is_delivered_after_the_end_is_shown_in_place(page, dashboard):
    run = dashboard.begin("late", ["first", "half a li"])
    dashboard.heartbeat("late", run, "lost")
    page.load()
    open_log(page, "late")
    page.wait(lambda: last_shown(page) == "half a li")
    dashboard.write("late", run, 1, ["half a line"])  # as many lines as before
    page.wait(lambda: [text for _, text in shown(page)] == ["first", "half a line"])


def test_a_stopped_run_says_that_it_was_stopped(page, dashboard):
    run = dashboard.begin("stopped", ["x"])
    page.load()
    wait_for(page, "stopped")
    page.click(ROW % "stopped" + "[data-do=stop]")
    page.wait(lambda: page.text("dialog h2") == "Stop stopped?")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: dashboard.heartbeat("stopped", run, "running")["stop"] is True)
    dashboard.write("stopped", run, 1, ["y"], exit={"signal": "TERM"})
    page.wait(lambda: re.match(r"Stopped by .+ at \d\d:\d\d:\d\d · nixos-rebuild switch", page.text(ROW % "stopped" + ".what")))
    assert page.attr(ROW % "stopped" + "tr.host", "data-verdict") == "over" and page.text(ROW % "stopped" + ".state-text") == "Idle"
