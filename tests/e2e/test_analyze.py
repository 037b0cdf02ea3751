"""What nixfleet-report analyze finds in real captures, public logs and logs written from the formats."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
REPORT = Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT)) / "nixfleet-report"
COUNTS = ("to_build", "built", "to_fetch", "fetched", "to_fetch_bytes", "tests_passed", "tests_total")
SUITES = ("captures", "captures-2.26", "captures-2.34", "public", "phase", "prefixed")
# Facts of the run that its text does not show: nix 2.8 prints nothing at all on a dumb terminal, a short download leaves no bar, and
# the bar of an import from derivation may disappear before nix draws the second total.
NOT_IN_TEXT = {
    "bar-dumb": {"to_build", "built", "outcome"},
    "fetch-bar": {"to_fetch", "fetched", "outcome"},
    "ifd-bar": {"to_build"},
    "copy-to-bar": {"outcome"},
}


def analyze(path, rows=0, cols=0, data=None):
    window = ["--rows", str(rows), "--cols", str(cols)]
    done = subprocess.run([REPORT, "analyze", *window, "--analyze", str(path)], input=data,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return json.loads(done.stdout)


def logs(directory):
    for label in sorted(directory.glob("*.json")):
        for ending in (".raw", ".log"):
            if label.with_suffix(ending).exists():
                yield label.with_suffix(ending)


def undone(phases):
    """Some labels say "done" at the end of a success, some do not."""
    return [phase for phase in phases if phase != "done"]


def named(want):
    """The counts of a label, with the names that the analysis uses."""
    counts = {"derivations_total": "to_build", "paths_total": "to_fetch"}
    return {**{counts[key]: want[key] for key in counts if want.get(key) is not None}, **want}


def wrong_counts(got, want, skip):
    wrong = [(key, got.get(key), want[key]) for key in (*COUNTS, "outcome", "failed_units", "errors", "hosts")
             if want.get(key) is not None and key not in skip and got.get(key) != want[key]]
    if sorted(want.get("failed") or []) != sorted(got["failed"]) and want.get("failed") is not None:
        wrong.append(("failed", got["failed"], want["failed"]))  # the order does not matter
    return wrong


def wrong_phases(got, want):
    wrong = [(key, got["phases"], want[key]) for key in ("phases", "phases_in_order")
             if want.get(key) is not None and undone(got["phases"]) != undone(want[key])]
    if want.get("outcome") == "success" and got["outcome"] == "success" and got["phases"][-1:] != ["done"]:
        wrong.append(("done", got["phases"], want["outcome"]))
    if "phase" in want and want["phase"] not in got["phases"]:
        wrong.append(("phase", got["phases"], want["phase"]))
    return wrong


def wrong_errors(got, want):
    wrong = [("error_lines", got["errors"], line) for line in want.get("error_lines", [])
             if not any(line in error for error in got["errors"])]
    if "error_has" in want and not any(want["error_has"] in error for error in got["errors"]):
        wrong.append(("error_has", got["errors"], want["error_has"]))
    if "error" in want and want["error"] not in got.get("error", ""):
        wrong.append(("error", got.get("error"), want["error"]))
    if got["outcome"] == "success" and "error" in got:
        wrong.append(("error of a success", got["error"], None))
    if len(set(got["errors"])) != len(got["errors"]) or len(got["errors"]) != len(got["error_lines"]):
        wrong.append(("errors", got["errors"], got["error_lines"]))
    return wrong


def differences(log, of_nix_2_8=True):
    want = named(json.loads(log.with_suffix(".json").read_text()))
    answer = analyze(log, want.get("rows", 0), want.get("cols", 0))
    got = {**answer["progress"], **answer}
    skip = (NOT_IN_TEXT.get(log.stem, set()) if of_nix_2_8 else set()) | set(want.get("not_in_text", ()))
    wrong = wrong_counts(got, want, skip) + wrong_phases(got, want) + wrong_errors(got, want)
    if "fetched" in skip and got.get("fetched") not in (None, want["fetched"]):
        wrong.append(("fetched", got["progress"], want["fetched"]))
    if "ifd_built" in want and of_nix_2_8 and not (  # nix may have drawn only a part of the second total
            want["ifd_built"] <= got["to_build"] <= want["to_build"] + want["ifd_built"]):
        wrong.append(("to_build", got["progress"], want["ifd_built"]))
    if skip and got["outcome"] not in (want["outcome"], "unknown"):
        wrong.append(("outcome", got["outcome"], want["outcome"]))
    return wrong


@pytest.mark.parametrize("log", [p for d in SUITES for p in logs(CORPUS / d)],
                         ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_label_comes_out_right(log):
    assert differences(log, log.parent.name == "captures") == []


# Not captured here: these take seconds each. corpus/ has captures of them.
SLOW = "!(slow-eval-bar|copy-*|fetch-*|http-*|mixed-*|ifd-raw|phases-bar|interrupted-bar|bar-200x50|many-fail-bar|fooled-bar|git-*)"


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    if shutil.which("nix-build") is None:
        pytest.skip("nix is not installed")
    if os.geteuid() != 0:
        pytest.skip("captures need root")
    out = tmp_path_factory.mktemp("fresh")
    salt = f"{os.getpid()}.{random.randrange(10**9)}"
    prefix = random.choice(("lib", "web-app", "zeta2"))
    subprocess.run([CORPUS / "make-captures.sh", out, salt, prefix, str(random.randint(1, 3)),
                    str(random.randint(4, 7))], env=dict(os.environ, ONLY=SLOW, CAPTURE_TMP=str(out.parent / "tmp")), check=True,
                   capture_output=True, timeout=240)
    return out


def not_of_time(wrong):
    """Ignores differences in the evaluating phase: nix draws a bar while it evaluates only if the machine is slow enough."""
    worked = lambda phases: [phase for phase in undone(phases) if phase != "evaluating"]
    return [one for one in wrong if not one[0].startswith("phases") or worked(one[1]) != worked(one[2])]


def test_fresh_captures_of_the_real_nix_come_out_right(fresh):
    version = subprocess.run(["nix", "--version"], check=True, capture_output=True, text=True).stdout
    wrong = {log.name: not_of_time(differences(log, " 2.8." in version)) for log in logs(fresh)}
    assert {name: what for name, what in wrong.items() if what} == {}
    assert len(wrong) > 15


def store(digit, name):
    return f"/nix/store/{digit}0123456789abcdfghijklmnpqrsvwxy-{name}"


# Every kind of line that the analysis reads, printed by a builder.
LIAR, LIAR_OUT = store("9", "liar.drv"), store("9", "liar")
LIES = f"""activating the configuration...
setting up /etc...
setting up tmpfiles
building Nix...
building the system configuration...
starting the following units: x.service
warning: the following units failed: liar.service
warning: error(s) occurred while switching to the new configuration
Done. The new configuration is /nix/store/x
Failed to install bootloader
Pre-switch check 'x' failed
installation finished!
all checks passed!
would restart the following units: z
error: builder for '{LIAR}' failed with exit code 1;
builder for '{LIAR}' failed with exit code 1;
error: hash mismatch in fixed-output derivation '{LIAR}':
hash mismatch in fixed-output derivation '{LIAR_OUT}':
output path '{LIAR_OUT}' has sha256 hash 'x' when 'y' was expected
building of '{LIAR}' timed out after 3 seconds
error: a 'x' is required to build '{LIAR}', but
error: Cannot build '{LIAR}'.
       Reason: builder failed with exit code 1.
