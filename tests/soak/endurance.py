#!/usr/bin/env python3
"""endurance.py: a fleet that works for a long time, while the dashboard is restarted again and again.

    endurance.py [--seconds 1800] [--seed S] [--workers 3] [--rate 50] [--hosts 50] [--pages 6]

At the same time: workers that run random commands (emit.py) through nixfleet-run, one after the other, some of them killed; one command
that writes --rate lines a second all the time; hosts that send heartbeats by plain HTTP; pages (WebSockets) that connect, follow and leave;
`nixfleet-run --flush` each minute; and the dashboard, restarted at intervals of 12 s to 5 min by SIGTERM and SIGKILL in turn, each
time with a pause.

What must hold at the end: nothing is undelivered; the dashboard's text of every run equals `--show` of its local log, and so does its
exit; the long run has each line once and in order; and from the first third on neither memory nor descriptors nor threads grow in any
process: dashboard, wrapper, log writer, shipper, heartbeat. Prints a line of metrics each minute, and a table at the end.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "e2e" / "lib"))
import ws  # noqa: E402
from soak import HOST, ROOT, TOKEN, Dashboard, wait_for  # noqa: E402

RUN = os.path.join(ROOT, "nixfleet-run")
EMIT = str(HERE / "emit.py")
TICKER = "import sys,time\nn=0\nend=time.monotonic()+float(sys.argv[1])\nwhile time.monotonic()<end:\n print('tick',n,flush=True)\n n+=1\n" \
         " time.sleep(1/float(sys.argv[2]))\n"


class Endurance:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nixfleet-endurance-"))
        self.state = self.directory / "state"
        (self.directory / "data").mkdir(mode=0o700)
        os.environ["NIXFLEET_KEEP_RUNS"] = "100000"
        self.dashboard = Dashboard(str(self.directory / "data"), {})
        self.until = time.monotonic() + options.seconds
        self.problems, self.metrics, self.threads = [], {}, []
        self.counts = {"runs": 0, "killed": 0, "heartbeats": 0, "pages": 0, "messages": 0, "flushes": 0, "restarts": 0}
        self.lock = threading.Lock()
        self.long = None

    # ---- helpers ----
    @property
    def url(self):
        return f"http://127.0.0.1:{self.dashboard.port}"

    def environment(self, host):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NIXFLEET_") or name == "NIXFLEET_TEST_PROGRAM"}
        return dict(kept, NIXFLEET_URL=self.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=host, NIXFLEET_STATE_DIR=str(self.state),
                    NIXFLEET_HEARTBEAT="5", NIXFLEET_FLUSH_TIMEOUT="5", NIXFLEET_KEEP_RUNS="100000", NIXFLEET_KEEP_SIZE="100G",
                    XDG_CONFIG_HOME=str(self.directory), HOME=str(self.directory), SOAK_STDOUT_ONLY="1")

    def goes_on(self):
        return time.monotonic() < self.until

    def pause(self, seconds):
        end = min(time.monotonic() + seconds, self.until)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] += by

    def start(self, job, *arguments):
        def guarded():
            try:
                job(*arguments)
            except Exception as problem:  # noqa: BLE001: every exception is a failure
                self.problems.append(f"{job.__name__}: {problem!r}")
        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        self.threads.append(thread)

    # ---- the load ----
    def work(self, number):
        choose = random.Random(self.options.seed * 100 + number)
        while self.goes_on():
            seed = choose.randrange(1 << 30)
            with subprocess.Popen([RUN, "--quiet", "--", sys.executable, EMIT, str(seed)], env=self.environment(f"{HOST}-{number}"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                if choose.random() < 0.02:
                    time.sleep(choose.random())
                    process.kill()
                    self.count("killed")
                process.wait(120)
            self.count("runs")

    def heartbeat(self, number):
        """A host that reports without nixfleet-run."""
        host, seq = f"plain-{number}", 0
        run = f"00000000-0000-4000-8000-{number:012d}"
        while self.goes_on():
            seq += 1
            body = {"run": run, "command": "a plain command", "seq": seq, "status": "running", "interval": 5}
            request = urllib.request.Request(f"{self.url}/api/hosts/{host}/heartbeat", json.dumps(body).encode(),
                                             {"Authorization": f"Bearer {TOKEN}"})
            try:
                with urllib.request.urlopen(request, timeout=20):
                    self.count("heartbeats")
            except (OSError, urllib.error.URLError):
                pass  # the dashboard is restarting
            self.pause(2 + number % 7)

    def look(self, number):
        """A page that connects, follows the hosts, and leaves."""
        choose = random.Random(self.options.seed * 1000 + number)
        while self.goes_on():
            try:
                with ws.WebSocket(self.url) as page:
                    self.count("pages")
                    page.socket.settimeout(20)
                    page.send({"op": "subscribe"})
                    end = time.monotonic() + choose.uniform(1, 20)
                    while time.monotonic() < end and self.goes_on():
                        page.receive()
                        self.count("messages")
            except (OSError, EOFError, ValueError, AssertionError, AttributeError, TimeoutError):
                self.pause(0.5)  # no message, or the dashboard is restarting

    def flush_each_minute(self):
        while self.goes_on():
            self.pause(60)
            subprocess.run([RUN, "--flush"], env=self.environment(HOST), stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
            self.count("flushes")

    def restart_dashboard(self):
        term = True
        while self.goes_on():
            self.pause(max(4, min(self.options.seconds / 6, 300)))
            if not self.goes_on():
                return
            self.dashboard.process.send_signal(signal.SIGTERM if term else signal.SIGKILL)
            self.dashboard.process.wait(60)
            time.sleep(min(15, self.options.seconds / 20))
            self.dashboard.start()
            self.count("restarts")
            term = not term

    # ---- measurements ----
    def processes(self):
        """name -> pid of the processes that must not grow: the dashboard and the processes of the long run."""
        found = {"dashboard": self.dashboard.process.pid}
        stack = [(self.long.pid, "nixfleet-run")]
        while stack:
            pid, name = stack.pop()
            found.setdefault(name, pid)
            try:
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    for child in (task / "children").read_text().split():
                        comm = pathlib.Path(f"/proc/{child}/comm").read_text().strip()
                        if not comm.startswith("python"):
                            stack.append((int(child), f"{comm} {len([n for n in found if n.startswith(comm)]) or ''}".strip()))
            except OSError:
                continue
        return found

    @staticmethod
    def measure(pid):
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
        return {"rss": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]), "fds": len(os.listdir(f"/proc/{pid}/fd"))}

    def watch(self):
        step = max(0.5, min(10, self.options.seconds / 60))
        start = said = time.monotonic()
        while self.goes_on():
            for name, pid in self.processes().items():
                try:
                    self.metrics.setdefault(name, []).append(self.measure(pid))
                except (OSError, KeyError, ValueError):
                    continue  # the process has just been restarted
            if time.monotonic() - said >= 60:
                said = time.monotonic()
                sizes = ", ".join(f"{name} {rows[-1]['rss'] / 1024:.1f} MB {rows[-1]['fds']} fds" for name, rows in self.metrics.items())
                print(f"{(said - start) / 60:.0f} min: {self.counts}; {sizes}", flush=True)
            self.pause(step)

    def grows(self):
        """After the first third nothing may grow. A database's cache is bounded, but reaches its limit late."""
        for name, rows in self.metrics.items():
            third = len(rows) // 3
            if third < 3:
                continue
            early, late = rows[third:2 * third], rows[-third:]
            for what, slack in (("rss", 24 << 10 if name == "dashboard" else 2 << 10), ("fds", 20 if name == "dashboard" else 2), ("threads", 1)):
                before, after = (statistics.median(row[what] for row in part) for part in (early, late))
                yield name, what, before, after, after > before * 1.1 + slack

    # ---- the end ----
    def compare(self):
        flush = lambda: subprocess.run([RUN, "--flush"], env=self.environment(HOST), stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                                       check=False).returncode == 0
        wait_for(flush, 300, "--flush delivers everything")
        different = wrong = 0
        records = sorted(self.state.glob("*.run"))
        for record in records:
            fields = dict(line.split("=", 1) for line in record.read_text(errors="replace").splitlines() if "=" in line)
            shown = subprocess.run([RUN, "--show", record.stem], env=self.environment(HOST), capture_output=True, timeout=120, check=True).stdout
            stored = self.dashboard.get(f"/api/hosts/{fields['host']}/runs/{record.stem}/log")
            run = json.loads(self.dashboard.get(f"/api/hosts/{fields['host']}/runs/{record.stem}"))
            end = fields["end"].split()
            expected = None if not end else {"code": int(end[1])} if end[0] == "exit" else {"signal": signal.Signals(int(end[1])).name[3:]}
            different += stored != shown
            wrong += run["exit"] != expected or (expected is None and run["status"] != "crashed")
            if stored != shown:
                self.problems.append(f"run {record.stem}: {len(stored)} bytes at the dashboard, {len(shown)} in the log")
        ticks = subprocess.run([RUN, "--show", self.long_id()], env=self.environment(HOST), capture_output=True, timeout=120, check=True).stdout
        numbers = [int(line.split()[1]) for line in ticks.splitlines() if line.startswith(b"tick ")]
        if numbers != list(range(len(numbers))) or not numbers:
            self.problems.append("the long run: lines are missing, doubled or out of order")
        print(f"{len(records)} runs: {different} texts differ, {wrong} ends are wrong; the long run has {len(numbers)} lines")
        if wrong:
            self.problems.append(f"{wrong} ends are wrong")

    def long_id(self):
        for record in sorted(self.state.glob("*.run")):
            if "\nname=ticker\n" in record.read_text(errors="replace"):
                return record.stem
        raise AssertionError("the long run has no record")

    def run(self):
        self.long = subprocess.Popen([RUN, "--quiet", "--name", "ticker", "--", sys.executable, "-c", TICKER, str(self.options.seconds),
                                      str(self.options.rate)], env=self.environment(f"{HOST}-long"), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for number in range(self.options.workers):
            self.start(self.work, number)
        for number in range(self.options.hosts):
            self.start(self.heartbeat, number)
        for number in range(self.options.pages):
            self.start(self.look, number)
        self.start(self.flush_each_minute)
        self.start(self.restart_dashboard)
        self.watch()
        for thread in self.threads:
            thread.join(180)
        if self.long.wait(120) != 0:
            self.problems.append(f"the long run ended with {self.long.returncode}")
        self.compare()
        print(f"{'process':24}{'':10}{'early':>10}{'late':>10}")
        for name, what, before, after, bad in self.grows():
            print(f"{name:24}{what:10}{before:10.0f}{after:10.0f}{'  GROWS' if bad else ''}")
            if bad:
                self.problems.append(f"{name}: {what} grows from {before} to {after}")
        print(self.counts)

    def close(self):
        self.until = 0
        for process in (self.long, self.dashboard.process):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def main():
    arguments = argparse.ArgumentParser(description="a fleet that works for a long time")
    arguments.add_argument("--seconds", type=float, default=1800)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--workers", type=int, default=3)
    arguments.add_argument("--rate", type=float, default=50, help="lines a second of the long run")
    arguments.add_argument("--hosts", type=int, default=50, help="that send heartbeats without the wrapper")
    arguments.add_argument("--pages", type=int, default=6)
    endurance = Endurance(arguments.parse_args())
    signal.signal(signal.SIGABRT, lambda *_: sys.exit("endurance: it took too long"))
    print(f"seed {endurance.options.seed}", flush=True)
    try:
        endurance.run()
    finally:
        endurance.close()
    for problem in endurance.problems:
        print(problem)
    print("it did not hold" if endurance.problems else "it held")
    sys.exit(1 if endurance.problems else 0)


if __name__ == "__main__":
    main()
