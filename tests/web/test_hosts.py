"""The table of hosts and the phases of their runs, seen through a real Chromium. The dashboard is scripted (mock.py), so that
silence, lost connections and five million lines are at hand; test_real.py sees the same page on the real server."""

import json

import pytest
from mock import iso
from person import ROW, RUN, open_log
from selenium.webdriver.common.keys import Keys


# ---- hosts ----


@pytest.mark.parametrize(
    "state, run, words",
    [
        ("idle", None, "Idle"),
        ("busy", {"phase": "building", "progress": {"built": 12, "to_build": 40}}, "Building"),
        ("busy", {"phase": None}, "Running"),
        ("stale", {"status": "stale", "phase": "switching"}, "No sign of life"),
        ("crashed", {"status": "crashed", "lost": True}, "Crashed"),
        ("offline", None, "Offline"),
        ("idle", {"status": "finished", "outcome": "failure", "exit": {"code": 1}, "ended": iso()}, "Failed"),
        ("idle", {"status": "finished", "outcome": "units_failed", "exit": {"code": 4}, "ended": iso()}, "Units failed"),
    ],
)
def test_a_state_is_told_by_word_and_by_shape(page, mock, state, run, words):
    mock.host("alpha")
    if run is not None:
        mock.run("alpha", RUN % 1, **run)
    mock.hosts["alpha"]["state"] = state
    page.load()
    assert page.text(".state-text") == words
    shape = page.js("const s = getComputedStyle(document.querySelector('.shape')); return [s.backgroundColor, s.borderTopWidth, s.clipPath, s.height].join()")
    assert shape
    if run and run.get("progress"):
        assert page.text(".state-count") == "12/40"


def test_the_columns_say_what_the_agent_reported(page, mock):
    mock.host("alpha", metrics=json.dumps({"cpu": 91, "ram": 20, "swap": 3, "load": "7.1"}), current_generation="badc0de1", test_total=9, test_passed_count=7)
    page.load()
    assert "CPU 91 %" in page.text(".c-load") and page.count(".c-load .high") == 1
    assert page.text(".c-os") == "NixOS 25.11"
    assert page.text(".c-config") == "badc0de ↓"
    assert page.text(".c-tests") == "7 ✓ 2 ✗"
    assert page.text(".c-seen") == "now" or page.text(".c-seen").endswith("ago")


def test_last_seen_counts_on_the_servers_clock(page, mock):
    mock.host("alpha", last_seen=iso(600 - 3600))
    mock.now = lambda: int(__import__("time").time() * 1000) + 3600_000
    page.load()
    assert page.text(".c-seen") == "10 min ago"


def test_hundreds_of_hosts_are_filtered_and_sorted(page, mock):
    for i in range(260):
        mock.host(f"host{i:03d}", state="offline" if i % 2 else "idle")
    mock.host("zeta", criticality="high", comment="the one in the cellar")
    page.driver.get("about:blank")
    page.driver.get(mock.url)
    page.wait(lambda: page.count("tr.host") == 200, "a page of hosts")
    assert page.attr("tbody", "data-host") == "zeta"
    assert page.text("#more-button") == "Show 61 more"
    page.type("#filter", "cellar")
    page.wait(lambda: page.count("tr.host") == 1)
    page.type("#filter", Keys.BACKSPACE * 6)
    page.click("#chip-offline")
    page.wait(lambda: page.count("tr.host") == 130)
    page.js("const s = document.querySelector('#sort'); s.value = 'name'; s.dispatchEvent(new Event('change'))")
    assert page.attr("tbody", "data-host") == "host001"


def test_commands_go_out_and_lock_the_buttons(page, mock):
    mock.host("alpha")
    mock.host("beta", state="offline")
    page.load()
    assert page.js("return document.querySelector('tbody[data-host=beta] [data-do=switch]').disabled")
    page.click(ROW % "alpha" + "[data-do=switch]")
    page.wait(lambda: mock.commands == [("alpha", "switch")])
    page.wait(lambda: page.js("return document.querySelector('tbody[data-host=alpha] [data-do=pull]').disabled"), "the lock")
    mock.run("alpha", RUN % 1)
    mock.push_host("alpha")
    page.click(ROW % "alpha" + "[data-do=stop]")
    page.wait(lambda: mock.commands[-1] == ("alpha", "stop"))


