"""The commit that the fleet should be at, read from the URL where the configuration repository publishes it."""
import http.server
import json
import threading

import pytest
from lib import ws
from lib.dashserver import Dashboard, wait_for


class Publisher:
    """Answers every GET with `body`."""

    def __init__(self):
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.asked += 1
                self.send_response(publisher.status)
                self.end_headers()
                self.wfile.write(publisher.body)

            def log_message(self, *_):
                pass

        self.asked, self.status, self.body = 0, 200, b"{}"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/version.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def commit(self, letter, message):
        self.body = json.dumps({"gitCommit": letter * 40, "message": message}).encode()


@pytest.fixture
def publisher():
    publisher = Publisher()
    yield publisher
    publisher.server.shutdown()
    publisher.server.server_close()


def refresh(dashboard):
    return dashboard.call("POST", "/api/nixcfg/refresh", body={}, token=None, headers={"X-CSRF-Token": dashboard.csrf()})


def test_pages_learn_the_target_and_a_refresh_tells_it(tmp_path, publisher):
    publisher.commit("a", "Update everything é")
    with Dashboard(tmp_path / "data", NIXFLEET_NIXCFG_VERSION_URL=publisher.url) as dashboard:
        answer = wait_for(lambda: (a := refresh(dashboard).json)["hash"] and a)
        assert answer == {"hash": "a" * 7, "full_hash": "a" * 40, "message": "Update everything é"}
        with ws.WebSocket(dashboard.url) as page:
            assert page.until("hello")["target"]["full_hash"] == "a" * 40


def test_an_open_page_is_told_when_the_target_comes(tmp_path, publisher):
    publisher.status = 404
    with Dashboard(tmp_path / "data", NIXFLEET_NIXCFG_VERSION_URL=publisher.url) as dashboard:
        with ws.WebSocket(dashboard.url) as page:
            assert page.until("hello")["target"] is None
            wait_for(lambda: publisher.asked)
            publisher.status = 200
            publisher.commit("b", "next")
            wait_for(lambda: refresh(dashboard).json["hash"] == "b" * 7)  # the dashboard waits at least five seconds before it asks again
            assert page.until("target")["target"]["message"] == "next"


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", json.dumps({"hash": "<script>"}).encode(), b"{\"hash\":\"" + b"a" * 70000],
                         ids=["empty", "text", "list", "not a commit", "too long"])
def test_a_text_that_is_not_a_commit_is_not_a_target(tmp_path, publisher, body):
    publisher.body = body
    with Dashboard(tmp_path / "data", NIXFLEET_NIXCFG_VERSION_URL=publisher.url) as dashboard:
        assert refresh(dashboard).json == {"hash": None, "full_hash": None, "message": None}
        assert publisher.asked


def test_without_a_url_there_is_no_target(tmp_path):
    with Dashboard(tmp_path / "data") as dashboard:
        assert refresh(dashboard).json == {"hash": None, "full_hash": None, "message": None}
