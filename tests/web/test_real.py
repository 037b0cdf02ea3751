"""The same page on the real nixfleet-dashboard: what a host posts is what a person sees."""

import re
import signal
import time

import pytest
from dashboard import BINARY, new_run

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="nixfleet-dashboard is not built")


@pytest.fixture
def page(signed_in):
    return signed_in


def row(host):
    return f"tbody[data-host={host}] "


def shown(page, host):
    return page.js(
        """const v = document.querySelector(arguments[0] + '.view'); if (!v) return []; const box = v.getBoundingClientRect();
        return [...v.querySelectorAll('.row')].filter((r) => { const b = r.getBoundingClientRect();
            return b.bottom > box.top + 1 && b.top < box.bottom - 1; })
            .map((r) => [Number(r.dataset.line), r.querySelector('.text').textContent]);""",
        row(host),
    )


def last(page, host):
    rows = shown(page, host)
    return rows[-1][1] if rows else None


def open_log(page, host):
    page.wait(lambda: page.count(row(host) + ".name") == 1, f"{host} on the page")
    page.js("document.querySelector(arguments[0]).click()", row(host) + ".name")
    page.wait(lambda: page.count(row(host) + ".panel") == 1, "the log")


def begin(dashboard, host, lines=(), **fields):
    dashboard.register(host)
    run = new_run()
    dashboard.beat(host, run, "running", **fields)
    if lines:
        dashboard.write(host, run, 0, lines, command="nixos-rebuild switch")
    return run


def test_a_run_is_seen_from_its_first_line_to_its_end(page, dashboard):
    page.load()
    run = begin(dashboard, "whole", ["building the system configuration..."])
    open_log(page, "whole")
    page.wait(lambda: last(page, "whole") == "building the system configuration...")
    dashboard.beat("whole", run, "building", phase="building", progress={"built": 12, "to_build": 40, "current": "linux"})
    page.wait(lambda: page.text(row("whole") + ".step-count") == "12/40", "the progress")
    page.wait(lambda: page.text(row("whole") + ".state-text") == "Building")
    for i in range(5):
        dashboard.write("whole", run, 1 + i, [f"\x1b[32mlive\x1b[0m {i}"])
        page.wait(lambda: last(page, "whole") == f"live {i}", f"line {i}")
    dashboard.write("whole", run, 5, ["rewritten in place"])
    page.wait(lambda: shown(page, "whole")[-1] == [5, "rewritten in place"])
    dashboard.write("whole", run, 6, ["done"], phase="done", exit={"code": 0}, outcome="success", line_count=7)
    page.wait(lambda: page.text(row("whole") + ".doing").startswith("Succeeded"), "the end")
    page.wait(lambda: page.text(row("whole") + ".state-text") == "Idle")


def test_a_failed_run_opens_at_its_error(page, dashboard):
    lines = [f"line {i}" for i in range(3000)]
    lines[1200] = "error: builder for 'x' failed"
    run = begin(dashboard, "broken", lines)
    dashboard.write("broken", run, 3000, ["end"], phase="failed", exit={"code": 1}, error="builder for 'x' failed", error_line=1200, line_count=3001)
    page.load()
    open_log(page, "broken")
    page.wait(lambda: [1200, lines[1200]] in shown(page, "broken"), "the error")
    page.wait(lambda: page.text(row("broken") + ".state-text") == "Failed")


def test_two_hundred_thousand_lines_are_scrolled_and_searched(page, dashboard):
    run = begin(dashboard, "large")
    for start in range(0, 200_000, 20_000):
        dashboard.write("large", run, start, [f"number {start + i}" for i in range(20_000)])
    page.load()
    open_log(page, "large")
    page.wait(lambda: last(page, "large") == "number 199999", "the tail")
    page.js("document.querySelector(arguments[0]).focus()", row("large") + ".view")
    page.keys("g")
    page.wait(lambda: (shown(page, "large") or [None])[0] == [0, "number 0"], "the first line")
    page.js("const v = document.querySelector(arguments[0]); v.scrollTop = v.scrollHeight / 2", row("large") + ".view")

    def shows_the_middle():  # no row at all while the window is on its way
        number, text = (shown(page, "large") or [[0, ""]])[0]
        return abs(number - 100_000) < 200 and text == f"number {number}"

    page.wait(shows_the_middle, "the middle")
    page.type(row("large") + ".find input", "number 1234")
    page.wait(lambda: re.fullmatch(r"\d+ of 111", page.text(row("large") + ".found") or ""), "the count")
    assert page.count(".row") < 300


