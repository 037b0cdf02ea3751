"""The whole of nixfleet-run, with a real dashboard or one that misbehaves: TLS trust, the choice of the token, a full disk, a stop."""
import os
import pathlib
import resource
import signal
import subprocess
import sys

import pytest
from lib.dashserver import TOKEN, Dashboard

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
import faultserver
from faultserver import FaultServer
from wrapper import RUN, alive, children, environment, run, wait_for

HOST = "testhost"


def streaming(state, url, token="a-token-for-tests", **more):
    return environment(state, NIXFLEET_URL=url, NIXFLEET_TOKEN=token, NIXFLEET_HOST=HOST, NIXFLEET_HEARTBEAT="5", NIXFLEET_FLUSH_TIMEOUT="20",
                       NIXFLEET_TOKEN_CACHE=str(pathlib.Path(state).parent / "no-cache"), **more)


def flush(env):
    return subprocess.run([RUN, "--flush"], env=env, capture_output=True, text=True, timeout=60, check=False)


def pin(certificate):
    """The pin of a certificate's public key, in curl's format."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=der, check=True, capture_output=True).stdout
    return "sha256//" + subprocess.run(["openssl", "base64", "-A"], input=digest, check=True, capture_output=True).stdout.decode()


@pytest.fixture
def certificate(tmp_path):
    return faultserver.make_certificate(tmp_path)


def test_the_pinned_key_is_the_only_one_that_gets_the_token(tmp_path, certificate):
    (tmp_path / "other").mkdir()
    other = faultserver.make_certificate(tmp_path / "other")
    state = tmp_path / "state"
    with FaultServer(tls=certificate) as server:
        wrong = streaming(state, server.url, NIXFLEET_CA_FILE=certificate[0], NIXFLEET_PINNED_PUBKEY=pin(other[0]))
        wrong["NIXFLEET_FLUSH_TIMEOUT"] = "2"
        done = run("sh", "-c", "echo pinned; exit 3", state=state, env=wrong, options=["-v"])
        assert (done.returncode, done.stdout) == (3, b"pinned\n") and b"certificate" in done.stderr.lower() or b"key" in done.stderr.lower()
        assert server.requests == [] and flush(wrong).returncode != 0 and server.requests == []
        right = dict(wrong, NIXFLEET_PINNED_PUBKEY=pin(certificate[0]))
        assert flush(right).returncode == 0
        assert server.text() == "pinned" and server.run().exit == {"code": 3}


@pytest.mark.parametrize("good", ["file", "variable"])
def test_a_token_that_is_refused_gives_way_to_the_other_one(tmp_path, good):
    token_file = tmp_path / "token"
    token_file.write_text("NIXFLEET_TOKEN=" + ("a-token-for-tests" if good == "file" else "an-old-one") + "\n")
    with FaultServer() as server:
        env = streaming(tmp_path / "state", server.url, token="a-token-for-tests" if good == "variable" else "an-old-one",
                        NIXFLEET_TOKEN_FILE=str(token_file))
        done = run("sh", "-c", "echo hi; exit 2", state=tmp_path / "state", env=env)
        assert (done.returncode, done.stdout, done.stderr) == (2, b"hi\n", b"")
        assert server.text() == "hi" and server.run().exit == {"code": 2}
        tried = [request[3] for request in server.requests if "logs" in request[1]]
        assert tried[0] == ("Bearer a-token-for-tests" if good == "file" else "Bearer an-old-one") and tried[-1] == "Bearer a-token-for-tests"


def test_with_both_tokens_refused_the_run_stays_undelivered_and_says_so_once(tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text("one\n")
    with FaultServer() as server:
        env = streaming(tmp_path / "state", server.url, token="two", NIXFLEET_TOKEN_FILE=str(token_file))
        env["NIXFLEET_FLUSH_TIMEOUT"] = "2"
        done = run("sh", "-c", "echo hi", state=tmp_path / "state", env=env)
        assert (done.returncode, done.stdout) == (0, b"hi\n") and done.stderr.count(b"token") == 1
        assert server.run() is None
        assert flush(dict(env, NIXFLEET_TOKEN="a-token-for-tests")).returncode == 0 and server.text() == "hi"


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_log_disk_stops_neither_the_command_nor_the_stream(small_disk, tmp_path):
    """Lines that do not fit into the log still reach the dashboard, from memory."""
    state = small_disk / "state"
    gate = tmp_path / "gate"
    script = (f"i=0; while [ $i -lt 3000 ]; do echo \"line $i {'x' * 480}\"; i=$((i+1)); done; echo all written; "
              f"while [ ! -e {gate} ]; do sleep 0.05; done; echo after; exit 5")
    with Dashboard(tmp_path / "data") as dashboard:
        env = streaming(state, dashboard.url, token=TOKEN)
        child = subprocess.Popen([RUN, "--", "sh", "-c", script], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output = b""
        while b"all written" not in output:
            output += os.read(child.stdout.fileno(), 65536)
        newest = lambda: next(iter(dashboard.get(f"/api/hosts/{HOST}/runs").json["runs"]), None)
        text = lambda: dashboard.get(f"/api/hosts/{HOST}/runs/{newest()['id']}/log").body.decode() if newest() else ""
        wait_for(lambda: "all written" in text(), "the line behind the full disk")
        gate.touch()
        rest, errors = child.communicate(timeout=60)
        assert child.returncode == 5 and (output + rest).endswith(b"after\n") and (output + rest).count(b"\n") == 3002
        assert errors.count(b"\n") == 1 and b"No space left" in errors
        ended = wait_for(lambda: (r := newest())["status"] == "finished" and r, "the end")
        assert ended["exit"] == {"code": 5}
        wait_for(lambda: text().rstrip().endswith("after"), "the last line, which a heartbeat's word of the end may overtake")
        numbers = [line.split()[1] for line in text().splitlines() if line.startswith("line ")]
        assert numbers == sorted(set(numbers), key=int) and len(numbers) > 1000  # in order, none twice; some may be omitted because memory was full
        if len(numbers) < 3000:
            assert "omitted" in text()


def test_a_stop_that_is_ignored_becomes_a_kill_later(tmp_path):
    with FaultServer() as server:
        env = streaming(tmp_path / "state", server.url)
        child = subprocess.Popen([RUN, "--", "sh", "-c", f"trap 'echo terminated; sleep 3; echo still here' TERM; echo $$ >{tmp_path}/pid; echo on; while :; do sleep 0.2; done"],
                                 env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        run_id = wait_for(lambda: next((key[1] for key in server.runs), None), "the first word")
        wait_for(lambda: server.text() == "on", "the first line")
        server.stop_runs.add(run_id)
        wait_for(lambda: "terminated" in server.text(), "the polite way")
        output, errors = child.communicate(timeout=90)
        assert child.returncode == -signal.SIGKILL and b"terminated\nstill here" in output  # not killed at once
        assert not alive(int((tmp_path / "pid").read_text()))
        assert server.run().exit == {"signal": "KILL"} and b"nixfleet-run" not in errors


@pytest.mark.parametrize("name", ["my_host", "1host", "h" * 63, "UPPER-case", "a-"])
def test_a_host_name_that_is_legal_on_nixos_is_taken(name, tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        env = environment(tmp_path / "state", NIXFLEET_URL=dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=name)
        done = subprocess.run([RUN, "--", "echo", "hi"], env=env, capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        run = dashboard.get(f"/api/hosts/{name.lower()}/runs").json["runs"][0]
        assert dashboard.get(f"/api/hosts/{name.lower()}/runs/{run['id']}/log").body == b"hi\n"


def test_a_helper_holds_no_directory_of_the_caller_and_leaves_no_core(tmp_path):
    with FaultServer() as server:
        env = environment(tmp_path / "state", NIXFLEET_URL=server.url, NIXFLEET_TOKEN=server.token, NIXFLEET_HOST="testhost")
        unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        with subprocess.Popen([RUN, "--", "sh", "-c", "read x"], env=env, stdin=subprocess.PIPE, cwd=tmp_path, preexec_fn=unlimited) as run:
            server.wait(lambda: server.run() and server.run().batches)
            named = lambda: [pid for pid in children(run.pid) if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in ("shipper", "heartbeat")]
            helpers = wait_for(lambda: len(named()) == 2 and named(), "both helpers")
            assert all(os.readlink(f"/proc/{pid}/cwd") == "/" for pid in helpers)
            for pid in helpers:
                os.kill(pid, signal.SIGSEGV)
            wait_for(lambda: not any(alive(pid) for pid in helpers))
            run.stdin.close()
        assert not list(tmp_path.glob("core*"))
