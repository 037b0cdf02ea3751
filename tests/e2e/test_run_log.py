"""The local record of a run: its log byte for byte, how the run ended, what remains after a kill or on a full disk, how long the
record is kept."""
import os
import pathlib
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from wrapper import BIN, ROOT, RUN, children, environment, kill_quietly, log_writer, run, wait_for

BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", ROOT / "build"))


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def records(state):
    return [dict(line.split("=", 1) for line in path.read_text().splitlines()) for path in sorted(state.glob("*.run"))]


def only_log(state):
    log, = state.glob("*.log")
    return log.read_bytes()


def listed(state, **extra):
    done = subprocess.run([RUN, "--list"], env=environment(state, **extra), capture_output=True, timeout=30)
    assert done.returncode == 0 and done.stderr == b""
    return done.stdout.decode()


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- contents ----
def test_the_log_is_what_the_command_wrote_byte_for_byte(state):
    run("python3", "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)", state=state, stderr=subprocess.STDOUT)
    assert only_log(state) == bytes(range(256)) * 1000


def test_the_log_has_both_streams(state):
    run("sh", "-c", "echo out; sleep 0.1; echo err >&2; sleep 0.1; echo out", state=state)
    assert only_log(state) == b"out\nerr\nout\n"


def test_the_record_says_what_ran_and_how_it_ended(state, tmp_path):
    run("sh", "-c", "printf 'x%%y\\n'; exit 9", state=state, cwd=tmp_path)
    record, = records(state)
    assert record["end"].split()[:2] == ["exit", "9"] and record["end"].split()[3:] == ["4", "4"]
    assert record["cwd"] == str(tmp_path) and record["name"] == "sh" and record["stream"] == "0"
    assert "9" in listed(state).splitlines()[1].split() and "printf" in listed(state)


def test_the_record_says_for_which_dashboard_and_host_the_run_is(state):
    env = environment(state, NIXFLEET_URL="http://127.0.0.1:9/fleet/", NIXFLEET_HOST="Myhost", NIXFLEET_FLUSH_TIMEOUT="0")
    run("true", state=state, env=env)
    run("true", state=state, env=env, options=["--no-stream"])
    assert sorted((record["url"], record["host"]) for record in records(state)) == [("", "myhost"), ("http://127.0.0.1:9/fleet", "myhost")]


def test_a_killed_commands_record_names_the_signal(state):
    run("sh", "-c", "kill -TERM $$", state=state)
    assert records(state)[0]["end"].split()[:2] == ["signal", "15"]


def test_a_command_that_does_not_start_leaves_no_record(state):
    run("no-such-command-at-all", state=state)
    assert not state.exists() or list(state.iterdir()) == []


def test_files_and_directory_are_the_users_alone(state):
    run("true", state=state, preexec_fn=lambda: os.umask(0))
    assert mode_of(state) == 0o700 and {mode_of(path) for path in state.iterdir()} == {0o600}
    assert len(list(state.iterdir())) == 3


def test_no_secret_value_is_in_the_record(state):
    run("true", state=state, env=environment(state, MY_API_TOKEN="hunter2-hunter2", NIXFLEET_TOKEN="abcdefgh-token"))
    text = b"".join(path.read_bytes() for path in state.iterdir())
    assert b"hunter2" not in text and b"abcdefgh" not in text


def test_a_log_file_of_the_callers_choice(state, tmp_path):
    run("echo", "hi", state=state, options=["--log", "chosen"], cwd=tmp_path)
    assert (tmp_path / "chosen").read_bytes() == b"hi\n" and mode_of(tmp_path / "chosen") == 0o600
    assert not list(state.glob("*.log")) and records(state)[0]["log"] == str(tmp_path / "chosen")


def test_two_runs_at_once_do_not_disturb_each_other(state):
    both = [subprocess.Popen([RUN, "seq", "1", str(n)], env=environment(state), stdout=subprocess.PIPE) for n in (50000, 60000)]
    for child, n in zip(both, (50000, 60000)):
        assert child.communicate(timeout=30)[0].count(b"\n") == n and child.returncode == 0
    assert sorted(path.read_bytes().count(b"\n") for path in state.glob("*.log")) == [50000, 60000]


