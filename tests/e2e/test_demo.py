"""make demo: what the demo shows, and that it leaves no process or file, whatever ends it."""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not all((ROOT / p).exists() for p in ("nixfleet-run", "nixfleet-report", "nixfleet-dashboard")),
                                reason="the programs are not built here")


@pytest.fixture
def environment(tmp_path):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_") or k == "NIXFLEET_TEST_PROGRAM"}
    clean.pop("CI", None)  # with CI set, the demo asks no questions
    clean.pop("CMD", None)
    return dict(clean, TMPDIR=str(tmp_path), DEMO_STEP_SECONDS="0.01")


def processes_with(path):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(path).encode() in (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_bytes())
        except OSError:
            pass
    return found


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def assert_nothing_left(tmp_path):
    wait_until(lambda: not processes_with(tmp_path), 5)
    assert list(tmp_path.iterdir()) == []


def demo(environment, **extra):
    return subprocess.run([ROOT / "scripts/demo"], env=dict(environment, **extra), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120)


def test_without_a_terminal_it_shows_a_command_and_ends_by_itself(environment, tmp_path):
    result = demo(environment, CMD="echo from the demo; exit 3")
    assert result.returncode == 3
    assert "from the demo\n" in result.stdout
    assert re.search(r"http://127\.0\.0\.1:\d+/", result.stdout)
    # If the machine is busy for a second, the dashboard answers after the demo's short timeout, and the demo reports that.
    assert [line for line in result.stderr.splitlines() if "output is undelivered (no answer in time)" not in line] == []
    assert_nothing_left(tmp_path)


@pytest.mark.skipif(not shutil.which("nix"), reason="nix is not installed")
def test_the_build_fails_once_and_then_succeeds(environment, tmp_path):
    result = demo(environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "test_reconnect ... FAILED" in result.stdout + result.stderr
    assert "test_reconnect ... ok" in result.stdout + result.stderr
    assert_nothing_left(tmp_path)


def in_terminal(environment, act, **extra):
    """Runs the demo in a terminal of its own; act(master, seen) is called until it returns True."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(ROOT / "scripts/demo", ["demo"], dict(environment, TERM="xterm", **extra))
    seen, done, deadline = b"", False, time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, seen.decode("utf-8", "replace")
        try:
            if select.select([master], [], [], 0.05)[0]:
                seen += os.read(master, 65536)
            done = done or act(master, seen, pid)
        except OSError:
            break
    os.close(master)
    return os.waitpid(pid, 0)[1], seen


def test_ctrl_c_leaves_cleanly_before_during_and_after_the_run(environment, tmp_path):
    for word, extra in ((b"Enter starts", {"CMD": "true"}), (b"it runs: 42", {"CMD": "echo it runs: $((6*7)); exec sleep 600"}),
                        (b"until Enter or Ctrl-C", {"CMD": "echo done"})):
        started = []

        def act(master, seen, pid, word=word, started=started):
            if word != b"Enter starts" and b"Enter starts" in seen and not started:
                started.append(True)
                os.write(master, b"\n")
            if word not in seen:
                return False
            os.write(master, b"\x03")
            return True

        status, seen = in_terminal(environment, act, **extra)
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 130, (word, status, seen)
        assert_nothing_left(tmp_path)


def test_a_terminal_that_goes_away_takes_everything_with_it(environment, tmp_path):
    def act(master, seen, pid):
        if b"Enter starts" not in seen:
            return False
        os.kill(pid, signal.SIGHUP)
        return True

    in_terminal(environment, act, CMD="true")
    assert_nothing_left(tmp_path)
