#!/usr/bin/env python3
"""How much a dashboard delays the end of a run: the time of `nixfleet-run true` without a dashboard, with a dashboard that works, and with
several that fail. The extra time is compared with the run without a dashboard. All times are medians of --rounds."""
import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/lib")]
from dashserver import TOKEN, Dashboard  # noqa: E402
from faultserver import FaultServer, free_port, silent, status  # noqa: E402
from helperrun import behind  # noqa: E402

RUN = str(pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR") or ROOT) / "nixfleet-run")


def end_behind(state):
    for pid in behind(state):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def measure(state, url, rounds, first=False):
    """Median milliseconds of the rounds. first: the state directory is removed before each round, so each run is the first."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("NIXFLEET_")}
    env.update(NIXFLEET_STATE_DIR=str(state), NIXFLEET_HOST="bench", NIXFLEET_TOKEN=TOKEN, XDG_CONFIG_HOME=str(state), **({"NIXFLEET_URL": url} if url else {}))
    times = []
    for _ in range(rounds):
        if first:
            shutil.rmtree(state, ignore_errors=True)
        start = time.monotonic()
        subprocess.run([RUN, "--quiet", "true"], env=env, check=True, stdin=subprocess.DEVNULL)
        times.append((time.monotonic() - start) * 1000)
        end_behind(state)
    return statistics.median(times)


def main():
    arguments = argparse.ArgumentParser(description="the end of a run")
    arguments.add_argument("--rounds", type=int, default=9)
    rounds = arguments.parse_args().rounds
    directory = pathlib.Path(tempfile.mkdtemp(prefix="nixfleet-bench-"))
    rows = []
    try:
        with Dashboard(directory / "data") as dashboard, FaultServer() as mute, FaultServer() as failing:
            mute.fault, failing.fault = silent, status(502)
            rows = [("no dashboard", measure(directory / "none", None, rounds)),
                    ("takes what it is sent", measure(directory / "good", dashboard.url, rounds)),
                    ("refuses the connection", measure(directory / "refuses", f"http://127.0.0.1:{free_port()}", rounds)),
                    ("502 of a proxy", measure(directory / "fails", failing.url, rounds)),
                    ("does not answer, first run", measure(directory / "first", mute.url, 3, first=True)),
                    ("does not answer, later runs", measure(directory / "later", mute.url, rounds))]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("| the dashboard | `true` takes, ms | more than without |\n|---|---:|---:|")
    for name, milliseconds in rows:
        print(f"| {name} | {milliseconds:.0f} | {milliseconds - rows[0][1]:.0f} |")


if __name__ == "__main__":
    main()
