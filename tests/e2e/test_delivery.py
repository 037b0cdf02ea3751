"""What is delivered when helpers or the pump are killed, and when several flushes run at the same time."""
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer, SlowLine, lost_answer, status, times
from helperrun import REPORT, HelperRun, environment, flush, nobody_behind
from wrapper import RUN, wait_for
from wrapper import run as run_wrapped


def test_a_killed_pump_is_reported_lost_before_the_next_heartbeat(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_HEARTBEAT="60") as run:
        run.write("one\ntwo\n")
        server.wait(lambda: server.text() == "one\ntwo")
        run.kill()
        server.wait(lambda: server.run().heartbeats and server.run().heartbeats[-1][1]["status"] == "lost")
        server.wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in (run.shipper, run.heartbeat)), 10)
        assert server.run().exit is None
        assert flush(tmp_path, server.url).returncode == 0


def test_a_killed_pump_without_a_dashboard_is_delivered_as_lost_by_a_flush(tmp_path):
    server = FaultServer()
    server.stop()
    with HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        run.write("one\ntwo\n")
        for pid in (run.shipper, run.heartbeat):
            os.kill(pid, signal.SIGKILL)
        run.kill()
    wait_for(lambda: flock_free(tmp_path / f"{run.id}.run"))  # the log writer of the run ends a little later
    assert flush(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1).returncode == 1
    server.start()
    result = flush(tmp_path, server.url)
    assert result.returncode == 0, result.stderr
    assert server.text() in ("one\ntwo", "")
    assert server.run().heartbeats[-1][1]["status"] == "lost"
    server.stop()


def test_a_killed_shipper_leaves_everything_to_a_flush(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=7) as run:
        run.write("one\n")
        server.wait(lambda: server.text() == "one")
        os.kill(run.shipper, signal.SIGKILL)
        run.write("two\nthree\n")
        run.finish()
        assert run.process.returncode == 7
        assert flush(tmp_path, server.url).returncode == 0
        assert server.text() == "one\ntwo\nthree"
        assert server.run().exit == {"code": 7}
        assert not server.violations


