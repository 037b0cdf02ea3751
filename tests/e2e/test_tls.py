"""TLS: who is trusted, and that nobody else gets a byte of HTTP. Certificates are made here, and the reason is said."""
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
    """A directory with an authority (ca.pem) and certificates of it: good, expired, future, other."""
    at = tmp_path_factory.mktemp("tls")
    (at / "config").write_text(CONFIG.format(dir=at))
    (at / "index").write_text("")
    (at / "serial").write_text("1000\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "20000", "-subj", "/CN=test authority", "-keyout", at / "ca.key", "-out",
            at / "ca.pem")
    names = {"good": "IP:127.0.0.1,DNS:localhost", "other": "DNS:elsewhere.example", "wildcard": "DNS:*.localhost"}
    dates = {"expired": ("20200101000000Z", "20200201000000Z"), "future": ("20900101000000Z", "20910101000000Z")}
    for name in ("good", "other", "wildcard", "expired", "future"):
        start, end = dates.get(name, ("20200101000000Z", "20600101000000Z"))
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-addext", f"subjectAltName={names.get(name, names['good'])}",
                "-keyout", at / f"{name}.key", "-out", at / f"{name}.csr")
        openssl("ca", "-batch", "-config", at / "config", "-cert", at / "ca.pem", "-keyfile", at / "ca.key", "-startdate", start, "-enddate", end,
                "-in", at / f"{name}.csr", "-out", at / f"{name}.pem")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
            at / "self.key", "-out", at / "self.pem")
    (at / "empty.pem").write_text("")
    (at / "garbage.pem").write_text("what is this\n")
    for key in ("good", "other"):
        public = subprocess.run(["openssl", "pkey", "-in", at / f"{key}.key", "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=public, check=True, capture_output=True).stdout
        base64 = subprocess.run(["openssl", "base64", "-A"], input=digest, check=True, capture_output=True).stdout.decode()
        (at / f"{key}.pin").write_text(f"sha256//{base64}")
    return at


def oldest(context):
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


def version(number):
    def prepare(context):
        context.minimum_version = context.maximum_version = number
    return prepare


CA = {"NIXFLEET_CA_FILE": "{at}/ca.pem"}
# certificate, settings, what the server is made of; "" when it is trusted, else a part of the reason
HANDSHAKES = [
    ("good", CA, None, ""), ("good", {"SSL_CERT_FILE": "{at}/ca.pem"}, None, ""), ("good", {"NIX_SSL_CERT_FILE": "{at}/ca.pem"}, None, ""),
    ("good", {"CURL_CA_BUNDLE": "{at}/ca.pem"}, None, ""), ("good", {**CA, "SSL_CERT_FILE": "{at}/garbage.pem"}, None, ""),
    ("self", {"NIXFLEET_CA_FILE": "{at}/self.pem"}, None, ""),
    ("good", CA, version(ssl.TLSVersion.TLSv1_2), ""), ("good", CA, version(ssl.TLSVersion.TLSv1_3), ""),
    ("good", {**CA, "NIXFLEET_PINNED_PUBKEY": "{good}"}, None, ""), ("good", {**CA, "NIXFLEET_PINNED_PUBKEY": "{other};{good}"}, None, ""),
    ("good", {}, None, "certificate"), ("self", {}, None, "self"), ("self", CA, None, "self"),
    ("expired", CA, None, "expired"), ("future", CA, None, "not yet valid"), ("other", CA, None, "127.0.0.1"),
    ("wildcard", CA, None, "127.0.0.1"), ("good", CA, oldest, ""),
    ("good", {"NIXFLEET_CA_FILE": "{at}/empty.pem"}, None, "empty.pem"), ("good", {"NIXFLEET_CA_FILE": "{at}/garbage.pem"}, None, "garbage.pem"),
    ("good", {"NIXFLEET_CA_FILE": "{at}/missing.pem"}, None, "missing.pem"), ("good", {"NIXFLEET_CA_FILE": "{at}"}, None, ""),
    ("good", {"SSL_CERT_FILE": "{at}/missing.pem"}, None, "missing.pem"),
    ("good", {**CA, "NIXFLEET_PINNED_PUBKEY": "{other}"}, None, "pinned"), ("good", {**CA, "NIXFLEET_PINNED_PUBKEY": "sha256//what"}, None, "pinned"),
    ("good", {**CA, "NIXFLEET_PINNED_PUBKEY": "md5//x"}, None, "pinned"), ("good", {**CA, "NIXFLEET_PINNED_PUBKEY": "{at}/missing"}, None, "pinned"),
    ("good", {"NIXFLEET_PINNED_PUBKEY": "{good}"}, None, "certificate"),
]
REFUSED = {17, 21}  # without a text that is the same with every version of the libraries


@pytest.mark.parametrize("number", range(len(HANDSHAKES)))
def test_only_who_is_trusted_gets_a_request(number, authority, tmp_path):
    certificate, settings, prepare, reason = HANDSHAKES[number]
    pins = {name: (authority / f"{name}.pin").read_text() for name in ("good", "other")}
    settings = {name: value.format(at=authority, **pins) for name, value in settings.items()}
    with FaultServer(tls=(authority / f"{certificate}.pem", authority / f"{certificate}.key"), prepare_tls=prepare) as server:
        env = environment(tmp_path, server.url, NIXFLEET_FLUSH_TIMEOUT=60)
        for name in ("CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            env.pop(name, None)
        env.update(settings)
        done = subprocess.run([RUN, "--", "echo", "hi"], env=env, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        end_behind(tmp_path)
        assert done.stdout == "hi\n"
        if reason or number in REFUSED:
            assert not server.requests and "--flush" in done.stderr and reason in done.stderr, done.stderr
        else:
            assert done.stderr == "" and server.text() == "hi"


@pytest.mark.parametrize("option", ["--cacert=/x", "--pinned-pubkey=sha256//x"])
def test_a_certain_key_or_authority_is_for_https(option, tmp_path):
    env = environment(tmp_path, "http://127.0.0.1:1")
    done = subprocess.run([RUN, option, "--", "true"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 125 and "is for https" in done.stderr
