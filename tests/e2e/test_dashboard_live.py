"""Open pages and event streams get every change once, also when they read slowly."""
import contextlib
import http.client
import json
import signal
import socket
import threading
import time
import uuid

import pytest
from lib import ws
from lib.dashserver import TOKEN, Dashboard, wait_for


@pytest.fixture
def dashboard(tmp_path):
    with Dashboard(tmp_path / "data") as server:
        yield server


def run_id():
    return str(uuid.uuid4())


class Events:
    """A reader of server-sent events."""

    def __init__(self, dashboard, path, last_id=None):
        scheme, _, address = dashboard.url.partition("://")
        self.connection = (http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection)(address, timeout=20)
        self.connection.request("GET", path, headers={"Last-Event-ID": last_id} if last_id else {})
        self.stream = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self, kind):
        event = {}
        while True:
            line = self.stream.readline().decode().rstrip("\n")
            if not line:
                if event.get("event") == kind:
                    return event
                event = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value


def spliced(log, event):
    message = json.loads(event["data"])
    return log[:message["from"]] + message["lines"]


def test_a_page_that_reads_late_catches_up_with_every_host(dashboard):
    for i in range(300):
        dashboard.post(f"/api/hosts/host-{i}/heartbeat", {"run": run_id(), "status": "running"})
    with ws.WebSocket(dashboard.url) as page:
        page.send({"op": "subscribe"})
        assert len(page.until("hosts")["hosts"]) == 300
        for phase in ("evaluating", "building", "switching"):  # the page does not read in between
            for host in dashboard.get("/api/hosts").json["hosts"]:
                dashboard.post(f"/api/hosts/{host['id']}/heartbeat", {"run": host["run"]["id"], "status": phase, "phase": phase})
        seen = {}
        while len(seen) < 300 or any(phase != "switching" for phase in seen.values()):
            for host in page.until("changed")["hosts"]:
                seen[host["id"]] = host["run"]["phase"]


def test_a_slow_page_gets_a_long_list_whole_and_its_lines(dashboard):
    runs = [run_id() for _ in range(64)]
    for i, run in enumerate(runs):
        dashboard.post(f"/api/hosts/long-{i}/heartbeat", {"run": run, "status": "running", "command": "x" * 30000})
    with ws.WebSocket(dashboard.url) as page:
        page.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        page.send({"op": "subscribe"})
        page.send({"op": "tail", "run": runs[0], "from": 0})
        dashboard.post("/api/hosts/long-0/logs", {"run": runs[0], "from": 0, "lines": ["one"]})
        listed, lines = {}, []
        while not listed or lines != ["one"]:  # the order does not matter
            message = page.receive()
            listed = {host["id"]: host for host in message["hosts"]} if message["type"] == "hosts" else listed
            lines = message["lines"] if message["type"] == "splice" else lines
        assert all(listed[f"long-{i}"]["run"]["id"] == run and len(listed[f"long-{i}"]["run"]["command"]) > 1000 for i, run in enumerate(runs))


def test_a_page_gets_the_progress_of_the_hosts_in_sight_and_the_states_of_all(dashboard):
    hosts = ["near", "far"]
    runs = {host: run_id() for host in hosts}

    def report(host, built, phase="building"):
        dashboard.post(f"/api/hosts/{host}/heartbeat",
                       {"run": runs[host], "status": phase, "phase": phase, "progress": {"built": built, "to_build": 99}})

    def changes_until(page, host, done):
        """All changes that the page gets, up to a change of this host for which `done` is true."""
        seen = []
        while True:
            for one in page.until("changed")["hosts"]:
                seen.append(one)
                if one["id"] == host and done(one["run"]):
                    return seen

    for host in hosts:
        report(host, 0)
    with ws.WebSocket(dashboard.url) as page:
        page.send({"op": "subscribe"})
        page.until("hosts")
        page.send({"op": "view", "hosts": ["near", "nobody"]})
        changes_until(page, "near", lambda run: True)  # sent because the host is now in view
        for built in range(1, 5):
            report("far", built)
            report("near", built)
        seen = changes_until(page, "near", lambda run: run["progress"]["built"] == 4)
        report("far", 5, "switching")
        seen += changes_until(page, "far", lambda run: run["phase"] == "switching")
        assert [one["run"]["phase"] for one in seen if one["id"] == "far"] == ["switching"]
        page.send({"op": "view", "hosts": ["far"]})  # the page gets the changes that it has missed
        changes_until(page, "far", lambda run: run["progress"]["built"] == 5)
        report("far", 6, "switching")
        changes_until(page, "far", lambda run: run["progress"]["built"] == 6)
        page.send({"op": "subscribe"})  # now changes of all hosts again
        page.until("hosts")
        report("near", 7)
        changes_until(page, "near", lambda run: run["progress"]["built"] == 7)


