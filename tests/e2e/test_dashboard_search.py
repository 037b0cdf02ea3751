"""Searching on a real dashboard: one log with case, words and regular expressions; the logs of all runs; the runs of all hosts."""
import time
import urllib.parse
import uuid

import pytest
from lib.dashserver import Dashboard


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data")) as running:
        yield running


def new_run():
    new_run.ms = max(new_run.ms + 1, int(time.time() * 1000))  # so that runs sort in the order in which they were made
    return str(uuid.UUID(int=(new_run.ms << 80) | (7 << 76) | (2 << 62) | (uuid.uuid4().int & ((1 << 62) - 1))))


new_run.ms = 0


def write(dashboard, host, lines, **fields):
    run = new_run()
    answer = dashboard.post(f"/api/hosts/{host}/logs", {"run": run, "from": 0, "lines": lines, "exit": {"code": 0}, **fields})
    assert answer.status == 200, answer.body
    return run


def found(dashboard, host, run, **question):
    query = urllib.parse.urlencode(question)
    return dashboard.get(f"/api/hosts/{host}/runs/{run}/search?{query}")


LINES = ["Error: one", "an error in TEXT", "terror", "ab\x1b[31mc\x1b[0md", "größe Größe", "a.c", "aaaa"]


@pytest.mark.parametrize(
    "question, lines",
    [
        ({"q": "error"}, [0, 1, 2]),
        ({"q": "error", "case": 1}, [1, 2]),
        ({"q": "error", "word": 1}, [0, 1]),
        ({"q": "error", "word": 1, "case": 1}, [1]),
        ({"q": "^a", "regex": 1}, [1, 3, 5, 6]),
        ({"q": "abcd"}, [3]),  # in the text without colours
        ({"q": "a.c"}, [5]),  # plain text unless the caller asks for a regular expression
        ({"q": "a.c", "regex": 1}, [3, 5]),
        ({"q": "GRÖSSE"}, []),
        ({"q": "GRÖßE"}, [4]),
        ({"q": "error|text", "regex": 1, "case": 1}, [1, 2]),
        ({"q": "err", "regex": 0, "kind": "error"}, [0, 1]),
        ({"q": r"\d", "regex": 1}, []),
    ],
)
def test_a_log_is_searched_as_it_is_asked_for(dashboard, question, lines):
    run = write(dashboard, "asked", LINES)
    answer = found(dashboard, "asked", run, **question)
    assert [match["line"] for match in answer.json["matches"]] == lines
    assert answer.json["more"] is False


@pytest.mark.parametrize("q", ["(", "[", "*", "(?<x", "a{99999}", "x" * 2000])
def test_an_invalid_expression_is_refused_with_the_reason(dashboard, q):
    run = write(dashboard, "asked", LINES)
    refused = found(dashboard, "asked", run, q=q, regex=1)
    assert refused.status == 400 and refused.json["error"].startswith("q is not a regular expression: ")


def test_an_expression_that_takes_too_long_ends(dashboard):
    run = write(dashboard, "slow", ["a" * 5000 + "b", "the next line"])
    assert found(dashboard, "slow", run, q="(a*)*(a*)*(a*)*c", regex=1).json["matches"] == []
    assert [m["line"] for m in found(dashboard, "slow", run, q="(a+)+c|next", regex=1).json["matches"]] == [1]


def everything(dashboard, **question):
    matches, at, answers = [], None, 0
    while True:
        query = urllib.parse.urlencode(dict(question, **({"at": at} if at else {})))
        answer = dashboard.get(f"/api/search?{query}").json
        matches += answer["matches"]
        answers += 1
        if not answer["more"]:
            return matches, answers
        at = answer["next"]


def test_the_logs_of_all_runs_are_searched_the_newest_first(dashboard):
    runs = [write(dashboard, f"all-{i % 3}", [f"needle {i}", "hay"] * 2, command=f"command {i}") for i in range(40)]
    matches, answers = everything(dashboard, q="needle", limit=7)
    assert [(m["run"], m["line"]) for m in matches] == [(run, line) for run in reversed(runs) for line in (0, 2)]
    assert answers >= 12
    assert matches[0]["host"] == "all-0" and matches[0]["command"] == "command 39" and matches[0]["text"] == "needle 39"
    assert abs(matches[0]["started"] - time.time() * 1000) < 600_000
    assert dashboard.get("/api/search?q=needle&at=nonsense").status == 400
    assert dashboard.get("/api/search?q=(&regex=1").status == 400


def test_the_runs_of_all_hosts_are_listed_the_newest_first(dashboard):
    before = int(time.time() * 1000) - 1
    runs = [write(dashboard, f"timed-{i}", ["x"], command=f"command {i}") for i in range(5)]
    listed = dashboard.get(f"/api/runs?since={before}&limit=100").json["runs"]
    assert [run["id"] for run in listed] == runs[::-1]
    assert listed[0] == dict(listed[0], host="timed-4", command="command 4", status="finished", exit={"code": 0}, error=None)
    page = dashboard.get(f"/api/runs?limit=2&before={runs[3]}").json["runs"]
    assert [run["id"] for run in page] == [runs[2], runs[1]]
    assert dashboard.get("/api/runs?since=99999999999999").json["runs"] == []
