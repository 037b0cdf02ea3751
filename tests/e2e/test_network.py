"""Whatever the network or the dashboard does: when both work again, every line arrives once and in order, at the latest with a
flush, and the helpers end within the flush timeout."""
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
import faultserver
from faultserver import FaultServer, status
from helperrun import HelperRun, end_behind, flush

LINES = [f"line {n}" for n in range(2000)]
TEXT = "\n".join(LINES)

PASSING = {
    "409": status(409, body={"next": 0}),
    "413 for all but small bodies": lambda h, p, b: len(b) > 3000 and status(413)(h, p, b),
    "429": status(429), "500": status(500), "503": status(503),
    "503 with Retry-After": faultserver.times(2, status(503, retry_after=1)),
    "redirect": faultserver.redirect("http://127.0.0.1:9"),
    "garbage": faultserver.garbage, "broken JSON": faultserver.wrong_json, "endless body": faultserver.endless_body,
    "reset": faultserver.reset, "lost answers": faultserver.lost_answer,
}
LATER = {"401": status(401), "403": status(403), "404": status(404), "405": status(405)}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_costs_no_line(name, tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        server.fault = PASSING[name]
        run.write(TEXT + "\n")
        server.wait(lambda: server.faults > 1 or server.run() and server.run().lines)
        server.fault = None
        run.write("last\n")
        run.finish()
        assert server.text() == TEXT + "\nlast"
        assert server.run().exit == {"code": 0}
        assert not server.violations


@pytest.mark.parametrize("name", LATER)
def test_what_was_not_wanted_is_said_once_and_delivered_by_a_flush(name, tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=3) as run:
        server.fault = LATER[name]
        run.write(TEXT + "\n")
        server.wait(lambda: server.faults > 1)
        said = run.finish()
        assert len([line for line in said.splitlines() if "URL" in line or "token" in line]) == 1
        server.fault = None
        assert flush(tmp_path, server.url).returncode == 0
        assert server.text() == TEXT
        assert server.run().exit == {"code": 3}


@pytest.mark.parametrize("pause", [0.0, 0.2, 0.4, 0.6, 0.8])
def test_undelivered_output_is_reported_whenever_the_end_comes(pause, tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        server.fault = status(500)
        run.write("one\n")
        server.wait_requests(2, "logs")
        time.sleep(pause)
        assert run.finish().count("--flush") == 1


def test_a_dashboard_that_always_goes_back_is_not_asked_as_fast_as_it_answers(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=2) as run:
        server.fault = status(200, body={"next": 0}, only="logs")
        run.write(TEXT + "\n")
        server.wait_requests(1, "logs")
        run.finish()
        asked = len(server.requests)
        assert asked < 30
        assert flush(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1).returncode == 1  # the flush ends in time
        assert len(server.requests) < asked + 30
        server.fault = None
        assert flush(tmp_path, server.url).returncode == 0
        assert server.text() == TEXT


def test_a_dashboard_that_comes_later_gets_every_line(tmp_path):
    server = FaultServer()
    server.stop()
    with HelperRun(tmp_path, server.url) as run:
        run.write(TEXT + "\n")
        server.start()
        server.wait(lambda: server.run() and len(server.run().lines) == len(LINES))
        run.finish()
        assert server.text() == TEXT and server.run().exit == {"code": 0}
    server.stop()


def test_a_name_server_that_never_answers_delays_no_end(tmp_path):
    shim = tmp_path / "slowdns.so"
    source = tmp_path / "slowdns.c"
    source.write_text("#include <unistd.h>\nint getaddrinfo(void){for(;;)sleep(60);}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-fno-builtin", "-o", shim, source], check=True)
    with HelperRun(tmp_path, "https://dashboard.invalid", NIXFLEET_FLUSH_TIMEOUT=60, LD_PRELOAD=shim, ASAN_OPTIONS="verify_asan_link_order=0") as run:
        run.write(TEXT)
        assert "no answer so far" in run.finish(timeout=30)
    end_behind(tmp_path)


def test_a_certificate_that_is_not_trusted_gets_no_token(tmp_path):
    pair = faultserver.make_certificate(tmp_path)
    with FaultServer(tls=pair) as server:
        with HelperRun(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=1) as run:
            run.write(TEXT)
            assert "not trusted" in run.finish()
        assert not server.requests
        with HelperRun(tmp_path, server.url, NIXFLEET_CA_FILE=pair[0]) as run:
            run.write("now it is\n")
            run.finish()
        assert server.text() == "now it is"


def test_one_connection_carries_all_batches(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url) as run:
        for n in range(3):
            run.write(f"{n}\n")
            server.wait(lambda: server.run() and len(server.run().lines) == n + 1)
        run.finish()
        assert len(server.run().batches) >= 3
        assert server.connections == 2  # one of the shipper, one of the heartbeat
        gaps = [b[0] - a[0] for a, b in zip(server.run().batches, server.run().batches[1:-1])]
        assert all(gap > 0.9 for gap in gaps), "more than one batch a second"
