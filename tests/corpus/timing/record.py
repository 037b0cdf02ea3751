#!/usr/bin/python3
"""Records real runs for unit/test_timing: record.py RUNS >FILE. For each run, some derivations of graph.nix change,
nixfleet-run builds graph.nix, and record.py prints the run as the dashboard stored it. Needs nix; the builds go into this
machine's nix store."""
import json
import os
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/lib")]
from dashserver import TOKEN, Dashboard  # noqa: E402

SECONDS = {"zlib": 0.7, "openssl": 2.5, "linux": 6, "curl": 1.8, "git": 2.6, "vim": 1.4, "nginx": 1.9, "modules": 0.5, "postgresql": 3,
           "python": 4, "borg": 1.2, "system": 0.8, "unit-a": 0.3, "unit-b": 0.3, "unit-c": 0.3, "unit-d": 0.3, "unit-e": 0.3}
NOISE = 0.1  # standard deviation, as a share of the seconds that a build takes
JOBS = 3


def change(state, dice, run):
    """Most runs change many derivations, some runs change few; every run changes "system"."""
    share = 1 if run == 0 else 0.7 if dice.random() < 0.6 else 0.15
    for name, seconds in SECONDS.items():
        if name == "system" or dice.random() < share:
            state[name] = {"version": f"{int(time.time())}", "seconds": f"{seconds * dice.gauss(1, NOISE):.2f}"}


def stored(dashboard, data):
    """The newest run as lines."""
    run = dashboard.get("/api/hosts/box/runs").json["runs"][0]["id"]
    with sqlite3.connect(f"file:{data}/nixfleet.db?mode=ro", uri=True) as store:
        start, end, phases = store.execute("SELECT started, ended, phases FROM runs WHERE id=?", (run,)).fetchone()
    yield f"run {end - start}"
    words = phases.split()
    yield from (f"phase {name} {ms}" for name, ms in zip(words[::2], words[1::2]))
    for one in dashboard.get(f"/api/hosts/box/runs/{run}/derivations").json["derivations"]:
        yield f"build {one['name']} {one['started'] - start} {one['started'] - start + one['duration']}"


def main(runs):
    dice, state = random.Random(19), {}
    with tempfile.TemporaryDirectory() as place:
        settings = pathlib.Path(place) / "nix.conf"
        settings.write_text(f"sandbox = false\nsubstituters =\nbuild-users-group =\nmax-jobs = {JOBS}\n")
        with Dashboard(f"{place}/data") as dashboard:
            environment = dict(os.environ, NIX_CONF_DIR=place, NIX_REMOTE="", NIX_PATH="", HOME=place, NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN,
                               NIXFLEET_HOST="box", NIXFLEET_STATE_DIR=f"{place}/state", NIXFLEET_TOKEN_CACHE=f"{place}/none")
            command = [ROOT / "nixfleet-run", "--name", "build", "--", "nix-build", HERE / "graph.nix", "--argstr", "file", f"{place}/state.json",
                       "--no-out-link", "--log-format", "internal-json"]
            for run in range(runs):
                change(state, dice, run)
                pathlib.Path(f"{place}/state.json").write_text(json.dumps(state))
                subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                print(*stored(dashboard, f"{place}/data"), sep="\n", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
