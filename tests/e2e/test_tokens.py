"""The token: where it comes from, what a token file may contain, and the message when there is no token. Nothing is sent without a token."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from dashserver import TOKEN as SHARED, Dashboard
from faultserver import FaultServer
from helperrun import TOKEN, environment, flush
from wrapper import RUN


def wrapped(state, url, *command, options=(), **extra):
    env = environment(state, url, **extra)
    return subprocess.run([RUN, *options, "--", *command], env=env, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def tokens(server):
    return {token for _, _, _, token in server.requests}


GOOD = {
    "two settings": f"NIXFLEET_TOKEN=old\nNIXFLEET_TOKEN={TOKEN}\n",
    "bare": f"{TOKEN}\n", "no line end": TOKEN, "blanks": f"\n  {TOKEN} \r\n", "assignment": f"NIXFLEET_TOKEN={TOKEN}\n",
    "quotes": f'NIXFLEET_TOKEN="{TOKEN}"\n', "export": f"export NIXFLEET_TOKEN='{TOKEN}'\n", "comment": f"# the token\n{TOKEN}\n",
    "among others": f"DB_PASSWORD=hunter2real\n# x\nNIXFLEET_TOKEN={TOKEN}\nOTHER=1\n", "mark": f"\ufeff{TOKEN}\n",
}
BAD = {
    "other settings": ("DB_PASSWORD=hunter2real\nFOO=1\n", "there is no NIXFLEET_TOKEN in it"), "empty": ("\n", "there is no token in it"),
    "empty value": ("NIXFLEET_TOKEN=\n", "there is no token in it"), "two lines": ("one\ntwo\n", "neither one token nor settings"),
    "words": ("one two\n", "no token"), "blanks around": ("NIXFLEET_TOKEN = x\n", "no token"), "header": ("a\rX-Evil: 1\n", "no token"),
    "password of a user": ("me:hunter2real\n", "not a token"), "URL": ("https://hunter2real.example/x\n", "not a token"), "page": ("<html>\n", "not a token"),
    "JSON": ('{"token":"hunter2real"}\n', "not a token"), ".pgpass": ("h:5432:db:me:hunter2real\n", "not a token"), "Bearer": ("Bearer hunter2real\n", "not a token"),
    "YAML": ("token: hunter2real\n", "not a token"), "PEM": ("-----BEGIN KEY-----\nhunter2real\n-----END KEY-----\n", "neither"), "mixed": ("DB_PASSWORD=hunter2real\nsome text\n", "neither"), "large": ("x" * 9000, "too large"), "long": ("x" * 5000, "no token"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_token_file_is_a_token_or_settings(name, tmp_path):
    (tmp_path / "token").write_text(GOOD[name])
    with FaultServer() as server:
        done = wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=tmp_path / "token")
        assert done.stderr == "" and server.text() == "hi" and tokens(server) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("name", BAD)
def test_a_text_that_is_not_a_token_is_reported_and_never_sent(name, tmp_path):
    (tmp_path / "token").write_text(BAD[name][0])
    with FaultServer() as server:
        done = wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=tmp_path / "token")
        assert done.stderr.startswith(f"nixfleet-run: no token: {tmp_path}/token: ") and BAD[name][1] in done.stderr
        assert done.stderr.count("\n") == 1 and not server.requests


@pytest.mark.parametrize("kind", ["missing", "directory", "unreadable link"])
def test_a_token_file_that_cannot_be_read_is_said_with_the_reason(kind, tmp_path):
    path = tmp_path / "token"
    if kind == "directory":
        path.mkdir()
    if kind == "unreadable link":
        path.symlink_to(path)
    reason = {"missing": "No such file or directory", "directory": "Is a directory", "unreadable link": "Too many levels"}[kind]
    with FaultServer() as server:
        done = wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=path)
        assert f"no token: {path}: {reason}" in done.stderr and not server.requests
        path = tmp_path / "later"
        path.write_text(TOKEN)
        assert flush(tmp_path, server.url, NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=path).returncode == 0
        assert server.text() == "hi"


@pytest.mark.parametrize("token", ["xq7mPV2Zk1a9Jd0Lq3s5u7w9y1A3C5E7G9I1K3M5O7Q=", "c2VjcmV0LXRva2VuLXg9PT0AAA==", "a+b/c_d-e.f~g!h@i#j%k^l&m*n?o", "0" * 4096])
def test_a_token_of_any_usual_form_may_stand_alone(token, tmp_path):
    (tmp_path / "token").write_text(token + "\n")
    with FaultServer(token=token) as server:
        assert wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=tmp_path / "token").stderr == ""
        assert tokens(server) == {f"Bearer {token}"}


def test_a_setting_or_a_variable_may_have_other_signs(tmp_path):
    token = "a:b;c,d{e}$f"
    (tmp_path / "token").write_text(f"NIXFLEET_TOKEN={token}\n")
    with FaultServer(token=token) as server:
        wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=tmp_path / "token")
        wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN=token)
        assert len(server.runs) == 2 and tokens(server) == {f"Bearer {token}"}


def test_the_variable_serves_where_the_file_does_not(tmp_path):
    with FaultServer() as server:
        assert wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN_FILE=tmp_path / "missing").stderr == ""
        assert server.text() == "hi"


def test_a_real_dashboard_requires_a_token_and_the_message_says_so(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        none = wrapped(tmp_path / "state", dashboard.url, "true", NIXFLEET_TOKEN="", HOME=tmp_path)
        wrong = wrapped(tmp_path / "state", dashboard.url, "true", NIXFLEET_TOKEN="wrong-token")
        right = wrapped(tmp_path / "state", dashboard.url, "true", NIXFLEET_TOKEN=SHARED)
    assert "none is configured" in none.stderr and "does not accept the token (401)" in wrong.stderr and right.stderr == ""


@pytest.mark.parametrize("pause", [0, 1])
def test_a_token_may_come_through_a_pipe(pause, tmp_path):
    """--token-file <(command): both helpers get the token, although a pipe can be read only once; also when the token comes late."""
    with FaultServer() as server:
        script = f'{RUN} --token-file <(sleep {pause}; echo {TOKEN}) -- sh -c "echo one; sleep {pause + 1}; echo two"'
        env = environment(tmp_path, server.url, NIXFLEET_TOKEN="")
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=40, check=False)
        assert done.stdout == "one\ntwo\n" and done.stderr == ""
        assert server.text() == "one\ntwo" and server.run().heartbeats and tokens(server) == {f"Bearer {TOKEN}"}


def test_a_flush_may_take_its_token_from_a_pipe(tmp_path):
    server = FaultServer()
    server.stop()
    for number in range(2):
        wrapped(tmp_path, server.url, "echo", str(number), NIXFLEET_FLUSH_TIMEOUT=0)
    server.start()
    env = environment(tmp_path, server.url, NIXFLEET_TOKEN="")
    done = subprocess.run(["bash", "-c", f"{RUN} --token-file <(echo {TOKEN}) --flush"], env=env, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0 and len(server.runs) == 2, done.stderr
    server.stop()


def test_a_pipe_without_a_token_delays_nothing(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with FaultServer() as server:
        done = wrapped(tmp_path, server.url, "echo", "hi", NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=tmp_path / "fifo")
        assert "no token:" in done.stderr and not server.requests


def test_a_token_that_is_renewed_in_the_middle_is_replaced_in_the_output(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    with FaultServer() as server:
        wrapped(tmp_path, server.url, "sh", "-c", f"cat {path}; echo; sleep 1; echo newtoken-22222 > {path}.new; mv {path}.new {path}; cat {path}",
                NIXFLEET_TOKEN_FILE=path)  # the old token is also in the variable, and the server still accepts it
        assert server.text() == "[redacted]\n[redacted]"


def test_the_token_of_a_file_is_replaced_when_another_one_delivers(tmp_path):
    path = tmp_path / "token"
    path.write_text("token-of-the-run-1")
    server = FaultServer()
    server.stop()
    wrapped(tmp_path, server.url, "cat", path, NIXFLEET_TOKEN="", NIXFLEET_TOKEN_FILE=path, NIXFLEET_FLUSH_TIMEOUT=0)
    path.unlink()
    server.start()
    assert flush(tmp_path, server.url).returncode == 0
    assert server.text() == "[redacted]"
    server.stop()
