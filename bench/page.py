#!/usr/bin/env python3
"""page.py: CPU time and memory of the page in a browser: a key in the filter of a large fleet, a fleet at work, a log that is followed,
and a day. Prints Markdown tables.

    page.py [--seconds N] [--hosts N] [--fleet N] [--profile] [--day]

Runs a real nixfleet-dashboard and a headless Chromium that is signed in and draws without a GPU. Measures CPU time: of the whole
process that draws the page, as the kernel counts it, and of its threads and tasks, from a trace of Chromium (with the categories of
DevTools' performance panel). --profile: also prints the events of the trace that took most. --fleet: only the N-th fleet.
--day: sends all events of a day as fast as the page can handle them, and prints the page's memory during the day. This is no test:
nothing passes or fails."""
import argparse
import http.client
import json
import os
import pathlib
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/web"))
TICK = os.sysconf("SC_CLK_TCK")

try:
    from browser import Browser
except ImportError as absent:
    sys.exit(f"page.py is skipped: {absent}")
from _trace import Trace  # noqa: E402
from dashboard import BINARY, TOKEN, Dashboard, new_run, sign_in  # noqa: E402

REPORTERS = 4  # all hosts share so many connections
TO_BUILD = 400
# number of hosts, hosts with a run, reports a second, lines a second in the open log
FLEETS = [(1500, 40, 40, 0), (219, 165, 165, 50)]


def parents():
    """The processes of the machine: pid → (parent, whether it draws pages)."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes()
            # Chromium also draws pages of its own, in a process with `webui` in its command line.
            found[int(entry.name)] = (parent, b"--type=renderer" in words and b"webui" not in words)
        except OSError:
            continue
    return found


def renderers(driver_pid):
    """The processes below chromedriver that draw pages."""
    found = parents()

    def is_ours(pid):
        while pid in found and pid != driver_pid:
            pid = found[pid][0]
        return pid == driver_pid

    return [pid for pid, (_, draws) in found.items() if draws and is_ours(pid)]


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Page:
    """A signed-in page, and the measurements of it."""

    def __init__(self, url):
        self.browser = Browser()
        sign_in(self.browser, url)
        self.browser.driver.get(url + "/")
        self.browser.wait(lambda: self.browser.count("tr.host") > 10, "the hosts")
        self.browser.cdp("Performance.enable", {"timeDomain": "threadTicks"})
        # Chromium keeps a spare process. The process with the most CPU time is the page's.
        self.pid = max(renderers(self.browser.driver.service.process.pid), key=cpu_of)

    def process_cpu(self):
        return cpu_of(self.pid)

    def trace(self, seconds):
        """Records a trace for so many seconds, and returns the CPU seconds of the page's process (Trace.cpu)."""
        with Trace(self.browser.driver) as trace:
            time.sleep(seconds)
        return trace.cpu(self.pid)

    def main_thread(self):
        """CPU seconds of the main thread since the page was loaded, all its tasks."""
        metrics = {m["name"]: m["value"] for m in self.browser.cdp("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"]

    def holdings(self):
        """The page's memory: MB of heap, DOM nodes (also those outside the document), event listeners."""
        for _ in range(3):  # one collection may make more objects free for the next
            self.browser.cdp("HeapProfiler.collectGarbage")
        metrics = {m["name"]: m["value"] for m in self.browser.cdp("Performance.getMetrics")["metrics"]}
        return metrics["JSHeapUsedSize"] / 1e6, metrics["Nodes"], metrics["JSEventListeners"]

    def open_log(self, host):
        self.browser.js(f"document.querySelector('tbody[data-host={host}] .name').click()")
        self.browser.wait(lambda: self.browser.count(".row") > 0, "the log")

    def close(self):
        self.browser.close()


class Client:
    """A connection for the hosts' requests; it stays open."""

    def __init__(self, dashboard):
        self.connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=30)

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {said!r}")


class Host:
    """A host with an agent, and its runs."""

    def __init__(self, name):
        self.name, self.path = name, f"/api/hosts/{name}"
        self.run, self.lines, self.n = None, 0, 0

    def register(self, client):
        client.post(f"{self.path}/register", {"hostname": self.name, "host_type": "nixos", "location": "home", "device_type": "server", "poll_interval": 60,
                                              "current_generation": "e578082", "os_name": "NixOS", "metrics": {"cpu": self.n % 97, "ram": 34, "load": "0.42"}})

    def begin(self, client):
        self.run, self.lines, self.n = new_run(), 0, 0
        self.write(client, ["building the system configuration..."])

    def write(self, client, lines):
        """Sends what nixfleet-run sends each second if there is output: lines, phase, progress."""
        self.n += 1
        progress = {"built": min(self.n, TO_BUILD), "to_build": TO_BUILD, "current": f"package-{self.n}"}
        client.post(f"{self.path}/logs", {"run": self.run, "command": "sudo nixos-rebuild switch --flake .#host", "name": "switch", "from": self.lines,
                                          "lines": lines, "phase": "building", "progress": progress})
        self.lines += len(lines)

    def end(self, client, code):
        client.post(f"{self.path}/logs", {"run": self.run, "from": self.lines, "lines": ["done"], "exit": {"code": code}, "line_count": self.lines + 1,
                                          **({"error": "builder for 'package.drv' failed"} if code else {})})
        self.run = None


