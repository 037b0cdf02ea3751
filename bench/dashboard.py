#!/usr/bin/env python3
"""dashboard.py: speed, CPU and memory of nixfleet-dashboard, compared with a server of the same HTTP library that stores nothing. Prints
a Markdown table.

    dashboard.py [--hosts N] [--heartbeats N] [--browsers N] [--seconds N]

The server and the load generator (bench/dashboard-load.c) each have one core. This is no test: nothing passes or fails."""
import argparse
import os
import pathlib
import re
import resource
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", ROOT / "build"))
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))
TOKEN = "token-of-the-benchmark"
TICK = os.sysconf("SC_CLK_TCK")


def on_core(core):
    def set_up():
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return set_up


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mb(pid, field):
    return int(re.search(rf"{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def measure(server, hosts, heartbeats, browsers, seconds, bare):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
    process = subprocess.Popen(server, env=dict(environment, NIXFLEET_API_TOKEN=TOKEN), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, preexec_fn=on_core(0))
    try:
        port = re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline()).group(1)
        load = subprocess.Popen([BUILD / "bench/dashboard-load", port, TOKEN, str(hosts), str(heartbeats), str(browsers), str(seconds)]
                                + (["bare"] if bare else []), stdout=subprocess.PIPE, text=True, preexec_fn=on_core(1))
        time.sleep(float(load.stdout.readline().split()[1]))
        before, start = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds - 0.2)
        cores = (cpu_seconds(process.pid) - before) / (time.monotonic() - start)
        memory, memory_now = memory_mb(process.pid, "VmHWM"), memory_mb(process.pid, "VmRSS")
        figures = dict(line.split() for line in load.stdout.read().splitlines())
        if load.wait() != 0:
            raise SystemExit("dashboard-load failed")
    finally:
        process.kill()
        process.wait()
    figures = {k: float(v) for k, v in figures.items()}
    requests = figures["batches_per_s"] + figures["heartbeats_per_s"]
    return dict(figures, cores=cores, memory=memory, memory_now=memory_now, us=cores * 1e6 / requests if requests else 0)


ROWS = [("batches acknowledged per second", "batches_per_s", "{:.0f}"), ("… median, ms", "batches_p50_ms", "{:.1f}"),
        ("… p99, ms", "batches_p99_ms", "{:.1f}"), ("… p99 in the first tenth of the time, ms", "batches_first_ms", "{:.1f}"),
        ("… p99 in the last tenth, ms", "batches_last_ms", "{:.1f}"), ("… worst, ms", "batches_max_ms", "{:.0f}"),
        ("heartbeats per second", "heartbeats_per_s", "{:.0f}"), ("… p99, ms", "heartbeats_p99_ms", "{:.1f}"),
        ("a line in an open page: median, ms", "lines_p50_ms", "{:.1f}"), ("… p99, ms", "lines_p99_ms", "{:.1f}"),
        ("to all pages together, MB/s", "pages_mb", "{:.1f}"), ("refused", "refused", "{:.0f}"),
        ("cores used", "cores", "{:.2f}"), ("CPU for one request, µs", "us", "{:.0f}"), ("peak memory, MB", "memory", "{:.0f}"),
        ("memory at the end, MB", "memory_now", "{:.0f}")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("hosts", 5000), ("heartbeats", 10000), ("browsers", 100), ("seconds", 15)):
        parser.add_argument("--" + name, type=int, default=value)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nixfleet-bench-") as work:
        ours = measure([BIN / "nixfleet-dashboard", "--dev", "--listen", "127.0.0.1:0", "--data", work], args.hosts, args.heartbeats,
                       args.browsers, args.seconds, False)
    bare = measure([BUILD / "bench/bare-http"], args.hosts, args.heartbeats, 0, min(args.seconds, 30), True)
    ours["pages_mb"] /= args.seconds
    print(f"\n### {args.hosts} hosts post 1 KB each second, {args.heartbeats} heartbeat each 10 s, {args.browsers} browsers watch\n")
    print("| | nixfleet-dashboard | bare-http | ratio |\n|---|---:|---:|---:|")
    for title, key, form in ROWS:
        ratio = f"{ours[key] / bare[key]:.1f}×" if bare[key] and key in ("cores", "us", "memory", "memory_now") else ""
        theirs = form.format(bare[key]) if not key.startswith(("lines", "pages")) else "–"
        print(f"| {title} | {form.format(ours[key])} | {theirs} | {ratio} |")


if __name__ == "__main__":
    main()
