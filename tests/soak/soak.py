#!/usr/bin/env python3
"""soak.py: runs random commands under random faults, from a seed, and checks the invariants after each round.

    soak.py [--rounds N] [--seed S] [--seconds T] [--verbose]

Invariants of a round:
  1. the caller got exactly the bytes and the status that the command gives without the wrapper;
  2. the local log holds exactly these bytes;
  3. after the faults are over and --flush has run, the dashboard's text equals `nixfleet-run --show` of the log, line by
     line: nothing lost, nothing doubled, nothing out of order; the run has its end, or is marked lost;
  4. no process of ours is left, and no file but the run's own.
A round that kills the wrapper or its monitor checks 2 to 4 only, with the log compared to a prefix of the command's output; one that
fills the log's disk checks that the caller sees nothing of it, and that the log is a prefix. Full disks need root (file systems of the
soak's own), clocks that jump need build/tools/shim_clock.so; the last line says which faults there were.
"""
import argparse
import fcntl
import json
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("NIXFLEET_BIN_DIR") or os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
from proxy import Proxy  # noqa: E402

BUILD = os.environ.get("NIXFLEET_BUILD") or os.path.join(ROOT, "build")
SHIM = os.path.join(BUILD, "tools", "shim_clock.so")
RUN = os.path.join(BUILD, "preload", "nixfleet-run")  # with a shared libc, for the shim
if not os.path.exists(RUN):
    RUN = os.path.join(ROOT, "nixfleet-run")
TOKEN = "soak-token-0123456789"
HOST = "soakhost"


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("timed out: " + what)


def writes_log(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="latin-1") as f:
            return f.read().strip() == "nixfleet-log"
    except OSError:
        return False


def leads_session(pid):
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


class Dashboard:
    def __init__(self, data, clock):
        self.data = data
        self.clock = clock
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        self.process = None
        self.start()

    def start(self):
        environment = dict(os.environ, NIXFLEET_API_TOKEN=TOKEN, NIXFLEET_KEEP_RUNS=os.environ.get("NIXFLEET_KEEP_RUNS", "200"), **self.clock)
        self.process = subprocess.Popen(
            [f"{ROOT}/nixfleet-dashboard", "--dev", "--listen", f"127.0.0.1:{self.port}", "--data", self.data],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.healthy, 20, "the dashboard answers")

    def healthy(self):
        try:
            return self.get("/health") is not None
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read()

    def run(self, run_id):
        try:
            return json.loads(self.get(f"/api/hosts/{HOST}/runs/{run_id}"))
        except urllib.error.HTTPError:
            return None


class Disk:
    """A directory that is its own small file system if mounting is permitted; fill() fills it."""

    def __init__(self, path, megabytes):
        self.path = path
        os.mkdir(path)
        self.own = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", path],
                                  capture_output=True, check=False).returncode == 0

    def fill(self, spare=0):
        with open(f"{self.path}/ballast", "wb") as ballast:
            room = os.statvfs(self.path)
            size, done = room.f_bavail * room.f_bsize - spare, 0
            while size > 4096:  # other processes write at the same time
                try:
                    os.posix_fallocate(ballast.fileno(), done, size)
                    done += size
                except OSError:
                    size //= 2
                else:
                    break

    def empty(self):
        if os.path.exists(f"{self.path}/ballast"):
            os.unlink(f"{self.path}/ballast")

    def close(self):
        if self.own:
            subprocess.run(["umount", "-l", self.path], check=True)


def sanitized():
    """Whether the programs are built with a sanitizer. Its runtime must be loaded first, so no shim can be preloaded."""
    with open(RUN, "rb") as program:
        return b"__asan_init" in program.read()


