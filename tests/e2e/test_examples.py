"""Every example of README.md, docs/ and man/ is run as written, or is in a table here with the reason why not.

The examples run in their own network and mount namespaces: port 8000 is free there, and /etc and /var/lib are copies. Only programs
that must not or cannot run (sudo, nix, systemctl, a sleep of seconds) are stubs."""
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from lib import postgres

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR") or ROOT)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MANUALS = sorted((ROOT / "man").glob("*.[18]"))


# ---- the examples in the documents

def of_markdown(text):
    """Indented and fenced blocks."""
    blocks, block, fenced, blank = [], [], None, True
    for line in [*text.splitlines(), "end"]:
        if line.startswith("```"):
            if fenced is None:
                fenced = []
            else:
                blocks.append("\n".join(fenced))
                fenced = None
        elif fenced is not None:
            fenced.append(line)
        elif re.match(r" {4,}(?![-*] )\S", line) and (block or blank) or block and not line.strip():
            block.append(line)
        elif block:
            blocks.append("\n".join(block))
            block = []
        blank = not line.strip()
    return [re.sub(r"^ {4,7}", "", block, flags=re.MULTILINE).strip() for block in blocks]


def of_manual(text):
    """Displays (.Bd); the prompt of root or of a user is not part of the command."""
    displays = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text.replace("\\e", "\\"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^[$#] ", "", display, flags=re.MULTILINE).strip() for display in displays]


def all_blocks():
    for path in DOCUMENTS:
        yield from ((path.name, block) for block in of_markdown(path.read_text()))
    for path in MANUALS:
        yield from ((path.name, block) for block in of_manual(path.read_text()))


# ---- what is not run here

ELSEWHERE = {
    # start of the block: which test tries it, or why no test does
    "apt-get update": "needs the network and the address of a repository; tests/chroot.sh runs it in a bare system",
    "make demo ": "test_demo runs `make demo`, and `make check` is what runs this test",
    "CACHE=/var/tmp/chroots": "debootstrap takes minutes and needs the network",
    "users.users.mba.linger": "lingering needs logind; tests/systemd has it",
    "curl ": "test_documents runs it against a dashboard",
    "nixfleet-dashboard backup ": "test_documents runs it under load",
    "systemctl stop nixfleet-dashboard\n": "test_documents runs it: backup, restore, start",
    "map $http_upgrade": "web/test_proxies runs nginx with it",
    "fleet.example.org {": "web/test_proxies runs Caddy with it",
    "200 {": "the body of an answer; test_documents compares it",
    "splice(from, lines):": "not a command",
    "host  ": "a drawing",
    "make                  build": "a list of targets; test_the_targets_exist",
    "-    output=": "a diff; test_the_diff_adds_two_words",
    "CREATE ROLE nixfleet": "SQL; test_the_database_of_the_manual_can_be_made",
    "{\n  imports = [": "Nix; test_the_module_of_the_readme_is_nix",
}


# ---- what is run

STUBS = {
    "sudo": 'exec "$@"',
    "nixos-rebuild": 'echo "rebuilt: $*"',
    "home-manager": 'echo "home: $*"',
    "git": 'echo "Already up to date."',
    "nix": 'echo "error: no network" >&2; exit 1',
    "systemctl": 'echo "systemctl $*"',
    "sleep": "exit 0",
}
TEST = {"long-test.sh": "echo one; echo two\n", "run-tests.sh": "echo tested\n", "test.sh": "echo T01\n"}
DASHBOARD = """
(nixfleet-dashboard --dev 2>dashboard.log & echo $! >dashboard.pid)
trap 'kill "$(cat dashboard.pid)"' EXIT
for i in $(seq 500); do grep -q listening dashboard.log && break; perl -e 'select undef, undef, undef, .02'; done
"""
KNOWN = 'export NIXFLEET_URL=http://127.0.0.1:8000 NIXFLEET_TOKEN="$(sed -n "s/.*NIXFLEET_TOKEN=//p" dashboard.log)"\n'
SETUP = "echo 'correct horse' | nixfleet-dashboard setup >/dev/null\n"
AGENT = 'report() { echo "report $1: $2"; }; dir=/etc/nixos host=hsb1 user=mba test=./test.sh\n'


@dataclasses.dataclass
class Try:
    """expected: regular expressions that must match the output in this order."""
    expected: tuple
    before: str = ""
    after: str = ""
    standard_input: str = ""


TRIED = {
    "nixfleet-run sudo nixos-rebuild switch": Try((r"rebuilt: switch --flake \.#hsb1",)),
    "nixfleet-dashboard --dev\nexport": Try((r"step 1 of 5", r"step 5 of 5", r"sh -c", r'"lines":5'), after="curl -s $NIXFLEET_URL/api/hosts\n"),
    "nixfleet-dashboard setup": Try((r"systemctl enable --now nixfleet-dashboard",), after="\ngrep -c SECRET /etc/nixfleet/dashboard.conf", standard_input="correct horse\n"),
    "nixfleet-dashboard token hsb1": Try((r"^[\w-]{43}$",), before=SETUP),
    "NIXFLEET_URL=https": Try((r"^clean$",)),
    "out=$(nixfleet-run nix flake update": Try((r"failed(:| with) 1",)),
    "nixfleet-run ./long-test.sh": Try((r"one\ntwo", r"\./long-test\.sh", r"one\ntwo")),
    "nixfleet-dashboard --dev": Try((r"listening on http://127\.0\.0\.1:8000", r"NIXFLEET_TOKEN=\S+")),
    "nixfleet-run --nohup --name test": Try((r"tested",)),
    "nixfleet-run --flush": Try((r"systemctl --user enable --now nixfleet-flush\.timer",), before=DASHBOARD + KNOWN),
    "if output=$(nixfleet-run --scope sudo": Try((r"report ok: Switch: .*rebuilt: switch --flake /etc/nixos#hsb1",), before=AGENT),
    "run() {": Try((r"ran", r"ran"), after="\nrun echo ran; PATH=/usr/bin:/bin; run echo ran"),
    "TERM=xterm nixfleet-run": Try((r"^0 rebuilt: switch --flake /etc/nixos#hsb1$",), before=AGENT, after='\necho "$status $output"'),
}


def adapted(block):
    """The two examples that no script can run as they are: one needs a second terminal, the other is a file."""
    if block.startswith("nixfleet-dashboard --dev"):
        rest = block.partition("\n")[2].replace("the-token-that-the-first-command-printed", '"$(sed -n "s/.*NIXFLEET_TOKEN=//p" dashboard.log)"')
        return DASHBOARD + (rest or "cat dashboard.log")
    if block.startswith("NIXFLEET_URL=https"):
        return f"mkdir -p ~/.config/nixfleet\ncat >~/.config/nixfleet/run.conf <<'END'\n{block}\nEND\nnixfleet-run --no-stream echo clean"
    return block


@pytest.fixture
def place(tmp_path):
    """A home, stubs, and the copies that are mounted over /etc and /var/lib."""
    for name in ("bin", "home", "etc", "lib"):
        (tmp_path / name).mkdir()
    for name, body in STUBS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
    for name in ("nixfleet-run", "nixfleet-dashboard", "nixfleet-report"):
        (tmp_path / "bin" / name).symlink_to(BIN / name)
    for name, body in TEST.items():
        (tmp_path / "home" / name).write_text("#!/bin/sh\n" + body)
    for path in [*(tmp_path / "bin").iterdir(), *(tmp_path / "home").iterdir()]:
        if not path.is_symlink():
            path.chmod(0o755)
    for name in ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "ssl", "alternatives"):
        source = pathlib.Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, tmp_path / "etc" / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, tmp_path / "etc" / name)
    return tmp_path


