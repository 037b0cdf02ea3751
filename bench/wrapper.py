#!/usr/bin/env python3
"""wrapper.py: what nixfleet-run costs, beside its peers, in one run. Prints Markdown tables of ratios.

    wrapper.py [--bin DIR] [--size MB] [--starts N]

Peers: bench/bare-pty.c (forkpty and exec, a copy loop, no log), bench/bare-loop.c (the same with a log), script(1), unbuffer(1) and
asciinema(1) where they are installed. Every measurement is repeated in turns, peer by peer, so that noise hits all alike; the
table shows medians. Nothing here passes or fails.
"""
import argparse
import os
import pty
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def peers(binaries, work):
    log = os.path.join(work, "peer.log")
    found = {"nixfleet-run": lambda c: [f"{binaries}/nixfleet-run", "--quiet", "--"] + c}
    for name in ("bare-pty", "bare-loop"):
        program = f"{ROOT}/build/bench/{name}"
        if os.path.exists(program):
            found[name] = (lambda p: lambda c: [p] + ([log] if p.endswith("bare-loop") else []) + c)(program)
    if shutil.which("script"):
        found["script"] = lambda c: ["script", "-q", "-e", "-c", " ".join(c), log]
    if shutil.which("unbuffer"):
        found["unbuffer"] = lambda c: ["unbuffer"] + c
    if shutil.which("asciinema"):
        found["asciinema"] = lambda c: ["asciinema", "rec", "-q", "--overwrite", "-c", " ".join(c), log + ".cast"]
    return found


def drain(master, stop):
    while True:
        try:
            if not os.read(master, 1 << 16):
                return
        except OSError:
            return


def run_in_terminal(command, environment):
    """Runs command on a terminal of its own; seconds of wall and of CPU (the whole tree), and the peak RSS of the tree's largest process."""
    master, slave = pty.openpty()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    reader = threading.Thread(target=drain, args=(master, None))
    reader.start()
    process.wait()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.close(master) if not reader.is_alive() else None
    reader.join(2)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def echo_latency(command, environment, count):
    """Median seconds between a key sent to the terminal and its echo by `cat` behind the wrapper."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    time.sleep(0.5)  # let it settle: a benchmark, not a test
    times = []
    for _ in range(count):
        start = time.perf_counter()
        os.write(master, b"k")
        seen = b""
        while b"k" not in seen:
            seen = os.read(master, 4096)
        times.append(time.perf_counter() - start)
    process.kill()
    process.wait()
    os.close(master)
    return statistics.median(times)


def table(title, unit, scale, results, base):
    print(f"\n### {title}\n\n| | {unit} | against {base} |\n|---|---:|---:|")
    for name, values in sorted(results.items(), key=lambda item: statistics.median(item[1])):
        value = statistics.median(values)
        print(f"| {name} | {value * scale:.2f} | {value / statistics.median(results[base]):.2f}× |")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", default=ROOT)
    arguments.add_argument("--size", type=int, default=1000, help="MB of text through each")
    arguments.add_argument("--starts", type=int, default=60)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as work:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
        environment.update(NIXFLEET_STATE_DIR=os.path.join(work, "state"), XDG_CONFIG_HOME=work, SHELL="/bin/sh", TERM="xterm",
                           ASCIINEMA_CONFIG_HOME=work)
        found = peers(options.bin, work)
        base = "bare-pty" if "bare-pty" in found else "nixfleet-run"

        starts = {name: [] for name in found}
        for _ in range(options.starts):
            for name, wrap in found.items():
                starts[name].append(run_in_terminal(wrap(["true"]), environment)[0])
        table("Start and end of `true`, offline", "ms", 1e3, starts, base)

        text = os.path.join(work, "text")
        with open(text, "wb") as f:
            block = b"".join(b"[%06d] copying path '/nix/store/abcdefghijklmnopqrstuvwxyz012345-package-%d'\n" % (i, i) for i in range(12000))
            for _ in range(max(1, options.size * 1000000 // len(block))):
                f.write(block)
        wall, cpu = {}, {}
        for _ in range(3):
            for name, wrap in found.items():
                if name == "asciinema":
                    continue  # takes minutes for this
                w, c = run_in_terminal(wrap(["cat", text]), environment)
                wall.setdefault(name, []).append(w)
                cpu.setdefault(name, []).append(c)
                shutil.rmtree(environment["NIXFLEET_STATE_DIR"], ignore_errors=True)
        base = "bare-loop" if "bare-loop" in found else base
        table(f"{options.size} MB of text: time", "s", 1, wall, "script" if "script" in wall else base)
        table(f"{options.size} MB of text: CPU, the command included", "s", 1, cpu, base)

        latency = {}
        for name, wrap in found.items():
            latency[name] = [echo_latency(wrap(["cat"]), environment, 300) for _ in range(3)]
        table("Echo of a key", "µs", 1e6, latency, "script" if "script" in latency else base)


main()
