"""TLS: which servers are trusted; other servers get no byte of HTTP, and the message has the reason. The test makes the certificates."""
import pathlib
import shutil
import ssl
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer
from helperrun import end_behind, environment
from wrapper import RUN

pytestmark = [pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
              pytest.mark.filterwarnings("ignore::DeprecationWarning")]

COMMON = {"nameless": "127.0.0.1"}  # the common name of a certificate, if it is not "test"
CONFIG = """
[ca]
default_ca = here
[here]
database = {dir}/index
new_certs_dir = {dir}
serial = {dir}/serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A directory with an authority (ca.pem) and certificates that it has signed: good, expired, future, other."""
    at = tmp_path_factory.mktemp("tls")
    (at / "config").write_text(CONFIG.format(dir=at))
    (at / "index").write_text("")
    (at / "serial").write_text("1000\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "20000", "-subj", "/CN=test authority", "-keyout", at / "ca.key", "-out",
            at / "ca.pem")
    names = {"good": "IP:127.0.0.1,DNS:localhost", "other": "DNS:elsewhere.example", "wildcard": "DNS:*.localhost", "text": "DNS:127.0.0.1",
             "near": "IP:127.0.0.2,DNS:127.0.0.1.example", "every": "DNS:*"}
    dates = {"expired": ("20200101000000Z", "20200201000000Z"), "future": ("20900101000000Z", "20910101000000Z")}
    for name in ("good", "other", "wildcard", "expired", "future", "text", "near", "every", "nameless", "client"):
        start, end = dates.get(name, ("20200101000000Z", "20600101000000Z"))
        alternatives = [] if name == "nameless" else ["-addext", f"subjectAltName={names.get(name, names['good'])}"]
        usage = ["-addext", f"extendedKeyUsage={'clientAuth' if name == 'client' else 'serverAuth'}"]
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={COMMON.get(name, 'test')}", *alternatives,
                *usage, "-keyout", at / f"{name}.key", "-out", at / f"{name}.csr")
        openssl("ca", "-batch", "-config", at / "config", "-cert", at / "ca.pem", "-keyfile", at / "ca.key", "-startdate", start, "-enddate", end,
                "-in", at / f"{name}.csr", "-out", at / f"{name}.pem")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
            at / "self.key", "-out", at / "self.pem")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority", "-keyout", at / "namesake.key", "-out",
            at / "namesake.pem")
    (at / "both.pem").write_text((at / "namesake.pem").read_text() + (at / "ca.pem").read_text())
    (at / "hashed").mkdir()
    shutil.copy(at / "ca.pem", at / "hashed")
    openssl("rehash", at / "hashed")
    (at / "bare").mkdir()
    (at / "empty.pem").write_text("")
    (at / "garbage.pem").write_text("what is this\n")
    for key in ("good", "other"):
        public = subprocess.run(["openssl", "pkey", "-in", at / f"{key}.key", "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=public, check=True, capture_output=True).stdout
        base64 = subprocess.run(["openssl", "base64", "-A"], input=digest, check=True, capture_output=True).stdout.decode()
        (at / f"{key}.pin").write_text(f"sha256//{base64}")
        (at / f"{key}.public.der").write_bytes(public)
        openssl("pkey", "-in", at / f"{key}.key", "-pubout", "-out", at / f"{key}.public.pem")
    return at


def only_http2(context):
    context.set_alpn_protocols(["h2"])


def weak(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("NULL:aNULL:@SECLEVEL=0")


def asks_for_a_certificate(context):
    context.load_default_certs()
    context.verify_mode = ssl.CERT_OPTIONAL


def wants_a_certificate(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 the client learns of the refusal only after the handshake
    context.verify_mode = ssl.CERT_REQUIRED


def oldest(context):
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


def version(number):
    def prepare(context):
        context.minimum_version = context.maximum_version = number
    return prepare


CA = {"NIXFLEET_CA_FILE": "{at}/ca.pem"}
TRUSTED = None


def pinned(text):
    return {**CA, "NIXFLEET_PINNED_PUBKEY": text}


# certificate, settings, set-up of the server; TRUSTED, or a part of the reason ("": the text differs between versions of the libraries)
HANDSHAKES = [
    ("good", CA, None, TRUSTED), ("good", CA, version(ssl.TLSVersion.TLSv1_2), TRUSTED), ("good", CA, version(ssl.TLSVersion.TLSv1_3), TRUSTED),
    ("good", CA, only_http2, TRUSTED), ("good", CA, asks_for_a_certificate, TRUSTED),
    ("good", CA, oldest, ""), ("good", CA, weak, ""), ("good", CA, wants_a_certificate, ""),
    # authorities
    ("good", {"SSL_CERT_FILE": "{at}/ca.pem"}, None, TRUSTED), ("good", {"NIX_SSL_CERT_FILE": "{at}/ca.pem"}, None, TRUSTED),
    ("good", {"CURL_CA_BUNDLE": "{at}/ca.pem"}, None, TRUSTED), ("good", {**CA, "SSL_CERT_FILE": "{at}/garbage.pem"}, None, TRUSTED),
    ("good", {"SSL_CERT_DIR": "{at}/hashed"}, None, TRUSTED), ("good", {"SSL_CERT_FILE": "", "NIX_SSL_CERT_FILE": "{at}/ca.pem"}, None, TRUSTED),
    ("good", {"CURL_CA_BUNDLE": "{at}/ca.pem", "SSL_CERT_FILE": "{at}/missing.pem"}, None, TRUSTED),
    ("good", {"NIXFLEET_CA_FILE": "{at}/both.pem"}, None, TRUSTED), ("self", {"NIXFLEET_CA_FILE": "{at}/self.pem"}, None, TRUSTED),
    ("good", {}, None, "certificate"), ("good", {"SSL_CERT_DIR": "{at}/bare"}, None, "certificate"),
    ("good", {"SSL_CERT_DIR": "{at}/hashed", "NIXFLEET_CA_FILE": "{at}/self.pem"}, None, "certificate"),
    ("good", {"CURL_CA_BUNDLE": "{at}/self.pem", "SSL_CERT_FILE": "{at}/ca.pem"}, None, "certificate"),
    ("good", {"NIXFLEET_CA_FILE": "{at}/namesake.pem"}, None, ""), ("good", {"NIXFLEET_CA_FILE": "{at}"}, None, ""),
    ("good", {"NIXFLEET_CA_FILE": "{at}/empty.pem"}, None, "empty.pem"), ("good", {"NIXFLEET_CA_FILE": "{at}/garbage.pem"}, None, "garbage.pem"),
    ("good", {"NIXFLEET_CA_FILE": "{at}/missing.pem"}, None, "missing.pem"), ("good", {"NIXFLEET_CA_FILE": "{at}/good.key"}, None, "good.key"),
    ("good", {"SSL_CERT_FILE": "{at}/missing.pem"}, None, "missing.pem"),
    # certificates
    ("nameless", CA, None, TRUSTED), ("self", {}, None, "self"), ("self", CA, None, "self"), ("expired", CA, None, "expired"),
    ("future", CA, None, "not yet valid"), ("client", CA, None, "purpose"), ("other", CA, None, "127.0.0.1"), ("text", CA, None, "127.0.0.1"),
    ("near", CA, None, "127.0.0.1"), ("every", CA, None, "127.0.0.1"), ("wildcard", CA, None, "127.0.0.1"),
    # pins
    ("good", pinned("{good}"), None, TRUSTED), ("good", pinned("{other};{good}"), None, TRUSTED),
    ("good", pinned("{at}/good.public.der"), None, TRUSTED), ("good", pinned("{at}/good.public.pem"), None, TRUSTED),
    ("good", {"NIXFLEET_PINNED_PUBKEY": "{good}"}, None, "certificate"), ("expired", pinned("{good}"), None, "expired"),
    ("good", pinned("{other}"), None, "pinned"), ("good", pinned("{at}/other.public.der"), None, "pinned"), ("good", pinned("{at}/good.pem"), None, "pinned"),
    ("good", pinned("{at}/empty.pem"), None, "pinned"), ("good", pinned("{at}/missing"), None, "pinned"), ("good", pinned("sha256//what"), None, "pinned"),
    ("good", pinned("sha256//"), None, "pinned"), ("good", pinned(";"), None, "pinned"), ("good", pinned("md5//x"), None, "pinned"),
    ("good", pinned("SHA256//{good_hash}"), None, "pinned"), ("good", pinned("{good_hash}"), None, "pinned"),
    # environment variables that the libraries read
    ("good", {**CA, "OPENSSL_CONF": "{at}/garbage.pem"}, None, TRUSTED), ("good", {**CA, "SSLKEYLOGFILE": "/nonexistent/x"}, None, TRUSTED),
]


@pytest.mark.parametrize("number", range(len(HANDSHAKES)))
def test_only_who_is_trusted_gets_a_request(number, authority, tmp_path):
    certificate, settings, prepare, reason = HANDSHAKES[number]
    pins = {name: (authority / f"{name}.pin").read_text() for name in ("good", "other")}
    pins["good_hash"] = pins["good"].removeprefix("sha256//")
    settings = {name: value.format(at=authority, **pins) for name, value in settings.items()}
    with FaultServer(tls=(authority / f"{certificate}.pem", authority / f"{certificate}.key"), prepare_tls=prepare) as server:
        env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=60)
        for name in ("CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            env.pop(name, None)
        env.update(settings)
        done = subprocess.run([RUN, "--", "echo", "hi"], env=env, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        end_behind(tmp_path)
        assert done.stdout == "hi\n"
        if reason is TRUSTED:
            assert done.stderr == "" and server.text() == "hi"
        else:
            assert not server.requests and "--flush" in done.stderr and reason in done.stderr, done.stderr


@pytest.mark.parametrize("option", ["--cacert=/x", "--pinned-pubkey=sha256//x"])
def test_a_certain_key_or_authority_is_for_https(option, tmp_path):
    env = environment(tmp_path, "http://127.0.0.1:1")
    done = subprocess.run([RUN, option, "--", "true"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 125 and "is for https" in done.stderr