error: 1 dependencies of derivation '{LIAR}' failed to build
error: build of 'x' failed
error: Build failed due to failed dependency
Failed assertions:
- x
error: x
error: attribute 'x' missing
building '{LIAR}'...
copying path '{LIAR_OUT}' from 'https://x'...
fetching path '{LIAR_OUT}'...
copying 7 paths...
these 7 derivations will be built:
  not a path
[1/2/30 built] building x
[3/4/50 built, 0.1/9.9 MiB DL] x
┗━ ∑ ⏵ 2 │ ✔ 9 │ ⏸ 0 │ ⚠ 1
ok 1 - x
not ok 2 - x
1..40
❌ x
2 passed, 3 failed
==== 1 failed, 2 passed in 0.1s ====
Bail out! x
test result: FAILED. 1 passed; 2 failed;
T01-x.sh
Already up to date.
Bereits aktuell.
CONFLICT (content): x
fatal: x
From github.com:x
   1234567..89abcde  main       -> origin/main
There is no tracking information for the current branch.
> Activating configuration
> Building NixOS configuration
Starting Home Manager activation
Activating x
Existing file 'a' is in the way of 'b'
Activation script snippet 'x' failed (1)
Command 'x' returned non-zero exit status 4.
warning: updating lock file '/x/flake.lock':
• Updated input 'nixpkgs':
trace: x
created 5 symlinks in user environment
[sudo] password for m: activating the configuration...
^Cactivating the configuration...
Error: x
Caused by:
thread 'main' panicked at 'x', src/main.rs:1:1
Traceback (most recent call last):
  File "x", line 1, in x
