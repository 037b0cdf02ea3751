"""The page never runs text of a log as code, and everyone can use the page: by keyboard, with a screen reader, on any screen."""

import pytest
from person import last_shown, lines, open_log, shown
from selenium.webdriver.common.keys import Keys


@pytest.fixture
def page(signed_in):
    return signed_in


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


def test_log_text_never_becomes_markup(page, dashboard):
    dashboard.register("alpha", comment=ATTACKS[1], os_name=ATTACKS[0][:20])
    run = dashboard.begin("alpha", command=ATTACKS[0], phase="building", progress={"built": 1, "to_build": 2, "current": ATTACKS[1]})
    dashboard.post("/api/hosts/alpha/logs", {"run": run, "from": 0, "lines": ATTACKS})
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: page.count(".row") == len(ATTACKS))
    page.wait(lambda: page.text(".row[data-line='0'] .text") == ATTACKS[0])
    assert page.count(".row[data-line='4'] a.link") == 0
    assert page.text(".row[data-line='7'] .text") == ATTACKS[7]
    assert "197,000 more characters" in page.text(".row[data-line='8'] .rest")
    assert page.js("return window.pwned") is None
    assert page.count(".panel script, .panel img, .panel svg, tr.host img, tr.host script") == 0
    page.type(".find input", "<script>")
    page.wait(lambda: page.text(".row.current mark") == "<script>" or page.text(".row mark") == "<script>")


def test_colours_are_shown_and_readable_in_both_themes(page, dashboard):
    colours = [f"\x1b[{c}mtext\x1b[0m" for c in (*range(30, 38), *range(90, 98))]
    colours += [f"\x1b[38;5;{c}mtext\x1b[0m" for c in (16, 17, 21, 226, 231, 232, 244, 255)] + ["\x1b[38;2;1;2;3mtext\x1b[0m", "\x1b[48;2;250;250;0mtext\x1b[0m"]
    dashboard.begin("colours", colours)
    ratio = """const lum = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
        return .2126 * r + .7152 * g + .0722 * b; };
        const back = getComputedStyle(document.querySelector('.view')).backgroundColor;
        return [...document.querySelectorAll('.row .text > span')].map((s) => { const c = getComputedStyle(s); const b = c.backgroundColor === 'rgba(0, 0, 0, 0)' ? back : c.backgroundColor;
            const [x, y] = [lum(c.color), lum(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); });"""
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.load()
        open_log(page, "colours")
        page.wait(lambda: page.count(".row .text > span") == len(colours))
        assert min(page.js(ratio)) >= 4.49, scheme


# ---- accessible ----


def test_the_keyboard_alone_is_enough(page, dashboard):
    for name in ("keys-a", "keys-b"):
        dashboard.begin(name, lines(300, name))
    page.load("/#?q=keys-")
    page.wait(lambda: page.count("tr.host") == 2)
    page.keys("?")
    page.wait(lambda: page.visible("dialog.help"))
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.count("dialog") == 0)
    page.keys("j")
    page.keys("j")
    assert page.js("return document.activeElement.closest('tbody').dataset.host") == "keys-b"
    page.keys("o")
    page.wait(lambda: page.js("return document.activeElement.className.includes('view')"), "the log has the focus")
    page.wait(lambda: last_shown(page) == "keys-b 299")
    page.keys("g")
    page.wait(lambda: shown(page)[0][0] == 0)
    page.keys("/")
    page.keys("keys-b 77")
    page.wait(lambda: page.text(".found") == "1 of 1")
    page.keys(Keys.ESCAPE)
    page.keys("x")
    page.wait(lambda: page.count(".panel") == 0)
    assert page.js("return document.activeElement.closest('tbody').dataset.host") == "keys-b"
    page.keys(Keys.ENTER)
    page.wait(lambda: page.count(".panel") == 1)


def test_a_row_with_an_open_log_is_shown_whatever_the_filter(page, dashboard):
    for name in ("stays-a", "stays-b"):
        dashboard.begin(name, ["x"])
    page.load()
    open_log(page, "stays-b")
    page.type("#filter", "stays-a")
    page.wait(lambda: page.js("return [...document.querySelectorAll('tr.host')].map((r) => r.dataset.host)") == ["stays-a", "stays-b"])


