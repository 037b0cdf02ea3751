"""What a dashboard keeps of a run's derivations and changes."""
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
