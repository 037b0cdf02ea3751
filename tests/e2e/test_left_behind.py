"""Background processes of the command continue to write to the same place, as without us, and the caller gets the status at once."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, Terminal, alive, children, environment, kill_quietly, run, state_of, wait_for


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


LATE = "(until [ -e go ]; do sleep 0.02; done; seq 1 50000; echo late; echo $? >rc) & echo now; exit 5"


def check_late(state, tmp_path):
    status = wait_for(lambda: (tmp_path / "rc").exists() and (tmp_path / "rc").read_text(), "the background process to end by itself")
    assert status == "0\n"
    wait_for(lambda: only_log(state).endswith(b"late\n"), "the log")


def only_log(state):
    log, = state.glob("*.log")
    return log.read_bytes().replace(b"\r\n", b"\n")


WANTED = b"now\n" + b"".join(b"%d\n" % i for i in range(1, 50001)) + b"late\n"


@pytest.mark.parametrize("both", [True, False])
def test_a_background_process_goes_on_writing_to_the_callers_file(state, tmp_path, both):
    with open(tmp_path / "out", "wb") as out:
        done = run("sh", "-c", LATE, state=state, stdout=out, stderr=out if both else subprocess.DEVNULL, cwd=tmp_path)
    assert done.returncode == 5 and (tmp_path / "out").read_bytes() == b"now\n"  # the wrapper ends while the background process still runs
    (tmp_path / "go").touch()
    check_late(state, tmp_path)
    wait_for(lambda: (tmp_path / "out").read_bytes() == WANTED, "the last output")
    assert only_log(state) == WANTED


@pytest.mark.parametrize("redirect", ["", "2>&1"])
def test_a_capture_waits_for_the_background_process_as_long_as_without_us(state, tmp_path, redirect):
    script = "(sleep 0.5; echo late; echo $? >rc) & exit 3"
    done = subprocess.run(["sh", "-c", f'x=$("$0" sh -c "$1" {redirect}); echo "$? [$x]"', RUN, script], env=environment(state),
                          capture_output=True, timeout=30, cwd=tmp_path)
    assert done.stdout == b"3 [late]\n" and (tmp_path / "rc").read_text() == "0\n"


def test_a_capture_does_not_wait_for_one_that_has_let_go_of_stdout(state, tmp_path):
    script = f"sh -c 'echo $$ >pid; exec sleep 600' >/dev/null & until [ -s pid ]; do sleep 0.02; done; echo done"
    with open(tmp_path / "errors", "wb") as errors:
        done = subprocess.run([RUN, "sh", "-c", script], env=environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                              timeout=20, cwd=tmp_path)
    assert done.stdout == b"done\n"
    drainer, = holders(state, tmp_path / "errors")
    kill_quietly(int((tmp_path / "pid").read_text()))
    wait_for(lambda: not alive(drainer), "the process that copied")


def pids_of_run(state):
    """Live processes of nixfleet-run that carry this test's state directory in their environment."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "exe") == RUN and f"NIXFLEET_STATE_DIR={state}".encode() in (entry / "environ").read_bytes() and alive(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def holders(state, path):
    """The processes of the run that have this file open."""
    return [pid for pid in pids_of_run(state) if str(path) in {os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}]


def test_at_a_terminal_it_goes_on_writing_there_with_whole_lines(state, tmp_path):
    script = f"{RUN} -q sh -c 'cd {tmp_path}; {LATE}'; echo status $?; stty -a; touch {tmp_path}/go; until [ -e {tmp_path}/rc ]; do sleep 0.05; done; echo; read x"
    with Terminal("sh", "-c", script, wrapped=False, env=environment(state)) as terminal:
        at = terminal.until("now\r\nstatus 5\r\n")
        at = terminal.until("late\r\n", at)
        shown = terminal.screen[at - 6 - 50000 * 7:at]
        assert b"\r\r\n" not in shown and not re.search(rb"[^\r]\n", shown)
        assert b"\r\n50000\r\nlate\r\n" in terminal.screen and b"opost" in terminal.screen and b"-opost" not in terminal.screen
        terminal.type("\r")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before
    check_late(state, tmp_path)


