"""The log of a run on the real server: live lines, following, scrolling, search, links, copying."""

import re
import time

import pytest
from dashboard import new_run
from mock import iso
from person import ROW, address, clipboard, last_shown, lines, menu_entry, open_log, over_log, place, press, shown, wheel
from selenium.webdriver.common.keys import Keys


@pytest.fixture
def page(signed_in):
    return signed_in


@pytest.fixture
def host(request):
    """A different host name for each test."""
    return re.sub(r"[^a-z0-9]", "-", request.node.name[5:].lower())[:40].strip("-")


def live(page, dashboard, host, of=300):
    """Starts a run, and opens its log at the end."""
    run = dashboard.begin(host, lines(of))
    page.load()
    open_log(page, host)
    page.wait(lambda: last_shown(page) == f"plain line {of - 1}")
    return run


def test_new_lines_appear_as_they_come_and_the_end_stays_in_sight(page, dashboard, host):
    run = live(page, dashboard, host)
    for i in range(5):
        dashboard.write(host, run, 300 + i, [f"fresh {i}"])
        page.wait(lambda: last_shown(page) == f"fresh {i}", f"line {i}")
    assert page.count(".row") < 150


def test_a_redraw_rewrites_its_line_in_place(page, dashboard, host):
    run = live(page, dashboard, host, 50)
    for percent in (10, 55, 100):
        dashboard.write(host, run, 50, [f"downloading {percent} %"])
        page.wait(lambda: last_shown(page) == f"downloading {percent} %")
    assert shown(page)[-1][0] == 50
    dashboard.write(host, run, 40, ["shorter"])
    page.wait(lambda: shown(page)[-1] == [40, "shorter"])


def test_a_short_log_takes_no_more_room_than_its_lines(page, dashboard, host):
    live(page, dashboard, host, 2)
    assert page.js("return document.querySelector('.view').clientHeight") < 120


def test_hovering_pauses_and_says_so(page, dashboard, host):
    run = live(page, dashboard, host)
    assert page.text("[data-do=follow]") == "Follow"
    over_log(page)
    page.wait(lambda: page.attr(".panel", "data-follow") == "paused" and page.text("[data-do=follow]") == "Paused")
    dashboard.write(host, run, 300, [f"fresh {i}" for i in range(12)])
    page.wait(lambda: page.visible(".pill") and page.text(".pill") == "↓ 12 new lines")
    assert last_shown(page) == "plain line 299"
    page.mouse(2, 2)
    page.wait(lambda: last_shown(page) == "fresh 11", "following again")
    assert not page.visible(".pill")


def test_the_pill_can_be_clicked_while_the_pointer_pauses_the_log(page, dashboard, host):
    run = live(page, dashboard, host)
    over_log(page)
    page.wait(lambda: page.attr(".panel", "data-follow") == "paused")
    dashboard.write(host, run, 300, ["fresh"])
    page.wait(lambda: page.visible(".pill"))
    x, y = place(page, ".pill", 10, 10)
    page.mouse(x, y)
    page.js("window.hidden = 0; new MutationObserver(() => window.hidden++).observe(document.querySelector('.pill'), { attributeFilter: ['hidden'] })")
    for i in range(3):
        dashboard.write(host, run, 301 + i, [f"more {i}"])
        page.wait(lambda: page.text(".pill") == f"↓ {2 + i} new lines")
        page.mouse(x + i, y)
    assert page.js("return window.hidden") == 0, "it stays under the pointer"
    press(page, x, y)
    page.wait(lambda: last_shown(page) == "more 2", "following, with the pointer still there")
    dashboard.write(host, run, 304, ["the last"])
    page.wait(lambda: last_shown(page) == "the last")


def test_scrolling_up_pauses_until_the_pill_is_clicked(page, dashboard, host):
    run = live(page, dashboard, host)
    over_log(page)
    wheel(page, -900)
    page.wait(lambda: page.attr(".panel", "data-follow") == "off")
    page.mouse(2, 2)
    where = shown(page)[0]
    dashboard.write(host, run, 300, ["fresh"])
    page.wait(lambda: page.text(".pill") == "↓ 1 new line")
    assert shown(page)[0] == where
    page.click(".pill")
    page.mouse(2, 2)
    page.wait(lambda: last_shown(page) == "fresh")


