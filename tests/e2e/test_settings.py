"""Wrong settings: reported once, where a person reads the message; they never affect the command."""
import os
import pathlib
import resource
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer
from wrapper import RUN, environment, run

BAD = {"NIXFLEET_HEARTBEAT": "3", "NIXFLEET_URL": "ftp://x", "NIXFLEET_NOHUP": "maybe"}


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def with_file(state, text):
    folder = state.parent / "config" / "nixfleet"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "run.conf").write_text(text)
    return environment(state, XDG_CONFIG_HOME=str(folder.parent))


def test_wrong_variables_are_said_once_and_the_command_runs(state):
    done = run("echo", "hi", state=state, env=environment(state, **BAD))
    assert done.returncode == 0 and done.stdout == b"hi\n"
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 3 and all(any(f"nixfleet-run: {name} in the environment: " in line for line in lines) for name in BAD)


def test_a_wrong_file_is_said_and_the_command_runs(state):
    env = with_file(state, "NIXFLEET_HEARTBEAT=3\nNIXFLEET_HARTBEAT=20\n")
    done = run("echo", "hi", state=state, env=env)
    assert done.returncode == 0 and done.stdout == b"hi\n"
    assert b"/run.conf: '3' is not a whole number from 5 to 60: not used\n" in done.stderr
    assert b"NIXFLEET_HARTBEAT in " in done.stderr and b"is NIXFLEET_HEARTBEAT meant?\n" in done.stderr
    listed = subprocess.run([RUN, "--list"], env=env, capture_output=True, timeout=20)
    assert listed.returncode == 0 and listed.stderr.count(b"\n") == 2


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_settings_file_that_is_not_a_file_is_reported_and_not_waited_for(state, make):
    env = with_file(state, None)
    make(state.parent / "config" / "nixfleet" / "run.conf")
    done = run("echo", "hi", state=state, env=env)
    assert done.returncode == 0 and done.stdout == b"hi\n"
    assert done.stderr.count(b"\n") == 1 and b"no settings are read from it" in done.stderr


@pytest.mark.parametrize("keywords", [{"stderr": subprocess.STDOUT}, {"options": ["-q"]}])
def test_warnings_are_not_in_captured_output_or_printed_with_quiet(state, keywords):
    env = with_file(state, "NIXFLEET_HARTBEAT=20\n")
    env.update(BAD)
    done = run("echo", "hi", state=state, env=env, **keywords)
    assert done.returncode == 0 and done.stdout == b"hi\n" and not done.stderr


def test_a_wrong_option_is_refused(state):
    done = run("echo", "hi", state=state, options=["-i", "3"])
    assert done.returncode == 125 and done.stdout == b"" and done.stderr.startswith(b"nixfleet-run: --heartbeat: '3' is not")


def test_descriptors_that_run_out_keep_no_command_from_running(state):
    for limit in range(4, 20):  # with fewer descriptors no dynamic program starts
        done = run("/bin/echo", "hi", state=state, stderr=subprocess.STDOUT,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))  # noqa: B023
        assert done.stdout == b"hi\n" and done.returncode == 0, limit


def test_inside_a_run_options_are_said_to_have_no_effect_on_request(state):
    done = run(RUN, "-v", "--log", "inner.log", "echo", "hi", state=state)
    assert done.stdout == b"hi\n" and b"these options have no effect" in done.stderr
    done = run(RUN, "--log", "inner.log", "echo", "hi", state=state)
    assert done.stdout == b"hi\n" and done.stderr == b""


@pytest.mark.parametrize("what, said", [("none", b"No such file"), ("unreadable", b"Permission denied"),
                                        ("empty", b"there is no token in it"), ("a directory", b"Is a directory")])
def test_a_token_file_that_gives_no_token_is_named_with_the_reason(tmp_path, what, said):
    token = tmp_path / "token"
    options = {"preexec_fn": None}
    if what == "empty":
        token.write_text("")
    if what == "a directory":
        token.mkdir()
    if what == "unreadable":
        if os.geteuid() != 0:
            pytest.skip("needs root, to become somebody else")
        pytest.skip("root reads everything") if not can_become_nobody(tmp_path) else None
        token.write_text("secret")
        token.chmod(0o400)
        options = {"user": 65534}
        for folder in [tmp_path, *tmp_path.parents]:
            if str(folder).startswith("/tmp/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        (tmp_path / "state").mkdir(mode=0o700)
        os.chown(tmp_path / "state", 65534, 65534)
    with FaultServer() as server:
        env = environment(tmp_path / "state", NIXFLEET_URL=server.url, NIXFLEET_HOST="testhost", NIXFLEET_TOKEN_FILE=str(token), HOME="/nonexistent")
        done = run("echo", "hi", state=None, env=env, **options)
        assert done.returncode == 0 and done.stdout == b"hi\n"
        assert str(token).encode() + b": " + said in done.stderr and done.stderr.count(b"\n") == 1


def can_become_nobody(tmp_path):
    return subprocess.run(["test", "-x", RUN], user=65534, capture_output=True).returncode == 0