def test_a_job_that_the_end_of_the_command_would_not_hang_up_on_is_not_hung_up_on(state, tmp_path):
    (tmp_path / "job").write_text("(trap 'echo hup >>got' HUP; touch up; until [ -e go ]; do sleep 0.05; done; echo end >>got) &\n"
                                  "until [ -e up ]; do sleep 0.02; done; exit 0\n")
    with Terminal("sh", "-c", f"cd {tmp_path}; {RUN} -q sh job; touch go; until [ -e got ]; do sleep 0.05; done", wrapped=False,
                  env=environment(state)) as terminal:
        assert terminal.wait() == 0
    assert (tmp_path / "got").read_text() == "end\n"


def test_the_reader_that_goes_ends_the_background_process_at_its_next_write(state, tmp_path):
    script = "(trap '' PIPE; until [ -e go ]; do sleep 0.02; done; while echo more 2>/dev/null; do sleep 0.02; done; touch ended) & echo now"
    for redirect in ({}, {"stderr": subprocess.STDOUT}):
        with subprocess.Popen([RUN, "sh", "-c", script], env=environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=tmp_path,
                              **redirect) as child:
            assert child.stdout.readline() == b"now\n" and child.wait(20) == 0
            child.stdout.close()
            (tmp_path / "go").touch()
            wait_for((tmp_path / "ended").exists, "the background process")
        (tmp_path / "go").unlink(), (tmp_path / "ended").unlink()
    wait_for(lambda: not pids_of_run(state), "everything of ours to be gone")


def test_what_stays_behind_holds_nothing_of_the_callers(state, tmp_path):
    """No lock, no pipe that another process waits at, and not the working directory."""
    read_end, write_end = os.pipe()
    with open(tmp_path / "out", "wb") as out:
        done = run("bash", "-c", f"exec {write_end}>&-; (until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo late) & exit 0", state=state, stdout=out,
                   stderr=subprocess.DEVNULL, pass_fds=[write_end])
    os.close(write_end)
    assert done.returncode == 0 and os.read(read_end, 1) == b""  # the end of file
    os.close(read_end)
    drainer, = holders(state, tmp_path / "out")
    wait_for(lambda: os.readlink(f"/proc/{drainer}/cwd") == "/" and os.readlink(f"/proc/{drainer}/fd/2") != str(out.name), "it to let go of all")
    (tmp_path / "go").touch()
    wait_for(lambda: not alive(drainer), "its end")
    assert (tmp_path / "out").read_bytes() == b"late\n"


# ---- what the command itself leaves behind ----
FILL = """
import fcntl, os, sys
for fd in (1, 2):
    fcntl.fcntl(fd, 1031, 1 << 20)
sys.stdin.read(1)
for fd in (1, 2):
    os.write(fd, b"x" * (1 << 20))
"""


def test_all_that_the_command_has_written_arrives_whatever_the_size_of_its_pipes(state, tmp_path):
    ready = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()) + chr(10))\n"
    child = subprocess.Popen([RUN, "python3", "-c", FILL.replace("sys.stdin", ready + "sys.stdin")], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    command = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n") and (tmp_path / "pid").read_text()))
    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: state_of(child.pid) == "T", "the wrapper to stop")
    child.stdin.write(b"x")
    child.stdin.flush()
    wait_for(lambda: state_of(command) in ("Z", None), "the command's end")
    child.send_signal(signal.SIGCONT)
    output, errors = child.communicate(timeout=30)
    assert (len(output), len(errors), child.returncode) == (1 << 20, 1 << 20, 0)


@pytest.mark.parametrize("stop", [signal.SIGTSTP, signal.SIGTTOU, signal.SIGSTOP])
def test_a_wrapper_that_is_stopped_while_a_slow_reader_takes_the_last_output_loses_nothing(state, stop):
    with subprocess.Popen([RUN, "seq", "1", "20000"], env=environment(state),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0) as child:  # the kernel does not stop orphans
        monitor = wait_for(lambda: children(child.pid) and children(child.pid)[0])
        wait_for(lambda: all(state_of(pid) == "Z" for pid in children(monitor)), "the command's end")
        # Until the wrapper has noticed the end, it passes the stop on to the command, so send it again. SIGCONT drops a pending stop.
        wait_for(lambda: child.send_signal(stop) or state_of(child.pid) == "T", "the wrapper to stop")
        child.send_signal(signal.SIGCONT)
        assert child.stdout.read() == b"".join(b"%d\n" % i for i in range(1, 20001)) and child.wait(20) == 0
