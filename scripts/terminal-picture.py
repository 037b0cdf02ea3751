#!/usr/bin/python3
"""Makes docs/terminal.png: nixfleet-run with a real nix build in a real terminal (tmux). Chromium draws the content of the terminal.

    terminal-picture.py [FILE]
"""

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "web"))

from browser import Browser  # noqa: E402

COLUMNS, ROWS = 164, 18
COLOURS = ["#15161e", "#f7768e", "#9ece6a", "#e0af68", "#7aa2f7", "#bb9af7", "#7dcfff", "#c0caf5"]
PAGE = """<!doctype html><meta charset=utf-8><style>
body {{ margin: 0; background: #1a1b26; color: #c0caf5; }}
pre {{ margin: 0; padding: 16px 20px; font: 13px/1.4 "DejaVu Sans Mono", monospace; }}
</style><pre>{}</pre>"""
NIX = """sandbox = false
substituters =
build-users-group =
max-jobs = 2
experimental-features = nix-command
"""


class Terminal:
    """A new tmux server with one window."""

    def __init__(self, directory, environment):
        self.socket = f"{directory}/tmux"
        self.environment = environment
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "bash --norc --noprofile")
        self.tmux("set-option", "-g", "status", "off")

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.socket, *words], env=self.environment, check=True, capture_output=True, text=True).stdout

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    def shown(self):
        return self.tmux("capture-pane", "-ep")

    def wait(self, pattern, seconds=120):
        end = time.monotonic() + seconds
        while not re.search(pattern, re.sub(r"\x1b\[[0-9;]*m", "", self.shown()), re.MULTILINE):
            if time.monotonic() > end:
                sys.exit(f"the terminal never showed {pattern}:\n{self.shown()}")
            time.sleep(0.1)

    def close(self):
        self.tmux("kill-server")


def style_of(codes, style):
    """The style after one SGR sequence. Knows only the sequences that the programs in the picture use."""
    for code in codes:
        if code == 0:
            style = {}
        elif code == 1:
            style = dict(style, **{"font-weight": "bold"})
        elif code == 2:
            style = dict(style, opacity="0.65")
        elif 30 <= code <= 37:
            style = dict(style, color=COLOURS[code - 30])
        elif 90 <= code <= 97:
            style = dict(style, color=COLOURS[code - 90])
        elif code == 39:
            style = {k: v for k, v in style.items() if k != "color"}
    return style


def to_html(text):
    style, parts = {}, []
    for piece in re.split(r"(\x1b\[[0-9;]*m)", text):
        if piece.startswith("\x1b"):
            style = style_of([int(c or 0) for c in piece[2:-1].split(";")], style)
        elif piece:
            css = ";".join(f"{k}:{v}" for k, v in style.items())
            parts.append(f'<span style="{css}">{html.escape(piece)}</span>')
    return "".join(parts)


def main():
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "terminal.png"
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "nix.conf").write_text(NIX)
        shutil.copy(ROOT / "scripts/demo.nix", work / "fleet.nix")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NIXFLEET_", "NIX_"))}
        environment = dict(kept, HOME=directory, PS1="$ ", PATH=f"{ROOT}:{os.environ['PATH']}", NIXFLEET_STATE_DIR=f"{work}/state",
                           NIX_CONF_DIR=directory, NIX_REMOTE="", NIX_STORE_DIR=f"{work}/store", NIX_STATE_DIR=f"{work}/var",
                           NIX_LOG_DIR=f"{work}/log", NIX_LOCALSTATE_DIR=f"{work}/var", LANG="C.UTF-8")
        terminal = Terminal(directory, environment)
        browser = Browser(1000, 600)
        try:
            terminal.type(f"cd {directory}; PS1='$ '; clear")
            terminal.wait(r"^\$ ?$")
            terminal.type('nixfleet-run --name build nix build --no-link -L -f fleet.nix --argstr salt 1 --argstr flaky "$PWD/mended"')
            terminal.wait(r"^error:(.|\n)*^\$ ?$")
            terminal.type("touch mended; clear; nixfleet-run --name build nix build --no-link -L -f fleet.nix "
                          '--argstr salt 1 --argstr flaky "$PWD/mended"')
            terminal.wait(r"test_reconnect \.\.\. ok(.|\n)*^\$ ?$")
            terminal.type("nixfleet-run --list")
            terminal.wait(r"--list\n(.|\n)*^\$ ?$")
            page = work / "page.html"
            page.write_text(PAGE.format(to_html(terminal.shown().rstrip("\n"))))
            browser.driver.get(page.as_uri())
            browser.size(int(browser.js("return document.querySelector('pre').scrollWidth")), int(browser.js("return document.querySelector('pre').offsetHeight")))
            browser.screenshot(file)
        finally:
            browser.close()
            terminal.close()
            subprocess.run(["chmod", "-R", "u+w", directory], check=True)


main()