def flock_free(path):
    if not path.exists():  # the log writer creates this file
        return False
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def leave_undelivered(directory, server, count):
    for number in range(count):
        with HelperRun(directory, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
            run.write(f"run {number}\n")
            run.finish()


def test_two_flushes_at_once_deliver_each_run_once(tmp_path):
    server = FaultServer()
    server.stop()
    leave_undelivered(tmp_path, server, 3)
    server.start()
    both = [subprocess.Popen([REPORT, "flush", "--flush"], env=environment(tmp_path, server.url)) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    assert sorted(server.text(run) for run in server.runs.values()) == ["run 0", "run 1", "run 2"]
    assert all(len(run.batches) == 1 for run in server.runs.values())
    server.stop()


def test_a_run_of_a_host_that_is_not_wanted_keeps_no_other_one_back(tmp_path):
    """The host got another name and another token: runs under the old name stay undelivered."""
    server = FaultServer()
    server.stop()
    for host in ("oldname", "oldname", "testhost", "testhost"):
        with HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1, NIXFLEET_HOST=host) as run:
            run.write("one\n")
            run.finish()
    server.start()
    server.fault = status(401, only="oldname")
    refused = flush(tmp_path, server.url)
    assert refused.returncode == 1 and refused.stderr.count("token") == 1
    assert [run.exit for (host, _), run in server.runs.items() if host == "testhost"] == [{"code": 0}] * 2
    assert server.faults == 1
    server.fault = None
    assert flush(tmp_path, server.url).returncode == 0 and len(server.runs) == 4
    server.stop()


@pytest.mark.parametrize("code", [500, 408, 409])
def test_a_run_that_the_dashboard_always_fails_at_keeps_no_other_one_back(tmp_path, code):
    server = FaultServer()
    server.stop()
    leave_undelivered(tmp_path, server, 4)
    server.start()
    fail = status(code)
    server.fault = lambda handler, path, body: b"run 0" in body and fail(handler, path, body)
    result = flush(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1)
    assert result.returncode == 1 and result.stderr == f"nixfleet-run: the dashboard fails ({code}): 1 run is undelivered\n"
    assert sorted(server.text(run) for run in server.runs.values()) == ["run 1", "run 2", "run 3"]
    server.fault = None
    assert flush(tmp_path, server.url).returncode == 0 and len(server.runs) == 4
    server.stop()


def test_a_dashboard_that_fails_at_every_run_is_not_tried_for_each(tmp_path):
    server = FaultServer()
    server.stop()
    leave_undelivered(tmp_path, server, 4)
    server.start()
    asked, fail = set(), status(500)
    server.fault = lambda handler, path, body: asked.add(json.loads(body)["run"]) or fail(handler, path, body)
    result = flush(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=4)
    assert result.returncode == 1 and "(500): 4 runs are undelivered" in result.stderr
    assert len(asked) == 2
    server.stop()


def test_a_log_that_is_no_file_is_a_copy(tmp_path):
    with FaultServer() as server:
        done = run_wrapped("sh", "-c", "seq 5; exit 3", state=tmp_path, options=["--log", "/dev/null"], env=environment(tmp_path, server.url))
        assert done.returncode == 3 and done.stdout == b"1\n2\n3\n4\n5\n" and not done.stderr
        assert server.text() == "1\n2\n3\n4\n5" and server.run().exit == {"code": 3} and not server.violations
        shown = subprocess.run([RUN, "--show"], env=environment(tmp_path, server.url), capture_output=True, text=True, timeout=20)
        assert shown.stdout == "1\n2\n3\n4\n5\n"


@pytest.mark.parametrize("what, said", [("removed", "its log is gone"), ("cut off", "its log was overwritten"), ("overwritten", "its log was overwritten"),
                                        ("a fifo", "its log is not a file")])
def test_what_a_log_does_not_have_any_more_is_said(tmp_path, what, said):
    server = FaultServer()
    server.stop()
    path = tmp_path / "log"
    env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1)
    run_wrapped("seq", "5", state=tmp_path, options=["--log", path], env=env)
    nobody_behind(tmp_path)  # a helper that is left would deliver from memory
    if what in ("removed", "a fifo"):
        path.unlink()
    if what == "a fifo":
        os.mkfifo(path)
    if what == "cut off":  # the file is then a prefix of the original log
        os.truncate(path, 4)
    if what == "overwritten":
        path.write_text("somebody else's secret, which is longer\n")
    server.start()
    assert flush(tmp_path, server.url).returncode == 0 and not server.violations
    assert server.text().splitlines() == ["", f"[nixfleet-run: 10 bytes of output were not kept: {said}]"]
    assert server.run().exit == {"code": 0}
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_log_of_another_user_is_not_sent(tmp_path):
    server = FaultServer()
    server.stop()
    env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1)
    run_wrapped("seq", "5", state=tmp_path, env=env)
    nobody_behind(tmp_path)
    record, = tmp_path.glob("*.run")
    secret = tmp_path / "shadow"
    secret.write_text("root:secret\n")
    record.write_text(re.sub("(?m)^log=.*", f"log={secret}", record.read_text()))
    os.chown(record, 65534, 65534)
    server.start()
    flush(tmp_path, server.url)
    assert "secret" not in (server.text() or "")
    server.stop()


@pytest.mark.parametrize("left", [b"", b"\0" * 700, b"end=exit 0"])
def test_a_run_whose_record_is_damaged_is_delivered(tmp_path, left):
    server = FaultServer()
    server.stop()
    env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1)
    run_wrapped("seq", "5", state=tmp_path, env=env)
    nobody_behind(tmp_path)
    record, = tmp_path.glob("*.run")
    record.write_bytes(left)
    server.start()
    assert flush(tmp_path, server.url).returncode == 0 and not server.violations
    assert server.text() == "1\n2\n3\n4\n5"
    server.stop()


