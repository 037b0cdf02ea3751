"""nixfleet-dashboard copy: copies a whole store between SQLite and PostgreSQL, in both directions, also when the copy is interrupted."""
import re
import subprocess
import uuid

import pytest
from lib.dashserver import BIN, Dashboard, wait_for
from lib.postgres import Postgres

pytestmark = pytest.mark.sqlite  # each test uses both SQLite and PostgreSQL, so one pass is enough


@pytest.fixture(scope="module", name="server")
def a_server():
    with Postgres() as server:
        yield server


def copy(source, target, **keywords):
    return subprocess.run([str(BIN / "nixfleet-dashboard"), "copy", str(source), str(target)], capture_output=True, text=True, timeout=120, **keywords)


def fill(dashboard, hosts=6, runs=3, lines=40):
    """Runs with lines of many kinds, verdicts, derivations, changes, commands and history."""
    for h in range(hosts):
        host = f"host-{h}"
        assert dashboard.get(f"/api/hosts/{host}/poll").status == 200
        for r in range(runs):
            run = str(uuid.uuid4())
            body = {"run": run, "name": f"name-{r}", "argv": ["nixos-rebuild", "switch", "é"], "lines": [f"line {i} é\t\033[31mred\033[0m" for i in range(lines)],
                    "derivations": [{"n": 1, "name": "hello-1.0", "state": "built", "line": 0, "lines": 3}],
                    "build_logs": [{"n": 1, "from": 0, "text": "a\nb"}, {"n": 1, "from": 9, "text": "\u00e9"}], "changes": [{"profile": "system"}]}
            assert dashboard.post(f"/api/hosts/{host}/logs", body).status == 200
            assert dashboard.post(f"/api/hosts/{host}/logs", {"run": run, "lines": ["a\\b", ""], "skipped": 3, "exit": {"code": r % 2}, "outcome": "failure"}).status == 200
    csrf = {"X-CSRF-Token": dashboard.csrf()}
    assert dashboard.post("/api/hosts/host-0/command", {"command": "pull"}, headers=csrf).status == 200
    assert dashboard.call("PATCH", f"/api/hosts/host-{hosts - 1}", {"comment": "of a person"}, headers=csrf).status == 200


def seen(dashboard):
    """All data that the API serves, without values that change with the clock alone."""
    pages = {}
    for host in dashboard.get("/api/hosts").json["hosts"]:
        name = host["id"]
        for path in ("", "/runs"):
            pages[name + path] = dashboard.get(f"/api/hosts/{name}{path}").json
        for run in pages[name + "/runs"]["runs"]:
            for path in ("", "/log", "/derivations", "/derivations/1/log", "/changes", "/lines"):
                answer = dashboard.get(f"/api/hosts/{name}/runs/{run['id']}{path}")
                pages[f"{name}/{run['id']}{path}"] = (answer.status, answer.body)
    return repr(pages)


def same(value):
    """Removes times that the server computes from the clock."""
    return re.sub(r"'?\"?(now|since|silent_for|age)\"?'?: ?[^,}]*", "", value)


def test_there_and_back_all_is_the_same_and_goes_on(tmp_path, server):
    url = server.database()
    with Dashboard(tmp_path / "one") as dashboard:
        fill(dashboard)
        before = seen(dashboard)
        dashboard.process.terminate()
        dashboard.process.wait(30)
    done = copy(tmp_path / "one", url)
    assert done.returncode == 0, done.stderr
    assert "hosts: 6 rows, the same in both" in done.stdout and "runs: 18 rows" in done.stdout
    with Dashboard(tmp_path / "other", NIXFLEET_STORE=url) as dashboard:
        assert same(seen(dashboard)) == same(before)
        run = str(uuid.uuid4())
        assert dashboard.post("/api/hosts/host-0/logs", {"run": run, "lines": ["after the copy"]}).status == 200
        first = dashboard.get("/api/hosts/host-0/runs").json["runs"]
        assert first[0]["id"] == run
        grown = seen(dashboard)
    done = copy(url, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    with Dashboard(tmp_path / "two") as dashboard:
        assert same(seen(dashboard)) == same(grown)
        assert dashboard.post("/api/hosts/host-0/logs", {"run": run, "from": 1, "lines": ["and back"]}).json["next"] == 2


def test_a_copy_that_is_killed_goes_on_and_no_server_uses_it_before(tmp_path, server):
    with Dashboard(tmp_path / "one") as dashboard:
        fill(dashboard, hosts=3)
        run = str(uuid.uuid4())
        for i in range(60):
            assert dashboard.post("/api/hosts/host-0/logs", {"run": run, "from": i * 2000, "lines": [f"{i}:{n} " + "x" * 60 for n in range(2000)]}).status == 200
        before = seen(dashboard)
        dashboard.process.terminate()
        dashboard.process.wait(30)
    url = server.database()
    copying = subprocess.Popen([str(BIN / "nixfleet-dashboard"), "copy", str(tmp_path / "one"), url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: server.sql("SELECT count(to_regclass('chunks'))") == "1" and int(server.sql("SELECT count(*) FROM chunks")) > 0, what="chunks that are there")
    copying.kill()
    copying.wait()
    there = int(server.sql("SELECT count(*) FROM chunks"))
    if server.sql("SELECT count(*) FROM kv WHERE name='copying'") == "1":
        with pytest.raises(RuntimeError, match="not whole"):
            Dashboard(tmp_path / "other", NIXFLEET_STORE=url)
        wait_for(lambda: server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nixfleet-dashboard%'") == "0", what="the end of its session")
        done = copy(tmp_path / "one", url)
        assert done.returncode == 0, done.stderr
    assert 0 < there <= int(server.sql("SELECT count(*) FROM chunks"))
    with Dashboard(tmp_path / "other", NIXFLEET_STORE=url) as dashboard:
        assert same(seen(dashboard)) == same(before)


def test_what_has_data_already_is_not_written_to(tmp_path, server):
    url = server.database()
    for place in (tmp_path / "one", tmp_path / "two"):
        with Dashboard(place) as dashboard:
            fill(dashboard, hosts=1)
    done = copy(tmp_path / "one", tmp_path / "two")
    assert done.returncode == 1 and "data already" in done.stderr
    assert copy(tmp_path / "none", url).returncode == 1
    assert not (tmp_path / "none").exists()


def test_a_directory_that_a_server_uses_is_not_copied(tmp_path, server):
    with Dashboard(tmp_path / "one"):
        done = copy(tmp_path / "one", server.database())
        assert done.returncode == 1 and "uses this data directory" in done.stderr


def test_a_copy_that_differs_is_told(tmp_path, server):
    """A row that was already copied is changed before the copy continues."""
    url = server.database()
    with Dashboard(tmp_path / "one") as dashboard:
        fill(dashboard, hosts=2)
        dashboard.process.terminate()
        dashboard.process.wait(30)
    assert copy(tmp_path / "one", url).returncode == 0
    server.sql("UPDATE hosts SET comment='another' WHERE id='host-1'")
    server.sql("INSERT INTO kv(name, value) VALUES('copying',1)")
    done = copy(tmp_path / "one", url)
    assert done.returncode == 1 and "hosts is not the same in both" in done.stderr