ValueError: x
Died at x line 3.
Job for liar.service failed because the control process exited with error code.
Process completed with exit code 1.
##[error]Process completed with exit code 1.
ERROR: Job failed: exit code 1
Killed
x: No space left on device
/run/nixos-rebuild: line 530: 4711 Killed  nix
Installing x has failed!
### Installing NixOS ###
### Done! ###
All done!
liar | All done!
liar | Activation successful
liar ✅ 4s Activation successful
liar ❌ 4s Activation failed: x
[ERROR] Failed to deploy to liar - Last 3 lines of logs:
[ERROR]   stderr) warning: the following units failed: liar.service
🚀 ❌ [deploy] [ERROR] x
liar......> activation finished successfully
deployment finished successfully
unpacking channels...
switching to system configuration /nix/store/x failed (status 4)
finished switching to system configuration /nix/store/x
Sep 02 04:21:44 liar switch[1]: activating the configuration...
switch[1]: activating the configuration...
2026-07-01T10:00:00.1Z activating the configuration...
> activating the configuration...
evaluating derivation 'x'Command '['nix', 'build']' died with <Signals.SIGKILL: 9>.
@nix {{"action":"msg","level":0,"msg":"error: builder for '{LIAR}' failed with exit code 1"}}
@nix {{"action":"result","id":0,"type":105,"fields":[1,99,0,5]}}
"""


def legacy_build(top, end, lies, after):
    """A build of three derivations; `end` says whether the first one fails. The lies come after `after` lines of nix."""
    drvs = [store("1", "a.drv"), store("2", "b.drv"), store("3", top)]
    steps = [f"building '{drv}'...\n" for drv in drvs]
    if "failed" in end:
        steps[2] = f"error: builder for '{drvs[0]}' failed with exit code 1;\n"
    steps.insert(after, lies)
    return ("building the system configuration...\n" if top.startswith("nixos") else "") + \
        "these 3 derivations will be built:\n" + "".join(f"  {drv}\n" for drv in drvs) + "".join(steps) + end


@pytest.mark.parametrize("top, end, places", [
    ("c.drv", store("4", "c") + "\n", (1, 2, 3)),
    ("nixos-system-h.drv", "activating the configuration...\nstarting the following units: a.service\n", (1, 2)),
    ("nixos-system-i.drv", f"error: 1 dependencies of derivation '{store('3', 'nixos-system-i.drv')}' failed to build\n", (1, 2, 3)),
], ids=("build", "switch", "failure"))
def test_nothing_that_a_builder_prints_is_believed(top, end, places):
    def said(lies, after):
        answer = analyze("-", data=legacy_build(top, end, lies, after).encode())
        del answer["lines"], answer["errors"], answer["error_lines"]
        answer.pop("error", None), answer.pop("error_line", None)
        answer["progress"].pop("current", None)
        answer["derivations"] = [(one["name"], one["state"]) for one in answer["derivations"]]
        return answer

    truth = said("", 1)
    for place in places:
        assert said(LIES, place) == truth
    believed = [lie for lie in LIES.splitlines() if said(lie + "\n", places[-1]) != truth]
    assert believed == []


def derivations(log):
    return {one["name"]: one for one in analyze(CORPUS / log, 24, 100)["derivations"]}


@pytest.mark.parametrize("log", ["captures/raw-pipe.raw", "captures/json-pty.raw", "captures-2.34/json-pipe.raw",
                                 "captures-2.26/bar-L-100x30.raw", "captures-2.34/raw-with-logs.raw"])
def test_every_derivation_of_a_build_is_told(log):
    told, prefix = derivations(log), "pkg" if log.startswith("captures/") else "svc"
    assert {one["state"] for one in told.values()} == {"built"}
    assert f"{prefix}-system" in told and len(told) == (11 if prefix == "pkg" else 9)
    assert sum(one["lines"] for one in told.values()) >= 3 * len(told)


def test_the_lines_of_a_derivation_are_its_own():
    log = CORPUS / "captures-2.34/json-pipe.raw"
    lines = show("--show", str(log)).stdout.decode().splitlines()
    for name, one in derivations("captures-2.34/json-pipe.raw").items():
        assert lines[one["line"]].endswith(f"{name}: step 0")


@pytest.mark.parametrize("log", ["captures/fail-raw.raw", "captures-2.34/json-fail.raw", "captures-2.34/fail-bar.raw"])
def test_a_derivation_that_failed_is_the_only_one(log):
    failed = json.loads((CORPUS / log).with_suffix(".json").read_text())["failed"]
    told = derivations(log)
    assert [name for name, one in told.items() if one["state"] == "failed"] == failed
    assert told.get("svc-system", {"state": "waiting"})["state"] == "waiting"


def test_paths_that_came_and_other_machines_are_told():
    assert {one["state"] for one in derivations("captures-2.34/http-fetch-raw.raw").values()} == {"fetched"}
    machines = {one.get("machine") for one in derivations("phase/remote-builder.log").values()}
    assert any(machine and machine.startswith("ssh") for machine in machines)


# Prefixes that every line of a log may have.
FRONTS = {
    "journald": "Sep 02 04:21:44 gate nixos-upgrade-start[88121]: ", "german": "Mär 03 04:21:44 gate nixos-rebuild[1]: ",
    "french": "juil. 07 04:43:25 box switch[7]: ", "russian": "сен 02 04:21:44 gate x[1]: ", "japanese": "7月 02 04:21:44 gate x[1]: ",
    "one-digit": "Sep  2 04:21:44 gate x[1]: ", "no-pid": "Sep 02 04:21:44 gate nixos-upgrade: ",
    "precise": "Sep 02 04:21:44.123456 gate x[1]: ", "short-iso": "2026-07-01T04:21:44+0200 gate x[1]: ",
    "short-full": "Wed 2026-07-01 04:21:44 CEST gate x[1]: ", "ci": "2026-07-01T10:00:00.1234567Z ", "clock": "[04:21:44] ",
    "program": "switch-to-configuration[811]: ", "nixops": "test...........> ", "colmena": "  web | ", "compose": "web-1  | ",
    "colmena-in-ci": "2026-07-01T10:00:00.1234567Z web | ", "deploy-rs": "⭐ ℹ️ [activate] [INFO] ", "quote": "> ",
    "quoted-journal": "> Sep 02 04:21:44 gate x[1]: ",
}
PLAIN = ("public/agenix-is-a-directory", "public/firewall-in-container", "public/hash-mismatch-ifd", "public/nh-activation-no-sudo",
         "public/nix-assertion-crash", "public/pstore-unit-fails", "public/switch-ng-flake-ok", "public/home-manager-clobber",
         "public/boot-full-grub", "phase/switch-all-lines", "phase/two-causes", "phase/new-cannot-build", "phase/raw-builder-lies",
         "phase/eval-nested", "phase/nh-fails", "phase/darwin")
SAID = ("outcome", "phases", "failed", "failed_units", "progress", "errors", "error_lines")


def in_front(front, text):
    return b"".join(front.encode() + line + b"\n" for line in text.splitlines())


@pytest.mark.parametrize("name", FRONTS)
def test_what_stands_in_front_of_all_lines_changes_nothing(name):
    for log in PLAIN:
        text = (CORPUS / log).with_suffix(".log").read_bytes()
        plain, got = analyze("-", data=text), analyze("-", data=in_front(FRONTS[name], text))
        assert {key: got[key] for key in SAID} == {key: plain[key] for key in SAID}, log


@pytest.mark.parametrize("one, two", [("  web | ", "db-12 | "), ("web......> ", "db-longer> "),
                                      ("Sep 02 04:21:44 web x[1]: ", "Sep 02 04:21:45 db x[7]: ")], ids=("colmena", "nixops", "journald"))
def test_each_of_two_hosts_has_a_state_of_its_own(one, two):
    good = (CORPUS / "public/switch-ng-flake-ok.log").read_bytes()
    bad = (CORPUS / "public/firewall-in-container.log").read_bytes().split(b"\n", 1)[1]
    mixed, rows = b"", [in_front(one, good).splitlines(True), in_front(two, bad).splitlines(True)]
    for at in range(max(len(row) for row in rows)):
        mixed += b"".join(row[at] for row in rows if at < len(row))
    got = analyze("-", data=mixed)
    assert [(host["phase"], host["failed_units"]) for host in got["hosts"]] == [("switching", []), ("switching", ["firewall.service"])]
    assert (got["outcome"], got["failed_units"]) == ("failure", ["firewall.service"])
    assert got["progress"]["to_build"] == got["progress"]["built"] == 9


@pytest.mark.parametrize("name", FRONTS)
def test_a_builder_is_not_believed_with_anything_in_front(name):
    start, _, end = legacy_build("c.drv", store("4", "c") + "\n", "@", 2).partition("@")

    def said(lies):
        answer = analyze("-", data=start.encode() + lies + end.encode())
        return {key: answer[key] for key in SAID if key not in ("errors", "error_lines")} | {"hosts": answer["hosts"]}

    assert said(in_front(FRONTS[name], LIES.encode())) == said(b"")


def test_a_dash_reads_standard_input():
    log = CORPUS / "captures" / "raw-pipe.raw"
    assert analyze("-", data=log.read_bytes()) == analyze(log)


def test_the_answer_is_one_object_with_exactly_the_promised_keys():
    got = analyze(CORPUS / "captures" / "fail-raw.raw", 24, 80)
    assert set(got) == {"lines", "phases", "progress", "errors", "error_lines", "error", "error_line", "failed", "failed_units", "hosts",
                        "derivations", "outcome"}


def test_a_missing_file_is_one_line_and_exit_1(tmp_path):
    for wrong in (tmp_path / "absent", tmp_path):
        done = subprocess.run([REPORT, "analyze", "--analyze", str(wrong)], capture_output=True, timeout=20)
        assert done.returncode == 1
        assert done.stdout == b""
        assert done.stderr.count(b"\n") == 1 and str(wrong).encode() in done.stderr


def show(*arguments, **options):
    return subprocess.run([REPORT, "show", *arguments], capture_output=True, timeout=60, **options)


def test_show_prints_a_log_without_colours_unless_asked(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"\x1b[31mred\x1b[0m plain\r\n10%\r20%\r\n")
    assert show("--show", str(log)).stdout == b"red plain\n20%\n"
    assert b"\x1b[" in show("--color", "--show", str(log)).stdout


def test_show_ends_well_when_its_reader_goes_away(tmp_path):
    log = tmp_path / "big.log"
    log.write_bytes(b"line\n" * 400000)
    with subprocess.Popen([REPORT, "show", "--show", str(log)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"line\n"
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(timeout=30) == 0


def test_show_of_nothing_known_is_one_line_and_exit_1(tmp_path):
    done = show("--show", "no-such-run", env={**os.environ, "NIXFLEET_STATE_DIR": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
