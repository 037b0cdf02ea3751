"""The API calls for runs, with a real dashboard: splice, polling, heartbeats, reading, live channels."""
import datetime
import hashlib
import random
import subprocess
import threading
import uuid

import pytest
from lib.dashserver import Dashboard, wait_for
from lib.ws import WebSocket

LOGS = "/api/hosts/box/logs"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def run():
    return str(uuid.uuid4())


def text_of(dashboard, run, color=""):
    return dashboard.get(f"/api/hosts/box/runs/{run}/log{color}").body.decode()


def test_curl_alone_posts_a_line_and_reads_it_back(dashboard):
    assert dashboard.post("/api/hosts/Curl-Box/logs", {"lines": ["hello", "<b>you</b>"]}).json == {"next": 2}
    assert dashboard.post("/api/hosts/curl-box/logs", {"lines": ["again"]}).json == {"next": 3}
    answer = dashboard.get("/api/hosts/curl-box/logs?since=2020-01-01T00:00:00Z").json
    assert answer["lines"] == ["hello", "<b>you</b>", "again"] and answer["from"] == 0


def test_a_repeated_batch_changes_nothing(dashboard, run):
    batch = {"run": run, "from": 0, "text": "a\nb"}
    assert dashboard.post(LOGS, batch).json["next"] == 2
    before = dashboard.get(f"{LOGS}?run={run}").json["next"]
    assert dashboard.post(LOGS, batch).json["next"] == 2
    assert dashboard.get(f"{LOGS}?run={run}").json["next"] == before and text_of(dashboard, run) == "a\nb\n"


