#!/usr/bin/env python3
"""page.py: what the page takes of a browser: a key in the filter of a large fleet, a fleet at work, and a log that is followed.
Prints a Markdown table.

    page.py [--seconds N] [--hosts N] [--soak N]

A real nixfleet-dashboard and a headless Chromium, which draws by software. The times are CPU times: of the page's main thread, as
Chromium counts them, and of its whole process. --soak: for so many seconds a log of 5,000 lines a second is followed, and 20 runs a
second end and begin; what the page holds early and late. Nothing here passes or fails."""
import argparse
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
from dashboard import BINARY, Dashboard, sign_in  # noqa: E402


def renderers(driver_pid):
    """The processes below chromedriver that draw pages."""
    parents, drawing = {}, []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"--type=renderer" in (entry / "cmdline").read_bytes():
                drawing.append(int(entry.name))
        except OSError:
            continue

    def is_ours(pid):
        while pid in parents and pid != driver_pid:
            pid = parents[pid]
        return pid == driver_pid

    return [pid for pid in drawing if is_ours(pid)]


class Page:
    """A signed-in page, and what it takes."""

    def __init__(self, url):
        self.browser = Browser()
        sign_in(self.browser, url)
        self.browser.driver.get(url + "/")
        self.browser.cdp("Performance.enable", {"timeDomain": "threadTicks"})

    def process_cpu(self):
        """CPU seconds of the processes that draw this browser's page."""
        total = 0
        for pid in renderers(self.browser.driver.service.process.pid):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICK
        return total

    def tasks(self):
        """CPU seconds of the main thread since the page was loaded: all its tasks, and in them script, style and layout."""
        metrics = {m["name"]: m["value"] for m in self.browser.cdp("Performance.getMetrics")["metrics"]}
        return [metrics[f"{name}Duration"] for name in ("Task", "Script", "RecalcStyle", "Layout")]

    def heap_mb(self):
        self.browser.cdp("HeapProfiler.collectGarbage")
        return self.browser.js("return performance.memory.usedJSHeapSize") / 1e6

    def holdings(self):
        """What the page holds: MB of heap, nodes of the document and outside it, and listeners."""
        heap = self.heap_mb()
        metrics = {m["name"]: m["value"] for m in self.browser.cdp("Performance.getMetrics")["metrics"]}
        return heap, metrics["Nodes"], metrics["JSEventListeners"]

    def close(self):
        self.browser.close()


