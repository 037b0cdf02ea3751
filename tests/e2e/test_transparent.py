"""The caller gets the same status and the same bytes as without us, on pipes and files."""
import array
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, alive, environment, kill_quietly, run, state_of, wait_for

EVERY_BYTE = bytes(range(256)) * 64
PRINT = ["python3", "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 64)"]


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


# ---- the status ----
@pytest.mark.parametrize("status", [0, 1, 2, 100, 124, 125, 126, 127, 128, 255])
def test_the_exit_status_is_the_commands(state, status):
    assert run("sh", "-c", f"exit {status}", state=state).returncode == status


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "ILL", "ABRT", "KILL", "USR1", "SEGV", "PIPE", "ALRM", "TERM", "XCPU"])
def test_a_killed_command_kills_us_by_the_same_signal(state, name):
    number = signal.Signals[f"SIG{name}"]
    done = run("python3", "-c", f"import os, signal; signal.signal({number}, signal.SIG_DFL) if {number} != 9 else 0; os.kill(os.getpid(), {number})",
               state=state)
    assert done.returncode == -number


def test_a_command_that_is_nowhere_is_127_and_said_once(state):
    done = run("no-such-command-at-all", state=state)
    assert done.returncode == 127 and done.stdout == b""
    assert done.stderr.splitlines() == [b"nixfleet-run: no-such-command-at-all: No such file or directory"]


def test_a_command_that_cannot_be_executed_is_126_and_said_once(state, tmp_path):
    (tmp_path / "text").write_text("no program")
    done = run(tmp_path / "text", state=state)
    assert done.returncode == 126 and done.stdout == b"" and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("options", [["--no-such-option"], ["-i", "4"], ["-i", "x"], ["--url", "ftp://x"], ["--flush-timeout", "-1"], ["-H", "-host"], ["--log"]])
def test_a_bad_option_is_one_line_and_125_and_starts_nothing(state, tmp_path, options):
    done = subprocess.run([RUN, *options, *([] if options == ["--log"] else ["touch", tmp_path / "started"])],
                          env=environment(state), capture_output=True, timeout=30)
    assert done.returncode == 125 and done.stdout == b"" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(b"nixfleet-run: ") and not (tmp_path / "started").exists()


def test_no_command_is_125(state):
    done = subprocess.run([RUN], env=environment(state), capture_output=True, timeout=30)
    assert done.returncode == 125 and len(done.stderr.splitlines()) == 1


def test_options_end_at_the_first_other_word(state):
    done = subprocess.run([RUN, "-q", "printf", "%s,", "-q", "--", "--url", "x"], env=environment(state), capture_output=True, timeout=30)
    assert done.stdout == b"-q,--,--url,x,"


# ---- the bytes ----
def test_bytes_reach_two_pipes_unchanged_and_apart(state):
    done = run("sh", "-c", "printf 'out\\n\\tx\\r\\n\\377'; printf 'err\\n\\r\\n\\000' >&2", state=state)
    assert done.stdout == b"out\n\tx\r\n\xff" and done.stderr == b"err\n\r\n\0"


def test_every_byte_reaches_one_pipe_for_both_unchanged(state):
    assert run(*PRINT, state=state, stderr=subprocess.STDOUT).stdout == EVERY_BYTE


def test_every_byte_reaches_a_file_unchanged(state, tmp_path):
    for both in (True, False):
        with open(tmp_path / "out", "wb") as out:
            assert run(*PRINT, state=state, stdout=out, stderr=out if both else subprocess.PIPE).returncode == 0
        assert (tmp_path / "out").read_bytes() == EVERY_BYTE


def test_no_carriage_return_is_added_for_a_script_that_captures(state):
    done = subprocess.run(["sh", "-c", 'x=$("$0" sh -c "echo a; echo b >&2; echo ü" 2>&1); printf %s "$x"', RUN],
                          env=environment(state), capture_output=True, timeout=30)
    assert done.stdout == "a\nb\nü".encode()


