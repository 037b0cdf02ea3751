"""The table of hosts and the steps of their runs, on the real server: the page shows what the host reported."""

import re

import pytest
from person import ROW, last_shown, open_log, steps, wait_for
from selenium.webdriver.common.keys import Keys


@pytest.fixture
def page(signed_in):
    return signed_in


@pytest.fixture
def host(request):
    """A different host name for each test."""
    return re.sub(r"[^a-z0-9]", "-", request.node.name[5:].lower())[:50].strip("-")


def state(page, host):
    return page.text(ROW % host + ".state-text")


# ---- hosts ----


@pytest.mark.parametrize(
    "ending, words, shape",
    [
        ({"exit": {"code": 0}}, "Idle", "ok"),
        ({"exit": {"code": 1}}, "Failed", "bad"),
        ({"exit": {"signal": "KILL"}}, "Failed", "bad"),
        ({"exit": {"code": 4}, "outcome": "units_failed", "failed_units": ["nginx.service"]}, "Units failed", "warn"),
    ],
)
def test_an_ending_is_told_by_word_and_by_shape(page, dashboard, host, ending, words, shape):
    run = dashboard.begin(host, ["x"])
    page.load()
    wait_for(page, host)
    page.wait(lambda: state(page, host) == "Running" and page.attr(ROW % host + "tr.host", "data-verdict") == "busy")
    dashboard.write(host, run, 1, ["y"], **ending)
    page.wait(lambda: state(page, host) == words and page.attr(ROW % host + "tr.host", "data-verdict") == shape)


def test_a_lost_run_is_shown_as_crashed(page, dashboard, host):
    run = dashboard.begin(host, ["x"])
    page.load()
    page.wait(lambda: state(page, host) == "Running")
    dashboard.heartbeat(host, run, "lost")
    page.wait(lambda: state(page, host) == "Crashed")
    assert "without reporting how" in page.text(ROW % host + ".what")


def test_a_failed_switch_stays_until_a_switch_succeeds(page, dashboard, host):
    failed = dashboard.begin(host, ["error: no such option"], command="nixos-rebuild switch", name="switch")
    dashboard.write(host, failed, 1, ["end"], name="switch", exit={"code": 1}, error="no such option", error_line=0)
    pulled = dashboard.begin(host, ["x"], command="git pull", name="pull")
    dashboard.write(host, pulled, 1, ["end"], name="pull", exit={"code": 0})
    page.load()
    wait_for(page, host)
    page.wait(lambda: page.attr(ROW % host + "tr.host", "data-verdict") == "bad" and state(page, host) == "Failed")
    assert page.text(ROW % host + ".what") == "switch: no such option"
    open_log(page, host)
    page.wait(lambda: page.js("return location.hash") == f"#{host}/{failed}", "what failed is opened")
    again = dashboard.begin(host, ["x"], name="switch")
    dashboard.write(host, again, 1, ["end"], name="switch", exit={"code": 0})
    page.wait(lambda: state(page, host) == "Idle")


def test_nothing_is_told_that_the_host_did_not_say(page, dashboard, host):
    dashboard.has(host)
    page.load()
    wait_for(page, host)
    assert page.text(ROW % host + ".host-name .sub") == "" and page.text(ROW % host + ".c-os") == "–"


def test_a_failed_row_shows_the_error_and_its_time_is_never_cut(page, dashboard, host):
    run = dashboard.begin(host, ["x"], command="nixos-rebuild switch --flake " + ".#x" * 90)
    dashboard.end(host, run, 1, 1, error="attribute 'services.ngnix' missing " * 9)
    page.load()
    wait_for(page, host)
    page.wait(lambda: page.text(ROW % host + ".what").startswith("attribute 'services.ngnix' missing"))
    when = "return ((n) => [n.textContent, n.scrollWidth <= n.clientWidth + 1 || n.getBoundingClientRect().right])(document.querySelector(arguments[0]))"
    text, whole = page.js(when, ROW % host + ".when")
    assert (text == "now" or text.endswith("ago")) and whole is True


def test_a_success_shows_no_error_text(page, dashboard, host):
    dashboard.has(host, ["error: harmless"], error="harmless", error_line=0)
    page.load()
    open_log(page, host)
    page.wait(lambda: page.text(ROW % host + ".doing").startswith("Succeeded after"))
    assert "harmless" not in page.text(ROW % host + "tr.host") + page.text(ROW % host + ".doing") + page.text(ROW % host + ".run-header")


