"""Runs nixfleet-run as its callers do: with pipes and files, and under a real pseudo-terminal.

    done = run("sh", "-c", "echo hi")               # stdin, stdout and stderr are no terminal
    with Terminal("vim", "file") as terminal:       # all three are a terminal
        terminal.until("file")
        terminal.type(":q\\r")
        assert terminal.wait() == 0

Every wait is for a condition, with a timeout that is long enough for a busy machine."""
import array
import contextlib
import errno
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))
RUN = str(BIN / "nixfleet-run")
# For programs that are traced or change their user: a leak checker cannot work in them.
NO_LEAK_CHECK = {"ASAN_OPTIONS": "detect_leaks=0"}
PATIENCE_S = 60  # for a condition: long enough for a busy machine and a sanitizer


def environment(state, **extra):
    """The environment of the tests without settings of nixfleet, plus a state directory. The value None removes a variable."""
    result = {name: value for name, value in os.environ.items() if not name.startswith("NIXFLEET_") or name == "NIXFLEET_TEST_PROGRAM"}
    result.update(NIXFLEET_STATE_DIR=str(state), XDG_CONFIG_HOME=str(pathlib.Path(state).parent / "no-config"), TERM="xterm", LC_ALL="C.UTF-8")
    result.update(extra)
    return {name: value for name, value in result.items() if value is not None}


def wait_for(condition, what="the condition", seconds=PATIENCE_S):
    """Waits until condition() is true, and returns what it returned."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)
    return result


def run(*command, state, options=(), timeout=PATIENCE_S, env=None, **keywords):
    """nixfleet-run with options and command; by default stdout and stderr are two pipes and stdin is empty."""
    keywords.setdefault("stdin", None if "input" in keywords else subprocess.DEVNULL)
    keywords.setdefault("stdout", subprocess.PIPE)
    keywords.setdefault("stderr", subprocess.PIPE)
    if keywords["stdin"] is None:
        del keywords["stdin"]
    return subprocess.run([RUN, *options, "--", *map(str, command)], timeout=timeout, env=env or environment(state), **keywords)


def alive(pid):
    """Whether a process lives (a zombie does not)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def state_of(pid):
    """The state of a process as the letter in /proc: R, S, T (stopped)…; None: no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def all_children(pid):
    try:
        return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]
    except OSError:
        return []


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def children(pid):
    """The children except the log writer. The log writer has the wrapper's name at first, as the monitor always has, so this waits
    until the log writer has its own name."""
    end = time.monotonic() + PATIENCE_S
    while [name_of(child) for child in all_children(pid)].count("nixfleet-run") > 1 and time.monotonic() < end:
        time.sleep(0.005)
    return [child for child in all_children(pid) if name_of(child) != "nixfleet-log"]


def log_writer(pid):
    """Waits for the log writer of a wrapper to start."""
    return wait_for(lambda: [child for child in all_children(pid) if name_of(child) == "nixfleet-log"], "the log writer")[0]


def kill_quietly(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def became(status):
    """A waitpid status in the form that subprocess uses: an exit status, or minus the signal."""
    return os.waitstatus_to_exitcode(status)


class Terminal:
    """A program in its own session on a pseudo-terminal. `screen` is all bytes that the program has written so far."""

    def __init__(self, *command, state=None, options=(), wrapped=True, env=None, rows=24, cols=80, redirect=(), prepare=None,
                 program=RUN, pixels=(0, 0)):
        argv = [str(word) for word in ([program, *options, "--", *command] if wrapped else command)]
        self.screen, self.status, self.closed = b"", None, False
        self.master, slave = pty.openpty()
        os.set_inheritable(self.master, False)
        self.resize(rows, cols, pixels)
        self.before = termios.tcgetattr(slave)
        self.slave = slave if prepare is None else None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in range(3):
                    os.dup2(slave, fd)
                for fd, target in dict(redirect).items():
                    if target is None:
                        os.close(fd)
                    else:
                        os.dup2(target, fd)
                os.closerange(3, 1024)
                if prepare:
                    prepare()
                os.execvpe(argv[0], argv, env or environment(state))
            finally:
                os._exit(99)
        if self.slave is None:
            os.close(slave)

    # ---- input and output ----
    def type(self, text):
        os.write(self.master, text if isinstance(text, bytes) else text.encode())

    def pump(self, seconds=0.05):
        """Reads what is there; False when the terminal has hung up."""
        if self.closed or not select.select([self.master], [], [], seconds)[0]:
            return not self.closed
        try:
            piece = os.read(self.master, 65536)
        except OSError as problem:
            if problem.errno != errno.EIO:
                raise
            piece = b""
        self.screen += piece
        return bool(piece)

    def until(self, wanted, after=0, seconds=PATIENCE_S):
        """Reads until `wanted` (a regular expression, or a function without arguments) matches; returns where the match ends."""
        pattern = None if callable(wanted) else re.compile(wanted if isinstance(wanted, bytes) else wanted.encode(), re.DOTALL)
        end = time.monotonic() + seconds
        while True:
            found = pattern.search(self.screen, after) if pattern else wanted()
            if found:
                return found.end() if pattern else found
            assert time.monotonic() < end, f"no {wanted!r} in {self.screen[after:]!r}"
            if not self.pump():
                time.sleep(0.01)

    def resize(self, rows, cols, pixels=(0, 0)):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, array.array("H", [rows, cols, *pixels]))

    def modes(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.modes()[3] & termios.ICANON

    # ---- the end ----
    def poll(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = became(status)
        return self.status

    def wait(self, seconds=PATIENCE_S):
        """Reads until the program has ended and all its output is read. Returns its status in the form that subprocess uses."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < end, f"still running; screen: {self.screen[-2000:]!r}"
            self.pump()
        while select.select([self.master], [], [], 0)[0] and self.pump(0):
            pass
        return self.status

    def hang_up(self):
        """Closes the terminal, as when an ssh session ends."""
        if self.slave is not None:
            os.close(self.slave)
            self.slave = None
        os.close(self.master)
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.poll() is None:
            for child in (*children(self.pid), self.pid):
                kill_quietly(child)
            os.waitpid(self.pid, 0)
        if not self.closed:
            self.hang_up()
