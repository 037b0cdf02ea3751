"""What the helpers may ask the wrapper to do, and what the wrapper does with helpers that misbehave."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import BIN, RUN, alive, children, environment, kill_quietly, run, wait_for


@pytest.fixture
def helped(tmp_path):
    """Makes an environment in which a shell script replaces nixfleet-report; $1 is ship or heartbeat."""
    def make(script, **extra):
        report = tmp_path / "report"
        report.write_text("#!/bin/bash\n" + script)
        report.chmod(0o755)
        return environment(tmp_path / "state", NIXFLEET_URL="http://127.0.0.1:9", NIXFLEET_HOST="h", NIXFLEET_TOKEN="a-token-for-tests",
                           NIXFLEET_REPORT=str(report), **extra)
    return make


def test_a_stop_from_the_dashboard_is_a_sigterm_to_the_commands_group(helped, tmp_path):
    env = helped(f'if [ $1 = heartbeat ]; then until [ -e {tmp_path}/ready ]; do sleep 0.02; done; printf S >&5; fi; read x <&4; exit 0\n')
    script = f"trap 'echo asked; exit 3' TERM; echo up >{tmp_path}/ready; while :; do sleep 0.02; done"
    done = run("bash", "-c", script, state=None, env=env)
    assert done.returncode == 3 and done.stdout == b"asked\n"


def test_a_problem_is_said_once_however_often_it_is_reported(helped):
    env = helped("for i in 1 2 3; do printf 'Pthe dashboard is on fire\\n' >&5; done; read x <&4; exit 0\n")
    done = run("echo", "hi", state=None, env=env)
    assert done.stdout == b"hi\n" and done.stderr == b"nixfleet-run: the dashboard is on fire\n"


@pytest.mark.parametrize("misfortune", ["kill -9 $$", "kill -STOP $$", "read x <&4; exec sleep 60", "exit 0"])
def test_undelivered_output_is_reported_even_if_the_shipper_cannot(misfortune, helped):
    env = helped(f"if [ $1 = ship ]; then {misfortune}; fi; read x <&4; exit 0\n", NIXFLEET_FLUSH_TIMEOUT="1")
    done = run("sh", "-c", "echo hi; exit 4", state=None, env=env)
    assert (done.returncode, done.stdout) == (4, b"hi\n")
    assert done.stderr.count(b"\n") == 1 and b"--flush" in done.stderr


def test_garbage_from_a_helper_harms_nothing(helped):
    env = helped("head -c 300000 /dev/urandom | tr -d S >&5; read x <&4; exit 0\n", NIXFLEET_FLUSH_TIMEOUT="1")
    done = run("sh", "-c", "sleep 0.2; echo hi; exit 4", state=None, env=env)
    assert done.returncode == 4 and done.stdout == b"hi\n"


@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$", "kill -STOP $$", "exec sleep 600", "while :; do :; done"])
def test_a_helper_that_dies_stops_or_hangs_delays_the_end_by_the_flush_timeout_at_most(helped, script):
    done = run("sh", "-c", "echo hi; exit 4", state=None, env=helped(script + "\n", NIXFLEET_FLUSH_TIMEOUT="1"))
    assert done.returncode == 4 and done.stdout == b"hi\n"


def test_helpers_end_with_the_run_and_with_a_wrapper_that_is_killed(helped, tmp_path):
    env = helped(f"echo $$ >>{tmp_path}/pids; trap '' TERM HUP INT; while read -t 600 x <&4; do :; done\n")
    child = subprocess.Popen([RUN, "sleep", "60"], env=env, stdin=subprocess.DEVNULL)
    pids = wait_for(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2
                    and [int(pid) for pid in (tmp_path / "pids").read_text().split()], "two helpers")
    monitor = next(pid for pid in children(child.pid) if pid not in pids)
    command = int(pathlib.Path(f"/proc/{monitor}/task/{monitor}/children").read_text())
    child.kill()
    child.wait(10)
    wait_for(lambda: not any(alive(pid) for pid in pids), "the helpers' end")
    kill_quietly(command)


def test_helpers_hold_what_the_contract_says_and_not_the_terminal_or_the_pty(helped, tmp_path):
    env = helped(f"[ $1 = ship ] && ls -l /proc/$$/fd >{tmp_path}/held; read x <&4; exit 0\n")
    run("sh", "-c", f"until [ -s {tmp_path}/held ]; do sleep 0.02; done", state=None, env=env, stderr=subprocess.STDOUT)
    links = [line.split(" -> ") for line in (tmp_path / "held").read_text().splitlines() if " -> " in line]
    held = {name.split()[-1]: target for name, target in links}
    assert not any("ptmx" in target or "/pts/" in target for target in held.values())
    assert held["0"] == held["1"] == held["2"] == "/dev/null" and "nixfleet-status" in held["3"]
    assert all(held[fd].startswith("pipe:") for fd in "456")
    assert set(held) - {"255", "7", "8", "9", "10"} == {str(fd) for fd in range(7)}


def test_without_the_helper_program_one_line_says_so_and_the_command_runs(tmp_path):
    shutil.copy(BIN / "nixfleet-run", tmp_path / "nixfleet-run")
    env = environment(tmp_path / "state", NIXFLEET_URL="http://127.0.0.1:9", NIXFLEET_HOST="h", NIXFLEET_REPORT="/nonexistent")
    done = subprocess.run([tmp_path / "nixfleet-run", "sh", "-c", "echo hi; exit 4"], env=env, capture_output=True, timeout=20)
    assert done.returncode == 4 and done.stdout == b"hi\n"
    assert done.stderr == b"nixfleet-run: nixfleet-report was not found: the run is only logged\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
def test_the_users_file_beats_the_systems_and_the_environment_beats_both(tmp_path):
    for name in ("system", "user"):
        (tmp_path / name / "nixfleet").mkdir(parents=True)
    (tmp_path / "system/nixfleet/run.conf").write_text("NIXFLEET_HOST=system\nNIXFLEET_NAME=system\nNIXFLEET_LOG=\n")
    (tmp_path / "user/nixfleet/run.conf").write_text("NIXFLEET_HOST=user\n")

    def seen(**extra):
        state = tmp_path / "state"
        shutil.rmtree(state, ignore_errors=True)
        done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', tmp_path / "system", RUN, "true"],
                              env=environment(state, XDG_CONFIG_HOME=str(tmp_path / "user"), **extra), capture_output=True, timeout=20)
        if b"unshare" in done.stderr or b"mount" in done.stderr:
            pytest.skip("no mount namespace here")
        record = (next(state.glob("*.run"))).read_text().splitlines()
        return [line for line in record if line.startswith(("host=", "name="))]
    assert seen() == ["host=user", "name=system"]
    assert seen(NIXFLEET_HOST="environment", NIXFLEET_NAME="environment") == ["host=environment", "name=environment"]


def test_a_helper_that_is_started_again_after_the_end_learns_of_it(helped, tmp_path):
    env = helped(f"while read -N 1 x <&4; do :; done; [ -e {tmp_path}/$1 ] && exit 0; >{tmp_path}/$1; exit 1\n", NIXFLEET_FLUSH_TIMEOUT="3600")
    assert run("true", state=None, env=env).returncode == 0
