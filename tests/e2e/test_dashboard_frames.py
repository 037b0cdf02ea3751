"""WebSocket frames of every shape (RFC 6455): the server answers with the right close code or closes the connection, and keeps
running."""
import os
import struct

import pytest
from lib.dashserver import Dashboard
from lib.ws import WebSocket

TEXT, BINARY, CLOSE, PING, PONG, CONTINUE = 1, 2, 8, 9, 10, 0


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    with Dashboard(tmp_path_factory.mktemp("frames")) as running:
        yield running


def frame(opcode, payload=b"", last=True, rsv=0, masked=True, size=None):
    """size: the payload size in the header; by default the real size."""
    size = len(payload) if size is None else size
    head = bytes([(0x80 if last else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    head += bytes([bit | size]) if size < 126 else struct.pack("!BH", bit | 126, size) if size < 1 << 16 else struct.pack("!BQ", bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(payload))


SUBSCRIBE = b'{"op":"subscribe"}'
SHAPES = {
    # name: (bytes, close code that the server may give)
    "not masked": (frame(TEXT, SUBSCRIBE, masked=False), 1002),
    "rsv1": (frame(TEXT, SUBSCRIBE, rsv=4), 1002),
    "rsv2": (frame(TEXT, SUBSCRIBE, rsv=2), 1002),
    "rsv3": (frame(TEXT, SUBSCRIBE, rsv=1), 1002),
    "reserved data opcode": (frame(3, b"x"), 1002),
    "reserved control opcode": (frame(11, b"x"), 1002),
    "a ping in parts": (frame(PING, b"x", last=False), 1002),
    "a ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "a continuation of nothing": (frame(CONTINUE, b"x"), 1002),
    "a message inside a message": (frame(TEXT, b"{", last=False) + frame(TEXT, b"}"), 1002),
    "over the limit": (frame(TEXT, b"x" * 20000), 1009),
    "over the limit in parts": (frame(TEXT, b"x" * 10000, last=False) + frame(CONTINUE, b"x" * 10000), 1009),
    "2^31 bytes announced": (frame(TEXT, b"x", size=1 << 31), 1009),
    "2^63 bytes announced": (frame(TEXT, b"x", size=1 << 63), 1002),
    "2^64-1 bytes announced": (frame(TEXT, b"x", size=(1 << 64) - 1), 1002),
    "no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "half a character": (frame(TEXT, b'{"op":"\xc3'), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "close": (frame(CLOSE, struct.pack("!H", 1000)), 1000),
    "close with nothing": (frame(CLOSE), None),
    "close with one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a reserved code": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "close with a reason that is no UTF-8": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
}


def test_the_frames_are_as_many_as_were_tried_by_hand():
    assert len(SHAPES) >= 23


def closing(page):
    """The code of the server's close frame; None: the server closed the connection without a close frame."""
    try:
        while True:
            _, opcode, data = page.frame()
            if opcode == CLOSE:
                return struct.unpack("!H", data[:2])[0] if len(data) >= 2 else None
    except (EOFError, ConnectionError):
        return None


@pytest.mark.parametrize("name", SHAPES)
def test_a_frame_that_is_against_the_rules_ends_the_connection_and_no_more(dashboard, name):
    data, code = SHAPES[name]
    with WebSocket(dashboard.url) as page:
        page.receive()
        page.socket.sendall(data)
        assert closing(page) in (code, None)
    assert dashboard.process.poll() is None
    with WebSocket(dashboard.url) as page:
        page.send({"op": "subscribe"})
        assert page.until("hosts")


@pytest.mark.parametrize("name, data", [
    ("a text in three parts", frame(TEXT, SUBSCRIBE[:3], last=False) + frame(CONTINUE, SUBSCRIBE[3:7], last=False) + frame(CONTINUE, SUBSCRIBE[7:])),
    ("a ping between the parts", frame(TEXT, SUBSCRIBE[:3], last=False) + frame(PING, b"p") + frame(CONTINUE, SUBSCRIBE[3:])),
    ("a pong that nobody asked for", frame(PONG, b"x") + frame(TEXT, SUBSCRIBE)),
    ("an empty message before it", frame(TEXT) + frame(TEXT, SUBSCRIBE)),
    ("a binary message before it", frame(BINARY, b"\x00\x01") + frame(TEXT, SUBSCRIBE)),
    ("nonsense before it", frame(TEXT, b"[[[[[[[[[[") + frame(TEXT, b'{"op":{}}') + frame(TEXT, SUBSCRIBE)),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_the_rules_allow_is_served(dashboard, name, data):
    with WebSocket(dashboard.url) as page:
        page.socket.sendall(data)
        assert "hosts" in page.until("hosts")


def test_a_ping_is_answered_with_its_payload(dashboard):
    with WebSocket(dashboard.url) as page:
        page.receive()
        page.socket.sendall(frame(PING, b"are you there"))
        while True:
            _, opcode, data = page.frame()
            if opcode == PONG:
                break
        assert data == b"are you there"
