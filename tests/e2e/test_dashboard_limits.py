"""What the dashboard keeps and what it removes: of one run, of a host, of all runs."""
import datetime
import time
import uuid

import pytest
from lib.dashserver import Dashboard, sql, wait_for


def run_id():
    return str(uuid.uuid4())


def before(days):
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def finished_run(dashboard, host, lines=("a line",), days_ago=0, days=0):
    run, ended = run_id(), before(days_ago)
    answer = dashboard.post(f"/api/hosts/{host}/logs",
                            {"run": run, "lines": list(lines), "exit": {"code": 0}, "started": before(days_ago + days), "ended": ended})
    assert answer.status == 200, answer.body
    return run


def open_run(dashboard, host, lines=("a line",)):
    run = run_id()
    assert dashboard.post(f"/api/hosts/{host}/logs", {"run": run, "lines": list(lines)}).status == 200
    return run


def runs(dashboard, host="alpha"):
    return [run["id"] for run in dashboard.get(f"/api/hosts/{host}/runs").json["runs"]]


def restarted(data, **settings):
    """Sets the arrival time of each run to its end, because age counts from arrival, and starts the dashboard."""
    sql(data, "UPDATE runs SET created=ended, last_seen=ended WHERE ended<created")
    return Dashboard(data, **settings)


def test_a_run_beyond_its_limit_loses_its_middle_and_says_so(tmp_path):
    with Dashboard(tmp_path, NIXFLEET_RUN_MB="1") as dashboard:
        run, at = run_id(), 0
        for batch in range(30):
            lines = [f"{at + i:06d} " + "x" * 993 for i in range(100)]
            at = dashboard.post("/api/hosts/alpha/logs", {"run": run, "from": at, "lines": lines}).json["next"]
        assert at == 3000
        window = dashboard.get(f"/api/hosts/alpha/runs/{run}/lines?from=0&limit=2000").json
        (first, omitted), = window["gaps"]
        assert window["total"] == 3000 and 1900 < omitted < 2400 and 0 < first < 1000
        assert window["lines"] == [line for line in window["lines"] if int(line[:6]) < first] and len(window["lines"]) == first
        end = dashboard.get(f"/api/hosts/alpha/runs/{run}/lines?from={first}&limit=2000").json
        assert end["from"] == first + omitted and int(end["lines"][0][:6]) == end["from"] and int(end["lines"][-1][:6]) == 2999
        log = dashboard.get(f"/api/hosts/alpha/runs/{run}/log").body.decode()
        assert str(omitted) in log and log.startswith("000000") and log.rstrip().splitlines()[-1].startswith("002999")
        assert len(log) < 1.1 * 2**20
        found = dashboard.get(f"/api/hosts/alpha/runs/{run}/search?q=0029").json["matches"]
        assert found and all(match["text"].startswith(f"{match['line']:06d}") for match in found)
        cursor, seen = None, 0
        while True:  # polling must skip the gap and reach the end
            page = dashboard.get(f"/api/hosts/alpha/logs?run={run}" + (f"&since={cursor}" if cursor else "&since=2000-01-01T00:00:00Z")).json
            if not page["lines"]:
                break
            seen, cursor = seen + len(page["lines"]), page["next"]
        assert seen == 3000 - omitted
        assert dashboard.post("/api/hosts/alpha/logs", {"run": run, "from": at, "lines": ["the end"], "exit": {"code": 0}}).json["next"] == 3001


def test_a_run_below_its_limit_is_whole(tmp_path):
    with Dashboard(tmp_path, NIXFLEET_RUN_MB="2") as dashboard:
        run = finished_run(dashboard, "alpha", ["y" * 1000] * 900)
        assert dashboard.get(f"/api/hosts/alpha/runs/{run}/lines?from=0").json["gaps"] == []


def test_old_runs_go_by_age(tmp_path):
    with Dashboard(tmp_path) as dashboard:
        old, older, new = (finished_run(dashboard, "alpha", days_ago=days) for days in (8, 20, 6))
        still = open_run(dashboard, "beta")
    with restarted(tmp_path, NIXFLEET_KEEP_DAYS="7") as dashboard:
        wait_for(lambda: runs(dashboard) == [new])
        assert runs(dashboard, "beta") == [still]
        assert dashboard.get(f"/api/hosts/alpha/runs/{old}").status == 404
        assert dashboard.post("/api/hosts/alpha/logs", {"run": older, "lines": ["late"]}).status == 410