def test_lines_that_were_left_out_are_one_row_and_counts_say_at_least(page, dashboard, host):
    run = dashboard.begin(host, lines(100))
    dashboard.write(host, run, 2100, ["error: behind the gap", *lines(99)], skipped=2000)
    dashboard.end(host, run, 2200)
    page.load(f"/#{host}/{run}/L98")

    def around():
        rows = shown(page)
        at = next((i for i, (_, text) in enumerate(rows) if "2,000 lines omitted" in text), None)
        return at and [rows[at - 1], rows[at + 1]] == [[99, "plain line 99"], [2100, "error: behind the gap"]]

    page.wait(around, "the row, and what is before and behind it")
    page.wait(lambda: page.text("[data-do=errors]") == "at least 1 error")
    page.wait(lambda: page.text("[data-do=warnings]") == "No warnings in the lines kept")


def test_search_counts_and_walks(page, dashboard, host):
    text = list(lines(2000))
    for i in (10, 700, 1500):
        text[i] = "\x1b[31mA Nee\x1b[0mdle in here"
    run = dashboard.begin(host, text)
    page.load()
    open_log(page, host)
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
    dashboard.write(host, run, 2000, ["another needle"])
    page.wait(lambda: page.text(".found").endswith("of 4"), "the new match")
    page.type(".find input", Keys.ESCAPE)
    page.wait(lambda: page.text(".found") == "")


def test_the_count_of_an_older_question_never_stands_at_a_newer_one(page, dashboard, host):
    live(page, dashboard, host)
    page.type(".find input", "line 29")
    page.wait(lambda: page.text(".found").endswith("of 11"))
    page.js("""window.said = []; new MutationObserver(() => said.push([document.querySelector('.find input').value, document.querySelector('.found').textContent]))
        .observe(document.querySelector('.found'), { childList: true, characterData: true, subtree: true })""")
    page.type(".find input", "xyz")
    page.wait(lambda: page.text(".found") == "none")
    said = page.js("return window.said")
    assert said[0][1] == "searching…"
    assert all(text in ("searching…", "none") for value, text in said)


def test_case_whole_words_and_regular_expressions_are_searched(page, dashboard, host):
    dashboard.begin(host, ["Error: one", "an error", "terror", "err123", "nothing"])
    page.load()
    open_log(page, host)
    page.type(".find input", "error")
    page.wait(lambda: page.text(".found").endswith("of 3"))
    page.click("[data-do=case]")
    page.wait(lambda: page.text(".found").endswith("of 2"))
    page.click("[data-do=word]")
    page.wait(lambda: page.text(".found").endswith("of 1"))
    page.wait(lambda: page.js("return [...document.querySelectorAll('.row mark')].map((m) => m.textContent)") == ["error"])
    for name in ("case", "word", "regex"):
        page.click(f"[data-do={name}]")
    page.type(".find input", Keys.BACKSPACE * 5 + r"err\d+")
    page.wait(lambda: page.text(".found").endswith("of 1"))
    page.wait(lambda: page.js("return [...document.querySelectorAll('.row mark')].map((m) => m.textContent)") == ["err123"])
    page.type(".find input", "(")
    page.wait(lambda: page.text(".found") == "not valid" and page.attr(".find input", "aria-invalid") == "true")
    assert "parenthesis" in page.attr(".found", "title")


def test_only_the_lines_that_match_are_shown_on_demand(page, dashboard, host):
    text = list(lines(2000))
    for i in range(0, 2000, 100):
        text[i] = f"needle {i}"
    run = dashboard.begin(host, text)
    page.load()
    open_log(page, host)
    page.type(".find input", "needle")
    page.wait(lambda: page.text(".found").endswith("of 20"))
    page.click("[data-do=only]")
    page.wait(lambda: [n for n, _ in shown(page)] == list(range(0, 2000, 100)), "the matches, with their numbers")
    dashboard.write(host, run, 2000, ["needle at the end", "something else"])
    page.wait(lambda: shown(page)[-1] == [2000, "needle at the end"], "a match that comes is shown")
    page.click("[data-do=only]")
    page.wait(lambda: "something else" in page.text(".view") or len({n for n, _ in shown(page)} & {1, 101, 201, 1999}) > 0, "all lines again")
    page.js("document.querySelector('.view').focus()")
    page.keys("m")
    page.wait(lambda: page.attr("[data-do=only]", "aria-pressed") == "true")


