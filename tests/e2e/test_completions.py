"""The shells themselves complete the options; manual, completions and --help list the same options."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPLETIONS = ROOT / "completions"
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))
BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", ROOT / "build"))


def shell(argv, **extra):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **extra)


def bash(*words):
    script = f'source {COMPLETIONS}/{words[0]}.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
             f'_{words[0].replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    result = shell(["bash", "--norc", "-c", script, "bash", *words])
    assert result.stderr == ""
    return set(result.stdout.split())


def fish(tmp_path, line):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    name = line.split()[0]
    result = shell(["fish", "--no-config", "-c", f"source {COMPLETIONS}/{name}.fish; complete -C '{line}'"],
                   env=dict(os.environ, HOME=str(tmp_path)))
    return {row.split("\t")[0] for row in result.stdout.splitlines()}


# zsh completes only in its line editor, so the test runs zsh in a pty and reads the list that zsh prints.
ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1=""; stty columns 200; fpath=(%(completions)s $fpath); autoload -Uz compinit; compinit -u -d %(scratch)s/dump'
zpty -w z 'setopt nolistbeep; LISTMAX=10000; zstyle ":completion:*" list-colors ""; bindkey "^X" list-choices; print REA""DY'
zpty -r z line '*READY*'
zpty -w -n z '%(line)s'$'\x18'
seen=
repeat 100; do
    while zpty -r -t z chunk; do seen+=$chunk; done
    [[ $seen == *(%(wanted)s)* ]] && break
    sleep 0.1
done
zpty -d z
print -r -- "$seen"
"""


def zsh(tmp_path, line, wanted):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    script = ZSH % {"completions": COMPLETIONS, "scratch": tmp_path, "line": line, "wanted": wanted}
    return shell(["zsh", "-f", "-c", script], env=dict(os.environ, HOME=str(tmp_path), TERM="xterm")).stdout


def test_bash_completes_our_options_before_the_command():
    assert bash("nixfleet-run", "--no") == {"--no-pty", "--no-stream", "--nohup"}
    assert bash("nixfleet-run", "-q", "--name", "sw") == {"switch"}


def test_bash_leaves_the_commands_words_to_the_command():
    assert not bash("nixfleet-run", "cat", "--no") & {"--no-pty", "--no-stream", "--nohup"}
    assert "/etc/passwd" in bash("nixfleet-run", "--", "cat", "/etc/passw")


def test_bash_completes_the_command_itself():
    assert "env" in bash("nixfleet-run", "--name", "x", "env")


def test_bash_completes_the_dashboard():
    assert bash("nixfleet-dashboard", "--d") == {"--data", "--dev"}
    assert bash("nixfleet-dashboard", "b") == {"backup"}


def test_fish_completes_our_options_before_the_command(tmp_path):
    found = fish(tmp_path, "nixfleet-run --no")  # fish 4 also lists options that have these letters in this order
    assert {option for option in found if option.startswith("--no")} == {"--no-pty", "--no-stream", "--nohup"}
    assert "--no-stream" not in fish(tmp_path, "nixfleet-run cat --no")
    assert "env" in fish(tmp_path, "nixfleet-run -q env")


def test_fish_completes_the_dashboard(tmp_path):
    assert {"hash-password", "token", "backup"} <= fish(tmp_path, "nixfleet-dashboard ")


def test_zsh_completes_our_options_and_the_command(tmp_path):
    assert "--no-stream" in zsh(tmp_path, "nixfleet-run --no", "--no-stream")
    assert "nohup" in zsh(tmp_path, "nixfleet-run nohu", "nohup")


def test_zsh_completes_the_dashboard(tmp_path):
    assert "hash-password" in zsh(tmp_path, "nixfleet-dashboard ", "hash-password")


def options_of_manual(page):
    """--name and -n of each option that has its own entry."""
    text = (ROOT / "man" / page).read_text()
    return {"-" + name for line in re.findall(r"^\.It Fl.*$", text, re.MULTILINE) for name in re.findall(r"Fl (-[a-z-]+|[a-zA-Z])\b", line)}