# SIOCSIFFLAGS with IFF_UP; ip(8) need not be installed.
LOOPBACK_UP = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 1))"


def run_there(place, script, standard_input=""):
    if not shutil.which("unshare") or subprocess.run(["unshare", "-mn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces can be made here")
    (place / "script").write_text("set -eu\n" + script)
    apart = 'mount --bind "$0/etc" /etc && mount --bind "$0/lib" /var/lib && python3 -c "$1" && cd "$0/home" && exec bash "$0/script"'
    env = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_") or k == "NIXFLEET_TEST_PROGRAM"}
    env.update(PATH=f"{place}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", HOME=str(place / "home"))
    env.pop("XDG_STATE_HOME", None)
    env.pop("XDG_CONFIG_HOME", None)
    return subprocess.run(["unshare", "-mn", "sh", "-c", apart, str(place), LOOPBACK_UP], input=standard_input, capture_output=True, text=True, timeout=60, env=env, check=False)


def matching(table, block):
    """Takes the longest start that matches, because two examples may start in the same way."""
    return max((start for start in table if block.startswith(start)), key=len, default=None)


def examples():
    return [(name, block) for name, block in all_blocks() if matching(TRIED, block) and not matching(ELSEWHERE, block)]


@pytest.mark.parametrize("name, block", list(all_blocks()), ids=lambda value: value[:40])
def test_every_example_is_known(name, block):
    assert matching(TRIED, block) or matching(ELSEWHERE, block), (name, block)


def test_every_entry_is_an_example():
    blocks = [block for _, block in all_blocks()]
    assert [start for start in (*TRIED, *ELSEWHERE) if not any(matching({**TRIED, **ELSEWHERE}, block) == start for block in blocks)] == []


@pytest.mark.parametrize("name, block", examples(), ids=lambda value: value[:40])
def test_an_example_works_as_written(place, name, block):
    case = TRIED[matching(TRIED, block)]
    done = run_there(place, f"{case.before}{adapted(block)}\n{case.after}", case.standard_input)
    assert done.returncode == 0, (name, done.stdout, done.stderr)
    at = 0
    for expected in case.expected:
        found = re.compile(expected, re.MULTILINE).search(done.stdout, at)
        assert found, (expected, done.stdout, done.stderr)
        at = found.end()
    assert "unknown" not in done.stderr, done.stderr


# ---- tables and files

def agent_rows():
    text = (ROOT / "docs/agent.md").read_text()
    return re.findall(r"^\| ([\w, -]+) \| `(.*?)` \| `(nixfleet-run .*?)` \|$", text, re.MULTILINE)


def test_there_are_rows_for_the_agent():
    assert len(agent_rows()) >= 5


@pytest.mark.parametrize("name, before, after", agent_rows())
def test_a_line_of_the_agent_says_the_same_with_the_wrapper(place, name, before, after):
    one, other = (run_there(place, f"{AGENT}output=$({line} 2>&1) || status=$?\necho \"$output ${{status:-0}}\"") for line in (before, after))
    assert one.returncode == other.returncode == 0 and one.stdout == other.stdout != "", (one, other)


def test_the_targets_exist():
    text = (ROOT / "docs/developing.md").read_text()
    named = {word for line in re.findall(r"^    make ([a-z -]+?)  ", text, re.MULTILINE) for word in line.split()}
    makefile = (ROOT / "Makefile").read_text()
    targets = {word for line in re.findall(r"^([a-z][\w -]*):(?!=)", makefile, re.MULTILINE) for word in line.split()}
    assert len(named) >= 8 and named <= targets, named - targets


def test_the_diff_adds_two_words():
    removed, added = next(block for _, block in all_blocks() if block.startswith("-    output=")).splitlines()
    assert added[1:].replace("nixfleet-run --scope ", "") == removed[1:]


def test_the_module_of_the_readme_is_nix():
    if not shutil.which("nix-instantiate"):
        pytest.skip("nix is not installed")
    block = next(block for _, block in all_blocks() if block.startswith("{\n  imports = ["))
    done = subprocess.run(["nix-instantiate", "--parse", "-"], input="{ nixfleet }: " + block, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_configurations_of_caddy_are_the_same():
    blocks = {" ".join(block.split()) for _, block in all_blocks() if block.startswith("fleet.example.org {")}
    assert blocks == {"fleet.example.org { reverse_proxy 127.0.0.1:8000 }"}


def test_the_database_of_the_manual_can_be_made():
    """With another role name, because the PostgreSQL server of the tests already has a role of that name."""
    block = next(block for _, block in all_blocks() if block.startswith("CREATE ROLE nixfleet"))
    statements = [part.strip() for part in re.sub(r"(ROLE|OWNER|DATABASE) nixfleet", r"\1 fleet", block).split(";") if part.strip()]
    with postgres.Postgres() as server:
        for statement in statements:
            server.sql(statement, "postgres")
        found = server.sql("SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding) FROM pg_database WHERE datname='fleet'", "postgres")
    assert found == "fleet|UTF8"


def test_bodies_are_json():
    for _, block in all_blocks():
        if block.startswith("200 {"):
            json.loads(block[4:])
