"""What a dashboard stores about the derivations and changes of a run."""
import json
import pathlib
import sys
import time
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from dashserver import Dashboard

HOST, START = "builder", int(time.time() - 60) * 1000


@pytest.fixture
def dashboard(tmp_path):
    with Dashboard(tmp_path) as server:
        yield server


def batch(dashboard, run, **fields):
    return dashboard.post(f"/api/hosts/{HOST}/logs", {"run": run, "from": 0, **fields})


def told(dashboard, run, query=""):
    return dashboard.get(f"/api/hosts/{HOST}/runs/{run}/derivations{query}").json["derivations"]


def test_derivations_come_back_as_they_were_told_last(dashboard):
    run = str(uuid.uuid4())
    first = [{"n": 0, "name": "a-1.0", "state": "building", "started": START}, {"n": 1, "name": "b", "state": "waiting"}]
    assert batch(dashboard, run, derivations=first).status == 200
    second = [{"n": 0, "name": "a-1.0", "state": "built", "ended": START + 1500, "line": 4, "lines": 7, "machine": "ssh://x", "step": "installPhase"}]
    for _ in range(2):  # a retry changes nothing
        assert batch(dashboard, run, derivations=second).status == 200
    assert told(dashboard, run) == [
        {"n": 0, "name": "a-1.0", "state": "built", "machine": "ssh://x", "step": "installPhase", "started": START, "duration": 1500, "line": 4, "lines": 7},
        {"n": 1, "name": "b", "state": "waiting", "lines": 0}]
    assert [one["n"] for one in told(dashboard, run, "?from=1")] == [1]
    assert [one["n"] for one in told(dashboard, run, "?limit=1")] == [0]


@pytest.mark.parametrize("wrong", [
    {}, "x", ["x"], [{}], [{"n": 10000, "name": "a", "state": "built"}], [{"n": -1, "name": "a", "state": "built"}],
    [{"n": 0, "name": "a", "state": "eaten"}], [{"n": 0, "state": "built"}], [{"n": 0, "name": 7, "state": "built"}],
    [{"n": 0, "name": "a" * 300, "state": "built"}], [{"n": 0, "name": "a", "state": "built", "started": "now"}],
    [{"n": 0, "name": "a", "state": "built", "lines": -1}]], ids=str)
def test_wrong_derivations_are_refused_by_name(dashboard, wrong):
    answer = batch(dashboard, str(uuid.uuid4()), derivations=wrong)
    assert answer.status == 400 and "derivations" in answer.json["error"]


def test_changes_come_with_the_end_and_go_with_the_run(dashboard):
    run, changes = str(uuid.uuid4()), [{"profile": "system", "old": "/nix/store/a", "new": "/nix/store/b", "packages": [{"name": "x", "old": "1", "new": "2"}], "size": -7}]
    assert batch(dashboard, run, derivations=[{"n": 0, "name": "a", "state": "built"}]).status == 200
    assert dashboard.get(f"/api/hosts/{HOST}/runs/{run}/changes").json == {"changes": []}
    assert batch(dashboard, run, exit={"code": 0}, changes=changes).status == 200
    assert dashboard.get(f"/api/hosts/{HOST}/runs/{run}/changes").json == {"changes": changes}
    assert batch(dashboard, run, changes="x").status == 400
    assert dashboard.call("DELETE", f"/api/hosts/{HOST}/runs/{run}", headers={"X-CSRF-Token": dashboard.csrf()}).status == 200
    assert dashboard.get(f"/api/hosts/{HOST}/runs/{run}/changes").status == 404
    assert dashboard.get(f"/api/hosts/{HOST}/runs/{run}/derivations").status == 404


def test_the_most_derivations_a_run_may_have_are_kept(dashboard):
    run = str(uuid.uuid4())
    for start in range(0, 10000, 1000):
        rows = [{"n": n, "name": f"pkg-{n}", "state": "waiting"} for n in range(start, start + 1000)]
        assert batch(dashboard, run, derivations=rows).status == 200
    assert [one["n"] for one in told(dashboard, run)] == list(range(10000))


def test_derivations_of_a_stranger_are_told_to_nobody_else(dashboard):
    run = str(uuid.uuid4())
    assert batch(dashboard, run, derivations=[{"n": 0, "name": "<b>\u00e9\"", "state": "built"}]).status == 200
    assert told(dashboard, run)[0]["name"] == "<b>\u00e9\""
    assert dashboard.get(f"/api/hosts/other/runs/{run}/derivations").status == 404
    assert json.dumps(told(dashboard, run))


def pieces(dashboard, run, *logs, **fields):
    """Sends pieces of logs: (n, from, text)."""
    return batch(dashboard, run, build_logs=[{"n": n, "from": start, "text": text} for n, start, text in logs], **fields)


def window(dashboard, run, n, query=""):
    answer = dashboard.get(f"/api/hosts/{HOST}/runs/{run}/derivations/{n}/lines{query}")
    return (answer.json["from"], answer.json["lines"], answer.json["total"]) if answer.status == 200 else answer.status


def whole(dashboard, run, n):
    answer = dashboard.get(f"/api/hosts/{HOST}/runs/{run}/derivations/{n}/log")
    assert answer.status != 200 or answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer.body.decode() if answer.status == 200 else answer.status