def test_a_screen_reader_finds_its_way(page, dashboard):
    run = dashboard.begin("spoken", lines(30), phase="building")
    page.load("/#?q=spoken")
    open_log(page, "spoken")
    assert page.attr(".view", "role") == "log" and page.attr(".view", "aria-live") == "off"
    assert page.attr(".bar", "role") == "progressbar"
    assert page.attr(".step[data-step=building]", "aria-current") == "step"
    assert page.count("table caption") == 1 and page.count("tr.host th[scope=row]") == 1
    page.click("[data-do=runs]")
    unnamed = page.js("return [...document.querySelectorAll('button, a, input, select')].filter((n) => n.getClientRects().length && !(n.ariaLabel || n.textContent.trim() || n.closest('label')?.textContent.trim())).map((n) => n.outerHTML)")
    assert unnamed == []
    searches = page.js("return [...document.querySelectorAll('[role=search]')].map((n) => n.ariaLabel)")
    assert len(searches) == len(set(searches)) == 3, "landmarks are told apart"
    dashboard.heartbeat("spoken", run, "lost")
    page.wait(lambda: page.text("#announce") == "spoken: Crashed")


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1900])
def test_no_width_scrolls_sideways_and_all_is_reached(page, dashboard, width):
    page.size(width, 800)
    long = "a-host-with-quite-a-long-name-for-a-telephone"
    for name in ("narrow", long):
        dashboard.register(name)
        run = dashboard.begin(name, lines(100, "a line that is much longer than a telephone is wide " * 3))
        dashboard.heartbeat(name, run, "building", phase="building", progress={"built": 12, "to_build": 40, "current": "x" * 200})
    page.load("/#?q=a")
    open_log(page, "narrow")
    page.js("document.querySelector('[data-do=runs]').click()")
    page.wait(lambda: page.count(".run-table tbody tr") >= 1)
    assert page.js("return document.documentElement.scrollWidth") <= width
    page.js("window.scrollTo(10000, 0)")
    assert page.js("return window.scrollX") == 0
    outside = page.js("""return [...document.querySelectorAll('button, a, input, select')].filter((n) => n.getClientRects().length && !n.closest('.view, .skip, .run-table'))
        .filter((n) => { const b = n.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth + 1; }).map((n) => n.outerHTML)""")
    assert [html for html in outside if "skip" not in html] == []


def test_the_theme_follows_the_system_and_can_be_chosen(page, dashboard):
    page.scheme("dark")
    page.load()
    back = lambda: page.js("return getComputedStyle(document.body).backgroundColor")
    dark = back()
    page.click("#theme")
    light = back()
    assert dark != light
    page.load()
    assert back() == light
    page.click("#theme")
    page.click("#theme")
    assert back() == dark
    page.scheme("light")
    page.wait(lambda: back() == light)


def test_nothing_moves_for_those_who_asked_for_that(page, dashboard):
    dashboard.begin("still", lines(30), phase="building", progress={"built": 1, "to_build": 2})
    page.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    page.load("/#?q=still")
    open_log(page, "still")
    assert page.js("return document.getAnimations().length") == 0


def test_paper_is_light_and_has_no_buttons(page, dashboard):
    dashboard.has("printed", lines(5))
    page.scheme("dark")
    page.load("/#?q=printed")
    open_log(page, "printed")
    page.cdp("Emulation.setEmulatedMedia", {"media": "print"})
    page.js("window.dispatchEvent(new Event('beforeprint'))")
    assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.js("return [...document.querySelectorAll('button, input')].filter((n) => n.getClientRects().length && !n.closest('.name, tr.host')).map((n) => n.outerHTML)") == []
    assert page.visible(".row .text")
    page.cdp("Emulation.setEmulatedMedia", {"media": ""})
    page.js("window.dispatchEvent(new Event('afterprint'))")


@pytest.mark.parametrize("feature, value", [("prefers-contrast", "more"), ("forced-colors", "active")])
def test_states_are_seen_with_other_colours(page, dashboard, feature, value):
    dashboard.has("contrast", lines(5), code=1)
    page.cdp("Emulation.setEmulatedMedia", {"features": [{"name": feature, "value": value}]})
    page.load("/#?q=contrast")
    open_log(page, "contrast")
    page.click(".row[data-line='1'] .num")
    marked, plain = page.js("return ['1', '2'].map((n) => { const c = getComputedStyle(document.querySelector(`.row[data-line=\"${n}\"]`)); return c.backgroundColor + c.outlineStyle; })")
    assert marked != plain
    assert page.js("return getComputedStyle(document.querySelector('.shape')).backgroundColor") not in ("rgba(0, 0, 0, 0)", page.js("return getComputedStyle(document.body).backgroundColor"))


def test_the_reason_of_a_refused_sign_in_is_text(dashboard, chromium):
    chromium.driver.get("about:blank")
    chromium.cdp("Network.clearBrowserCookies")
    chromium.driver.get(dashboard.url + "/login?error=%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E")
    chromium.wait(lambda: chromium.text("#error") == "<img src=x onerror=window.pwned=1>")
    assert chromium.js("return window.pwned") is None
    assert chromium.attr("form", "action") == "/login"
