"""A run without a command: tests/tools/fakepump with the real helpers. The test writes the output."""
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))
BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", ROOT / "build"))
REPORT = BIN / "nixfleet-report"
PUMP = BUILD / "tools/fakepump"
TOKEN = "a-token-for-tests"


def environment(state, url, **extra):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NIXFLEET_")}
    kept.update(NIXFLEET_URL=url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_STATE_DIR=str(state), NIXFLEET_HOST="testhost",
                NIXFLEET_FLUSH_TIMEOUT="4", HOME=str(state), XDG_CONFIG_HOME=str(state))
    kept.update({key: str(value) for key, value in extra.items()})
    return kept


class HelperRun:
    """The run starts at once. write() adds output; finish() ends the run and returns what was printed on stderr."""
    def __init__(self, state, url, status=0, **extra):
        self.process = subprocess.Popen([PUMP, REPORT, str(status)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment(state, url, **extra))
        words = self.process.stdout.readline().split()
        self.id, self.shipper, self.heartbeat = words[0].decode(), int(words[1]), int(words[2])
        self.said = b""
        self.reader = threading.Thread(target=self.read_said, daemon=True)
        self.reader.start()

    def read_said(self):
        for line in self.process.stderr:
            self.said += line

    def write(self, text):
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        self.process.stdin.flush()

    def finish(self, timeout=40):
        self.process.stdin.close()
        self.process.wait(timeout)
        self.reader.join(5)
        return self.said.decode()

    def kill(self):
        """Kills the pump only; the helpers continue."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def behind(state):
    """The process ids of live helpers of this state directory. After a run has ended, these are the helpers that it left behind."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() in ("shipper", "heartbeat") and \
                    any(os.readlink(fd).startswith(f"{state}/") for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def nobody_behind(state, timeout=30):
    """Waits until no helper of this state directory is left."""
    end = time.monotonic() + timeout
    while behind(state):
        assert time.monotonic() < end, "a helper stays behind for too long"
        time.sleep(0.02)


def end_behind(state, timeout=30):
    """Ends the helpers that are left, as a service manager does. Sends the signal repeatedly: a helper that is just detaching from
    the run may miss the first signal."""
    end = time.monotonic() + timeout
    while left := behind(state):
        assert time.monotonic() < end, "a helper stays behind for too long"
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)


def flush(state, url, options=(), **extra):
    return subprocess.run([REPORT, "flush", "--flush", *options], env=environment(state, url, **extra), capture_output=True, text=True,
                          timeout=60, check=False)
