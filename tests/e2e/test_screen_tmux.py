"""Lines as a person saw them: parse/screen and tmux get the same terminal bytes and must show the same lines."""
import glob
import json
import os
import random
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "lib"))
from tmux import Tmux, normal, tabs_as  # noqa: E402

CORPUS = os.path.join(ROOT, "tests", "corpus")
CAPTURES = sorted(glob.glob(os.path.join(CORPUS, "captures", "*.raw")) + glob.glob(os.path.join(CORPUS, "screen", "*.raw")) +
                  glob.glob(os.path.join(CORPUS, "public", "*.log")))
SCRIPTS = 25

TEXT = ["text", "text", "text", "lf", "lf", "cr"]
# The sequences of each kind of random script, and the columns of its windows. Sequences are left out if parse/screen.c lists
# them as intended differences.
KINDS = {
    "wrap": (TEXT + ["long", "bs", "tab"], (10, 20)),
    "erase": (TEXT + ["el", "ich", "move", "bs"], (10, 20)),
    "position": (TEXT + ["cup", "move", "el"], (10, 20)),
    "clear": (TEXT + ["ed", "cup", "move"], (10, 20)),
    "wrap_erase": (TEXT + ["long", "el", "move", "bs"], (10, 20)),
    "lines": (TEXT + ["long", "il", "move"], (10, 20)),
    "region": (TEXT + ["long", "region", "index", "il"], (10, 20)),
    "wide": (TEXT + ["wide", "wide", "long", "move", "el"], (10, 17)),
    "saved": (TEXT + ["save", "cup", "sgr", "repeat", "long"], (10, 20)),
    "modes": (TEXT + ["autowrap", "origin", "region", "cup", "long"], (10, 20)),
    "tabs": (TEXT + ["stops", "tab", "tab", "cup", "move"], (20, 33)),
    "alternate": (TEXT + ["alternate", "cup", "region", "sgr", "save", "long"], (10, 20)),
    "older_alternate": (TEXT + ["older_alternate", "cup", "wide", "long"], (10, 17)),
    "charset": (TEXT + ["charset", "cup", "wide", "repeat", "long"], (10, 17)),
    "reset": (TEXT + ["reset", "region", "cup", "long"], (10, 20)),
}


def csi(final, *numbers):
    return b"\x1b[" + b";".join(b"%d" % n for n in numbers) + final


def step(kind, r, rows, cols):
    count = r.randint(0, 4)
    make = {
        "text": lambda: bytes(r.choice(b"abcdefgh XYZ") for _ in range(r.randint(1, 12))),
        "long": lambda: b"#" * r.randint(cols - 3, 2 * cols + 3),
        "lf": lambda: b"\n",
        "cr": lambda: b"\r",
        "bs": lambda: b"\b" * r.randint(1, 3),
        "tab": lambda: b"\t",
        "wide": lambda: r.choice(["日", "本", "é", "e\u0301", "🙂", "─", "한", "👩\u200d🚀"]).encode(),
        "cup": lambda: csi(b"H", r.randint(1, rows + 1), r.randint(1, cols + 2)),
        "move": lambda: csi(r.choice([b"A", b"B", b"C", b"D", b"E", b"F", b"G", b"d"]), count),
        "el": lambda: csi(b"K", r.randint(0, 2)),
        # always with an explicit row and column: after "ESC [ H", ED 0 redraws a display, but tmux takes ED 0 for a new screen
        "ed": lambda: r.choice([csi(b"H", r.randint(1, rows), r.randint(1, cols)) + csi(b"J", 0), csi(b"J", r.randint(1, 2))]),
        "il": lambda: csi(r.choice([b"L", b"M"]), count),
        "ich": lambda: csi(r.choice([b"@", b"P", b"X"]), count),
        "region": lambda: csi(b"r", r.randint(1, rows), r.randint(1, rows)),
        "index": lambda: r.choice([b"\x1bM", b"\x1bD", b"\x1bE", csi(b"S", r.choice([1, 2, 99])), csi(b"T", r.choice([1, 2, 99]))]),
        "save": lambda: r.choice([b"\x1b7", b"\x1b8", b"\x1b[s", b"\x1b[u"]),
        "autowrap": lambda: csi(r.choice([b"l", b"h", b"h"])).replace(b"[", b"[?7"),
        "origin": lambda: csi(r.choice([b"l", b"h"])).replace(b"[", b"[?6"),
        "stops": lambda: r.choice([b"\x1bH", csi(b"g"), csi(b"g", 3), csi(b"Z", count), b"\v", b"\f"]),
        "alternate": lambda: csi(r.choice([b"h", b"l"])).replace(b"[", b"[?1049"),
        "older_alternate": lambda: csi(r.choice([b"h", b"l"])).replace(b"[", r.choice([b"[?47", b"[?1047"])),
        "charset": lambda: r.choice([b"\x1b(0", b"\x1b(B", b"\x1b)0", b"\x1b*A", b"\x0e", b"\x0f"]) + b"lqk",
        "reset": lambda: r.choice([b"\x1bc", b"\x1b#8", b"\x1b[?3h", csi(b"r", 2, 0)]),
        "sgr": lambda: csi(b"m", r.randint(30, 37)),
        "repeat": lambda: b"q" + csi(b"b", r.randint(1, 9)),
    }
    return make[kind]()


