"""Configurations are made, checked and refused; the service manager is notified."""
import os
import pathlib
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import tempfile
import termios

import pytest
from lib.dashserver import BIN, TOKEN, Dashboard, store_settings, wait_for
from lib.people import PASSWORD, cookie_of, settings, sign_in
from lib.wrapper import NO_LEAK_CHECK
from lib.ws import WebSocket

PROGRAM = str(BIN / "nixfleet-dashboard")


def run(*arguments, config=None, **keywords):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")} | NO_LEAK_CHECK
    options = ["--config", str(config)] if config else []
    return subprocess.run([PROGRAM, *options, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=60, **keywords)


def write(path, **values):
    path.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A configuration that setup has made, and what setup printed."""
    config = tmp_path_factory.mktemp("setup") / "etc/nixfleet.conf"
    done = run("setup", config=config, input=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    return config, done.stdout


def test_setup_writes_a_configuration_that_is_complete_and_for_root_only(made):
    config, said = made
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    check = run("--check-config", config=config)
    assert (check.returncode, check.stderr) == (0, ""), check.stderr
    text = config.read_text()
    secrets = dict(re.findall(r"^(NIXFLEET_\w+)='?([^'\n]+)", text, re.MULTILINE))
    assert len({secrets[name] for name in ("NIXFLEET_API_TOKEN", "NIXFLEET_VIEW_TOKEN", "NIXFLEET_SESSION_SECRETS", "NIXFLEET_AGENT_TOKEN_HASH_SECRET")}) == 4
    assert f"otpauth://totp/nixfleet?secret={secrets['NIXFLEET_TOTP_SECRET']}&issuer=nixfleet" in said
    assert "systemctl enable --now nixfleet-dashboard" in said and PASSWORD not in said + text
    assert secrets["NIXFLEET_PASSWORD_HASH"] not in said


def test_setup_without_a_second_factor(tmp_path):
    config = tmp_path / "config"
    done = run("setup", config=config, input=PASSWORD + "\nn\n")
    assert done.returncode == 0 and "otpauth" not in done.stdout
    with Dashboard(tmp_path / "data", dev=False, options=["--config", str(config)]) as dashboard:
        cookie_of(sign_in(dashboard))


def test_setup_never_touches_a_file_that_is_there(tmp_path):
    config = write(tmp_path / "config", NIXFLEET_API_TOKEN="precious")
    before = config.read_bytes()
    done = run("setup", config=config, input=PASSWORD + "\n")
    assert done.returncode == 1 and "exists" in done.stderr and config.read_bytes() == before


class Terminal:
    """The program with its own terminal."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(PROGRAM, [PROGRAM, *map(str, arguments)])
        self.said = ""

    def until(self, text):
        while text not in self.said:
            assert select.select([self.fd], [], [], 30)[0], self.said
            try:
                part = os.read(self.fd, 4096)
            except OSError:
                part = b""
            assert part, self.said
            self.said += part.decode()
        self.said = self.said.partition(text)[2]

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path):
    terminal = Terminal("--config", tmp_path / "config", "setup")
    terminal.until("Password: ")
    wait_for(lambda: not terminal.echoes())
    terminal.type("one\n")
    terminal.until("Again: ")
    wait_for(lambda: not terminal.echoes())
    terminal.type("another\n")
    terminal.until("differ")
    for prompt in ("Password: ", "Again: "):
        terminal.until(prompt)
        wait_for(lambda: not terminal.echoes())
        terminal.type(PASSWORD + "\n")
    terminal.until("[Y/n] ")
    terminal.type("\n")
    terminal.until("otpauth://")
    terminal.until("Next:")
    assert terminal.end() == 0


