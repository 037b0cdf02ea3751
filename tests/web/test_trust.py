"""What the page never does: run what a log says, show old as new, shut someone out."""

import pytest
from mock import iso
from person import ROW, RUN, last_shown, lines, open_log, shown
from selenium.webdriver.common.keys import Keys


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
    mock.host("beta")  # which says more rarely that it is alive
    mock.run("beta", RUN % 2, last_seen=iso(60), interval=60)
    page.load()
    open_log(page, "alpha")
    page.wait(lambda: last_shown(page) == "plain line 99")
    mock.refuse = True
    mock.drop()
    page.wait(lambda: page.visible("#lost") and "may be old" in page.text("#lost-text"), "the notice")
    assert page.js("return document.body.classList.contains('old')")
    page.wait(lambda: page.text(ROW % "alpha" + ".state-text") == "No sign of life", "staleness by the page's own clock")
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


def test_nothing_moves_for_those_who_asked_for_that(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, lines(30), phase="building", progress={"built": 1, "to_build": 2})
    page.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    page.load()
    open_log(page, "alpha")
    assert page.js("return document.getAnimations().length") == 0


def test_the_reason_of_a_refused_sign_in_is_text(chromium, mock):
    chromium.driver.get(mock.url + "/login?error=%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E")
    assert chromium.text("#error") == "<img src=x onerror=window.pwned=1>"
    assert chromium.js("return window.pwned") is None
    assert chromium.attr("form", "action") == "/login"
