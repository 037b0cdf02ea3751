"""The remaining time of a run, as the page shows it. The test sets the clock of a real server, so it need not wait for minutes."""

import os
import re
from pathlib import Path

import pytest
from dashboard import Dashboard, sign_in
from person import ROW, open_log

SHIM = Path(os.environ.get("NIXFLEET_BUILD") or Path(__file__).resolve().parents[2] / "build") / "tools/shim_clock.so"
STEP = 20  # seconds; after 30 s between two writes, the dashboard believes that its clock jumped
LEFT, GENERATION = ".facts [data-fact=left]", ".facts [data-fact=generation]"

pytestmark = [pytest.mark.skipif(not SHIM.exists(), reason="the shim is not built"),
              pytest.mark.skipif(bool(os.environ.get("NIXFLEET_ASAN")), reason="a sanitizer's library must come first")]


class Clocked(Dashboard):
    """A dashboard whose clock the test moves forward."""

    def __init__(self, clock):
        self.clock, self.passed = clock, 0
        self.set(0)
        super().__init__(LD_PRELOAD=str(SHIM), SHIM_CLOCK=str(clock))

    def set(self, seconds):
        self.passed = seconds
        new = self.clock.with_suffix(".new")
        new.write_text(str(seconds * 1000))
        new.rename(self.clock)

    def phase(self, host, run, phase, seconds):
        """Keeps the run in a phase for so many seconds of the dashboard's clock."""
        self.heartbeat(host, run, phase, name="switch", phase=phase)
        while seconds > 0:
            self.set(self.passed + min(STEP, seconds))
            seconds -= STEP
            self.heartbeat(host, run, phase, name="switch", phase=phase)

    def whole(self, host, **end):
        run = self.begin(host, ["x"], name="switch")
        self.phase(host, run, "evaluating", 20)
        self.phase(host, run, "building", 800)
        self.end(host, run, 1, **end)
        return run


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    server = Clocked(tmp_path_factory.mktemp("clock") / "clock")
    yield server
    server.close()


@pytest.fixture(scope="module")
def session(chromium, dashboard):
    sign_in(chromium, dashboard.url)
    return chromium


@pytest.fixture
def page(signed_in):
    return signed_in


def row(page, host):
    return page.text(ROW % host + ".when") or ""


def test_a_run_tells_how_long_it_will_still_take_and_when_that_is_over(page, dashboard):
    for _ in range(2):
        dashboard.whole("left")
    run = dashboard.begin("left", ["x"], name="switch")
    dashboard.phase("left", run, "evaluating", 20)
    dashboard.phase("left", run, "building", 150)
    page.load()
    page.wait(lambda: re.fullmatch(r"\d min \d\d s · about 1[01] min left", row(page, "left")), "the row")
    open_log(page, "left")
    page.wait(lambda: re.fullmatch(r"about 1[01] min left \(\d+–\d+\)", page.text(LEFT) or ""), "the header, with its range")
    dashboard.phase("left", run, "building", 550)
    page.wait(lambda: re.fullmatch(r"about \d+ s left \(\d+–\d+\)", page.text(LEFT)), "less is left")
    shown = page.text(LEFT)
    page.wait(lambda: page.text(LEFT) != shown, "the page counts on without a word of the server")
    dashboard.phase("left", run, "building", 400)
    page.wait(lambda: page.text(LEFT) == "longer than usual" and row(page, "left").endswith("longer than usual"))
    dashboard.end("left", run, 1)
    page.wait(lambda: page.text(LEFT) == "" and not page.visible(LEFT), "nothing is left of a run that is over")


def test_nothing_is_told_where_nothing_is_known(page, dashboard):
    run = dashboard.begin("new", ["x"], name="switch")
    dashboard.phase("new", run, "building", 20)
    page.load()
    open_log(page, "new")
    page.wait(lambda: page.text(".facts [data-fact=duration]") and re.fullmatch(r"\d+ s", row(page, "new")))
    assert page.text(LEFT) == "" and not page.visible(LEFT)


def test_a_run_that_was_asked_to_stop_has_no_time_left(page, dashboard):
    dashboard.whole("stopped")
    run = dashboard.begin("stopped", ["x"], name="switch")
    dashboard.phase("stopped", run, "evaluating", 20)
    page.load()
    open_log(page, "stopped")
    page.wait(lambda: (page.text(LEFT) or "").startswith("about 1"))
    page.click(ROW % "stopped" + "[data-do=stop]")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: page.text(LEFT) == "")


def test_the_header_tells_the_generations_that_were_told_and_no_other(page, dashboard):
    system = {"profile": "system", "old": "/nix/store/a", "new": "/nix/store/b", "old_generation": 41, "new_generation": 42}
    home = {"profile": "home-manager", "old": "/nix/store/c", "new": "/nix/store/d", "old_generation": 7, "new_generation": 8}
    unknown = {"profile": "system", "old": "/nix/store/a", "new": "/nix/store/b"}
    for host, changes, words in (("both", [system, home], "41 → 42, home-manager 7 → 8"), ("none", [], ""), ("unknown", [unknown], "")):
        dashboard.has(host, changes=changes)
        page.load()
        open_log(page, host)
        page.wait(lambda: page.text(".facts [data-fact=exit]") == "Succeeded")
        if host != "none":
            page.wait(lambda: page.visible(".change summary"))
        page.wait(lambda: page.text(GENERATION) == words and page.visible(GENERATION) == bool(words))
