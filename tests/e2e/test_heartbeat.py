"""Heartbeats: at the start, in between, at the end; independent of uploads; and the requests in their answers."""
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer, endless_body, silent, status
from helperrun import HelperRun
from wrapper import RUN, alive, children, environment, kill_quietly, state_of, wait_for


def statuses(server):
    return [heartbeat["status"] for _, heartbeat in server.run().heartbeats] if server.run() else []


def only(path, fault):
    return lambda handler, asked, body: path in asked and fault(handler, asked, body)


def test_a_run_beats_at_its_start_and_end_and_carries_what_it_knows(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=5) as run:
        server.wait(lambda: statuses(server))
        run.write("one\ntwo\n")
        run.finish()
        first, last = server.run().heartbeats[0][1], server.run().heartbeats[-1][1]
        assert first["status"] == "running" and len(first["load"]) == 3 and first["silent_for"] == 0
        assert last["status"] == "finished" and last["exit"] == {"code": 5} and last["bytes"] == 8
        assert last["seq"] > first["seq"] and (last["command"], last["name"]) == ("fake command", "test")


def test_beats_go_on_while_an_upload_hangs_and_the_command_is_silent(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_HEARTBEAT=5) as run:
        server.fault = only("logs", silent)
        run.write("one\n")
        server.wait_requests(1, "logs")
        server.wait(lambda: len(statuses(server)) >= 2, 15)
        assert server.run().heartbeats[1][1]["silent_for"] >= 4
        run.finish()
        assert statuses(server)[-1] == "finished"


def test_an_answer_that_asks_for_a_stop_reaches_the_pump(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_HEARTBEAT=5) as run:
        server.stop_runs.add(run.id)
        run.process.wait(15)  # this pump ends the run when a stop is requested
        assert statuses(server)[-1] == "finished"


def test_a_dashboard_without_heartbeats_is_said_once_and_gets_the_log(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = status(404, only="heartbeat")
        run.write("one\n")
        server.wait(lambda: server.text() == "one")
        assert run.finish().count("heartbeat") <= 1
        assert server.run().exit == {"code": 0}


def test_an_endless_answer_to_a_beat_ends_and_the_next_beat_comes(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = only("heartbeat", endless_body)
        server.wait_requests(2, "heartbeat")
        server.fault = None
        server.wait(lambda: statuses(server))
        run.finish()
        assert statuses(server)[-1] == "finished"


def test_a_stopped_heartbeat_delays_no_line(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        os.kill(run.heartbeat, signal.SIGSTOP)
        run.write("one\n")
        server.wait(lambda: server.text() == "one")
        run.process.stdin.close()
        server.wait(lambda: server.run().exit == {"code": 0})
        os.kill(run.heartbeat, signal.SIGCONT)
        run.process.wait(10)


def test_a_heartbeat_that_is_started_again_goes_on_counting(tmp_path):
    with FaultServer() as server:
        env = environment(tmp_path / "state", NIXFLEET_URL=server.url, NIXFLEET_TOKEN=server.token, NIXFLEET_HOST="testhost")
        with subprocess.Popen([RUN, "--", "sh", "-c", "read x"], env=env, stdin=subprocess.PIPE) as child:
            server.wait(lambda: statuses(server))
            heartbeats = lambda: [pid for pid in children(child.pid) if "heartbeat" in pathlib.Path(f"/proc/{pid}/comm").read_text()]
            os.kill(heartbeats()[0], signal.SIGKILL)
            server.wait(lambda: len(statuses(server)) == 2)
            child.stdin.close()
        counted = [heartbeat["seq"] for _, heartbeat in server.run().heartbeats]
        assert statuses(server)[-1] == "finished" and counted == sorted(set(counted))


def test_stopped_helpers_hear_of_a_killed_wrapper_and_go(tmp_path):
    with FaultServer() as server:
        env = environment(tmp_path / "state", NIXFLEET_URL=server.url, NIXFLEET_TOKEN=server.token, NIXFLEET_HOST="testhost")
        with subprocess.Popen([RUN, "--", "sh", "-c", "read x"], env=env, stdin=subprocess.PIPE) as child:
            server.wait(lambda: statuses(server))
            name = lambda pid: pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            named = lambda: [pid for pid in children(child.pid) if name(pid) in ("shipper", "heartbeat")]
            helpers = wait_for(lambda: len(named()) == 2 and named(), "both helpers")
            for pid in helpers:
                os.kill(pid, signal.SIGSTOP)
            try:
                wait_for(lambda: all(state_of(pid) == "T" for pid in helpers))
                child.kill()
                server.wait(lambda: statuses(server)[-1] == "lost")
                wait_for(lambda: not any(alive(pid) for pid in helpers))
            finally:
                for pid in filter(alive, helpers):
                    kill_quietly(pid)


def test_a_killed_shipper_delays_no_beat(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.wait(lambda: statuses(server))
        os.kill(run.shipper, signal.SIGKILL)
        run.finish()
        assert statuses(server)[-1] == "finished"
