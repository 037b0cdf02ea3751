"""The log of a run: live, followed, scrolled, searched, linked."""

import re

from mock import iso
from person import ROW, RUN, HugeLog, last_shown, lines, open_log, over_log, shown, wheel
from selenium.webdriver.common.keys import Keys


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
        page.wait(lambda: page.js("return document.querySelectorAll('.row').length") == 4, "the log cut to four lines")
    finally:
        mock.gate.set()
    page.wait(lambda: shown(page)[:4] == [[0, "plain line 0"], [1, "plain line 1"], [2, "plain line 2"], [3, "rewritten"]])
    assert len(shown(page)) == 4


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

    def around():
        rows = shown(page)
        at = next((i for i, (_, text) in enumerate(rows) if "2,000 lines omitted" in text), None)
        return at and [rows[at - 1], rows[at + 1]] == [[99, "plain line 99"], [2100, "plain line 2100"]]

    page.wait(around, "the row, and what is before and behind it")


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
    page.wait(lambda: page.count(".row.current mark") >= 1, "the first match in sight")
    seen = [page.attr(".row.current", "data-line")]
    for _ in range(3):
        page.type(".find input", Keys.ENTER)
        page.wait(lambda: page.attr(".row.current", "data-line") not in (None, seen[-1]) and page.count(".row.current mark") >= 1, "the next match in sight")
        seen.append(page.attr(".row.current", "data-line"))
    assert set(seen[1:]) == {"10", "700", "1500"} and seen[3] == seen[0]
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
    assert full == [["View full log", f"/api/hosts/alpha/runs/{RUN % 1}/log", False], ["Download", f"/api/hosts/alpha/runs/{RUN % 1}/log", True]]


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
