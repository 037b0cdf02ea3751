"""Damage of the database is found, told by host, run and lines, and never served as good data; the rest is served."""
import hashlib
import random
import re
import shutil
import sqlite3
import subprocess
import uuid

import pytest
from lib.dashserver import Dashboard, wait_for

pytestmark = pytest.mark.sqlite  # the file itself

RUNS = 20


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
                body = {"run": run, "from": at, "lines": lines[at:at + 50], **({"exit": {"code": 0}} if at == 150 else {})}
                assert dashboard.post(f"/api/hosts/{host}/logs", body).status == 200
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


def test_random_damage_is_never_served_as_good_data(tmp_path, good):
    data, runs = good
    size = (data / "nixfleet.db").stat().st_size
    luck = random.Random(20261201)
    altered = 0
    for _ in range(40):
        at, count = luck.randrange(size), luck.choice([1, 1, 16, 512])
        noise = luck.randbytes(count)

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
            for i, (host, run) in enumerate(runs):
                answer = server.get(f"/api/hosts/{host}/runs/{run}/log")
                if answer.status == 200 and answer.body.decode("utf-8", "replace").splitlines() != lines_of(i):
                    altered += 1
                    assert server.log.strip(), (at, noise, run)
            assert server.process.poll() is None
    assert altered > 0  # some of it hit text


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
