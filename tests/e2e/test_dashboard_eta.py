"""The remaining time of a run, as the API reports it. The test sets the server's clock, so a run of minutes takes no time."""
import os
import pathlib
import sys
import time
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from dashserver import Dashboard

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIM = pathlib.Path(os.environ.get("NIXFLEET_BUILD") or ROOT / "build") / "tools/shim_clock.so"
STEP = 20  # seconds; the dashboard takes a larger step for a clock jump
SLACK = 10_000  # ms that a slow machine may take for a few requests

pytestmark = [pytest.mark.sqlite,  # with PostgreSQL the clock of the database counts
              pytest.mark.skipif(not SHIM.exists(), reason="the shim is not built"),
              pytest.mark.skipif(bool(os.environ.get("NIXFLEET_ASAN")), reason="a sanitizer's library must come first")]


class Fleet:
    """A dashboard whose clock is `passed` seconds ahead of the machine's clock."""

    def __init__(self, tmp_path):
        self.clock, self.passed = tmp_path / "clock", 0
        self.set(0)
        self.dashboard = Dashboard(tmp_path / "data", LD_PRELOAD=str(SHIM), SHIM_CLOCK=str(self.clock))

    def set(self, seconds):
        self.passed = seconds
        new = self.clock.with_suffix(".new")
        new.write_text(str(seconds * 1000))
        new.rename(self.clock)

    def wait(self, seconds, run=None):
        """Lets time pass, with heartbeats in between."""
        while seconds > 0:
            self.set(self.passed + min(STEP, seconds))
            seconds -= STEP
            if run:
                run.beat()

    @property
    def now_ms(self):
        return int(time.time() * 1000) + self.passed * 1000


class Run:
    def __init__(self, fleet, host="box", name="switch"):
        self.fleet, self.host, self.id, self.lines = fleet, host, str(uuid.uuid4()), 0
        self.post(name=name, command="nixos-rebuild switch")

    def post(self, **fields):
        self.lines += 1
        answer = self.fleet.dashboard.post(f"/api/hosts/{self.host}/logs", {"run": self.id, "from": self.lines - 1, "lines": ["line"], **fields})
        assert answer.status == 200, answer.body
        return self

    def beat(self, **fields):
        assert self.fleet.dashboard.post(f"/api/hosts/{self.host}/heartbeat", {"run": self.id, "status": "running", "interval": 60, **fields}).status == 200
        return self

    def phase(self, phase, seconds):
        self.post(phase=phase)
        self.fleet.wait(seconds, self)
        return self

    def end(self, code=0):
        return self.post(exit={"code": code}, phase="done" if code == 0 else "failed")

    @property
    def eta(self):
        seen = self.fleet.dashboard.get(f"/api/hosts/{self.host}/runs/{self.id}").json
        return tuple(seen[name] for name in ("eta_low_ms", "eta_ms", "eta_high_ms"))


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    with made.dashboard:
        yield made


def whole(fleet, **where):
    return Run(fleet, **where).phase("evaluating", 20).phase("building", 100).phase("switching", 30).end()


NOTHING, OVERDUE = (None, None, None), (0, 0, 0)


def test_a_run_of_a_known_name_says_how_long_it_will_take(fleet):
    first = Run(fleet).phase("evaluating", 20).phase("building", 50)
    assert first.eta == NOTHING
    first.fleet.wait(50, first)
    first.phase("switching", 30).end()
    assert first.eta == NOTHING  # a run that has ended has no remaining time
    for _ in range(2):
        whole(fleet)
    again = Run(fleet).phase("evaluating", 20)
    low, eta, high = again.eta
    assert 130_000 - SLACK <= eta <= 130_000 + SLACK and low < eta < high
    again.phase("building", 40)
    assert 90_000 - SLACK <= again.eta[1] <= 90_000 + SLACK
    fleet.set(fleet.passed + 15)  # without a report, the remaining time goes on to fall
    assert 75_000 - SLACK <= again.eta[1] <= 75_000 + SLACK
    host = fleet.dashboard.get("/api/hosts/box").json
    assert host["run"]["id"] == again.id and abs(host["run"]["eta_ms"] - 75_000) < SLACK
    listed = fleet.dashboard.get("/api/hosts/box/runs").json["runs"][0]
    assert listed["id"] == again.id and abs(listed["eta_ms"] - 75_000) < SLACK


def test_other_hosts_and_names_know_nothing(fleet):
    whole(fleet)
    assert Run(fleet, host="other").phase("building", 5).eta == NOTHING
    assert Run(fleet, name="build").phase("building", 5).eta == NOTHING
    assert Run(fleet, name="switch").phase("building", 5).eta != NOTHING
    session = fleet.dashboard.get("/api/session").json
    assert fleet.dashboard.call("DELETE", "/api/hosts/box", headers={"X-CSRF-Token": session["csrf"]}, token=None).status == 200
    assert Run(fleet).phase("building", 5).eta == NOTHING


def test_a_run_that_takes_longer_than_all_before_says_so_and_only_then(fleet):
    whole(fleet)
    late = Run(fleet).phase("evaluating", 20).phase("building", 110)
    assert 0 < late.eta[1] <= 30_000 + SLACK
    fleet.wait(40, late)
    assert late.eta == OVERDUE
    late.phase("switching", 10)
    assert 20_000 - SLACK <= late.eta[1] <= 20_000 + SLACK


def test_a_failed_run_teaches_nothing(fleet):
    Run(fleet).phase("evaluating", 20).phase("building", 20).end(1)
    Run(fleet).phase("evaluating", 20).phase("building", 20).end(137)
    assert Run(fleet).phase("building", 5).eta == NOTHING


def test_a_switch_whose_units_failed_did_all_that_a_switch_does(fleet):
    Run(fleet).phase("building", 60).phase("switching", 20).post(exit={"code": 4}, outcome="units_failed", phase="done")
    assert abs(Run(fleet).phase("building", 20).eta[1] - 60_000) <= SLACK


def test_derivations_that_are_left_count_whatever_the_hosts_clock_says(fleet):
    """The host's clock is an hour ahead; each build takes 50 s, one at a time."""
    hour = 3_600_000

    def told(n, state, started=None, ended=None):
        times = {k: v + hour for k, v in {"started": started, "ended": ended}.items() if v}
        return {"n": n, "name": f"{'abc'[n]}-{fleet.passed}.1", "state": state, **times}

    def tell(run, *derivations):
        headers = {"X-Nixfleet-Time": str(fleet.now_ms + hour)}
        run.lines += 1
        body = {"run": run.id, "from": run.lines - 1, "lines": ["line"], "phase": "building", "derivations": list(derivations)}
        assert fleet.dashboard.post("/api/hosts/box/logs", body, headers=headers).status == 200

    def build(run, n):
        started = fleet.now_ms
        tell(run, told(n, "building", started))
        fleet.wait(50, run)
        tell(run, told(n, "built", started, fleet.now_ms))

    for _ in range(2):
        run = Run(fleet)
        tell(run, *(told(n, "waiting") for n in range(3)))
        for n in range(3):
            build(run, n)
        run.end()
    run = Run(fleet)
    tell(run, *(told(n, "waiting") for n in range(2)))  # only two of them, in new versions
    assert 100_000 - SLACK <= run.eta[1] <= 100_000 + SLACK
    build(run, 0)
    assert 50_000 - SLACK <= run.eta[1] <= 50_000 + SLACK
