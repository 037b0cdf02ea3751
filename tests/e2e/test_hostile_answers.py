"""Whatever answers at the URL: the command, its output and its exit status are its own, no redirect is followed, no proxy sees a
token over http, the wrapper ends in time, and a sane dashboard has everything afterwards. Every row is one kind of answer."""
import json
import pathlib
import socket
import subprocess
import sys
import threading
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
import faultserver
from faultserver import FaultServer, status
from helperrun import TOKEN, end_behind, environment, flush
from wrapper import RUN

HEAD = b"HTTP/1.1 200 OK\r\n"


def wrapped(state, url, *command, **extra):
    env = environment(state, url, **{"NIXFLEET_FLUSH_TIMEOUT": 60, **extra})
    return subprocess.run([RUN, "--", *command], env=env, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def raw(*pieces, hold=False):
    """Answers with these bytes, then closes, or holds the connection."""
    def fault(handler, path, body):
        for piece in pieces:
            handler.wfile.write(piece)
        handler.wfile.flush()
        if hold:
            handler.connection.settimeout(40)
            handler.connection.recv(1)
        handler.close_connection = True
        return True
    return fault


def endless(piece):
    def fault(handler, path, body):
        try:
            handler.wfile.write(HEAD)
            while True:
                handler.wfile.write(piece)
        except OSError:
            handler.close_connection = True
        return True
    return fault


def body(text, *headers):
    text = text if isinstance(text, bytes) else text.encode()
    return raw(HEAD, *headers, b"Content-Length: %d\r\n\r\n" % len(text), text)


def chunks(data):
    return raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + data)


GZIP = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB = GZIP.compress(b" " * 20_000_000) + GZIP.flush()