@pytest.fixture
def logged(dashboard):
    """A run with two derivations, the first of which has a log."""
    run = str(uuid.uuid4())
    rows = [{"n": n, "name": name, "state": "building"} for n, name in enumerate(("a-1.0", "b-2"))]
    assert pieces(dashboard, run, (0, 0, "one\ntwo\nthree"), derivations=rows).status == 200
    return run


def test_the_own_log_of_a_derivation_is_spliced(dashboard, logged):
    assert window(dashboard, logged, 0) == (0, ["one", "two", "three"], 3) and window(dashboard, logged, 1) == 404
    for text in ("four\nf\u00fcnf", "four\nf\u00fcnf", "four"):  # a retry changes nothing, also when the text is divided differently
        assert pieces(dashboard, logged, (0, 3, text)).status == 200
    assert pieces(dashboard, logged, (0, 0, "one"), (0, 1, "two\nthree\nfour")).status == 200
    assert window(dashboard, logged, 0) == (0, ["one", "two", "three", "four", "f\u00fcnf"], 5)
    assert pieces(dashboard, logged, (0, 1, "2")).status == 200
    assert whole(dashboard, logged, 0) == "one\n2\n"
    assert pieces(dashboard, logged, (0, 2, "\033[31mred\033[m"), (1, 0, "")).status == 200
    assert whole(dashboard, logged, 0) == "one\n2\nred\n" and window(dashboard, logged, 1) == (0, [""], 1)
    assert [one.get("log") for one in told(dashboard, logged)] == [3, 1]


def test_lines_that_the_writer_left_out_of_a_log_keep_their_numbers(dashboard, logged):
    assert pieces(dashboard, logged, (0, 1000, "last\nerror")).status == 200
    assert whole(dashboard, logged, 0) == "one\ntwo\nthree\n[997 lines omitted]\nlast\nerror\n"
    assert window(dashboard, logged, 0, "?from=1") == (1, ["two", "three"], 1002)
    assert window(dashboard, logged, 0, "?from=3") == (1000, ["last", "error"], 1002)
    assert window(dashboard, logged, 0, "?from=-1") == (1001, ["error"], 1002)
    assert window(dashboard, logged, 0, "?limit=1") == (0, ["one"], 1002)


def test_another_derivation_with_the_same_index_does_not_get_the_log(dashboard, logged):
    assert batch(dashboard, logged, derivations=[{"n": 0, "name": "c-3", "state": "waiting"}]).status == 200
    assert window(dashboard, logged, 0) == 404 and "log" not in told(dashboard, logged)[0]
    assert pieces(dashboard, logged, (0, 1, "mine")).status == 200
    assert whole(dashboard, logged, 0) == "[1 lines omitted]\nmine\n"


@pytest.mark.parametrize("wrong", [{}, ["x"], [{}], [{"n": 0, "text": "x"}], [{"n": 0, "from": 0}], [{"n": -1, "from": 0, "text": "x"}],
                                   [{"n": 10000, "from": 0, "text": "x"}], [{"n": 0, "from": -1, "text": "x"}], [{"n": 0, "from": 0, "text": 7}],
                                   [{"n": 0, "from": 0, "text": "a\rb"}], [{"n": 0, "from": 0, "text": "\033[2J"}], [{"n": 0, "from": 0, "text": "\u009b2J"}]], ids=str)
def test_wrong_logs_of_derivations_are_refused_by_name(dashboard, wrong):
    answer = batch(dashboard, str(uuid.uuid4()), build_logs=wrong)
    assert answer.status == 400 and "build_logs" in answer.json["error"]


def test_the_logs_of_derivations_have_a_limit_and_go_with_the_run(tmp_path):
    with Dashboard(tmp_path, NIXFLEET_RUN_MB="1") as dashboard:
        run, text = str(uuid.uuid4()), "\n".join(["x" * 99] * 4000)
        rows = [{"n": n, "name": f"d-{n}", "state": "built"} for n in range(4)]
        for n in range(4):
            assert pieces(dashboard, run, (n, 0, text), derivations=rows).status == 200
        assert pieces(dashboard, run, (7, 0, "of nobody")).status == 200
        assert [one.get("log") for one in told(dashboard, run)] == [4000, 4000, None, None]
        assert pieces(dashboard, run, (0, 0, "short"), (2, 0, text)).status == 200
        assert [one.get("log") for one in told(dashboard, run)] == [1, 4000, 4000, None]
        path = f"/api/hosts/{HOST}/runs/{run}/derivations/0"
        for wrong in ("x", "-1", "00000000000000000001", ""):
            assert dashboard.get(f"/api/hosts/{HOST}/runs/{run}/derivations/{wrong}/log").status == 404
        assert dashboard.get(f"/api/hosts/other/runs/{run}/derivations/0/log").status == 404
        assert dashboard.call("DELETE", f"/api/hosts/{HOST}/runs/{run}", headers={"X-CSRF-Token": dashboard.csrf()}).status == 200
        assert dashboard.get(path + "/log").status == dashboard.get(path + "/lines").status == 404
