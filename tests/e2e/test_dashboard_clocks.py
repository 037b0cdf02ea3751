"""Wrong clocks, of hosts and of the server itself: durations, order, liveness and age must still be right."""
import datetime
import os
import re
import pathlib
import subprocess
import sys
import time
import uuid

import pytest
from lib import people
from lib.clock import AVAILABLE, Clock
from lib.dashserver import TOKEN, Dashboard

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import environment, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD") or ROOT / "build")
RUN = BUILD / "preload/nixfleet-run"  # with a shared libc, which the shim needs
HOUR, DAY, YEAR = 3600, 24 * 3600, 365 * 24 * 3600
OFFSETS = {"ahead": HOUR, "behind": -HOUR, "1970": -time.time() + 100, "2099": 73 * YEAR, "right": 0}

pytestmark = pytest.mark.skipif(not RUN.exists() or not AVAILABLE, reason="the shim is not built, or a sanitizer's library must come first")


def run(dashboard, tmp_path, host, clock, script, name="switch", **extra):
    env = environment(tmp_path / f"state-{host}", NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=host, NIXFLEET_NAME=name,
                      NIXFLEET_REPORT=str(pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR") or ROOT) / "nixfleet-report"),
                      NIXFLEET_TOKEN_CACHE=str(tmp_path / "none"), **clock.environment, **extra)
    return subprocess.Popen([RUN, "sh", "-c", script], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def host_of(dashboard, host):
    return dashboard.get(f"/api/hosts/{host}").json


@pytest.mark.parametrize("which", OFFSETS)
def test_a_host_with_a_wrong_clock_has_right_times(tmp_path, which):
    clock = Clock(tmp_path / "clock", OFFSETS[which])
    with Dashboard(tmp_path / "data") as dashboard:
        before = time.time()
        assert run(dashboard, tmp_path, "box", clock, "echo one; sleep 1.5; echo two; exit 1").wait(60) == 1
        after = time.time()
        assert run(dashboard, tmp_path, "box", clock, "echo later", name="pull").wait(60) == 0
        runs = dashboard.get("/api/hosts/box/runs").json["runs"]
        assert [r["name"] for r in runs] == ["pull", "switch"]
        started, ended = when(runs[1]["started"]), when(runs[1]["ended"])
        assert before - 6 <= started <= ended <= after + 6
        assert 1.4 <= ended - started <= after - before + 1
        lines = dashboard.get(f"/api/hosts/box/runs/{runs[1]['id']}/lines?from=0").json
        assert lines["lines"] == ["one", "two"]
        assert all(before - 6 <= ms / 1000 <= after + 6 for _, ms in lines["times"])
        host = host_of(dashboard, "box")
        assert (host["state"], host["verdict"]["outcome"]) == ("idle", "failure")


def test_a_clock_that_is_set_during_a_run_changes_no_duration(tmp_path):
    clock = Clock(tmp_path / "clock", OFFSETS["1970"])
    with Dashboard(tmp_path / "data") as dashboard:
        process = run(dashboard, tmp_path, "pi", clock, "echo booted; sleep 2; echo done", NIXFLEET_HEARTBEAT="5")
        wait_for(lambda: dashboard.get("/api/hosts").json["hosts"] and host_of(dashboard, "pi")["run"] and host_of(dashboard, "pi")["run"]["lines"], "the first line")
        clock.set(0)
        assert process.wait(60) == 0
        seen = host_of(dashboard, "pi")["run"]
        assert 1 <= when(seen["ended"]) - when(seen["started"]) <= time.time() - when(seen["started"]) + 1
        assert abs(time.time() - when(seen["ended"])) < 60


def test_a_run_of_a_clock_that_was_never_set_is_delivered_later(tmp_path):
    """Nobody knows when the run took place. Its age counts from the time when the dashboard first received it, so it is not removed."""
    run_id = str(uuid.uuid4())
    body = {"run": run_id, "text": "one", "from": 0, "started": "1970-01-01T00:01:00Z", "times": [[1, 61000]], "ended": "1970-01-01T00:02:00Z", "exit": {"code": 1}}
    with Dashboard(tmp_path / "data") as dashboard:
        assert dashboard.post("/api/hosts/pi/logs", body).status == 200
        seen = dashboard.get(f"/api/hosts/pi/runs/{run_id}").json
        assert abs(when(seen["started"]) - time.time()) < 60 and seen["started"] <= seen["ended"]
        dashboard.kill()
        dashboard.start()
        time.sleep(0.5)  # the dashboard removes old runs at its start
        assert dashboard.get(f"/api/hosts/pi/runs/{run_id}").status == 200


@pytest.mark.parametrize("ended", ["2021-01-01T00:00:00Z", "1999-01-01T00:00:00Z"])
def test_age_counts_from_when_the_dashboard_heard_of_a_run(tmp_path, ended):
    run_id = str(uuid.uuid4())
    with Dashboard(tmp_path / "data") as dashboard:
        assert dashboard.post("/api/hosts/old/logs", {"run": run_id, "lines": ["x"], "started": ended, "ended": ended, "exit": {"code": 1}}).status == 200
        dashboard.kill()
        dashboard.start()
        dashboard.post("/api/hosts/old/logs", {"lines": ["y"]})
        assert [r["id"] for r in dashboard.get("/api/hosts/old/runs").json["runs"]].count(run_id) == 1


def heartbeat(dashboard, host, run_id, **fields):
    assert dashboard.post(f"/api/hosts/{host}/heartbeat", {"run": run_id, "status": "building", "name": "switch", **fields}).status == 200


@pytest.mark.sqlite
def test_dead_hosts_are_not_alive_after_the_servers_clock_went_back(tmp_path):
    clock = Clock(tmp_path / "clock", 2 * DAY)
    dead, other = str(uuid.uuid4()), str(uuid.uuid4())
    with Dashboard(tmp_path / "data", **clock.environment) as dashboard:
        heartbeat(dashboard, "dead", dead)
        dashboard.post("/api/hosts/box/logs", {"run": other, "lines": ["x"], "exit": {"code": 0}})
        dashboard.kill()
        clock.set(0)
        dashboard.start()
        newest = str(uuid.uuid4())
        dashboard.post("/api/hosts/box/logs", {"run": newest, "lines": ["y"], "exit": {"code": 1}})
        clock.pass_silently()
        wait_for(lambda: host_of(dashboard, "dead")["state"] == "stale", "stale", 60)
        assert when(host_of(dashboard, "dead")["last_seen"] + "Z") <= time.time()
        assert host_of(dashboard, "box")["run"]["id"] == newest  # not the run whose clock was two days ahead
        assert host_of(dashboard, "box")["verdict"]["outcome"] == "failure"


def times_of(dashboard, host, run_id):
    """When the lines of a run arrived, and when its derivations began: seconds of the server's clock."""
    lines = dashboard.get(f"/api/hosts/{host}/runs/{run_id}/lines?from=0").json["times"]
    builds = dashboard.get(f"/api/hosts/{host}/runs/{run_id}/derivations").json["derivations"]
    return [ms / 1000 for _, ms in lines] + [one["started"] / 1000 for one in builds]


def write_run(dashboard, run_id, now, **end):
    builds = [{"n": 0, "name": "hello-1", "state": "built", "started": int(now * 1000) - 2000, "ended": int(now * 1000)}]
    dashboard.post("/api/hosts/box/heartbeat", {"run": run_id, "status": "building", "name": "switch"})
    assert dashboard.post("/api/hosts/box/logs", {"run": run_id, "lines": ["one", "two"], "derivations": builds, **end}).status == 200


@pytest.mark.sqlite
def test_nothing_stays_in_the_future_after_the_servers_clock_went_back(tmp_path):
    clock = Clock(tmp_path / "clock", 2 * DAY)
    over, alive = str(uuid.uuid4()), str(uuid.uuid4())
    with Dashboard(tmp_path / "data", **clock.environment) as dashboard:
        ahead = time.time() + 2 * DAY
        write_run(dashboard, over, ahead, exit={"code": 1})
        write_run(dashboard, str(uuid.uuid4()), ahead, exit={"code": 0})
        write_run(dashboard, alive, ahead)
        dashboard.kill()
        clock.set(0)
        before = time.time()
        dashboard.start()
        dashboard.post("/api/hosts/other/logs", {"lines": ["x"], "exit": {"code": 0}})
        for run_id in (over, alive):
            started = when(dashboard.get(f"/api/hosts/box/runs/{run_id}").json["started"])
            times = times_of(dashboard, "box", run_id)
            assert len(times) >= 2 and all(started - 5 < at < time.time() + 5 for at in times)
        metrics = dashboard.get("/metrics").body.decode()
        stamps = [float(value) for value in re.findall(r"^nixfleet_\w+_timestamp_seconds\{.*\} (\S+)$", metrics, re.MULTILINE)]
        assert len(stamps) >= 4 and all(before - 60 < stamp < time.time() + 1 for stamp in stamps)


@pytest.mark.sqlite
def test_a_code_of_the_future_locks_nobody_out(tmp_path):
    clock = Clock(tmp_path / "clock", 2 * DAY)
    with Dashboard(tmp_path / "data", dev=False, **people.settings(NIXFLEET_TOTP_SECRET=people.TOTP), **clock.environment) as dashboard:
        people.cookie_of(people.sign_in(dashboard, code=people.totp(time.time() + 2 * DAY)))
        dashboard.kill()
        clock.set(0)
        dashboard.start()
        code = people.totp()
        people.cookie_of(people.sign_in(dashboard, code=code))
        assert people.sign_in(dashboard, code=code).headers["Location"] == "/login?error=Invalid+TOTP+code"


@pytest.mark.sqlite
@pytest.mark.parametrize("jump", [2 * DAY, -2 * DAY, 400 * DAY])
def test_a_jump_of_the_servers_clock_changes_nothing(tmp_path, jump):
    clock = Clock(tmp_path / "clock")
    live, over = str(uuid.uuid4()), str(uuid.uuid4())
    with Dashboard(tmp_path / "data", **clock.environment) as dashboard:
        dashboard.post("/api/hosts/over/logs", {"run": over, "lines": ["kept"], "exit": {"code": 0}})
        heartbeat(dashboard, "live", live)
        dashboard.post("/api/hosts/live/logs", {"run": live, "lines": ["before"]})
        clock.set(jump)
        heartbeat(dashboard, "live", live)
        host = host_of(dashboard, "live")
        now = time.time() + jump
        assert host["state"] == "busy" and -1 < now - when(host["run"]["started"]) < 60
        dashboard.post("/api/hosts/live/logs", {"run": live, "lines": ["end"], "exit": {"code": 0}})
        seen = dashboard.get(f"/api/hosts/live/runs/{live}").json
        assert 0 <= when(seen["ended"]) - when(seen["started"]) < 60
        assert all(when(seen["started"]) - 1 <= at <= when(seen["ended"]) + 1 for at in times_of(dashboard, "live", live))
        assert when(host_of(dashboard, "over")["run"]["ended"]) <= time.time() + max(jump, 0) + 1
        dashboard.kill()
        dashboard.start()  # the dashboard removes old data at its start
        dashboard.post("/api/hosts/over/logs", {"lines": ["more"]})
        assert dashboard.get(f"/api/hosts/over/runs/{over}").status == 200
        clock.set(0)
        heartbeat(dashboard, "live", str(uuid.uuid4()))
        assert host_of(dashboard, "live")["state"] == "busy"
