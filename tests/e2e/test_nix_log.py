"""--nix-log: the record that nix itself writes. A script plays nix here."""
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent / "lib"), str(pathlib.Path(__file__).parent)]
from dashserver import TOKEN, Dashboard
from faultserver import FaultServer, status
from helperrun import environment
from test_log_disk import disk  # a fixture
from wrapper import NO_LEAK_CHECK, ROOT, RUN, wait_for

MEMORY = pathlib.Path(f"/dev/shm/nixfleet-{os.geteuid()}")
CAPTURE = ROOT / "tests/corpus/captures-2.34/json-pipe.raw"
NAMES = {"svc-chain-1", "svc-chain-2", "svc-chain-3", "svc-chain-4", "svc-chain-5", "svc-fan-0", "svc-fan-1", "svc-fan-2", "svc-system"}


@pytest.fixture
def nix(tmp_path):
    """Makes a script that plays a nix of this version; `body` is what the script does."""
    records = tmp_path / "records"
    lines = CAPTURE.read_text().splitlines()
    records.write_text("".join(line[5:] + "\n" for line in lines if line.startswith("@nix ")))

    def make(version, body="printf 'only a bar\\r'", answer="sleep 0"):
        directory = tmp_path / "bin"
        directory.mkdir(exist_ok=True)
        program = directory / "nix"
        program.write_text(textwrap.dedent(f"""\
            #!/bin/sh
            echo "$*" >>{tmp_path}/calls
            if [ "$1" = --version ]; then {answer}; echo "nix {version}"; exit 0; fi
            record=$(printf '%s\\n' "$NIX_CONFIG" | sed -n 's/^json-log-path = //p')
            [ -z "$record" ] || cat {records} >>"$record"
            {body}
            """))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return directory

    return make


def setting(tmp_path, directory, url="", **extra):
    env = environment(tmp_path / "state", url, PATH=f"{directory}:{os.environ['PATH']}", **extra)
    env.pop("NIX_CONFIG", None)
    env.update(extra)
    return env


def run(env, *command, options=("--nix-log",), **keywords):
    return subprocess.run([RUN, *options, "--", *command], env=env, capture_output=True, timeout=60, stdin=subprocess.DEVNULL, **keywords)


def known(env, tmp_path):
    """The environment after an earlier run has asked this nix for its version."""
    memory, program = MEMORY / "nix-versions", (tmp_path / "bin/nix").stat()
    identity = f"{program.st_size:x}:{int(program.st_mtime):x}.{program.st_mtime_ns % 10**9:x}:"
    assert run(env, "nix", "eval", options=("--nix-log", "--no-stream")).returncode == 0
    wait_for(lambda: memory.exists() and identity in memory.read_text(), "the answer of nix")
    return env


SAYS = 'printf "%s" "${NIX_CONFIG-none}" # of nix'


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


def records(tmp_path):
    return sorted((tmp_path / "state").glob("*.nix"))


def test_derivations_counts_and_logs_come_from_a_run_that_shows_nothing(tmp_path, nix):
    with FaultServer() as server:
        env = known(setting(tmp_path, nix("(Nix) 2.34.8"), server.url), tmp_path)
        done = run(env, "nix", "build")
        assert (done.returncode, done.stdout) == (0, b"only a bar\r")
        bodies = [message for _, message in server.run().batches]
    told = {one["name"]: one for body in bodies for one in body.get("derivations", [])}
    assert set(told) == NAMES and {one["state"] for one in told.values()} == {"built"}
    assert all(one["started"] <= one["ended"] for one in told.values())
    assert bodies[-1]["progress"]["built"] == bodies[-1]["progress"]["to_build"] == 9
    shown = subprocess.run([RUN, "--show", "--derivation", "svc-fan-1"], env=env, capture_output=True, timeout=30)
    assert shown.stdout == b"".join(b"svc-fan-1: step %d\n" % at for at in range(3))


def test_a_dashboard_keeps_what_the_record_says(tmp_path, nix):
    with Dashboard(tmp_path / "data") as dashboard:
        env = setting(tmp_path, nix("(Nix) 2.34.8"), dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_FLUSH_TIMEOUT="30")
        assert run(known(env, tmp_path), "nix", "build").returncode == 0
        (last,) = dashboard.get("/api/hosts/testhost/runs").json["runs"]
        told = dashboard.get(f"/api/hosts/testhost/runs/{last['id']}/derivations").json["derivations"]
        logs = own_logs(dashboard)
    assert logs["svc-fan-1"] == "".join(f"svc-fan-1: step {at}\n" for at in range(3)) and set(logs) == NAMES
    assert {one["name"] for one in told} == NAMES and {one["state"] for one in told} == {"built"}
    assert all(one["duration"] >= 0 for one in told)
    assert (last["outcome"], last["progress"]["built"]) == ("success", 9)


