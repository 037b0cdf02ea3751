"""A dashboard that a test scripts. The page files are the real ones, and answers and messages follow docs/protocol.md, but the
test controls time, silence and broken connections. Uses only the standard library."""

import base64
import calendar
import hashlib
import json
import mimetypes
import re
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

WEB = Path(__file__).resolve().parents[2] / "dashboard" / "web"
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SGR = re.compile(r"\x1b\[[0-9;:]*m")


def iso(seconds_ago=0):
    t = time.time() - seconds_ago
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1000):03d}Z"


class Run:
    """A run and its lines. `lines` may be any sequence, so a huge log need not be in memory."""

    def __init__(self, host, run_id, lines=(), **fields):
        self.lines = lines if not isinstance(lines, tuple) else list(lines)
        self.gaps = []
        self.base_ms = int(time.time() * 1000) - 600000
        self.fields = {
            "id": run_id, "host": host, "command": "nixos-rebuild switch", "argv": None, "user": "root",
            "started": iso(95), "ended": None, "status": "busy", "phase": None, "last_phase": None, "progress": {},
            "outcome": None, "exit": None, "error": None, "error_line": None, "failed": [], "failed_units": [],
            "bytes": 12345, "first": 0, "silent_for": 0, "last_seen": iso(), "interval": 10, "lost": False, "stop_requested": False,
        }
        self.fields.update(fields)

    def object(self):
        return {**self.fields, "lines": len(self.lines)}

    def window(self, start, limit):
        for first, n in self.gaps:
            if first <= start < first + n:
                start = first + n
        end = min(len(self.lines), start + limit)
        for first, _ in self.gaps:
            if start < first < end:
                end = first
        lines = [self.lines[i] for i in range(start, end)]
        return {
            "run": self.fields["id"], "from": start, "first": self.fields["first"], "total": len(self.lines),
            "lines": lines, "times": [[len(lines), self.base_ms + start * 10]] if lines else [], "gaps": self.gaps,
        }

    def search(self, q, kind, start, limit):
        wanted = {"error": re.compile(r"\berror\b|\bfailed\b", re.I), "warning": re.compile(r"\bwarning\b", re.I)}.get(kind)
        found = []
        for i in range(start, len(self.lines)):
            text = SGR.sub("", self.lines[i])
            if wanted.search(text) if wanted else q.lower() in text.lower():
                if len(found) == limit:
                    return {"matches": found, "more": True, "next": i}
                found.append({"line": i, "text": text[:200]})
        return {"matches": found, "more": False}


class Socket:
    """The server's end of one WebSocket."""

    def __init__(self, handler):
        self.handler = handler
        self.lock = threading.Lock()
        self.tails = set()
        self.open = True

    def send(self, message):
        data = json.dumps(message).encode()
        head = bytes([0x81])
        if len(data) < 126:
            head += bytes([len(data)])
        elif len(data) < 65536:
            head += bytes([126]) + struct.pack(">H", len(data))
        else:
            head += bytes([127]) + struct.pack(">Q", len(data))
        with self.lock:
            try:
                self.handler.wfile.write(head + data)
            except OSError:
                self.open = False

    def receive(self):
        """The next text message, or None when the connection ends. Other frames, such as pings, are skipped."""
        read = self.handler.rfile.read
        while True:
            head = read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return None
            n = head[1] & 127
            if n == 126:
                n = struct.unpack(">H", read(2))[0]
            elif n == 127:
                n = struct.unpack(">Q", read(8))[0]
            mask = read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(read(n)))
            if head[0] & 15 == 1:
                return json.loads(data)

    def close(self):
        self.open = False
        try:
            self.handler.connection.shutdown(2)
        except OSError:
            pass


