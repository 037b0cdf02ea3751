"""The Stop button for commands that a user runs with sudo: a real dashboard, a person who has signed in, real sudo."""
import os
import pathlib
import shutil
import signal
import sys

import pytest
from lib.dashserver import TOKEN, Dashboard
from lib.people import settings, sign_in

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from users import user_with_sudo
from wrapper import RUN, Terminal, environment, wait_for

HOST = "testhost"
GRACE_S = 30  # seconds between SIGTERM and the next step
ABSENT = [name for name in ("sudo", "setpriv", "unshare") if not shutil.which(name)]

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
              pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {' '.join(ABSENT)}")]


class Page:
    def __init__(self, dashboard):
        self.dashboard = dashboard
        self.cookie = {"Cookie": sign_in(dashboard).headers["Set-Cookie"].split(";")[0]}
        self.csrf = {"X-CSRF-Token": self.get("/api/session").json["csrf"]}

    def get(self, path):
        return self.dashboard.get(path, token=None, headers=self.cookie)

    def log(self):
        """The log of the newest run."""
        runs = self.get(f"/api/hosts/{HOST}/runs").json.get("runs")
        return self.get(f"/api/hosts/{HOST}/runs/{runs[0]['id']}/log").body.decode() if runs else ""

    def stop(self):
        answer = self.dashboard.post(f"/api/hosts/{HOST}/command", {"command": "stop"}, token=None, headers=dict(self.cookie, **self.csrf))
        assert answer.status == 200, answer.body


@pytest.fixture
def page(tmp_path):
    (tmp_path / "data").mkdir()
    with Dashboard(tmp_path / "data", dev=False, **settings()) as dashboard:
        yield Page(dashboard)


@pytest.fixture
def sudo(tmp_path, page):
    """Runs a script as root, in nixfleet-run of a user who may use sudo."""
    user = user_with_sudo(tmp_path, "NOPASSWD: ALL")
    env = environment(tmp_path / "state", HOME=str(tmp_path), NIXFLEET_URL=page.dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=HOST,
                      NIXFLEET_HEARTBEAT="5", NIXFLEET_TOKEN_CACHE=str(tmp_path / "no-cache"))
    return lambda script: Terminal(*user, RUN, "sudo", "-n", "sh", "-c", script, wrapped=False, env=env)


def test_a_stop_ends_the_command(page, sudo):
    with sudo("echo up; id -u; exec sleep 600") as terminal:
        wait_for(lambda: "up\n0\n" in page.log(), "the first lines on the page")
        page.stop()
        assert terminal.wait() in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_command_that_takes_no_signal_is_not_left_behind_unseen(page, sudo, tmp_path):
    """SIGKILL would end only sudo. The command gets SIGTERM and later SIGINT; then a line says that the command continues."""
    script = f"trap 'echo asked' TERM; trap 'echo interrupted' INT; echo up; until [ -e {tmp_path}/go ]; do sleep 0.05; done; exit 5"
    with sudo(script) as terminal:
        wait_for(lambda: "up\n" in page.log(), "the first line on the page")
        page.stop()
        wait_for(lambda: "asked\n" in page.log(), "SIGTERM")
        wait_for(lambda: "has been interrupted, but continues" in page.log(), "the line on the page", GRACE_S + 30)
        assert "interrupted\n" in page.log()
        (tmp_path / "go").touch()
        assert terminal.wait() == 5
