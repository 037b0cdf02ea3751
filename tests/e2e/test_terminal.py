"""At a terminal, a person does not notice nixfleet-run: keys, signals, job control, window size, terminal modes."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, Terminal, alive, all_children, children, environment, kill_quietly, state_of, wait_for

OPTIONS = ["-q"]  # otherwise one line says that there is no dashboard


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def at_terminal(state, *command, **keywords):
    return Terminal(*command, state=state, options=OPTIONS, **keywords)


def run_pid(terminal):
    """The wrapper that the interactive shell has started."""
    return wait_for(lambda: next((pid for pid in children(terminal.pid) if is_run(pid)), None), "nixfleet-run")


def is_run(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/exe").resolve().name == "nixfleet-run"
    except OSError:
        return False


def without_wrapper(*command):
    with Terminal(*command, wrapped=False, env=environment("/nonexistent/state")) as terminal:
        terminal.wait()
        return terminal.screen


# ---- bytes ----
@pytest.mark.parametrize("script", [
    r"printf 'a\nb\r\nc\td\033[31mred\033[0m\n'",
    r"printf 'ü€😀\n\377\376\000\001\n'",
    r"i=0; while [ $i -lt 300 ]; do printf '\r%3d%%' $i; i=$((i+1)); done; echo",
    r"echo out; echo err >&2; echo out",
    "seq 1 20000",
])
def test_a_terminal_gets_the_same_bytes_as_without_us(state, script):
    with at_terminal(state, "sh", "-c", script) as terminal:
        assert terminal.wait() == 0
        assert terminal.screen == without_wrapper("sh", "-c", script)


def test_every_byte_value_reaches_the_terminal(state):
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 40)"
    with at_terminal(state, "python3", "-c", script) as terminal:
        terminal.wait()
        assert terminal.screen == without_wrapper("python3", "-c", script)


def test_the_command_sees_a_terminal_on_all_three(state):
    with at_terminal(state, "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tty && stty size", rows=31, cols=97) as terminal:
        assert terminal.wait() == 0
        assert b"/dev/pts/" in terminal.screen and b"31 97" in terminal.screen


def test_without_a_dashboard_one_line_says_so_and_nothing_else(state):
    with Terminal("echo", "hi", state=state) as terminal:
        assert terminal.wait() == 0
        assert terminal.screen == b"nixfleet-run: no dashboard configured (--url): the run is only logged\r\nhi\r\n"


@pytest.mark.parametrize("redirected", [1, 2])
def test_one_redirected_stream_is_a_pipe_and_the_other_one_stays_a_terminal(state, redirected):
    read_end, write_end = os.pipe()
    script = f"test -t {3 - redirected} && ! test -t {redirected} && printf 'x\\ny\\377' >&{redirected}; printf 'shown\\n' >&{3 - redirected}"
    with at_terminal(state, "sh", "-c", script, redirect={redirected: write_end}) as terminal:
        os.close(write_end)
        assert terminal.wait() == 0
        assert terminal.screen == b"shown\r\n" and os.read(read_end, 100) == b"x\ny\xff"
    os.close(read_end)


def test_a_piped_stdin_is_the_callers_own_while_a_password_is_typed(state):
    read_end, write_end = os.pipe()
    script = "stty -echo </dev/tty; printf 'Password: ' >/dev/tty; read p </dev/tty; stty echo </dev/tty; read line; echo \"$p+$line\""
    with at_terminal(state, "sh", "-c", script, redirect={0: read_end}) as terminal:
        os.write(write_end, b"from the pipe\n")
        terminal.until("Password: ")
        terminal.type("secret\r")
        terminal.until("secret\\+from the pipe")
        assert terminal.wait() == 0 and terminal.screen.count(b"secret") == 1  # it was not echoed
    os.close(read_end), os.close(write_end)


def test_what_is_captured_holds_no_echo_and_no_prompt(state):
    ask = "printf Password: >/dev/tty; read x; test -t 1 && test -t 2 && echo got $x; echo problem >&2"
    script = f"out=$({RUN} sh -c '{ask}' 2>&1); echo \"[$out]\""
    with Terminal("bash", "-c", script, wrapped=False, env=environment(state)) as terminal:
        at = terminal.until("Password:")
        terminal.type("word\r")
        terminal.until(re.escape("word\r\n[got word\r\nproblem]\r\n"), at)
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


def test_ctrl_c_ends_a_captured_command_and_the_script_that_captures(state):
    with Terminal("bash", "-c", f"out=$({RUN} sh -c 'echo up >/dev/tty; exec sleep 60' 2>&1); echo after", wrapped=False,
                  env=environment(state)) as terminal:
        terminal.until("up")
        terminal.type("\x03")
        assert terminal.wait() == -signal.SIGINT and b"after" not in terminal.screen


def test_a_terminal_that_is_not_our_controlling_one_gets_the_same_bytes_too(state):
    command = ["sh", "-c", "echo a; stty size <&1; stty -a <&1; echo b >&2"]
    seen = []
    for argv in (command, [RUN, "-q", *command]):
        master, slave = os.openpty()
        termios.tcsetwinsize(slave, (31, 97))
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, start_new_session=True, env=environment(state),
                       timeout=20, check=True)
        seen.append(os.read(master, 4096))
        os.close(master), os.close(slave)
    assert seen[0] == seen[1] and b"31 97\r\nspeed" in seen[0]


# ---- keys ----
def test_a_question_is_answered(state):
    with at_terminal(state, "sh", "-c", "printf 'Sure? [y/n] '; read a; echo got $a") as terminal:
        terminal.until("Sure")
        terminal.type("y\r")
        terminal.until("y\r\ngot y\r\n")
        assert terminal.wait() == 0


def test_end_of_file_is_typed_with_ctrl_d(state):
    with at_terminal(state, "sh", "-c", "echo ready; cat; echo end") as terminal:
        terminal.until("ready")
        terminal.type("line\r\x04")
        terminal.until("line\r\nline\r\nend\r\n")
        assert terminal.wait() == 0


def test_much_that_is_pasted_arrives_whole(state):
    lines = b"".join(b"%05d\r" % i for i in range(3000))
    script = "import sys; print('ready', flush=True); print('got', len([sys.stdin.readline() for _ in range(3000)]))"
    with at_terminal(state, "python3", "-c", script) as terminal:
        terminal.until("ready")
        for i in range(0, len(lines), 512):
            terminal.type(lines[i:i + 512])
            terminal.pump(0)
        terminal.until("got 3000")
        assert terminal.wait() == 0


@pytest.mark.parametrize("key, number", [("\x03", signal.SIGINT), ("\x1c", signal.SIGQUIT)])
def test_ctrl_c_and_ctrl_backslash_kill_the_command_and_us_in_the_same_way(state, key, number):
    with at_terminal(state, "sh", "-c", "ulimit -c 0; echo ready; exec sleep 60") as terminal:
        terminal.until("ready")
        terminal.type(key)
        assert terminal.wait() == -number
        assert terminal.modes() == terminal.before


def test_a_command_that_takes_ctrl_c_goes_on(state):
    with at_terminal(state, "bash", "-c", "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done") as terminal:
        terminal.until("ready")
        terminal.type("\x03")
        assert terminal.wait() == 6 and b"caught" in terminal.screen


# ---- keys that nobody has read ----
@pytest.mark.skipif(os.geteuid() != 0 and pathlib.Path("/proc/sys/dev/tty/legacy_tiocsti").exists()
                    and pathlib.Path("/proc/sys/dev/tty/legacy_tiocsti").read_text().strip() == "0", reason="the kernel allows no TIOCSTI")
@pytest.mark.parametrize("typed", ["one\rtwo\r", "one\r", "one\rtw"])
def test_what_is_typed_ahead_is_for_the_next_reader(state, tmp_path, typed):
    script = f"RUN sh -c 'echo up; until [ -e {tmp_path}/go ]; do sleep 0.05; done'; read a; read b; echo \"got $a $b\""
    seen = []
    for wrap in ("", f"{RUN} -q"):
        (tmp_path / "go").unlink(missing_ok=True)
        with Terminal("bash", "-c", script.replace("RUN", wrap), wrapped=False, env=environment(state)) as terminal:
            at = terminal.until("up\r\n")
            terminal.type(typed)
            terminal.until(re.escape(typed.replace("\r", "\r\n")), at)
            (tmp_path / "go").touch()
            if typed.count("\r") < 2:
                time.sleep(0.3)
                terminal.type("o\r")
            assert terminal.wait() == 0 and terminal.modes() == terminal.before
            seen.append(terminal.screen.splitlines()[-1])
    assert seen[0] == seen[1] and seen[0].startswith(b"got one ")


# ---- other processes that write to the same terminal ----
def test_a_job_beside_the_command_writes_whole_lines(state, tmp_path):
    """The command also writes whole lines, also if it changes the modes of its terminal."""
    script = (f"(until [ -e {tmp_path}/up ]; do sleep 0.02; done; for i in $(seq 300); do echo job $i; sleep 0.002; done; touch {tmp_path}/go) & "
              f"{RUN} -q sh -c 'stty -opost; printf \"raw\\nline\\r\\n\"; stty opost; until [ -e {tmp_path}/go ]; do echo command; sleep 0.01; done'")
    with Terminal("bash", "-c", script, wrapped=False, env=environment(state)) as terminal:
        terminal.until("line\r\n")
        (tmp_path / "up").touch()
        assert terminal.wait() == 0 and terminal.modes() == terminal.before
    assert terminal.screen.startswith(b"raw\nline\r\n")
    rest = terminal.screen.partition(b"line\r\n")[2]
    stairs = re.findall(rb"[^\r]\n", rest)
    assert rest.count(b"job ") == 300 and rest.count(b"command") > 5 and len(stairs) <= 3 and b"\r\r\n" not in rest


# ---- programs that the command did not start ----
@pytest.mark.skipif(not shutil.which("gpg") or not shutil.which("pinentry-curses"), reason="gpg or pinentry-curses is not installed")
@pytest.mark.parametrize("agent", ["started inside", "started before"])
def test_a_passphrase_for_gpg_is_neither_shown_nor_logged(state, tmp_path, agent):
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    (home / "gpg-agent.conf").write_text(f"pinentry-program {shutil.which('pinentry-curses')}\nallow-loopback-pinentry\n")
    env = environment(state, GNUPGHOME=str(home), TERM="xterm", LC_ALL="C")
    make = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "opensesame", "--quick-generate-key", "test <t@example.org>", "ed25519", "sign"]
    subprocess.run(make, env=env, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=False)
    (tmp_path / "text").write_text("text")
    first = "gpg-connect-agent updatestartuptty /bye >/dev/null; " if agent == "started before" else ""
    script = f"export GPG_TTY=$(tty); {first}{RUN} -q gpg --clearsign -o {tmp_path}/sig --yes {tmp_path}/text; echo RC=$?"
    try:
        with Terminal("bash", "-c", script, wrapped=False, env=env) as terminal:
            terminal.until("assphrase:")
            time.sleep(0.3)
            for key in "opensesame":
                terminal.type(key)
                end = time.monotonic() + 0.1  # as a person types
                while time.monotonic() < end:
                    terminal.pump(0.02)
            terminal.type("\r")
            terminal.until("RC=0")
            terminal.wait()
            assert terminal.modes() == terminal.before
        assert (tmp_path / "sig").exists()
        shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b.", b"", terminal.screen)
        for part in (b"opens", b"pense", b"sesam", b"esame"):
            assert part not in shown and not any(part in log.read_bytes() for log in state.glob("*.log"))
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=env, check=False)


# ---- window ----
def test_a_terminal_without_a_size_has_none_for_the_command(state):
    """As on a serial line: programs then use LINES and COLUMNS."""
    script = "trap 'stty size; exit' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
    with at_terminal(state, "bash", "-c", script, rows=0, cols=0) as terminal:
        terminal.until("0 0\r\nready")
        terminal.resize(33, 111)
        terminal.until("33 111")
        assert terminal.wait() == 0


@pytest.mark.parametrize("window", [(24, 80, 800, 480), (0, 132, 0, 0), (50, 0, 0, 7)])
def test_the_window_is_the_callers_in_every_number(state, window):
    look = "import array, fcntl, termios; a = array.array('H', [9] * 4); fcntl.ioctl(0, termios.TIOCGWINSZ, a); print(a.tolist(), flush=True)"
    script = f"import signal; {look}; signal.sigwait([signal.SIGWINCH]); {look}"
    prepare = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH]); "
    with at_terminal(state, "python3", "-c", prepare + script, rows=window[0], cols=window[1], pixels=window[2:]) as terminal:
        terminal.until(re.escape(str(list(window))))
        terminal.resize(window[0], window[1], (99, 98))  # only the size in pixels changes
        terminal.until(re.escape(str([*window[:2], 99, 98])))
        assert terminal.wait() == 0


def test_a_resize_reaches_the_command(state):
    script = "trap 'stty size; exit' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
    with at_terminal(state, "bash", "-c", script, rows=20, cols=70) as terminal:
        terminal.until("20 70\r\nready")
        terminal.resize(33, 111)
        terminal.until("33 111")
        assert terminal.wait() == 0


# ---- the terminal afterwards ----
def test_the_terminal_is_raw_while_the_command_runs_and_as_before_after_it(state):
    with at_terminal(state, "sh", "-c", "read x; exit 3") as terminal:
        wait_for(terminal.is_raw, "raw mode")
        terminal.type("\r")
        assert terminal.wait() == 3 and terminal.modes() == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_the_terminal_is_restored_when_the_wrapper_is_asked_to_end(state, number):
    with at_terminal(state, "sleep", "60") as terminal:
        wait_for(terminal.is_raw, "raw mode")
        os.kill(terminal.pid, number)
        assert terminal.wait() == -number and terminal.modes() == terminal.before


def test_the_terminal_is_restored_when_the_command_leaves_its_own_in_raw_mode(state):
    with at_terminal(state, "sh", "-c", "stty raw -echo; kill -9 $$") as terminal:
        assert terminal.wait() == -signal.SIGKILL and terminal.modes() == terminal.before


def test_the_terminal_is_restored_when_the_monitor_is_killed(state):
    with at_terminal(state, "sleep", "60") as terminal:
        wait_for(terminal.is_raw, "raw mode")
        monitor = next(pid for pid in children(terminal.pid) if is_run(pid))
        command, = (pid for pid in children(monitor) if not is_run(pid))
        try:
            kill_quietly(monitor)
            terminal.wait()
            assert terminal.modes() == terminal.before
        finally:
            kill_quietly(command)


def test_the_terminal_is_restored_with_killed_helpers(state, tmp_path):
    (tmp_path / "report").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "report").chmod(0o755)
    env = environment(state, NIXFLEET_REPORT=str(tmp_path / "report"), NIXFLEET_URL="http://127.0.0.1:1", NIXFLEET_HOST="h",
                      NIXFLEET_TOKEN="t", NIXFLEET_FLUSH_TIMEOUT="0")
    with Terminal("sh", "-c", "read x; echo end", env=env) as terminal:
        wait_for(terminal.is_raw, "raw mode")
        for pid in wait_for(lambda: [p for p in children(terminal.pid) if not is_run(p)][1:] and [p for p in children(terminal.pid) if not is_run(p)], "helpers"):
            kill_quietly(pid)
        terminal.type("\r")
        assert terminal.wait() == 0 and b"end" in terminal.screen and terminal.modes() == terminal.before


# ---- job control, from an interactive shell ----
@pytest.fixture
def shell(state):
    env = environment(state, PS1="$ ", TERM="dumb", NIXFLEET_QUIET="1")
    with Terminal("bash", "--norc", "--noprofile", "-i", wrapped=False, env=env) as terminal:
        terminal.until(r"\$ ")
        terminal.cooked = terminal.before
        yield terminal
        for pid in children(terminal.pid):
            kill_quietly(pid)


def test_ctrl_z_stops_the_command_and_fg_goes_on_with_it(shell):
    shell.type(f"{RUN} sh -c 'echo up; read x; echo got $x; exit 5'\r")
    at = shell.until("\nup\r\n")
    pid = run_pid(shell)
    shell.type("\x1a")
    at = shell.until(r"Stopped.*\$ ", at)
    assert state_of(pid) == "T"
    shell.type("fg\r")
    at = shell.until(r"sh -c.*\r\n", at)
    wait_for(lambda: state_of(pid) == "S")
    shell.type("word\r")
    at = shell.until(r"got word\r\n", at)
    at = shell.until(r"\$ ", at)
    shell.type("echo status=$?\r")
    shell.until("status=5", at)


def test_ctrl_z_twice_and_ctrl_c_at_last(shell):
    shell.type(f"{RUN} sleep 60\r")
    pid = run_pid(shell)
    at = len(shell.screen)
    for _ in range(2):
        wait_for(lambda: state_of(pid) == "S" and shell.is_raw() and children(pid) and children(children(pid)[0]))
        shell.type("\x1a")
        at = shell.until(r"Stopped.*\$ ", at)
        shell.type("fg\r")
        at = shell.until(r"fg\r\n.*sleep 60\r\n", at)
    wait_for(lambda: state_of(pid) == "S")
    wait_for(shell.is_raw)
    shell.type("\x03")
    at = shell.until(r"\$ ", at)
    shell.type("echo status=$?\r")
    shell.until("status=130", at)


def test_a_stopped_run_goes_on_in_the_background_and_can_be_brought_back(shell, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    shell.type(f"{RUN} sh -c 'echo up; read x <{gate}; echo passed; read y; echo got $y'\r")
    at = shell.until("\nup\r\n")
    pid = run_pid(shell)
    shell.type("\x1a")
    at = shell.until(r"Stopped.*\$ ", at)
    shell.type("bg\r")
    at = shell.until(r"\$ ", shell.until(r"bg\r\n.*&", at))
    gate.write_text("go\n")
    at = shell.until("passed", at)
    shell.type("echo shell is $((40 + 2))\r")  # the shell gets the keys
    at = shell.until("shell is 42", at)
    assert alive(pid)
    shell.type("fg\r")
    at = shell.until(r"fg\r\n.*sh -c.*\r\n", at)
    wait_for(shell.is_raw)
    shell.type("word\r")
    shell.until("got word", at)


def test_a_run_started_in_the_background_leaves_keys_and_modes_to_the_shell(shell, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    shell.type(f"{RUN} sh -c 'echo begun; read x <{gate}; echo finished' &\r")
    at = shell.until("begun")
    shell.type("echo shell is $((40 + 2))\r")
    at = shell.until("shell is 42", at)
    gate.write_text("go\n")
    at = shell.until("finished", at)
    shell.type("wait; echo status=$?\r")
    shell.until("status=0", at)


def test_a_background_run_gets_the_keys_after_it_was_brought_to_the_foreground(shell):
    """No signal reports that the run is now in the foreground, so nixfleet-run must check this itself."""
    for _ in range(5):
        at = len(shell.screen)
        shell.type(f"{RUN} -q sh -c 'echo up; exec cat' &\r")
        at = shell.until(r"up\r\n", at)
        shell.type("fg\r")
        shell.until(r"fg\r\n.*exec cat'\r\n", at)
        wait_for(shell.is_raw)
        shell.type("\x03")
        wait_for(lambda: not children(shell.pid))


def test_a_line_is_edited_and_read_in_a_run_that_bash_has_started_in_the_background(state):
    """At its prompt bash uses its own terminal modes; the command must not get these modes."""
    with Terminal("bash", "--norc", "-i", wrapped=False, env=environment(state, PS1="$ ", TERM="dumb"), cols=200) as terminal:
        at = terminal.until(r"\$ ")
        terminal.type(f"{RUN} -q bash -c 'echo up$((1)); read x; echo got $x' &\r")
        at = terminal.until(r"up1\r\n", at)
        terminal.type("fg\r")
        at = terminal.until(r"fg\r\n.*got \$x'\r\n", at)
        terminal.type("ab\x7fc\r")
        terminal.until(r"got ac\r\n", at)
        terminal.type("exit\r")
        assert terminal.wait() == 0


def test_the_terminal_is_restored_when_the_wrapper_is_killed(state):
    """A Python program does this when the timeout of subprocess.run() has passed."""
    script = f"import subprocess; subprocess.Popen(['{RUN}', '-q', 'sh', '-c', 'echo up; exec sleep 60']).wait(); input()"
    with Terminal("python3", "-c", script, wrapped=False, env=environment(state)) as terminal:
        terminal.until("up")
        wait_for(terminal.is_raw)
        (wrapper,) = all_children(terminal.pid)
        kill_quietly(wrapper)
        wait_for(lambda: terminal.modes() == terminal.before, "the modes of before")
        terminal.type("\r")
        assert terminal.wait() == 0


def test_a_background_run_of_a_script_without_job_control_leaves_the_terminal_alone(state):
    script = f"{RUN} -q sh -c 'echo one; echo two' & wait; stty -a"
    with Terminal("sh", "-c", script, wrapped=False, env=environment(state)) as terminal:
        assert terminal.wait() == 0 and terminal.modes() == terminal.before
        assert b"one\r\ntwo\r\n" in terminal.screen.replace(b"\r\r\n", b"?") and b" icanon" in terminal.screen


@pytest.mark.parametrize("script", ["{0} & {1}; wait", "{1} & {0}; wait", "{{ {0} <&3 & {1} <&3; wait; }} 3<&0",
                                    "{{ {1} <&3 & {0} <&3; wait; }} 3<&0"])
def test_runs_side_by_side_leave_the_terminal_as_it_was(state, script):
    """Only one run at a time makes the terminal raw. Otherwise the second run would save the raw modes as the original modes."""
    slow, quick = (f"{RUN} -q bash -c 'sleep {seconds}; echo {seconds}'" for seconds in (0.7, 0.3))
    with Terminal("bash", "-c", script.format(slow, quick), wrapped=False, env=environment(state)) as terminal:
        assert terminal.wait() == 0 and terminal.modes() == terminal.before
    assert re.findall(rb"0\.[37]\r*\n", terminal.screen) == [b"0.3\r\n", b"0.7\r\n"]


def test_a_run_beside_another_one_finds_the_modes_of_the_terminal(state):
    with Terminal("sleep", "600", state=state, options=["-q"]) as first:
        first.until(first.is_raw)
        name = os.ttyname(first.slave)
        with open(name, "rb+", buffering=0) as again:
            done = subprocess.run([RUN, "-q", "stty", "-a"], env=environment(state), stdin=again, stdout=again, stderr=again, timeout=20)
        assert done.returncode == 0
        first.until(rb" echoke")
        assert {b"opost", b"icanon", b"echo", b"icrnl", b"isig"} <= set(first.screen.split()) and first.is_raw()


def test_runs_at_different_terminals_do_not_wait_for_each_other(state):
    with Terminal("cat", state=state, options=["-q"]) as one, Terminal("cat", state=state, options=["-q"]) as two:
        for terminal in (one, two):
            terminal.until(terminal.is_raw)
        for terminal in (one, two):
            terminal.type("\x04")
            assert terminal.wait() == 0


def test_a_background_run_writes_what_the_command_alone_would(state, tmp_path):
    """A background run cannot make the terminal raw. The terminal itself adds CRs, so nixfleet-run must not add a second CR."""
    output = r"printf 'one\ntwo\r\nbar\r'; sleep 0.3; printf 'baz\r'; sleep 0.3; printf '\nend\n\r'"
    script = f"set -m; {{}} sh -c \"{output}\" & wait"
    seen = []
    for wrapper in ("", f"{RUN} -q "):
        with Terminal("sh", "-c", script.format(wrapper), wrapped=False, env=environment(state)) as terminal:
            assert terminal.wait() == 0
            seen.append(terminal.screen)
    assert seen[0] == seen[1] and b"end\r\n" in seen[0]
    log, = state.glob("*.log")
    assert log.read_bytes() == b"one\r\ntwo\r\r\nbar\rbaz\r\r\nend\r\n\r"


def test_kill_stop_and_continue_from_outside(shell):
    shell.type(f"{RUN} sh -c 'echo up; read x; echo got $x'\r")
    at = shell.until("\nup\r\n")
    pid = run_pid(shell)
    monitor = children(pid)[0]
    command = children(monitor)[0]
    os.kill(command, signal.SIGSTOP)
    at = shell.until(r"Stopped.*\$ ", at)
    wait_for(lambda: state_of(pid) == "T")
    shell.type("fg\r")
    at = shell.until(r"sh -c.*\r\n", at)
    wait_for(lambda: state_of(command) == "S" and shell.is_raw())
    shell.type("word\r")
    shell.until("got word", at)


def test_a_wrapper_that_was_stopped_finds_out_whose_the_terminal_is(shell):
    shell.type(f"{RUN} sh -c 'trap \"echo hung up\" HUP; echo up; until read x; do :; done; echo got $x'\r")
    at = shell.until("\nup\r\n")
    pid = run_pid(shell)
    for back in ("bg", "fg"):
        os.kill(pid, signal.SIGSTOP)  # stops the wrapper only; the command continues
        at = shell.until(r"Stopped.*\$ ", at)
        shell.type(back + "\r")
        at = shell.until(back + r"\r\n.*sh -c.*\r\n", at)
        if back == "bg":
            shell.type("echo shell is $((40 + 2))\r")  # the shell gets the keys
            at = shell.until("shell is 42", at)
            shell.type("fg\r")
            at = shell.until(r"fg\r\n.*sh -c.*\r\n", at)
        wait_for(lambda: state_of(pid) == "S" and shell.is_raw())
    shell.type("word\r")
    at = shell.until(r"\$ ", shell.until("got word\r\n", at))
    assert b"hung up\r\n" not in shell.screen and b"word\r\nword" not in shell.screen


# ---- beside other programs that have the same terminal ----
def in_pipeline(state, script, **extra):
    return Terminal("bash", "-c", script.replace("RUN", f"{RUN} -q"), wrapped=False, env=environment(state, **extra))


def test_the_keys_of_a_pager_in_the_pipeline_are_the_pagers(state, tmp_path):
    os.mkfifo(tmp_path / "gate")
    with in_pipeline(state, f"RUN sh -c 'seq 1 200; read x <{tmp_path}/gate' | less", TERM="vt100") as terminal:
        at = terminal.until("\r\n23\r\n")
        for i in range(20):
            terminal.type(" \x02"[i % 2])  # forward, back: less must react to each key
            at = terminal.until("46\r\n|\x1bM1", at)
        (tmp_path / "gate").write_text("go\n")
        terminal.type("G")
        at = terminal.until("\r\n200\r\n", at)
        terminal.type("q")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


def test_the_terminal_is_as_before_when_the_pager_goes_before_the_command(state, tmp_path):
    os.mkfifo(tmp_path / "gate")
    with in_pipeline(state, f"RUN sh -c 'seq 1 200; read x <{tmp_path}/gate' | less; exit ${{PIPESTATUS[0]}}", TERM="vt100") as terminal:
        terminal.until("\r\n23\r\n")
        terminal.type("q")
        wait_for(lambda: terminal.pump() and terminal.modes() == terminal.before)
        (tmp_path / "gate").write_text("go\n")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


@pytest.mark.parametrize("pipeline", ["RUN sh -c 'echo hi; read x <{gate}' | {ask}", "{ask} | RUN sh -c 'read x <{gate}; cat'"])
def test_another_program_of_the_pipeline_asks_for_a_password(state, tmp_path, pipeline):
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "ask").write_text("stty -echo </dev/tty; printf 'Password: ' >/dev/tty; read p </dev/tty; stty echo </dev/tty\n"
                                  "echo \"got $p\" >/dev/tty\n[ -t 0 ] || cat\n")
    with in_pipeline(state, pipeline.format(gate=tmp_path / "gate", ask=f"sh {tmp_path}/ask")) as terminal:
        at = terminal.until("Password: ")
        for key in "secret\r":
            terminal.type(key)
            terminal.pump(0.05)
        terminal.until("got secret\r\n", at)
        (tmp_path / "gate").write_text("go\n")
        assert terminal.wait() == 0 and terminal.screen.count(b"secret") == 1 and terminal.modes() == terminal.before


def test_in_a_pipeline_the_command_asks_and_reads_what_is_typed(state):
    ask = "printf Name: >&2; read a; stty -echo; printf Password: >&2; read b; stty echo; cat >/dev/null; echo \"$a+$b\" >&2"
    with in_pipeline(state, f"RUN sh -c '{ask}' | cat") as terminal:
        at = terminal.until("Name:")
        terminal.type("me\r")
        at = terminal.until("me\r\nPassword:", at)
        assert terminal.is_raw()  # raw even before the command turns the echo off
        terminal.type("secret\r")
        wait_for(lambda: terminal.pump() and not terminal.is_raw())  # the wrapper has restored the modes
        terminal.type("more\r")
        at = terminal.until("more\r\n", at)
        terminal.type("last\x04\x04")  # the first Ctrl-D ends the line, the second Ctrl-D is the end of file
        terminal.until("me\\+secret\r\n", at)
        assert terminal.wait() == 0 and terminal.modes() == terminal.before
        assert terminal.screen == b"Name:me\r\nPassword:more\r\nlastme+secret\r\n"


@pytest.mark.parametrize("modes, command, typed", [("-icanon -echo min 1", "dd bs=1 count=1", "k"), ("-echo", "head -n1", "word\r")])
def test_modes_that_the_caller_has_set_before_are_the_commands(state, modes, command, typed):
    with in_pipeline(state, f"stty {modes}; echo up; k=$(RUN {command} 2>/dev/null); stty sane; echo \"got $k.\"") as terminal:
        at = terminal.until("up\r\n")
        terminal.type(typed)
        terminal.until(f"got {typed.strip()}\\.", at)
        assert terminal.wait() == 0


def test_keys_that_signal_reach_a_job_of_a_shell_behind_a_pipe(state):
    with in_pipeline(state, "RUN bash --norc -i 2> >(env --ignore-signal=INT cat >&2)") as terminal:
        terminal.until("[$#] ")
        terminal.type("sleep 1000\r")
        wait_for(lambda: terminal.pump() and "sleep\n" in commands_below(terminal.pid))
        terminal.type("\x03")
        wait_for(lambda: terminal.pump() and "sleep\n" not in commands_below(terminal.pid))
        terminal.type("exit 3\r")
        assert terminal.wait() == 3


def commands_below(pid):
    return [name for child in children(pid) for name in [pathlib.Path(f"/proc/{child}/comm").read_text(), *commands_below(child)]]


def test_a_full_screen_program_in_a_pipeline_gets_its_keys(state, tmp_path):
    with in_pipeline(state, "seq 1 200 | RUN less", TERM="vt100") as terminal:
        at = terminal.until("\r\n23\r\n")
        terminal.type("G")
        at = terminal.until("\r\n200\r\n", at)
        terminal.type("q")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


# ---- a command that runs as root ----
@pytest.fixture
def as_root(tmp_path):
    """A program that becomes root, as sudo does, and then runs its first argument in a shell."""
    program = pathlib.Path("/tmp") / f"nixfleet-as-root-{os.getpid()}"
    (tmp_path / "become.c").write_text('#include <unistd.h>\nint main(int c, char **v) { (void)c; if (setgid(0) || setuid(0)) return 9; '
                                       'execl("/bin/sh", "sh", "-c", v[1], (char *)0); return 9; }\n')
    subprocess.run(["cc", "-o", program, tmp_path / "become.c"], check=True)
    program.chmod(0o4755)
    yield program
    program.unlink()


def as_nobody():
    os.setgid(65534)
    os.setuid(65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up")
def test_sigterm_ends_a_command_of_root(as_root):
    with Terminal(as_root, "echo up; exec sleep 60", env=environment("/nonexistent/state", HOME="/tmp"), options=["-q"], prepare=as_nobody) as terminal:
        terminal.until("up")
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait() == -signal.SIGINT


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up")
def test_a_second_sigterm_hangs_up_on_a_command_of_root_that_takes_no_interrupt(as_root):
    script = "trap 'echo no' INT; trap 'echo hup; exit 4' HUP; echo up; while :; do sleep 0.05; done"
    with Terminal(as_root, script, env=environment("/nonexistent/state", HOME="/tmp"), options=["-q"], prepare=as_nobody) as terminal:
        at = terminal.until("up")
        os.kill(terminal.pid, signal.SIGTERM)
        at = terminal.until("no", at)
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.until("hup", at)
        assert terminal.wait() == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up")
def test_a_command_of_root_that_nothing_ends_is_said_to_go_on_here_and_in_the_log(as_root):
    place = pathlib.Path(tempfile.mkdtemp(prefix="nixfleet-root-", dir="/tmp"))
    os.chown(place, 65534, 65534)
    script = f"trap 'echo no' INT; trap 'echo hup' HUP; echo up; until [ -e {place}/go ]; do sleep 0.05; done"
    try:
        with Terminal(as_root, script, env=environment(place / "state", HOME="/tmp"), prepare=as_nobody) as terminal:
            at = terminal.until("up")
            os.kill(terminal.pid, signal.SIGTERM)
            at = terminal.until("has been interrupted, but continues", at)
            os.kill(terminal.pid, signal.SIGTERM)
            terminal.until("neither an interrupt nor a hangup ends it", at)
            (place / "go").touch()
            terminal.wait()
        log = next((place / "state").glob("*.log")).read_text()
        assert "[nixfleet-run: the command belongs to another user and has been interrupted" in log
        assert "[nixfleet-run: the command belongs to another user, and neither" in log
    finally:
        shutil.rmtree(place)


def may_mount():
    return shutil.which("unshare") is not None and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("sudo") or not may_mount(), reason="needs root, sudo and a mount namespace")
@pytest.mark.parametrize("command", ["sudo", "env A=1 nice sudo -n"])
def test_what_sudo_runs_is_captured_also_where_sudo_uses_a_terminal_of_its_own(state, tmp_path, command):
    (tmp_path / "sudoers").write_text("Defaults use_pty\nroot ALL=(ALL) NOPASSWD: ALL\n")
    (tmp_path / "sudoers").chmod(0o440)
    script = f"mount --bind {tmp_path}/sudoers /etc/sudoers; x=$({RUN} {command} sh -c 'echo out; echo err >&2' 2>&1); echo captured $x with $?"
    with Terminal("unshare", "-m", "sh", "-c", script, wrapped=False, env=environment(state)) as terminal:
        terminal.until("captured (?:sudo: unable to resolve host [^\n]*)?out err with 0")  # sudo prints this in a chroot without /etc/hosts
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


# ---- full-screen programs ----
def test_less_pages_forward_and_back(state, tmp_path):
    (tmp_path / "text").write_text("".join(f"line {i}\n" for i in range(1, 201)))
    with at_terminal(state, "less", tmp_path / "text") as terminal:
        terminal.until("line 23")
        at = len(terminal.screen)
        terminal.type(" ")
        at = terminal.until("line 46", at)
        terminal.type("G")
        at = terminal.until("line 200", at)
        terminal.type("q")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


def test_vim_edits_a_file(state, tmp_path):
    vim = shutil.which("vim") or "vim.tiny"
    edit = f"cd {tmp_path} && exec {vim} -u NONE -n text"  # a long path makes vim ask for a key
    with at_terminal(state, "sh", "-c", edit) as terminal:
        terminal.until("text")
        terminal.until(lambda: b"\x1b[?1049h" in terminal.screen)
        terminal.type("ihello\x1b")
        terminal.until("hello")
        terminal.type(":wq\r")
        assert terminal.wait() == 0
        assert (tmp_path / "text").read_text() == "hello\n" and terminal.modes() == terminal.before


# ---- what must not delay our end, and a terminal that hangs up ----
def test_a_grandchild_that_keeps_the_terminal_open_delays_nothing(state, tmp_path):
    with at_terminal(state, "sh", "-c", f"sleep 600 & echo $! >{tmp_path}/pid; echo hi") as terminal:
        assert terminal.wait(10) == 0 and terminal.screen == b"hi\r\n"
    pid = int((tmp_path / "pid").read_text())
    try:
        assert alive(pid)
    finally:
        kill_quietly(pid)


def test_a_terminal_that_goes_away_hangs_up_on_the_command(state, tmp_path):
    with at_terminal(state, "sh", "-c", f"trap 'echo hup >{tmp_path}/got; exit' HUP; echo ready; while :; do sleep 0.05; done") as terminal:
        terminal.until("ready")
        terminal.hang_up()
        wait_for((tmp_path / "got").exists, "SIGHUP in the command")
        wait_for(lambda: terminal.poll() is not None, "the wrapper's end")


@pytest.mark.parametrize("options", [["-q"], ["-q", "--nohup"]])
def test_what_outlives_its_terminal_finds_the_end_of_file_there(state, tmp_path, options):
    script = f"trap '' HUP; echo ready; read x; echo one $? >{tmp_path}/got; read y; echo two $? >>{tmp_path}/got; exit 7"
    with Terminal("sh", "-c", script, state=state, options=options) as terminal:
        terminal.until("ready")
        terminal.type("half a line")
        terminal.until("half a line")
        terminal.hang_up()
        wait_for(lambda: terminal.poll() is not None, "the wrapper's end")
        assert terminal.status == 7 and (tmp_path / "got").read_text() == "one 1\ntwo 1\n"


def test_with_nohup_the_run_goes_on_and_is_logged_when_the_terminal_goes(state, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"echo ready; read x <{gate}; echo after; echo more; echo done >{tmp_path}/done; exit 8"
    with Terminal("sh", "-c", script, state=state, options=["-q", "--nohup"]) as terminal:
        terminal.until("ready")
        terminal.hang_up()
        gate.write_text("go\n")
        wait_for((tmp_path / "done").exists, "the command's end")
        wait_for(lambda: terminal.poll() is not None, "the wrapper's end")
        assert terminal.status == 8
    log, = state.glob("*.log")
    assert log.read_bytes() == b"ready\r\nafter\r\nmore\r\n"


def test_a_wrapper_without_its_terminal_does_not_spin(state, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with Terminal("sh", "-c", f"echo ready; read x <{gate}", state=state, options=["-q", "--nohup"]) as terminal:
        terminal.until("ready")
        terminal.hang_up()
        time.sleep(1)  # long enough to notice a busy loop
        fields = pathlib.Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()
        gate.write_text("go\n")
        wait_for(lambda: terminal.poll() is not None, "the wrapper's end")
        assert (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") < 0.3