def test_a_restart_of_the_server_loses_nothing_that_is_shown(page, dashboard):
    run = begin(dashboard, "steady", [f"before {i}" for i in range(500)])
    page.load()
    open_log(page, "steady")
    page.wait(lambda: last(page, "steady") == "before 499")
    dashboard.stop(signal.SIGKILL)
    page.wait(lambda: page.text("#conn-text") == "Disconnected")
    dashboard.start()
    dashboard.write("steady", run, 500, [f"after {i}" for i in range(2000)])
    page.wait(lambda: page.text("#conn-text") == "Live" and last(page, "steady") == "after 1999", "catching up", timeout=40)
    page.js("document.querySelector(arguments[0]).focus()", row("steady") + ".view")
    page.keys("g")
    page.wait(lambda: (shown(page, "steady") or [[9]])[0] == [0, "before 0"])


def test_what_a_host_writes_is_never_markup(page, dashboard):
    attacks = ["<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "&lt;b&gt;"]
    begin(dashboard, "evil", attacks, progress={"current": attacks[1]})
    page.load()
    open_log(page, "evil")
    page.wait(lambda: [text for _, text in shown(page, "evil")] == attacks)
    assert page.js("return window.pwned") is None


def test_commands_reach_the_agent(page, dashboard):
    dashboard.register("told")
    dashboard.register("told")
    page.load()
    page.click(row("told") + "[data-do=switch]")
    page.wait(lambda: page.js("return document.querySelector(arguments[0]).disabled", row("told") + "[data-do=pull]"), "the lock")
    assert dashboard.register("told")["command"] == "switch"


def test_a_lost_run_is_shown_as_crashed(page, dashboard):
    run = begin(dashboard, "dead", ["x"])
    page.load()
    page.wait(lambda: page.text(row("dead") + ".state-text") == "Running")
    dashboard.beat("dead", run, "lost")
    page.wait(lambda: page.text(row("dead") + ".state-text") == "Crashed")


def test_a_run_that_ends_leaves_the_row_to_the_one_that_goes_on(page, dashboard):
    long = begin(dashboard, "twice", ["the long one"])
    time.sleep(0.01)  # starts are told to the millisecond
    short = begin(dashboard, "twice", ["the short one"])
    dashboard.beat("twice", long, "building", phase="building", progress={"built": 3, "to_build": 9})
    page.load()
    open_log(page, "twice")
    page.wait(lambda: last(page, "twice") == "the short one")
    dashboard.write("twice", short, 1, ["its end"], exit={"code": 0})
    page.wait(lambda: page.text(row("twice") + ".state-count") == "3/9", "the long one in the row")
    page.wait(lambda: page.visible(row("twice") + ".newer"), "the way to the long one")
    page.wait(lambda: last(page, "twice") == "its end", "its end")  # lines and rows come in messages of their own
    page.wait(lambda: page.text(row("twice") + ".doing").startswith("Succeeded"), "its end in words")
    dashboard.write("twice", short, 1, ["its end, said again"], exit={"code": 0})
    page.wait(lambda: last(page, "twice") == "its end, said again")
    assert page.text(row("twice") + ".state-text") == "Building"
    page.click(row("twice") + ".newer")
    page.wait(lambda: last(page, "twice") == "the long one")


def test_what_is_delivered_after_the_end_is_shown_in_place(page, dashboard):
    run = begin(dashboard, "late", ["first", "half a li"])
    dashboard.beat("late", run, "lost")
    page.load()
    open_log(page, "late")
    page.wait(lambda: last(page, "late") == "half a li")
    dashboard.write("late", run, 1, ["half a line"])  # no more lines than before
    page.wait(lambda: [text for _, text in shown(page, "late")] == ["first", "half a line"])