def test_a_rewrite_of_the_tail_replaces_it_and_may_shorten_the_log(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a\nb\nc\nd"})
    assert dashboard.post(LOGS, {"run": run, "from": 2, "text": "C"}).json["next"] == 3
    assert text_of(dashboard, run) == "a\nb\nC\n"
    assert dashboard.post(LOGS, {"run": run, "from": 1}).status == 200
    assert dashboard.post(LOGS, {"run": run, "from": 1, "text": "", "lines": None}).json["next"] == 2
    assert text_of(dashboard, run) == "a\n\n"


def test_a_log_that_was_shortened_grows_again_and_readers_follow(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a\nb\nc"})
    cursor = dashboard.get(f"{LOGS}?run={run}").json["next"]
    assert dashboard.post(LOGS, {"run": run, "from": 1, "lines": []}).json == {"next": 1}
    shorter = dashboard.get(f"{LOGS}?run={run}&since={cursor}").json
    assert (shorter["from"], shorter["lines"]) == (1, [])
    assert dashboard.post(LOGS, {"run": run, "from": 1, "lines": ["B"]}).json == {"next": 2}
    longer = dashboard.get(f"{LOGS}?run={run}&since={shorter['next']}").json
    assert (longer["from"], longer["lines"]) == (1, ["B"]) and text_of(dashboard, run) == "a\nB\n"
    assert dashboard.post(LOGS, {"run": run, "from": 0, "lines": []}).json == {"next": 0}
    assert dashboard.post(LOGS, {"run": run, "from": 2, "skipped": 2, "text": "x"}).json == {"next": 3}
    assert text_of(dashboard, run) == "[2 lines omitted]\nx\n"


def test_a_batch_that_was_overtaken_by_the_end_cuts_nothing_off(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "lines": ["one", "two", ""]})
    dashboard.post(LOGS, {"run": run, "from": 3, "lines": ["four", "five"], "exit": {"code": 0}})
    for start, lines in ((0, ["one"]), (0, ["one", "two", "", "four"]), (1, ["two", ""]), (2, ["", "four"]), (3, ["four"])):
        assert dashboard.post(LOGS, {"run": run, "from": start, "lines": lines}).json == {"next": start + len(lines)}
        assert text_of(dashboard, run) == "one\ntwo\n\nfour\nfive\n"
    for lines in (["on"], ["one", "tw"], ["two"]):  # of another log: the log is replaced
        assert dashboard.post(LOGS, {"run": run, "from": 0, "lines": lines}).json == {"next": len(lines)}
        assert text_of(dashboard, run) == "\n".join(lines) + "\n"
        dashboard.post(LOGS, {"run": run, "from": 0, "lines": ["one", "two", "", "four", "five"]})


def test_a_hole_is_refused_and_skipped_lines_show_as_one_row(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a"})
    refused = dashboard.post(LOGS, {"run": run, "from": 5, "text": "x"})
    assert (refused.status, refused.json["next"]) == (409, 1)
    assert dashboard.post(LOGS, {"run": run, "from": 5, "skipped": 4, "text": "x"}).json["next"] == 6
    assert text_of(dashboard, run) == "a\n[4 lines omitted]\nx\n"
    window = dashboard.get(f"/api/hosts/box/runs/{run}/lines?from=1").json
    assert (window["from"], window["lines"], window["gaps"], window["total"]) == (5, ["x"], [[1, 4]], 6)


def test_a_wrong_digest_sends_the_writer_back_to_the_start(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a\nb"})
    end = {"run": run, "from": 2, "exit": {"code": 0}, "line_count": 2}
    assert dashboard.post(LOGS, dict(end, digest="0" * 64)).json == {"next": 0}
    assert dashboard.get(f"/api/hosts/box/runs/{run}").json["ended"] is None
    assert dashboard.post(LOGS, dict(end, digest=hashlib.sha256(b"a\nb").hexdigest())).status == 200
    assert dashboard.get(f"/api/hosts/box/runs/{run}").json["status"] == "finished"


NEW_YEAR = 1767225600000  # of 2026, in milliseconds


@pytest.mark.parametrize("times", [[[1, NEW_YEAR]], [], [[2, NEW_YEAR], [9, NEW_YEAR]]])
def test_times_that_do_not_cover_the_lines_shift_no_others(dashboard, times):
    run = str(uuid.uuid4())
    assert dashboard.post("/api/hosts/myhost/logs", {"run": run, "from": 0, "lines": ["a", "b"], "times": times}).status == 200
    assert dashboard.post("/api/hosts/myhost/logs", {"run": run, "from": 2, "lines": ["c"], "times": [[1, NEW_YEAR]]}).status == 200
    shown = dashboard.get(f"/api/hosts/myhost/runs/{run}/lines?from=0").json["times"]
    assert [count for count, _ in shown] == [2, 1] and shown[1][1] == NEW_YEAR < shown[0][1]


@pytest.mark.parametrize("body", [{"from": "1"}, {"from": -1}, {"text": 5}, {"lines": "x"}, {"lines": [1]}, {"times": [[1]]}, {"run": "x"},
                                  {"exit": {}}, {"progress": []}, {"text": "a", "lines": ["b"]}, {"text": "\x1b[2J"}, {"failed": [1]}, {"skipped": -1}, {"text": "a\u009b31m"}])
def test_a_field_of_the_wrong_form_is_named(dashboard, body):
    refused = dashboard.post(LOGS, body)
    assert refused.status == 400 and next(iter(body)) in refused.json["error"] or refused.json["error"].find("lines") > 0


@pytest.mark.parametrize("field", [{"load": "high"}, {"load": [1, "x"]}, {"silent_for": -1}, {"silent_for": 10**17}, {"interval": "x"}, {"seq": 1.5}, {"status": 5}])
def test_a_field_of_a_heartbeat_of_the_wrong_form_is_named(dashboard, run, field):
    refused = dashboard.post("/api/hosts/box/heartbeat", {"run": run, "status": "running", **field})
    assert refused.status == 400 and next(iter(field)) in refused.json["error"]


def test_escape_sequences_in_lines_are_made_harmless(dashboard, run):
    lines = ["\x1b[2Jclear", "tab\there", "\u009b31mred", "\x1b[32mgreen\x1b[0m", "two\nlines"]
    assert dashboard.post(LOGS, {"run": run, "from": 0, "lines": lines}).json["next"] == 5
    assert text_of(dashboard, run, "?color=1") == "?[2Jclear\ntab here\n??31mred\n\x1b[32mgreen\x1b[0m\ntwo lines\n"


def test_nesting_is_named_and_a_time_that_is_none_is_refused(dashboard, run):
    assert "nested" in dashboard.post(LOGS, None, raw=b'{"a":' * 50 + b"1" + b"}" * 50).json["error"]
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a"})
    assert dashboard.get(f"{LOGS}?run={run}&since=yesterday").status == 400


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"a":1} x', b'{"text":"\xff"}', b'{"a":' * 50 + b"1" + b"}" * 50])
def test_a_body_that_is_no_json_object_is_refused(dashboard, raw):
    assert dashboard.post(LOGS, None, raw=raw).status == 400


def test_a_body_over_a_mebibyte_is_too_large(dashboard):
    assert dashboard.post(LOGS, None, raw=b" " * ((1 << 20) + 1)).status == 413


def test_a_token_is_needed_and_checked(dashboard):
    assert dashboard.post(LOGS, {"lines": ["x"]}, token=None).status == 401
    assert dashboard.post(LOGS, {"lines": ["x"]}, token="wrong").status == 401
    assert dashboard.post("/api/hosts/-bad/logs", {"lines": ["x"]}).status == 400


def test_a_deleted_run_is_gone_for_its_writer_too(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a"})
    path = f"/api/hosts/box/runs/{run}"
    assert dashboard.call("DELETE", path).status == 403
    assert dashboard.call("DELETE", path, headers={"X-CSRF-Token": dashboard.csrf()}).status == 200
    assert dashboard.get(path).status == 404
    assert dashboard.post(LOGS, {"run": run, "from": 1, "text": "b"}).status == 410


def test_a_time_means_the_same_moment_in_every_zone(dashboard, run):
    dashboard.post(LOGS, {"run": run, "text": "one\ntwo"})
    moment = datetime.datetime.now(datetime.timezone.utc)
    for zone in (0, 2, -5.5, 14):
        at = lambda seconds: (moment + datetime.timedelta(seconds=seconds)).astimezone(datetime.timezone(datetime.timedelta(hours=zone))).isoformat(timespec="seconds")
        for text in (at(-60).replace("+", "%2B"), at(-60)):  # escaped, and unescaped as from $(date -Iseconds) in a shell
            assert dashboard.get(f"{LOGS}?run={run}&since={text}").json["lines"] == ["one", "two"], text
        assert dashboard.get(f"{LOGS}?run={run}&since={at(60)}").json["lines"] == []
    started = "2026-11-23T20:14:10+02:00"
    assert dashboard.post(LOGS, {"run": run, "started": started, "lines": ["three"]}).status == 200
    assert dashboard.get(f"/api/hosts/box/runs/{run}").json["started"] == "2026-11-23T18:14:10.000Z"


def test_polling_never_misses_or_repeats_a_line_while_others_write(dashboard, run):
    source, model, stop = random.Random(7), [], threading.Event()
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "start"})
    model.append("start")

    def write():
        for i in range(150):
            at = len(model) - source.randrange(0, min(4, len(model)))
            lines = [f"{i}.{n}" for n in range(source.randrange(1, 6))]
            assert dashboard.post(LOGS, {"run": run, "from": at, "text": "\n".join(lines)}).status == 200
            model[at:] = lines
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    mine, cursor = [], "v0"
    while True:
        last_round = stop.is_set()
        answer = dashboard.get(f"{LOGS}?run={run}&since={cursor}&limit=3").json
        assert answer["from"] <= len(mine)
        mine[answer["from"]:] = answer["lines"]
        if last_round and answer["next"] == cursor:
            break
        cursor = answer["next"]
    writer.join()
    assert mine == model


def test_heartbeats_make_a_host_busy_and_lost_makes_it_crashed(dashboard, run):
    beat = {"run": run, "status": "building", "phase": "building", "progress": {"built": 3, "to_build": 9}, "silent_for": 1, "seq": 1}
    assert dashboard.post("/api/hosts/beat/heartbeat", beat).json == {"status": "ok", "stop": False}

    def host():
        return next(h for h in dashboard.get("/api/hosts").json["hosts"] if h["id"] == "beat")

    assert host()["state"] == "busy" and host()["run"]["progress"] == {"built": 3, "to_build": 9}
    assert dashboard.post("/api/hosts/beat/command", {"command": "stop"}, headers={"X-CSRF-Token": dashboard.csrf()}).status == 200
    assert dashboard.post("/api/hosts/beat/heartbeat", beat).json["stop"] is True
    dashboard.post("/api/hosts/beat/heartbeat", {"run": run, "status": "lost"})
    assert host()["state"] == "crashed"
    dashboard.post("/api/hosts/beat/logs", {"run": run, "from": 0, "text": "x", "exit": {"code": 4}, "outcome": "units_failed", "failed_units": ["a.service"]})
    assert host()["state"] == "idle" and host()["run"]["outcome"] == "units_failed" and host()["run"]["failed_units"] == ["a.service"]


def test_search_finds_in_text_without_colours_and_by_kind(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "one\n\x1b[31mer\x1b[0mror: two\nwarning: three\nONE"})
    path = f"/api/hosts/box/runs/{run}/search?"
    assert [m["line"] for m in dashboard.get(path + "q=one").json["matches"]] == [0, 3]
    assert dashboard.get(path + "kind=error").json["matches"] == [{"line": 1, "text": "error: two"}]
    assert dashboard.get(path + "q=one&limit=1").json["more"] is True
    assert text_of(dashboard, run) == "one\nerror: two\nwarning: three\nONE\n" and "\x1b[31m" in text_of(dashboard, run, "?color=1")


def test_a_websocket_tells_hosts_runs_and_lines_as_they_come(dashboard, run):
    dashboard.post(LOGS, {"run": run, "from": 0, "text": "a\nb"})
    with WebSocket(dashboard.url) as page:
        assert page.receive()["type"] == "hello"
        page.send({"op": "subscribe"})
        assert any(h["id"] == "box" for h in page.until("hosts")["hosts"])
        page.send({"op": "tail", "run": run, "from": 0})
        assert page.until("splice", run=run)["lines"] == ["a", "b"]
        dashboard.post(LOGS, {"run": run, "from": 1, "text": "B\nc"})
        splice = page.until("splice", run=run)
        assert (splice["from"], splice["lines"], splice["total"]) == (1, ["B", "c"], 3)
        page.send({"op": "nonsense"})
        assert page.until("error")["error"]


def test_a_websocket_of_another_origin_is_refused(dashboard):
    with WebSocket(dashboard.url, headers={"Origin": "http://evil.example"}) as page:
        assert page.status == 403


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    with Dashboard(tmp_path) as dashboard:
        run, acked = str(uuid.uuid4()), 0
        for _ in range(8):
            stop = threading.Event()
            threading.Timer(0.15, lambda: (dashboard.process.kill(), stop.set())).start()
            while not stop.is_set():
                try:
                    answer = dashboard.post(LOGS, {"run": run, "from": acked, "text": f"line {acked}"})
                except OSError:
                    break
                acked = answer.json["next"]
            stop.wait(5)
            dashboard.kill()
            dashboard.start()
            stored = text_of(dashboard, run).splitlines()
            assert stored[:acked] == [f"line {i}" for i in range(acked)] and len(stored) <= acked + 1
            acked = len(stored)
        assert acked > 20


def test_health_and_metrics_answer(dashboard):
    assert dashboard.get("/health", token=None).json["status"] == "healthy"
    assert wait_for(lambda: b"nixfleet_hosts " in dashboard.get("/metrics").body)


@pytest.mark.sqlite
def test_a_damaged_store_is_reported_and_left_as_it_is(tmp_path):
    with Dashboard(tmp_path) as dashboard:
        dashboard.post(LOGS, {"lines": ["x"] * 2000})
    database = tmp_path / "nixfleet.db"
    for left in tmp_path.glob("nixfleet.db-*"):
        left.unlink()
    damaged = bytearray(database.read_bytes() or b"\0" * 4096)
    damaged[: min(len(damaged), 4096)] = b"\x5a" * min(len(damaged), 4096)
    database.write_bytes(damaged)
    done = subprocess.run([*dashboard.command], env=dashboard.environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0 and "nixfleet.db" in done.stderr and database.read_bytes() == bytes(damaged)
