"""The dashboard finds damage of the database, reports the damaged host, run and lines, never serves damaged data as good data,
and serves the rest."""
import contextlib
import hashlib
import random
import re
import shutil
import sqlite3
import subprocess
import uuid

import pytest
from lib import people
from lib.dashserver import Dashboard, row_sum, wait_for

pytestmark = pytest.mark.sqlite  # these tests damage the database file

RUNS = 20
END = {"exit": {"code": 0}, "changes": [{"profile": "system"}],
       "derivations": [{"n": n, "name": name, "state": "built"} for n, name in enumerate("abc")]}


def lines_of(i):
    return [f"run {i} line {j} {hashlib.md5(b'%d.%d' % (i, j)).hexdigest()}" for j in range(200)]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    data = tmp_path_factory.mktemp("good") / "data"
    runs = [(f"h{i % 5}", str(uuid.UUID(int=i + 1, version=4))) for i in range(RUNS)]
    with Dashboard(data) as dashboard:
        for i, (host, run) in enumerate(runs):
            lines = lines_of(i)
            for at in range(0, 200, 50):
                body = {"run": run, "from": at, "lines": lines[at:at + 50], "command": f"make {i}", **(END if at == 150 else {})}
                assert dashboard.post(f"/api/hosts/{host}/logs", body).status == 200
        for i in range(5):
            assert dashboard.post(f"/api/hosts/h{i}/register", {"hostname": f"h{i}", "host_type": "nixos", "comment": f"comment {i}"}).status == 200
            assert dashboard.post(f"/api/hosts/h{i}/status", {"status": "ok", "output": f"output {i}\n" * 20}).status == 200
        dashboard.process.terminate()
        dashboard.process.wait(20)
    return data, runs


def served(tmp_path, good, damage):
    """A dashboard on a damaged copy of the data."""
    data = tmp_path / "data"
    if data.exists():
        shutil.rmtree(data)
    shutil.copytree(good, data)
    damage(data / "nixfleet.db")
    return Dashboard(data)


def change(statement, *arguments):
    def damage(path):
        db = sqlite3.connect(path)
        with db:
            assert db.execute(statement, arguments).rowcount == 1
        db.close()
    return damage


DAMAGES = {
    "text": ("UPDATE chunks SET text=replace(text,'line 60','line 61') WHERE run=3 AND first=50", 51, 100),
    "one letter": ("UPDATE chunks SET text=upper(substr(text,1,1))||substr(text,2) WHERE run=3 AND first=150", 151, 200),
    "count": ("UPDATE chunks SET count=49 WHERE run=3 AND first=50", 51, 100),
    "a large count": ("UPDATE chunks SET count=1000000000 WHERE run=3 AND first=50", 51, 100),
    "a chunk that is gone": ("DELETE FROM chunks WHERE run=3 AND first=100", 101, 150),
    "the last chunk is gone": ("DELETE FROM chunks WHERE run=3 AND first=150", 151, 200),
    "the first chunk is gone": ("DELETE FROM chunks WHERE run=3 AND first=0", 1, 50),
    "text that is null": ("UPDATE chunks SET text=NULL WHERE run=3 AND first=50", 51, 100),
    "of another run": ("UPDATE chunks SET run=4, first=200 WHERE run=3 AND first=100", 101, 150),
}


@pytest.mark.parametrize("which", DAMAGES)
def test_damaged_lines_are_told_and_the_rest_is_served(tmp_path, good, which):
    statement, first, last = DAMAGES[which]
    data, runs = good
    host, run = runs[2]
    with served(tmp_path, data, change(statement)) as server:
        log = server.get(f"/api/hosts/{host}/runs/{run}/log")
        assert log.status == 200
        expected = [line if not first <= i + 1 <= last else "[this line is damaged in the dashboard's store]" for i, line in enumerate(lines_of(2))]
        assert log.body.decode().splitlines() == expected
        assert f"damaged: host {host}, run {run}, lines {first} to {last}" in server.log
        window = server.get(f"/api/hosts/{host}/runs/{run}/lines?from={first - 1}&limit=3").json
        assert window["lines"][0] == expected[first - 1]
        other_host, other = runs[7]
        assert server.get(f"/api/hosts/{other_host}/runs/{other}/log").body.decode().splitlines() == lines_of(7)
        assert server.get("/health").status == 503 and "damaged" in server.get("/health").body.decode()


def test_the_check_in_the_background_finds_what_nobody_reads(tmp_path, good):
    data, runs = good
    with served(tmp_path, data, change("UPDATE chunks SET text='x' WHERE run=5 AND first=0")) as server:
        wait_for(lambda: f"run {runs[4][1]}, lines 1 to 50" in server.log, what="the background check")


def test_wrong_times_cost_the_times_and_not_the_lines(tmp_path, good):
    data, runs = good
    with served(tmp_path, data, change("UPDATE chunks SET times='[[50,1]]' WHERE run=3 AND first=50")) as server:
        assert server.get(f"/api/hosts/{runs[2][0]}/runs/{runs[2][1]}/log").body.decode().splitlines() == lines_of(2)
        assert "damaged" in server.log