def test_phases_are_folded_away_and_unfolded(page, dashboard, host):
    text = ["evaluating...", "more of that", "these 2 derivations will be built:", *lines(300), "error: in the middle", *lines(50),
            "activating the configuration...", "setting up /etc...", "done with it"]
    run = dashboard.begin(host, text)
    page.load()
    open_log(page, host)
    page.wait(lambda: last_shown(page) == "done with it")
    page.click("[data-do=fold]")
    menu_entry(page, "Fold building")
    page.wait(lambda: [row for row in shown(page) if "▸" in row[1]] == [[2, "▸ Building: 352 lines"]])
    assert [number for number, _ in shown(page)] == [0, 1, 2, 354, 355, 356]
    dashboard.write(host, run, 357, ["and more"])
    page.wait(lambda: shown(page)[-1] == [357, "and more"], "the end is followed")
    page.click(".folded")
    page.wait(lambda: not page.count(".folded") and len(shown(page)) > 10)
    page.click("[data-do=fold]")
    menu_entry(page, "Fold building")
    page.wait(lambda: page.count(".folded") == 1)
    page.wait(lambda: page.text("[data-do=errors]") == "1 error")
    page.click("[data-do=errors]")
    page.wait(lambda: [303, "error: in the middle"] in shown(page) and not page.count(".folded"), "what is gone to is unfolded")


def test_errors_and_warnings_are_counted_and_jumped_to(page, dashboard, host):
    text = list(lines(1000))
    text[200] = "error: first"
    text[800] = "error: second"
    text[500] = "warning: careful"
    dashboard.begin(host, text)
    page.load()
    open_log(page, host)
    page.wait(lambda: page.text("[data-do=errors]") == "2 errors" and page.text("[data-do=warnings]") == "1 warning")
    page.click("[data-do=warnings]")
    page.wait(lambda: page.attr(".row.current", "data-line") == "500")
    page.js("document.querySelector('.view').focus()")
    page.keys("e")
    page.wait(lambda: page.attr(".row.current", "data-line") == "800")
    page.keys("e")
    page.wait(lambda: page.attr(".row.current", "data-line") == "200")


def test_a_log_whose_row_moves_keeps_its_place_all_the_time(page, dashboard):
    """The order of the hosts changes, and the log is checked before the next frame."""
    for name in ("mover-a", "mover-b"):
        dashboard.has(name, lines(2000), code=int(name == "mover-b"))
    page.load("/#?q=mover-")
    open_log(page, "mover-a")
    page.js("document.querySelector('.view').focus()")
    page.keys("g")
    page.wait(lambda: shown(page)[0][0] == 0)
    wheel(page, 6000)
    page.wait(lambda: shown(page)[0][0] > 100)
    before = shown(page)[0][0]
    moved = page.js("""const order = () => [...document.querySelectorAll('tr.host')].map((r) => r.dataset.host).join();
        const first = order(), sort = document.querySelector('#sort');
        sort.value = 'name'; sort.dispatchEvent(new Event('change'));
        const box = document.querySelector('.view').getBoundingClientRect();
        const rows = [...document.querySelectorAll('.view .row')].filter((r) => { const b = r.getBoundingClientRect(); return b.bottom > box.top + 1 && b.top < box.bottom - 1; });
        return [first, order(), Number(rows[0]?.dataset.line)];""")
    page.js("localStorage.removeItem('nixfleet.sort')")
    assert moved == ["mover-b,mover-a", "mover-a,mover-b", before]


def test_a_row_that_is_used_keeps_its_focus_and_what_is_scrolled_when_the_order_changes(page, dashboard):
    """Two rows change places. The page has to move one of them, and both must stay as they were."""
    for name in ("used-a", "used-b"):
        for _ in range(20):
            dashboard.has(name, code=int(name == "used-b"))
    page.load("/#?q=used-")
    for name in ("used-a", "used-b"):
        open_log(page, name)
        page.click(ROW % name + "[data-do=runs]")
        page.wait(lambda: page.count(ROW % name + ".run-table tbody tr") == 20)
    page.js("""for (const table of document.querySelectorAll('.run-table')) table.scrollTop = 77;
        document.querySelector('tbody[data-host=used-b] tr[data-run] [data-do=compare]').focus({ preventScroll: true });""")
    kept = page.js("""const sort = document.querySelector('#sort'), at = document.activeElement;
        const answer = [];
        for (const order of ['name', 'criticality', 'name']) {
            sort.value = order;
            sort.dispatchEvent(new Event('change'));
            answer.push([[...document.querySelectorAll('tr.host')].map((r) => r.dataset.host).join(), document.activeElement === at,
                         [...document.querySelectorAll('.run-table')].map((t) => t.scrollTop).join()]);
        }
        return answer;""")
    page.js("localStorage.removeItem('nixfleet.sort')")
    assert kept == [["used-a,used-b", True, "77,77"], ["used-b,used-a", True, "77,77"], ["used-a,used-b", True, "77,77"]]