# ---- failures ----
def test_a_wrapper_that_is_killed_leaves_a_lost_run_with_all_that_was_written(state):
    child = subprocess.Popen([RUN, "sh", "-c", "echo before; exec sleep 60"], env=environment(state), stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"before\n"
    monitor, = children(child.pid)
    command, = children(monitor)
    try:
        log_writer(child.pid)
        wait_for(lambda: list(state.glob("*.run")), "the record")
        assert "lost" not in listed(state)
        child.kill()
        child.wait(10)
        wait_for(lambda: "lost" in listed(state), "the loss to be seen")
        assert only_log(state) == b"before\n"
    finally:
        kill_quietly(command)
        child.stdout.close()


@pytest.mark.parametrize("options, survives", [(["-q"], False), (["-q", "--nohup"], True)])
def test_the_wrappers_death_is_a_hangup_for_the_command(state, tmp_path, options, survives):
    script = f"trap 'echo hup >{tmp_path}/done; exit' HUP; echo up; read x <{tmp_path}/gate; echo done >{tmp_path}/done"
    os.mkfifo(tmp_path / "gate")
    child = subprocess.Popen([RUN, *options, "bash", "-c", script], env=environment(state), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout.readline() == b"up\n"
    child.kill()
    child.wait(10)
    if survives:
        (tmp_path / "gate").write_text("go\n")
    wait_for(lambda: (tmp_path / "done").exists() and (tmp_path / "done").read_text(), "the command's end")
    assert (tmp_path / "done").read_text() == ("done\n" if survives else "hup\n")
    child.stdout.close()


def test_a_full_disk_costs_the_log_and_nothing_else(small_disk, tmp_path):
    done = run("sh", "-c", f"head -c 3000000 /dev/zero; echo done >{tmp_path}/done; exit 6", state=small_disk / "state")
    assert done.returncode == 6 and len(done.stdout) == 3000000 and (tmp_path / "done").exists()
    assert re.fullmatch(rb"nixfleet-run: the log ends early: .*\.log: No space left on device\n", done.stderr)
    record, = records(small_disk / "state")
    assert record["end"].split()[:2] == ["exit", "6"]  # the record reserves room for the end at the start
    logged = len(only_log(small_disk / "state"))
    assert 0 < logged < 1 << 20 and record["end"].split()[3:] == ["3000000", str(logged)]


def test_a_disk_that_is_full_from_the_start(small_disk):
    with open(small_disk / "filler", "wb", buffering=0) as filler:
        try:
            while filler.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    done = run("sh", "-c", "echo hi; exit 6", state=small_disk / "state")
    assert done.returncode == 6 and done.stdout == b"hi\n" and len(done.stderr.splitlines()) == 1


def test_an_unwritable_place_costs_the_log_and_is_said_in_one_line(tmp_path):
    state = tmp_path / "state"
    state.write_text("a file where the directory should be")
    done = run("sh", "-c", "echo hi; exit 6", state=state)
    assert done.returncode == 6 and done.stdout == b"hi\n"
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(b"nixfleet-run: no log: ")


def test_a_log_file_that_cannot_be_opened_costs_its_place_and_not_the_log(state):
    done = run("sh", "-c", "echo hi; exit 6", state=state, options=["--log", "/proc/none/log"])
    assert done.returncode == 6 and done.stdout == b"hi\n" and only_log(state) == b"hi\n"
    assert re.fullmatch(rb"nixfleet-run: /proc/none/log: .*: the log is /.*/[0-9a-f-]*\.log\n", done.stderr)
    assert b"hi" in subprocess.run([RUN, "--show"], env=environment(state), stdout=subprocess.PIPE, timeout=20, check=True).stdout


def test_a_log_file_that_cannot_be_opened_is_not_said_where_output_is_captured(tmp_path):
    done = run("echo", "hi", state=tmp_path / "state", options=["--log", "/proc/none/log"], stderr=subprocess.STDOUT)
    assert done.returncode == 0 and done.stdout == b"hi\n"


@pytest.mark.parametrize("read", [False, True])
def test_a_fifo_that_nobody_reads_costs_its_copy_of_the_log_and_no_time(tmp_path, state, read):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK) if read else -1
    done = run("sh", "-c", "seq 1 40000; exit 6", state=state, options=["--log", tmp_path / "fifo"])
    assert done.returncode == 6 and len(done.stdout.splitlines()) == 40000 and only_log(state) == done.stdout
    assert len(done.stderr.splitlines()) == 1 and b"/fifo" in done.stderr
    if read:
        os.close(reader)


def test_a_log_may_be_a_pipe_of_the_callers(state, tmp_path):
    script = f"exec {RUN} --log /dev/fd/3 -- sh -c 'echo hi; seq 1 100000' 3> >(cat >{tmp_path}/copy; touch {tmp_path}/done)"
    done = subprocess.run(["bash", "-c", script], env=environment(state), stdout=subprocess.PIPE, timeout=30, check=True)
    wait_for((tmp_path / "done").exists, "the copy")
    assert (tmp_path / "copy").read_bytes() == done.stdout == only_log(state)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_a_log_that_is_standard_output_adds_to_it_and_cuts_nothing(state, tmp_path, name):
    (tmp_path / "out").write_bytes(b"before\n")
    with open(tmp_path / "out", "ab") as out:
        run("echo", "hi", state=state, options=["--log", name], stdout=out)
    assert (tmp_path / "out").read_bytes() == b"before\nhi\nhi\n" and only_log(state) == b"hi\n"


# ---- two runs, one --log ----
def test_runs_that_follow_each_other_at_once_may_use_one_log_file(state, tmp_path):
    for i in range(60):
        run("echo", i, state=state, options=["--log", tmp_path / "same"], env=environment(state, NIXFLEET_KEEP_RUNS="3"))
        assert (tmp_path / "same").read_text() == f"{i}\n"


def test_two_runs_with_one_log_file_do_not_pass_for_each_other(state, tmp_path):
    options = ["--log", tmp_path / "same"]
    run("sh", "-c", "echo OUTPUT-OF-A; echo A2; echo A3", state=state, options=options)
    run("sh", "-c", "echo out-of-B; exit 3", state=state, options=options)
    first, second = sorted(path.stem for path in state.glob("*.run"))
    show = [subprocess.run([RUN, "--show", run_id], env=environment(state), capture_output=True, timeout=20) for run_id in (first, second)]
    assert show[0].returncode == 1 and show[0].stdout == b"" and b"its log was overwritten" in show[0].stderr
    assert show[1].stdout.startswith(b"out-of-B\n")
    lines = listed(state).splitlines()[1:]
    assert "(its log was overwritten)" in lines[0] and "overwritten" not in lines[1]


def test_a_log_file_in_use_is_left_to_the_run_that_has_it(state, tmp_path):
    options = ["--log", tmp_path / "same"]
    first = subprocess.Popen([RUN, *options, "sh", "-c", "echo first; read x; echo end"], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"first\n"
    wait_for(lambda: (tmp_path / "same").exists() and (tmp_path / "same").read_bytes() == b"first\n", "the log")
    second = run("echo", "second", state=state, options=options)
    assert b"another run uses this file" in second.stderr
    first.communicate(b"\n", timeout=20)
    assert (tmp_path / "same").read_bytes() == b"first\nend\n" and only_log(state) == b"second\n"


# ---- what is left of a record ----
@pytest.mark.parametrize("left", [b"", b"\0" * 700, b"end=exit 0"])
def test_a_run_whose_record_is_damaged_is_listed_and_shown(state, left):
    run("echo", "precious", state=state)
    record, = state.glob("*.run")
    record.write_bytes(left)
    wait_for(lambda: "damaged" in listed(state), "its log writer's end")
    assert str(record.with_suffix(".log")) in listed(state)
    shown = subprocess.run([RUN, "--show", record.stem], env=environment(state), stdout=subprocess.PIPE, timeout=20, check=True)
    assert shown.stdout == b"precious\n"


def test_a_fifo_among_the_records_delays_nobody(state):
    state.mkdir(mode=0o700)
    os.mkfifo(state / "01a22158-0000-7787-99e4-3a4d16c73f43.run")
    (state / "01a22158-0000-7787-99e4-3a4d16c73f44.run").mkdir()
    os.mkfifo(state / "01a22158-0000-7787-99e4-3a4d16c73f43.marks")
    assert run("echo", "hi", state=state, env=environment(state, NIXFLEET_KEEP_RUNS="1")).stdout == b"hi\n"
    assert len(listed(state).splitlines()) == 2
    done = subprocess.run([RUN, "--flush"], env=environment(state, NIXFLEET_URL="http://127.0.0.1:9", NIXFLEET_HOST="h"),
                          capture_output=True, timeout=20)
    assert done.returncode == 0
    for name in ("01a22158-0000-7787-99e4-3a4d16c73f43", "01a22158-0000-7787-99e4-3a4d16c73f44"):
        shown = subprocess.run([RUN, "--show", name], env=environment(state), capture_output=True, timeout=20)
        assert shown.returncode == 1 and shown.stderr == f"nixfleet-run: {state}/{name}.run is not a regular file\n".encode()


# ---- a directory that others can write to ----
@pytest.mark.parametrize("mode", [0o2775, 0o777, 0o1777])
def test_a_directory_that_others_can_write_to_is_not_used_and_that_is_said_once(state, mode):
    state.mkdir()
    state.chmod(mode)
    done = run("echo", "hi", state=state)
    assert done.returncode == 0 and done.stdout == b"hi\n" and list(state.iterdir()) == []
    assert len(done.stderr.splitlines()) == 1 and b"users may write to this directory" in done.stderr


def test_the_directory_that_a_settings_file_names_is_listed_and_shown(tmp_path):
    (tmp_path / "config" / "nixfleet").mkdir(parents=True)
    (tmp_path / "config" / "nixfleet" / "run.conf").write_text(f"NIXFLEET_STATE_DIR={tmp_path}/elsewhere\n")
    env = environment(tmp_path / "unused", NIXFLEET_STATE_DIR=None, XDG_CONFIG_HOME=str(tmp_path / "config"))
    run("echo", "hello", state=None, env=env)
    assert len(list((tmp_path / "elsewhere").glob("*.log"))) == 1
    assert "echo hello" in subprocess.run([RUN, "--list"], env=env, stdout=subprocess.PIPE, timeout=20, check=True).stdout.decode()
    assert subprocess.run([RUN, "--show"], env=env, stdout=subprocess.PIPE, timeout=20, check=True).stdout == b"hello\n"


def test_without_a_home_the_run_goes_on(tmp_path):
    env = environment(tmp_path, NIXFLEET_STATE_DIR="/proc/none", HOME=None, XDG_STATE_HOME=None)
    done = run("echo", "hi", state=None, env=env)
    assert done.returncode == 0 and done.stdout == b"hi\n"


def test_a_user_without_a_home_gets_the_output_once_and_nothing_else(tmp_path):
    place = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))  # a directory that every user can enter
    try:
        place.chmod(0o755)
        program = shutil.copy(BIN / "nixfleet-run", place)
        master, slave = pty.openpty()
        done = subprocess.run([program, "-q", "echo", "hi"], stdin=slave, stdout=slave, stderr=slave, env={"PATH": os.environ["PATH"]}, timeout=20,
                              user=65534 if os.geteuid() == 0 else None)
        os.close(slave)
        assert done.returncode == 0 and os.read(master, 4096) == b"hi\r\n"
        os.close(master)
    finally:
        shutil.rmtree(place)