ROWS = {
    "a command": ("UPDATE runs SET command='reboot' WHERE k=3", "a row of runs (h2, {run})"),
    "an exit status": ("UPDATE runs SET outcome='failure' WHERE k=3", "a row of runs (h2, {run})"),
    "a time": ("UPDATE runs SET started=started-1000 WHERE k=3", "a row of runs (h2, {run})"),
    "a lost checksum": ("UPDATE runs SET sum=NULL WHERE k=3", "a row of runs (h2, {run})"),
    "a host's comment": ("UPDATE hosts SET comment='all well' WHERE id='h2'", "a row of hosts (h2)"),
    "a verdict": ("UPDATE verdicts SET outcome='failure' WHERE host='h2'", "a row of verdicts (h2)"),
    "a derivation": ("UPDATE derivations SET state='failed' WHERE run=3 AND n=1", "a row of derivations (3, b)"),
    "what changed": ("UPDATE run_changes SET text='[]' WHERE run=3", "a row of run_changes (3)"),
    "history": ("UPDATE history SET message='Switched' WHERE host='h2'", "a row of history (h2, Switched)"),
}


@pytest.mark.parametrize("which", ROWS)
def test_a_damaged_row_is_told_and_not_served(tmp_path, good, which):
    statement, told = ROWS[which]
    data, runs = good
    with served(tmp_path, data, change(statement)) as server:
        wait_for(lambda: "damaged: " + told.format(run=runs[2][1]) in server.log, what="the background check")
        assert server.get("/health").status == 503
        body = b"".join(server.get(path).body for path in all_paths(runs))
        assert not any(word in body for word in (b"reboot", b"all well", b'"failure"', b'"state":"failed"', b"Switched"))
        assert server.get(f"/api/hosts/{runs[7][0]}/runs/{runs[7][1]}").json["command"] == "make 7", "the rest is not served"


def damage_each_table(path):
    """Changes a field of a row in each table, and returns the tables. Lines have their own checksums."""
    db = sqlite3.connect(path)
    tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type='table' AND name<>'chunks'")]
    with contextlib.closing(db), db:
        for table in tables:
            columns = [f'"{row[1]}"' for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "sum"]
            read = "SELECT sum, " + ",".join(columns) + f" FROM {table}"
            if not list(db.execute(read)):
                db.execute(f"INSERT INTO {table}({','.join(columns)}) VALUES({','.join('1' * len(columns))})")
                db.execute(f"UPDATE {table} SET sum=?", (row_sum(*db.execute(read).fetchone()[1:]),))
            assert all(total == row_sum(*values) for total, *values in db.execute(read)), f"a column of {table} has no checksum"
            assert db.execute(f"UPDATE {table} SET {columns[-1]}=99").rowcount >= 1
    return tables


def test_the_check_in_the_background_finds_damage_in_every_table(tmp_path, good):
    tables = []
    with served(tmp_path, good[0], lambda path: tables.extend(damage_each_table(path))) as server:
        wait_for(lambda: all(f"damaged: a row of {table} " in server.log for table in tables), what="a word about each of " + ", ".join(tables))


def test_a_damaged_row_stays_damaged_when_another_part_changes(tmp_path, good):
    data, _ = good
    with served(tmp_path, data, change("UPDATE hosts SET comment='all well' WHERE id='h2'")) as server:
        assert server.post("/api/hosts/h2/heartbeat", {}).status == 200
        assert "h2" not in [host["id"] for host in server.get("/api/hosts").json["hosts"]]
        assert server.get("/api/hosts/h2").status == 404


def test_the_writer_copies_no_damage_into_another_row(tmp_path, good):
    """Two actions copy data that the writer thread has read: handing a pending command to an agent, and making a verdict from a run's end."""
    data, runs = good
    host, run = runs[2]
    with served(tmp_path, data, lambda path: None) as server:
        csrf = {"X-CSRF-Token": server.csrf()}
        assert server.call("POST", "/api/hosts/h1/command", {"command": "pull"}, token=None, headers=csrf).status == 200
        live = str(uuid.uuid4())
        for name in ("switch", "pull"):
            server.post(f"/api/hosts/{host}/heartbeat", {"run": live, "status": "building", "name": name})
        server.kill()
        change("UPDATE hosts SET pending_command='switch' WHERE id='h1'")(tmp_path / "data/nixfleet.db")
        change("UPDATE runs SET name='switch', error='forged' WHERE id=?", live)(tmp_path / "data/nixfleet.db")
        server.start()
        assert server.get("/api/hosts/h1/poll").json["command"] is None
        assert server.post(f"/api/hosts/{host}/logs", {"run": live, "lines": ["x"], "exit": {"code": 1}}).status == 503  # so the host keeps it
        assert server.post(f"/api/hosts/{host}/heartbeat", {"run": live, "status": "lost"}).status == 503
        assert b"forged" not in b"".join(server.get(path).body for path in all_paths(runs))
        assert server.post("/api/hosts/h3/logs", {"lines": ["others go on"], "exit": {"code": 0}}).status == 200


