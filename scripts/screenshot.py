#!/usr/bin/python3
"""Makes docs/screenshot.png: the page of a real nixfleet-dashboard, with one host where a real nixfleet-run works and three idle hosts.
This file has only what the hosts send: their facts and the output of the run's command. The page is the real one.

    screenshot.py [FILE [dark|light [WIDTH]]]
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "web"))

from browser import Browser  # noqa: E402

TOKEN = "token-of-the-screenshot"
BLUE, BOLD, DIM, GREEN, RED, WARN, OFF = "\x1b[34;1m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31;1m", "\x1b[35;1m", "\x1b[0m"
PACKAGES = ["nginx-1.28.0", "unit-nginx.service", "python3.13-fleet-tools-2.4"]
COMMIT = "91c0ffee4d2b8a7c"


def path(name):
    """A store path with a hash made from its name."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    return "/nix/store/" + "".join("0123456789abcdfghijklmnpqrsvwxyz"[digest >> 5 * i & 31] for i in range(32)) + "-" + name


def rebuild():
    """The output of a nixos-rebuild in the middle of its builds, with nix's progress bar."""
    yield "building the system configuration...\n"
    yield f"{WARN}warning:{OFF} Git tree '/etc/nixos' is dirty\n"
    yield "these 40 derivations will be built:\n"
    for name in PACKAGES + [f"unit-{n}.service" for n in range(37)]:
        yield f"  {path(name)}.drv\n"
    yield "these 118 paths will be fetched (412.07 MiB download, 1803.44 MiB unpacked):\n"
    for name in ("linux-6.12.61", "systemd-258.2", "openssl-3.6.0", "glibc-2.42-34"):
        yield f"copying path '{path(name)}' from 'https://cache.nixos.org'...\n"
    for name in PACKAGES:
        for phase in ("unpackPhase", "configurePhase", "buildPhase"):
            yield f"{BOLD}{name}>{OFF} Running phase: {phase}\n"
        for check in ("sys/epoll.h", "pcre2", "zlib", "OpenSSL library"):
            yield f"{BOLD}{name}>{OFF} checking for {check} ... {GREEN}found{OFF}\n"
        yield f"{BOLD}{name}>{OFF} {DIM}cc -c -O2 -o objs/src/core/{name.split('-')[0]}.o{OFF}\n"
    yield f"{BOLD}{PACKAGES[2]}>{OFF} {WARN}warning:{OFF} 'asyncio.get_event_loop' is deprecated\n"
    for i in range(1, 8):
        yield f"{BOLD}{PACKAGES[2]}>{OFF} tests/test_hosts.py::test_{i} {GREEN}PASSED{OFF} {DIM}[{i * 12} %]{OFF}\n"
    yield (f"\r{OFF}\x1b[K[{BLUE}1{OFF}/{GREEN}12{OFF}/40 built, {GREEN}118{OFF} copied (1803.4 MiB), {GREEN}412.1{OFF} MiB DL] "
           f"building {BOLD}{PACKAGES[2]}{OFF} (checkPhase)")


def failing():
    yield "building the system configuration...\n"
    yield f"{RED}error:{OFF} builder for '{path('restic-0.18.1')}.drv' failed with exit code 2\n"


HOSTS = {
    "hyperion": {"criticality": "high", "device_type": "desktop", "theme_color": "#7aa2f7", "current_generation": COMMIT,
                 "metrics": {"cpu": 93, "ram": 61, "swap": 2, "load": "7.81"}},
    "atlas": {"location": "cloud", "theme_color": "#9ece6a", "current_generation": COMMIT, "metrics": {"cpu": 4, "ram": 38, "swap": 0, "load": "0.11"}},
    "calypso": {"device_type": "laptop", "location": "work", "theme_color": "#e0af68", "current_generation": COMMIT,
                "metrics": {"cpu": 11, "ram": 52, "swap": 0, "load": "0.63"}},
    "dione": {"criticality": "high", "theme_color": "#f7768e", "current_generation": "77ab01c2", "metrics": {"cpu": 2, "ram": 19, "swap": 0, "load": "0.05"}},
}


