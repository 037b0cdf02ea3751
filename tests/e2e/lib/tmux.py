"""Bytes replayed in a real terminal: a tmux server of our own, and the lines that its panes hold afterwards."""
import os
import shutil
import subprocess
import tempfile
import time

LIMIT_S = 20
# Out of any sequence and of the alternate screen, then a title: when tmux has taken the title, it has shown all that came
# before.
END = b"\x18\x1b[?1047l\x1b]2;shown\x07"


class Tmux:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="tmux-")
        self.socket = os.path.join(self.directory, "socket")
        self.count = 0
        config = os.path.join(self.directory, "conf")
        with open(config, "w", encoding="ascii") as out:
            out.write("set -g history-limit 200000\nset -g status off\n"
                      "set -g default-terminal screen\nset -s exit-empty off\n")
        self.config = config
        self.run("new-session", "-d", "-s", "keep", "exec cat")


    def run(self, *words):
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", "TMPDIR": self.directory}
        return subprocess.run(["tmux", "-u", "-S", self.socket, "-f", self.config, *words], env=env, check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=LIMIT_S).stdout

    def start(self, data, rows, cols):
        """Begins to replay; several at once are fine."""
        self.count += 1
        name = f"s{self.count}"
        path = os.path.join(self.directory, name)
        with open(path, "wb") as out:
            out.write(data + END)
        self.run("new-session", "-d", "-s", name, "-x", str(cols), "-y", str(rows), f"cat {path}; exec cat")
        return name

    def lines(self, name):
        """The lines of a replay once all of it was shown, rows that were wrapped joined."""
        until = time.monotonic() + LIMIT_S
        while self.run("display-message", "-p", "-t", name, "#{pane_title}").strip() != b"shown":
            if time.monotonic() > until:
                raise TimeoutError(name)
            time.sleep(0.01)
        text = self.run("capture-pane", "-p", "-J", "-S", "-", "-t", name)
        self.run("kill-session", "-t", name)
        return normal(text)

    def replay(self, data, rows, cols):
        return self.lines(self.start(data, rows, cols))

    def close(self):
        self.run("kill-server")
        shutil.rmtree(self.directory)


def normal(text):
    """Lines without blanks at their ends, and without blank lines at the end."""
    lines = [line.rstrip(b" ") for line in text.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
