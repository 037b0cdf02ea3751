"""Signs in as a person does: password, second factor, session cookie, and the settings for these."""
import base64
import functools
import hashlib
import hmac
import json
import struct
import subprocess
import time
import urllib.parse

from lib.dashserver import BIN

PASSWORD = "correct horse"
TOTP = "JBSWY3DPEHPK3PXP"
SECRET = "s" * 40


@functools.cache  # bcrypt is slow on purpose
def password_hash(password=PASSWORD):
    return subprocess.run([str(BIN / "nixfleet-dashboard"), "hash-password"], input=password + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def settings(**more):
    """The settings that a dashboard needs to start without --dev."""
    return dict(dict(NIXFLEET_PASSWORD_HASH=password_hash(), NIXFLEET_SESSION_SECRETS=SECRET, NIXFLEET_AGENT_TOKEN_HASH_SECRET="h" * 40), **more)


def totp(at=None):
    counter = struct.pack(">Q", int(at or time.time()) // 30)
    digest = hmac.new(base64.b32decode(TOTP), counter, hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start:start + 4])[0] & 0x7fffffff) % 1000000:06d}"


def sign_in(dashboard, password=PASSWORD, code="", headers=None):
    form = urllib.parse.urlencode({"password": password, "totp": code}).encode()
    headers = dict(headers or {}, **{"Content-Type": "application/x-www-form-urlencoded"})
    return dashboard.call("POST", "/login", raw=form, token=None, headers=headers)


def cookie_of(answer):
    assert answer.headers["Location"] == "/", answer.headers["Location"]
    return {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}


def cookie_that_ends(cookie, at, secret=SECRET):
    """A signed cookie of the same session with another expiry time."""
    def code(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    payload = cookie["Cookie"].split("=", 1)[1].split(".")[1]
    token = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["t"]
    payload = code(json.dumps({"exp": int(at), "t": token, "v": 1}, separators=(",", ":")).encode())
    return {"Cookie": f"nixfleet_session=v1.{payload}.{code(hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest())}"}