def test_lines_that_only_the_dashboard_has_stay_there(tmp_path):
    with FaultServer() as server:
        env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1)
        with subprocess.Popen([RUN, "--log", "/dev/null", "--", "sh", "-c", "seq 5; cat"], env=env, stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            server.wait(lambda: server.run() and len(server.run().lines) == 5)
            server.fault = status(500)
            process.stdin.close()
        server.fault = None
        assert flush(tmp_path, server.url).returncode == 0 and not server.violations
        assert server.run().lines[:5] == ["1", "2", "3", "4", "5"] and server.run().exit == {"code": 0}


@pytest.mark.parametrize("damage", ["cut", "cut in a line", "zeros", "all of it"])
def test_after_a_power_cut_the_dashboard_keeps_the_lines_that_only_it_has(damage, tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        text = "".join(f"line {number}\n" for number in range(40))
        run.write(text)
        server.wait(lambda: server.run() and len(server.run().lines) == 40)
        log, record = tmp_path / f"{run.id}.log", tmp_path / f"{run.id}.run"
        wait_for(lambda: log.exists() and log.stat().st_size == len(text) and f"{len(text):x} " in record.read_text().splitlines()[1] + " ")
        for pid in (run.shipper, run.heartbeat):
            os.kill(pid, signal.SIGKILL)
        run.kill()
        wait_for(lambda: flock_free(record))
        kept = {"cut": len(text) - 30, "cut in a line": len(text) - 3, "zeros": len(text) - 30, "all of it": 0}[damage]
        os.truncate(log, kept)
        if damage == "zeros":
            os.truncate(log, len(text))
        assert flush(tmp_path, server.url).returncode == 0
        assert server.text() == text.rstrip("\n") and server.run().exit is None and not server.violations
        assert server.run().heartbeats[-1][1]["status"] == "lost"


def test_a_flush_over_a_slow_line_goes_on_as_long_as_it_moves(tmp_path):
    server = FaultServer()
    server.stop()
    with HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        run.write(f"{'x' * 99}\n" * 5000)
        run.finish()
    server.start()
    with SlowLine(server, bytes_per_second=150000) as line:
        done = flush(tmp_path, line.url, options=["--moved-from", server.url], NIXFLEET_FLUSH_TIMEOUT=1)
    assert done.returncode == 0, done.stderr
    assert len(server.run().lines) == 5000 and server.run().exit == {"code": 0}
    server.stop()


def test_a_dashboard_that_forgot_gets_it_all_again(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        run.write("".join(f"{n}\n" for n in range(100)))
        server.wait(lambda: server.run() and len(server.run().lines) == 100)
        with server.changed:
            server.run().lines = server.run().lines[:5]
        run.write("end\n")
        run.finish()
        assert server.text() == "\n".join([*map(str, range(100)), "end"])


def test_a_digest_that_differs_sends_the_whole_again(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        run.write("".join(f"{n}\n" for n in range(100)))
        server.wait(lambda: server.run() and len(server.run().lines) == 100)
        with server.changed:
            server.run().lines[50] = "damaged"
        run.finish()
        assert server.text() == "\n".join(map(str, range(100)))
        assert server.run().exit == {"code": 0}


def test_a_batch_that_is_refused_by_mistake_costs_no_line(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = times(2, status(400, only="logs"))
        text = "".join(f"{n}\n" for n in range(100))
        run.write(text)
        server.wait(lambda: server.faults == 2)
        run.write("after\n")
        assert run.finish() == ""
        assert server.text() == text + "after" and server.run().exit == {"code": 0} and not server.violations
        assert flush(tmp_path, server.url).returncode == 0


def refusing(word):
    """A fault: the dashboard refuses lines that contain this word."""
    refuse = status(400, body={"error": "line: a word that I do not like"}, only="logs")
    return lambda handler, path, body: word in body and refuse(handler, path, body)


def listed(state, url):
    return subprocess.run([RUN, "--list"], env=environment(state, url), capture_output=True, text=True, timeout=20, check=True).stdout


@pytest.mark.parametrize("count, bad", [(1, [0]), (3, [1]), (1000, [500]), (1000, [0, 999]), (64, [5, 6, 7, 8])])
def test_only_the_line_that_is_refused_stays_away_until_a_later_version_takes_it(count, bad, tmp_path):
    lines = [f"an evil {n}" if n in bad else f"line {n}" for n in range(count)]
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=3) as run:
        server.fault = refusing(b"evil")
        run.write("\n".join(lines) + "\n")
        said = run.finish()
        run.process.wait(30)
        nobody_behind(tmp_path)
        shown = server.run().lines
        assert [n for n in range(count) if shown[n] != lines[n]] == bad and len(shown) == count and not server.violations
        assert all(shown[n] == f"[nixfleet-run: the dashboard refused line {n + 1}: line: a word that I do not like]" for n in bad)
        assert server.run().exit == {"code": 3} and server.run().end["outcome"] == "failure" and "command" in server.run().description
        assert said.count("refused") == 1 and f"line {bad[0] + 1} (" in said
        assert f"not delivered: the dashboard refused {'line' if len(bad) == 1 else len(bad)}" in listed(tmp_path, server.url)
        kept = flush(tmp_path, server.url)
        assert kept.returncode == 1 and "a word that I do not like" in kept.stderr
        server.fault = None
        assert flush(tmp_path, server.url).returncode == 0
        assert server.run().lines == lines and "not delivered" not in listed(tmp_path, server.url) and not server.violations
        assert flush(tmp_path, server.url).returncode == 0


def link(target, text):
    return f"\033]8;;{target}\033\\{text}\033]8;;\033\\"


def test_a_dashboard_that_is_too_old_for_hyperlinks_gets_every_line_without_them(tmp_path):
    """Links in undelivered lines, in later lines, and in a line that is still being written."""
    lines = [f"{n} of {link('https://a.example/' + str(n), 'page')}" for n in range(200)]
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = refusing(b"\\u001b]8;")
        run.write("\n".join(lines[:100]) + "\n")
        server.wait(lambda: server.run() and len(server.run().lines) == 100)
        run.write(link("https://a.example/now", "half a line"))
        server.wait(lambda: server.run().lines[-1] == "half a line")
        run.write("\r\033[K" + "\n".join(lines[100:]) + "\n")
        assert run.finish() == "" and not server.violations
        assert server.run().lines == [f"{n} of page" for n in range(200)] and server.run().exit == {"code": 0}
        assert flush(tmp_path, server.url).returncode == 0 and "not delivered" not in listed(tmp_path, server.url)


def test_hyperlinks_arrive_with_their_targets_and_no_secret_in_them(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, X_TOKEN="a-secret-of-this-test") as run:
        run.write(f"see {link('https://a.example/x', 'here')}\n{link('javascript:alert(1)', 'no')}\n{link('https://a.example/?t=a-secret-of-this-test', 'login')}\n")
        run.finish()
        see, no, login = server.run().lines
        assert (see, no) == (f"see {link('https://a.example/x', 'here')}", "no") and login.startswith("login")
        assert "a-secret-of-this-test" not in server.text() and not server.violations


def test_a_run_that_arrives_at_once_says_in_which_phase_it_worked_last(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=1) as run:
        run.write("building the system configuration...\nactivating the configuration...\nsetting up /etc...\nerror: it broke\n")
        run.finish()
        assert server.run().end["last_phase"] == "activating" and server.run().end["phase"] == "failed"


def test_what_is_refused_besides_the_lines_costs_no_line(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = refusing(b'"command"')
        run.write("one\ntwo\n")
        run.finish()
        nobody_behind(tmp_path)
        assert server.text() == "one\ntwo" and server.run().exit == {"code": 0}
        wait_for(lambda: "besides the lines" in listed(tmp_path, server.url))
        server.fault = None
        assert flush(tmp_path, server.url).returncode == 0 and server.run().description["command"] == "fake command"


def test_a_run_that_is_refused_whole_is_kept_and_keeps_no_other_one_back(tmp_path):
    server = FaultServer()
    server.stop()
    leave_undelivered(tmp_path, server, 3)
    server.start()
    ids = sorted(path.stem for path in tmp_path.glob("*.run"))
    server.fault = refusing(ids[0].encode())
    assert flush(tmp_path, server.url).returncode == 1
    assert sorted(server.text(run) for run in server.runs.values()) == ["run 1", "run 2"]
    server.fault = None
    assert flush(tmp_path, server.url).returncode == 0 and len(server.runs) == 3
    server.stop()


def test_a_deleted_run_is_left_alone(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = status(410, only="logs")
        run.write("one\n")
        server.wait(lambda: server.faults == 1)
        run.finish()
        server.fault = None
        assert flush(tmp_path, server.url).returncode == 0
        assert server.faults == 1


def test_a_later_run_delivers_an_older_one(tmp_path):
    server = FaultServer()
    server.stop()
    with HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        run.write("older\n")
        run.finish()
        older = run.id
    server.start()
    with HelperRun(tmp_path, server.url) as run:
        run.write("newer\n")
        server.wait(lambda: ("testhost", older) in server.runs and server.runs["testhost", older].exit)
        run.finish()
    server.stop()


def test_a_progress_bar_is_one_line_at_every_time(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = times(1, lost_answer)
        run.write("head\n[1/3]")
        server.wait(lambda: server.text() == "head\n[1/3]")
        run.write("\r[2/3]")
        server.wait(lambda: server.text() == "head\n[2/3]")
        run.write("\r[3/3]\ntail\n")
        run.finish()
        assert server.text() == "head\n[3/3]\ntail"


def test_with_a_dashboard_that_answers_the_end_does_not_wait_for_the_flush_timeout(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT="3600") as run:
        run.write("one\n")
        server.wait(lambda: server.text() == "one")
        run.write("two\n")
        run.finish()
        assert server.text() == "one\ntwo" and server.run().exit == {"code": 0}
