"""--scope, --nohup and the units under a real systemd (`make check-systemd`): an agent that a switch restarts, a session that
ends, the timer after a boot. nixfleet is installed, and runs as the same users as in a fleet, with a dashboard that requires sign-in."""
import json
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from machine import TOKEN, URL, VIEW, Machine, inside, wait_for, why_not

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no machine with systemd: {REASON}")

AGENT = """#!/bin/bash
# What the fleet's agent does with a command, and no more.
while :; do
    if [ -e /var/lib/agent/job ]; then
        rm -f /var/lib/agent/job
        output=$(nixfleet-run $(cat /var/lib/agent/options) sudo /usr/local/bin/fake-switch 2>&1)
        printf '%s %s\\n' "$?" "$output" >/var/lib/agent/report
    fi
    sleep 0.1
done
"""
SWITCH = """#!/bin/bash
read -r how marker </var/lib/agent/how
echo "switch $marker"
echo "stopping the following units: agent.service"
case $how in
restart) systemctl restart agent.service ;;
stop-start) systemctl stop agent.service; systemctl daemon-reload; sleep 1; systemctl start agent.service ;;
kill) systemctl kill --signal=KILL agent.service; sleep 2 ;;
esac
for i in 1 2 3 4 5; do echo "starting unit $i"; sleep 0.2; done
echo "warning: the following units failed: broken.service"
exit 4
"""
UNIT = """[Service]
User=%s
ExecStart=/usr/local/bin/agent
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""
FILES = {
    "/etc/hostname": "vm\n",
    "/etc/hosts": "127.0.0.1 localhost vm\n",
    "/usr/local/bin/agent": (AGENT, 0o755),
    "/usr/local/bin/fake-switch": (SWITCH, 0o755),
    "/etc/sudoers.d/agent": ("mba ALL=(root) NOPASSWD: /usr/local/bin/fake-switch\n", 0o440),
    "/etc/systemd/system/agent.service": UNIT % "mba",
    "/etc/nixfleet/run.conf": f"NIXFLEET_URL={URL}\nNIXFLEET_TOKEN_FILE=/etc/nixfleet/agent-token\nNIXFLEET_HOST=vm\n",
    "/etc/nixfleet/agent-token": (TOKEN + "\n", 0o400),
    "/etc/nixfleet/dashboard.conf": (f"NIXFLEET_API_TOKEN={TOKEN}\nNIXFLEET_VIEW_TOKEN={VIEW}\nNIXFLEET_SESSION_SECRETS={'0123456789abcdef' * 4}\n"
                                     f"NIXFLEET_AGENT_TOKEN_HASH_SECRET={'fedcba9876543210' * 4}\nNIXFLEET_AUTO_PROVISION_AGENT_TOKENS=false\n", 0o600),
}
PREPARE = """
useradd -m -u 1000 -s /bin/bash mba
chown mba /etc/nixfleet/agent-token
install -d -o mba /var/lib/agent
echo "NIXFLEET_PASSWORD_HASH='$(echo a-password | nixfleet-dashboard hash-password)'" >>/etc/nixfleet/dashboard.conf
ssh-keygen -q -t ed25519 -N '' -f /var/tmp/key
install -d -o mba -m 700 /home/mba/.ssh && install -o mba -m 600 /var/tmp/key.pub /home/mba/.ssh/authorized_keys
ln -sf /usr/lib/systemd/system/nixfleet-dashboard.service /etc/systemd/system/multi-user.target.wants/
"""


@pytest.fixture(scope="module")
def machine():
    made = Machine(FILES)
    try:
        inside(made.root, PREPARE)
        made.boot()
        yield made
    finally:
        made.close()


def get(machine, path):
    done = machine.run(f"curl -sS -m 20 -H 'Authorization: Bearer {VIEW}' {URL}{path}")
    return done.stdout


def run_with(machine, marker):
    """The run whose log contains the marker, and the lines of its log."""
    for run in json.loads(get(machine, "/api/hosts/vm/runs"))["runs"]:
        lines = get(machine, f"/api/hosts/vm/runs/{run['id']}/log").splitlines()
        if any(marker in line for line in lines):
            return run, lines
    return None


def ended(machine, marker):
    """As run_with, but waits until the end of the run is delivered."""
    return wait_for(lambda: (found := run_with(machine, marker)) and found[0].get("exit") and found, f"the end of {marker}")


def set_lingering(machine, linger):
    """With lingering, the user mba has a systemd manager. Without lingering and without a session, mba has no manager."""
    if linger:
        machine.run("loginctl enable-linger mba")
    else:
        machine.run("loginctl disable-linger mba; loginctl terminate-user mba; systemctl stop user@1000.service", check=False)
    wait_for(lambda: (machine.run("test -S /run/user/1000/bus", check=False).returncode == 0) == linger, "mba's manager to come or go")


def set_up_agent(machine, user, kill_mode, linger):
    machine.run(f"systemctl stop agent; rm -rf /var/lib/agent/*; mkdir -p /etc/systemd/system/agent.service.d;"
                f" printf '[Service]\\nUser={user}\\nKillMode={kill_mode}\\n' >/etc/systemd/system/agent.service.d/test.conf;"
                " systemctl daemon-reload")
    set_lingering(machine, linger)
    machine.run("systemctl start agent")


def switch(machine, how, options):
    marker = f"marker-{time.monotonic_ns()}"
    machine.run(f"echo '{options}' >/var/lib/agent/options; echo {how} {marker} >/var/lib/agent/how; touch /var/lib/agent/job; chmod -R a+rwX /var/lib/agent")
    return marker


def scopes(machine):
    listed = machine.run("systemctl list-units --all --no-legend 'nixfleet-run-*'; systemctl --user -M mba@ list-units --all --no-legend 'nixfleet-run-*'",
                         check=False).stdout
    return [line for line in listed.splitlines() if ".scope" in line]


@pytest.mark.parametrize("how", ["restart", "stop-start", "kill"])
@pytest.mark.parametrize("kill_mode", ["control-group", "mixed"])
@pytest.mark.parametrize("user", ["mba", "root"])
def test_a_switch_survives_what_it_does_to_the_agent_that_runs_it(machine, user, kill_mode, how):
    """The agent is a system service with User= and without XDG_RUNTIME_DIR; its user lingers."""
    set_up_agent(machine, user, kill_mode, linger=True)
    run, lines = ended(machine, switch(machine, how, "--scope"))
    assert run["exit"] == {"code": 4} and lines[-1] == "warning: the following units failed: broken.service"
    assert lines[2:-1] == [f"starting unit {i}" for i in range(1, 6)]
    wait_for(lambda: machine.run("systemctl is-active agent", check=False).stdout == "active\n", "the agent to be back")
    wait_for(lambda: not scopes(machine), "the scope to be gone")


def test_the_stop_of_a_service_is_one_signal_for_the_command(machine):
    file = "/var/tmp/signals"
    command = (f'trap "echo TERM >>{file}" TERM; echo ready >>{file}; until grep -q TERM {file}; do sleep 0.1; done; '
               f'for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done; echo end >>{file}')
    machine.start(f"nixfleet-run --quiet --no-stream bash -c '{command}'", name="signals")
    wait_for(lambda: "ready" in machine.run(f"cat {file}", check=False).stdout, "the command's start")
    machine.run("systemctl stop signals", check=False)
    assert machine.run(f"cat {file}").stdout.split() == ["ready", "TERM", "end"]


def test_without_lingering_nothing_gets_into_the_report_and_verbose_says_why(machine):
    set_up_agent(machine, "mba", "control-group", linger=False)
    marker = switch(machine, "nothing", "--scope")
    ended(machine, marker)
    report = wait_for(lambda: machine.run("cat /var/lib/agent/report", check=False).stdout, "the report")
    assert report.startswith(f"4 switch {marker}\nstopping") and "nixfleet-run" not in report
    told = machine.run("nixfleet-run --scope --verbose echo hello", user="mba", properties=["Environment=NIXFLEET_NO_STREAM=1"]).stdout
    assert told.count("no scope: user 1000 has no systemd manager (no /run/user/1000/bus): enable lingering") == 1 and "hello" in told


def test_without_lingering_a_switch_that_restarts_its_agent_is_killed_and_its_log_is_delivered(machine):
    """As docs/agent.md describes for a user without a manager."""
    set_up_agent(machine, "mba", "control-group", linger=False)
    marker = switch(machine, "restart", "--scope")
    run, lines = ended(machine, marker)
    assert "signal" in run["exit"] and lines[0] == f"switch {marker}"
    wait_for(lambda: machine.run("systemctl is-active agent", check=False).stdout == "active\n", "the agent to be back")


SSH = "ssh -tt -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i /var/tmp/key mba@127.0.0.1"


@pytest.mark.parametrize("option, linger, kill", [("--nohup", False, "no"), ("--scope", False, "no"), ("--nohup", True, "no"), ("--scope", True, "no"),
                                                  ("--scope", True, "yes")])
def test_a_run_outlives_the_session_that_it_was_started_in(machine, option, linger, kill):
    """systemd ends a user's manager 10 s after the last session, unless the user lingers. This must not end a run in a scope."""
    machine.run("systemctl stop agent; mkdir -p /etc/systemd/logind.conf.d;"
                f" printf '[Login]\\nKillUserProcesses={kill}\\n' >/etc/systemd/logind.conf.d/test.conf; systemctl restart systemd-logind")
    set_lingering(machine, linger)
    marker = f"marker-{time.monotonic_ns()}"
    session = machine.start(f"{SSH} 'nixfleet-run {option} bash -c \"echo {marker}; for i in {{1..36}}; do echo line \\$i; sleep 0.5; done; exit 5\"'")
    wait_for(lambda: (found := run_with(machine, marker)) and "line 3" in found[1], "the first lines")
    machine.run(f"systemctl kill --signal=KILL {session}")
    run, lines = ended(machine, marker)
    assert run["exit"] == {"code": 5} and lines == [marker] + [f"line {i}" for i in range(1, 37)]
    wait_for(lambda: not scopes(machine), "the scope to be gone")