@pytest.mark.parametrize("name, page", [("nixfleet-run", "nixfleet-run.1"), ("nixfleet-dashboard", "nixfleet-dashboard.8")])
def test_every_option_of_the_manual_is_in_each_completion(name, page):
    options = options_of_manual(page)
    assert len(options) >= 5
    for option in options:
        word = re.compile(r"(?<![\w-])" + re.escape(option) + r"(?![\w-])")
        assert word.search((COMPLETIONS / f"{name}.bash").read_text()), option
        assert word.search((COMPLETIONS / f"_{name}").read_text()), option
        fish_word = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
        assert re.search(rf"{fish_word}(?![\w-])", (COMPLETIONS / f"{name}.fish").read_text()), option


@pytest.mark.parametrize("name, page", [("nixfleet-run", "nixfleet-run.1"), ("nixfleet-dashboard", "nixfleet-dashboard.8")])
def test_help_and_manual_know_the_same_options(name, page):
    if not (BIN / name).exists():
        pytest.skip(f"{name} is not built")
    result = shell([str(BIN / name), "--help"])
    assert result.returncode == 0
    # Only at the start of a line or after another option: in a sentence, a dash can mean anything.
    assert set(re.findall(r"(?<![\w-])--?[a-zA-Z](?:[a-z-]+)?(?=[ ,:\n])", result.stdout)) == options_of_manual(page)


# ---- the one list of settings (common/setting_list.h) ----
PAGES = {"nixfleet-run": "nixfleet-run.1", "nixfleet-dashboard": "nixfleet-dashboard.8"}


class Setting:
    def __init__(self, line):
        self.program, self.variable, self.option, self.letter, self.kind, low, high, standard = line.split("\t")
        self.low, self.high, self.standard = int(low), int(high), int(standard)

    def entry(self, pattern):
        """The text of the manual below the .It lines that match."""
        text = (ROOT / "man" / PAGES[self.program]).read_text()
        return "".join(re.findall(rf"^(\.It {pattern}\n(?:(?!\.It |\.El).*\n)*)", text, re.MULTILINE))

    @property
    def standard_text(self):
        return f"{self.standard >> 30}G" if self.kind == "size" else str(self.standard)


@pytest.fixture(scope="module")
def settings():
    listed = shell([str(BUILD / "tools/settings-table")]).stdout.splitlines()
    assert len(listed) > 35
    return [Setting(line) for line in listed]


def test_every_variable_that_is_read_has_its_place_in_the_manual(settings):
    """And the manual lists no variable that the program does not read."""
    for program, page in PAGES.items():
        text = (ROOT / "man" / page).read_text()
        entries = {name for line in re.findall(r"^\.It Ev (.*)$", text, re.MULTILINE) for name in line.split(" , ")}
        assert {s.variable for s in settings if s.program == program} == {name for name in entries if name.startswith("NIXFLEET_")}


def test_every_option_of_a_setting_is_in_help_and_manual(settings):
    for program in PAGES:
        text = shell([str(BIN / program), "--help"]).stdout
        for s in (s for s in settings if s.program == program and s.option != "-"):
            short = "" if s.letter == "-" else f"-{s.letter}, "
            assert re.search(rf"{short}--{s.option}(?![a-z-])", text), s.option
            assert s.entry(rf"Fl (?:{s.letter} , Fl )?-{s.option}\b.*"), s.option


def test_bounds_and_standard_values_are_those_of_the_manual(settings):
    numbers = [s for s in settings if s.kind in ("number", "size")]
    assert len(numbers) >= 10
    for s in numbers:
        said = s.entry(rf"Fl (?:{s.letter} , Fl )?-{s.option}\b.*") if s.option != "-" else s.entry(rf"Ev .*{s.variable}\b.*")
        assert re.search(rf"\b{s.standard_text}\b", said), (s.variable, said)
        if s.option != "-" and s.low > 0:
            assert f"{s.low} to {s.high}" in said, (s.variable, said)


def test_bounds_are_those_of_the_nix_options(settings):
    text = (ROOT / "nix/options.nix").read_text()
    between = {(int(low), int(high)) for low, high in re.findall(r"ints\.between (\d+) (\d+)", text)}
    assert between <= {(s.low, s.high) for s in settings if s.kind == "number"} and between


@pytest.mark.parametrize("name", ["nixfleet-run", "nixfleet-dashboard"])
def test_help_fits_a_terminal_of_24_lines_and_80_columns(name):
    lines = shell([str(BIN / name), "--help"]).stdout.splitlines()
    assert 5 < len(lines) <= 24
    assert max(map(len, lines)) <= 80