# ---- how long it is kept ----
def make_run(state, number, age_days=0, size=10, stream=0, ended=True):
    """Makes the files of an old run, as the documents and the header describe them."""
    started = int(time.time() * 1000) - age_days * 86400000 - 1000000 + number * 1000
    run_id = f"{started:012x}"
    run_id = f"{run_id[:8]}-{run_id[8:]}-7000-8000-{number:012d}"
    state.mkdir(mode=0o700, exist_ok=True)
    log = state / f"{run_id}.log"
    log.write_bytes(b"x" * size)
    (state / f"{run_id}.marks").write_bytes(b"")
    end = f"exit 0 {started + 5} {size} {size}" if ended else ""
    (state / f"{run_id}.run").write_text(f"end={end:100}\nack={'':40}\nid={run_id}\nhost=h\nname=n\nuser=u\nlog={log}\ncwd=/\nstarted={started}\n"
                                         f"pid=1\nrows=24\ncols=80\nstream={stream}\nsecrets=\narg=true\n")
    return log


def kept(logs):
    return [log.exists() for log in logs]


def test_the_oldest_runs_beyond_the_count_are_removed(state):
    logs = [make_run(state, i) for i in range(5)]
    run("true", state=state, env=environment(state, NIXFLEET_KEEP_RUNS="3"))
    wait_for(lambda: kept(logs) == [False, False, False, True, True], "the removal")
    wait_for(lambda: len(list(state.glob("*.run"))) == len(list(state.glob("*.marks"))) == 3, "the removal")