def test_an_undelivered_run_is_no_failure_of_the_flush_unit(machine):
    machine.run("systemctl stop nixfleet-dashboard; nixfleet-run --flush-timeout 1 false; true")
    assert machine.run("systemctl start nixfleet-flush; systemctl is-failed nixfleet-flush; systemctl is-system-running", check=False).stdout.split() == [
        "inactive", "running"]
    assert "undelivered" in machine.run("journalctl -u nixfleet-flush -o cat").stdout
    machine.run("systemctl start nixfleet-dashboard")


def test_the_timer_delivers_after_a_boot_with_a_token_file_of_the_agents_user(machine):
    marker = f"marker-{time.monotonic_ns()}"
    machine.run("mkdir -p /etc/systemd/system/nixfleet-flush.timer.d; printf '[Timer]\\nOnStartupSec=\\nOnStartupSec=2s\\nRandomizedDelaySec=0\\n'"
                " >/etc/systemd/system/nixfleet-flush.timer.d/soon.conf; systemctl daemon-reload; systemctl enable nixfleet-flush.timer;"
                f" systemctl stop nixfleet-dashboard; nixfleet-run --flush-timeout 1 echo {marker}")
    machine.stop()
    machine.boot()
    run, lines = ended(machine, marker)
    assert lines == [marker] and run["exit"] == {"code": 0}


@pytest.mark.parametrize("unit, most", [("nixfleet-flush.service", 3.0), ("nixfleet-dashboard.service", 2.0)])
def test_a_unit_is_exposed_as_little_as_its_work_allows(machine, unit, most):
    out = machine.run(f"systemd-analyze security --no-pager {unit} | tail -1", check=False).stdout
    assert float(out.split(":")[1].split()[0]) <= most, out
