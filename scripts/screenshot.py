#!/usr/bin/python3
"""Makes docs/screenshot.png: the page during a nixos-rebuild, on the scripted dashboard of the page's tests."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "web"))

from browser import Browser  # noqa: E402
from mock import Mock, iso  # noqa: E402

RUN = "01900000-0000-7000-8000-00000000000%d"
BOLD, DIM, GREEN, WARN, OFF = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[35;1m", "\x1b[0m"
PACKAGES = ["nginx-1.28.0", "unit-nginx.service", "python3.13-fleet-tools-2.4", "initrd-linux-6.12.61", "etc"]


def output():
    yield "building the system configuration..."
    yield f"{WARN}warning:{OFF} Git tree '/etc/nixos' is dirty"
    yield "these 40 derivations will be built:"
    for name in PACKAGES:
        yield f"  /nix/store/0c5kx9p4b7vjq1m6w2-{name}.drv"
    yield "these 118 paths will be fetched (412.07 MiB download, 1803.44 MiB unpacked):"
    for name in ("linux-6.12.61", "systemd-258.2", "openssl-3.6.0", "glibc-2.42-34"):
        yield f"copying path '/nix/store/8n1vq4c2yr-{name}' from 'https://cache.nixos.org'..."
    for name in PACKAGES[:3]:
        yield f"building '/nix/store/0c5kx9p4b7vjq1m6w2-{name}.drv'..."
        for phase in ("unpackPhase", "configurePhase", "buildPhase"):
            yield f"{BOLD}{name}>{OFF} Running phase: {phase}"
        for check in ("sys/epoll.h", "pcre2", "zlib", "OpenSSL library"):
            yield f"{BOLD}{name}>{OFF} checking for {check} ... {GREEN}found{OFF}"
        yield f"{BOLD}{name}>{OFF} {DIM}cc -c -O2 -o objs/src/core/{name.split('-')[0]}.o{OFF}"
    yield f"{BOLD}{PACKAGES[2]}>{OFF} {WARN}warning:{OFF} 'asyncio.get_event_loop' is deprecated"
    for i in range(1, 8):
        yield f"{BOLD}{PACKAGES[2]}>{OFF} tests/test_hosts.py::test_{i} {GREEN}PASSED{OFF} {DIM}[{i * 12} %]{OFF}"


def main():
    mock = Mock()
    mock.host("hyperion", criticality="high", device_type="desktop", theme_color="#7aa2f7",
              metrics=json.dumps({"cpu": 93, "ram": 61, "swap": 2, "load": "7.81"}), current_generation="91c0ffee")
    mock.host("atlas", location="cloud", theme_color="#9ece6a", test_total=9, test_passed_count=9)
    mock.host("calypso", device_type="laptop", location="work", theme_color="#e0af68")
    mock.run("hyperion", RUN % 1, tuple(output()), phase="building", command="nixos-rebuild switch --flake .#hyperion",
             bytes=48211, started=iso(312), progress={"built": 12, "to_build": 40, "fetched": 118, "to_fetch": 118,
                                                      "current": f"building {PACKAGES[2]} (checkPhase)"})
    mock.run("atlas", RUN % 2, ("Already up to date.",), status="finished", outcome="success", exit={"code": 0},
             ended=iso(1260), command="git pull")
    mock.run("calypso", RUN % 3, ("x",), status="finished", outcome="units_failed", exit={"code": 4}, ended=iso(5400),
             failed_units=["restic-backups.service"])
    for name in ("atlas", "calypso"):
        mock.hosts[name]["state"] = "idle"
    browser = Browser(1280, 940)
    try:
        browser.scheme(sys.argv[2] if len(sys.argv) > 2 else "dark")
        browser.driver.get(mock.url)
        browser.wait(lambda: browser.count("tr.host") == 3)
        browser.js("document.querySelector('tbody[data-host=hyperion] .name').click()")
        browser.wait(lambda: browser.text("[data-do=warnings]") == "2 warnings")
        browser.js("window.scrollTo(0, 0); document.activeElement.blur()")
        browser.wait(lambda: browser.count(".row") > 20)
        browser.wait(lambda: browser.js("return document.getAnimations().every((a) => a.constructor.name !== 'CSSTransition')"))
        browser.screenshot(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "screenshot.png")
    finally:
        browser.close()
        mock.close()


main()