def logged(dashboard):
    """The derivations of the last run that have a log, as {name: path of the log}."""
    runs = dashboard.get("/api/hosts/testhost/runs").json["runs"]
    if not runs:
        return {}
    path = f"/api/hosts/testhost/runs/{runs[0]['id']}/derivations"
    return {one["name"]: f"{path}/{one['n']}/log" for one in dashboard.get(path).json["derivations"] if one.get("log")}


def own_logs(dashboard):
    return {name: dashboard.get(path).body.decode() for name, path in logged(dashboard).items()}


class Record:
    """Writes what nix writes to its record: builds and their lines."""

    def __init__(self, path):
        self.path, self.ids, self.lines = path, {}, []
        self.add(action="start", id=7, level=0, type=104, text="", parent=0)

    def add(self, **record):
        self.lines.append(json.dumps(record))

    def build(self, name):
        self.ids[name] = len(self.ids) + 100
        self.add(action="start", id=self.ids[name], level=3, type=105, text="", fields=[f"/nix/store/{self.ids[name]:032d}-{name}.drv", "", 1, 1], parent=0)

    def say(self, name, *texts):
        for text in texts:
            self.add(action="result", id=self.ids[name], type=101, fields=[text])

    def end(self, *names):
        for name in names:
            self.add(action="stop", id=self.ids[name])
        self.add(action="result", id=7, type=105, fields=[len(self.ids), len(self.ids), 0, 0])
        self.path.write_text("\n".join(self.lines) + "\n")


@pytest.fixture
def record(tmp_path, nix):
    return Record(tmp_path / "records")  # the nix script appends this file to its record