def test_a_host_that_began_before_the_page_said_its_view_is_on_the_page(dashboard):
    """Pages share a list that may be a second old. The new host makes progress, which is sent later; before that, the page sends its view."""
    def report(host, run, built):
        dashboard.post(f"/api/hosts/{host}/heartbeat", {"run": run, "status": "building", "phase": "building", "progress": {"built": built}})

    for turn in range(4):
        run, host = run_id(), f"begun-{turn}"
        with ws.WebSocket(dashboard.url) as page:
            page.send({"op": "subscribe"})
            page.until("hosts")
            report(host, run, 0)
            while host not in [one["id"] for one in page.until("changed")["hosts"]]:
                pass
        report(host, run, 1)
        time.sleep(0.03)  # now this progress is usually not sent yet; the test also works if it is
        with ws.WebSocket(dashboard.url) as page:
            page.send({"op": "subscribe"})
            seen = [one["id"] for one in page.until("hosts")["hosts"]]
            time.sleep(0.02)
            page.send({"op": "view", "hosts": []})
            while host not in seen:
                seen += [one["id"] for one in page.until("changed")["hosts"]]


def test_a_view_that_is_no_list_of_names_is_refused(dashboard):
    with ws.WebSocket(dashboard.url) as page:
        for wrong in ({"op": "view"}, {"op": "view", "hosts": "near"}, {"op": "view", "hosts": [1]}):
            page.send(wrong)
            page.until("error")


def test_a_removed_host_is_told_as_gone(dashboard):
    dashboard.post("/api/hosts/alpha/heartbeat", {"run": run_id(), "status": "finished", "exit": {"code": 0}})
    with ws.WebSocket(dashboard.url) as page:
        csrf = page.receive()["csrf"]
        page.send({"op": "subscribe"})
        page.until("hosts")
        assert dashboard.call("DELETE", "/api/hosts/alpha", token=None, headers={"X-CSRF-Token": csrf}).status == 200
        while "alpha" not in page.until("changed")["gone"]:
            pass
        dashboard.post("/api/hosts/alpha/heartbeat", {"run": run_id(), "status": "running"})
        while "alpha" not in [host["id"] for host in page.until("changed")["hosts"]]:
            pass


def test_progress_is_told_at_a_pace_and_its_last_word_always(dashboard):
    run = run_id()
    dashboard.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "building", "phase": "building"})
    with ws.WebSocket(dashboard.url) as page:
        page.send({"op": "subscribe"})
        page.until("hosts")
        start = time.monotonic()
        for built in range(1, 201):
            dashboard.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "building", "phase": "building",
                                                          "progress": {"built": built, "to_build": 200}})
        told = []
        while not told or told[-1] != 200:
            told += [host["run"]["progress"]["built"] for host in page.until("changed")["hosts"] if host["run"]["progress"]]
    assert told == sorted(told)
    assert len(told) <= 4 * (time.monotonic() - start) + 4  # four a second, also on a slow machine


