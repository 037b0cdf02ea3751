"""A PostgreSQL server of a test's own, in a directory below TMPDIR, reached by a socket in this directory or on loopback.

As a program: `python3 postgres.py COMMAND…` runs the command with the server's URL in NIXFLEET_TEST_POSTGRES."""
import glob
import os
import pathlib
import random
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


def programs():
    """The directory of initdb and postgres: Debian does not put it on PATH."""
    found = shutil.which("initdb")
    places = [os.path.dirname(os.path.realpath(found))] if found else sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not places:
        raise RuntimeError("no PostgreSQL here: scripts/install-deps check")
    return places[-1]


def account():
    """The user that runs the server: never root, because PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither the user postgres nor nobody is here")


def free_port():
    """A port outside of the range of outgoing connections, so that no connection takes the port while its server restarts."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(first * 5 // 8, first)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Postgres:
    """durable: with fsync, as in production. Settings are lines of postgresql.conf. The server is started at once;
    `standby_of` makes the server a standby of another server; `clock`, the library shim_clock, lets a test set its clock."""

    def __init__(self, durable=False, settings=(), standby_of=None, clock=None):
        self.bin = programs()
        self.owner = account()
        base = pathlib.Path(os.environ.get("TMPDIR") or "/tmp")
        if self.owner and base != pathlib.Path("/tmp"):
            base.chmod(base.stat().st_mode | 0o011)  # the server's user must be able to enter the directory
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pg.", dir=base))
        if self.owner:
            os.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
        self.data = self.directory / "data"
        self.environment = dict(os.environ)
        if clock:
            shutil.copy(clock, self.directory / "clock.so")
            self.set_clock(0)
            self.environment.update(LD_PRELOAD=str(self.directory / "clock.so"), SHIM_CLOCK=str(self.directory / "clock"))
        self.port = free_port()
        self.process = None
        self.log = open(self.directory / "log", "ab")
        try:
            self.make(standby_of)
            lines = ["listen_addresses='127.0.0.1'", f"port={self.port}", f"unix_socket_directories='{self.directory}'",
                     "max_connections=60", "shared_buffers=32MB", "log_min_messages=warning", *settings, *(() if durable else FAST)]
            with open(self.data / "postgresql.conf", "a") as configuration:
                configuration.write("\n".join(["", *lines, ""]))
            self.start()
        except BaseException:
            self.close()
            raise

    def set_clock(self, seconds):
        """How far the server's clock is ahead of the machine's."""
        new = self.directory / "clock.new"
        new.write_text(str(int(seconds * 1000)))
        new.rename(self.directory / "clock")

    def make(self, primary):
        if primary:
            self.run("pg_basebackup", "-h", str(primary.directory), "-p", str(primary.port), "-U", "nixfleet", "-D", str(self.data), "-R", "-X",
                     "stream", "-c", "fast", "--no-sync")
        else:
            self.run("initdb", "-D", str(self.data), "-U", "nixfleet", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")

    def as_owner(self):
        if not self.owner:
            return {}
        return {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}

    def run(self, program, *arguments):
        done = subprocess.run([f"{self.bin}/{program}", *arguments], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, **self.as_owner())
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}")
        return done.stdout

    def start(self):
        self.process = subprocess.Popen([f"{self.bin}/postgres", "-D", str(self.data)], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, **self.as_owner())
        end = time.monotonic() + 60
        ready = [f"{self.bin}/pg_isready", "-q", "-h", str(self.directory), "-p", str(self.port), "-U", "nixfleet", "-d", "postgres"]
        while subprocess.run(ready, check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not start: " + (self.directory / "log").read_text())
            time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """SIGINT ends the server in order, SIGQUIT at once. After SIGKILL its children end by themselves."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
        if self.process:
            self.process.wait(60)

    def kill(self):
        """Kills all processes of the server at once, so that none can clean up."""
        self.process.send_signal(signal.SIGSTOP)  # stopped first, so that it starts no more children
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], stdout=subprocess.PIPE, text=True, check=False).stdout
        pids = [self.process.pid, *map(int, children.split())]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        end = time.monotonic() + 20
        while any(map(runs, pids)) and time.monotonic() < end:
            time.sleep(0.01)

    def promote(self):
        self.run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def url(self, database="nixfleet", tcp=False, **options):
        host = "127.0.0.1" if tcp else str(self.directory)
        query = urllib.parse.urlencode({"host": host, "port": self.port, **options})
        return f"postgresql://nixfleet@/{database}?{query}"

    def sql(self, command, database="nixfleet"):
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory), "-p", str(self.port), "-U", "nixfleet",
                        "-d", database, "-c", command).strip()

    def database(self, name="nixfleet"):
        """A new, empty database; returns its URL."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', "postgres")
        self.sql(f'CREATE DATABASE "{name}"', "postgres")
        return self.url(name)

    def close(self):
        if self.process and self.process.poll() is None:
            self.stop(signal.SIGQUIT)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    with Postgres() as server:
        environment = dict(os.environ, NIXFLEET_TEST_POSTGRES=server.database())
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
