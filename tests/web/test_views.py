"""The timeline of the fleet and the search in all logs, on the real server."""

import time

import pytest
from person import address, lines, shown


@pytest.fixture
def page(signed_in):
    return signed_in


def at(seconds_ago):
    t = time.time() - seconds_ago
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ".000Z"


def ran(dashboard, host, ago, took, **fields):
    """A run that began `ago` seconds ago and took `took` seconds."""
    run = dashboard.begin(host, ["x"], started=at(ago))
    dashboard.end(host, run, 1, ended=at(ago - took), **fields)
    return run


def marks(page, host):
    return page.js(
        "return [...document.querySelectorAll(arguments[0])].map((m) => [m.dataset.run, m.dataset.verdict, parseFloat(m.style.left), parseFloat(m.style.width)])",
        f".lane-row[data-host={host}] .run-mark",
    )


def test_the_runs_of_a_day_lie_on_the_lane_of_their_host(page, dashboard):
    old = ran(dashboard, "lane-a", 3 * 86400, 600)
    half = ran(dashboard, "lane-a", 43200, 8640)
    failed = ran(dashboard, "lane-b", 21600, 600, code=1)
    open_run = dashboard.begin("lane-c", ["x"], started=at(2160))
    page.load("/#?view=timeline")
    page.wait(lambda: len(marks(page, "lane-a")) == 1)
    assert not page.visible("#hosts")
    (run, verdict, left, width), = marks(page, "lane-a")
    assert (run, verdict) == (half, "ok") and abs(left - 50) < 1 and abs(width - 10) < 1
    assert [m[:2] for m in marks(page, "lane-b")] == [[failed, "bad"]]
    (run, verdict, left, width), = marks(page, "lane-c")
    assert (run, verdict) == (open_run, "busy") and abs(left + width - 100) < 1, "up to now"
    assert page.js("return document.querySelector('.lane-row').dataset.host") == "lane-b", "problems first"
    assert "Failed with exit 1" in page.attr(".lane-row[data-host=lane-b] .run-mark", "aria-label")
    shapes = page.js("return ['lane-a', 'lane-b'].map((h) => { const s = getComputedStyle(document.querySelector(`.lane-row[data-host=${h}] .run-mark`)); return [s.height, s.borderRadius]; })")
    assert shapes[0] != shapes[1], "told by shape as well"
    page.click("[data-days='7']")
    page.wait(lambda: [m[0] for m in marks(page, "lane-a")] == [half, old])
    assert address(page) == "#?view=timeline&days=7"
    page.driver.back()
    page.wait(lambda: len(marks(page, "lane-a")) == 1 and page.attr("[data-days='1']", "aria-pressed") == "true")
    page.click(".lane-row[data-host=lane-b] .run-mark")
    page.wait(lambda: page.visible(".panel") and address(page) == f"#lane-b/{failed}")
    assert page.count(".lane-row") == 0, "a page that is open for months does not keep them"
    page.driver.back()
    page.wait(lambda: page.visible("#timeline") and not page.visible("#hosts"))


def test_runs_on_top_of_each_other_are_one_mark(page, dashboard):
    for i in range(30):
        ran(dashboard, "dense", 3600 - i, 1, code=1 if i == 7 else 0)
    page.load("/#?view=timeline")
    page.wait(lambda: [m[1] for m in marks(page, "dense")] == ["bad"])
    assert page.attr(".lane-row[data-host=dense] .run-mark", "aria-label").startswith("30 runs, among them: ")


def results(page):
    return page.js("return [...document.querySelectorAll('.results > li')].map((r) => [r.dataset.run, [...r.querySelectorAll('.line-number')].map((n) => n.textContent)])")


def test_the_logs_of_all_runs_are_searched_and_a_result_opens_its_line(page, dashboard):
    text = list(lines(500))
    text[123] = "the Needle here"
    first = dashboard.has("hay-a", text)
    text[400] = "another needle"
    second = dashboard.has("hay-b", text)
    page.load()
    page.click(".views [data-view=search]")
    page.wait(lambda: page.js("return document.activeElement.name") == "find")
    page.keys("needle\n")
    page.wait(lambda: results(page) == [[second, ["124", "401"]], [first, ["124"]]])
    page.wait(lambda: "all that are kept" in page.text("#find-all > p"))
    assert page.js("return [...document.querySelectorAll('.results mark')].map((m) => m.textContent)") == ["Needle", "needle", "Needle"]
    page.click("#find-all [name=case]")
    page.click("#find-all form button.primary")
    page.wait(lambda: results(page) == [[second, ["401"]]])
    assert address(page) == "#?view=search&find=needle&how=case"
    page.driver.refresh()
    page.wait(lambda: results(page) == [[second, ["401"]]])
    page.click(".results a")
    page.wait(lambda: [400, "another needle"] in shown(page) and address(page) == f"#hay-b/{second}/L401")
    page.driver.back()
    page.wait(lambda: results(page) == [[second, ["401"]]])


def test_many_results_come_in_parts(page, dashboard):
    dashboard.has("plenty", [f"plenty {i}" for i in range(450)])
    page.load("/#?view=search&find=plenty")
    count = lambda: page.count(".lines-found li")
    page.wait(lambda: page.visible("[data-do=more-results]"))
    assert count() == 200 and "There is more" in page.text("#find-all > p")
    page.click("[data-do=more-results]")
    page.wait(lambda: count() == 400)
    page.click("[data-do=more-results]")
    page.wait(lambda: count() >= 450 and not page.visible("[data-do=more-results]"))
    page.load("/#?view=search&find=(&how=regex")
    page.wait(lambda: "not a regular expression" in page.text("#find-all > p"))


@pytest.mark.parametrize("view", ["timeline", "search&find=plain"])
def test_the_views_fit_a_telephone(page, dashboard, view):
    dashboard.has("a-host-with-quite-a-long-name-for-a-telephone", lines(30))
    page.size(390, 800)
    page.load(f"/#?view={view}")
    page.wait(lambda: page.count(".lane-row, .results > li") > 0)
    assert page.js("return document.documentElement.scrollWidth") <= 390
