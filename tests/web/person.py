"""Functions for what a person sees and does on the page."""

RUN = "01900000-0000-7000-8000-0000000000%02d"
ROW = "tbody[data-host=%s] "
VIEW = ".view"


class HugeLog:
    """A log of n lines, each of which is made when it is read. Only added lines (`more`) are in memory."""

    def __init__(self, n):
        self.n = n
        self.more = []

    def __len__(self):
        return self.n + len(self.more)

    def __getitem__(self, i):
        return self.more[i - self.n] if i >= self.n else f"line number {i}"

    def __setitem__(self, where, lines):
        self.more[where.start - self.n :] = lines


def lines(n, text="plain line"):
    return tuple(f"{text} {i}" for i in range(n))


def look_for(page, host):
    """Whether the host has its row. If not, scrolls down: the page adds rows when it is scrolled, and draws only rows in sight."""
    return page.js(
        "const row = document.querySelector(arguments[0]); if (!row) scrollTo(0, document.documentElement.scrollHeight); return !!row",
        ROW % host + ".name",
    )


def wait_for(page, host):
    page.wait(lambda: look_for(page, host), f"{host} on the page")


def bring_into_sight(page, host):
    wait_for(page, host)
    page.js("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", ROW % host)


def open_log(page, host):
    wait_for(page, host)
    page.click(ROW % host + ".name")
    page.wait(lambda: page.count(ROW % host + ".row") > 0, "rows")


def shown(page, host=None):
    """The rows in sight in the log's view: [(number, text)…]."""
    return page.js(
        """const v = document.querySelector(arguments[0]); if (!v) return []; const box = v.getBoundingClientRect();
        return [...v.querySelectorAll('.row')].filter((r) => { const b = r.getBoundingClientRect();
            return b.bottom > box.top + 1 && b.top < box.bottom - 1; })
            .map((r) => [Number(r.dataset.line), r.querySelector('.text').textContent]);""",
        (ROW % host if host else "") + VIEW,
    )


def last_shown(page, host=None):
    rows = shown(page, host)
    return rows[-1][1] if rows else None


def place(page, selector=".view", right=300, down=80):
    return page.js(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left + arguments[1], b.top + arguments[2]]",
        selector, right, down,
    )


def over_log(page, selector=".view"):
    page.mouse(*place(page, selector))


def wheel(page, pixels):
    x, y = place(page)
    page.cdp("Input.dispatchMouseEvent", {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": pixels})


def press(page, x, y):
    """A mouse click at the given place, whatever element is there."""
    for kind in ("mousePressed", "mouseReleased"):
        page.cdp("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})


def menu_entry(page, words):
    """Clicks the entry of the open menu that has this text."""
    page.wait(
        lambda: page.js(
            "const b = [...document.querySelectorAll('.menu button')].find((b) => b.textContent === arguments[0]);"
            "if (b && !b.disabled) b.click(); return !!b && !b.disabled",
            words,
        ),
        words,
    )


def choose(page, host, words):
    wait_for(page, host)
    page.click(ROW % host + "[data-do=menu]")
    menu_entry(page, words)


def steps(page, host=None):
    return page.js("return [...document.querySelectorAll(arguments[0] + '.step')].map((s) => [s.dataset.step, s.dataset.state])", ROW % host if host else "")


def address(page):
    return page.js("return location.hash")


def clipboard(page):
    return page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))")