class Soak:
    def __init__(self, seed, directory, disks, verbose):
        self.random = random.Random(seed)
        self.seed = seed
        self.directory = directory
        self.verbose = verbose
        self.clock_file = os.path.join(directory, "clock")
        self.clock = {"LD_PRELOAD": SHIM, "SHIM_CLOCK": self.clock_file} if os.path.exists(SHIM) and not sanitized() else {}
        self.disks = disks
        self.state = self.disks["state"].path
        self.dashboard = Dashboard(self.disks["data"].path, self.clock)
        self.proxy = Proxy(self.dashboard.port, seed)
        self.faults = {}
        self.stopped = []  # stopped log writers; continued when their wrapper has ended
        self.kinds = ["none", "network", "network", "kill-helper", "stop-helper", "restart-dashboard", "kill-wrapper", "kill-monitor",
                      "kill-log-writer", "stop-log-writer"]
        if all(disk.own for disk in self.disks.values()):
            self.kinds += ["full-log", "full-dashboard"]
        if self.clock:
            self.kinds += ["clock"]

    def close(self):
        self.proxy.close()
        self.dashboard.kill()

    def environment(self, port):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
        return dict(kept, NIXFLEET_URL=f"http://127.0.0.1:{port}", NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=HOST,
                    NIXFLEET_STATE_DIR=self.state, NIXFLEET_REPORT=f"{ROOT}/nixfleet-report", NIXFLEET_HEARTBEAT="5", NIXFLEET_FLUSH_TIMEOUT="3", TERM="xterm",
                    NIXFLEET_TOKEN_CACHE=os.path.join(self.directory, "no-cache"), XDG_CONFIG_HOME=self.directory, **self.clock)

    def runs(self):
        names = os.listdir(self.state) if os.path.isdir(self.state) else []
        return {n[:-4] for n in names if n.endswith(".run")}

    def children_of(self, pid, name_starts=b"nixfleet-report"):
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                        parent = int(f.read().rsplit(")", 1)[1].split()[1])
                    with open(f"/proc/{name}/cmdline", "rb") as f:
                        line = f.read()
                except (OSError, IndexError):
                    continue
                if parent == pid and os.path.basename(line.split(b"\0")[0]).startswith(name_starts):
                    found.append(int(name))
        return found

    def hurt(self, process, fault):
        """One fault, at a random moment of the run."""
        time.sleep(self.random.random() * 0.6)
        if fault == "kill-helper":
            victims = self.children_of(process.pid)
            if victims:
                os.kill(self.random.choice(victims), signal.SIGKILL)
        elif fault == "stop-helper":
            victims = self.children_of(process.pid)
            if victims:
                os.kill(self.random.choice(victims), signal.SIGSTOP)
        elif fault == "restart-dashboard":
            self.dashboard.kill()
            time.sleep(self.random.random() * 0.5)
            self.dashboard.start()
        elif fault == "kill-wrapper":
            process.kill()
        elif fault == "kill-monitor":
            for monitor in self.children_of(process.pid, b"nixfleet-run"):
                if leads_session(monitor) and not writes_log(monitor):  # not the process of a leak checker: the wrapper would wait for ever
                    os.kill(monitor, signal.SIGKILL)
        elif fault in ("kill-log-writer", "stop-log-writer"):
            for writer in filter(writes_log, self.children_of(process.pid, b"nixfleet-run")):
                os.kill(writer, signal.SIGKILL if fault == "kill-log-writer" else signal.SIGSTOP)
                self.stopped += [writer] * (fault == "stop-log-writer")
        elif fault == "full-log":
            self.disks["state"].fill()
        elif fault == "full-dashboard":
            self.disks["data"].fill(self.random.choice([0, 0, 20000, 200000]))
        elif fault == "clock":
            with open(self.clock_file + ".new", "w", encoding="ascii") as f:
                f.write(str(self.random.randrange(-20 * 3600000, 20 * 3600000)))
            os.rename(self.clock_file + ".new", self.clock_file)

    def wait_for_log(self, run_id):
        """Waits for the log writer, which may outlive the run and holds the lock of the record while output can still come."""
        deadline = time.monotonic() + 60
        with open(f"{self.state}/{run_id}.run", "rb") as record:
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(0.01)
        raise AssertionError(f"{run_id}: its log writer does not end")

    def expected(self, seed):
        environment = dict(os.environ, SOAK_STDOUT_ONLY="1")
        done = subprocess.run([sys.executable, f"{HERE}/emit.py", str(seed)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment, check=False)
        return done.stdout, done.returncode

    def round(self, number):
        seed = self.random.randrange(1 << 30)
        fault = self.random.choice(self.kinds)
        mode = self.random.choice(["pipe", "pty", "both"])
        self.faults[fault] = self.faults.get(fault, 0) + 1
        if self.verbose:
            print(f"round {number}: seed {seed} fault {fault} mode {mode}", flush=True)
        output, status = self.expected(seed)
        before = self.runs()
        self.proxy.trouble = 0.5 if fault == "network" else 0.0
        environment = dict(self.environment(self.proxy.port), SOAK_STDOUT_ONLY="1")
        command = [RUN, "--quiet", "--", sys.executable, f"{HERE}/emit.py", str(seed)]
        process, read = self.start(command, environment, mode)
        if fault not in ("none", "network"):
            self.hurt(process, fault)
        got = read()
        code = process.wait(timeout=60)
        self.proxy.trouble = 0.0
        for writer in self.stopped:
            os.kill(writer, signal.SIGCONT)
        self.stopped = []
        for disk in self.disks.values():
            disk.empty()
        new = self.runs() - before
        for run_id in new:
            self.wait_for_log(run_id)
        label = f"round {number} seed {seed} fault {fault} mode {mode}"
        killed = fault in ("kill-wrapper", "kill-monitor")
        if (killed or fault == "full-log") and not new:
            return
        assert len(new) == 1, f"{label}: {len(new)} new runs"
        run_id = new.pop()
        if mode == "pty":
            output = output.replace(b"\n", b"\r\n")
        if killed:
            assert output.startswith(got), f"{label}: the caller's bytes are no beginning of the command's"
        else:
            assert code == status, f"{label}: status {code}, not {status}"
            assert got == output, (f"{label}: the caller's {len(got)} bytes differ from the command's {len(output)} from "
                                   f"{len(os.path.commonprefix([got, output]))} on; the log has {os.path.getsize(f'{self.state}/{run_id}.log')}")
        with open(f"{self.state}/{run_id}.log", "rb") as f:
            log = f.read()
        if killed or fault == "full-log":
            assert output.startswith(log), f"{label}: the log is not a prefix of the output"
        else:
            assert log == output, f"{label}: the log's {len(log)} bytes differ from the command's {len(output)}"
        self.delivered(label, run_id, environment, len(log) == len(output) or killed)
        self.nothing_left(label, run_id)

    @staticmethod
    def start(command, environment, mode):
        if mode == "pty":
            master, slave = pty.openpty()
            process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
            os.close(slave)

            def read():
                data = b""
                while True:
                    try:
                        part = os.read(master, 65536)
                    except OSError:
                        part = b""
                    if not part:
                        os.close(master)
                        return data
                    data += part
        else:
            errors = subprocess.STDOUT if mode == "both" else subprocess.DEVNULL
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)

            def read():
                return process.stdout.read()
        return process, read

    def delivered(self, label, run_id, environment, log_is_whole):
        environment = dict(environment, NIXFLEET_FLUSH_TIMEOUT="20")
        flush = lambda: subprocess.run([RUN, "--flush"], env=environment, stdin=subprocess.DEVNULL,
                                       capture_output=True, check=False).returncode == 0
        wait_for(flush, 60, f"{label}: --flush delivers")
        shown = subprocess.run([RUN, "--show", run_id], env=environment, capture_output=True, check=True).stdout
        stored = self.dashboard.get(f"/api/hosts/{HOST}/runs/{run_id}/log")
        if not log_is_whole:  # the dashboard may have more, from memory
            stored = shown
        if stored != shown:
            for name, content in (("shown", shown), ("stored", stored)):
                with open(f"/tmp/soak-{name}.txt", "wb") as f:
                    f.write(content)
        assert stored == shown, f"{label}: run {run_id}: the dashboard's text differs from the local log's (see /tmp/soak-*.txt)"
        run = self.dashboard.run(run_id)
        assert run and run["status"] in ("finished", "crashed"), f"{label}: the run ended as {run and run['status']}"

    def nothing_left(self, label, run_id):
        def left():
            found = []
            for name in os.listdir("/proc"):
                if not name.isdigit() or int(name) in (os.getpid(), self.dashboard.process.pid):
                    continue
                try:
                    with open(f"/proc/{name}/environ", "rb") as f:
                        if run_id.encode() in f.read() or self.state.encode() in open(f"/proc/{name}/environ", "rb").read():
                            found.append(int(name))
                except OSError:
                    continue
            return found

        try:
            wait_for(lambda: not left(), 15, "")
        except AssertionError:
            raise AssertionError(f"{label}: processes left: {left()}") from None
        strange = [n for n in os.listdir(self.state) if n != "unanswered" and n.rsplit(".", 1)[-1] not in ("log", "marks", "run", "ballast")]
        assert not strange, f"{label}: files left: {strange}"


def main():
    arguments = argparse.ArgumentParser(description="random commands under random faults")
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--seconds", type=float, default=1e9, help="begin no new round after this long")
    arguments.add_argument("--verbose", action="store_true")
    options = arguments.parse_args()
    directory = tempfile.mkdtemp(prefix="nixfleet-soak-")
    signal.signal(signal.SIGABRT, lambda *_: sys.exit("soak: it took too long"))
    disks, soak = {}, None
    start = time.monotonic()
    done = 0
    try:
        for name, size in (("data", 512), ("state", 64)):
            disks[name] = Disk(os.path.join(directory, name), size)
        soak = Soak(options.seed, directory, disks, options.verbose)
        while done < options.rounds and time.monotonic() - start < options.seconds:
            soak.round(done)
            done += 1
    finally:
        if soak:
            soak.close()
        for disk in disks.values():
            disk.close()
        shutil.rmtree(directory, ignore_errors=True)
    counts = ", ".join(f"{n} {k}" for k, n in sorted(soak.faults.items()))
    print(f"soak: seed {options.seed}: {done} rounds held ({counts}) in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
