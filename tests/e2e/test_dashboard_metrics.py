"""/metrics, and the alert rules and filters that are shipped with it."""
import json
import pathlib
import re
import shutil
import subprocess
import uuid

import pytest
from lib.dashserver import TOKEN, Dashboard, wait_for
from lib.people import settings, sign_in

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (package prometheus)")


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("data")) as running:
        register(running, "alpha", current_generation="abc123")
        finish(running, "alpha", "switch", 0, "2026-11-01T10:00:00Z")
        finish(running, "alpha", "switch", 1, "2026-11-02T10:00:00Z")
        finish(running, "alpha", "pull", 0, "2026-11-03T10:00:00Z")
        running.post("/api/hosts/beta/heartbeat", {"run": str(uuid.uuid4()), "name": "test", "status": "building", "phase": "building"})
        running.post("/api/hosts/beta/heartbeat", {"run": str(uuid.uuid4()), "name": "update", "status": "running"})
        finish(running, "gamma", 'odd "name" \\ here', 0, "2026-11-03T10:00:00Z")
        yield running


def register(dashboard, host, **fields):
    assert dashboard.post(f"/api/hosts/{host}/register", dict({"hostname": host, "host_type": "nixos"}, **fields)).status == 200


def finish(dashboard, host, name, code, ended):
    answer = dashboard.post(f"/api/hosts/{host}/logs", {"run": str(uuid.uuid4()), "name": name, "lines": ["x"], "exit": {"code": code}, "started": ended, "ended": ended})
    assert answer.status == 200, answer.body


def metrics(dashboard):
    return dashboard.get("/metrics").body.decode()


def value(dashboard, sample):
    found = re.search("^" + re.escape(sample) + r" ([0-9.e+-]+)$", metrics(dashboard), re.MULTILINE)
    return float(found.group(1)) if found else None


@needs_promtool
def test_promtool_accepts_the_metrics(dashboard):
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics(dashboard), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_each_host_and_each_name_has_its_values(dashboard):
    for state in ("idle", "busy", "stale", "crashed", "offline"):
        assert value(dashboard, f'nixfleet_host_state{{host="beta",state="{state}"}}') == (state == "busy")
    assert value(dashboard, 'nixfleet_host_reachable{host="alpha"}') == 1
    assert value(dashboard, 'nixfleet_host_reachable{host="beta"}') is None  # it has no agent
    assert value(dashboard, 'nixfleet_host_failing{host="alpha"}') == 1  # the pull does not hide the switch
    assert value(dashboard, 'nixfleet_host_generation_info{host="alpha",generation="abc123"}') == 1
    success, failure = (value(dashboard, f'nixfleet_run_last_{kind}_timestamp_seconds{{host="alpha",name="switch"}}') for kind in ("success", "failure"))
    assert failure - success == 86400
    assert value(dashboard, 'nixfleet_host_last_switch_timestamp_seconds{host="alpha"}') == success
    assert value(dashboard, 'nixfleet_run_failing{host="alpha",name="switch"}') == 1 and value(dashboard, 'nixfleet_run_failing{host="alpha",name="pull"}') == 0
    assert value(dashboard, 'nixfleet_run_last_failure_timestamp_seconds{host="alpha",name="pull"}') is None
    assert r'name="odd \"name\" \\ here"' in metrics(dashboard)
    assert value(dashboard, "nixfleet_runs_open") == 2 and value(dashboard, "nixfleet_hosts") == 3


@needs_promtool
def test_the_alert_rules_are_in_order(tmp_path):
    done = subprocess.run([PROMTOOL, "check", "rules", str(ROOT / "dist/examples/nixfleet-alerts.yml")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "6 rules found" in done.stdout, done.stdout + done.stderr


@needs_promtool
def test_a_failed_switch_and_a_silent_agent_raise_an_alert(tmp_path):
    """The rules, on samples as the dashboard writes them."""
    (tmp_path / "test.yml").write_text(f"""
rule_files: [{ROOT}/dist/examples/nixfleet-alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'nixfleet_host_failing{{host="alpha"}}', values: '1x40'}}
      - {{series: 'nixfleet_host_reachable{{host="beta"}}', values: '0x40'}}
      - {{series: 'nixfleet_host_reachable{{host="gamma"}}', values: '1x40'}}
    alert_rule_test:
      - eval_time: 30m
        alertname: NixfleetHostFailing
        exp_alerts: [{{exp_labels: {{host: alpha, severity: warning}}, exp_annotations: {{summary: 'alpha: the last switch, or the last run, did not succeed.'}}}}]
      - eval_time: 30m
        alertname: NixfleetHostUnreachable
        exp_alerts: [{{exp_labels: {{host: beta, severity: warning}}, exp_annotations: {{summary: 'The agent of beta has not been heard.'}}}}]
""")
    done = subprocess.run([PROMTOOL, "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_panels_name_only_metrics_that_there_are(dashboard):
    known = set(re.findall(r"^# TYPE (\w+)", metrics(dashboard), re.MULTILINE))
    board = json.loads((ROOT / "dist/examples/nixfleet-grafana.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    expressions += re.findall(r"expr: (.*)", (ROOT / "dist/examples/nixfleet-alerts.yml").read_text())
    used = {name for expression in expressions for name in re.findall(r"\bnixfleet_\w+", expression)}
    assert len(board["panels"]) == 12 and len({panel["id"] for panel in board["panels"]}) == 12
    assert len(used) > 8 and used <= known, used - known


def test_the_fail2ban_filter_matches_what_is_logged_and_nothing_else(tmp_path):
    text = (ROOT / "dist/examples/nixfleet-fail2ban.conf").read_text()
    pattern = re.compile(re.search(r"^failregex = (.*)$", text, re.MULTILINE)[1].replace("<ADDR>", r"(?P<address>[0-9a-fA-F.:]+)"))
    with Dashboard(tmp_path, dev=False, NIXFLEET_TRUST_PROXY_HEADERS="1", **settings()) as dashboard:
        for address in ("203.0.113.1", "2001:db8::1"):
            sign_in(dashboard, "wrong", headers={"X-Forwarded-For": address})
            dashboard.get("/api/hosts", token="guessed", headers={"X-Forwarded-For": address})
        sign_in(dashboard, headers={"X-Forwarded-For": "203.0.113.2"})
        dashboard.post("/api/hosts/a/heartbeat", {}, token=TOKEN)
        wait_for(lambda: "signed in" in dashboard.log)
        lines = dashboard.log.splitlines()
    found = [pattern.match(line)["address"] for line in lines if pattern.match(line)]
    assert sorted(found) == ["2001:db8::1", "2001:db8::1", "203.0.113.1", "203.0.113.1"] and len(lines) == 6
    assert pattern.match("refused sign-in from 203.0.113.1: wrong password")  # without the program name, which the journal adds