def test_a_failed_run_opens_at_its_error(page, dashboard, host):
    text = list(lines(3000))
    text[1234] = "error: builder for 'x' failed"
    run = dashboard.begin(host, text)
    dashboard.end(host, run, 3000, 1, error="builder for 'x' failed", error_line=1234)
    page.load()
    open_log(page, host)
    page.wait(lambda: [1234, "error: builder for 'x' failed"] in shown(page), "the error in sight")


def test_a_failure_that_is_watched_is_shown_at_its_error_and_kept(page, dashboard, host):
    run = live(page, dashboard, host)
    dashboard.write(host, run, 300, ["error: it broke", *lines(400)])
    page.wait(lambda: last_shown(page) == "plain line 399")
    dashboard.end(host, run, 701, 1, error="it broke", error_line=300)
    page.wait(lambda: [300, "error: it broke"] in shown(page), "the error in sight")
    dashboard.begin(host, ["the next run"], command="git pull")
    page.wait(lambda: page.visible(".newer"), "the next run is offered")
    assert [300, "error: it broke"] in shown(page)
    page.click(".newer")
    page.wait(lambda: last_shown(page) == "the next run")
    page.wait(lambda: not page.visible(".newer"))


def test_a_line_is_linked_copied_and_found_again_by_its_link(page, dashboard, host):
    page.cdp("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    run = dashboard.begin(host, [f"\x1b[32mline\x1b[0m {i}" for i in range(3000)])
    page.load(f"/#{host}/{run}/L1500-L1502")
    page.wait(lambda: [1499, "line 1499"] in shown(page), "the line")
    assert page.count(".row.selected") == 3
    page.click("[data-do=picked-copy]")
    page.wait(lambda: clipboard(page) == "line 1499\nline 1500\nline 1501\n")
    page.click('.row[data-line="1505"] .num')
    assert address(page) == f"#{host}/{run}/L1506"
    page.click("[data-do=picked-link]")
    page.wait(lambda: clipboard(page) == f"{dashboard.url}/#{host}/{run}/L1506")


def test_the_keys_of_a_log_work_after_the_mouse(page, dashboard, host):
    page.cdp("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    dashboard.begin(host, ["warning: first", *lines(600)])
    page.load()
    open_log(page, host)
    page.wait(lambda: last_shown(page) == "plain line 599" and page.text("[data-do=warnings]") == "1 warning")
    page.keys("w")  # the focus is where the click that opened the log left it
    page.wait(lambda: page.attr(".row.current", "data-line") == "0")
    page.click('.row[data-line="3"] .num')
    page.keys("c")
    page.wait(lambda: clipboard(page) == "plain line 2\n")
    page.keys("/")
    page.keys("line 7")
    page.wait(lambda: page.text(".found").endswith("of 11"), "the search of the log, not the filter of the hosts")
    page.keys(Keys.ESCAPE)
    page.keys("x")
    page.wait(lambda: page.count(".panel") == 0)


def test_a_line_is_gone_to_by_its_number(page, dashboard, host):
    live(page, dashboard, host, 5000)
    page.click("[data-do=goto]")
    page.keys("2345" + Keys.ENTER)
    page.wait(lambda: [2344, "plain line 2344"] in shown(page) and page.attr(".row.selected", "data-line") == "2344")
    page.keys(":")
    page.keys("99999" + Keys.ENTER)
    page.wait(lambda: page.attr(".row.selected", "data-line") == "4999", "the last line for a number beyond it")


def test_web_addresses_are_links_and_nothing_else_is(page, dashboard, host):
    dashboard.begin(host, ["see https://example.org/a?b=c&d=(e), and \x1b[31mhttp://x.y/z\x1b[0m.", "javascript:alert(1) file:///etc/passwd ftp://a.b"])
    page.load()
    open_log(page, host)
    page.wait(lambda: page.count(".text .link") == 2)
    found = page.js("return [...document.querySelectorAll('.text .link')].map((a) => [a.getAttribute('href'), a.textContent, a.target, a.rel])")
    assert found == [
        ["https://example.org/a?b=c&d=(e", "https://example.org/a?b=c&d=(e", "_blank", "noopener noreferrer"],
        ["http://x.y/z", "http://x.y/z", "_blank", "noopener noreferrer"],
    ]
    page.type(".find input", "example")
    page.wait(lambda: page.count(".link mark") == 1, "a match inside of a link")


def test_times_are_shown_as_clock_and_as_elapsed(page, dashboard, host):
    run = new_run()
    started = int(time.time() * 1000) - 100_000
    dashboard.write(host, run, 0, ["a", "b"], times=[[1, started + 1000], [1, started + 61_500]], started=iso(100), command="x")
    page.load()
    open_log(page, host)
    words = lambda: page.js("return [...document.querySelectorAll('.row .time')].map((t) => t.dataset.time.trim())")
    page.click("[data-do=times]")
    page.wait(lambda: [bool(re.fullmatch(r"\d\d:\d\d:\d\d", text)) for text in words()] == [True, True])
    page.click("[data-do=times]")
    page.wait(lambda: len(words()) == 2 and all(re.fullmatch(r"\d+:\d\d\.\d", text) for text in words()), "elapsed times")
    first, second = (int(m) * 60 + float(s) for m, s in (text.split(":") for text in words()))
    assert abs(second - first - 60.5) < 0.11
    page.click("[data-do=times]")
    page.wait(lambda: words() == [])


def test_wrapping_keeps_every_line(page, dashboard, host):
    dashboard.begin(host, [("wide " * 100 + str(i)) if i % 10 == 0 else f"line {i}" for i in range(5000)])
    page.load()
    open_log(page, host)
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
    page.click("[data-do=wrap]")


def test_several_logs_are_open_at_once_and_close_again(page, dashboard):
    runs = {name: dashboard.begin(name, lines(100, name)) for name in ("several-a", "several-b", "several-c")}
    page.load()
    for name in runs:
        open_log(page, name)
    dashboard.write("several-b", runs["several-b"], 100, ["only for b"])
    page.js("document.querySelector(arguments[0]).scrollIntoView()", ROW % "several-b" + ".view")
    page.wait(lambda: last_shown(page, "several-b") == "only for b")
    page.js("document.querySelector(arguments[0]).click()", ROW % "several-b" + "[data-do=close]")
    page.wait(lambda: page.count(".panel") == 2)


def test_the_window_is_filled_by_one_log_alone(page, dashboard, host):
    live(page, dashboard, host)
    page.keys("f")
    page.wait(lambda: page.count(".panel.max") == 1)
    assert page.js("return [document.querySelector('main').inert, document.querySelector('header').inert]") == [True, True]
    for _ in range(30):
        page.keys(Keys.TAB)
        assert page.js("return document.activeElement === document.body || !!document.activeElement.closest('.panel')")
    page.js("document.querySelector('.view').focus()")
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.count(".panel.max") == 0 and page.count(ROW % host + ".panel") == 1)
    assert page.js("return [document.querySelector('main').inert, document.body.classList.contains('has-max')]") == [False, False]
    page.wait(lambda: last_shown(page) == "plain line 299", "its place")


def test_the_whole_log_can_be_fetched(page, dashboard, host):
    run = dashboard.has(host, lines(20))
    page.load()
    open_log(page, host)
    full = page.js("return [...document.querySelectorAll('.toolbar a')].map((a) => [a.textContent, a.getAttribute('href'), a.hasAttribute('download')])")
    assert full == [["Full log", f"/api/hosts/{host}/runs/{run}/log", False], ["Download", f"/api/hosts/{host}/runs/{run}/log", True]]


def last_in_sight(page, host):
    """Scrolls the log into sight first: the page does not draw a log that other rows have pushed out of the window."""
    page.js("document.querySelector(arguments[0]).scrollIntoView()", ROW % host)
    return last_shown(page, host)


def test_a_run_that_begins_takes_over_from_one_that_succeeded_unless_someone_reads(page, dashboard):
    for name in ("takes-over", "is-read"):
        dashboard.has(name, lines(300, "old"))
    page.load()
    for name in ("takes-over", "is-read"):
        open_log(page, name)
        page.wait(lambda: last_in_sight(page, name) == "the end", name)
    page.mouse(2, 2)
    page.js("document.querySelector('tbody[data-host=is-read] .view').focus()")
    page.keys("g")
    page.wait(lambda: shown(page, "is-read")[0] == [0, "old 0"])
    for name in ("takes-over", "is-read"):
        dashboard.begin(name, lines(3, "new"))
    page.wait(lambda: last_in_sight(page, "takes-over") == "new 2")
    page.js("document.querySelector('tbody[data-host=is-read]').scrollIntoView()")
    page.wait(lambda: page.visible(ROW % "is-read" + ".newer"))
    page.wait(lambda: shown(page, "is-read")[:1] == [[0, "old 0"]])
    page.js("document.querySelector(arguments[0]).click()", ROW % "is-read" + ".newer")
    page.wait(lambda: last_shown(page, "is-read") == "new 2")
