"""What a person sees and does on the page, as words for the tests."""

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
