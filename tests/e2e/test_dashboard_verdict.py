"""What a dashboard shows for a host: whether the host is reachable, and how its last runs ended."""
import itertools
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from lib.clock import Clock
from lib.dashserver import TOKEN, Dashboard
from lib.ws import WebSocket

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, children, environment, wait_for

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data")) as running:
        yield running


class Host:
    def __init__(self, dashboard):
        self.dashboard, self.name = dashboard, f"verdict{next(numbers)}"

    def post(self, call, **body):
        answer = self.dashboard.post(f"/api/hosts/{self.name}/{call}", body)
        assert answer.status == 200, answer.body
        return answer.json

    def register(self):
        return self.post("register", hostname=self.name, host_type="nixos")

    def run(self, name, code=0, **end):
        """A whole run: heartbeat, lines, end."""
        run = f"01900000-0000-7000-8000-{next(numbers):012d}"
        self.post("heartbeat", run=run, status="running", name=name, command=f"do {name}")
        self.post("logs", run=run, lines=["one"], exit={"code": code}, **end)
        return run

    def __getattr__(self, key):
        return self.dashboard.get(f"/api/hosts/{self.name}").json[key]

    def csrf(self):
        with WebSocket(self.dashboard.url) as page:
            return {"X-CSRF-Token": page.receive()["csrf"]}

    def command(self, command):
        return self.dashboard.call("POST", f"/api/hosts/{self.name}/command", {"command": command}, token=None, headers=self.csrf())


@pytest.fixture
def host(dashboard):
    return Host(dashboard)


def test_a_host_without_an_agent_is_neither_reachable_nor_offline(host):
    host.run("build")
    assert (host.reachable, host.state, host.online) == (None, "idle", True)
    assert (host.host_type, host.location, host.device_type) == (None, None, None)  # nobody has reported these
    refused = host.command("switch")
    assert refused.status == 409 and "no agent" in refused.json["detail"]


def test_a_host_with_an_agent_is_reachable(host):
    host.register()
    assert (host.reachable, host.host_type, host.location) == (True, "nixos", None)
    assert host.command("switch").status == 200


def test_a_failed_switch_stays_failed_whatever_else_has_run_since(host):
    failed = host.run("switch", 1, error="error: it broke")
    for name in ("pull", "update", "check", "sh"):
        host.run(name)
    assert host.verdict == dict(host.verdict, name="switch", outcome="failure", run=failed, error="error: it broke")
    assert host.state == "idle"
    assert [(v["name"], v["outcome"]) for v in host.verdicts] == [("sh", "success"), ("check", "success"), ("update", "success"), ("pull", "success"),
                                                                  ("switch", "failure")]
    host.run("switch", 4, outcome="units_failed")
    assert host.verdict["outcome"] == "units_failed"
    host.run("switch")
    assert host.verdict["outcome"] == "success"


def test_a_failure_of_an_ad_hoc_command_counts_until_the_next_run(host):
    host.run("switch")
    host.run("false", 1)
    assert (host.verdict["name"], host.verdict["outcome"]) == ("false", "failure")
    host.run("pull")
    assert (host.verdict["name"], host.verdict["outcome"]) == ("pull", "success")


def test_a_verdict_outlives_its_run(host, dashboard):
    failed = host.run("switch", 1)
    assert dashboard.call("DELETE", f"/api/hosts/{host.name}/runs/{failed}", token=None, headers=host.csrf()).status == 200
    assert (host.verdict["name"], host.verdict["outcome"]) == ("switch", "failure")


def test_an_agent_without_the_wrapper_has_verdicts_too(host):
    for command, status in (("switch", "error"), ("pull", "ok")):
        host.register()
        assert host.command(command).status == 200
        assert host.register()["command"] == command
        host.post("status", status=status, output="Switch failed: no space left on device\nmore")
    assert host.verdict == dict(host.verdict, name="switch", outcome="failure", run=None, error="Switch failed: no space left on device")
    assert [v["name"] for v in host.verdicts] == ["pull", "switch"]


def test_the_run_of_a_command_says_more_than_the_report_behind_it(host):
    host.register()
    host.command("switch")
    host.register()
    failed = host.run("switch", 1, error="error: the cause")
    host.post("status", status="error", output="Switch failed")
    assert host.verdict == dict(host.verdict, run=failed, error="error: the cause")