def test_the_columns_say_what_the_agent_reported(page, dashboard, host):
    dashboard.register(host, metrics={"cpu": 91, "ram": 20, "swap": 3, "load": "7.1"}, current_generation="badc0de1", os_name="NixOS", os_version="25.11.2025")
    dashboard.post(f"/api/hosts/{host}/test-progress", {"current": 9, "total": 9, "passed": 7, "running": False})
    page.load()
    wait_for(page, host)
    row = ROW % host
    assert "CPU 91 %" in page.text(row + ".c-load") and page.count(row + ".c-load .high") == 1
    assert page.text(row + ".c-os") == "NixOS 25.11"
    assert page.text(row + ".c-config").startswith("badc0de")
    assert page.text(row + ".c-tests") == "7 ✓ 2 ✗"
    assert page.text(row + ".c-seen") == "now" or page.text(row + ".c-seen").endswith("ago")


def test_problems_come_first_and_chips_rows_and_title_agree(page, dashboard):
    for name in ("a-fine", "b-fine"):
        dashboard.has("agree-" + name)
    dashboard.has("agree-z-failed", code=1)
    dashboard.begin("agree-m-busy")
    page.load()
    page.type("#filter", "agree-")
    page.wait(lambda: page.count("tr.host") == 4)
    assert page.js("return [...document.querySelectorAll('tr.host')].map((r) => r.dataset.host)") == ["agree-z-failed", "agree-a-fine", "agree-b-fine", "agree-m-busy"]
    busy = lambda: int(page.text("#chip-busy .chip-count").replace(",", ""))
    page.wait(lambda: page.count("tr.host[data-verdict=busy]") == 1 and page.js("return document.title").startswith("running · agree-m-busy" if busy() == 1 else f"{busy()} running"))
    page.type("#filter", Keys.BACKSPACE * 6)
    page.click("#chip-problem")
    page.wait(lambda: page.count("tr.host") == int(page.text("#chip-problem .chip-count")))
    assert page.count("tr.host[data-verdict=ok], tr.host[data-verdict=busy], tr.host[data-verdict=none]") == 0
    page.click("#chip-problem")


def test_the_running_command_is_in_its_row_isolated_from_the_words_around_it(page, dashboard, host):
    dashboard.begin(host, command="make العربي")
    page.load()
    wait_for(page, host)
    page.wait(lambda: page.text(ROW % host + ".what") == "make العربي")
    assert page.js("return getComputedStyle(document.querySelector(arguments[0])).unicodeBidi", ROW % host + ".what") == "isolate"
    assert page.js("const [a, b] = ['.what', '.when'].map((s) => document.querySelector(arguments[0] + s).getBoundingClientRect()); return a.right <= b.left", ROW % host)


# ---- steps ----


def test_the_stepper_follows_the_phase_and_its_bar_never_goes_back(page, dashboard, host):
    run = dashboard.begin(host, ["x"], phase="evaluating")
    page.load()
    open_log(page, host)
    bar = lambda: int(page.attr(".bar", "aria-valuenow"))
    assert [s[0] for s in steps(page)] == ["evaluating", "building", "activating", "switching", "done"]
    highest = bar()
    for progress in ({"built": 3, "to_build": 4}, {"built": 0, "to_build": 40, "current": "linux-6.12"}, {"built": 12, "to_build": 40}):
        dashboard.heartbeat(host, run, "building", phase="building", progress=progress)
        told = f"{progress['built']}/{progress['to_build']}"
        page.wait(lambda: page.text(".step-count") == told, told)
        assert bar() >= highest
        highest = bar()
    assert dict(steps(page))["building"] == "now" and dict(steps(page))["evaluating"] == "done"
    dashboard.heartbeat(host, run, "switching", phase="switching")
    dashboard.end(host, run, 1, phase="done", outcome="success")
    page.wait(lambda: {s for _, s in steps(page)} == {"done"})
    assert bar() == 100
    assert [s[0] for s in steps(page)] == ["evaluating", "building", "activating", "switching", "done"]
    assert page.text(".doing").startswith("Succeeded after")