ANSWERS = {
    "endless headers": endless(b"X-Header: a value\r\n"), "one endless header": endless(b"x" * 1000),
    "endless body": faultserver.endless_body, "huge length": raw(HEAD + b"Content-Length: 99999999999999\r\n\r\n{"),
    "bad length": raw(HEAD + b"Content-Length: -5\r\n\r\n{}"), "two lengths": raw(HEAD + b"Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}"),
    "short body": raw(HEAD + b"Content-Length: 20\r\n\r\n{}"), "gzip bomb": body(BOMB, b"Content-Encoding: gzip\r\n"),
    "chunk that is no number": chunks(b"zz\r\n{}\r\n"), "chunk too large": chunks(b"ffffffffffffffffff\r\n{}"),
    "chunk without an end": chunks(b"2\r\n{}\r\n"), "chunk cut": chunks(b"20\r\n{}"), "negative chunk": chunks(b"-2\r\n{}\r\n0\r\n\r\n"),
    "continue for ever": endless(b"\r\nHTTP/1.1 100 Continue\r\n"), "switching protocols": raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
    "0.9": raw(b"{\"next\":1}"), "version 3.7": raw(b"HTTP/3.7 200 OK\r\n\r\n"), "status 000": raw(b"HTTP/1.1 000 x\r\n\r\n"),
    "status 99": raw(b"HTTP/1.1 99 x\r\n\r\n"), "status 999": raw(b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n"),
    "ssh": raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "NULs": raw(b"\0" * 1000), "TLS": raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "nothing": raw(), "silence": raw(hold=True), "half a head": raw(HEAD, hold=True), "a byte a second": faultserver.slow,
    "no JSON": body("hello"), "empty": body(""), "array": body("[1]"), "next negative": body('{"next":-1}'), "next huge": body('{"next":9e99}'),
    "next too large": body('{"next":99999999999999999999999}'), "next float": body('{"next":1.5}'),
    "next text": body('{"next":"1"}'), "deep": body("[" * 60000), "deep member": body('{"next":' + "[" * 60000), "null": body("null"),
    "controls in the error": status(400, body={"error": "\x1b]0;owned\x07\x1b[31m\r\nfake line"}), "no latin": body(b'{"next":1,"x":"\xff"}'),
    "always 409": status(409, body={"next": 0}), "always 413": status(413), "always 400": status(400), "418": status(418), "500": status(500),
    "wait for ever": status(200, body={"next": 0, "wait_ms": 10**15}), "204": status(204, body=b""),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_no_answer_harms_the_command_or_loses_a_line(name, tmp_path):
    with FaultServer() as server:
        server.fault = ANSWERS[name]
        done = wrapped(tmp_path, server.url, "sh", "-c", "echo one; echo two >&2; exit 5")
        assert done.returncode == 5 and done.stdout == "one\n" and done.stderr.startswith("two\n")
        assert all(line.startswith("nixfleet-run: ") for line in done.stderr.splitlines()[1:]) and done.stderr.count("\n") <= 4
        assert "\x1b" not in done.stderr and "\x07" not in done.stderr
        end_behind(tmp_path)
        server.fault = None
        delivered = flush(tmp_path, server.url)
        assert delivered.returncode == 0, delivered.stderr
        assert server.text() == "one\ntwo" and server.run().exit == {"code": 5} and not server.violations


@pytest.mark.parametrize("code, target", [*((code, "other port") for code in (300, 301, 302, 303, 305, 307, 308)), (301, "file:///etc/passwd"),
                                          (302, "gopher://127.0.0.1:1/x"), (307, "//localhost:9"), (308, "")])
def test_a_redirect_is_never_followed_and_said_once(code, target, tmp_path):
    with FaultServer() as server, FaultServer() as other:
        location = other.url if target == "other port" else target
        server.fault = lambda handler, path, _: handler.answer(code, b"", [("Location", location)]) or True
        done = wrapped(tmp_path, server.url, "echo", "hi")
        assert done.stdout == "hi\n" and done.stderr.count("redirects") == 1 and not other.requests
        end_behind(tmp_path)


# How many bytes of each of the first answers arrive before the connection ends; the server has applied the request, or not.
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("count", [0, 3, 9, 17, 30, 60])
def test_an_answer_that_breaks_off_costs_and_doubles_no_line(count, applied, tmp_path):
    left = [4]

    def fault(handler, path, request):
        if left[0] == 0:
            return False
        left[0] -= 1
        answer = json.dumps(handler.server.owner.take(path, request, handler.headers)[1]).encode() if applied else b'{"next":0}'
        handler.wfile.write((HEAD + b"Content-Length: %d\r\n\r\n" % (len(answer) + 100) + answer)[:count])
        handler.close_connection = True
        return True

    with FaultServer() as server:
        server.fault = fault
        done = wrapped(tmp_path, server.url, "sh", "-c", "seq 20; sleep 1; seq 21 40; exit 6")
        assert done.returncode == 6
        end_behind(tmp_path)
        assert flush(tmp_path, server.url).returncode == 0
        assert server.text() == "\n".join(map(str, range(1, 41))) and server.run().exit == {"code": 6} and not server.violations


def test_no_proxy_sees_a_request_over_http(tmp_path):
    with FaultServer() as server, FaultServer() as proxy:
        names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"]
        done = wrapped(tmp_path, server.url, "echo", "hi", **{name: proxy.url for name in names})
        assert done.stderr == "" and server.text() == "hi" and not proxy.requests


def test_an_https_proxy_is_asked_to_connect_and_gets_no_token(tmp_path):
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def proxy():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            seen.append(client.recv(65536))
            client.sendall(b"HTTP/1.1 403 no\r\n\r\n")
            client.close()

    threading.Thread(target=proxy, daemon=True).start()
    done = wrapped(tmp_path, "https://dashboard.invalid", "echo", "hi", https_proxy=f"http://127.0.0.1:{listener.getsockname()[1]}")
    end_behind(tmp_path)
    listener.close()
    assert seen and all(request.startswith(b"CONNECT dashboard.invalid:443 ") and TOKEN.encode() not in request for request in seen)
    assert "403" in done.stderr


@pytest.mark.parametrize("url", ["http://example.invalid", "http://127.0.0.1.example.invalid", "http://2130706433.example", "http://0x7f.1.example:1",
                                 "http://[::2]:1", "http://192.0.2.1", "http://localhost.example.invalid:8", "http://127.0.0.256"])
def test_plain_http_leaves_this_machine_by_no_form_of_a_name(url, tmp_path):
    done = wrapped(tmp_path, url, "echo", "hi")
    assert done.stdout == "hi\n" and "plain http" in done.stderr or "URL" in done.stderr


def test_a_heartbeat_that_is_answered_404_once_does_not_end_the_heartbeats(tmp_path):
    with FaultServer() as server:
        server.fault = faultserver.times(1, status(404, only="heartbeat"))
        wrapped(tmp_path, server.url, "sh", "-c", "echo a; sleep 1")
        assert server.faults == 1 and server.run().beats[-1][1]["status"] == "finished"
