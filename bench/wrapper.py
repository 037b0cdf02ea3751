#!/usr/bin/env python3
"""wrapper.py: the time and CPU of nixfleet-run, compared with similar programs on the same machine. Prints Markdown tables of ratios.

    wrapper.py [--bin DIR] [--size MB] [--rounds N] [--starts N]

The other programs: bench/bare-pty.c (forkpty and exec, a copy loop, no log), bench/bare-loop.c (the same with a log), and, if
installed, script(1), unbuffer(1) and asciinema(1). Each round measures one program after the other, so that noise of the machine
affects all alike; the tables show medians. (With a dashboard: streaming.py.) This is no test: nothing passes or fails.
"""
import argparse
import os
import pathlib
import pty
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import _terminal

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", ROOT / "build"))
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))


def peers(binaries, work):
    log = os.path.join(work, "peer.log")
    found = {"nixfleet-run": lambda c: [f"{binaries}/nixfleet-run", "--quiet", "--"] + c}
    for name in ("bare-pty", "bare-loop"):
        program = f"{BUILD}/bench/{name}"
        if os.path.exists(program):
            found[name] = (lambda p: lambda c: [p] + ([log] if p.endswith("bare-loop") else []) + c)(program)
    if shutil.which("script"):
        found["script"] = lambda c: ["script", "-q", "-e", "-c", " ".join(c), log]
    if shutil.which("unbuffer"):
        found["unbuffer"] = lambda c: ["unbuffer"] + c
    if shutil.which("asciinema"):
        found["asciinema"] = lambda c: ["asciinema", "rec", "-q", "--overwrite", "-c", " ".join(c), log + ".cast"]
    return found


def pipes(binaries, work, text):
    """Shell commands that send the same bytes through a pipe and into a log."""
    return {"nixfleet-run": f"'{binaries}/nixfleet-run' --quiet -- cat '{text}' | cat >/dev/null",
            "tee": f"cat '{text}' | tee '{work}/tee.log' | cat >/dev/null; rm '{work}/tee.log'"}


def pipe_time(command, environment):
    start = time.perf_counter()
    subprocess.run(["sh", "-c", command], env=environment, stdin=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - start
    _terminal.wait_for_all_children()
    return wall


def echo_latency(command, environment, count):
    """Median seconds from a key in the terminal until its echo; `cat` runs behind the wrapper."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    time.sleep(0.5)  # time for the start of all processes
    times = []
    for _ in range(count):
        start = time.perf_counter()
        os.write(master, b"k")
        seen = b""
        while b"k" not in seen:
            seen = os.read(master, 4096)
        times.append(time.perf_counter() - start)
    os.killpg(process.pid, signal.SIGKILL)  # also what the command has started
    process.wait()
    os.close(master)
    return statistics.median(times)


def table(title, unit, scale, results, base):
    print(f"\n### {title}\n\n| | {unit} | against {base} |\n|---|---:|---:|")
    for name, values in sorted(results.items(), key=lambda item: statistics.median(item[1])):
        value = statistics.median(values)
        print(f"| {name} | {value * scale:.2f} | {value / statistics.median(results[base]):.2f}× |", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", default=BIN)
    arguments.add_argument("--size", type=int, default=300, help="MB of text through each")
    arguments.add_argument("--rounds", type=int, default=5, help="of that text: one is a quarter off now and then")
    arguments.add_argument("--starts", type=int, default=60)
    options = arguments.parse_args()
    _terminal.become_subreaper()
    with tempfile.TemporaryDirectory() as work:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
        environment.update(NIXFLEET_STATE_DIR=os.path.join(work, "state"), XDG_CONFIG_HOME=work, SHELL="/bin/sh", TERM="xterm",
                           ASCIINEMA_CONFIG_HOME=work)
        found = peers(options.bin, work)
        base = "bare-loop" if "bare-loop" in found else "nixfleet-run"

        starts = {name: [] for name in found}
        for _ in range(options.starts):
            # in a random order: the program after asciinema finds a cold cache
            for name in random.sample(list(found), len(found)):
                starts[name].append(_terminal.run(found[name](["true"]), environment).wall)
        table("Start and end of `true`, offline", "ms", 1e3, starts, base)

        text = os.path.join(work, "text")
        with open(text, "wb") as f:
            block = b"".join(b"[%06d] copying path '/nix/store/abcdefghijklmnopqrstuvwxyz012345-package-%d'\n" % (i, i) for i in range(12000))
            for _ in range(max(1, options.size * 1000000 // len(block))):
                f.write(block)
        wall, cpu = {}, {}
        for _ in range(options.rounds):
            for name, wrap in found.items():
                if name == "asciinema":
                    continue  # asciinema takes minutes for so much text
                run = _terminal.run(wrap(["cat", text]), environment)
                wall.setdefault(name, []).append(run.wall)
                cpu.setdefault(name, []).append(run.cpu)
                shutil.rmtree(environment["NIXFLEET_STATE_DIR"], ignore_errors=True)
        table(f"{options.size} MB of text: time", "s", 1, wall, "script" if "script" in wall else base)
        table(f"{options.size} MB of text: CPU, the command included", "s", 1, cpu, base)

        through = {}
        for _ in range(options.rounds):
            for name, command in pipes(options.bin, work, text).items():
                through.setdefault(name, []).append(pipe_time(command, environment))
                shutil.rmtree(environment["NIXFLEET_STATE_DIR"], ignore_errors=True)
        table(f"{options.size} MB of text through a pipe: time", "s", 1, through, "tee")

        latency = {name: [] for name in found}
        for _ in range(5):
            for name, wrap in found.items():
                latency[name].append(echo_latency(wrap(["cat"]), environment, 300))
        latency = {name: [min(medians)] for name, medians in latency.items()}  # a median is several times longer with the work on two cores
        table("Echo of a key", "µs", 1e6, latency, "script" if "script" in latency else base)


main()
