"""A bash agent whose commands go through nixfleet-run: the dashboard shows them live and busy while they run,
the agent reports as before, and the logs are complete afterwards."""
import os
import pathlib
import signal
import subprocess

import pytest
from lib.dashserver import BIN, TOKEN, Dashboard, wait_for

SCRIPTS = {
    "sudo": 'exec "$@"',
    "git": "echo 'Updating a..b'; echo Fast-forward",
    "nixos-rebuild": "echo 'building the system configuration...'\n[ -e gate ] && while [ -e gate ]; do sleep 0.05; done\n"
                     "echo 'activating the configuration...'; echo 'setting up /etc...'\n[ ! -e broken ] || { echo 'error: it broke'; exit 3; }",
    "nix": "echo \"warning: updating lock file 'flake.lock':\"",
}


class Agent:
    def __init__(self, dashboard, directory):
        self.dashboard, self.directory = dashboard, directory
        tools = directory / "bin"
        tools.mkdir()
        for name, text in SCRIPTS.items():
            (tools / name).write_text("#!/bin/sh\n" + text + "\n")
            (tools / name).chmod(0o755)
        (directory / "T01-example.sh").write_text("echo '✅ T01-example'; echo '1 passed, 0 failed'\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
        environment = dict(kept, PATH=f"{tools}:{os.environ['PATH']}", NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST="agenthost",
                           NIXFLEET_HEARTBEAT="5", NIXFLEET_STATE_DIR=str(directory / "state"), NIXFLEET_TOKEN_CACHE=str(directory / "none"),
                           XDG_CONFIG_HOME=str(directory), RUN=str(BIN / "nixfleet-run"), AGENT_HOST="agenthost")
        script = pathlib.Path(__file__).with_name("agent.sh")
        self.process = subprocess.Popen(["bash", str(script)], cwd=directory, env=environment, start_new_session=True)
        wait_for(lambda: self.host() is not None, what="the agent's first word")

    def host(self):
        return next((h for h in self.dashboard.get("/api/hosts").json["hosts"] if h["id"] == "agenthost"), None)

    def order(self, command):
        before = len(self.runs())
        headers = {"X-CSRF-Token": self.dashboard.csrf()}
        assert self.dashboard.post("/api/hosts/agenthost/command", {"command": command}, headers=headers).status == 200
        return before

    def runs(self):
        return self.dashboard.get("/api/hosts/agenthost/runs").json["runs"]

    def text(self, run):
        return self.dashboard.get(f"/api/hosts/agenthost/runs/{run['id']}/log").body.decode()

    def last_report(self):
        return next(iter(self.dashboard.get("/api/hosts/agenthost/logs").json["logs"]), {"completed_at": None})

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def agent(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        running = Agent(dashboard, tmp_path)
        yield running
        running.close()


def finished(agent, count):
    """All runs, if there are `count` runs and the agent has reported its last command, so nixfleet-run has ended, too; None otherwise."""
    runs, report = agent.runs(), agent.last_report()
    return runs if len(runs) >= count and runs[0]["status"] == "finished" and report["completed_at"] else None


def test_each_command_is_a_run_with_its_whole_output_and_the_report_is_as_before(agent):
    for command, name, text in (("pull", "pull", "Updating a..b\nFast-forward\n"), ("update", "update", "warning: updating lock file 'flake.lock':\n"),
                                ("test", "test", "✅ T01-example\n1 passed, 0 failed\n")):
        before = agent.order(command)
        run = wait_for(lambda: finished(agent, before + 1), what=command)[0]
        assert (run["name"], run["outcome"], agent.text(run)) == (name, "success", text)
        wait_for(lambda: text.strip() in (agent.last_report()["output"] or ""), what="the agent's report")
    before = agent.order("pull-switch")
    wait_for(lambda: finished(agent, before + 2), what="both runs")
    assert [r["name"] for r in agent.runs()[:2]] == ["switch", "pull"]


def test_a_switch_is_live_and_busy_while_the_agent_is_silent(agent):
    (agent.directory / "gate").touch()
    agent.order("switch")
    run = wait_for(lambda: next((r for r in agent.runs() if r["name"] == "switch" and r["lines"]), None), what="the first line")
    assert agent.text(run) == "building the system configuration...\n"
    host = agent.host()
    assert host["state"] == "busy" and host["run"]["phase"] == "evaluating"
    seen = host["run"]["last_seen"]
    wait_for(lambda: agent.host()["run"]["last_seen"] > seen, what="a heartbeat")
    (agent.directory / "gate").unlink()
    run = wait_for(lambda: finished(agent, 1), what="its end")[0]
    assert agent.text(run).endswith("setting up /etc...\n") and run["phase"] == "done"


def test_a_failed_switch_reports_its_own_status(agent):
    (agent.directory / "broken").touch()
    agent.order("switch")
    run = wait_for(lambda: finished(agent, 1), what="its end")[0]
    assert run["exit"] == {"code": 3} and run["outcome"] == "failure" and run["error"] == "error: it broke" or "it broke" in run["error"]
    wait_for(lambda: "Switch failed (3)" in (agent.last_report()["output"] or ""), what="the agent's report")
    assert agent.last_report()["status"] == "error"


def test_the_end_of_a_run_is_delivered_although_its_caller_is_gone(agent):
    (agent.directory / "gate").touch()
    agent.order("switch")
    wait_for(lambda: any(r["lines"] for r in agent.runs()), what="the first line")
    agent.process.kill()  # only the agent itself, as KillMode=process does
    agent.process.wait()
    (agent.directory / "gate").unlink()
    run = wait_for(lambda: next((r for r in agent.runs() if r["status"] == "finished"), None), what="its end")
    # The last heartbeat may report the end before the last lines arrive.
    wait_for(lambda: "setting up /etc..." in agent.text(run) or run["exit"] == {"signal": "PIPE"}, what="its last line")
