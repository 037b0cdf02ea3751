"""Backup and restore while the dashboard works, and a database file that disappears."""
import shutil
import subprocess
import threading
import uuid

import pytest
from lib.dashserver import BIN, Dashboard, wait_for

pytestmark = pytest.mark.sqlite  # these tests replace the database file


def command(data, *words):
    return subprocess.run([BIN / "nixfleet-dashboard", "--data", data, "--config", "/dev/null", *words], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin"})


def post(dashboard, run, text):
    return dashboard.post("/api/hosts/box/logs", {"run": run, "lines": [text]})


def lines(dashboard, run):
    return dashboard.get(f"/api/hosts/box/runs/{run}/log").body.decode().splitlines()


def test_a_backup_is_made_and_restored_under_load(tmp_path):
    data, run = tmp_path / "data", str(uuid.uuid4())
    with Dashboard(data) as dashboard:
        stop, taken = threading.Event(), []

        def load():
            while not stop.is_set():
                assert post(dashboard, run, f"line {len(taken)}").status == 200
                taken.append(len(taken))

        writer = threading.Thread(target=load)
        writer.start()
        wait_for(lambda: len(taken) > 100)
        made = command(data, "backup", tmp_path / "backup.db")
        wait_for(lambda: len(taken) > 200)
        stop.set()
        writer.join()
        assert made.returncode == 0, made.stderr
        refused = command(data, "restore", tmp_path / "backup.db")
        assert refused.returncode == 1 and "uses this data directory" in refused.stderr
        dashboard.kill()  # leaves a write-ahead log, which must not be applied to the backup
        assert (data / "nixfleet.db-wal").stat().st_size > 0
        restored = command(data, "restore", tmp_path / "backup.db")
        assert restored.returncode == 0, restored.stderr
        kept = restored.stdout.split()[-1]
        dashboard.start()
        there = lines(dashboard, run)
        assert 100 <= len(there) <= len(taken) and there == [f"line {i}" for i in range(len(there))]
        assert post(dashboard, run, "after").status == 200
    with Dashboard(kept) as before:  # the old database is kept, and complete
        assert len(lines(before, run)) == len(taken)


def test_only_a_sound_backup_is_restored(tmp_path):
    data, run = tmp_path / "data", str(uuid.uuid4())
    with Dashboard(data) as dashboard:
        post(dashboard, run, "precious")
        assert command(data, "backup", tmp_path / "good.db").returncode == 0
    bad = {"missing": None, "empty": b"", "text": b"this is no database\n" * 500, "damaged": (tmp_path / "good.db").read_bytes()[:9000] + b"\xff" * 9000}
    for name, content in bad.items():
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        refused = command(data, "restore", file)
        assert refused.returncode == 1 and name in refused.stderr, (name, refused)
    assert [p.name for p in data.iterdir() if "before-restore" in p.name] == []
    with Dashboard(data) as dashboard:
        assert lines(dashboard, run) == ["precious"]


def test_a_restore_into_a_new_directory(tmp_path):
    data, run = tmp_path / "data", str(uuid.uuid4())
    with Dashboard(data) as dashboard:
        post(dashboard, run, "moved")
        assert command(data, "backup", tmp_path / "backup.db").returncode == 0
    assert command(tmp_path / "new", "restore", tmp_path / "backup.db").returncode == 0
    with Dashboard(tmp_path / "new") as dashboard:
        assert lines(dashboard, run) == ["moved"]


def test_nothing_is_acknowledged_once_the_database_is_gone(tmp_path):
    data, run = tmp_path / "data", str(uuid.uuid4())
    with Dashboard(data) as dashboard:
        assert post(dashboard, run, "one").status == 200
        shutil.move(data / "nixfleet.db", tmp_path / "elsewhere.db")
        answer = post(dashboard, run, "two")
        assert answer.status == 503 and answer.headers["Retry-After"]
        assert dashboard.get("/health").status == 503
        wait_for(lambda: "is gone" in dashboard.log, what="a line that says so")
        shutil.move(tmp_path / "elsewhere.db", data / "nixfleet.db")
        wait_for(lambda: post(dashboard, run, "three").status == 200, what="the database to be back")
