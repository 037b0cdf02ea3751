"""A dashboard that misbehaves when a test asks for it. It stores what it receives by the rules of docs/protocol.md, so that
a test can compare texts, and it can fail in every way that a network or a server can fail.

    with FaultServer() as server:
        server.fault = status(503, retry_after=1)   # or refuse(), slow(), garbage()…; None: behave
        ...
        server.text("myhost", run)                  # the text that was received

`fault` is a function (handler, path, body) -> True if it has answered (or broken) the request; it may be changed at any time
and may restrict itself to one path."""
import hashlib
import http.server
import json
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

PATIENCE_S = 60


class Run:
    def __init__(self):
        self.lines, self.times, self.batches, self.heartbeats = [], [], [], []
        self.exit = self.end = None
        self.description = {}
        self.skipped = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.owner.connections += 1

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with owner.changed:
            owner.requests.append((time.monotonic(), self.path, len(body), self.headers.get("Authorization")))
            owner.changed.notify_all()
        fault = owner.fault
        try:
            if fault and fault(self, self.path, body):
                with owner.changed:
                    owner.faults += 1
                    owner.changed.notify_all()
                return
            self.answer(*owner.take(self.path, body, self.headers))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # tests make clients go away


class FaultServer:
    def __init__(self, token="a-token-for-tests", tls=None, prepare_tls=None):
        self.token, self.tls, self.prepare_tls = token, tls, prepare_tls
        self.fault = None
        self.runs, self.requests = {}, []
        self.faults = self.connections = 0
        self.stop_runs = set()
        self.violations = []  # where the writer broke the protocol
        self.changed = threading.Condition()
        self.server = None
        self.port = 0
        self.start()

    # ---- start and stop ----
    def start(self):
        """May be called again after stop(): the dashboard comes back at the same port."""
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            if self.prepare_tls:
                self.prepare_tls(context)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    # ---- the protocol ----
    def take(self, path, body, headers):
        match = re.fullmatch(r"/api/hosts/([a-z0-9][a-z0-9_-]*)/(logs|heartbeat)", path)
        if not match:
            return 404, {"error": "no such call"}
        if headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"error": "token"}
        try:
            message = json.loads(body)
        except ValueError:
            self.violations.append(f"not JSON: {body[:200]!r}")
            return 400, {"error": "not JSON"}
        if len(body) > 1 << 20:
            self.violations.append("a body over 1 MiB")
            return 413, {"error": "too large"}
        with self.changed:
            run = self.runs.setdefault((match[1], message["run"]), Run())
            answer = self.heartbeat(run, message) if match[2] == "heartbeat" else self.splice(run, message)
            self.changed.notify_all()
        return answer

    def heartbeat(self, run, message):
        run.heartbeats.append((time.monotonic(), message))
        return 200, {"status": "ok", "stop": message["run"] in self.stop_runs}

    def splice(self, run, message):
        start, skipped = message["from"], message.get("skipped", 0)
        lines = message["text"].split("\n") if "text" in message else []
        for key in ("command", "argv", "user", "started", "cols", "rows"):
            if key in message:
                run.description[key] = message[key]
        if start > len(run.lines):
            if not skipped:
                return 409, {"next": len(run.lines)}
            run.lines += [None] * (start - len(run.lines))
            run.skipped += skipped
        if sum(count for count, _ in message.get("times", [])) != len(lines):
            self.violations.append(f"times {message.get('times')} for {len(lines)} lines")
        if re.search("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]", "".join(lines)):
            self.violations.append(f"control characters in {lines!r}"[:300])
        if "text" in message or skipped:
            run.lines[start:] = lines
        run.batches.append((time.monotonic(), message))
        if "exit" in message:
            digest = hashlib.sha256("\n".join(x or "" for x in run.lines).encode()).hexdigest()
            if message.get("line_count") != len(run.lines):
                self.violations.append(f"line_count {message.get('line_count')}, has {len(run.lines)}")
            if message.get("digest", digest) != digest:
                self.violations.append("digest differs")
                return 409, {"next": 0}
            run.exit, run.end = message["exit"], message
        return 200, {"next": len(run.lines)}

    # ---- what tests read ----
    def run(self, host="testhost"):
        """The newest run of a host; None if there is no run yet."""
        keys = sorted(key for key in self.runs if key[0] == host)
        return self.runs[keys[-1]] if keys else None

    def text(self, run=None):
        run = run or self.run()
        return "\n".join("" if line is None else line for line in run.lines) if run else None

    def wait(self, condition, timeout=PATIENCE_S):
        """Waits until condition() is true. Calls condition() after each event of this server."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                if time.monotonic() > deadline:
                    raise AssertionError("it did not happen in time")
                self.changed.wait(0.1)

    def wait_requests(self, count, path="", timeout=PATIENCE_S):
        self.wait(lambda: sum(path in request[1] for request in self.requests) >= count, timeout)


# ---- faults ----
def status(code, retry_after=None, body=None, only=""):
    """Answers every request with this status."""
    def fault(handler, path, _):
        if only not in path:
            return False
        headers = [] if retry_after is None else [("Retry-After", str(retry_after))]
        handler.answer(code, {"error": "told to"} if body is None else body, headers)
        return True
    return fault


def times(count, fault):
    """Applies the fault to the first `count` requests that match."""
    left = [count]

    def counted(handler, path, body):
        if left[0] <= 0 or not fault(handler, path, body):
            return False
        left[0] -= 1
        return True
    return counted


def redirect(target):
    def fault(handler, path, _):
        handler.answer(307, b"", [("Location", target + path)])
        return True
    return fault


def garbage(handler, path, body):
    handler.wfile.write(b"\x00\xff\x16\x03 what is this \r\n\r\n" * 20)
    handler.close_connection = True
    return True


def wrong_json(handler, path, body):
    handler.answer(200, b'{"next": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1')
    return True


def endless_body(handler, path, body):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    except OSError:
        handler.close_connection = True
    return True


def slow(handler, path, body):
    """Sends the answer at one byte a second."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"next\": 999}":
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(1)
    handler.close_connection = True
    return True


def silent(handler, path, body):
    """Reads the request and never answers."""
    time.sleep(300)
    return True


def reset(handler, path, body):
    """Begins to answer, then resets the connection."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ne")
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


def lost_answer(handler, path, body):
    """Handles the request correctly, then loses the answer."""
    handler.server.owner.take(path, body, handler.headers)
    return reset(handler, path, body)


# ---- slow connections, hanging ports, certificates ----
class SlowLine:
    """A connection to a server with limited bytes a second and small buffers."""
    def __init__(self, server, bytes_per_second):
        self.target, self.rate = ("127.0.0.1", server.port), bytes_per_second
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            threading.Thread(target=self.carry, args=(client, server, self.rate), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, 1 << 30), daemon=True).start()

    @staticmethod
    def carry(source, target, rate):
        try:
            while piece := source.recv(4096):
                target.sendall(piece)
                time.sleep(len(piece) / rate)
        except OSError:
            pass
        for one in (source, target):
            one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def black_hole():
    """A listening socket with a full queue that accepts no connection: new connections hang. The caller closes the sockets."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(directory, name="127.0.0.1"):
    """A self-signed certificate for an address: (certificate, key) paths."""
    certificate, key = str(directory / f"{name}.pem"), str(directory / f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=IP:{name}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key