def script(kind, seed):
    r = random.Random(f"{kind}{seed}")
    kinds, columns = KINDS[kind]
    rows, cols = r.choice([5, 8]), r.choice(columns)
    data = b"".join(step(r.choice(kinds), r, rows, cols) for _ in range(r.choice([8, 20, 60])))
    return data, rows, cols


def screen_lines(data, rows, cols, *options):
    tool = os.path.join(os.environ.get("NIXFLEET_BUILD", os.path.join(ROOT, "build")), "tools", "screen-lines")
    run = subprocess.run([tool, *options, str(rows), str(cols)], input=data, stdout=subprocess.PIPE, check=True, timeout=60)
    return run.stdout


@pytest.fixture(scope="module")
def tmux():
    server = Tmux()
    yield server
    server.close()


def window(path):
    label = path.rsplit(".", 1)[0] + ".json"
    if not os.path.exists(label):  # logs without a label belong to other tests
        return 24, 80
    with open(label, encoding="utf-8") as file:
        about = json.load(file)
    return about.get("rows") or 24, about.get("cols") or 80


@pytest.mark.parametrize("path", CAPTURES, ids=os.path.basename)
def test_a_capture_has_the_lines_that_a_terminal_shows(tmux, path):
    with open(path, "rb") as file:
        data = file.read()
    rows, cols = window(path)
    ours = normal(screen_lines(data, rows, cols))
    assert ours == tabs_as(tmux.replay(data, rows, cols), ours)


def seen_and_final(*how):
    """The seen lines and the final lines, in two lists, because their order relative to each other is not defined."""
    told = screen_lines(*how, "-c", "-s").splitlines()
    return [line for line in told if line[:1] != b"="], [line for line in told if line[:1] == b"="]


@pytest.mark.parametrize("path", CAPTURES, ids=os.path.basename)
def test_lines_do_not_depend_on_how_the_bytes_are_cut(path):
    with open(path, "rb") as file:
        data = file.read()
    rows, cols = window(path)
    whole = seen_and_final(data, rows, cols)
    for size in ("1", "7"):
        assert seen_and_final(data, rows, cols, "-b", size) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_random_scripts_have_the_lines_that_a_terminal_shows(tmux, kind):
    scripts = [script(kind, seed) for seed in range(SCRIPTS)]
    for (data, rows, cols), theirs in zip(scripts, tmux.replay_all(scripts)):
        ours = normal(screen_lines(data, rows, cols))
        assert ours == tabs_as(theirs, ours), (rows, cols, data)