def test_a_run_that_a_person_stopped_says_who_and_has_not_failed(host, dashboard):
    host.run("switch")
    run = f"01900000-0000-7000-8000-{next(numbers):012d}"
    host.post("heartbeat", run=run, status="building", name="switch", command="nixos-rebuild switch")
    assert host.command("stop").status == 200
    assert host.post("heartbeat", run=run, status="building")["stop"] is True
    host.post("logs", run=run, lines=["x"], exit={"signal": "TERM"}, outcome="failure", error="Killed by SIGTERM")
    seen = dashboard.get(f"/api/hosts/{host.name}/runs/{run}").json
    assert (seen["outcome"], seen["stop_by"], seen["stop_requested"]) == ("stopped", "127.0.0.1", True) and seen["stop_at"]
    assert host.verdict["outcome"] == "success"


def test_a_stopped_run_that_ended_by_itself_keeps_its_outcome(host, dashboard):
    run = f"01900000-0000-7000-8000-{next(numbers):012d}"
    host.post("heartbeat", run=run, status="building", name="switch")
    host.command("stop")
    host.post("logs", run=run, lines=["x"], exit={"code": 1})
    assert dashboard.get(f"/api/hosts/{host.name}/runs/{run}").json["outcome"] == "failure"


def test_lines_posted_by_curl_end_by_themselves_and_raise_no_alarm(tmp_path):
    clock = Clock(tmp_path / "clock")
    with Dashboard(tmp_path / "data", **clock.environment) as dashboard:
        first = dashboard.post("/api/hosts/curl/logs", {"lines": ["hello"]})
        assert first.json == {"next": 1}
        assert dashboard.get("/api/hosts/curl").json["state"] == "busy"
        clock.pass_silently()
        wait_for(lambda: dashboard.get("/api/hosts/curl").json["state"] != "busy", "the end of the run", 60)
        host = dashboard.get("/api/hosts/curl").json
        assert (host["state"], host["verdict"], host["run"]["status"], host["run"]["outcome"]) == ("idle", None, "finished", None)
        assert host["run"]["ended"] == host["run"]["last_seen"]
        assert dashboard.post("/api/hosts/curl/logs", {"lines": ["again"]}).json == {"next": 1}  # a new run
        assert len(dashboard.get("/api/hosts/curl/runs").json["runs"]) == 2


def family(pid):
    """A process and its descendants."""
    return [pid] + [one for child in children(pid) for one in family(child)]


def test_a_run_whose_processes_were_all_killed_has_crashed_once_its_host_is_heard(tmp_path):
    clock = Clock(tmp_path / "clock")
    with Dashboard(tmp_path / "data", **clock.environment) as dashboard:
        env = environment(tmp_path / "state", NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST="box", NIXFLEET_NAME="switch", NIXFLEET_HEARTBEAT="5",
                          NIXFLEET_TOKEN_CACHE=str(tmp_path / "none"))
        run = subprocess.Popen([RUN, "sh", "-c", "echo begun; exec sleep 600"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               start_new_session=True)
        first = wait_for(lambda: dashboard.get("/api/hosts").json["hosts"] and dashboard.get("/api/hosts/box").json["run"], "the run")
        wait_for(lambda: dashboard.get("/api/hosts/box").json["run"]["last_seen"] > first["last_seen"], "a heartbeat", 60)
        stopped = set()
        while left := set(family(run.pid)) - stopped:  # stopped first, so that no process can report the death of another
            for pid in left:
                os.kill(pid, signal.SIGSTOP)
            stopped |= left
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)
        run.wait(20)
        clock.pass_silently()
        wait_for(lambda: dashboard.get("/api/hosts/box").json["state"] != "busy", "silence", 60)
        assert dashboard.get("/api/hosts/box").json["state"] in ("stale", "crashed")  # crashed if one of the processes could still report the end
        dashboard.post("/api/hosts/box/register", {"hostname": "box", "host_type": "nixos"})
        clock.pass_silently()
        wait_for(lambda: dashboard.get("/api/hosts/box").json["state"] == "crashed", "crashed", 60)
        host = dashboard.get("/api/hosts/box").json
        assert host["run"]["status"] == "crashed" and host["reachable"] is True
        wait_for(lambda: dashboard.get("/api/hosts/box").json["verdict"], "the verdict")
        assert dashboard.get("/api/hosts/box").json["verdict"]["outcome"] == "crashed"
