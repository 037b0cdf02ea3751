"""The state of a host with several runs: live runs, lost runs, and runs that are delivered late."""
import datetime
import pathlib
import subprocess
import sys
import time
import uuid

import pytest
from lib.clock import Clock
from lib.dashserver import TOKEN, Dashboard, sql
from lib.faultserver import free_port

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, environment, wait_for

DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data")) as running:
        yield running


class Host:
    """A new host, and the reports that it sends."""

    def __init__(self, dashboard):
        self.dashboard, self.id = dashboard, "h" + uuid.uuid4().hex[:12]

    def run(self):
        return str(uuid.uuid4())

    def heartbeat(self, run, status="running", **fields):
        answer = self.dashboard.post(f"/api/hosts/{self.id}/heartbeat", {"run": run, "status": status, **fields})
        assert answer.status == 200, answer.body
        return answer.json

    def late(self, run, lines, start=0, age_ms=DAY_MS // 4, **fields):
        """Sends lines that were written long ago."""
        now = int(time.time() * 1000)
        started = datetime.datetime.fromtimestamp((now - age_ms) / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        batch = {"run": run, "from": start, "text": "\n".join(lines), "times": [[len(lines), now - age_ms + 1000]], "started": started, **fields}
        answer = self.dashboard.post(f"/api/hosts/{self.id}/logs", batch)
        assert answer.status == 200, answer.body

    @property
    def told(self):
        """(state of the host, the run that the dashboard shows for it)"""
        host = self.dashboard.get(f"/api/hosts/{self.id}").json
        return host["state"], host["run"] and host["run"]["id"]

    def stop(self):
        csrf = {"X-CSRF-Token": self.dashboard.csrf()}
        assert self.dashboard.post(f"/api/hosts/{self.id}/command", {"command": "stop"}, headers=csrf).status == 200


@pytest.fixture
def host(dashboard):
    return Host(dashboard)


def test_a_run_that_ends_does_not_hide_one_that_goes_on(host):
    long, short = host.run(), host.run()
    host.heartbeat(long, "building", phase="building")
    host.heartbeat(short)
    assert host.told == ("busy", short)
    host.heartbeat(short, "finished", exit={"code": 0})
    assert host.told == ("busy", long)
    host.heartbeat(long, "building", phase="building")
    assert host.told == ("busy", long)
    host.heartbeat(long, "finished", exit={"code": 0})
    assert host.told == ("idle", short)  # the newest run


def test_an_old_run_that_is_delivered_late_hides_nothing_and_looks_not_alive(host, dashboard):
    live, old, lost = host.run(), host.run(), host.run()
    host.heartbeat(live, "building", phase="building")
    host.late(old, ["a", "b"])
    assert host.told == ("busy", live)
    host.late(old, ["c"], start=2, exit={"code": 1})
    assert host.told == ("busy", live)
    host.late(lost, ["x"], age_ms=DAY_MS // 8)
    host.heartbeat(lost, "lost")
    assert host.told == ("busy", live)
    host.heartbeat(live, "finished", exit={"code": 0})
    assert host.told == ("idle", live)
    runs = dashboard.get(f"/api/hosts/{host.id}/runs").json["runs"]
    assert [run["id"] for run in runs] == [live, lost, old]
    assert runs[1]["status"] == "crashed" and runs[1]["last_seen"] < runs[0]["started"]
    assert [run["id"] for run in dashboard.get(f"/api/hosts/{host.id}/runs?before={live}&limit=1").json["runs"]] == [lost]


def test_a_host_that_only_delivers_is_not_busy(host):
    done, late = host.run(), host.run()
    host.late(done, ["a"], age_ms=DAY_MS // 8, exit={"code": 0})
    assert host.told == ("idle", done)
    host.late(late, ["a"])
    assert host.told == ("idle", done)
    host.late(late, ["b"], start=1, exit={"code": 0})
    assert host.told == ("idle", done)


def test_a_lost_run_gives_way_to_the_next_one(host):
    lost, following = host.run(), host.run()
    host.heartbeat(lost)
    host.heartbeat(lost, "lost")
    assert host.told == ("crashed", lost)
    host.late(lost, ["what was left"], age_ms=5000)
    assert host.told == ("crashed", lost)
    host.heartbeat(following)
    assert host.told == ("busy", following)
    host.heartbeat(following, "finished", exit={"code": 0})
    assert host.told == ("idle", following)


def test_a_stop_is_meant_for_the_run_that_is_shown(host):
    hidden, shown = host.run(), host.run()
    host.heartbeat(hidden)
    host.heartbeat(shown)
    host.stop()
    assert host.heartbeat(hidden)["stop"] is False
    assert host.heartbeat(shown)["stop"] is True
    host.heartbeat(shown, "finished", exit={"signal": "TERM"})
    assert host.heartbeat(hidden)["stop"] is False
    assert host.told == ("busy", hidden)


def test_a_clock_that_is_ahead_makes_no_run_the_newest_for_ever(host):
    ahead, following = host.run(), host.run()
    host.late(ahead, ["x"], age_ms=-10 * DAY_MS, exit={"code": 0})
    host.heartbeat(following)
    host.heartbeat(following, "finished", exit={"code": 0})
    assert host.told == ("idle", following)


def test_a_removed_run_leaves_the_next_newest(host, dashboard):
    first, second = host.run(), host.run()
    for run in (first, second):
        host.heartbeat(run)
        host.heartbeat(run, "finished", exit={"code": 0})
    assert host.told == ("idle", second)
    csrf = {"X-CSRF-Token": dashboard.csrf()}
    assert dashboard.call("DELETE", f"/api/hosts/{host.id}/runs/{second}", headers=csrf).status == 200
    assert host.told == ("idle", first)


def test_what_a_run_delivers_for_earlier_ones_does_not_hide_it(tmp_path):
    """With the real nixfleet-run: one run while the dashboard is down, the next run when the dashboard is back."""
    address = f"127.0.0.1:{free_port()}"
    env = environment(tmp_path / "state", NIXFLEET_URL=f"http://{address}", NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST="box",
                      NIXFLEET_TOKEN_CACHE=str(tmp_path / "none"), NIXFLEET_FLUSH_TIMEOUT="1")
    subprocess.run([RUN, "sh", "-c", "echo earlier; exit 3"], env=env, capture_output=True, timeout=60, check=False)
    with Dashboard(tmp_path / "data", options=("--listen", address)) as dashboard:
        time.sleep(1.1)  # the two start times must differ clearly
        with subprocess.Popen([RUN, "-H", "box", "cat"], env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
            def runs():
                return dashboard.get("/api/hosts/box/runs").json["runs"]

            wait_for(lambda: [one["status"] for one in runs()] == ["busy", "finished"])
            assert [one["exit"] for one in runs()] == [None, {"code": 3}]
            host = dashboard.get("/api/hosts/box").json
            assert (host["state"], host["run"]["id"]) == ("busy", runs()[0]["id"])
            run.stdin.close()
            assert run.wait(30) == 0


def test_a_heartbeat_each_minute_is_enough_when_it_says_so(dashboard, host):
    """The API does not show the interval. The test reads from the database when the state will change."""
    slow, default = host.run(), host.run()
    other = Host(dashboard)
    host.heartbeat(slow, interval=60)
    host.late(slow, ["a line in between"], age_ms=1000)
    other.heartbeat(default)
    assert host.dashboard.get(f"/api/hosts/{host.id}").json["state"] == "busy"
    assert changes_after_s(dashboard, host.id) == 180
    assert changes_after_s(dashboard, other.id) == 30
    other.heartbeat(default, interval=1)  # a shorter interval is ignored
    assert changes_after_s(dashboard, other.id) == 30


def changes_after_s(dashboard, host):
    data = dashboard.command[dashboard.command.index("--data") + 1]
    changes, seen = sql(data, f"SELECT changes_at, r.last_seen FROM hosts h JOIN runs r ON r.id=h.run WHERE h.id='{host}'")
    return round((int(changes) - int(seen)) / 1000)


def test_the_clock_alone_shows_the_run_that_ended_when_the_one_that_went_on_is_silent(tmp_path):
    clock = Clock(tmp_path / "clock")
    with Dashboard(tmp_path / "data", **clock.environment) as dashboard:
        host = Host(dashboard)
        silent, ended = host.run(), host.run()
        host.heartbeat(silent, interval=5)
        time.sleep(0.01)  # a later start
        host.heartbeat(ended, interval=5)
        host.heartbeat(ended, "finished", exit={"code": 0})
        assert host.told == ("busy", silent)
        clock.pass_silently()
        wait_for(lambda: host.told == ("idle", ended), "three intervals", seconds=60)