def test_output_is_appended_where_the_caller_appends(state, tmp_path):
    (tmp_path / "out").write_bytes(b"before\n")
    with open(tmp_path / "out", "ab") as out:
        run("echo", "after", state=state, stdout=out)
    assert (tmp_path / "out").read_bytes() == b"before\nafter\n"


def test_a_captured_command_writes_line_by_line_as_it_goes(state, tmp_path):
    os.mkfifo(tmp_path / "gate")
    child = subprocess.Popen([RUN, "awk", 'BEGIN { print "first"; getline < ARGV[1]; print "second" }', tmp_path / "gate"],
                             env=environment(state), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    assert child.stdout.readline() == b"first\n"  # awk still waits, so no exit has flushed its stdout
    (tmp_path / "gate").write_text("go\n")
    assert child.stdout.read() == b"second\n" and child.wait() == 0


def test_much_output_arrives_whole(state):
    script = "i=0; while [ $i -lt 20 ]; do seq 1 40000; i=$((i+1)); done"
    wanted = hashlib.sha256(subprocess.run(["sh", "-c", script], capture_output=True).stdout).digest()
    for keywords in ({}, {"stderr": subprocess.STDOUT}):
        assert hashlib.sha256(run("sh", "-c", script, state=state, **keywords).stdout).digest() == wanted


def test_a_slow_reader_gets_all_of_the_last_output(state):
    child = subprocess.Popen([RUN, "seq", "200000"], env=environment(state), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # The command may have ended long before the pipe is empty.
    got = b""
    while piece := os.read(child.stdout.fileno(), 1000 if len(got) < 100000 else 65536):
        got += piece
    assert child.wait() == 0 and got == b"".join(b"%d\n" % i for i in range(1, 200001))


# ---- stdin ----
def test_a_pipe_of_100_megabytes_arrives_whole(state):
    megabyte = os.urandom(1 << 20)
    wanted = hashlib.sha256(megabyte * 100).hexdigest()
    child = subprocess.Popen([RUN, "sha256sum"], env=environment(state), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(100):
        child.stdin.write(megabyte)
    child.stdin.close()
    assert child.stdout.read().split()[0].decode() == wanted and child.wait() == 0


def test_stdin_may_be_a_file_or_dev_null_or_closed(state, tmp_path):
    (tmp_path / "in").write_bytes(EVERY_BYTE)
    with open(tmp_path / "in", "rb") as source:
        assert run("cat", state=state, stdin=source).stdout == EVERY_BYTE
    assert run("cat", state=state).stdout == b""
    look = "import os\ntry: os.fstat(0); print('open')\nexcept OSError: print('closed')"
    done = run("python3", "-c", look, state=state, preexec_fn=lambda: os.close(0))
    assert done.stdout == b"closed\n" and done.stderr == b""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_closed_descriptors_stay_closed_and_nothing_else_gets_into_their_place(state, tmp_path, closed):
    script = (f'for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && printf "$fd " >>{tmp_path}/found; done; '
              'if [ -e /proc/$$/fd/1 ]; then printf text; fi; if [ -e /proc/$$/fd/2 ]; then printf text >&2; fi')

    def close():
        for fd in closed:
            os.close(fd)
    done = run("bash", "-c", script, state=state, preexec_fn=close)
    assert done.returncode == 0
    found = (tmp_path / "found").read_text() if (tmp_path / "found").exists() else ""
    assert found.split() == [str(fd) for fd in range(3) if fd not in closed]
    assert done.stdout == (b"" if 1 in closed else b"text") and done.stderr == (b"" if 2 in closed else b"text")
    log, = state.glob("*.log")
    assert log.read_bytes() == b"text" * len({1, 2} - set(closed))


# ---- the command's environment ----
def child_environment(*arguments, **keywords):
    text = run("env", "-0", *arguments, **keywords).stdout
    return dict(entry.split("=", 1) for entry in text.decode().split("\0") if entry)


def test_the_environment_gains_the_run_and_nothing_else(state):
    given = environment(state, PAGER=None, GIT_PAGER=None, SYSTEMD_PAGER=None, MANPAGER=None, TERM=None, NIXFLEET_TOKEN="secret")
    seen = child_environment(state=state, env=given)
    assert re.fullmatch(r"[0-9a-f-]{36}", seen.pop("NIXFLEET_RUN_ID")) and seen.pop("NIXFLEET_RUN_PID").isdigit() and seen == given


def test_a_captured_run_gets_no_pager_and_a_dumb_terminal_unless_the_caller_chose(state):
    given = environment(state, PAGER=None, GIT_PAGER=None, SYSTEMD_PAGER=None, MANPAGER=None, TERM=None)
    seen = child_environment(state=state, env=given, stderr=subprocess.STDOUT)
    assert {name: seen[name] for name in seen.keys() - given.keys() - {"NIXFLEET_RUN_ID", "NIXFLEET_RUN_PID"}} == {
        "TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "SYSTEMD_PAGER": "cat", "MANPAGER": "cat"}
    seen = child_environment(state=state, env={**given, "TERM": "xterm", "PAGER": "most"}, stderr=subprocess.STDOUT)
    assert seen["TERM"] == "xterm" and seen["PAGER"] == "most"


def test_the_commands_umask_directory_and_descriptors_are_the_callers(state, tmp_path):
    read_end, write_end = os.pipe()
    done = run("bash", "-c", f"umask; pwd; echo through >&{write_end}", state=state, cwd=tmp_path,
               pass_fds=(write_end,), preexec_fn=lambda: os.umask(0o077))
    os.close(write_end)
    assert done.stdout.split()[:2] == [b"0077", str(tmp_path).encode()]
    assert os.read(read_end, 100) == b"through\n"
    os.close(read_end)


def test_the_command_holds_no_descriptor_of_ours(state):
    done = run("ls", "/proc/self/fd", state=state)
    assert done.stdout.split() == [b"0", b"1", b"2", b"3"]  # 3: ls itself, for the directory


def test_signals_that_the_caller_ignored_or_blocked_are_so_in_the_command(state):
    def prepare():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    command = ("grep", "^Sig[BI]", "/proc/self/status")
    seen = run(*command, state=state, preexec_fn=prepare).stdout
    assert seen == subprocess.run(command, stdout=subprocess.PIPE, preexec_fn=prepare, check=True).stdout
    masks = {line.split(":")[0]: int(line.split()[1], 16) for line in seen.decode().splitlines()}
    assert masks["SigBlk"] == 1 << (signal.SIGUSR1 - 1)
    assert masks["SigIgn"] & 1 << (signal.SIGTERM - 1)


def test_a_nested_run_passes_through_and_makes_no_run_of_its_own(state):
    done = run(RUN, RUN, "-n", "inner", "sh", "-c", "echo $NIXFLEET_RUN_ID; exit 3", state=state)
    assert done.returncode == 3 and len(list(state.glob("*.run"))) == 1
    assert (state / f"{done.stdout.decode().strip()}.run").exists()


def test_a_nested_run_is_known_without_a_record(tmp_path):
    done = run(RUN, "sh", "-c", "echo $NIXFLEET_RUN_ID; exit 3", state="/proc/none")
    outer = run("sh", "-c", f"echo $NIXFLEET_RUN_ID; {RUN} sh -c 'echo $NIXFLEET_RUN_ID'", state="/proc/none")
    assert done.returncode == 3 and len(set(outer.stdout.split())) == 1


def test_a_run_that_outlives_its_wrapper_is_not_nested_any_more(state, tmp_path):
    inner = f"sleep 0.2; while kill -0 $NIXFLEET_RUN_PID; do sleep 0.05; done; {RUN} touch {tmp_path}/done"
    run("sh", "-c", f"setsid sh -c '{inner}' >/dev/null 2>&1 </dev/null &", state=state)
    wait_for((tmp_path / "done").exists, "the second run")
    wait_for(lambda: len(list(state.glob("*.run"))) == 2, "its record")


def test_nothing_of_ours_is_written_when_all_goes_well(state):
    done = run("true", state=state)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# ---- what must not delay our end ----
@pytest.mark.parametrize("both", [True, False])
def test_a_grandchild_that_keeps_the_output_open_delays_nothing(state, tmp_path, both):
    with open(tmp_path / "out", "wb") as out:
        done = run("sh", "-c", f"sleep 600 & echo $! >{tmp_path}/pid; echo hi", state=state, stdout=out,
                   stderr=out if both else subprocess.DEVNULL)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert done.returncode == 0 and (tmp_path / "out").read_bytes() == b"hi\n"
        assert alive(pid)  # still alive, as without us
    finally:
        kill_quietly(pid)


@pytest.mark.parametrize("redirect", ["", "2>&1"])
def test_a_reader_that_goes_away_ends_the_command(state, redirect):
    done = subprocess.run(["bash", "-c", f'"$0" yes {redirect} | head -1; echo ${{PIPESTATUS[0]}}', RUN], env=environment(state),
                          capture_output=True, timeout=20, preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
    assert done.stdout == b"y\n%d\n" % (128 + signal.SIGPIPE) and done.stderr == b""


@pytest.mark.parametrize("both", [True, False])
def test_a_connection_that_is_reset_ends_the_command(state, both):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        command = subprocess.Popen([RUN, "yes"], env=environment(state), stdin=subprocess.DEVNULL, stdout=ours,
                                   stderr=ours if both else subprocess.DEVNULL)
    assert theirs.recv(2) == b"y\n"
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    try:
        assert command.wait(20) == -signal.SIGPIPE
    finally:
        kill_quietly(command.pid)


@pytest.mark.parametrize("both", [True, False])
def test_a_full_disk_under_the_output_ends_no_command_and_is_no_success(state, tmp_path, both):
    script = f"seq 100000; echo more >{tmp_path}/more; exit $0"
    for status in (0, 3):
        with open("/dev/full", "wb") as full:
            done = run("sh", "-c", script, status, state=state, stdout=full, stderr=full if both else subprocess.PIPE)
        assert done.returncode == (status or 1) and (tmp_path / "more").read_bytes() == b"more\n"
        assert both or done.stderr == b"nixfleet-run: not all output of the command could be written: No space left on device\n"
        (tmp_path / "more").unlink()
    assert all(log.stat().st_size == 588895 for log in state.glob("*.log"))


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_limit_on_the_size_of_files_costs_the_log_and_nothing_else(state, blocks, streamed):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (blocks * 1024, blocks * 1024))
    options = ["--url", "http://127.0.0.1:9", "--flush-timeout", "0", "-H", "h"] if streamed else []
    done = run("sh", "-c", "seq 2000; exit 6", state=state, options=options, preexec_fn=limit)
    assert done.returncode == 6 and done.stdout == b"".join(b"%d\n" % i for i in range(1, 2001))
    assert b"File too large" in done.stderr
    done = run("sh", "-c", "head -c 4096 /dev/zero >$0", state / "file", state=state, preexec_fn=limit)
    assert done.returncode == 128 + signal.SIGXFSZ  # the command gets the signal


def test_another_child_that_ends_first_is_not_taken_for_the_command(state):
    done = subprocess.run(["bash", "-c", 'exec "$0" sh -c "sleep 0.3; echo done; exit 7" > >(cat) 2> >(exit 0)', RUN],
                          env=environment(state), capture_output=True, timeout=20)
    assert done.returncode == 7 and done.stdout == b"done\n"


def test_a_command_that_was_killed_is_reaped(state, tmp_path):
    child = subprocess.Popen([RUN, "sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 60"], env=environment(state))
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    kill_quietly(pid, signal.SIGTERM)
    assert child.wait(20) == -signal.SIGTERM
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the command to be reaped")


# ---- what the command has used ----
def used_by(*argv, env):
    """User and system time of a program and its children in seconds, the largest memory of one process in KiB, and the status of wait."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        os.execvpe(argv[0], [str(word) for word in argv], env)
    _, status, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss, status


@pytest.mark.parametrize("ignored", [False, True])
def test_cpu_time_and_memory_of_the_command_reach_the_caller(state, ignored):
    work = "import time\nx = bytearray(200 << 20)\nwhile time.process_time() < 0.5: pass"
    command = [RUN, "python3", "-c", work]
    if ignored:  # the kernel then reaps the children and does not count their usage
        command = ["python3", "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])",
                   *command]
    seconds, kilobytes, status = used_by(*command, env=environment(state))
    assert status == 0 and kilobytes > 200 << 10 and 0.5 <= seconds


def test_a_caller_that_ignores_sigchld_gets_the_status_and_so_does_the_command(state):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    assert run("sh", "-c", "exit 5", state=state, preexec_fn=ignore).returncode == 5
    done = run("grep", "^SigIgn", "/proc/self/status", state=state, preexec_fn=ignore)
    assert done.returncode == 0 and int(done.stdout.split()[1], 16) & 1 << (signal.SIGCHLD - 1)


def test_a_run_whose_session_leader_is_killed_is_lost_and_not_killed(state, tmp_path):
    child = subprocess.Popen([RUN, "sh", "-c", f"trap '' HUP; echo $$ >{tmp_path}/pid; until [ -e {tmp_path}/go ]; do sleep 0.05; done; "
                              f"echo done >{tmp_path}/done"], env=environment(state), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    monitor = int(pathlib.Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat").read_text().rpartition(")")[2].split()[1])
    wait_for(lambda: state_of(monitor) == "S", "the monitor to wait")
    kill_quietly(monitor)
    assert b"is unknown" in child.stderr.readline() and child.wait(30) == -signal.SIGKILL
    record, = state.glob("*.run")
    assert record.read_text().splitlines()[0].strip() == "end="
    (tmp_path / "go").touch()
    wait_for((tmp_path / "done").exists, "the command to go on")
    child.stderr.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_as_the_first_process_of_a_container_the_wrapper_reaps_orphans(state):
    script = "for i in $(seq 1 50); do (sh -c 'sleep 0.01 &'); done; until [ $(ps -eo stat | grep -c Z) = 0 ]; do sleep 0.05; done; echo none; exit 3"
    done = subprocess.run(["unshare", "-pf", "--mount-proc", RUN, "bash", "-c", script], env=environment(state), capture_output=True, timeout=60)
    if b"unshare" in done.stderr:
        pytest.skip("no PID namespace here")
    assert done.stdout == b"none\n" and done.returncode == 3


# ---- the whole status of wait, with the core dump bit ----
@pytest.mark.parametrize("limit", ["unlimited", "0"])
def test_the_core_dump_bit_of_the_status_is_the_commands_and_so_is_the_core(state, tmp_path, limit):
    seen = []
    for wrapper in ([], [RUN, "-q"]):
        place = tmp_path / f"place{len(seen)}"
        place.mkdir()
        child = subprocess.Popen([*wrapper, "sh", "-c", f"ulimit -c {limit}; kill -SEGV $$"], env=environment(state), stdin=subprocess.DEVNULL, cwd=place)
        seen.append((os.waitpid(child.pid, 0)[1], [file.stat().st_size > 50000 for file in place.iterdir()]))
        child.returncode = 0
    assert seen[0] == seen[1]
    wait_for(lambda: not list(pathlib.Path("/tmp").glob("nixfleet-core.*")), "our own core to be removed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a hard limit")
def test_our_own_use_of_the_processor_does_not_count_against_the_commands_limit(state):
    """Each process of the command stays below the limit; the pump uses more time than the limit."""
    script = "for i in 1 2 3 4 5 6 7 8; do head -c 400000000 /dev/zero || exit 9; done"
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
    with open("/dev/null", "wb") as null:
        assert run("sh", "-c", script, state=state, stdout=null, preexec_fn=limit, timeout=120).returncode == 0
    done = run("sh", "-c", "ulimit -t; ulimit -Ht; while :; do :; done", state=state, preexec_fn=limit)
    assert done.stdout == b"1\n1\n" and done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


# Below 24 KiB, sh itself sometimes fails.
@pytest.mark.skipif(bool(os.environ.get("NIXFLEET_ASAN")), reason="a sanitizer needs more")
@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_small_stack_is_enough(state, size):
    limit = lambda: resource.setrlimit(resource.RLIMIT_STACK, (size << 10, size << 10))
    done = run("sh", "-c", "ulimit -s; exit 3", state=state, preexec_fn=limit)
    assert done.stdout == b"%d\n" % size and done.returncode == 3


# ---- without a pty ----
LOOK = "import os, stat; a, b = os.fstat(1), os.fstat(2); print(stat.S_ISFIFO(a.st_mode), a.st_ino == b.st_ino, os.environ.get('TERM'))"


@pytest.mark.parametrize("to_file", [False, True])
def test_with_no_pty_a_captured_command_gets_one_pipe_and_the_environment_that_it_had(state, tmp_path, to_file):
    with open(tmp_path / "out", "wb") as out:
        done = run("python3", "-c", LOOK, state=state, options=["--no-pty"], stdout=out if to_file else subprocess.PIPE, stderr=subprocess.STDOUT)
    assert ((tmp_path / "out").read_bytes() if to_file else done.stdout) == b"True True xterm\n"


def test_with_no_pty_the_bytes_are_those_of_a_pipe(state, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    for name in "abc":
        (place / name).touch()
    done = run("sh", "-c", "ls; printf 'x\\r\\n\\000' >&2; ls", state=state, options=["--no-pty"], stderr=subprocess.STDOUT, cwd=place)
    assert done.stdout == b"a\nb\nc\nx\r\n\0a\nb\nc\n"
    done = run("ls", state=state, env=environment(state, NIXFLEET_NO_PTY="1"), stderr=subprocess.STDOUT, cwd=place)
    assert done.stdout == b"a\nb\nc\n"


def test_options_inside_another_run_are_said_to_be_ignored(state):
    done = run("sh", "-c", f"{RUN} -v --log inner.log echo in; {RUN} echo in; {RUN} --log inner.log echo in", state=state)
    assert done.stdout == b"in\nin\nin\n" and done.stderr.count(b"have no effect") == 1  # stderr is captured, so the message needs -v


# ---- what belongs to another user ----
def as_nobody():
    os.setgid(65534)
    os.setuid(65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up")
@pytest.mark.parametrize("both", [True, False])
def test_a_pipe_of_another_user_that_nobody_reads_keeps_no_signal_away(tmp_path, both):
    """We cannot open the pipe of another user again to write without blocking."""
    env = environment("/nonexistent/state", HOME="/tmp")
    read_end, write_end = os.pipe()
    child = subprocess.Popen([RUN, "-q", "yes"], env=env, stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end if both else subprocess.DEVNULL,
                             preexec_fn=as_nobody)
    os.close(write_end)
    wait_for(lambda: fcntl_size(read_end) > 0 and no_longer_grows(read_end), "a full pipe")
    child.terminate()
    try:
        assert child.wait(10) == -signal.SIGTERM
    finally:
        kill_quietly(child.pid)
        os.close(read_end)


def no_longer_grows(fd):
    before = fcntl_size(fd)
    time.sleep(0.3)
    return fcntl_size(fd) == before


def fcntl_size(fd):
    size = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, size)
    return size[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up")
@pytest.mark.parametrize("both", [True, False])
def test_a_pipe_of_another_user_gets_all_of_it(both):
    env = environment("/nonexistent/state", HOME="/tmp")
    read_end, write_end = os.pipe()
    child = subprocess.Popen([RUN, "-q", "seq", "200000"], env=env, stdin=subprocess.DEVNULL, stdout=write_end,
                             stderr=write_end if both else subprocess.DEVNULL, preexec_fn=as_nobody)
    os.close(write_end)
    with open(read_end, "rb") as reader:
        assert reader.read() == b"".join(b"%d\n" % i for i in range(1, 200001)) and child.wait(20) == 0


@pytest.fixture
def another_users(tmp_path):
    """A program that becomes root, as sudo does, and then runs its first argument in a shell."""
    source, program = tmp_path / "become.c", pathlib.Path("/tmp") / f"nixfleet-become-{os.getpid()}"
    source.write_text('#include <unistd.h>\nint main(int c, char **v) { (void)c; if (setgid(0) || setuid(0)) return 9; execl("/bin/sh", "sh", "-c", v[1], (char *)0); return 9; }\n')
    subprocess.run(["cc", "-o", program, source], check=True)
    program.chmod(0o4755)
    yield program
    program.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up")
def test_where_a_command_of_root_cannot_be_stopped_a_line_says_so_at_once(another_users, tmp_path):
    env = environment("/nonexistent/state", HOME="/tmp")
    go = tmp_path / "go"
    child = subprocess.Popen([RUN, another_users, f"echo up; until [ -e {go} ]; do sleep 0.05; done"], env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=as_nobody, start_new_session=True)
    assert child.stdout.readline() == b"up\n"
    child.terminate()
    assert b"another user" in child.stderr.readline()
    go.touch()
    assert child.wait(20) == 0
    child.stdout.close(), child.stderr.close()


# ---- signals to the wrapper ----
CATCHABLE = sorted(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})


def test_every_signal_that_can_be_caught_reaches_the_command(state):
    script = f"""
import signal, sys
wanted = {list(map(int, CATCHABLE))}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready", flush=True)
for _ in wanted:
    print(int(signal.sigwaitinfo(wanted).si_signo), flush=True)
"""
    with subprocess.Popen([RUN, "python3", "-c", script], env=environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        for number in CATCHABLE:  # one at a time: stop signals and SIGCONT cancel each other
            child.send_signal(number)
            assert int(child.stdout.readline()) == number
        assert child.wait(20) == 0


COUNTS_SIGNALS = """
import os, signal
wanted = [signal.SIGTERM, signal.SIGUSR1]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print(os.getpid(), os.getppid(), flush=True)
while (number := signal.sigwaitinfo(wanted).si_signo) != signal.SIGUSR1:
    print(int(number), flush=True)
"""
SENDS_SIGNALS = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)  # PR_SET_NAME
for line in sys.stdin:
    for process in line.split():
        os.kill(int(process), signal.SIGTERM)
    print("sent", flush=True)
"""


@contextlib.contextmanager
def counted_signals(state):
    """Yields the pids of a command that prints each SIGTERM, of its monitor and of the wrapper, and what reads a line of output."""
    with subprocess.Popen([RUN, "python3", "-c", COUNTS_SIGNALS], env=environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        command, monitor = map(int, child.stdout.readline().split())
        yield command, monitor, child.pid, child.stdout.readline
        child.send_signal(signal.SIGUSR1)
        assert child.stdout.read() == b"" and child.wait(20) == 0


@contextlib.contextmanager
def sender(name):
    """A process of this name; yields a function that lets the process send SIGTERM to each of some processes."""
    with subprocess.Popen(["python3", "-c", SENDS_SIGNALS, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def send(*to):
            print(*to, file=process.stdin, flush=True)
            assert process.stdout.readline() == "sent\n"

        yield send


def test_a_signal_to_each_process_of_a_service_comes_once(state):
    """As systemd sends it to a control group. A signal to the wrapper alone comes each time."""
    with counted_signals(state) as (command, monitor, wrapper, line), sender("systemd") as systemd:
        for processes in ([monitor, command, wrapper], [wrapper], [wrapper], [command, monitor, wrapper]):
            systemd(*processes)
            assert line() == b"15\n"


def test_a_signal_to_the_processes_of_one_name_reaches_the_command(state):
    """killall and pkill signal the wrapper and its monitor, which have the same name, and not the command."""
    with counted_signals(state) as (command, monitor, wrapper, line), sender("killall") as killall:
        for processes in ([monitor, wrapper], [wrapper, monitor], [wrapper]):
            killall(*processes)
            assert line() == b"15\n"


def test_a_real_time_signal_is_for_the_command_and_not_for_its_children(state, tmp_path):
    script = f"trap 'echo got; kill $p; exit 3' RTMIN+3; sleep 60 & p=$!; echo $p; while :; do sleep 0.05 & wait $!; done"
    with subprocess.Popen([RUN, "bash", "-c", script], env=environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        pid = int(child.stdout.readline())
        child.send_signal(signal.SIGRTMIN + 3)
        assert child.stdout.read() == b"got\n" and child.wait(20) == 3
        wait_for(lambda: not alive(pid))


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "PROF", "VTALRM", "PWR"])
def test_a_signal_to_the_wrapper_reaches_every_process_of_the_group(state, tmp_path, name):
    script = (f"trap 'echo outer >>{tmp_path}/got' {name}; (trap 'echo inner >>{tmp_path}/got; exit' {name}; "
              f"echo 1 >{tmp_path}/ready; while :; do sleep 0.05; done) & wait; wait; exit 9")
    child = subprocess.Popen([RUN, "bash", "-c", script], env=environment(state), stdin=subprocess.DEVNULL)
    wait_for((tmp_path / "ready").exists, "the command's start")
    child.send_signal(signal.Signals[f"SIG{name}"])
    assert child.wait(20) == 9
    assert sorted((tmp_path / "got").read_text().split()) == ["inner", "outer"]


def test_an_alarm_that_the_caller_has_set_is_the_commands(state):
    script = "trap 'echo alarm; exit 3' ALRM; trap 'echo hangup' HUP; while :; do sleep 0.05; done"
    done = run("bash", "-c", script, state=state, preexec_fn=lambda: signal.setitimer(signal.ITIMER_REAL, 3))
    assert (done.returncode, done.stdout) == (3, b"alarm\n")


def test_a_signal_that_was_ignored_stays_ignored(state, tmp_path):
    child = subprocess.Popen(["sh", "-c", 'trap "" HUP; exec "$0" sh -c "echo 1 >\\"$1\\"; sleep 0.5; exit 4"', RUN, tmp_path / "ready"],
                             env=environment(state))
    wait_for((tmp_path / "ready").exists, "the command's start")
    child.send_signal(signal.SIGHUP)
    assert child.wait(20) == 4


def test_a_command_that_someone_stops_and_continues_goes_on_and_so_do_we(tmp_path):
    with subprocess.Popen([RUN, "--", "sh", "-c", "echo $$; while [ ! -e go ]; do sleep 0.05; done; echo on; exit 3"], cwd=tmp_path,
                          env=environment(tmp_path / "state"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        command = int(child.stdout.readline())
        os.kill(command, signal.SIGSTOP)
        wait_for(lambda: state_of(command) == "T" and state_of(child.pid) == "T", "both to stop")
        os.kill(command, signal.SIGCONT)
        (tmp_path / "go").touch()
        try:
            assert child.wait(30) == 3 and child.stdout.read() == b"on\n"
        finally:
            kill_quietly(child.pid)


def test_a_stopped_command_that_is_killed_is_the_end_for_us_too(tmp_path):
    with subprocess.Popen([RUN, "--", "sh", "-c", "echo $$; read x"], env=environment(tmp_path / "state"), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        command = int(child.stdout.readline())
        os.kill(command, signal.SIGSTOP)
        wait_for(lambda: state_of(command) == "T" and state_of(child.pid) == "T", "both to stop")
        os.kill(command, signal.SIGKILL)
        try:
            assert child.wait(30) == -signal.SIGKILL
        finally:
            kill_quietly(child.pid)


def test_nohup_writes_to_the_callers_file(state, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        done = run("env", "A=1", "nohup", "sh", "-c", "echo one; echo two >&2", state=state, stdout=out, stderr=out, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "out").read_bytes() == b"one\ntwo\n" and not (tmp_path / "nohup.out").exists()