def test_a_password_prompt_that_is_interrupted_leaves_the_terminal_as_it_was():
    terminal = Terminal("hash-password")
    terminal.until("Password: ")
    wait_for(lambda: not terminal.echoes())
    kept = os.open(os.readlink(f"/proc/{terminal.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)  # keeps the terminal open, as the shell of a person does

    def interrupted():  # the first Ctrl-C may come before the program waits for a key
        terminal.type("\x03")
        return terminal.echoes()

    wait_for(interrupted, what="the echo")
    os.close(kept)
    assert terminal.end() == -signal.SIGINT


def test_everything_that_is_wrong_is_listed_at_once(tmp_path):
    config = write(tmp_path / "config", NIXFLEET_PASSWORD_HASH="plain", NIXFLEET_TOTP_SECRET="not base32 !!", NIXFLEET_SESSION_SECRETS="x",
                   NIXFLEET_TRUSTED_PROXY_IPS="127.0.0.1,nonsense", NIXFLEET_KEEP_DAYS="many", NIXFLEET_KEEP_RUN="5")
    wrong = ("NIXFLEET_PASSWORD_HASH", "NIXFLEET_TOTP_SECRET", "NIXFLEET_SESSION_SECRETS", "nonsense", "NIXFLEET_KEEP_DAYS", "NIXFLEET_API_TOKEN",
             "NIXFLEET_AGENT_TOKEN_HASH_SECRET", "--listen nowhere", "NIXFLEET_KEEP_RUNS meant?")
    for arguments in (("--check-config",), ()):
        done = run("--listen", "nowhere", "--data", tmp_path / "data", *arguments, config=config)
        assert done.returncode == 78 and [word for word in wrong if word not in done.stderr] == [], done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("missing", ["NIXFLEET_PASSWORD_HASH", "NIXFLEET_SESSION_SECRETS", "NIXFLEET_AGENT_TOKEN_HASH_SECRET", "NIXFLEET_API_TOKEN"])
def test_a_missing_secret_is_a_reason_not_to_start(tmp_path, missing):
    values = dict(settings(), NIXFLEET_API_TOKEN=TOKEN)
    del values[missing]
    done = run("--listen", "127.0.0.1:0", "--data", tmp_path, config=write(tmp_path / "config", **values))
    assert done.returncode == 78 and missing in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments, words", [
    (["--foo"], ["--foo", "unknown option"]),
    (["--listen"], ["--listen", "argument"]),
    (["frobnicate"], ["frobnicate", "unknown command"]),
    (["token"], ["token", "arguments"]),
], ids=lambda value: " ".join(value))
def test_a_wrong_command_line_is_told_in_one_line(arguments, words):
    done = run(*arguments)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("nixfleet-dashboard: ")
    assert [word for word in words if word not in done.stderr] == []


def test_a_token_for_a_host_is_made_beside_a_server_that_runs(tmp_path):
    config = write(tmp_path / "config", **settings(NIXFLEET_API_TOKEN=TOKEN), **store_settings(tmp_path / "data"))
    with Dashboard(tmp_path / "data", dev=False, options=["--config", str(config)]) as dashboard:
        done = run("--data", tmp_path / "data", "token", "HSB1", config=config)
        assert done.returncode == 0
        assert dashboard.post("/api/hosts/hsb1/logs", {"lines": ["x"]}, token=done.stdout.strip()).status == 200
    assert "host id" in run("--data", tmp_path / "data", "token", "no name", config=config).stderr


def test_a_token_without_a_configuration_says_what_is_missing(tmp_path):
    if os.path.exists("/etc/nixfleet/dashboard.conf"):
        pytest.skip("there is a configuration on this machine")
    done = run("--data", tmp_path, "token", "hsb1")
    assert done.returncode == 78 and "/etc/nixfleet/dashboard.conf" in done.stderr and "--config" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_leaves_no_file_that_the_services_user_cannot_open(tmp_path):
    config = write(tmp_path / "config", **settings(NIXFLEET_API_TOKEN=TOKEN))
    with tempfile.TemporaryDirectory(dir="/tmp") as open_to_all:
        os.chmod(open_to_all, 0o755)
        data = pathlib.Path(open_to_all) / "data"
        data.mkdir()
        os.chown(data, 65534, 65534)
        done = run("--data", data, "token", "hsb1", config=config)
        assert done.returncode == 0, done.stderr
        assert [f.name for f in data.iterdir() if f.stat().st_uid != 65534] == []


