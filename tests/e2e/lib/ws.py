"""A WebSocket client with what the tests need (RFC 6455): text messages, masked as a client must."""
import base64
import json
import os
import socket
import ssl
import struct
import urllib.parse

PATIENCE_S = 60


class WebSocket:
    def __init__(self, url, path="/api/ws", headers=None):
        self.address = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((self.address.hostname, self.address.port), timeout=PATIENCE_S)
        if self.address.scheme == "https":
            self.socket = ssl.create_default_context().wrap_socket(self.socket, server_hostname=self.address.hostname)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.address.netloc}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()] + [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.buffer = b""
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.socket.recv(4096)
            if not part:
                raise EOFError
            head += part
        head, _, self.buffer = head.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, size):
        while len(self.buffer) < size:
            part = self.socket.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def frame(self):
        """Reads a frame: (whether the frame is the last of its message, opcode, payload)"""
        first, second = self.take(2)
        size = second & 127
        if size == 126:
            size = struct.unpack("!H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self.take(8))[0]
        return first >> 7, first & 15, self.take(size)

    def receive(self):
        """The next complete text message. Control frames may come between its parts."""
        text = b""
        while True:
            last, opcode, data = self.frame()
            if opcode > 2:
                continue
            text += data
            if last:
                return json.loads(text)

    def until(self, kind, **fields):
        while True:
            message = self.receive()
            if message["type"] == kind and all(message.get(k) == v for k, v in fields.items()):
                return message

    def send(self, message):
        self.send_text(json.dumps(message).encode())

    def send_text(self, data):
        mask = os.urandom(4)
        head = struct.pack("!BB", 0x81, 0x80 | len(data)) if len(data) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(data))
        self.socket.sendall(head + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(data)))
