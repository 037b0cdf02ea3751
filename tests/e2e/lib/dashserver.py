"""A nixfleet-dashboard of a test's own: free port, data below the test's directory, requests by urllib."""
import atexit
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile
import urllib.error
import urllib.request

from lib import postgres, proxies
from lib.wrapper import PATIENCE_S, wait_for  # noqa: F401: for the tests

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR") or ROOT)
TOKEN = "shared-token-of-the-tests"


# Whether the dashboards of this test program store in PostgreSQL. Each data directory then has its own database.
POSTGRES = os.environ.get("NIXFLEET_TEST_STORE") == "postgresql"


@functools.cache
def database_server():
    """The PostgreSQL server of this test program. The server ends when the test program ends."""
    server = postgres.Postgres()
    atexit.register(server.close)
    return server


def store_of(data):
    """The URL of the database of a data directory. Makes the database if it does not exist."""
    server = database_server()
    name = "t" + hashlib.sha256(os.path.realpath(data).encode()).hexdigest()[:16]
    if not server.sql(f"SELECT 1 FROM pg_database WHERE datname='{name}'", "postgres"):
        server.sql(f"CREATE DATABASE {name}", "postgres")
    return server.url(name)


def store_settings(data):
    """The settings that a configuration needs, in addition to the data directory, to use the same store."""
    return {"NIXFLEET_STORE": store_of(data)} if POSTGRES else {}


def row_sum(*values):
    """FNV-1a, computed as in dashboard/store/sqlite/rowsum.c."""
    result = 0xcbf29ce484222325
    for value in values:
        kind = b"\5" if value is None else b"\1" + (value & (1 << 64) - 1).to_bytes(8, "little") if isinstance(value, int) else b"\3" + value.encode()
        for byte in kind:
            result = (result ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return result - (1 << 64) if result >> 63 else result


def make_sums(store):
    """Computes the checksums again. Otherwise the dashboard takes rows that a test has written for damage."""
    store.create_function("row_sum", -1, row_sum)
    tables = [name for name, in store.execute("SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type='table' AND c.name='sum'")]
    for table in set(tables) - {"chunks"}:
        columns = ",".join(f'"{row[1]}"' for row in store.execute(f"PRAGMA table_info({table})") if row[1] != "sum")
        store.execute(f"UPDATE {table} SET sum=row_sum({columns})")


def sql(data, command):
    """Runs an SQL command directly in the store, without the dashboard, and returns the fields of the first row as strings."""
    if POSTGRES:
        return database_server().sql(command, store_of(data).split("/")[3].split("?")[0]).split("\n")[0].split("|")
    with contextlib.closing(sqlite3.connect(pathlib.Path(data) / "nixfleet.db")) as store, store:
        row = store.execute(command).fetchone()
        if not command.startswith("SELECT"):
            make_sums(store)
    return [str(field) for field in row] if row else []


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Dashboard:
    """`dev=False`: as in production. `log` is what the dashboard has logged since its last start."""

    def __init__(self, data, dev=True, options=(), before=(), **settings):
        """before: a command with its options that starts the dashboard, for example prlimit."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
        settings = {**store_settings(data), **settings}
        self.environment = dict(kept, NIXFLEET_API_TOKEN=TOKEN, **settings)
        self.command = [*before, str(BIN / "nixfleet-dashboard"), "--listen", "127.0.0.1:0", "--data", str(data)] + (["--dev"] if dev else []) + list(options)
        self.errors = tempfile.TemporaryFile()
        self.proxy = None
        self.start()

    def start(self):
        self.end_proxy()
        self.errors.seek(0)
        self.errors.truncate()
        self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors)
        try:
            self.url = wait_for(self.listening, seconds=60, what="a dashboard that listens").group()
        except RuntimeError:
            self.kill()
            raise
        if proxies.PROXY:
            self.proxy = proxies.in_front(self.url)
            self.url = self.proxy.url

    def listening(self):
        ended = self.process.poll() is not None
        found = re.search(r"http://[^ \n]+(?=[ \n])", self.log)
        if ended and not found:
            raise RuntimeError("the dashboard did not start: " + self.log)
        return found

    @property
    def log(self):
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.end_proxy()

    def end_proxy(self):
        if self.proxy:
            self.proxy.__exit__()
        self.proxy = None

    def call(self, method, path, body=None, token=TOKEN, headers=None, raw=None):
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = "Bearer " + token
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=PATIENCE_S) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            with answer:
                return Answer(answer.code, answer.headers, answer.read())

    def get(self, path, **keywords):
        return self.call("GET", path, **keywords)

    def post(self, path, body, **keywords):
        return self.call("POST", path, body, **keywords)

    def csrf(self):
        """The CSRF token that a page in dev mode gets on its WebSocket."""
        from lib import ws
        with ws.WebSocket(self.url) as channel:
            return channel.receive()["csrf"]