def test_a_host_is_not_told_of_by_a_run_that_is_gone(tmp_path):
    def told(dashboard):
        return [h["run"] and h["run"]["id"] for h in dashboard.get("/api/hosts").json["hosts"]]

    with Dashboard(tmp_path) as dashboard:
        long, short, alone = (finished_run(dashboard, host, days_ago=ago, days=days) for host, ago, days in (("alpha", 6, 14), ("alpha", 8, 1), ("beta", 8, 1)))
        assert told(dashboard) == [short, alone]
    with restarted(tmp_path, NIXFLEET_KEEP_DAYS="7") as dashboard:
        wait_for(lambda: runs(dashboard) == [long] and runs(dashboard, "beta") == [])
        assert told(dashboard) == [long, None]


def test_old_runs_go_by_count_of_their_host_and_open_ones_stay(tmp_path):
    with Dashboard(tmp_path) as dashboard:
        still = open_run(dashboard, "alpha")
        many = [finished_run(dashboard, "alpha") for _ in range(12)]
        others = [finished_run(dashboard, "beta") for _ in range(3)]
    with restarted(tmp_path, NIXFLEET_KEEP_RUNS="5") as dashboard:
        wait_for(lambda: runs(dashboard) == many[:-6:-1] + [still])
        assert runs(dashboard, "beta") == others[::-1]


def test_old_runs_go_by_size_of_all(tmp_path):
    with Dashboard(tmp_path) as dashboard:
        by_host = [(host, finished_run(dashboard, host, ["z" * 1000] * 500)) for host in ("alpha", "beta", "alpha", "beta", "alpha", "beta")]
        still = open_run(dashboard, "gamma", ["z" * 1000] * 900)
    with restarted(tmp_path, NIXFLEET_KEEP_MB="2") as dashboard:  # the open run and the newest two
        wait_for(lambda: runs(dashboard, "alpha") + runs(dashboard, "beta") == [by_host[4][1], by_host[5][1]])
        assert runs(dashboard, "gamma") == [still]


def test_the_bounds_may_come_from_the_file(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        many = [finished_run(dashboard, "alpha") for _ in range(4)]
    settings = tmp_path / "settings"
    settings.write_text("NIXFLEET_KEEP_RUNS=2\n")
    with Dashboard(tmp_path / "data", options=["--config", str(settings)]) as dashboard:
        wait_for(lambda: runs(dashboard) == many[:-3:-1])


@pytest.mark.parametrize("name", ["NIXFLEET_KEEP_DAYS", "NIXFLEET_KEEP_RUNS", "NIXFLEET_KEEP_MB", "NIXFLEET_RUN_MB"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_an_invalid_limit_is_named(tmp_path, name, value):
    import subprocess
    from lib.dashserver import BIN
    done = subprocess.run([BIN / "nixfleet-dashboard", "--dev", "--listen", "127.0.0.1:0", "--data", tmp_path], env={name: value},
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0 and name in done.stderr


def test_a_search_of_a_large_log_goes_on_where_it_stopped(tmp_path):
    with Dashboard(tmp_path, NIXFLEET_RUN_MB="100") as dashboard:
        run, at = run_id(), 0
        while at < 50000:
            lines = [f"{at + i} {'needle' if (at + i) % 12000 == 0 else 'hay' * 150}" for i in range(1000)]
            at = dashboard.post("/api/hosts/alpha/logs", {"run": run, "from": at, "lines": lines}).json["next"]
        found, start, answers = [], 0, 0
        while True:
            answer = dashboard.get(f"/api/hosts/alpha/runs/{run}/search?q=NEEDLE&from={start}").json
            found += [match["line"] for match in answer["matches"]]
            answers += 1
            if not answer["more"]:
                break
            assert answer["next"] > start
            start = answer["next"]
        assert found == [0, 12000, 24000, 36000, 48000] and answers > 1
