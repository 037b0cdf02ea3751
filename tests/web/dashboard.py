"""A real nixfleet-dashboard for the tests of the page: production settings, on a free port, signed in through the form."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from lib import dashserver, proxies  # noqa: E402

ROOT = Path(os.environ.get("NIXFLEET_BIN_DIR") or Path(__file__).resolve().parents[2])
BINARY = ROOT / "nixfleet-dashboard"
TOKEN = "a-token-of-the-tests-only-0123456789"
PASSWORD = "the password of the tests"


def hash_password(password=PASSWORD):
    """bcrypt is slow on purpose, so each password is hashed only once in a test program."""
    if password not in hash_password.known:
        made = subprocess.run([str(BINARY), "hash-password"], input=f"{password}\n{password}\n", capture_output=True, text=True, check=True)
        hash_password.known[password] = made.stdout.strip()
    return hash_password.known[password]


hash_password.known = {}


class Dashboard:
    """`settings` are additional environment variables. With `dev=True` the dashboard is started with --dev, and needs no sign-in."""

    def __init__(self, dev=False, **settings):
        self.dev = dev
        self.settings = settings
        self.data = tempfile.mkdtemp(prefix="nixfleet-page-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = self.direct = f"http://127.0.0.1:{self.port}"
        if proxies.PROXY:
            proxies.trusted_ca()  # before the first request: Python 3.13 reads the trusted CAs only once
        self.start()
        self.proxy = proxies.in_front(self.direct) if proxies.PROXY else None
        if self.proxy:
            self.url = self.proxy.url

    def environment(self):
        secrets = {
            "NIXFLEET_API_TOKEN": TOKEN,
            "NIXFLEET_PASSWORD_HASH": hash_password(),
            "NIXFLEET_SESSION_SECRETS": "s" * 64,
            "NIXFLEET_AGENT_TOKEN_HASH_SECRET": "h" * 64,
        }
        store = dashserver.store_settings(Path(self.data) / "data")
        return {"PATH": os.environ["PATH"], "HOME": self.data, **secrets, **store, **self.settings}

    def start(self):
        self.log = open(Path(self.data) / "log", "ab")
        command = [str(BINARY), "--listen", f"127.0.0.1:{self.port}", "--data", str(Path(self.data) / "data")] + ["--dev"] * self.dev
        self.process = subprocess.Popen(command, env=self.environment(), stdout=self.log, stderr=self.log)
        end = time.monotonic() + 15
        while True:
            try:
                urllib.request.urlopen(self.direct + "/health", timeout=2).read()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, (Path(self.data) / "log").read_text()
                time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(20)
        self.log.close()

    def close(self):
        self.stop(signal.SIGKILL)
        if self.proxy:
            self.proxy.__exit__()
        shutil.rmtree(self.data, ignore_errors=True)

    # ---- what a host does ----

    def call(self, method, path, body=None, token=TOKEN):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def post(self, path, body):
        return self.call("POST", path, body)

    def register(self, host, **fields):
        return self.post(f"/api/hosts/{host}/register", {"hostname": host, "host_type": "nixos", "location": "home", "device_type": "server", **fields})

    def heartbeat(self, host, run, status, **fields):
        # The interval is long, so that a run does not become stale on a slow machine.
        body = {"run": run, "command": "nixos-rebuild switch", "seq": 1, "status": status, "interval": 300, **fields}
        return self.post(f"/api/hosts/{host}/heartbeat", body)

    def write(self, host, run, start, lines, **fields):
        return self.post(f"/api/hosts/{host}/logs", {"run": run, "from": start, "text": "\n".join(lines), **fields})

    def begin(self, host, lines=(), command="nixos-rebuild switch", **fields):
        """Starts a run; returns its id."""
        run = new_run()
        self.heartbeat(host, run, "running", command=command, **fields)
        if lines:
            self.write(host, run, 0, lines, command=command)
        return run

    def end(self, host, run, at, code=0, **fields):
        """Sends the last batch of a run that has `at` lines so far."""
        return self.write(host, run, at, ["the end"], exit={"code": code}, line_count=at + 1, **fields)

    def has(self, host, lines=("one", "two"), code=0, command="nixos-rebuild switch", **fields):
        """Starts and ends a run; returns its id."""
        run = self.begin(host, lines, command=command)
        self.end(host, run, len(lines), code, **fields)
        return run


def new_run():
    """A UUID of version 7: a later UUID sorts after an earlier one."""
    ms = int(time.time() * 1000)
    rest = uuid.uuid4().int
    value = (ms << 80) | (7 << 76) | ((rest >> 66 & 0xFFF) << 64) | (2 << 62) | (rest & ((1 << 62) - 1))
    return str(uuid.UUID(int=value))


def sign_in(browser, url, password=PASSWORD, path="/"):
    """Signs in through the form, as a person does."""
    browser.driver.get("about:blank")
    browser.driver.get(url + path)
    browser.wait(lambda: browser.count("input[name=password]") == 1, "the form")
    browser.type("input[name=password]", password)
    browser.click("button[type=submit], form button")
    browser.wait(lambda: browser.count("#conn-text") == 1 and browser.text("#conn-text") == "Live", "the page behind the form")