class Fleet:
    """Hosts that report: `hosts` of them, `busy` with a run, some changes each second in turn; a log that grows."""

    def __init__(self, dashboard, hosts, busy, changes, log_lines, new_runs=False):
        self.dashboard, self.changes, self.log_lines, self.new_runs = dashboard, changes, log_lines, new_runs
        self.names = [f"host{i:04d}" for i in range(hosts)]
        self.runs = {}
        for i, name in enumerate(self.names):
            if i < busy:
                self.runs[name] = dashboard.begin(name, ["building"])
            else:
                dashboard.post(f"/api/hosts/{name}/register", {"hostname": name, "host_type": "nixos"})
        self.ending, self.written = threading.Event(), 0
        self.threads = []

    def start(self):
        jobs = [self.report] + ([self.write] if self.log_lines else [])
        self.threads = [threading.Thread(target=job) for job in jobs]
        for thread in self.threads:
            thread.start()

    def report(self):
        n = 0
        while not self.ending.wait(1 / self.changes):
            name = list(self.runs)[n % len(self.runs)]
            if self.new_runs and n % 5 == 0 and n % len(self.runs):  # not of the host whose log is followed
                self.dashboard.end(name, self.runs[name], 1, code=n % 2)
                self.runs[name] = self.dashboard.begin(name, ["building"])
            progress = {"built": n % 400, "to_build": 400, "current": f"package-{n}"}
            self.dashboard.heartbeat(name, self.runs[name], "building", phase="building", progress=progress, interval=60)
            n += 1

    def write(self):
        name, n, each = next(iter(self.runs)), 1, max(1, self.log_lines // 5)
        while not self.ending.wait(0.2):
            self.dashboard.write(name, self.runs[name], n, [f"\x1b[32mpackage>\x1b[0m line {n + i} of the build" for i in range(each)])
            self.written = n = n + each

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def key_in_filter(page):
    """CPU seconds of the main thread from a key in the filter to the painted list; the keys narrow the list and widen it."""
    script = """const done = arguments[arguments.length - 1]; const box = document.querySelector('#filter');
        const channel = new MessageChannel();
        box.value = arguments[0]; box.dispatchEvent(new Event('input', { bubbles: true }));
        requestAnimationFrame(() => { channel.port1.onmessage = done; channel.port2.postMessage(0); });"""
    costs = []
    for text in ["h", "ho", "host0", "host07", "host079", "host07", "host0", "", "1", "12", "1", ""] * 2:
        before = page.tasks()[0]
        page.browser.driver.execute_async_script(script, text)
        costs.append(page.tasks()[0] - before)
    return costs


def share(page, seconds):
    """Parts of a core: whole process, main thread, and of the latter script, style, layout."""
    process, tasks, start = page.process_cpu(), page.tasks(), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    return [(page.process_cpu() - process) / took] + [(after - before) / took for before, after in zip(tasks, page.tasks())]


def measure(hosts, busy, changes, log_lines, seconds, keys):
    dashboard = Dashboard()
    page = fleet = None
    try:
        fleet = Fleet(dashboard, hosts, busy, changes, log_lines)
        page = Page(dashboard.url)
        page.browser.wait(lambda: page.browser.count("tr.host") > 30, "the hosts")
        figures = {}
        if keys:
            each = key_in_filter(page)
            figures["key"] = (statistics.median(each), max(each))
        if log_lines:
            page.browser.js("document.querySelector('tbody[data-host=host0000] .name').click()")
            page.browser.wait(lambda: page.browser.count(".row") > 0, "the log")
        fleet.start()
        time.sleep(3)
        figures["share"] = share(page, seconds)
        figures["heap"] = page.heap_mb()
        return figures
    finally:
        if fleet:
            fleet.stop()
        if page:
            page.close()
        dashboard.close()


def soak(seconds):
    """What the page holds after a quarter of the time, and at its end; and the lines that the log has then. A day of 50 lines a second
    has 4.3 million."""
    dashboard = Dashboard()
    page = fleet = None
    try:
        fleet = Fleet(dashboard, 219, 165, 100, 5000, new_runs=True)
        page = Page(dashboard.url)
        page.browser.wait(lambda: page.browser.count("tr.host") > 30, "the hosts")
        page.browser.js("document.querySelector('tbody[data-host=host0000] .name').click()")
        page.browser.wait(lambda: page.browser.count(".row") > 0, "the log")
        fleet.start()
        time.sleep(seconds / 4)
        early = page.holdings()
        time.sleep(seconds * 3 / 4)
        return early, page.holdings(), fleet.written
    finally:
        if fleet:
            fleet.stop()
        if page:
            page.close()
        dashboard.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--hosts", type=int, default=1500)
    parser.add_argument("--soak", type=int, default=0, metavar="SECONDS")
    arguments = parser.parse_args()
    if not BINARY.exists():
        sys.exit("page.py is skipped: nixfleet-dashboard is not built")
    if arguments.soak:
        early, late, lines = soak(arguments.soak)
        print(f"| a log of {lines:,} lines | heap | nodes | listeners |\n|---|---:|---:|---:|")
        for words, held in (("after a quarter of the time", early), ("at the end", late)):
            print(f"| {words} | {held[0]:.1f} MB | {held[1]:.0f} | {held[2]:.0f} |")
        return
    fleets = [(arguments.hosts, 40, 4, 0), (arguments.hosts, 40, 40, 0), (219, 165, 6, 50), (219, 165, 100, 50)]
    measured = [measure(*fleet, arguments.seconds, n == 0) for n, fleet in enumerate(fleets)]
    median, most = measured[0]["key"]
    print(f"A key in the filter, {arguments.hosts} hosts: {median * 1000:.0f} ms of the main thread (median), {most * 1000:.0f} ms (longest).\n")
    print("| parts of a core | whole process | main thread | script | style | layout | heap |\n|---|---:|---:|---:|---:|---:|---:|")
    for (hosts, busy, changes, lines), figures in zip(fleets, measured):
        words = f"{hosts:,} hosts, {busy} busy, {changes} changes/s" + (f", a log of {lines} lines/s" if lines else "")
        print(f"| {words} | " + " | ".join(f"{part * 100:.1f} %" for part in figures["share"]) + f" | {figures['heap']:.1f} MB |")


if __name__ == "__main__":
    main()
