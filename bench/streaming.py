#!/usr/bin/env python3
"""streaming.py: a run that streams its output to a working nixfleet-dashboard: its memory, and the wait at its end. Prints Markdown
tables.

    streaming.py [--size MB] [--ends N]
    streaming.py --long GB        only the memory, over so much output; the log needs as much disk space below $TMPDIR

This is no test: nothing passes or fails."""
import argparse
import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import tempfile

import _terminal

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))
TOKEN = "token-of-the-benchmark"
LINE = "[%06d] copying path /nix/store/abcdefghijklmnopqrstuvwxyz012345-package-%d\n"


@contextlib.contextmanager
def dashboard(work):
    """Starts a dashboard, and gives the environment of a run that streams to it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
    server = subprocess.Popen([BIN / "nixfleet-dashboard", "--dev", "--listen", "127.0.0.1:0", "--data", work / "data"],
                              env=dict(kept, NIXFLEET_API_TOKEN=TOKEN), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        url = re.search(r"http://\S+", server.stdout.readline()).group()
        yield dict(kept, NIXFLEET_URL=url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST="bench", NIXFLEET_STATE_DIR=str(work / "state"),
                   XDG_CONFIG_HOME=str(work))
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def wrapped(script):
    return [BIN / "nixfleet-run", "-q", "--", "sh", "-c", script]


# ---- memory ----
def kilobytes(pid, file, field):
    return int(re.search(rf"^{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/{file}").read_text(), re.M).group(1))


def family(pump):
    """{pid: name} of the pump and its children. The command is not among them: it is a child of the monitor."""
    found = {pump: "pump"}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, AttributeError):  # the process may have ended meanwhile
            pid, name, parent = re.match(r"(\d+) \((.*)\) . (\d+)", status.read_text()).groups()
            if int(parent) == pump:
                found[int(pid)] = "monitor" if name == "nixfleet-run" else name
    return found


class Memory:
    """Peaks in kB: the resident memory of each process, and the sum over all processes with shared pages counted once (PSS)."""

    def __init__(self):
        self.resident, self.names, self.history = {}, {}, []

    def sample(self, pump):
        together = 0
        for pid, name in family(pump).items():
            with contextlib.suppress(OSError, AttributeError):
                self.resident[pid] = max(kilobytes(pid, "status", "VmHWM"), self.resident.get(pid, 0))
                self.names[pid] = name  # the newest name: a helper sets its name only after its start
                together += kilobytes(pid, "smaps_rollup", "Pss")
        self.history.append(together)

    def print(self, title):
        print(f"\n### {title}\n\n| | MB |\n|---|---:|")
        for pid, value in self.resident.items():
            print(f"| {self.names[pid]}: resident at most | {value / 1024:.1f} |")
        print(f"| the sum of these | {sum(self.resident.values()) / 1024:.1f} |")
        print(f"| all at most, shared pages counted once | {max(self.history) / 1024:.1f} |")


def show_memory(work, megabytes):
    memory = Memory()
    text = work / "text"
    with text.open("w") as file:
        for number in range(megabytes * 1000000 // len(LINE % (0, 0))):
            file.write(LINE % (number % 1000000, number))
    with dashboard(work) as environment:
        _terminal.run(wrapped(f"cat {text}; for i in $(seq 50); do tail -n 100 {text}; sleep 0.1; done"), environment, memory.sample, True)
    memory.print(f"Memory: {megabytes} MB at once, then 5 s of 1,000 lines a second")


def show_long(work, gigabytes):
    memory = Memory()
    with dashboard(work) as environment:
        run = _terminal.run(wrapped(f"yes '{LINE.strip() % (0, 0)}' | head -c {gigabytes}G"), environment, memory.sample, True)
    memory.print(f"Memory: {gigabytes} GB in {run.wall:.0f} s")
    tenth = len(memory.history) // 10 + 1
    for name, part in (("second", memory.history[tenth:2 * tenth]), ("last", memory.history[-tenth:])):
        print(f"| all, median of the {name} tenth of the time | {statistics.median(part) / 1024:.1f} |")


# ---- the end ----
ENDS = {"`true`": "", "2,000 lines": "seq 2000; ", "5 MB of text": "seq 700000; ", "20 MB of text": "seq 2600000; ",
        "3 s of a line each 0.1 s": "for i in $(seq 30); do echo $i; sleep 0.1; done; "}


def all_acknowledged(work):
    """Whether the newest record says DELIVERED; its slot is "ack=LINES DELIVERED REFUSED MORE" (capture/runlog.h)."""
    record = max((work / "state").glob("*.run")).read_text().splitlines()
    return record[1].split()[1] == "1"


def show_ends(work, count):
    print(f"\n### From the command's end to the wrapper's ({count} runs each)\n")
    print("| the command wrote | median, ms | slowest, ms | all acknowledged |\n|---|---:|---:|---:|")
    stamp = work / "stamp"
    with dashboard(work) as environment:
        for name, script in ENDS.items():
            waits, complete = [], 0
            for _ in range(count):
                run = _terminal.run(wrapped(f"{script}exec date +%s.%N >{stamp}"), environment, others=True)
                waits.append(run.ended - float(stamp.read_text()))
                complete += all_acknowledged(work)
            print(f"| {name} | {statistics.median(waits) * 1e3:.0f} | {max(waits) * 1e3:.0f} | {complete} of {count} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=200, help="MB")
    parser.add_argument("--ends", type=int, default=11)
    parser.add_argument("--long", type=int, help="GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nixfleet-bench-") as directory:
        work = pathlib.Path(directory)
        if options.long:
            show_long(work, options.long)
        else:
            show_memory(work, options.size)
            show_ends(work, options.ends)


if __name__ == "__main__":
    main()