class Mock:
    """`hosts` and `runs` are plain data that a test may change; `push_*` sends the new state to every open page."""

    def __init__(self):
        self.hosts = {}
        self.runs = {}
        self.sockets = []
        self.commands = []
        self.refuse = False  # when true, new WebSockets are refused
        self.signed_out = False
        self.heard = []
        self.lock = threading.RLock()  # held from a change until it is sent, so that no page gets an older state after a newer one
        self.asked = []  # the windows of lines that the page asked for, as (run, from)
        self.gate = threading.Event()  # while cleared, requests for windows are read but not answered
        self.gate.set()
        self.hosts_gate = threading.Event()  # while cleared, the list of hosts is not sent
        self.hosts_gate.set()
        mock = self

        class Handler(Requests):
            server_mock = mock

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.drop()
        self.server.shutdown()
        self.server.server_close()

    def host(self, name, **fields):
        host = {
            "id": name, "hostname": name, "host_type": "nixos", "location": "home", "device_type": "server",
            "theme_color": "#769ff0", "criticality": "low", "status": "ok", "online": True, "last_seen": iso(2),
            "os_name": "NixOS", "os_version": "25.11.20251210.abcdef0 (Xantusia)", "current_generation": "3f2a9c1d",
            "metrics": json.dumps({"cpu": 12, "ram": 41, "swap": 0, "load": "0.42"}), "pending_command": None,
            "test_running": 0, "test_total": 0, "test_passed_count": 0, "state": "idle", "state_since": 0, "run": None,
        }
        host.update(fields)
        seen = calendar.timegm(time.strptime(host["last_seen"][:19], "%Y-%m-%dT%H:%M:%S")) * 1000 if host["last_seen"] else 0
        host.setdefault("agent_seen", seen)
        host.setdefault("reachable", time.time() * 1000 - seen < 300_000)
        self.hosts[name] = host
        return host

    def run(self, host, run_id, lines=(), **fields):
        run = Run(host, run_id, lines, **fields)
        self.runs[run_id] = run
        current = self.hosts[host].get("run")
        if not current or current["id"] <= run_id:
            self.hosts[host]["run"] = run.object()
            if run.fields["status"] == "busy":
                self.hosts[host]["state"] = "busy"
        return run

    def now(self):
        return int(time.time() * 1000)

    def send(self, message):
        for socket in list(self.sockets):
            socket.send(message)

    def push_host(self, name):
        self.send({"type": "changed", "hosts": [self.hosts[name]], "gone": []})

    def push_run(self, run_id, **fields):
        run = self.runs[run_id]
        run.fields.update(fields)
        host = self.hosts[run.fields["host"]]
        host["run"] = run.object()
        host["state"] = {"busy": "busy", "stale": "stale", "crashed": "crashed"}.get(run.fields["status"], "idle")
        self.push_host(run.fields["host"])
        self.send({"type": "run", "run": run.object()})

    def write(self, run_id, lines, start=None):
        """Stores a splice, and sends it to the pages that follow the run."""
        run = self.runs[run_id]
        with self.lock:
            start = len(run.lines) if start is None else start
            run.lines[start:] = lines
            for socket in list(self.sockets):
                if run_id in socket.tails:
                    socket.send(self.splice(run, start, lines))

    def splice(self, run, start, lines):
        return {
            "type": "splice", "host": run.fields["host"], "run": run.fields["id"], "from": start, "lines": list(lines),
            "times": [[len(lines), self.now()]] if lines else [], "total": len(run.lines), "gaps": run.gaps,
        }

    def drop(self):
        for socket in list(self.sockets):
            socket.close()

    def message(self, socket, message):
        self.heard.append(message)
        if message["op"] == "subscribe":
            self.hosts_gate.wait(60)
            socket.send({"type": "hosts", "hosts": list(self.hosts.values()), "now": self.now()})
        elif message["op"] == "tail":
            run = self.runs.get(message["run"])
            if not run:
                return socket.send({"type": "error", "error": "no such run"})
            socket.tails.add(message["run"])
            total = len(run.lines)
            start = max(0, total + message["from"]) if message["from"] < 0 else min(message["from"], total)
            socket.send(self.splice(run, start, run.window(start, total - start)["lines"]))
        elif message["op"] == "untail":
            socket.tails.discard(message["run"])
        return None


class Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_mock = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if url.path == "/api/ws":
            return self.websocket()
        if url.path.startswith("/api/"):
            return self.read_api(url.path, query)
        name = {"/": "index.html", "/login": "login.html"}.get(url.path, url.path.lstrip("/"))
        file = (WEB / name).resolve()
        if WEB not in file.parents or not file.is_file():
            return self.answer(404, {"detail": "Not Found"})
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return self.raw(200, file.read_bytes(), kind)

    def read_api(self, path, query):
        mock = self.server_mock
        parts = path.strip("/").split("/")[1:]
        if mock.signed_out:
            return self.answer(401, {"detail": "Not authenticated"})
        if parts == ["hosts"]:
            return self.answer(200, {"hosts": list(mock.hosts.values())})
        if len(parts) == 2 and parts[1] in mock.hosts:
            return self.answer(200, mock.hosts[parts[1]])
        if len(parts) >= 3 and parts[2] == "runs":
            if len(parts) == 3:
                runs = [r.object() for r in mock.runs.values() if r.fields["host"] == parts[1]]
                runs.sort(key=lambda r: r["id"], reverse=True)
                return self.answer(200, {"runs": runs[: int(query.get("limit", 50))]})
            run = mock.runs.get(parts[3])
            if not run:
                return self.answer(404, {"error": "no such run"})
            if len(parts) == 4:
                return self.answer(200, run.object())
            start, limit = int(query.get("from", 0)), int(query.get("limit", 500))
            if parts[4] == "lines":
                window = run.window(start if start >= 0 else max(0, len(run.lines) + start), limit)
                mock.asked.append((run.fields["id"], start))
                mock.gate.wait(60)
                return self.answer(200, window)
            if parts[4] == "search":
                return self.answer(200, run.search(query.get("q", ""), query.get("kind"), start, limit))
            if parts[4] == "log":
                return self.raw(200, "\n".join(SGR.sub("", line) for line in run.lines).encode(), "text/plain; charset=utf-8")
        return self.answer(404, {"detail": "Not Found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.strip("/").split("/")
        if self.headers.get("X-CSRF-Token") != "csrf-of-the-mock":
            return self.answer(403, {"detail": "Invalid CSRF token"})
        if parts[-1] == "command":
            command = json.loads(body)["command"]
            self.server_mock.commands.append((parts[2], command))
            return self.answer(200, {"status": "queued", "command": command})
        if parts == ["api", "hosts"]:
            host = json.loads(body)
            self.server_mock.host(host["hostname"], state="offline", last_seen=None)
            self.server_mock.push_host(host["hostname"])
            return self.answer(200, {"status": "ok", "host_id": host["hostname"], "message": "added"})
        return self.answer(404, {"detail": "Not Found"})

    def do_DELETE(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server_mock.hosts.pop(name, None)
        self.server_mock.send({"type": "changed", "hosts": [], "gone": [name]})
        return self.answer(200, {"status": "deleted", "host_id": name})

    def answer(self, status, value):
        self.raw(status, json.dumps(value).encode(), "application/json")

    def raw(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def websocket(self):
        mock = self.server_mock
        self.close_connection = True
        if mock.refuse or mock.signed_out:
            return self.answer(503, {"error": "refused"})
        key = self.headers["Sec-WebSocket-Key"] + MAGIC
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        socket = Socket(self)
        socket.send({"type": "hello", "version": "test", "now": mock.now(), "dev": True, "csrf": "csrf-of-the-mock",
                     "target": {"hash": "3f2a9c1d00", "message": "the wanted one"}})
        mock.sockets.append(socket)
        try:
            while (message := socket.receive()) is not None:
                with mock.lock:
                    mock.message(socket, message)
        except OSError:
            pass
        finally:
            mock.sockets.remove(socket)
        return None
