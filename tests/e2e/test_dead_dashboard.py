"""A dashboard that is down, silent or broken costs the caller no time: the wrapper ends with the command, one process continues
in the background, and every line arrives when the dashboard is back. The flush timeout is a minute here, so the test fails if
the wrapper waits for the flush timeout."""
import contextlib
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
import faultserver
from faultserver import FaultServer, free_port, status
from helperrun import behind, end_behind, environment, flush, nobody_behind
from wrapper import RUN, wait_for

PATIENCE_S = 30


def wrapped(state, url, *command, **extra):
    env = environment(state, url, **{"NIXFLEET_FLUSH_TIMEOUT": 60, **extra})
    return subprocess.run([RUN, "--", *command], env=env, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def a_port_that_refuses(_):
    yield f"http://127.0.0.1:{free_port()}"


@contextlib.contextmanager
def a_black_hole(_):
    listener, fillers = faultserver.black_hole()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    for one in (listener, *fillers):
        one.close()


def a_server(fault, tls=False, scheme=None):
    @contextlib.contextmanager
    def served(directory):
        with FaultServer(tls=faultserver.make_certificate(directory) if tls else None) as server:
            server.fault = fault
            yield server.url if scheme is None else server.url.replace("http", scheme)
    return served


def html(handler, path, body):
    handler.answer(200, b"<!DOCTYPE html><title>Welcome to nginx!</title>", [("Content-Type", "text/html")])
    return True


DEAD = {
    "refused": (a_port_that_refuses, "Connection refused"),
    "black hole": (a_black_hole, "no answer so far"),
    "silent": (a_server(faultserver.silent), "no answer so far"),
    "a byte a second": (a_server(faultserver.slow), "no answer so far"),
    "bad gateway": (a_server(status(502)), "the dashboard answered 502"),
    "maintenance": (a_server(status(503, retry_after=3600)), "the dashboard answered 503"),
    "rate limit": (a_server(status(429, retry_after=3600)), "the dashboard answered 429"),
    "HTML": (a_server(html), "not a nixfleet dashboard"),
    "garbage": (a_server(faultserver.garbage), "HTTP/0.9"),
    "reset": (a_server(faultserver.reset), "reset"),
    "not trusted": (a_server(None, tls=True), "certificate"),
    "https to an http port": (a_server(None, scheme="https"), "SSL"),
    "redirect": (a_server(faultserver.redirect("http://127.0.0.1:9")), "redirects"),
    "no such call": (a_server(status(404)), "(404)"),
    "not allowed": (a_server(status(405)), "(405)"),
    "token not accepted": (a_server(status(401)), "token"),
    "name": (lambda _: contextlib.nullcontext("https://dashboard.invalid"), "resolve host"),
    "plain http elsewhere": (lambda _: contextlib.nullcontext("http://fleet.example:8000"), "plain http"),
    "no such port": (lambda _: contextlib.nullcontext("https://127.0.0.1:99999"), "URL"),
    "two ports": (lambda _: contextlib.nullcontext("https://127.0.0.1:1:2"), "URL"),
}


@pytest.mark.parametrize("name", DEAD)
def test_the_wrapper_ends_with_its_command_and_says_why_nothing_was_delivered(name, tmp_path):
    dashboard, reason = DEAD[name]
    with dashboard(tmp_path) as url:
        for _ in range(2):
            done = wrapped(tmp_path, url, "sh", "-c", "echo hi; exit 3")
            assert done.returncode == 3 and done.stdout == "hi\n"
            assert reason in done.stderr and done.stderr.count("\n") <= 2, done.stderr
            wait_for(lambda: len(behind(tmp_path)) <= 1)
        end_behind(tmp_path)


@pytest.mark.parametrize("settings, options", [({"NIXFLEET_STATE_DIR": "/proc/no/such"}, []), ({"NIXFLEET_STATE_DIR": "/dev/null"}, []),
                                               ({}, ["--log", "/proc/no/log"]), ({}, ["--log", "/tmp"])])
def test_without_a_log_lines_are_streamed_from_memory_and_the_end_is_not_delayed(settings, options, tmp_path):
    with FaultServer() as server:
        env = environment(tmp_path, server.url, **{"NIXFLEET_FLUSH_TIMEOUT": 60, **settings})
        done = subprocess.run([RUN, *options, "--", "sh", "-c", "seq 2000; exit 3"], env=env, capture_output=True, text=True,
                              timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
        assert done.returncode == 3 and done.stderr.count("\n") == 1
        assert server.run().lines == done.stdout.split() and server.run().exit == {"code": 3} and server.run().heartbeats
    done = subprocess.run([RUN, *options, "--", "sh", "-c", "echo x; exit 3"], env=env, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 3  # also with the dashboard down
    end_behind(tmp_path)


def test_a_helper_that_always_dies_costs_no_time(tmp_path):
    done = wrapped(tmp_path, f"http://127.0.0.1:{free_port()}", "sh", "-c", "sleep 1; exit 3", NIXFLEET_REPORT="/bin/false")
    assert done.returncode == 3 and "--flush" in done.stderr


def test_one_process_stays_behind_and_delivers_what_all_runs_are_missing(tmp_path):
    server = FaultServer()
    server.stop()
    for number in range(3):
        wrapped(tmp_path, server.url, "echo", str(number))
    wait_for(lambda: len(behind(tmp_path)) == 1)
    server.start()
    server.wait(lambda: len(server.runs) == 3 and all(run.exit for run in server.runs.values()), PATIENCE_S)
    assert sorted(server.text(run) for run in server.runs.values()) == ["0", "1", "2"]
    nobody_behind(tmp_path)
    assert flush(tmp_path, server.url).returncode == 0 and not server.violations
    server.stop()


def test_what_a_silent_dashboard_did_not_answer_is_known_to_the_next_run_until_it_answers(tmp_path):
    with FaultServer() as server:
        server.fault = faultserver.silent
        wrapped(tmp_path, server.url, "echo", "one")
        wait_for(lambda: (tmp_path / "unanswered").exists() and (tmp_path / "unanswered").read_text() == server.url)
        end_behind(tmp_path)
        server.fault = None
        wrapped(tmp_path, server.url, "sh", "-c", "echo two; sleep 1")
        assert (tmp_path / "unanswered").read_text() == ""
        wait_for(lambda: not behind(tmp_path))
        assert flush(tmp_path, server.url).returncode == 0
        assert sorted(server.text(run) for run in server.runs.values()) == ["one", "two"]


def test_a_run_makes_one_more_try_at_its_end_whatever_a_proxy_asked_for(tmp_path):
    with FaultServer() as server:
        server.fault = status(503, retry_after=3600)
        env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=60)
        with subprocess.Popen([RUN, "--", "sh", "-c", "echo one; read x; exit 0"], env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
            server.wait(lambda: server.faults >= 2)
            server.fault = None
            run.stdin.close()
            run.wait(PATIENCE_S)
        server.wait(lambda: server.run() and server.run().exit == {"code": 0})
        assert server.text() == "one" and server.run().heartbeats[-1][1]["status"] == "finished"