def test_what_stays_is_not_read_at_every_end(state):
    logs = [make_run(state, i) for i in range(5)]
    record = logs[4].with_suffix(".run")
    record.unlink()
    os.mkfifo(record)  # a process that opens this waits for ever
    run("true", state=state, env=environment(state, NIXFLEET_KEEP_RUNS="3"))
    wait_for(lambda: kept(logs) == [False, False, False, True, True], "the removal")


@pytest.mark.parametrize("streamed", [False, True])
def test_they_are_removed_while_the_command_runs(state, streamed):
    logs = [make_run(state, i) for i in range(5)]
    env = environment(state, NIXFLEET_KEEP_RUNS="3", NIXFLEET_FLUSH_TIMEOUT="0")
    if streamed:
        env.update(NIXFLEET_URL="http://127.0.0.1:9", NIXFLEET_HOST="h")
    done = run("sh", "-c", f"while [ -e {logs[0]} ] || [ -e {logs[2]} ]; do sleep 0.05; done; echo gone", state=state, env=env,
               stdout=subprocess.PIPE)
    assert done.stdout == b"gone\n"
    assert [log.exists() for log in logs] == [False, False, False, True, True]


@pytest.mark.parametrize("command, status", [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started_takes_nobodys_place(state, command, status):
    log = make_run(state, 1)
    assert run(command, state=state, env=environment(state, NIXFLEET_KEEP_RUNS="1"), stderr=subprocess.PIPE).returncode == status
    assert log.exists() and len(list(state.glob("*.run"))) == 1


def test_runs_beyond_the_age_are_removed(state):
    old, young = make_run(state, 1, age_days=8), make_run(state, 2, age_days=6)
    run("true", state=state, env=environment(state, NIXFLEET_KEEP_DAYS="7"))
    wait_for(lambda: not old.exists(), "the removal")
    assert young.exists()


def test_runs_beyond_the_size_are_removed(state):
    logs = [make_run(state, i, size=40 << 10) for i in range(4)]
    run("true", state=state, env=environment(state, NIXFLEET_KEEP_SIZE="100K"))
    wait_for(lambda: kept(logs) == [False, False, True, True], "the removal")


@pytest.mark.parametrize("bound", [{"NIXFLEET_KEEP_RUNS": "1"}, {"NIXFLEET_KEEP_DAYS": "1"}, {"NIXFLEET_KEEP_SIZE": "1K"}])
def test_an_undelivered_or_living_run_is_never_removed(state, bound):
    owed = make_run(state, 1, age_days=100, size=50000, stream=1)
    lost_and_owed = make_run(state, 2, age_days=100, size=50000, stream=1, ended=False)
    local = make_run(state, 3, age_days=100, size=50000)
    alive = subprocess.Popen([RUN, "sh", "-c", "echo up; read x"], env=environment(state), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert alive.stdout.readline() == b"up\n"
    run("true", state=state, env=environment(state, **bound))
    wait_for(lambda: not local.exists(), "the removal")
    assert owed.exists() and lost_and_owed.exists()
    wait_for(lambda: sum(1 for record in records(state) if not record["end"].strip()) == 2, "the records of the two")
    alive.communicate(b"\n", timeout=20)
    assert alive.returncode == 0


def test_a_log_outside_of_the_directory_is_never_removed(state, tmp_path):
    run("echo", "hi", state=state, options=["--log", tmp_path / "mine"])
    first, = state.glob("*.run")
    # The first run may not have ended completely yet; then it counts as live.
    wait_for(lambda: run("true", state=state, env=environment(state, NIXFLEET_KEEP_RUNS="1")) and not first.exists(), "the removal")
    assert (tmp_path / "mine").read_bytes() == b"hi\n"


# ---- the libraries that nixfleet-run links ----
@pytest.mark.parametrize("program", [BIN / "nixfleet-run", BUILD / "preload" / "nixfleet-run"], ids=["as it is", "with a shared libc"])
def test_the_program_that_holds_the_command_links_no_network_and_no_json(program):
    names = subprocess.run(["nm", program], capture_output=True, check=True).stdout.decode()
    assert "pump_run" in names and not re.search(r" (curl_|SSL_|EVP_|json_object|getaddrinfo|gethostby)", names)
    needed = subprocess.run(["readelf", "-d", program], capture_output=True, check=True).stdout.decode()
    libraries = set(re.findall(r"NEEDED.*\[lib([a-z]+)", needed))
    if any("san" in name for name in libraries):
        pytest.skip("a build with sanitizers links more")
    assert libraries <= {"c", "bsd", "md"}
