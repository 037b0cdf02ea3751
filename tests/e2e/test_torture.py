"""Each allocation and each system call of the process that holds the command fails in turn; the command is not affected.

Either the command runs normally (with or without a log), or, if our own memory ended before the start of the command, the
command is not started, with a message and status 125."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import ROOT, Terminal, environment

BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", ROOT / "build"))
SHIM = BUILD / "tools" / "failnth.so"
RUN = str(BUILD / "preload" / "nixfleet-run")  # the same objects with a shared libc, whose calls can be made to fail
pytestmark = [pytest.mark.skipif(not SHIM.exists(), reason="tests/tools/failnth.c is not built"),
              pytest.mark.skipif("NIXFLEET_ASAN" in os.environ, reason="a build with sanitizers has its own malloc")]

LINES = 2000
OUTPUT = b"".join(b"%d\n" % i for i in range(1, LINES + 1))
# The errno of a failure depends on the function: EINTR (4) for calls that a signal interrupts, otherwise a lack of resources.
ERRNO = {"poll": 4, "read": 4, "write_any": 4, "waitpid": 4, "waitid": 4}
FUNCTIONS = ["malloc", "calloc", "realloc", "strdup", "open", "pipe", "fork", "write", "write_any", "pwrite", "read", "poll", "mmap",
             "memfd_create", "ftruncate", "socketpair", "fcntl", "flock", "mkdir", "posix_openpt", "grantpt", "unlockpt", "tcgetattr",
             "tcsetattr", "sigaction", "getcwd", "fstat", "unlink", "asprintf", "open_memstream", "ioctl", "tcgetpgrp", "waitpid", "access",
             "readlink", "pread", "ptsname", "ttyname_r", "strndup", "kill", "gethostname", "opendir"]
# Calls of the monitor. The monitor cannot work without wait, read and write, so these calls only fail with EINTR.
MONITORS = {"setsid": 1, "ioctl": 1, "read": 2, "open": 1, "dup2": 3, "setpgid": 1, "tcsetpgrp": 2, "waitid": 2, "waitpid": 1,
           "write_any": 2, "malloc": 6, "opendir": 2, "fcntl": 2}
# Calls of the log writer: only the log may be incomplete.
WRITERS = {"open": 9, "write": 6, "pwrite": 6, "pread": 4, "fcntl": 4, "flock": 3, "mkdir": 3, "fstat": 8, "malloc": 12, "strdup": 2, "asprintf": 3,
           "open_memstream": 1, "poll": 4, "read": 4, "fork": 2, "dup2": 3, "setsid": 1}


class Scene:
    """One way of calling nixfleet-run: attempt() returns the directory of the attempt, status, output and errors."""

    def __init__(self, directory, way):
        self.directory, self.way, self.number = directory, way, 0

    def attempt(self, fail=None, fork=0):
        self.number += 1
        work = self.directory / f"{fail or 'none'}-{self.number}".replace(":", "-")
        work.mkdir()
        env = environment(work / "state", LD_PRELOAD=str(SHIM), FAILNTH_PROGRAM="nixfleet-run", FAILNTH_COUNT=str(work / "count"))
        if fail:
            env["FAILNTH"] = fail
        if fork:
            env["FAILNTH_FORK"] = str(fork)
        if self.way == "streamed":
            env.update(NIXFLEET_URL="http://127.0.0.1:9", NIXFLEET_HOST="h", NIXFLEET_REPORT="/bin/true", NIXFLEET_FLUSH_TIMEOUT="0")
        command = ["sh", "-c", f"echo begun >{work}/begun; seq {LINES}; echo done >{work}/done; exit 5"]
        if self.way == "terminal":
            with Terminal(*command, env=env, options=["-q"], program=RUN) as terminal:
                status, output, errors = terminal.wait(20), terminal.screen.replace(b"\r", b""), b""
                assert terminal.modes() == terminal.before or fail.startswith("tcsetattr"), f"{fail}: the terminal is not restored"
        else:
            done = subprocess.run([RUN, *command], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=20,
                                  stderr=subprocess.STDOUT if self.way == "captured" else subprocess.PIPE)
            status, output, errors = done.returncode, done.stdout, done.stderr or b""
        return work, status, output, errors

    def counts(self):
        work, status, output, _ = self.attempt()
        assert status == 5 and output == OUTPUT and (work / "done").exists()
        return {name: int(count) for name, count in (line.split() for line in (work / "count").read_text().splitlines())}

    def judge(self, fail, fork=0):
        """Lets this call fail. Returns None, or what is wrong then."""
        try:
            work, status, output, errors = self.attempt(fail, fork)
        except subprocess.TimeoutExpired:
            return f"{fail}: hangs"
        except AssertionError as problem:
            return f"{fail}: {str(problem)[:300]}"
        begun, ended = (work / "begun").exists(), (work / "done").exists()
        what = f"{fail}: status {status}, begun {begun}, done {ended}, {len(output)} bytes, {errors[-200:]!r}"
        if status == 125 and not begun:
            return None if b"nixfleet-run: " in output + errors or self.way == "captured" else what + ": nothing is said"
        if status != 5 or not ended or len(errors.splitlines()) > 2:
            return what
        # Our messages may be between the lines on the terminal; all lines of the command are there, in order.
        wanted = b"".join(line for line in output.splitlines(True) if not line.startswith(b"nixfleet-run: "))
        return None if wanted == OUTPUT else what + ": not the command's output"


def name_failure(function, n):
    return f"{function}:{n}" + (f":{ERRNO[function]}" if function in ERRNO else "")


def judge_all(scene, failures, fork=0):
    def judge(fail):
        return scene.judge(fail, fork)
    if scene.way == "terminal":  # forking a pty from a thread is not safe
        wrong = [judge(fail) for fail in failures]
    else:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            wrong = list(pool.map(judge, failures))
    wrong = [line for line in wrong if line]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("way", ["pipes", "captured", "terminal", "streamed"])
def test_no_single_failure_harms_the_command(tmp_path, way):
    scene = Scene(tmp_path, way)
    counts = scene.counts()
    assert counts["malloc"] > 5 and counts["fork"] >= 1 and counts["write_any"] > 0, "the shim is not in use"
    assert counts["write"] == counts["pwrite"] == counts["mkdir"] == 0, "the process that holds the command writes to a disk"
    failures = [name_failure(name, n) for name in FUNCTIONS for n in range(1, min(counts[name], 60) + 1)]
    judge_all(scene, failures)


@pytest.mark.parametrize("way", ["pipes", "terminal"])
def test_no_single_failure_of_the_monitor_harms_the_command(tmp_path, way):
    judge_all(Scene(tmp_path, way), [name_failure(name, n) for name, calls in MONITORS.items() for n in range(1, calls + 1)], fork=1)


@pytest.mark.parametrize("way", ["pipes", "streamed"])
def test_no_single_failure_of_the_log_writer_harms_the_command(tmp_path, way):
    judge_all(Scene(tmp_path, way), [name_failure(name, n) for name, calls in WRITERS.items() for n in range(1, calls + 1)], fork=2)