class Fleet:
    def __init__(self, directory):
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
        self.server = subprocess.Popen([ROOT / "nixfleet-dashboard", "--dev", "--listen", "127.0.0.1:0", "--data", f"{directory}/data"],
                                       env=dict(self.environment, NIXFLEET_API_TOKEN=TOKEN), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.url = re.search(r"http://\S+", self.server.stdout.readline()).group()
        self.environment.update(NIXFLEET_URL=self.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_STATE_DIR=f"{directory}/state", TERM="xterm-256color",
                                XDG_CONFIG_HOME=directory, NIXFLEET_TOKEN_CACHE=f"{directory}/none")
        self.runs = []

    def register(self, host, **facts):
        body = dict({"hostname": host, "host_type": "nixos", "location": "home", "device_type": "server", "os_name": "NixOS",
                     "os_version": "25.11.20251210.abcdef0 (Xantusia)"}, **facts)
        request = urllib.request.Request(f"{self.url}/api/hosts/{host}/register", json.dumps(body).encode(), {"Authorization": f"Bearer {TOKEN}"})
        urllib.request.urlopen(request, timeout=10).read()

    def run(self, host, name, output, rest):
        """Starts nixfleet-run in a new pty, with a program of the given name that prints `output` and then runs the shell text `rest`."""
        tools = Path(self.environment["NIXFLEET_STATE_DIR"]).parent / f"bin-{host}"
        tools.mkdir()
        (tools / "output").write_text("".join(output))
        (tools / name).write_text(f"#!/bin/sh\ncat {tools}/output\n{rest}\n")
        (tools / name).chmod(0o755)
        command = f"{ROOT}/nixfleet-run -H {host} -- {name} switch --flake .#{host}" if name == "nixos-rebuild" else f"{ROOT}/nixfleet-run -H {host} -- {name} pull"
        environment = dict(self.environment, PATH=f"{tools}:{os.environ['PATH']}")
        self.runs.append(subprocess.Popen(["script", "-qec", "stty rows 30 cols 120; exec " + command, "/dev/null"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                          start_new_session=True))
        return self.runs[-1]

    def close(self):
        for run in self.runs:
            run.terminate()
            run.wait()
        self.server.terminate()
        self.server.wait()


def show(fleet, file, scheme, width):
    browser = Browser(width, 940)
    try:
        browser.scheme(scheme)
        browser.driver.get(fleet.url)
        browser.wait(lambda: browser.count("tr.host") == len(HOSTS))
        browser.js("document.querySelector('tbody[data-host=hyperion] .name').click()")
        browser.wait(lambda: "12/40" in browser.text("tbody[data-host=hyperion]"), "the progress")
        browser.wait(lambda: browser.count(".row") > 15, "the log")
        browser.js("window.scrollTo(0, 0); document.activeElement.blur()")
        time.sleep(3)  # until the page shows everything; this is no test
        browser.screenshot(file)
    finally:
        browser.close()


def main():
    file = sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "screenshot.png"
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(directory)
        try:
            for host, facts in HOSTS.items():
                fleet.register(host, **facts)
            fleet.run("atlas", "git", ["Already up to date.\n"], "").wait()
            fleet.run("calypso", "nixos-rebuild", ["activating the configuration...\n", "warning: the following units failed: restic-backups.service\n"], "exit 4").wait()
            fleet.run("dione", "nixos-rebuild", failing(), "exit 1").wait()
            fleet.run("hyperion", "nixos-rebuild", rebuild(), "exec sleep 600")
            show(fleet, file, sys.argv[2] if len(sys.argv) > 2 else "dark", int(sys.argv[3]) if len(sys.argv) > 3 else 1280)
        finally:
            fleet.close()


main()