def test_a_damaged_session_signs_out_and_no_more(tmp_path):
    with Dashboard(tmp_path / "data", dev=False, **people.settings()) as server:
        cookies = [people.cookie_of(people.sign_in(server)) for _ in range(2)]
        server.kill()
        change("UPDATE sessions SET expires=expires+86400000 WHERE token_hash=(SELECT min(token_hash) FROM sessions)")(tmp_path / "data/nixfleet.db")
        server.start()
        assert sorted(server.get("/api/session", token=None, headers=cookie).status for cookie in cookies) == [200, 401]
        assert "damaged: a row of sessions" in server.log


@pytest.mark.parametrize("statement", ["UPDATE kv SET value=1 WHERE name='version'", "DELETE FROM kv WHERE name='version'"])
def test_readers_miss_nothing_when_the_number_of_the_last_change_is_damaged(tmp_path, good, statement):
    data, runs = good
    with served(tmp_path, data, lambda path: None) as server:
        path = f"/api/hosts/h0/logs?run={runs[0][1]}&since="
        before = server.get(path + "0").json["next"]
        server.kill()
        change(statement)(tmp_path / "data/nixfleet.db")
        server.start()
        server.post("/api/hosts/h0/logs", {"run": runs[0][1], "lines": ["more"]})
        assert server.get(path + before).json["lines"] == ["more"]


def test_what_is_not_found_is_not_damaged(tmp_path, good):
    """SQLite may compute the checksum of a row with the value of the WHERE clause in place of the stored value."""
    data, runs = good
    with served(tmp_path, data, lambda path: None) as server:
        host, run = runs[0]
        assert server.post(f"/api/hosts/{host}/logs", {"lines": []}, token="wrong").status == 401
        assert server.get(f"/api/hosts/h4/runs/{run}").status == 404
        assert server.call("DELETE", f"/api/hosts/{host}/runs/{run}", token=None, headers={"X-CSRF-Token": server.csrf()}).status == 200
        assert server.get(f"/api/hosts/{host}/runs/{run}").status == 404
        served_data(server, runs)
        assert server.get("/health").status == 200 and "damaged" not in server.log


VOLATILE = ("online", "state", "state_since", "silent_for", "reachable", "downloaded")


def all_paths(runs):
    """Every call that serves stored data."""
    of_hosts = [f"/api/hosts/h{i}{path}" for i in range(5) for path in ("", "/runs", "/logs", "/logs/download?format=json")]
    of_runs = [f"/api/hosts/{host}/runs/{run}{path}" for host, run in runs for path in ("", "/log", "/derivations", "/changes")]
    return ["/api/hosts", "/api/runs", *of_hosts, *of_runs]


def without_volatile(value):
    if isinstance(value, dict):
        return {key: without_volatile(member) for key, member in value.items() if key not in VOLATILE}
    return [without_volatile(entry) for entry in value] if isinstance(value, list) else value


def served_data(server, runs):
    answers = {path: server.get(path) for path in all_paths(runs)}
    return {path: answer.body if path.endswith("/log") else without_volatile(answer.json) for path, answer in answers.items() if answer.status == 200}


def test_random_damage_is_never_served_as_good_data(tmp_path, good):
    data, runs = good
    with served(tmp_path, data, lambda path: None) as server:
        right = served_data(server, runs)
    size, luck, altered = (data / "nixfleet.db").stat().st_size, random.Random(91), 0
    for _ in range(60):
        at, noise = luck.randrange(size), luck.randbytes(luck.choice([1, 1, 16, 512]))

        def damage(path, at=at, noise=noise):
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(noise)

        try:
            server = served(tmp_path, data, damage)
        except RuntimeError as refused:
            assert re.search("damaged|malformed|not a database", str(refused)), refused
            continue
        with server:
            if any(answer != right[path] for path, answer in served_data(server, runs).items()):
                altered += 1
                assert "damaged: " in server.log, (at, noise)
                assert server.get("/health").status == 503
    assert altered > 0


def test_a_download_that_cannot_go_on_ends_with_an_error(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        run, at = str(uuid.uuid4()), 0
        while at < 20_000:
            at = dashboard.post("/api/hosts/box/logs", {"run": run, "from": at, "text": "\n".join(["x" * 400] * 2000)}).json["next"]
        whole = subprocess.run(["curl", "-sf", f"{dashboard.url}/api/hosts/box/runs/{run}/log"], capture_output=True, timeout=60, check=True)
        assert whole.stdout.count(b"\n") == 20_000
        slow = subprocess.Popen(["curl", "-sf", "--limit-rate", "500k", f"{dashboard.url}/api/hosts/box/runs/{run}/log"], stdout=subprocess.PIPE)
        assert slow.stdout.read(1000)
        assert dashboard.call("DELETE", f"/api/hosts/box/runs/{run}", token=None, headers={"X-CSRF-Token": dashboard.csrf()}).status == 200
        slow.stdout.read()
        assert slow.wait(60) == 18