def test_all_idle_hosts_are_told_after_a_question(page, mock):
    for name in ("alpha", "beta"):
        mock.host(name)
    mock.host("gamma", state="offline")
    page.load()
    page.click("#fleet-menu")
    page.js("[...document.querySelectorAll('.menu button')].find((b) => b.textContent === 'Pull all…').click()")
    assert "2 hosts" in page.text("dialog h2")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: sorted(mock.commands) == [("alpha", "pull"), ("beta", "pull")])


def test_a_host_is_added_and_removed(page, mock):
    mock.host("alpha")
    page.load()
    page.click("#fleet-menu")
    page.js("document.querySelector('.menu button').click()")
    page.type("dialog input[name=hostname]", "newone")
    page.click("dialog button.primary")
    page.wait(lambda: page.count("tr.host") == 2)
    page.click(ROW % "alpha" + "[data-do=menu]")
    page.js("[...document.querySelectorAll('.menu button')].at(-1).click()")
    assert "Remove alpha?" in page.text("dialog h2")
    page.click("dialog [data-do=confirm]")
    page.wait(lambda: page.count("tr.host") == 1)
    assert "alpha" not in mock.hosts


def test_what_a_host_reported_is_listed(page, mock):
    mock.host("alpha", status_history=[{"timestamp": "2026-01-02T03:04:05.000Z", "icon": "✗", "message": "Switch <b>failed</b>"}])
    page.load()
    page.click(ROW % "alpha" + "[data-do=menu]")
    page.js("[...document.querySelectorAll('.menu button')].find((b) => b.textContent === 'History…').click()")
    page.wait(lambda: page.text(".history li span") == "✗ Switch <b>failed</b>", "the history")


# ---- phases ----


def steps(page):
    return page.js("return [...document.querySelectorAll('.step')].map((s) => [s.dataset.step, s.dataset.state])")


def test_the_stepper_follows_the_phase_and_its_bar_never_goes_back(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase="evaluating")
    page.load()
    open_log(page, "alpha")
    bar = lambda: int(page.attr(".bar", "aria-valuenow"))
    assert [s[0] for s in steps(page)] == ["evaluating", "building", "activating", "switching", "done"]
    highest = bar()
    for progress in ({"built": 3, "to_build": 4}, {"built": 0, "to_build": 40, "current": "linux-6.12"}, {"built": 12, "to_build": 40}):
        mock.push_run(RUN % 1, phase="building", progress=progress)
        told = f"{progress['built']}/{progress['to_build']}"
        page.wait(lambda: page.text(".step-count") == told, told)
        assert bar() >= highest
        highest = bar()
    assert dict(steps(page))["building"] == "now" and dict(steps(page))["evaluating"] == "done"
    mock.push_run(RUN % 1, phase="done", last_phase="switching", status="finished", outcome="success", exit={"code": 0}, ended=iso())
    page.wait(lambda: {s for _, s in steps(page)} == {"done"})
    assert bar() == 100
    assert page.text(".doing").startswith("Succeeded after")


@pytest.mark.parametrize("phase, expected", [("pulling", ["pulling", "done"]), ("testing", ["testing", "done"]), ("updating", ["updating", "done"])])
def test_other_commands_have_their_own_steps(page, mock, phase, expected):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase=phase, command="x", progress={"tests_passed": 3, "tests_total": 9})
    page.load()
    open_log(page, "alpha")
    assert [s[0] for s in steps(page)] == expected
    if phase == "testing":
        assert page.text(".step-count") == "3/9"


def test_a_failed_step_is_marked_and_the_silent_are_named(page, mock):
    mock.host("alpha")
    mock.run("alpha", RUN % 1, ("x",), phase="building", silent_for=300, progress={"built": 1, "to_build": 3, "current": "glibc"})
    page.load()
    open_log(page, "alpha")
    assert page.text(".silent").startswith("silent for 5 min")
    assert "glibc" in page.text(".doing")
    mock.push_run(RUN % 1, phase="failed", last_phase="building", status="finished", outcome="failure", exit={"code": 1}, ended=iso(), error="glibc broke")
    page.wait(lambda: dict(steps(page))["building"] == "bad")
    assert "glibc broke" in page.text(".doing")