def test_server_sent_events_go_on_where_the_last_one_ended(dashboard):
    run, other = run_id(), run_id()
    lines = [f"line {i}" for i in range(5000)]  # more than fit into one splice
    dashboard.post("/api/hosts/alpha/logs", {"run": run, "text": "\n".join(lines)})
    dashboard.post("/api/hosts/beta/logs", {"run": other, "lines": ["beta's"]})
    path = f"/api/events?runs={other},{run}"
    logs = {run: [], other: []}

    def take(events):
        event = events.next("splice")
        logs[json.loads(event["data"])["run"]] = spliced(logs[json.loads(event["data"])["run"]], event)
        return event["id"]

    with Events(dashboard, path) as events:
        while not logs[run]:
            last = take(events)
    assert 0 < len(logs[run]) < 5000  # cut off in the middle
    dashboard.post("/api/hosts/alpha/logs", {"run": run, "from": 100, "lines": ["rewritten", "end"]})
    with Events(dashboard, path, last) as events:
        while logs[run] != lines[:100] + ["rewritten", "end"]:
            last = take(events)
    with Events(dashboard, path, last) as events:  # nothing is sent twice
        dashboard.post("/api/hosts/alpha/logs", {"run": run, "lines": ["after"]})
        message = json.loads(events.next("splice")["data"])
    assert (message["run"], message["lines"]) == (run, ["after"])
    assert logs[other] == ["beta's"]


def test_a_listener_hears_of_the_run_and_of_hosts(dashboard):
    run = run_id()
    dashboard.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "running"})
    with Events(dashboard, f"/api/events?runs={run}") as events:
        assert json.loads(events.next("run")["data"])["run"]["id"] == run
        dashboard.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "building", "phase": "building"})
        assert json.loads(events.next("host_update")["data"])["host_id"] == "alpha"
        dashboard.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "finished", "exit": {"code": 0}})
        wait_for(lambda: json.loads(events.next("run")["data"])["run"]["status"] == "finished", what="the end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_ends_its_streams_and_exits_well(dashboard, number):
    run = run_id()
    dashboard.post("/api/hosts/alpha/logs", {"run": run, "lines": ["a line"]})
    with Events(dashboard, f"/api/events?runs={run}") as events, Events(dashboard, "/api/events") as quiet, ws.WebSocket(dashboard.url) as page:
        page.send({"op": "tail", "run": run, "from": 0})
        page.until("splice")
        assert events.next("splice") and quiet.next("connected")
        dashboard.process.send_signal(number)
        assert dashboard.process.wait(20) == 0
        with contextlib.suppress(OSError, http.client.HTTPException):  # the download may break off, but must end
            quiet.stream.read()


def test_a_server_that_is_stopped_answers_what_it_has_taken(tmp_path):
    """Many threads send batches while the dashboard ends. Afterwards it has the acknowledged batches, or one batch more."""
    with Dashboard(tmp_path / "data") as dashboard:
        runs = {run_id(): 0 for _ in range(8)}

        def write(run):
            with contextlib.suppress(OSError, http.client.HTTPException):
                while (answer := dashboard.post("/api/hosts/alpha/logs", {"run": run, "lines": ["x" * 100] * 50})).status == 200:
                    runs[run] = answer.json["next"]

        threads = [threading.Thread(target=write, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        wait_for(lambda: all(runs.values()))
        dashboard.process.terminate()
        assert dashboard.process.wait(20) == 0
        for thread in threads:
            thread.join(20)
        dashboard.start()
        for run, acknowledged in runs.items():
            assert dashboard.get(f"/api/hosts/alpha/runs/{run}").json["lines"] in (acknowledged, acknowledged + 50)


def test_one_host_is_read_with_its_history(dashboard):
    dashboard.post("/api/hosts/alpha/heartbeat", {"run": run_id(), "status": "running"})
    assert dashboard.get("/api/hosts/alpha").json["status_history"] == []
    assert dashboard.get("/api/hosts/nobody").status == 404
    assert dashboard.get("/api/hosts/alpha", token=TOKEN).json["state"] == "busy"
