"""The log's disk does not answer, is read-only, or is full: the command's output, its end and the stream do not wait for the disk."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer
from wrapper import NO_LEAK_CHECK, RUN, all_children, alive, environment, log_writer, name_of, run, wait_for

TOKEN = "a-token-for-tests"


class Disk:
    def __init__(self, path):
        self.path, self.frozen = path, False

    def freeze(self):
        subprocess.run(["fsfreeze", "-f", self.path], check=True)
        self.frozen = True

    def thaw(self):
        if self.frozen:
            subprocess.run(["fsfreeze", "-u", self.path], check=True)
        self.frozen = False


def mount(path, *options):
    path.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, path], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("cannot mount: " + done.stderr.strip())


@pytest.fixture
def disk(tmp_path):
    """A new ext4 that can be frozen as for a snapshot: a process that writes to a frozen disk waits and cannot be killed."""
    if os.geteuid() != 0 or not shutil.which("fsfreeze") or not shutil.which("mkfs.ext4"):
        pytest.skip("needs root, fsfreeze and mkfs.ext4")
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", image], check=True)
    mount(tmp_path / "disk", "-o", "loop", image)
    made = Disk(tmp_path / "disk")
    yield made
    made.thaw()
    wait_for(lambda: subprocess.run(["umount", made.path], capture_output=True).returncode == 0, "nobody to use the disk")


@pytest.fixture
def tmpfs(tmp_path):
    def make(*options):
        mount(tmp_path / "tmpfs", "-t", "tmpfs", "-o", ",".join(options), "none")
        return tmp_path / "tmpfs"
    if os.geteuid() != 0:
        pytest.skip("needs root")
    yield make
    subprocess.run(["umount", "-l", tmp_path / "tmpfs"], check=False, capture_output=True)


def streaming(state, server, **extra):
    return environment(state, NIXFLEET_URL=server.url, NIXFLEET_HOST="testhost", NIXFLEET_TOKEN=TOKEN, **extra)


def writers_left():
    """Log writers whose wrapper has ended."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            mark = f"NIXFLEET_TEST_PROGRAM={os.environ.get('NIXFLEET_TEST_PROGRAM', '')}".encode()
            if name_of(int(entry.name)) == "nixfleet-log" and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def only(state, ending):
    found = wait_for(lambda: list(state.glob("*." + ending)), ending)
    assert len(found) == 1
    return found[0]


def ended(state):
    """Waits until the record has the end of the run; returns the record."""
    record = only(state, "run")
    return wait_for(lambda: record.read_text().startswith("end=exit") and record.read_text(), "the end in the record")


