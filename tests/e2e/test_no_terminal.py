"""Called without a terminal (cron, a service, `ssh host command`, CI), programs that would ask a question fail at once, as
without us. When the caller ends, the same processes end with it as without us. Each real program runs with and without the wrapper."""
import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from users import user_with_sudo
from wrapper import RUN, alive, children, environment, kill_quietly, run, state_of, wait_for

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def needs(*programs):
    absent = [name for name in programs if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {' '.join(absent)}")


def ask(tmp_path, argv, wrapped, prefix=(), **extra):
    """Status and lines of a program without any terminal; one pipe takes stdout and stderr."""
    command = [*prefix, *([RUN, "--"] if wrapped else []), *argv]
    env = environment(tmp_path / ("wrapped" if wrapped else "direct"), HOME=str(tmp_path), **extra)
    done = subprocess.run([str(word) for word in command], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True, timeout=20, cwd=tmp_path)
    return done.returncode, [line.rstrip() for line in done.stdout.splitlines() if line.strip()]


def same(tmp_path, argv, **keywords):
    direct = ask(tmp_path, argv, False, **keywords)
    assert ask(tmp_path, argv, True, **keywords) == direct
    assert direct[0] != 0
    return direct


@pytest.fixture
def password_user(tmp_path):
    """A command prefix that runs a program as a user whose sudo asks for a password."""
    return user_with_sudo(tmp_path, "ALL")


@ROOT_ONLY
@needs("sudo", "unshare", "setpriv")
def test_sudo_that_needs_a_password_fails_at_once(tmp_path, password_user):
    status, lines = same(tmp_path, ["sudo", "id", "-un"], prefix=password_user)
    assert status == 1 and any(b"a terminal is required" in line for line in lines), lines


@ROOT_ONLY
@needs("ssh", "sshd", "ssh-keygen")
def test_ssh_to_an_unknown_host_fails_at_once(tmp_path):
    os.makedirs("/run/sshd", exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e", "-f", "/dev/null", "-h", tmp_path / "key",
                               "-o", f"ListenAddress=127.0.0.1:{port}", "-o", "PidFile=none"], stderr=subprocess.DEVNULL)
    try:
        def listening():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        wait_for(listening, "sshd")
        status, lines = same(tmp_path, ["ssh", "-o", f"UserKnownHostsFile={tmp_path}/known", "-p", port, "127.0.0.1", "id"])
        assert status == 255 and any(b"verification failed" in line for line in lines)
    finally:
        server.kill()
        server.wait()


class Refuse(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.end_headers()

    def log_message(self, *_):
        pass


@needs("git")
def test_git_that_needs_a_password_fails_at_once(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        status, lines = same(tmp_path, ["git", "ls-remote", f"http://127.0.0.1:{server.server_address[1]}/x"], GIT_ASKPASS=None, SSH_ASKPASS=None)
        server.shutdown()
    assert status == 128 and any(b"No such device or address" in line for line in lines)


@needs("gpg", "gpgconf")
def test_gpg_that_needs_a_passphrase_fails_at_once(tmp_path):
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    (tmp_path / "text").write_text("text")
    try:
        ask(tmp_path, ["gpg", "-c", "text"], False, GNUPGHOME=str(home), GPG_TTY=None)  # gpg prints messages about new files only in its first run
        status, lines = same(tmp_path, ["gpg", "-c", "text"], GNUPGHOME=str(home), GPG_TTY=None)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": str(home)}, check=False)


@pytest.mark.parametrize("argv", [["sh", "-c", "read x </dev/tty"], ["sh", "-c", "read x <&2"], ["bash", "-c", "read x <&1"],
                                  ["sh", "-c", "stty size </dev/tty"], ["python3", "-c", "open('/dev/tty')"]])
def test_a_terminal_is_not_to_be_had(tmp_path, argv):
    same(tmp_path, argv, PYTHON_COLORS="0")  # since 3.13 Python colours its errors on a pty, such as the command's


def test_the_command_is_in_the_callers_session_and_leads_none(tmp_path):
    script = "import os; print(os.getsid(0) == os.getsid(os.getppid()), os.getsid(0) == os.getpid()); raise SystemExit(1)"
    status, lines = ask(tmp_path, ["python3", "-c", script], True)
    assert (status, lines) == (1, [b"True False"])


def test_a_shell_has_no_job_control(tmp_path):
    status, lines = same(tmp_path, ["bash", "--norc", "-i", "-c", "set -o | grep monitor; exit 3"], PS1=None)
    assert status == 3 and any(b"monitor" in line for line in lines)


@pytest.mark.parametrize("redirect", [{}, {"stderr": subprocess.STDOUT}])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_callers_group_ends_all_of_it_and_comes_once(tmp_path, redirect, number):
    script = ("import signal, time\ngot = []\nfor n in (2, 15): signal.signal(n, lambda n, f: got.append(n))\nprint('up', flush=True)\n"
              "while not got: time.sleep(0.02)\ntime.sleep(0.3); print('got', *got, '\\nend', flush=True)")
    child = subprocess.Popen([RUN, "python3", "-c", script], env=environment(tmp_path / "state"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, start_new_session=True, **({"stderr": subprocess.PIPE} | redirect))
    assert child.stdout.readline() == b"up\n"
    below = [child.pid, *children(child.pid), *(pid for one in children(child.pid) for pid in children(one))]
    os.killpg(child.pid, number)
    output = child.communicate(timeout=20)[0]
    if number != signal.SIGKILL:
        assert output == b"got %d \nend\n" % number and child.returncode == 0
    wait_for(lambda: not any(alive(pid) for pid in below), "everything to be gone")


def test_nothing_stays_behind_when_the_caller_is_killed(tmp_path):
    caller = subprocess.Popen(["timeout", "600", RUN, "sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 600"],
                              env=environment(tmp_path / "state"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                              start_new_session=True)
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the command"))
    os.killpg(caller.pid, signal.SIGKILL)
    assert caller.wait(30) == -signal.SIGKILL
    wait_for(lambda: not alive(pid), "the command's end")


def test_with_a_terminal_that_no_stream_leads_to_a_password_is_still_asked_there(tmp_path):
    """`nixfleet-run sudo … </dev/null >log 2>&1` in a script that a person runs."""
    from wrapper import Terminal
    script = f"{RUN} sh -c 'stty -echo </dev/tty; printf Password: >/dev/tty; read p </dev/tty; stty echo </dev/tty; echo got $p' </dev/null >{tmp_path}/out 2>&1"
    with Terminal("sh", "-c", script, wrapped=False, env=environment(tmp_path / "state")) as terminal:
        terminal.until("Password:")
        terminal.type("secret\r")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before
    assert (tmp_path / "out").read_text() == "got secret\n" and b"secret" not in terminal.screen