def test_the_copy_for_the_service_belongs_to_the_owner_of_its_directory(tmp_path):
    source, target = write(tmp_path / "config", NIXFLEET_API_TOKEN=TOKEN), tmp_path / "run"
    target.mkdir()
    if os.geteuid() == 0:
        os.chown(target, 65534, 65534)
    for text in ("A=1\n", "A=2\n"):
        source.write_text(text)
        assert run("copy-config", source, target / "config").returncode == 0
        copy = (target / "config").stat()
        assert (target / "config").read_text() == text
        assert (copy.st_uid, stat.S_IMODE(copy.st_mode)) == (target.stat().st_uid, 0o400)
    assert [f.name for f in target.iterdir()] == ["config"]
    assert "No such file" in run("copy-config", tmp_path / "none", target / "config").stderr


# ---- one server

@pytest.mark.sqlite
def test_a_second_server_on_the_same_directory_is_refused(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        second = run("--dev", "--listen", "127.0.0.1:0", "--data", tmp_path / "data")
        assert second.returncode == 1 and f"process {dashboard.process.pid}" in second.stderr and str(tmp_path / "data") in second.stderr
    with Dashboard(tmp_path / "data"):  # killed; its lock must not stop the next start
        pass


def test_a_second_server_on_the_same_port_is_refused(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        address = dashboard.url.removeprefix("http://")
        second = run("--dev", "--listen", address, "--data", tmp_path / "other")
        assert second.returncode == 1 and f"{address}: Address already in use" in second.stderr


def test_an_invalid_address_is_reported(tmp_path):
    done = run("--dev", "--listen", "127.0.0.999:80", "--data", tmp_path)
    assert done.returncode == 78 and "127.0.0.999" in done.stderr


# ---- systemd

class Systemd:
    """The receiving end of sd_notify(3)."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def hears(self):
        return self.socket.recv(4096).decode().split("\n")


def test_systemd_is_told_of_start_reload_life_and_end(tmp_path):
    config = write(tmp_path / "config", **settings())
    with Systemd(tmp_path) as systemd:
        with Dashboard(tmp_path / "data", dev=False, options=["--config", str(config)], NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="400000") as dashboard:
            assert systemd.hears() == ["READY=1"]
            assert dashboard.get("/health", token=None).status == 200
            assert systemd.hears() == ["WATCHDOG=1"] and systemd.hears() == ["WATCHDOG=1"]
            dashboard.process.send_signal(signal.SIGHUP)
            heard = []
            while heard[-1:] != [["READY=1"]]:
                heard.append(systemd.hears())
            reloading = next(lines for lines in heard if lines[0] == "RELOADING=1")
            assert re.fullmatch(r"MONOTONIC_USEC=\d+", reloading[1])
            dashboard.process.terminate()
            while systemd.hears() != ["STOPPING=1"]:
                pass
            assert dashboard.process.wait(20) == 0


def test_a_server_that_is_not_watched_says_nothing_of_its_life(tmp_path):
    with Systemd(tmp_path) as systemd, Dashboard(tmp_path / "data", NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="100000", WATCHDOG_PID="1") as dashboard:
        assert systemd.hears() == ["READY=1"]
        with WebSocket(dashboard.url) as page:
            page.until("ping")
        systemd.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.hears()


def test_in_the_journal_a_line_has_its_priority_and_no_name(tmp_path):
    environment = dict(os.environ)
    with open(tmp_path / "journal", "wb") as journal:
        info = os.fstat(journal.fileno())
        environment["JOURNAL_STREAM"] = f"{info.st_dev}:{info.st_ino}"
        subprocess.run([PROGRAM, "--foo"], env=environment, stderr=journal, timeout=20, check=False)
    assert (tmp_path / "journal").read_text().startswith("<3>--foo: unknown option")
    done = subprocess.run([PROGRAM, "--foo"], env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr.startswith("nixfleet-dashboard: --foo")  # stderr is not connected to the journal