# ---- a disk that does not answer ----
def test_a_disk_that_freezes_in_the_middle_stops_neither_output_nor_end_and_the_log_is_whole(disk):
    state = disk.path / "state"
    child = subprocess.Popen([RUN, "sh", "-c", "echo one; read x; seq 1 50000; exit 6"], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"one\n"
    wait_for(lambda: only(state, "log").read_bytes() == b"one\n", "the log")
    disk.freeze()
    output, errors = child.communicate(b"\n", timeout=30)  # while the disk is frozen
    assert child.returncode == 6 and len(output.splitlines()) == 50000
    assert re.fullmatch(rb"nixfleet-run: the log's disk does not answer: .*\n", errors)
    assert only(state, "log").stat().st_size == 4
    disk.thaw()
    assert "end=exit 6" in ended(state)
    assert only(state, "log").read_bytes() == b"one\n" + output


def test_a_disk_that_is_frozen_from_the_start_delays_nothing(disk):
    state = disk.path / "state"
    state.mkdir(mode=0o700)
    disk.freeze()
    done = run("sh", "-c", "echo hi; exit 6", state=state)
    assert done.returncode == 6 and done.stdout == b"hi\n" and list(state.iterdir()) == []
    disk.thaw()
    assert "end=exit 6" in ended(state)
    assert only(state, "log").read_bytes() == b"hi\n"


def test_signals_reach_the_command_while_the_disk_is_frozen(disk):
    state = disk.path / "state"
    child = subprocess.Popen([RUN, "sh", "-c", "trap 'echo caught; exit 3' TERM; echo up; while :; do sleep 0.05; done"], env=environment(state),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"up\n"
    only(state, "log")
    disk.freeze()
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 3 and output == b"caught\n"
    disk.thaw()
    ended(state)


def test_what_cannot_be_logged_is_streamed(disk):
    state = disk.path / "state"
    with FaultServer(token=TOKEN) as server:
        child = subprocess.Popen([RUN, "sh", "-c", "echo one; read x; echo two; read x; echo three"], env=streaming(state, server),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        server.wait(lambda: server.run() and server.text() == "one")
        disk.freeze()
        child.stdin.write(b"\n")
        child.stdin.flush()
        server.wait(lambda: server.text() == "one\ntwo")  # while the disk is frozen
        output, _ = child.communicate(b"\n", timeout=30)
        assert child.returncode == 0 and output == b"one\ntwo\nthree\n"
        assert server.text() == "one\ntwo\nthree" and server.run().exit == {"code": 0} and not server.violations
        disk.thaw()
        record = only(state, "run")
        wait_for(lambda: re.search(r"(?m)^ack=3 1 0", record.read_text()), "the acknowledgement")
        assert only(state, "log").read_bytes() == output


@pytest.mark.parametrize("frozen", ["from the start", "in the middle"])
def test_neither_a_frozen_disk_nor_a_silent_dashboard_keeps_the_wrapper_for_good(disk, frozen):
    state = disk.path / "state"
    state.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # nobody accepts connections here
        env = environment(state, NIXFLEET_URL=f"http://127.0.0.1:{listener.getsockname()[1]}", NIXFLEET_HOST="h", NIXFLEET_TOKEN=TOKEN,
                          NIXFLEET_FLUSH_TIMEOUT="2")
        if frozen == "from the start":
            disk.freeze()
        child = subprocess.Popen([RUN, "sh", "-c", "echo one; read x; echo two; exit 6"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        assert child.stdout.readline() == b"one\n"
        if frozen == "in the middle":
            only(state, "log")
            disk.freeze()
        output, _ = child.communicate(b"\n", timeout=60)
        assert child.returncode == 6 and output == b"two\n"
        disk.thaw()
        assert "end=exit 6" in ended(state)
        assert only(state, "log").read_bytes() == b"one\ntwo\n"


def test_a_wrapper_that_is_killed_while_the_disk_is_frozen_loses_nothing(disk):
    state = disk.path / "state"
    child = subprocess.Popen([RUN, "sh", "-c", "echo one; read x; seq 1 5000; read x"], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"one\n"
    wait_for(lambda: only(state, "log").read_bytes() == b"one\n", "the log")
    disk.freeze()
    child.stdin.write(b"\n")
    child.stdin.flush()
    output = b"".join(child.stdout.readline() for _ in range(5000))
    child.kill()
    child.wait(20)
    child.stdin.close()
    child.stdout.close()
    disk.thaw()
    wait_for(lambda: only(state, "log").read_bytes() == b"one\n" + output, "the log")


# ---- a log writer that is stopped: like a frozen disk, but possible on any machine ----
def test_a_log_writer_that_stands_still_delays_nothing(tmp_path):
    state = tmp_path / "state"
    child = subprocess.Popen([RUN, "sh", "-c", "echo one; read x; seq 1 50000; exit 6"], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"one\n"
    writer = log_writer(child.pid)
    os.kill(writer, signal.SIGSTOP)
    output, errors = child.communicate(b"\n", timeout=30)
    assert child.returncode == 6 and len(output.splitlines()) == 50000 and b"the log's disk does not answer" in errors
    os.kill(writer, signal.SIGCONT)
    assert "end=exit 6" in ended(state)
    assert only(state, "log").read_bytes() == b"one\n" + output
    wait_for(lambda: not alive(writer), "the writer's end")


def test_a_log_writer_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path):
    state = tmp_path / "state"
    child = subprocess.Popen([RUN, "sh", "-c", "for i in 1 2 3; do echo $i; read x; done"], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for number in (b"1\n", b"2\n"):
        assert child.stdout.readline() == number
        writer = log_writer(child.pid)
        os.kill(writer, signal.SIGKILL)
        wait_for(lambda: writer not in all_children(child.pid), "the pump to notice")
        child.stdin.write(b"\n")
        child.stdin.flush()
    output, errors = child.communicate(b"\n", timeout=30)
    assert child.returncode == 0 and output == b"3\n" and errors == b""
    assert "end=exit 0" in ended(state)
    assert only(state, "log").read_bytes() == b"1\n2\n3\n"


def test_captured_output_does_not_wait_for_a_log_writer(tmp_path):
    """$(...) waits until no process has the pipe open any more."""
    state = tmp_path / "state"
    script = f"""out=$({RUN} sh -c 'touch {tmp_path}/up; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo hi' 2>&1); echo "[$out]" """
    shell = subprocess.Popen(["sh", "-c", script], env=environment(state), stdout=subprocess.PIPE)
    wait_for((tmp_path / "up").exists, "the command")
    wrapper = wait_for(lambda: [pid for pid in descend(shell.pid) if any(name_of(c) == "nixfleet-log" for c in all_children(pid))], "the wrapper")[0]
    writer = log_writer(wrapper)
    os.kill(writer, signal.SIGSTOP)
    (tmp_path / "go").touch()
    assert shell.communicate(timeout=30)[0] == b"[hi]\n"
    os.kill(writer, signal.SIGCONT)
    ended(state)


def descend(pid):
    return [pid] + [found for child in all_children(pid) for found in descend(child)]


# ---- a directory that cannot be written to ----
@pytest.mark.parametrize("options", ["ro", "nr_inodes=2", "size=4k"])
def test_a_run_whose_directory_takes_nothing_is_streamed_all_the_same(tmpfs, options, tmp_path):
    place = tmpfs("mode=700", *options.split())
    if options == "size=4k":
        (place / "filler").write_bytes(b"x" * 4096)
    if options == "nr_inodes=2":
        (place / "filler").touch()
    with FaultServer(token=TOKEN) as server:
        env = streaming(place, server)
        done = run("sh", "-c", "seq 1 2000; exit 6", state=None, env=env)
        assert done.returncode == 6 and len(done.stdout.splitlines()) == 2000
        assert server.text() == done.stdout.decode().rstrip("\n") and server.run().exit == {"code": 6} and server.run().heartbeats
        assert done.stderr.count(b"\n") == 1 and done.stderr.startswith(b"nixfleet-run: no ")
        assert not server.violations


@pytest.mark.parametrize("where", ["/proc/none", "a file"])
def test_a_run_that_has_no_directory_is_streamed_all_the_same(tmp_path, where):
    state = tmp_path / "file" if where == "a file" else pathlib.Path(where)
    if where == "a file":
        state.write_text("")
    with FaultServer(token=TOKEN) as server:
        done = run("sh", "-c", "seq 1 2000; exit 6", state=None, env=streaming(state, server))
        assert done.returncode == 6 and server.text() == done.stdout.decode().rstrip("\n") and server.run().exit == {"code": 6}


def test_a_directory_that_is_removed_in_the_middle_is_told(tmp_path):
    state = tmp_path / "state"
    child = subprocess.Popen([RUN, "sh", "-c", "echo one; read x; echo two"], env=environment(state), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"one\n"
    wait_for(lambda: len(list(state.glob("*"))) == 3, "the files")
    shutil.rmtree(state)
    output, errors = child.communicate(b"\n", timeout=30)
    assert child.returncode == 0 and output == b"two\n"
    assert re.fullmatch(rb"nixfleet-run: .*\.run was removed while the command ran\n", errors)


# ---- which process uses the disk ----
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize("streamed", [False, True])
def test_the_process_that_holds_the_command_touches_nothing_in_the_state_directory(tmp_path, streamed):
    """For this reason, neither thousands of old runs nor a slow disk can delay the command."""
    state = tmp_path / "state"
    for _ in range(3):
        run("true", state=state)
    with FaultServer(token=TOKEN) as server:
        env = streaming(state, server) if streamed else environment(state)
        done = subprocess.run(["strace", "-o", tmp_path / "trace", "-s", "200", RUN, "sh", "-c", "seq 1 1000"], env={**env, **NO_LEAK_CHECK}, capture_output=True, timeout=60)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1000
    trace = (tmp_path / "trace").read_text()
    assert "execve(" in trace
    assert [line for line in trace.splitlines() if str(state) in line and not re.match(r"(write|writev|sendto|execve)\(", line)] == []
    assert not re.search(r"^f(data)?sync\(", trace, re.MULTILINE)


@needs_strace
def test_what_is_streamed_is_synced_and_what_is_not_is_not(tmp_path):
    for name in ("streamed", "local"):
        state = tmp_path / name
        with FaultServer(token=TOKEN) as server:
            env = streaming(state, server) if name == "streamed" else environment(state)
            subprocess.run(["strace", "-f", "-e", "trace=fdatasync", "-o", tmp_path / "trace", RUN, "echo", "hi"], env={**env, **NO_LEAK_CHECK}, check=True,
                           stdout=subprocess.PIPE, timeout=60)
        assert ("fdatasync(" in (tmp_path / "trace").read_text()) == (name == "streamed")


def test_no_log_writer_is_left():
    wait_for(lambda: not writers_left(), "the log writers' end")
