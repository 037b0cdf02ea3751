"""Replays bytes in a real terminal: a tmux server of the test's own. Returns the lines that the panes show afterwards."""
import os
import re
import shutil
import subprocess
import tempfile
import time

LIMIT_S = 60
BETWEEN = "== the next replay =="
# Ends any open sequence, leaves the alternate screen, then sets a title. When tmux shows the title, tmux has processed all
# bytes before.
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

    def run_all(self, commands):
        """Runs several tmux commands in one start of tmux: with many replays, starting tmux takes most of the time."""
        return self.run(*[word for command in commands for word in (*command, ";")][:-1])

    def shown(self):
        titles = self.run("list-panes", "-a", "-F", "#{session_name} #{pane_title}").decode().splitlines()
        return {line.split()[0] for line in titles if line.endswith(" shown")}

    def replay_all(self, replays):
        """For each (data, rows, cols): the lines after all data was shown; wrapped rows are joined."""
        names, starts = [], []
        for data, rows, cols in replays:
            self.count += 1
            names.append(f"s{self.count}")
            path = os.path.join(self.directory, names[-1])
            with open(path, "wb") as out:
                out.write(data + END)
            starts.append(["new-session", "-d", "-s", names[-1], "-x", str(cols), "-y", str(rows),
                           f"stty -echo; cat {path}; exec cat"])
        self.run_all(starts)
        until = time.monotonic() + LIMIT_S
        while not self.shown().issuperset(names):
            if time.monotonic() > until:
                raise TimeoutError(names)
            time.sleep(0.01)
        captures = [["capture-pane", "-p", "-J", "-S", "-", "-t", name] for name in names]
        texts = self.run_all([word for capture in captures for word in (capture, ["display-message", "-p", BETWEEN])])
        self.run_all([["kill-session", "-t", name] for name in names])
        return [normal(text) for text in texts.split(BETWEEN.encode() + b"\n")[:-1]]

    def replay(self, data, rows, cols):
        return self.replay_all([(data, rows, cols)])[0]

    def close(self):
        self.run("kill-server")
        shutil.rmtree(self.directory)


def normal(text):
    """Lines without blanks at their ends, and without blank lines at the end."""
    lines = [line.rstrip(b" \t") for line in text.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def tabs_as(theirs, ours):
    """tmux's lines, with our blanks in place of tmux's tabs: since 3.6, tmux's cells remember that a tab was written over blanks."""
    def filled(their, our):
        match = re.fullmatch(b"( +)".join(re.escape(part) for part in their.split(b"\t")), our)
        return our if match else their
    return [filled(their, our) if b"\t" in their else their for their, our in zip(theirs, ours)] + theirs[len(ours):]