@pytest.mark.parametrize(
    "command, phases, expected",
    [
        ("nix flake check", ["evaluating"], ["evaluating", "done"]),
        ("nixos-rebuild dry-activate --flake .#test", ["evaluating", "building"], ["evaluating", "building", "done"]),
        ("nix develop", ["building"], ["evaluating", "building", "done"]),
        ("nix copy --to ssh://x y", ["fetching"], ["building", "done"]),
        ("home-manager build", ["building"], ["evaluating", "building", "done"]),
        ("sudo nixos-rebuild boot", ["building"], ["evaluating", "building", "done"]),
        ("nixos-rebuild --flake .#switch build", ["building"], ["evaluating", "building", "done"]),
        ("awk -f big.awk", [], ["running", "done"]),
        ("nixos-rebuild switch", ["building"], ["evaluating", "building", "done"]),
        ("git pull", ["pulling"], ["pulling", "done"]),
    ],
)
def test_only_steps_that_were_taken_are_ticked(page, dashboard, host, command, phases, expected):
    run = dashboard.begin(host, ["x"], command=command)
    for phase in phases:
        dashboard.heartbeat(host, run, phase, command=command, phase=phase)
    dashboard.end(host, run, 1, phase="done")
    page.load()
    open_log(page, host)
    page.wait(lambda: steps(page) == [[step, "done"] for step in expected], expected)
    if phases == ["fetching"]:
        assert page.text(".step-name") == "Fetching"


def test_no_step_is_said_to_have_failed_that_nobody_saw(page, dashboard, host):
    """The first run has no phase, the second failed while activating. In the third a build failed while nix was still evaluating."""
    dashboard.has(host, ["x"], code=1, phase="failed")
    dashboard.has(host + "-late", ["x"], code=1, phase="failed", last_phase="activating")
    dashboard.has(host + "-build", ["x"], code=1, phase="failed", last_phase="evaluating", failed=["openssl"])
    for name, expected in (("", ["running"]), ("-late", ["activating"]), ("-build", ["building"])):
        page.load(f"/#{host}{name}")
        page.wait(lambda: [step for step, told in steps(page) if told == "bad"] == expected, expected)


def test_what_a_failed_switch_did_not_reach_is_said(page, dashboard, host):
    run = dashboard.begin(host, ["x"], phase="building", silent_for=300, progress={"built": 1, "to_build": 3, "current": "glibc"})
    page.load()
    open_log(page, host)
    page.wait(lambda: "glibc" in page.text(".doing"))
    dashboard.heartbeat(host, run, "building", phase="building", silent_for=300)
    page.wait(lambda: page.text(".silent").startswith("silent for 5 min"))
    dashboard.end(host, run, 1, 1, phase="failed", error="glibc broke")
    page.wait(lambda: dict(steps(page))["building"] == "bad")
    assert dict(steps(page))["switching"] == "skipped"
    assert "glibc broke" in page.text(".doing")


def test_a_run_is_seen_from_its_first_line_to_its_end(page, dashboard, host):
    page.load()
    run = dashboard.begin(host, ["building the system configuration..."])
    open_log(page, host)
    page.wait(lambda: last_shown(page, host) == "building the system configuration...")
    dashboard.heartbeat(host, run, "building", phase="building", progress={"built": 12, "to_build": 40, "current": "linux"})
    page.wait(lambda: page.text(ROW % host + ".step-count") == "12/40", "the progress")
    page.wait(lambda: state(page, host) == "Building")
    for i in range(5):
        dashboard.write(host, run, 1 + i, [f"\x1b[32mlive\x1b[0m {i}"])
        page.wait(lambda: last_shown(page, host) == f"live {i}", f"line {i}")
    dashboard.write(host, run, 6, ["done"], phase="done", exit={"code": 0}, outcome="success", line_count=7)
    page.wait(lambda: page.text(ROW % host + ".doing").startswith("Succeeded"), "the end")
    page.wait(lambda: state(page, host) == "Idle")


def test_rows_out_of_sight_are_not_drawn_until_they_are_seen(page, dashboard):
    runs = {f"sight-{i:02d}": dashboard.begin(f"sight-{i:02d}", ["x"]) for i in range(24)}
    page.load("/#?q=sight-&sort=name")
    page.wait(lambda: page.count("tr.host") == 24)
    page.js("window.drawn = 0; new MutationObserver((all) => (drawn += all.length)).observe(document.querySelector('tbody[data-host=sight-23]'), { subtree: true, childList: true, characterData: true, attributes: true })")
    for host in ("sight-23", "sight-00"):  # the host in sight comes second: once it is drawn, the first message was handled, too
        dashboard.heartbeat(host, runs[host], "building", phase="building", progress={"built": 1, "to_build": 2})
    page.wait(lambda: page.text(ROW % "sight-00" + ".state-count") == "1/2")
    assert page.js("return drawn") == 0 and page.text(ROW % "sight-23" + ".state-count") == ""
    page.js("document.querySelector('tbody[data-host=sight-23]').scrollIntoView()")
    page.wait(lambda: page.text(ROW % "sight-23" + ".state-count") == "1/2", "drawn as soon as it is in sight")
