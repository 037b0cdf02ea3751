"""Ctrl-C and Ctrl-\\ at a terminal reach the same processes as without nixfleet-run: also the script, make, xargs or the Python
program that has started nixfleet-run. Each case runs with and without nixfleet-run and must end in the same way."""
import contextlib
import pathlib
import re
import shutil
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import RUN, Terminal, environment, wait_for

WRAP = f"{RUN} -q "
SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]


def play(tmp_path, argv, keys, wrap, env=None):
    """Runs argv at a terminal and types each key when its pattern is seen; WRAP in argv is replaced by the wrapper, or removed.
    Returns the status, the screen and the terminal modes."""
    words = [str(word).replace("WRAP ", WRAP if wrap else "") for word in argv]
    with Terminal(*words, wrapped=False, env=environment(tmp_path / "state", PS1="$ ", TERM="dumb", **(env or {}))) as terminal:
        at = 0
        for wanted, key in keys:
            at = terminal.until(wanted, at)
            terminal.type(key)
        return terminal.wait(), re.sub(rb":\s+\d+ Quit", b": Quit", terminal.screen.replace(WRAP.encode(), b"")), terminal.modes()


def same_end(tmp_path, argv, keys, **keywords):
    (tmp_path / "direct").mkdir(), (tmp_path / "wrapped").mkdir()
    direct = play(tmp_path / "direct", argv, keys, False, **keywords)
    wrapped = play(tmp_path / "wrapped", argv, keys, True, **keywords)
    assert wrapped == direct
    return direct[:2]


READY = "sh -c 'echo ready; exec sleep 30'"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("key, number", [("\x03", signal.SIGINT), ("\x1c", signal.SIGQUIT)])
def test_a_script_does_not_go_on_to_its_next_command(tmp_path, shell, key, number):
    script = f"ulimit -c 0; WRAP {READY}; echo NEXT rc=$?"
    status, screen = same_end(tmp_path, [shell, "-c", script], [("ready", key)])
    if number == signal.SIGINT:
        assert status in (-signal.SIGINT, 130) and b"NEXT" not in screen


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_that_handles_the_key_goes_on_and_its_caller_does_what_it_does(tmp_path, shell):
    # A shell that does not wait for its command yet dies of the key: bash handles SIGINT from then on only.
    inner = """sh -c 'trap "echo caught" INT; sh -c "sleep 0.3; echo ready; exec sleep 30"; echo GOES ON; exit 7'"""
    ends = []
    for wrap in (False, True):
        status, screen, modes = play(tmp_path, [shell, "-c", f"WRAP {inner}; echo NEXT rc=$?"], [("ready", "\x03")], wrap)
        ends.append((status, b"NEXT rc=7" in screen, modes))
        assert shell == "zsh" or b"caught" in screen and b"GOES ON" in screen  # zsh may die first, which hangs up the terminal
    assert ends[0] == ends[1] and ends[0][1] == (shell == "bash")


def test_a_python_program_gets_its_keyboard_interrupt(tmp_path):
    script = f"import subprocess, shlex\ntry:\n    subprocess.run(shlex.split(\"WRAP {READY}\"))\nexcept KeyboardInterrupt:\n    print('interrupted')"
    status, screen = same_end(tmp_path, ["python3", "-c", script], [("ready", "\x03")])
    assert status == 0 and b"interrupted" in screen


def test_make_deletes_the_half_written_target(tmp_path):
    (tmp_path / "Makefile").write_text(f"t.o:\n\t@echo half >t.o\n\t@$(WRAP) {READY}\n\t@echo whole >>t.o\n")
    ends = []
    for wrap in ("", WRAP):
        with Terminal("make", "-C", tmp_path, "WRAP=" + wrap, "t.o", wrapped=False, env=environment(tmp_path / "state")) as terminal:
            terminal.until("ready")
            terminal.type("\x03")
            assert terminal.wait() in (2, -signal.SIGINT)  # both happen, also without us
            ends.append((b"Deleting file 't.o'" in terminal.screen, (tmp_path / "t.o").exists()))
    assert ends[0] == ends[1] == (True, False)


def test_xargs_ends_and_starts_no_other_command(tmp_path):
    status, screen = same_end(tmp_path, ["sh", "-c", "printf '1\\n2\\n' | xargs -n1 WRAP sh -c 'echo ready $0 >/dev/tty; exec sleep 30'"],
                              [("ready", "\x03")])
    assert b"ready 2" not in screen


def test_a_quoted_key_is_only_a_character(tmp_path):
    script = "WRAP sh -c 'echo ready; read x; printf %s \"$x\" | od -An -tx1'; echo NEXT"
    status, screen = same_end(tmp_path, ["dash", "-c", script], [("ready", "a\x16\x03b\r")])
    assert b"61 03 62" in screen and b"NEXT" in screen and status == 0


def test_a_program_that_reads_the_key_as_a_character_keeps_its_caller(tmp_path):
    script = "WRAP sh -c 'm=$(stty -g); stty raw -echo; echo ready; dd bs=1 count=3 2>/dev/null | od -An -tx1; stty $m'; echo NEXT"
    status, screen = same_end(tmp_path, ["dash", "-c", script], [("ready", "a\x03b")])
    assert b"61 03 62" in screen and b"NEXT" in screen and status == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_an_interactive_shell_at_its_prompt_keeps_the_script_that_started_it(tmp_path, shell):
    """The inner shell makes its own process group, so the key does not reach the script."""
    script = "WRAP bash --norc --noprofile -i; echo NEXT $?"
    for wrap in ("", WRAP):
        with Terminal(shell, "-c", script.replace("WRAP ", wrap), wrapped=False, env=environment(tmp_path / "state", TERM="dumb")) as terminal:
            at = terminal.until("[#$] ")
            while True:  # the shell drops a key that comes before the shell has set its terminal modes
                terminal.type("\x03")
                with contextlib.suppress(AssertionError):
                    terminal.until("\n.*[#$] ", at, seconds=2)
                    break
            terminal.type("exit 4\r")
            assert terminal.wait() == 0 and b"NEXT 4" in terminal.screen


def test_a_job_of_an_interactive_shell_is_interrupted_alone(tmp_path):
    script = "WRAP bash --norc --noprofile -i; echo NEXT $?"
    keys = [("[#$] ", "sh -c 'echo up; exec sleep 30'\r"), ("\nup", "\x03"), ("[#$] ", "echo st=$?\r"), ("st=130.*[#$] ", "exit 4\r")]
    status, screen, _ = play(tmp_path, ["dash", "-c", script], keys, True)
    assert b"NEXT 4" in screen and status == 0


def test_ctrl_z_and_fg_in_a_shell_whose_job_is_a_script(tmp_path):
    """The script and the command stop and continue together."""
    script = tmp_path / "script"
    script.write_text(f"{WRAP}sh -c 'echo ready; read x; echo got $x'\necho NEXT\n")
    with Terminal("bash", "--norc", "--noprofile", "-i", wrapped=False, env=environment(tmp_path / "state", PS1="$ ", TERM="dumb")) as terminal:
        at = terminal.until(r"\$ ")
        terminal.type(f"sh {script}\r")
        at = terminal.until("ready\r\n", at)
        terminal.type("\x1a")
        at = terminal.until(r"Stopped.*\$ ", at)
        terminal.type("fg\r")
        at = terminal.until(r"fg\r\n.*\r\n", at)
        wait_for(terminal.is_raw)
        terminal.type("word\r")
        at = terminal.until(r"got word\r\nNEXT\r\n", at)
        terminal.type("exit\r")
        terminal.wait()