def at_once(jobs, dashboard):
    """Does the jobs on eight connections; each job gets a client."""
    todo = iter(jobs)
    lock = threading.Lock()

    def work():
        client = Client(dashboard)
        while True:
            with lock:
                job = next(todo, None)
            if not job:
                return
            job(client)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Fleet:
    """Hosts that report. `busy` of them have a run and report in turn, together `reports` times a second. The log of the first host
    grows by `lines` lines a second."""

    def __init__(self, dashboard, hosts, busy, reports, lines):
        self.dashboard, self.reports, self.lines = dashboard, reports, lines
        self.hosts = [Host(f"host{i:04d}") for i in range(hosts)]
        self.busy = self.hosts[:busy]
        at_once([host.register for host in self.hosts], dashboard)
        at_once([host.begin for host in self.busy], dashboard)
        self.ending, self.done = threading.Event(), 0
        self.threads = []

    def start(self):
        told = self.busy[1:] if self.lines else self.busy
        shares = [told[i::REPORTERS] for i in range(REPORTERS)]
        self.threads = [threading.Thread(target=self.tell, args=(share,)) for share in shares]
        if self.lines:
            self.threads.append(threading.Thread(target=self.grow))
        for thread in self.threads:
            thread.start()

    def paced(self, each_second):
        """Yields when the next report is due. After a late report the next follows at once, so the rate is kept."""
        due = time.monotonic()
        while not self.ending.wait(max(0, due - time.monotonic())):
            yield
            due += 1 / each_second

    def tell(self, hosts):
        client = Client(self.dashboard)
        for n, _ in enumerate(self.paced(self.reports / REPORTERS)):
            host = hosts[n % len(hosts)]
            host.write(client, [f"package> step {n}"])
            self.done += 1

    def grow(self):
        client, host = Client(self.dashboard), self.busy[0]
        for _ in self.paced(5):
            host.write(client, [f"\x1b[32mpackage>\x1b[0m line {host.lines + i} of the build" for i in range(self.lines // 5)])

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def keys_in_filter(page):
    """CPU seconds of the main thread for each key in the filter, until the list is painted. Keys make the list shorter and longer."""
    script = """const done = arguments[arguments.length - 1]; const box = document.querySelector('#filter');
        const channel = new MessageChannel();
        box.value = arguments[0]; box.dispatchEvent(new Event('input', { bubbles: true }));
        requestAnimationFrame(() => { channel.port1.onmessage = done; channel.port2.postMessage(0); });"""
    costs = []
    for text in ["h", "ho", "host0", "host07", "host079", "host07", "host0", "", "1", "12", "1", ""] * 2:
        before = page.main_thread()
        page.browser.driver.execute_async_script(script, text)
        costs.append(page.main_thread() - before)
    return costs


def measure(hosts, busy, reports, lines, seconds, keys):
    dashboard = Dashboard()
    page = fleet = None
    try:
        fleet = Fleet(dashboard, hosts, busy, reports, lines)
        page = Page(dashboard.url)
        found = {"keys": keys_in_filter(page) if keys else None}
        if lines:
            page.open_log("host0000")
        fleet.start()
        time.sleep(5)
        done, process, start = fleet.done, page.process_cpu(), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - start
        found["process"], found["reports"] = (page.process_cpu() - process) / took, (fleet.done - done) / took
        found["trace"] = page.trace(seconds)
        found["heap"] = page.holdings()[0]
        return found
    finally:
        if fleet:
            fleet.stop()
        if page:
            page.close()
        dashboard.close()


# A day: 219 hosts, each with an agent that reports each minute and with 24 runs of 40 reports. One more host has a build whose log grows
# by 50 lines a second; the page has this log open and follows it. A person does something every three minutes.
DAY = {"hosts": 219, "runs": 24, "reports": 40, "agent": 1440, "lines": 50 * 86400, "acts": 480}
COUNT_MESSAGES = """window.heard = 0; const Plain = WebSocket;
    window.WebSocket = class extends Plain { constructor(url) { super(url); this.addEventListener('message', () => window.heard++); } };"""


class Day:
    """All events of a day, in ten parts."""

    PARTS = 10

    def __init__(self, dashboard):
        self.dashboard = dashboard
        self.hosts = [Host(f"host{i:04d}") for i in range(DAY["hosts"])]
        self.builder = Host("builder")
        at_once([host.register for host in self.hosts + [self.builder]], dashboard)
        at_once([self.builder.begin], dashboard)
        self.acts = 0

    def part(self, page, n):
        """The n-th tenth of the day."""
        jobs = [threading.Thread(target=self.grow)] + [threading.Thread(target=self.work, args=(self.hosts[i::6], n)) for i in range(6)]
        for job in jobs:
            job.start()
        goal = DAY["acts"] * (n + 1) // self.PARTS
        while any(job.is_alive() for job in jobs) or self.acts < goal:
            if self.acts < goal:
                self.act(page.browser)
            time.sleep(0.5)

    def work(self, hosts, n):
        client = Client(self.dashboard)
        first, last = (DAY["runs"] * part // self.PARTS for part in (n, n + 1))
        for number in range(first, last):
            for host in hosts:
                host.begin(client)
            for _ in range(DAY["reports"]):
                for host in hosts:
                    host.write(client, ["package> a line"])
            for host in hosts:
                host.end(client, code=int(number % 5 == 0))
        for _ in range(DAY["agent"] // self.PARTS):
            for host in hosts:
                client.post(f"{host.path}/heartbeat", {})

    def grow(self):
        client, each = Client(self.dashboard), 250
        for _ in range(DAY["lines"] // self.PARTS // each):
            at = self.builder.lines
            self.builder.write(client, [f"\x1b[32mpackage>\x1b[0m line {at + i} of the build" for i in range(each)])

    def act(self, browser):
        """A person opens and closes a log, filters, looks at the runs of a host, the timeline, the search."""
        name = self.hosts[self.acts % len(self.hosts)].name
        press = "document.querySelector('%s')?.click()"
        choices = [f"location.hash = '#builder+{name}'", "location.hash = '#builder'", "location.hash = '#builder?q=host00'", "location.hash = '#builder?only=problem'",
                   "location.hash = '#builder?view=timeline'", "location.hash = '#builder'", press % ".panel [data-do=runs]", press % ".panel [data-do=times]",
                   "location.hash = '#?view=search&find=nothing'", "location.hash = '#builder'", press % "#fleet-menu", press % "#fleet-menu"]
        browser.js(choices[self.acts % len(choices)])
        self.acts += 1


def print_day():
    dashboard = Dashboard()
    page = None
    try:
        day = Day(dashboard)
        page = Page(dashboard.url)
        page.browser.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": COUNT_MESSAGES})
        page.browser.driver.refresh()
        page.browser.wait(lambda: page.browser.count("tr.host") > 10, "the hosts")
        page.browser.js("location.hash = '#builder'")
        page.browser.wait(lambda: page.browser.count(".row") > 0, "the log")
        print("| of the day | lines | runs | messages to the page | heap | nodes | listeners |\n|---|" + "---:|" * 6, flush=True)
        for part in range(Day.PARTS):
            day.part(page, part)
            page.browser.js("location.hash = '#builder'")
            time.sleep(5)
            heap, nodes, listeners = page.holdings()
            runs = DAY["runs"] * (part + 1) // Day.PARTS * DAY["hosts"]
            print(f"| {part + 1}/10 | {day.builder.lines:,} | {runs:,} | {page.browser.js('return window.heard'):,} | {heap:.2f} MB | {nodes:.0f} | {listeners:.0f} |", flush=True)
    finally:
        if page:
            page.close()
        dashboard.close()


KINDS = ("script", "style", "layout", "paint", "garbage")


def print_fleets(fleets, seconds, profile):
    measured = [measure(*fleet, seconds, n == 0) for n, fleet in enumerate(fleets)]
    keys = measured[0]["keys"]
    print(f"A key in the filter, {fleets[0][0]} hosts: {statistics.median(keys) * 1000:.0f} ms of the main thread (median), {max(keys) * 1000:.0f} ms (longest).\n")
    print("| parts of a core | process | in the trace | main thread | " + " | ".join(KINDS) + " | heap |\n|---|" + "---:|" * (4 + len(KINDS)))
    for (hosts, busy, _, lines), found in zip(fleets, measured):
        words = f"{hosts:,} hosts, {busy} busy, {found['reports']:.0f} reports/s" + (f", a log of {lines} lines/s" if lines else "")
        trace = found["trace"]
        parts = [trace["all"], trace["main"]] + [trace["kinds"].get(kind, 0) for kind in KINDS]
        cells = [f"{found['process'] * 100:.1f} %"] + [f"{part / seconds * 100:.2f} %" for part in parts]
        print(f"| {words} | " + " | ".join(cells) + f" | {found['heap']:.1f} MB |")
        for name, cost in sorted(trace["names"].items(), key=lambda item: -item[1])[: 30 if profile else 0]:
            print(f"    {cost / seconds * 100:.3f} %  {name}")
        for name, cost in sorted(trace["threads"].items(), key=lambda item: -item[1])[: 30 if profile else 0]:
            print(f"    {cost / seconds * 100:.3f} %  thread {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--fleet", type=int, default=0, metavar="N")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--day", action="store_true")
    arguments = parser.parse_args()
    if not BINARY.exists():
        sys.exit("page.py is skipped: nixfleet-dashboard is not built")
    if arguments.day:
        return print_day()
    return print_fleets([FLEETS[arguments.fleet - 1]] if arguments.fleet else FLEETS, arguments.seconds, arguments.profile)


if __name__ == "__main__":
    main()
