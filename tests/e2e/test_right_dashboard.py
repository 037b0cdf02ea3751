"""A run is delivered only to the dashboard that it was started for, with the credentials of that dashboard."""
import contextlib
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from dashserver import Dashboard
from faultserver import FaultServer, free_port
from helperrun import end_behind, environment, flush, nobody_behind
from wrapper import RUN

PATIENCE_S = 30


@pytest.fixture
def two():
    """Dashboards a and b with different tokens; a is down."""
    a, b = FaultServer(token="token-of-a"), FaultServer(token="token-of-b")
    a.stop()
    with contextlib.ExitStack() as stack:
        stack.callback(a.stop)
        stack.callback(b.stop)
        yield a, b


def of(server, **extra):
    return {"NIXFLEET_URL": server.url, "NIXFLEET_TOKEN": server.token, **extra}


def run(state, *command, **settings):
    env = dict(environment(state, ""), **settings)
    return subprocess.run([RUN, "--", *command], env=env, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)


def nixfleet_run(state, *options, **settings):
    env = dict(environment(state, ""), **settings)
    return subprocess.run([RUN, *options], env=env, capture_output=True, text=True, timeout=PATIENCE_S)


def leave_one_for(server, state):
    run(state, "echo", "private to a", **of(server, NIXFLEET_HOST="hosta"))
    end_behind(state)


def asked(server):
    return [(path, token) for _, path, _, token in server.requests]


def test_another_dashboard_gets_nothing_of_it_by_a_run_or_a_flush(tmp_path, two):
    a, b = two
    leave_one_for(a, tmp_path)
    run(tmp_path, "sh", "-c", "echo b; sleep 2", **of(b, NIXFLEET_HOST="hostb"))
    nobody_behind(tmp_path)
    done = nixfleet_run(tmp_path, "--flush", **of(b))
    assert done.returncode == 1 and a.url in done.stderr and "--moved-from" in done.stderr
    assert asked(b) and all("/hostb/" in path and token == "Bearer token-of-b" for path, token in asked(b))
    a.start()
    assert nixfleet_run(tmp_path, "--flush", **of(a)).returncode == 0
    assert a.run("hosta").lines == ["private to a"] and asked(a)[-1][1] == "Bearer token-of-a"


def test_a_flush_delivers_to_each_dashboard_with_the_credentials_that_are_configured_for_it(tmp_path, two):
    a, b = two
    (tmp_path / "nixfleet").mkdir()
    (tmp_path / "nixfleet/run.conf").write_text(f"NIXFLEET_URL={a.url}\nNIXFLEET_TOKEN={a.token}\n")
    leave_one_for(a, tmp_path)
    b.stop()
    run(tmp_path, "echo", "private to b", **of(b, NIXFLEET_HOST="hostb"))
    end_behind(tmp_path)
    a.start()
    b.start()
    done = nixfleet_run(tmp_path, "--flush", **of(b))
    assert done.returncode == 0, done.stderr
    assert {path.split("/")[3] for path, _ in asked(a)} == {"hosta"} and {token for _, token in asked(a)} == {"Bearer token-of-a"}
    assert {path.split("/")[3] for path, _ in asked(b)} == {"hostb"} and {token for _, token in asked(b)} == {"Bearer token-of-b"}


def test_the_token_of_a_file_is_not_sent_to_the_dashboard_of_a_variable(tmp_path, two):
    a, b = two
    (tmp_path / "nixfleet").mkdir()
    (tmp_path / "nixfleet/run.conf").write_text(f"NIXFLEET_URL={a.url}\nNIXFLEET_TOKEN={a.token}\n")
    run(tmp_path, "echo", "hi", NIXFLEET_URL=b.url, NIXFLEET_TOKEN="")
    assert all(token is None for _, token in asked(b))


def test_a_dashboard_that_has_moved_gets_everything_when_it_is_told(tmp_path, two):
    a, b = two
    leave_one_for(a, tmp_path)
    done = nixfleet_run(tmp_path, "--flush", "--moved-from", a.url + "/", **of(b))
    assert done.returncode == 0, done.stderr
    assert b.run("hosta").lines == ["private to a"]
    assert nixfleet_run(tmp_path, "--moved-from", a.url, "true").returncode == 125


@pytest.mark.parametrize("change", ["port", "path", "name"])
def test_another_port_path_or_name_is_another_dashboard(tmp_path, two, change):
    """Another path or name leads to the same server. In these cases the server is down during the run and up during the flush."""
    a, b = two
    server = b if change == "port" else a
    url = {"port": f"http://127.0.0.1:{free_port()}", "path": f"{server.url}/fleet", "name": server.url.replace("127.0.0.1", "localhost")}[change]
    run(tmp_path, "echo", "x", **of(server, NIXFLEET_URL=url, NIXFLEET_HOST="hosta", NIXFLEET_FLUSH_TIMEOUT="0"))
    nobody_behind(tmp_path)
    if server is a:
        a.start()
    before = len(server.requests)
    assert nixfleet_run(tmp_path, "--flush", **of(server)).returncode == 1
    assert len(server.requests) == before


def test_two_real_dashboards_get_what_is_theirs(tmp_path):
    """With real dashboards: a run for another dashboard in between takes no undelivered lines of the dashboard that is down."""
    with Dashboard(tmp_path / "a") as a:
        url = a.url
    with Dashboard(tmp_path / "b") as b:
        state = tmp_path / "state"
        settings = dict(NIXFLEET_TOKEN="shared-token-of-the-tests", NIXFLEET_HOST="hosta")
        run(state, "echo", "private to a", NIXFLEET_URL=url, **settings)
        end_behind(state)
        run(state, "sh", "-c", "echo b; sleep 1", NIXFLEET_URL=b.url, **dict(settings, NIXFLEET_HOST="hostb"))
        nobody_behind(state)
        assert flush(state, b.url, NIXFLEET_TOKEN=settings["NIXFLEET_TOKEN"]).returncode == 1
        assert "hostb" in str(b.get("/api/hosts").json) and "hosta" not in str(b.get("/api/hosts").json)
        assert "private" not in str(b.get("/api/hosts/hostb/runs").json)
