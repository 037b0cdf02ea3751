"""Whatever server answers at the URL: command, output and exit status do not change, no redirect is followed, no proxy gets a
token over http, the wrapper ends in time, and a working dashboard has everything afterwards. Each row is one kind of answer."""
import concurrent.futures
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
    return subprocess.run([RUN, "--", *command], env=env, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)


def raw(*pieces, hold=False):
    """Answers with these bytes, then closes the connection or keeps it open."""
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


def endless(piece, start=HEAD):
    def fault(handler, path, body):
        try:
            handler.wfile.write(start)
            while True:
                handler.wfile.write(piece)
        except OSError:
            handler.close_connection = True
        return True
    return fault


def body(text, *headers):
    text = text if isinstance(text, bytes) else text.encode()
    return raw(HEAD, *headers, b"Content-Length: %d\r\n\r\n" % len(text), text)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunks(data):
    return raw(CHUNKED + data)


def page(code, text="<html><h1>Sorry</h1></html>", *headers):
    """The answer of a proxy or of a hotel's captive portal, with a status."""
    return raw(b"HTTP/1.1 %d Some Words\r\nContent-Type: text/html\r\n" % code, *headers, b"Content-Length: %d\r\n\r\n" % len(text), text.encode())


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
    "always the beginning": body('{"next":0}'), "200 with a page": page(200), "206": page(206, '{"next":2}', b"Content-Range: bytes 0-9/99\r\n"),
    "304": raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "205": page(205), "226": page(226, '{"next":2}'),
    "401 with other ways": page(401, "no", b"WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\nWWW-Authenticate: Basic realm=x\r\n"),
    "402": page(402), "403 of a firewall": page(403), "404 of a proxy": page(404), "406": page(406), "407": page(407, "no", b"Proxy-Authenticate: Basic\r\n"),
    "408": page(408), "409 with a page": page(409), "410 of a proxy": page(410), "411": page(411), "412": page(412), "414": page(414), "421": page(421),
    "422": page(422), "425": page(425), "426": page(426, "no", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"), "429": page(429), "431": page(431),
    "451": page(451), "499": page(499), "501": page(501), "502": page(502), "504": page(504), "507": page(507), "511": page(511),
    "520": page(520), "599": page(599),
    **{f"503 until {when}": page(503, "later", f"Retry-After: {when}\r\n".encode())
       for when in ("-1", "0", "soon", "1e9", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT")},
    "1.0": raw(b"HTTP/1.0 200 OK\r\n\r\n{\"next\":0}"), "2 in words": raw(b"HTTP/2 200\r\n\r\n{\"next\":0}"), "ICY": raw(b"ICY 200 OK\r\n\r\n"),
    "h2 frames": raw(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64" + b"\0" * 40, hold=True), "no status": raw(b"HTTP/1.1\r\n\r\n"),
    "LF only": raw(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"), "CR only": raw(b"HTTP/1.1 200 OK\rContent-Length: 2\r\r{}"),
    "NUL in a header": raw(HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}"), "no colon": raw(HEAD + b"what is this\r\nContent-Length: 2\r\n\r\n{}"),
    "folded length": raw(HEAD + b"Content-Length:\r\n 2\r\n\r\n{}"), "length of words": raw(HEAD + b"Content-Length: two\r\n\r\n{}"),
    "length in hex": raw(HEAD + b"Content-Length: 0x2\r\n\r\n{}"), "list of lengths": raw(HEAD + b"Content-Length: 2, 20\r\n\r\n{}"),
    "length and chunks": raw(HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "length beyond 64 bits": raw(HEAD + b"Content-Length: 18446744073709551618\r\n\r\n{}"), "empty length": raw(HEAD + b"Content-Length:\r\n\r\n{}"),
    "two answers": raw(HEAD + b"Content-Length: 2\r\n\r\n{}" + HEAD + b'Content-Length: 10\r\n\r\n{"next":99}', hold=True),
    "endless chunk size": endless(b"0" * 1000, CHUNKED), "endless chunk extension": endless(b"x" * 1000, CHUNKED + b"2;"),
    "endless trailers": endless(b"X-Trailer: x\r\n", CHUNKED + b"0\r\n"), "empty chunks": endless(b"0000001\r\n \r\n", CHUNKED),
    "chunks twice": raw(HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "unknown coding": raw(HEAD + b"Transfer-Encoding: what\r\n\r\n{}"), "bomb on the way": raw(HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BOMB),
    "100 MB": endless(b" " * 65536, HEAD + b"Content-Length: 100000000\r\n\r\n"), "endless page": endless(b"<p>" * 1000, HEAD + b"\r\n"),
    "many cookies": endless(b"Set-Cookie: a=b; Path=/\r\n"), "another service": raw(HEAD + b'Alt-Svc: h3=":9"\r\nRefresh: 0; url=//x\r\n\r\n{}'),
    "continue many times": raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 20000), "early hints": raw(b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" * 3, hold=True),
    "SMTP": raw(b"220 mail ESMTP\r\n", hold=True), "a line that does not end": raw(b"HTTP/1.1 200 " + b"x" * 200000), "0xff": raw(b"\xff" * 5000),
    "mark": body(b'\xef\xbb\xbf{"next":2}'), "next twice": body('{"next":2,"next":0}'), "next missing": body("{}"), "next null": body('{"next":null}'),
    "next true": body('{"next":true}'), "next list": body('{"next":[2]}'), "next with a plus": body('{"next":+2}'), "next in hex": body('{"next":0x2}'),
    "next then more": body('{"next":2} {"next":2}'), "comment": body('{"next":2/* x */}'), "NaN": body('{"next":NaN}'), "UTF-16": body('{"next":2}'.encode("utf-16")),
    "error object": status(400, body={"error": {"a": ["b"]}}), "long error": status(400, body={"error": "e" * 60000}),
    "stop that is no truth": body('{"next":0,"stop":"true"}'), "stop that is a number": body('{"next":0,"stop":1}'),
    "stop of a failure": status(500, body={"stop": True}), "stop of a refusal": status(400, body={"stop": True}),
    "wait negative": body('{"next":0,"wait_ms":-5}'), "wait text": body('{"next":0,"wait_ms":"9"}'), "wait float": body('{"next":0,"wait_ms":1e9}'),
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


REDIRECTS = (300, 301, 302, 303, 305, 307, 308)
TARGETS = ("file:///etc/passwd", "gopher://127.0.0.1:1/x", "//localhost:9", "", "/api/hosts/testhost/logs", "//user:word@localhost:9/",
           "ftp://127.0.0.1/", "unix:/run/x.sock", "https://127.0.0.1:9/", "\\\\localhost:9\\x", "javascript:1", "../../x", "http://[::1]:9/")


@pytest.mark.parametrize("code, target", [*((code, "other port") for code in REDIRECTS), *((code, "other name") for code in REDIRECTS[1:]),
                                          *((code, target) for code, target in zip((301, 302, 307, 308) * 4, TARGETS)), (304, "other port"),
                                          (306, "other port")])
def test_a_redirect_is_never_followed_and_said_once(code, target, tmp_path):
    with FaultServer() as server, FaultServer() as other:
        names = {"other port": other.url, "other name": other.url.replace("127.0.0.1", "localhost")}
        location = names.get(target, target)
        server.fault = lambda handler, path, _: handler.answer(code, b"", [("Location", location)]) or True
        done = wrapped(tmp_path, server.url, "echo", "hi")
        assert done.stdout == "hi\n" and done.stderr.count("redirects") == 1 and not other.requests
        end_behind(tmp_path)


def broken_off(count, applied, left):
    """The first answers are cut after this number of bytes; the server has or has not applied the request."""
    def fault(handler, path, request):
        if not left:
            return False
        left.pop()
        answer = json.dumps(handler.server.owner.take(path, request, handler.headers)[1]).encode() if applied else b'{"next":0}'
        handler.wfile.write((HEAD + b"Content-Length: %d\r\n\r\n" % (len(answer) + 100) + answer)[:count])
        handler.close_connection = True
        return True
    return fault


def survives(count, applied, state):
    with FaultServer() as server:
        server.fault = broken_off(count, applied, [1, 2, 3, 4])
        done = wrapped(state, server.url, "sh", "-c", "seq 20; sleep 1; seq 21 40; exit 6")
        end_behind(state)
        delivered = flush(state, server.url)
        whole = server.text() == "\n".join(map(str, range(1, 41))) and server.run().exit == {"code": 6}
        return (done.returncode, delivered.returncode, whole, server.violations, server.faults) == (6, 0, True, [], 4)


# Six runs at a time, because each run mostly waits.
@pytest.mark.parametrize("applied", [True, False], ids=["applied", "dropped"])
@pytest.mark.parametrize("counts", [range(0, 18, 3), range(18, 36, 3), range(36, 54, 3), [1, 2, 16, 17, 55, 60]], ids=["line", "head", "body", "edges"])
def test_an_answer_that_breaks_off_costs_and_doubles_no_line(counts, applied, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(len(counts)) as pool:
        held = list(pool.map(lambda count: survives(count, applied, tmp_path / str(count)), counts))
    assert held == [True] * len(counts)


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
        assert server.faults == 1 and server.run().heartbeats[-1][1]["status"] == "finished"