def test_the_whole_log_of_each_builder_reaches_the_dashboard(tmp_path, nix, record):
    long = ["\u00e9" * 12000 + f" {at}" for at in range(3)]
    flood = [f"line {at} of a builder that writes very much" for at in range(105_000)]
    for name in ("small-1.0", "strange", "long", "flood", "secret"):
        record.build(name)
    for at in range(50):  # interleaved
        record.say("small-1.0", f"step {at}")
        record.say("strange", "a\ttab", "\x1b[31mred\x1b[0m \x1b]0;title\x07text", "bell\x07 nul\x00 c1\x9b2J", "")
    record.say("long", *long)
    record.say("flood", *flood)
    record.say("secret", "the token is hush-hush-4711", "x" * 16380 + "hush-hush-4711")
    record.end(*record.ids)
    with Dashboard(tmp_path / "data") as dashboard:
        nix_waits = nix("(Nix) 2.34.8", body=f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done")
        env = setting(tmp_path, nix_waits, dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_FLUSH_TIMEOUT="60", MY_SECRET="hush-hush-4711")
        (tmp_path / "go").touch()
        known(env, tmp_path)
        (tmp_path / "go").unlink()
        command = subprocess.Popen([RUN, "--nix-log", "--", "nix", "build"], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(lambda: "small-1.0" in logged(dashboard), "a log while the run lasts")
        (tmp_path / "go").touch()
        assert (command.wait(60), command.stderr.read()) == (0, b"")
        wait_for(lambda: undelivered(env) == [], "the logs of the builders to be delivered")
        logs = own_logs(dashboard)
    assert logs["small-1.0"].splitlines() == [f"step {at}" for at in range(50)]
    assert logs["strange"].splitlines() == ["a       tab", "red text", "bell nul c12J", ""] * 50
    assert "".join(logs["long"].splitlines()) == "".join(long) and max(len(line.encode()) for line in logs["long"].splitlines()) <= 16384
    assert "hush" not in logs["secret"] and logs["secret"].replace("\n", "").count("[redacted]") == 2
    kept = logs["flood"].splitlines()
    (gap,) = [at for at, line in enumerate(kept) if line.endswith("lines omitted]")]
    omitted = int(kept[gap].split()[0][1:])
    assert kept[:gap] == flood[:gap] and kept[gap + 1:] == flood[gap + omitted:] and 4_000_000 < len(logs["flood"]) < 4_400_000


def undelivered(env):
    listed = subprocess.run([RUN, "--list"], env=env, capture_output=True, text=True, timeout=30, check=True)
    return [line for line in listed.stdout.splitlines() if "undelivered" in line]


def test_each_nix_is_asked_for_its_version_once(tmp_path, nix):
    env = known(setting(tmp_path, nix("(Nix) 2.34.8")), tmp_path)
    for _ in range(3):
        assert run(env, "nix", "build").returncode == 0
    assert calls(tmp_path).count("--version") == 1
    assert len(records(tmp_path)) == 3
    nix("(Nix) 2.31.0", body="true # another program")
    known(env, tmp_path)
    assert run(env, "nix", "build").returncode == 0
    assert calls(tmp_path).count("--version") == 2
    assert len(records(tmp_path)) == 4
    assert {stat.S_IMODE(record.stat().st_mode) for record in records(tmp_path)} == {0o600}


@pytest.mark.parametrize("version", ["(Nix) 2.8.0", "(Nix) 2.29.1", "(Lix, like Nix) 2.93.0", "what?", ""])
def test_a_nix_without_the_setting_gets_nothing(tmp_path, nix, version):
    env = known(setting(tmp_path, nix(version), NIX_CONFIG="cores = 2"), tmp_path)
    assert run(env, "sh", "-c", SAYS).stdout == b"cores = 2"
    assert records(tmp_path) == []


@pytest.mark.parametrize("version", ["(Nix) 2.30.0", "(Nix) 2.31pre20250712_c0ffee0", "(Determinate Nix 3.8.1) 2.30.1", "(Nix) 3.0"])
def test_what_is_set_already_stays(tmp_path, nix, version):
    env = known(setting(tmp_path, nix(version), NIX_CONFIG="cores = 2"), tmp_path)
    first, second = run(env, "sh", "-c", SAYS).stdout.decode().split("\n")
    assert first == "cores = 2" and second.startswith("json-log-path = ") and second.endswith(".nix")
    env["NIX_CONFIG"] = "json-log-path = /mine"
    assert run(env, "sh", "-c", SAYS).stdout == b"json-log-path = /mine"
    del env["NIX_CONFIG"]
    home = tmp_path / "state/.config/nix"
    home.mkdir(parents=True)
    (home / "nix.conf").write_text("cores = 3\n json-log-path = /mine\n")
    assert run(env, "sh", "-c", SAYS).stdout == b"none"


def test_nothing_is_asked_or_set_without_the_option(tmp_path, nix):
    env = setting(tmp_path, nix("(Nix) 2.34.8"))
    assert run(env, "sh", "-c", SAYS, options=()).stdout == b"none"
    assert not (tmp_path / "calls").exists()


def test_nothing_is_asked_or_set_for_a_command_that_has_nothing_to_do_with_nix(tmp_path, nix):
    env = setting(tmp_path, nix("(Nix) 2.34.8"))
    assert run(env, "true").returncode == 0
    assert not (tmp_path / "calls").exists()
    known(env, tmp_path)
    assert b"NIX_CONFIG" not in run(env, "env").stdout
    for command in (["env", "--", "sh", "-c", SAYS], ["make", "-s", "switch"]):
        (tmp_path / "Makefile").write_text("switch:\n\t@printf '%s' \"$${NIX_CONFIG-none}\"\n")
        assert run(env, *command, cwd=tmp_path).stdout.startswith(b"json-log-path = ")


def test_an_empty_record_is_not_kept(tmp_path, nix):
    env = known(setting(tmp_path, nix("(Nix) 2.34.8")), tmp_path)
    assert run(env, "sh", "-c", SAYS).stdout != b"none"
    wait_for(lambda: records(tmp_path) == [], "the log writer to remove it")


def test_no_command_waits_for_a_nix_that_never_answers(tmp_path, nix):
    env = setting(tmp_path, nix("(Nix) 2.34.8", answer=f"echo $$ >>{tmp_path}/pids; exec sleep 600"))
    assert run(env, "sh", "-c", SAYS).stdout == b"none"
    pid = wait_for(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text(), "nix to be asked")
    os.kill(int(pid), 0)  # nix has not answered yet, and the run is over
    wait_for(lambda: str(tmp_path) in (MEMORY / "nix-versions").read_text(), "nix to be given up")
    assert run(env, "sh", "-c", SAYS).stdout == b"none"
    assert calls(tmp_path).count("--version") == 1


def processes_before_the_command(tmp_path, env, options, command):
    """How many processes the wrapper starts, and how often it waits for one, before it executes the command (by strace)."""
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-f", "-qq", "-o", trace, "-e", "trace=fork,vfork,clone,clone3,execve,wait4,waitid", RUN, *options, "--", *command],
                   env={**env, **NO_LEAK_CHECK}, check=True, capture_output=True, timeout=90, stdin=subprocess.DEVNULL)
    before, wrapper = [], None
    for line in trace.read_text().splitlines():
        pid, call = line.split(None, 1)
        wrapper = wrapper or pid
        if call.startswith("execve(") and pid != wrapper:
            return before
        if pid == wrapper and not call.startswith(("execve(", "+++", "---", "<...")):
            before.append(call)
    raise AssertionError("the command was not executed")


@pytest.mark.parametrize("options", [(), ("--nix-log",)], ids=("plain", "nix-log"))
@pytest.mark.parametrize("command", [("true",), ("echo", "x"), ("nix", "eval"), ("home-manager", "switch")], ids=" ".join)
def test_the_start_makes_one_process_the_session_leader_and_waits_for_none(tmp_path, nix, options, command):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    directory = nix("(Nix) 2.34.8")
    (directory / "home-manager").symlink_to(directory / "nix")
    env = setting(tmp_path, directory)
    for known_before in (False, True):
        if known_before:
            known(env, tmp_path)
        before = processes_before_the_command(tmp_path, env, options, command)
        assert len(before) == 1 and before[0].startswith(("clone", "fork", "vfork")), before


@pytest.mark.parametrize("reader", ["kill -STOP $$", "exit 1", "exec sleep 600"], ids=("stopped", "dead", "slow"))
def test_nix_never_waits_for_the_reader(tmp_path, nix, reader):
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/pids\n{reader}\n")
    helper.chmod(0o755)
    env = setting(tmp_path, nix("(Nix) 2.34.8", body='i=0; while [ $i -lt 200 ]; do cat "$record" 2>/dev/null | head -c 300000 >>"$record.more"; '
                                                     "i=$((i+1)); done; cat \"$record.more\" >>\"$record\"; rm \"$record.more\"; echo done"),
                  "http://127.0.0.1:9", NIXFLEET_REPORT=str(helper), NIXFLEET_FLUSH_TIMEOUT="0")
    try:
        done = run(known(env, tmp_path), "nix", "build")
        assert (done.returncode, done.stdout) == (0, b"done\n")
        assert records(tmp_path)[0].stat().st_size > 1 << 20
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass


def frozen(tmp_path, disk, nix, body, url=""):
    """The environment of a run with its state directory on a disk; freezes the disk."""
    env = setting(tmp_path, nix("(Nix) 2.34.8", body=body), url, NIXFLEET_STATE_DIR=str(disk.path / "state"))
    known(env, tmp_path)
    disk.freeze()
    return env


def thawed(disk, size):
    """Thaws the disk, waits until the record has this size, and returns the record."""
    disk.thaw()
    return wait_for(lambda: [r for r in (disk.path / "state").glob("*.nix") if r.stat().st_size >= size], "the record")[0].read_bytes()


def test_a_frozen_disk_stops_neither_nix_nor_the_stream_and_the_record_is_whole(tmp_path, disk, nix):
    with FaultServer() as server:
        env = frozen(tmp_path, disk, nix, "true", server.url)
        done = run(env, "nix", "build")
        assert done.returncode == 0
        wait_for(lambda: server.run() and {one["name"] for _, message in server.run().batches for one in message.get("derivations", [])} == NAMES,
                 "the derivations")
    expected = (tmp_path / "records").read_bytes()
    assert thawed(disk, len(expected)) == expected


def test_what_waits_for_a_frozen_disk_is_bounded_and_the_newest_is_kept(tmp_path, disk, nix):
    body = """[ -n "$record" ] || exit 0; head -c 48000000 /dev/zero | tr '\\0' x >>"$record"; i=0; """ \
           """while [ $(stat -c %b "$record") -gt 40000 ] && [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; """ \
           """stat -c 'blocks %b' "$record"; echo the end >>"$record\""""
    env = frozen(tmp_path, disk, nix, body)
    done = run(env, "nix", "build")
    assert done.returncode == 0 and int(done.stdout.split()[-1]) <= 40000  # blocks of 512 bytes
    assert re.search(rb"[1-9]\d+ bytes of nix's internal log are lost, the disk was too slow", done.stderr)
    kept = thawed(disk, 48000000)
    assert kept.endswith(b"x" * 8000000 + b"the end\n") and b"\0" * 1000000 in kept


def test_another_user_of_the_command_may_append_and_afterwards_nobody_fills_the_memory(tmp_path, nix):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    env = known(setting(tmp_path, nix("(Nix) 2.34.8")), tmp_path)
    done = run(env, "sh", "-c", "path=${NIX_CONFIG##* }; echo $path; setpriv --reuid 65534 --clear-groups sh -c 'echo mine >>$1; cat $1' - $path # of nix")
    assert done.returncode == 1 and b"Permission denied" in done.stderr  # another user may append, but not read
    path = pathlib.Path(done.stdout.decode().split()[0])
    assert wait_for(lambda: [r for r in records(tmp_path) if r.read_bytes() == b"mine\n"], "the record")
    wait_for(path.is_symlink, "the end of the record")
    assert os.readlink(path) == "/dev/null"


def test_a_run_that_is_delivered_later_tells_its_derivations(tmp_path, nix):
    env = setting(tmp_path, nix("(Nix) 2.34.8"), "http://127.0.0.1:9", NIXFLEET_FLUSH_TIMEOUT="0")
    assert run(known(env, tmp_path), "nix", "build").returncode == 0
    with FaultServer() as server:
        env.update(NIXFLEET_URL=server.url, NIXFLEET_FLUSH_TIMEOUT="30")
        flushed = subprocess.run([RUN, "--flush", "--moved-from", "http://127.0.0.1:9"], env=env, capture_output=True, timeout=60)
        assert flushed.returncode == 0, flushed.stderr
        bodies = [message for _, message in server.run().batches]
    assert {one["name"] for body in bodies for one in body.get("derivations", [])} == NAMES
    pieces = [piece for body in bodies for piece in body.get("build_logs", [])]
    assert {piece["n"] for piece in pieces} == set(range(len(NAMES)))
    texts = ["\n".join(piece["text"] for piece in pieces if piece["n"] == n) for n in range(len(NAMES))]
    assert "svc-fan-1: step 0\nsvc-fan-1: step 1\nsvc-fan-1: step 2" in texts


@pytest.mark.parametrize("limit", [50_000, 20_000])
def test_a_small_limit_on_bodies_keeps_the_state_of_the_derivations(tmp_path, nix, record, limit):
    """A proxy refuses batches with much text of builders. With the smaller limit, no such batch passes."""
    for name in ("small-1.0", "flood"):
        record.build(name)
    record.say("small-1.0", "only step")
    record.say("flood", *[f"line {at} of a builder that writes much" for at in range(4000)])
    record.end(*record.ids)
    with FaultServer() as server:
        env = known(setting(tmp_path, nix("(Nix) 2.34.8"), server.url, NIXFLEET_FLUSH_TIMEOUT="30"), tmp_path)
        refuse = status(413)
        server.fault = lambda handler, path, body: len(body) > limit and refuse(handler, path, body)
        assert run(env, "nix", "build").returncode == 0
        wait_for(lambda: undelivered(env) == [], "the end of the delivery")
        bodies = [message for _, message in server.run().batches]
    assert server.faults > 0
    states = {one["name"]: one["state"] for body in bodies for one in body.get("derivations", [])}
    assert {states["small-1.0"], states["flood"]} == {"built"}
    if limit == 50_000:
        text = "\n".join(piece["text"] for body in bodies for piece in body.get("build_logs", []))
        assert "only step" in text and "line 3999 of" in text


def test_the_log_of_a_derivation_that_nobody_recorded_is_one_line_and_exit_1(tmp_path, nix):
    env = known(setting(tmp_path, nix("(Nix) 2.34.8")), tmp_path)
    assert run(env, "nix", "build").returncode == 0
    shown = subprocess.run([RUN, "--show", "--derivation", "nothing"], env=env, capture_output=True, timeout=30)
    assert (shown.returncode, shown.stdout, shown.stderr.count(b"\n")) == (1, b"", 1)
    assert subprocess.run([RUN, "--derivation", "x", "true"], env=env, capture_output=True, timeout=30).returncode == 125
