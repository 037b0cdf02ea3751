"""--scope: the run has its own systemd scope, and continues after the service that started it has ended.

systemd does not run here: a busctl script does the work of systemd, in a real control group, with the test's own /run."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import uuid

import pytest
from lib.dashserver import TOKEN, Dashboard

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, environment, wait_for

BUSCTL = """#!/bin/sh
printf '%s\\n' "$@" >"$BUSCTL_LOG"
case $BUSCTL_MODE in
refuse) exit 1 ;;
hang) exec sleep 600 ;;
idle) exit 0 ;;
esac
unit=$8
shift $(($# - 2))
mkdir "$BUSCTL_GROUPS/$unit" && echo "$1" >"$BUSCTL_GROUPS/$unit/cgroup.procs"
"""


def groups():
    """Where control groups of version 2 are mounted, if the test may make and kill a group there."""
    found = re.search(r"^\S+ (\S+) cgroup2 ", pathlib.Path("/proc/mounts").read_text(), re.MULTILINE)
    if not found or os.geteuid() != 0:
        return None
    trial = pathlib.Path(found[1]) / f"nixfleet-test-{uuid.uuid4()}"
    try:
        trial.mkdir()
        usable = (trial / "cgroup.kill").exists()
        trial.rmdir()
    except OSError:
        return None
    mounts = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True).returncode == 0
    return pathlib.Path(found[1]) if usable and mounts else None


GROUPS = groups()
pytestmark = pytest.mark.skipif(GROUPS is None, reason="no control groups or mounts of our own may be made here")


@pytest.fixture
def systemd(tmp_path):
    """The environment in which nixfleet-run uses the busctl script."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "busctl").write_text(BUSCTL)
    (tools / "busctl").chmod(0o755)
    made = environment(tmp_path / "state", PATH=f"{tools}:{os.environ['PATH']}", BUSCTL_LOG=str(tmp_path / "asked"), BUSCTL_MODE="move",
                       BUSCTL_GROUPS=str(GROUPS), NIXFLEET_NO_STREAM="1")
    before = set(GROUPS.iterdir())
    yield made
    for group in set(GROUPS.iterdir()) - before:
        if group.name.startswith("nixfleet-"):
            wait_for(lambda group=group: remove(group), f"{group} to be empty")


def remove(group):
    try:
        (group / "cgroup.kill").write_text("1")
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


def with_systemd(*command):
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec "$@"', "sh", *command]


def scoped(systemd, *command, there=True, options=(), **more):
    whole = [RUN, "--scope", *options, "--", *command]
    return subprocess.run(with_systemd(*whole) if there else whole, env=dict(systemd, **more), stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          check=False)


def test_the_run_moves_into_a_scope_of_its_own(systemd, tmp_path):
    done = scoped(systemd, "sh", "-c", "cat /proc/self/cgroup; exit 3")
    assert done.returncode == 3 and done.stderr == b""
    unit = re.search(r"/(nixfleet-run-[0-9a-f-]{36}\.scope)", done.stdout.decode())[1]
    asked = (tmp_path / "asked").read_text().splitlines()
    pid = asked[-2]
    run = unit.removeprefix("nixfleet-run-").removesuffix(".scope")
    assert asked == ["--system", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                     "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "3", "Description", "s", "nixfleet-run: sh",
                     "CollectMode", "s", "inactive-or-failed", "PIDs", "au", "1", pid, "0"]
    assert (tmp_path / "state" / f"{run}.log").exists()


@pytest.mark.parametrize("mode, says", [("refuse", b"refused"), ("idle", b"was not moved"), ("hang", b"no answer")])
def test_a_systemd_that_does_not_help_is_said_once_and_the_command_runs(systemd, mode, says):
    done = scoped(systemd, "sh", "-c", "echo here; exit 4", BUSCTL_MODE=mode)
    assert (done.returncode, done.stdout) == (4, b"here\n")
    assert done.stderr.count(b"\n") == 1 and b"no scope" in done.stderr and says in done.stderr


def test_nothing_is_said_into_output_that_is_caught(systemd):
    caught = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "timeout": 60, "check": False}
    command = ["sh", "-c", "echo here; exit 4"]
    done = subprocess.run(with_systemd(RUN, "--scope", "--", *command), env=dict(systemd, BUSCTL_MODE="refuse"), **caught)
    assert (done.returncode, done.stdout) == (4, b"here\n")
    told = subprocess.run(with_systemd(RUN, "--scope", "--verbose", "--", *command), env=dict(systemd, BUSCTL_MODE="refuse"), **caught)
    assert told.returncode == 4 and b"no scope" in told.stdout


def test_without_systemd_one_line_says_so(systemd, tmp_path):
    done = scoped(systemd, "echo", "here", there=pathlib.Path("/run/systemd/system").exists())
    if not (tmp_path / "asked").exists():
        assert done.stdout == b"here\n" and done.stderr.count(b"\n") == 1 and b"systemd does not run here" in done.stderr
    quiet = scoped(systemd, "echo", "here", there=False, options=["--quiet"])
    assert (quiet.stdout, quiet.stderr) == (b"here\n", b"")


class Service:
    """As systemd does when it restarts a unit: kills every process in the control group of the unit."""

    def __init__(self, script, env):
        self.group = GROUPS / f"nixfleet-test-{uuid.uuid4()}"
        self.group.mkdir()
        self.process = subprocess.Popen(with_systemd("sh", "-c", f"echo $$ >{self.group}/cgroup.procs; {script}"), env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def restart(self):
        (self.group / "cgroup.kill").write_text("1")
        self.process.wait()


@pytest.fixture
def dashboard(tmp_path):
    with Dashboard(tmp_path / "data") as server:
        yield server


def switch(tmp_path, option):
    """A switch, run as a bash agent runs it. The switch ends when the file `gate` is removed."""
    gate = tmp_path / "gate"
    gate.touch()
    command = f"echo activating; while [ -e {gate} ]; do sleep 0.05; done; echo switched; touch {tmp_path}/switched; exit 4"
    return gate, f'output=$({shutil.which(RUN) or RUN} {option} -- sh -c "{command}" 2>&1); echo "$output" >{tmp_path}/report'


def streaming(systemd, dashboard):
    return dict({k: v for k, v in systemd.items() if k != "NIXFLEET_NO_STREAM"}, NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN,
                NIXFLEET_HOST="switching", NIXFLEET_HEARTBEAT="5")


def newest(dashboard):
    return next(iter(dashboard.get("/api/hosts/switching/runs").json["runs"]), None)


def test_the_end_of_a_switch_that_kills_its_own_agent_is_recorded_and_delivered(systemd, dashboard, tmp_path):
    gate, script = switch(tmp_path, "--scope")
    service = Service(script, streaming(systemd, dashboard))
    wait_for(lambda: (run := newest(dashboard)) and run["lines"] >= 1, "the first line")
    service.restart()
    gate.unlink()
    run = wait_for(lambda: (run := newest(dashboard)) and run["status"] == "finished" and run["lines"] == 2 and run, "the end")
    assert (run["exit"], run["lost"]) == ({"code": 4}, False)
    assert dashboard.get(f"/api/hosts/switching/runs/{run['id']}/log").body == b"activating\nswitched\n"
    assert (tmp_path / "switched").exists() and not (tmp_path / "report").exists()
    listed = subprocess.run([RUN, "--list"], env=systemd, capture_output=True, text=True, check=True).stdout
    assert run["id"][:8] in listed or "sh" in listed


def test_without_a_scope_the_switch_dies_with_its_agent(systemd, dashboard, tmp_path):
    gate, script = switch(tmp_path, "--nohup")
    service = Service(script, streaming(systemd, dashboard))
    wait_for(lambda: (run := newest(dashboard)) and run["lines"] >= 1, "the first line")
    service.restart()
    wait_for(lambda: (service.group / "cgroup.procs").read_text() == "", "all of them to be gone")
    gate.unlink()
    assert not (tmp_path / "switched").exists() and newest(dashboard)["status"] in ("busy", "stale")
