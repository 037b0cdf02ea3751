"""Acknowledged data is kept when the dashboard is killed, and when the disk fails or is full."""
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid

import pytest
from lib.dashserver import Dashboard, wait_for
from lib.writers import Writer, logs, whole

KILLS = int(os.environ.get("NIXFLEET_TEST_KILLS", "200"))
SECONDS = float(os.environ.get("NIXFLEET_TEST_KILL_SECONDS", "25"))


def test_every_acknowledged_line_survives_hundreds_of_kills_under_load(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        writers = [Writer(dashboard, i) for i in range(4)]
        for writer in writers:
            writer.start()
        chance, kills, end = random.Random(5), 0, time.monotonic() + SECONDS
        while kills < KILLS and time.monotonic() < end:
            time.sleep(chance.random() * 0.08)
            before = [writer.acked for writer in writers]
            dashboard.kill()
            kills += 1
            dashboard.start()
            if kills % 20 == 0:
                for writer, acked in zip(writers, before):
                    assert acked == 0 or whole(dashboard, writer.host, writer.run_id).startswith("".join(f"line {i}\n" for i in range(acked)))
        for writer in writers:
            writer.stopping = True
        for writer in writers:
            writer.join()
            assert writer.problem is None
            stored = whole(dashboard, writer.host, writer.run_id).split()[1::2]
            assert stored == [str(i) for i in range(len(stored))] and writer.acked <= len(stored) <= writer.acked + 40
        assert kills >= min(KILLS, 20) and sum(writer.acked for writer in writers) > kills
        assert dashboard.get("/health", token=None).status == 200


def traceable():
    return shutil.which("strace") and subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0


class Traced(Dashboard):
    """A dashboard under strace: self.trace has the system calls for durability, in order. inject: faults, in the syntax of strace -e inject."""

    def __init__(self, data, trace, *inject):
        self.trace, self.inject = trace, inject
        super().__init__(data)

    def start(self):
        plain = self.command
        self.command = ["strace", "-f", "-y", "-o", str(self.trace), "-e", "trace=fdatasync,fsync,pwrite64,sendto,sendmsg,writev,write"]
        for fault in self.inject:
            self.command += ["-e", "inject=" + fault]
        self.command += plain
        super().start()
        self.command = plain

    def server_pid(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def kill(self):  # killing only strace leaves the server running
        try:
            os.kill(self.server_pid(), signal.SIGKILL)
        except (OSError, IndexError):
            pass
        super().kill()


@pytest.mark.sqlite
@pytest.mark.skipif(not traceable(), reason="no strace, or tracing is not permitted")
def test_the_answer_is_sent_after_the_disk_has_what_it_acknowledges(tmp_path):
    trace = tmp_path / "trace"
    with Traced(tmp_path / "data", trace) as dashboard:
        for i in range(20):
            assert dashboard.post(logs("alpha"), {"lines": [f"line {i}"]}).status == 200
    calls = trace.read_text(errors="replace").splitlines()
    unsynced, answers = 0, 0
    for call in calls:
        if "resumed" in call and "fdatasync" not in call and "fsync" not in call:
            continue
        if re.search(r"pwrite64\(\d+<[^>]*nixfleet\.db-wal>", call):
            unsynced += 1
        elif re.search(r"f(data)?sync(\(\d+<[^>]*nixfleet\.db-wal>| resumed).*= 0", call):
            unsynced = 0
        elif "HTTP/1.1 200" in call and "next" in call:
            answers += 1
            assert unsynced == 0, call
    assert answers == 20, "\n".join(calls[-20:])
    assert len([c for c in calls if re.search(r"f(data)?sync(\(\d+<[^>]*nixfleet\.db-wal>| resumed)", c)]) >= 20


@pytest.mark.sqlite
@pytest.mark.skipif(not traceable(), reason="no strace, or tracing is not permitted")
def test_a_disk_that_cannot_sync_is_never_acknowledged(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        run = dashboard.post(logs("alpha"), {"lines": ["before"]}) and dashboard.get("/api/hosts/alpha/runs").json["runs"][0]["id"]
    with Traced(tmp_path / "data", tmp_path / "trace", "fdatasync:error=EIO:when=1+", "fsync:error=EIO:when=1+") as dashboard:
        for _ in range(5):
            answer = dashboard.post(logs("alpha"), {"run": run, "from": 1, "lines": ["lost?"]})
            assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
        assert dashboard.get("/health", token=None).status == 503
    with Dashboard(tmp_path / "data") as dashboard:
        assert dashboard.post(logs("alpha"), {"run": run, "from": 1, "lines": ["after"]}).json["next"] == 2
        assert whole(dashboard, "alpha", run) == "before\nafter\n"


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.sqlite
def test_a_full_disk_refuses_says_so_and_recovers_without_a_restart(small_disk):
    with Dashboard(small_disk / "data") as dashboard:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"b" * 1_500_000)
        run, acked, line = str(uuid.uuid4()), 0, "x" * 500
        wanted = []
        for _ in range(400):
            batch = [f"{acked + i} {line}" for i in range(40)]
            answer = dashboard.post(logs("alpha"), {"run": run, "from": acked, "lines": batch})
            if answer.status != 200:
                break
            wanted += batch
            acked = answer.json["next"]
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0 and acked > 0
        assert dashboard.get("/health", token=None).status == 503
        assert whole(dashboard, "alpha", run).splitlines() == wanted  # stored data can still be read
        ballast.unlink()
        wait_for(lambda: dashboard.post(logs("alpha"), {"run": run, "from": acked, "lines": ["room again"]}).status == 200)
        wanted.append("room again")
        assert whole(dashboard, "alpha", run).splitlines() == wanted
        wait_for(lambda: dashboard.get("/health", token=None).status == 200, "health")
        dashboard.kill()
        dashboard.start()
        assert whole(dashboard, "alpha", run).splitlines() == wanted


def test_ingest_goes_on_while_many_try_to_sign_in(tmp_path):
    """bcrypt is slow on purpose: people who guess passwords must not delay the hosts."""
    hashed = subprocess.run([*Dashboard.__init__.__globals__["BIN"].glob("nixfleet-dashboard"), "hash-password"], input="right\n", text=True,
                            capture_output=True, check=True).stdout.strip()
    with Dashboard(tmp_path / "data", dev=False, NIXFLEET_PASSWORD_HASH=hashed, NIXFLEET_SESSION_SECRETS="s" * 40, NIXFLEET_DEV_MODE="1",
                   NIXFLEET_AGENT_TOKEN_HASH_SECRET="h" * 40, NIXFLEET_TRUST_PROXY_HEADERS="1", NIXFLEET_TRUSTED_PROXY_IPS="127.0.0.1") as dashboard:
        stop = threading.Event()
        tried = []

        def guess(number):
            while not stop.is_set():
                answer = dashboard.call("POST", "/login", token=None, raw=b"password=wrong",
                                        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": f"10.0.{number}.{len(tried) % 250}"})
                tried.append(answer.status)

        guessers = [threading.Thread(target=guess, args=(i,), daemon=True) for i in range(12)]
        for guesser in guessers:
            guesser.start()
        wait_for(lambda: len(tried) > 12, seconds=120)  # bcrypt, on a machine that may be busy
        before = len(tried)
        for i in range(40):
            assert dashboard.post(logs("alpha"), {"lines": [f"line {i}"]}).status == 200
        meanwhile = len(tried) - before
        stop.set()
        for guesser in guessers:
            guesser.join()
        assert meanwhile < 40  # if batches waited for password checks, each batch would wait for several
